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
custom_hooks = [
    dict(type='mmrazor.DistilledInitHook', checkpoint='work_dirs/deit-s_backbone.pth'),
    # A level's mean says "background" everywhere: it stays a minor part of the target.
    dict(type='mmrazor.CKFHook', schedule=dict(type='constant', value=0.9)),
]
