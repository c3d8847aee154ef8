# The demo's student taught by CSKD: configs/cskd_deit-s_regnety.py in small.
_base_ = './none_vit.py'

model = dict(
    _delete_=True,
    _scope_='mmrazor',
    type='FrozenTeacherDistill',
    architecture=dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        backbone=dict(
            type='DistilledVisionTransformer',
            arch=_base_.model.backbone.arch,
            img_size=32,
            patch_size=4,
            out_type='raw',
        ),
        head=dict(
            type='CSKDDeiTHead',
            num_classes=10,
            in_channels=96,
            loss=dict(
                type='LabelSmoothLoss', label_smooth_val=0.1, mode='original', loss_weight=0.5
            ),
        ),
    ),
    teacher=dict(
        _scope_='mmpretrain',
        type='ImageClassifier',
        backbone=dict(
            type='ResNet_CIFAR', depth=18, stem_channels=16, base_channels=16, strides=(2, 2, 2, 1)
        ),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=10, in_channels=128),
    ),
    teacher_ckpt='work_dirs/demo/teacher_resnet18/epoch_15.pth',
    distiller=dict(
        type='ConfigurableDistiller',
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
custom_hooks = [dict(type='mmrazor.CKFHook', schedule='linear')]
