# Mask R-CNN on a distilled DeiT-S: MMDetection's 1x schedule with ViTDet's backbone and pyramid.
_base_ = ['mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py', '../_base_/deit-s_detector.py']

model = dict(
    _scope_='mmdet',
    backbone=dict(_delete_=True, **_base_.backbone),
    neck=dict(_delete_=True, **_base_.neck),
)
optim_wrapper = dict(_delete_=True, **_base_.layer_decay)
