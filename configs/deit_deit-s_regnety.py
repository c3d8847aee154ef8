# DeiT distillation alone, twin of cskd_deit-s_regnety.py. Published by the authors: 81.2 % top-1.
_base_ = './cskd_deit-s_regnety.py'

model = dict(distiller=dict(_delete_=True, **_base_.deit_distiller))
custom_hooks = _base_.custom_hooks[:-1]  # no CKF
