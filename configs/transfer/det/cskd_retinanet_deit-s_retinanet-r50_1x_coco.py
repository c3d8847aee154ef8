# RetinaNet on ResNet-50 teaches RetinaNet on a distilled DeiT-S, at each anchor of each level.
_base_ = ['./retinanet_deit-s_1x_coco.py', '../_base_/distillers.py']

model = dict(
    _delete_=True,
    _scope_='mmrazor',
    type='FrozenTeacherDistill',
    architecture=_base_.model,
    teacher=dict(cfg_path='mmdet::retinanet/retinanet_r50_fpn_1x_coco.py', pretrained=False),
    teacher_ckpt='https://download.openmmlab.com/mmdetection/v2.0/retinanet/retinanet_r50_fpn_1x_coco/retinanet_r50_fpn_1x_coco_20200130-c2398f9e.pth',
    distiller=_base_.detection_distiller,
)
custom_hooks = [*_base_.custom_hooks, _base_.detection_fusion]
