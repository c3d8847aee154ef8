# VkD: the mean patch token, projected orthogonally, matches the teacher's layer-normalised pooled
# feature; the distillation token learns the teacher's distribution.
_base_ = './deit_soft.py'
custom_imports = dict(imports=['mmcskd', 'packed_digits', 'rivals'])

model = dict(
    distiller=dict(
        teacher_recorders=dict(feature=dict(type='ModuleOutputs', source='backbone')),
        connectors=dict(
            feature=[
                dict(type='PatchFeatureConnector', grid=(1, 1)),
                dict(type='OrthogonalConnector', in_channels=64, out_channels=32),
            ]
        ),
        distill_losses=dict(
            # DeiT's soft loss is divided by the number of classes, VkD's is not.
            loss_deit=dict(loss_weight=10.0),
            loss_feature=dict(type='NormalisedFeatureLoss', loss_weight=1.0),
        ),
        loss_forward_mappings=dict(
            loss_feature=dict(
                student_feature=dict(recorder='tokens', from_student=True, connector='feature'),
                teacher_feature=dict(recorder='feature', from_student=False, data_idx=0),
            )
        ),
    ),
)
