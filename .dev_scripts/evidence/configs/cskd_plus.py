# The teacher's distributions everywhere and its features at each place, without CKF.
_base_ = './cskd_features.py'

model = dict(
    distiller=dict(
        student_recorders=dict(logits=dict(type='ModuleOutputs', source='head.layers.head')),
        distill_losses=dict(
            # DeiT's soft loss is divided by the number of classes, too.
            loss_deit=dict(mode='soft', loss_weight=10.0),
            loss_kd=dict(type='KLDivergence', loss_weight=1.0),
        ),
        loss_forward_mappings=dict(
            loss_kd=dict(
                preds_S=dict(recorder='logits', from_student=True),
                preds_T=dict(recorder='response', from_student=False, data_idx=1),
            )
        ),
    ),
)
