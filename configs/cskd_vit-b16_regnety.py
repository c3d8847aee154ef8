# Another student: a plain ViT-B/16, which has no distillation token and so no DeiT term.
_base_ = './cskd_deit-b_regnety.py'

model = dict(
    architecture=dict(
        backbone=dict(type='VisionTransformer', arch='b'),
        head=dict(type='CSKDViTHead', loss=dict(loss_weight=1.0)),
    ),
    distiller=dict(
        distill_losses=dict(_delete_=True, loss_cskd=dict(type='CSKDLoss')),
        loss_forward_mappings=dict(
            _delete_=True, loss_cskd=_base_.model.distiller.loss_forward_mappings.loss_cskd
        ),
    ),
)
