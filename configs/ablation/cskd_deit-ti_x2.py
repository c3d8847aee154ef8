# CKF by the square: the fusion weight is (1 - p)².
_base_ = '../cskd_deit-ti_regnety.py'

custom_hooks = [*_base_.custom_hooks[:-1], dict(type='mmrazor.CKFHook', schedule='x2')]
