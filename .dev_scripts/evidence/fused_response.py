"""How often the teacher's fused response names what is at the place."""

import time
from pathlib import Path
from typing import Dict, List

import numpy as np
import torch
import torch.nn.functional as F
import training
from arms import FUSED, SETTINGS, Run
from head_accuracy import canvases
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from mmrazor.models.task_modules.recorder import RecorderManager
from torch import Tensor, nn

from mmcskd.method import fuse

WEIGHTS = (1.0, 0.75, 0.5, 0.25, 0.0)
BATCH = 64  # what is put together comes from one batch, as in training


def measure_fusion(setting: str, work_dir: Path) -> List[Dict[str, object]]:
    """Measure on canvases of the test split, whole and all of them cut and mixed.

    What is at a place is the label of the canvas that its pixels come from; a place that has
    pixels of two counts by their shares.

    Returns:
        list[dict]: Rows of ``fused.csv``: percent of the places at which the class of the fused
        response is right, for each fusion weight.
    """
    start, run = time.process_time(), Run(setting, FUSED, 0)
    cfg = run.config(work_dir)
    teacher = training.teacher_of(cfg)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        preprocessor = MODELS.build(dict(cfg.data_preprocessor, type='ClsDataPreprocessor'))
    augment = preprocessor.batch_augments.augments[0]  # the other one is to leave a batch as it is
    recorders = attached(teacher, cfg.model.distiller.teacher_recorders.to_dict())
    length = SETTINGS[setting].test
    data = canvases(cfg.train_dataloader.dataset, 'test', length, preprocessor)
    rows, origin = [], training.origin_of(run, teacher, start)
    for mixed in (False, True):
        np.random.seed(0)
        torch.manual_seed(0)
        right = dict.fromkeys(WEIGHTS, 0.0)
        # Mixed in order, photographs would be mixed with those of their own class.
        order = torch.randperm(length).split(BATCH)
        for images, labels in ((data.images[part], data.labels[part]) for part in order):
            # A channel of labels goes with the pixels wherever these are put.
            channel = labels[:, None, None, None].expand(-1, 1, *images.shape[-2:])
            inputs = torch.cat([images, channel.to(images.dtype)], dim=1)
            if mixed:
                inputs, _ = augment.mix(inputs, F.one_hot(labels).float())
            for weight, count in right_places(teacher, recorders, inputs).items():
                right[weight] += count
        rows += [
            dict(
                setting=setting,
                mixed=int(mixed),
                fusion_weight=weight,
                accuracy=100 * count / length,
                **origin,
            )
            for weight, count in right.items()
        ]
    return rows


def attached(teacher: nn.Module, configs: Dict[str, dict]) -> RecorderManager:
    """Recorders on a teacher; the one that is read is called ``response``."""
    with DefaultScope.overwrite_default_scope('mmrazor'):
        recorders = RecorderManager(configs)
    recorders.initialize(teacher)
    return recorders


@torch.no_grad()
def right_places(
    teacher: nn.Module, recorders: RecorderManager, inputs: Tensor
) -> Dict[float, float]:
    """How many images are right, each by the share of its pixels that are.

    Args:
        teacher (nn.Module): In evaluation mode.
        recorders (RecorderManager): Of :func:`attached`.
        inputs (Tensor): (N, 4, height, width): images, and in the last channel each pixel's label.

    Returns:
        dict[float, float]: By fusion weight.
    """
    images, labels = inputs[:, :-1], inputs[:, -1]
    with recorders:
        teacher(images, mode='tensor')
    spatial, whole = recorders.get_recorder('response').get_record_data()
    found = {}
    for weight in WEIGHTS:
        classes = fuse(spatial, whole, weight).argmax(dim=1, keepdim=True)
        told = F.interpolate(classes.to(labels.dtype), labels.shape[-2:])[:, 0]
        found[weight] = (told == labels).float().mean(dim=(1, 2)).sum().item()
    return found
