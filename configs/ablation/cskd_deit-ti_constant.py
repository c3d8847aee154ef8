# CKF stands still: spatial and global response weigh a half each throughout.
_base_ = '../cskd_deit-ti_regnety.py'

ckf = dict(type='mmrazor.CKFHook', schedule=dict(type='constant', value=0.5))
custom_hooks = [*_base_.custom_hooks[:-1], ckf]
