# Another student: a plain ViT-B/16, which has no distillation token and so no DeiT term.
_base_ = './cskd_deit-b_regnety.py'

# The distillation head starts at zero, as MMPretrain's class head of a ViT does.
from_zero = dict(type='Constant', val=0.0, override=dict(name='head_dist'))
model = dict(
    architecture=dict(
        backbone=dict(type='VisionTransformer', arch='b'),
        head=dict(type='VisionTransformerClsHead', loss=dict(loss_weight=1.0)),
        init_cfg=[*_base_.model.architecture.init_cfg, from_zero],
    ),
    distiller=dict(_delete_=True, **_base_.patch_distiller),
)
