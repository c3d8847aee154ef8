# UPerNet on the demo's ViT, from scratch.
_base_ = './seg_digits.py'

model = dict(
    backbone=dict(out_indices=(0, 1, 2, 3), **_base_.vit),
    neck=dict(type='MultiLevelNeck', in_channels=[96] * 4, out_channels=32, scales=[2, 1, 1, 0.5]),
    decode_head=dict(
        type='UPerHead',
        in_channels=[32] * 4,
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2),
        channels=32,
        norm_cfg=dict(type='BN'),
        **_base_.head,
    ),
    **_base_.segmentor,
)
