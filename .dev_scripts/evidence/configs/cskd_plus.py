# The teacher's distributions everywhere: at each place on the patch tokens, whole on the
# distillation and the class token; and its features at each place, through a linear layer. No CKF.
_base_ = './cskd_everywhere.py'
custom_imports = dict(imports=['mmcskd', 'packed_digits', 'rivals'])

model = dict(
    distiller=dict(
        teacher_recorders=dict(feature=dict(type='ModuleOutputs', source='backbone')),
        connectors=dict(
            feature=[
                dict(type='PatchFeatureConnector'),
                dict(
                    type='TorchNNConnector',
                    module_name='Linear',
                    module_args=dict(in_features=64, out_features=32),
                ),
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
