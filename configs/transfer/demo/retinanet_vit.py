# RetinaNet on the demo's ViT, from scratch.
_base_ = './det_digits.py'

model = dict(
    _scope_='mmdet',
    type='RetinaNet',
    backbone=_base_.vit,
    neck=dict(
        type='mmrazor.SimpleFeaturePyramid', in_channels=96, out_channels=48, scales=(1, 0.5)
    ),
    bbox_head=_base_.retina_head,
    train_cfg=_base_.retina_train_cfg,
    test_cfg=_base_.retina_test_cfg,
)
