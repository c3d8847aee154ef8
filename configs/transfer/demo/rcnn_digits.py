# What the demo's two-stage detectors share: MMDetection's model, narrower, on strides 4, 8 and 16.
_base_ = './det_digits.py'

strides = [4, 8, 16]
rpn_head = dict(
    in_channels=32, feat_channels=32, anchor_generator=dict(scales=[3], strides=strides)
)
bbox_head = dict(
    bbox_roi_extractor=dict(out_channels=32, featmap_strides=strides),
    bbox_head=dict(in_channels=32, fc_out_channels=128, num_classes=10),
)
train_settings = dict(
    rpn_proposal=dict(nms_pre=100, max_per_img=50), rcnn=dict(sampler=dict(num=32))
)
test_settings = dict(rpn=dict(nms_pre=100, max_per_img=50), rcnn=dict(max_per_img=20))
# The teacher: the first three stages of a narrow ResNet-18.
backbone = dict(
    type='ResNet',
    num_stages=3,
    strides=(1, 2, 2),
    dilations=(1, 1, 1),
    out_indices=(0, 1, 2),
    norm_eval=False,
    **_base_.resnet18,
)
neck = dict(type='FPN', in_channels=[32, 64, 128], out_channels=32, num_outs=3)
