# CKF in the authors' form: the fusion weight changes once an epoch.
_base_ = '../cskd_deit-ti_regnety.py'

custom_hooks = [
    *_base_.custom_hooks[:-1],
    dict(type='mmrazor.CKFHook', schedule='linear', by_epoch=True),
]
