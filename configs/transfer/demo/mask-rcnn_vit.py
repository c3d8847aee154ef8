# Mask R-CNN on the demo's ViT, from scratch.
_base_ = ['mmdet::_base_/models/mask-rcnn_r50_fpn.py', './rcnn_digits.py']

model = dict(
    _scope_='mmdet',
    data_preprocessor=dict(_delete_=True, pad_mask=True, **_base_.data_preprocessor),
    backbone=dict(_delete_=True, **_base_.vit),
    neck=dict(
        _delete_=True,
        type='mmrazor.SimpleFeaturePyramid',
        in_channels=96,
        out_channels=32,
        scales=(2, 1, 0.5),
    ),
    rpn_head=_base_.rpn_head,
    roi_head=dict(
        mask_roi_extractor=dict(out_channels=32, featmap_strides=_base_.strides),
        mask_head=dict(num_convs=1, in_channels=32, conv_out_channels=32, num_classes=10),
        **_base_.bbox_head,
    ),
    train_cfg=_base_.train_settings,
    test_cfg=_base_.test_settings,
)
val_evaluator = dict(metric=['bbox', 'segm'])
test_evaluator = val_evaluator
