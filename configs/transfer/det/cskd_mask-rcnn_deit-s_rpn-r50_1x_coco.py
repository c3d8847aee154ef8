# The RPN of a Faster R-CNN on ResNet-50 teaches that of Mask R-CNN on a distilled DeiT-S.
_base_ = ['./mask-rcnn_deit-s_1x_coco.py', '../_base_/distillers.py']

model = dict(
    _delete_=True,
    _scope_='mmrazor',
    type='FrozenTeacherDistill',
    architecture=_base_.model,
    # The first stage alone answers without proposals; its weights are those of the whole.
    teacher=dict(cfg_path='mmdet::rpn/rpn_r50_fpn_1x_coco.py', pretrained=False),
    teacher_ckpt='https://download.openmmlab.com/mmdetection/v2.0/faster_rcnn/faster_rcnn_r50_fpn_1x_coco/faster_rcnn_r50_fpn_1x_coco_20200130-047c8118.pth',
    distiller=_base_.detection_distiller,
)
custom_hooks = [
    dict(type='mmrazor.DistilledInitHook', checkpoint='work_dirs/deit-s_backbone.pth'),
    # A level's mean says "background" everywhere: it stays a minor part of the target.
    dict(type='mmrazor.CKFHook', schedule=dict(type='constant', value=0.9)),
]
