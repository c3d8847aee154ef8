# CSKD: a RegNetY-16GF teaches DeiT-S. Published by the authors: 82.3 % top-1.
_base_ = './_base_/deit-s_300e.py'

model = dict(
    _delete_=True,
    _scope_='mmrazor',
    type='FrozenTeacherDistill',
    architecture=_base_.model,
    teacher=dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        backbone=dict(type='TIMMBackbone', model_name='regnety_160'),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=1000, in_channels=3024),
    ),
    teacher_ckpt='https://dl.fbaipublicfiles.com/deit/regnety_160-a5fe301d.pth',
    distiller=dict(
        type='ConfigurableDistiller',
        # Teacher: responses (N, C, H, W) and logits (N, C). Student: tokens (N, L, D).
        teacher_recorders=dict(response=dict(type='SpatialResponse')),
        student_recorders=dict(tokens=dict(type='PatchToken')),
        connectors=dict(
            dist=dict(type='DistTokenConnector'), patch=dict(type='PatchTokenConnector')
        ),
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
    ),
)
custom_hooks = [*_base_.custom_hooks, dict(type='mmrazor.CKFHook', schedule='linear')]
