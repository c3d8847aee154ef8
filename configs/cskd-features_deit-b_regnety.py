# CSKD with features: the teacher's distribution and its features at each place, without CKF, see
# docs/evidence.md. Not run on ImageNet.
_base_ = './cskd_deit-b_regnety.py'

model = dict(distiller=dict(_delete_=True, **_base_.cskd_features_distiller))
custom_hooks = _base_.custom_hooks[:-1]
