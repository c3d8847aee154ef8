# How the data flow: what is recorded, what connects it, what compares it.
# Recorded: the teacher's responses (N, C, H, W) and logits (N, C), the student's tokens (N, L, D).
recorders = dict(
    teacher_recorders=dict(response=dict(type='SpatialResponse')),
    student_recorders=dict(tokens=dict(type='PatchToken')),
)
to_deit = dict(
    student_logits=dict(recorder='tokens', from_student=True, connector='dist'),
    teacher_logits=dict(recorder='response', from_student=False, data_idx=1),
)
to_cskd = dict(
    student_response=dict(recorder='tokens', from_student=True, connector='patch'),
    spatial_response=dict(recorder='response', from_student=False, data_idx=0),
    global_response=dict(recorder='response', from_student=False, data_idx=1),
)

cskd_distiller = dict(
    type='ConfigurableDistiller',
    **recorders,
    connectors=dict(dist=dict(type='DistTokenConnector'), patch=dict(type='PatchTokenConnector')),
    distill_losses=dict(
        loss_cskd=dict(type='CSKDLoss', mode='hard', loss_weight=1.0),
        loss_deit=dict(type='DeiTLoss', mode='hard', loss_weight=0.5),
    ),
    # The backward pass goes in reverse. It needs the least memory if the patches come first in it.
    loss_forward_mappings=dict(loss_deit=to_deit, loss_cskd=to_cskd),
)
# Its parts alone: DeiT distillation, and CSKD for a student without a distillation token.
deit_distiller = dict(
    type='ConfigurableDistiller',
    **recorders,
    connectors=dict(dist=dict(type='DistTokenConnector')),
    distill_losses=dict(loss_deit=dict(type='DeiTLoss', mode='hard', loss_weight=0.5)),
    loss_forward_mappings=dict(loss_deit=to_deit),
)
patch_distiller = dict(
    type='ConfigurableDistiller',
    **recorders,
    connectors=dict(patch=dict(type='PatchTokenConnector')),
    distill_losses=dict(loss_cskd=dict(type='CSKDLoss', mode='hard', loss_weight=1.0)),
    loss_forward_mappings=dict(loss_cskd=to_cskd),
)
# CSKD+: distributions in place of classes, at each place and of the whole, on all tokens; no CKF.
whole = dict(type='DeiTLoss', mode='soft', reduction='batchmean', loss_weight=1.0)
cskd_plus_distiller = dict(
    type='ConfigurableDistiller',
    teacher_recorders=recorders['teacher_recorders'],
    student_recorders=dict(
        **recorders['student_recorders'],
        logits=dict(type='ModuleOutputs', source='head.layers.head'),
    ),
    connectors=cskd_distiller['connectors'],
    distill_losses=dict(
        loss_cskd=dict(type='CSKDLoss', mode='soft', temperature=3.0, fusion_weight=1.0),
        loss_deit=whole,
        loss_cls=whole,
    ),
    loss_forward_mappings=dict(
        loss_cls={**to_deit, 'student_logits': dict(recorder='logits', from_student=True)},
        loss_deit=to_deit,
        loss_cskd=to_cskd,
    ),
)
# CSKD with features: at each place the teacher's distribution, without CKF, and its last feature
# map, which the layer behind two thirds of the student's depth learns.
cskd_features_distiller = dict(
    type='ConfigurableDistiller',
    teacher_recorders=dict(response=dict(type='SpatialResponse', keep_map=True)),
    student_recorders=dict(
        **recorders['student_recorders'], hidden=dict(type='PatchToken', depth=2 / 3)
    ),
    connectors=dict(**cskd_distiller['connectors'], feature=dict(type='FeatureConnector')),
    distill_losses=dict(
        loss_cskd=dict(type='CSKDLoss', mode='soft', reduction='mean', fusion_weight=1.0),
        loss_deit=cskd_distiller['distill_losses']['loss_deit'],
        loss_feature=dict(type='FeatureLoss', loss_weight=30.0),
    ),
    loss_forward_mappings=dict(
        loss_feature=dict(
            student_feature=dict(recorder='hidden', from_student=True, connector='feature'),
            teacher_feature=dict(recorder='response', from_student=False, data_idx=2),
        ),
        loss_deit=to_deit,
        loss_cskd=to_cskd,
    ),
)
