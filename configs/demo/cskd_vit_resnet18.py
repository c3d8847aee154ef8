# The demo's student taught by CSKD: CSKD in small.
_base_ = ['./none_vit.py', '../_base_/distillers.py']

model = dict(
    _delete_=True,
    _scope_='mmrazor',
    type='FrozenTeacherDistill',
    architecture=dict(
        _scope_='mmpretrain',
        type='CSKDClassifier',
        backbone={**_base_.model.backbone, 'type': 'DistilledVisionTransformer'},
        head={
            **_base_.model.head,
            'type': 'DeiTClsHead',
            'loss': {**_base_.model.head.loss, 'loss_weight': 0.5},
        },
    ),
    teacher=_base_.resnet18,
    teacher_ckpt='work_dirs/demo/teacher_resnet18/epoch_6.pth',
    distiller=_base_.cskd_distiller,
)
custom_hooks = [dict(type='mmrazor.CKFHook', schedule='linear')]
