"""Small segmentors, detectors and batches that the suite shares."""

import copy

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmrazor.registry import MODELS
from tool_runs import ROOT

CONFIGS = ROOT / 'configs' / 'transfer'
DEMO = CONFIGS / 'demo'


def build(config):
    """A model with all its weights drawn."""
    model = MODELS.build(ConfigDict(copy.deepcopy(config)))
    model.init_weights()
    return model


def demo(name):
    """The config of a model of the demo."""
    return Config.fromfile(DEMO / f'{name}.py')


def algorithm(name, **parts):
    """A distillation of the demo with a teacher of random weights."""
    config = demo(name).model.to_dict()
    config.pop('teacher_ckpt')
    config.update(random_teacher=True, **parts)
    return config


def steer(model, weight):
    """Set λ, as the hook does."""
    for loss in model.distiller.distill_losses.values():
        loss.set_fusion_weight(weight)


def segmentation_batch(n=2, size=64):
    """Images and label maps with a strip of ignored pixels at the top."""
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    samples = []
    for index in range(n):
        labels = torch.full((1, size, size), index % 11)
        labels[:, :16] = 255
        sample = SegDataSample(gt_sem_seg=PixelData(data=labels))
        sample.set_metainfo(dict(img_shape=(size, size), ori_shape=(size, size)))
        samples.append(sample)
    return torch.randn(n, 3, size, size), samples


def detection_batch(n=2, size=64, masks=False):
    """Images of which the last is padded below and at the right, with a box and a crowd each."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    samples = []
    for index in range(n):
        side = size if index < n - 1 else size - 16
        sample = DetDataSample()
        sample.set_metainfo(
            dict(
                img_shape=(side, side), ori_shape=(side, side), pad_shape=(size, size),
                batch_input_shape=(size, size), scale_factor=(1.0, 1.0), img_id=index,
            )
        )  # fmt: skip
        found = dict(bboxes=torch.tensor([[4.0, 4, 24, 28]]), labels=torch.tensor([index]))
        if masks:
            inside = np.zeros((1, size, size), np.uint8)
            inside[:, 4:28, 4:24] = 1
            found['masks'] = BitmapMasks(inside, size, size)
        sample.gt_instances = InstanceData(**found)
        sample.ignored_instances = InstanceData(
            bboxes=torch.tensor([[32.0, 0, 48, 16]]), labels=torch.tensor([0])
        )
        samples.append(sample)
    return torch.randn(n, 3, size, size), samples
