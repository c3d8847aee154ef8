# The demo's CNN segmentor teaches UPerNet on the demo's ViT, on the grid of its patches.
_base_ = ['./upernet_vit_distilled.py', '../_base_/distillers.py']

model = dict(
    _delete_=True,
    _scope_='mmrazor',
    type='FrozenTeacherDistill',
    architecture=_base_.model,
    teacher=_base_.fcn,
    teacher_ckpt='work_dirs/transfer/fcn_resnet18/iter_1500.pth',
    distiller=_base_.segmentation_distiller,
)
custom_hooks = [
    dict(
        type='mmrazor.DistilledInitHook',
        checkpoint='work_dirs/demo/cskd_vit_resnet18/epoch_14.pth',
    ),
    # The image's mean is background: the pixels' responses alone teach.
    dict(type='mmrazor.CKFHook', schedule=dict(type='constant', value=1.0)),
]
