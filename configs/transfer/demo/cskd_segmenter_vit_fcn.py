# The demo's CNN segmentor teaches Segmenter on the demo's ViT, on the grid of its patches.
_base_ = ['./segmenter_vit_distilled.py', '../_base_/distillers.py']

model = dict(
    _delete_=True,
    _scope_='mmrazor',
    type='FrozenTeacherDistill',
    architecture=_base_.model,
    teacher=_base_.teacher,
    teacher_ckpt='work_dirs/transfer/fcn_resnet18/iter_600.pth',
    distiller=_base_.segmentation_distiller,
)
custom_hooks = [*_base_.custom_hooks, _base_.segmentation_fusion]
