# CSKD+: the teacher's distributions at each place and of the whole, without CKF, see
# docs/evidence.md. Not run on ImageNet.
_base_ = './cskd_deit-s_regnety.py'

model = dict(distiller=dict(_delete_=True, **_base_.cskd_plus_distiller))
custom_hooks = _base_.custom_hooks[:-1]
