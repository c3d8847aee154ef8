# The RPN of a Faster R-CNN on ResNet-50 teaches that of Mask R-CNN on a distilled DeiT-S.
_base_ = ['./mask-rcnn_deit-s_1x_coco.py', '../_base_/distillers.py']

model = dict(
    _delete_=True,
    _scope_='mmrazor',
    type='FrozenTeacherDistill',
    architecture=_base_.model,
    # The first stage alone gives responses without proposals; it loads the weights of the whole.
    teacher=dict(cfg_path='mmdet::rpn/rpn_r50_fpn_1x_coco.py', pretrained=False),
    teacher_ckpt='https://download.openmmlab.com/mmdetection/v2.0/faster_rcnn/faster_rcnn_r50_fpn_1x_coco/faster_rcnn_r50_fpn_1x_coco_20200130-047c8118.pth',
    distiller=_base_.rpn_distiller,
)
custom_hooks = [*_base_.custom_hooks, _base_.detection_fusion]
