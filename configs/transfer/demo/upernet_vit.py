# UPerNet on the demo's ViT, from scratch.
_base_ = './seg_digits.py'

# All levels are the last layer's, in its full width: with 32 or 48 channels of several layers the
# head did not learn to separate digits within the demo's schedule.
model = dict(
    backbone=_base_.vit,
    neck=dict(type='MultiLevelNeck', in_channels=[96], out_channels=96, scales=[1, 1]),
    decode_head=dict(
        type='UPerHead',
        in_channels=[96, 96],
        in_index=[0, 1],
        pool_scales=(1,),
        channels=96,
        dropout_ratio=0.0,
        norm_cfg=dict(type='BN'),
        **_base_.head,
    ),
    **_base_.segmentor,
)
