# Another student: a plain ViT-B/16, which has no distillation token and so no DeiT term.
_base_ = './cskd_deit-b_regnety.py'

model = dict(
    architecture=dict(
        backbone=dict(type='VisionTransformer', arch='b'),
        head=dict(type='CSKDViTHead', loss=dict(loss_weight=1.0)),
    ),
    distiller=dict(_delete_=True, **_base_.patch_distiller),
)
