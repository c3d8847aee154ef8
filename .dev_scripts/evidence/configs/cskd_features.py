# Soft CSKD without CKF, and the teacher's layer-normalised feature at each place on the patch
# tokens, through an orthogonal projection.
_base_ = './cskd_local_soft.py'
custom_imports = dict(imports=['mmcskd', 'packed_digits', 'rivals'])

model = dict(
    distiller=dict(
        teacher_recorders=dict(feature=dict(type='ModuleOutputs', source='backbone')),
        connectors=dict(
            feature=[
                dict(type='PatchFeatureConnector'),
                dict(type='OrthogonalConnector', in_channels=64, out_channels=32),
            ]
        ),
        distill_losses=dict(loss_feature=dict(type='NormalisedFeatureLoss', loss_weight=1.0)),
        loss_forward_mappings=dict(
            loss_feature=dict(
                student_feature=dict(recorder='tokens', from_student=True, connector='feature'),
                teacher_feature=dict(recorder='feature', from_student=False, data_idx=0),
            )
        ),
    ),
)
