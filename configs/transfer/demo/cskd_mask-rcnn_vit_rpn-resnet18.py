# The RPN of the demo's Faster R-CNN teaches that of Mask R-CNN on the demo's ViT.
_base_ = ['./mask-rcnn_vit_distilled.py', '../_base_/distillers.py']

model = dict(
    _delete_=True,
    _scope_='mmrazor',
    type='FrozenTeacherDistill',
    architecture=_base_.model,
    teacher=dict(
        _scope_='mmdet',
        type='RPN',
        backbone=_base_.backbone,
        neck=_base_.neck,
        rpn_head=_base_.model.rpn_head,
        train_cfg=dict(rpn=_base_.model.train_cfg.rpn),
        test_cfg=dict(rpn=_base_.model.test_cfg.rpn),
    ),
    teacher_ckpt='work_dirs/transfer/faster-rcnn_resnet18/iter_1000.pth',
    distiller=_base_.rpn_distiller,
)
custom_hooks = [*_base_.custom_hooks, _base_.detection_fusion]
