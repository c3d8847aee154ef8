# No DeiT term: α = 0, so the base loss weighs 1 and the distillation token has no vote.
_base_ = '../cskd_deit-ti_regnety.py'

model = dict(
    architecture=dict(vote=['cls', 'patch'], head=dict(loss=dict(loss_weight=1.0))),
    distiller=dict(_delete_=True, **_base_.patch_distiller),
)
