# CKF by the cosine: the fusion weight is cos(πp / 2).
_base_ = '../cskd_deit-ti_regnety.py'

custom_hooks = [*_base_.custom_hooks[:-1], dict(type='mmrazor.CKFHook', schedule='cos')]
