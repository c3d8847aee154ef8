# Feature mimicking: the second of three layers, through a 1×1 convolution, matches the teacher's
# last feature map in L2, on top of the labels. The distillation token is there, and untaught.
_base_ = './_base_/student.py'
custom_imports = dict(imports=['mmcskd', 'packed_digits', 'patch_map_connector'])

model = dict(
    architecture=dict(vote=['cls'], head=dict(loss=dict(loss_weight=1.0))),
    distiller=dict(
        _delete_=True,
        type='ConfigurableDistiller',
        student_recorders=dict(tokens=dict(type='ModuleOutputs', source='backbone.layers.1')),
        teacher_recorders=dict(feature=dict(type='ModuleOutputs', source='backbone')),
        connectors=dict(
            regressor=[
                dict(type='PatchMapConnector', num_extra_tokens=2),
                dict(type='ConvModuleConnector', in_channel=64, out_channel=32, act_cfg=None),
            ]
        ),
        distill_losses=dict(
            loss_feature=dict(type='L2Loss', normalize=False, div_element=True, loss_weight=1.0)
        ),
        loss_forward_mappings=dict(
            loss_feature=dict(
                s_feature=dict(recorder='tokens', from_student=True, connector='regressor'),
                t_feature=dict(recorder='feature', from_student=False, data_idx=0),
            )
        ),
    ),
)
