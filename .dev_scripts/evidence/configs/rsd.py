# RSD: the class token, through two layers, and the teacher's pooled feature are correlated feature
# by feature; the class token's logits learn the teacher's distribution.
_base_ = './kl.py'
custom_imports = dict(imports=['mmcskd', 'packed_digits', 'rivals'])

model = dict(
    distiller=dict(
        student_recorders=dict(tokens=dict(type='PatchToken')),
        teacher_recorders=dict(feature=dict(type='ModuleOutputs', source='backbone')),
        connectors=dict(
            feature=[
                dict(type='ClassTokenConnector'),
                dict(type='DecouplingConnector', in_channels=64, out_channels=32),
            ]
        ),
        distill_losses=dict(loss_rsd=dict(type='RSDLoss', loss_weight=1.0)),
        loss_forward_mappings=dict(
            loss_rsd=dict(
                student_feature=dict(recorder='tokens', from_student=True, connector='feature'),
                teacher_feature=dict(recorder='feature', from_student=False, data_idx=0),
            )
        ),
    ),
)
