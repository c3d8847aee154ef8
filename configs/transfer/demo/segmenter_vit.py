# Segmenter on the demo's ViT, from scratch.
_base_ = './seg_digits.py'

model = dict(
    backbone=_base_.vit,
    decode_head=dict(
        type='SegmenterMaskTransformerHead',
        in_channels=96,
        channels=96,
        num_layers=1,
        num_heads=3,
        embed_dims=96,
        dropout_ratio=0.0,
        **_base_.head,
    ),
    **_base_.segmentor,
)
