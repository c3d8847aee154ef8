# Soft CSKD without CKF, a mean over places, and the teacher's last feature map, which the patch
# tokens of the second of three layers learn at their place.
_base_ = './cskd_local_soft.py'

model = dict(
    distiller=dict(
        student_recorders=dict(hidden=dict(type='PatchToken', depth=2 / 3)),
        teacher_recorders=dict(response=dict(keep_map=True)),
        connectors=dict(feature=dict(type='FeatureConnector')),
        distill_losses=dict(
            loss_cskd=dict(reduction='mean'),
            loss_feature=dict(type='FeatureLoss', loss_weight=30.0),
        ),
        loss_forward_mappings=dict(
            loss_feature=dict(
                student_feature=dict(recorder='hidden', from_student=True, connector='feature'),
                teacher_feature=dict(recorder='response', from_student=False, data_idx=2),
            )
        ),
    ),
)
