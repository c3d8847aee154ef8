# Mask R-CNN on the demo's ViT, from scratch: MMDetection's model, narrower.
_base_ = ['mmdet::_base_/models/mask-rcnn_r50_fpn.py', './det_digits.py']

model = dict(
    _scope_='mmdet',
    data_preprocessor=dict(mean=[32.0] * 3, std=[64.0] * 3, bgr_to_rgb=False),
    backbone=dict(
        _delete_=True,
        type='mmrazor.WindowedVisionTransformer',
        arch=_base_.vit.arch,
        img_size=64,
        patch_size=8,
        window_size=5,
        global_layers=(1, 3),
    ),
    neck=dict(
        _delete_=True,
        type='mmrazor.SimpleFeaturePyramid',
        in_channels=96,
        out_channels=32,
        num_outs=5,
    ),
    rpn_head=dict(
        in_channels=32,
        feat_channels=32,
        # Patches have 8 pixels here, so the levels' strides are half of the stock ones.
        anchor_generator=dict(strides=[2, 4, 8, 16, 32]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=32, featmap_strides=[2, 4, 8, 16]),
        bbox_head=dict(in_channels=32, fc_out_channels=128, num_classes=10),
        mask_roi_extractor=dict(out_channels=32, featmap_strides=[2, 4, 8, 16]),
        mask_head=dict(num_convs=1, in_channels=32, conv_out_channels=32, num_classes=10),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=200, max_per_img=100), rcnn=dict(sampler=dict(num=64))
    ),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=100), rcnn=dict(max_per_img=20)),
)
val_evaluator = dict(metric=['bbox', 'segm'])
test_evaluator = val_evaluator
