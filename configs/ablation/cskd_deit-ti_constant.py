# A constant fusion weight: spatial and global response have weight ½ each.
_base_ = '../cskd_deit-ti_regnety.py'

ckf = dict(type='mmrazor.CKFHook', schedule=dict(type='constant', value=0.5))
custom_hooks = [*_base_.custom_hooks[:-1], ckf]
