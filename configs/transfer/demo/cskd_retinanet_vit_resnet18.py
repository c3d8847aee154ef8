# The demo's CNN detector teaches RetinaNet on the demo's ViT, at each anchor of each level.
_base_ = ['./retinanet_vit_distilled.py', '../_base_/distillers.py']

model = dict(
    _delete_=True,
    _scope_='mmrazor',
    type='FrozenTeacherDistill',
    architecture=_base_.model,
    teacher=_base_.retinanet,
    teacher_ckpt='work_dirs/transfer/retinanet_resnet18/iter_1500.pth',
    distiller=_base_.detection_distiller,
)
custom_hooks = [
    dict(
        type='mmrazor.DistilledInitHook',
        checkpoint='work_dirs/demo/cskd_vit_resnet18/epoch_14.pth',
    ),
    dict(type='mmrazor.CKFHook', schedule=dict(type='constant', value=0.9)),
]
