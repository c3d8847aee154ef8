"""The size of images is read as the transforms read it."""

import numpy as np
import pytest
from mmcv.transforms import Compose
from mmpretrain.registry import TRANSFORMS

from mmcskd.checks.pipeline import pipeline_size

EDGE = dict(type='ResizeEdge', scale=96)


@pytest.mark.parametrize(
    'steps, size',
    [
        ([EDGE, dict(type='CenterCrop', crop_size=48)], (48, 48)),
        ([EDGE, dict(type='CenterCrop', crop_size=(64, 48))], (48, 64)),
        ([dict(type='Resize', scale=(64, 48))], (48, 64)),
        ([dict(type='EfficientNetCenterCrop', crop_size=40)], (40, 40)),
        ([dict(type='Resize', scale=(90, 80)), dict(type='CenterCrop', crop_size=32)], (32, 32)),
        ([dict(type='mmpretrain.RandomCrop', crop_size=(48, 64))], (48, 64)),
        ([EDGE], None),
        ([], None),
    ],
)
def test_size(steps, size):
    assert pipeline_size(steps) == size
    if size is not None:
        pipeline = Compose([TRANSFORMS.build(step) for step in steps])
        image = np.zeros((120, 100, 3), np.uint8)
        assert pipeline(dict(img=image, img_shape=image.shape[:2]))['img'].shape[:2] == size
