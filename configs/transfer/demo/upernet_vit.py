# UPerNet on the demo's ViT, from scratch.
_base_ = './seg_digits.py'

model = dict(
    _scope_='mmseg',
    type='EncoderDecoder',
    backbone=dict(
        type='mmpretrain.DistilledVisionTransformer',
        arch=_base_.vit.arch,
        img_size=64,
        patch_size=8,
        out_indices=(0, 1, 2, 3),
        out_type='featmap',
    ),
    neck=dict(type='MultiLevelNeck', in_channels=[96] * 4, out_channels=32, scales=[2, 1, 1, 0.5]),
    decode_head=dict(
        type='UPerHead',
        in_channels=[32] * 4,
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2),
        channels=32,
        num_classes=11,
        norm_cfg=dict(type='BN'),
        loss_decode=_base_.loss_decode,
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
