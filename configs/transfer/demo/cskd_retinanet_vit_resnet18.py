# The demo's CNN detector teaches RetinaNet on the demo's ViT, at each anchor of each level.
_base_ = ['./retinanet_vit_distilled.py', '../_base_/distillers.py']

model = dict(
    _delete_=True,
    _scope_='mmrazor',
    type='FrozenTeacherDistill',
    architecture=_base_.model,
    teacher=_base_.teacher,
    teacher_ckpt='work_dirs/transfer/retinanet_resnet18/iter_1000.pth',
    distiller=_base_.detection_distiller,
)
custom_hooks = [*_base_.custom_hooks, _base_.detection_fusion]
