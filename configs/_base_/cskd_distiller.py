# How the data flow in CSKD: what is recorded, what connects it, what compares it.
cskd_distiller = dict(
    type='ConfigurableDistiller',
    # Teacher: responses (N, C, H, W) and logits (N, C). Student: tokens (N, L, D).
    teacher_recorders=dict(response=dict(type='SpatialResponse')),
    student_recorders=dict(tokens=dict(type='PatchToken')),
    connectors=dict(dist=dict(type='DistTokenConnector'), patch=dict(type='PatchTokenConnector')),
    distill_losses=dict(
        loss_deit=dict(type='DeiTLoss', mode='hard', loss_weight=0.5),
        loss_cskd=dict(type='CSKDLoss', mode='hard', loss_weight=1.0),
    ),
    loss_forward_mappings=dict(
        loss_deit=dict(
            student_logits=dict(recorder='tokens', from_student=True, connector='dist'),
            teacher_logits=dict(recorder='response', from_student=False, data_idx=1),
        ),
        loss_cskd=dict(
            student_response=dict(recorder='tokens', from_student=True, connector='patch'),
            spatial_response=dict(recorder='response', from_student=False, data_idx=0),
            global_response=dict(recorder='response', from_student=False, data_idx=1),
        ),
    ),
)
