# Segmenter on the demo's ViT, from scratch.
_base_ = './seg_digits.py'

model = dict(
    _scope_='mmseg',
    type='EncoderDecoder',
    backbone=_base_.vit,
    decode_head=dict(
        type='SegmenterMaskTransformerHead',
        in_channels=96,
        channels=96,
        num_classes=11,
        num_layers=1,
        num_heads=3,
        embed_dims=96,
        dropout_ratio=0.0,
        loss_decode=_base_.loss_decode,
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
