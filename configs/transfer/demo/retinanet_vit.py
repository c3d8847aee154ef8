# RetinaNet on the demo's ViT, from scratch.
_base_ = './retinanet_digits.py'

model = dict(
    backbone=_base_.vit,
    neck=dict(
        type='mmrazor.SimpleFeaturePyramid',
        in_channels=96,
        out_channels=_base_.neck_channels,
        scales=(1, 0.5),
    ),
    **_base_.retinanet,
)
