# RetinaNet on a distilled DeiT-S: MMDetection's 1x schedule with ViTDet's backbone and pyramid.
_base_ = ['mmdet::retinanet/retinanet_r50_fpn_1x_coco.py', '../_base_/deit-s_detector.py']

model = dict(
    _scope_='mmdet',
    backbone=dict(_delete_=True, **_base_.backbone),
    # Strides 8, 16 and 32; then 64 and 128.
    neck=dict(_delete_=True, scales=(2, 1, 0.5), **_base_.neck),
)
optim_wrapper = dict(_delete_=True, **_base_.layer_decay)
