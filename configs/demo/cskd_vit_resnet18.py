# The demo's student taught by CSKD: CSKD in small.
_base_ = ['./none_vit.py', '../_base_/distillers.py']

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
            img_size=40,
            patch_size=8,
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
    teacher=_base_.resnet18,
    teacher_ckpt='work_dirs/demo/teacher_resnet18/epoch_6.pth',
    distiller=_base_.cskd_distiller,
)
custom_hooks = [dict(type='mmrazor.CKFHook', schedule='linear')]
