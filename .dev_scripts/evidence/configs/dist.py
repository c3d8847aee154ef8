# DIST by MMRazor's stock loss, on the class token.
_base_ = './kl.py'

model = dict(
    distiller=dict(
        distill_losses=dict(loss_kd=dict(_delete_=True, type='DISTLoss', tau=1.0, loss_weight=1.0)),
        loss_forward_mappings=dict(
            loss_kd=dict(
                _delete_=True,
                logits_S=dict(recorder='logits', from_student=True),
                logits_T=dict(recorder='logits', from_student=False),
            )
        ),
    ),
)
