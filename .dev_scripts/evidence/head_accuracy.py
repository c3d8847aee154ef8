"""Accuracies of a student head by head, and its agreement with the teacher."""

from typing import Dict, NamedTuple, Optional

import numpy as np
import torch
from mmengine.hooks import Hook
from mmpretrain.registry import DATASETS
from torch import Tensor, nn

HEADS = ('cls', 'dist', 'patch')
MEASURES = ('score', *HEADS, 'average', 'agreement')
BATCH = 250


class Canvases(NamedTuple):
    """A split, preprocessed as the student wants it."""

    images: Tensor
    """(n, 3, height, width)."""
    labels: Tensor
    """(n,), int64."""


def canvases(train_dataset: dict, split: str, length: int, preprocessor: nn.Module) -> Canvases:
    """So many canvases of another split, of the kind that is trained on."""
    dataset = DATASETS.build({**train_dataset, 'split': split, 'length': length, 'pipeline': ()})
    items = [dataset.get_data_info(index) for index in range(length)]
    images = [torch.from_numpy(np.atleast_3d(item['img'])).permute(2, 0, 1) for item in items]
    inputs = preprocessor(dict(inputs=images), training=False)['inputs']
    return Canvases(inputs, torch.tensor([int(item['gt_label']) for item in items]))


@torch.no_grad()
def classes_of(model: nn.Module, images: Tensor) -> Tensor:
    """The classes that a stock classifier gives, (n,)."""
    model.eval()
    return torch.cat([model(part, mode='tensor').argmax(1) for part in images.split(BATCH)])


@torch.no_grad()
def measure(student: nn.Module, data: Canvases, teacher_classes: Tensor) -> Dict[str, float]:
    """All that is measured of a ``CSKDClassifier`` of a distilled DeiT, in percent.

    Accuracies of the ``score`` at test time, of each head alone and of the ``average`` of all three
    heads, and the ``agreement``: how often the score has the teacher's class, (n,).
    """
    student.eval()
    parts = [_logits(student, images) for images in data.images.split(BATCH)]
    logits = {name: torch.cat([part[name] for part in parts]) for name in HEADS}
    classes = {name: found.argmax(1) for name, found in logits.items()}
    classes['score'] = sum(logits[name] for name in student.vote).argmax(1)
    classes['average'] = sum(logits.values()).argmax(1)
    percent = {
        name: 100 * (found == data.labels).float().mean().item() for name, found in classes.items()
    }
    percent['agreement'] = 100 * (classes['score'] == teacher_classes).float().mean().item()
    return {name: percent[name] for name in MEASURES}


def _logits(student: nn.Module, images: Tensor) -> Dict[str, Tensor]:
    """Of each head, from one forward pass."""
    student.token_source.start()
    student.extract_feat(images)
    extra, patches = student.token_source.stop().parts
    heads = student.head.layers
    return dict(
        cls=heads.head(extra[:, 0]),
        dist=heads.head_dist(extra[:, 1]),
        patch=heads.head_dist(patches.mean(dim=1)),
    )


class CurveHook(Hook):
    """Measure the student after the first and every ``interval`` epochs; stop after ``last``."""

    def __init__(
        self,
        student: nn.Module,
        data: Canvases,
        teacher_classes: Tensor,
        interval: int,
        last: Optional[int] = None,
    ) -> None:
        self.student = student
        self.data = data
        self.teacher_classes = teacher_classes
        self.interval = interval
        self.last = last
        self.points = {}

    def after_train_epoch(self, runner) -> None:
        """Measure, if it is time."""
        epoch = runner.epoch + 1
        if epoch in (1, runner.max_epochs) or epoch % self.interval == 0:
            self.points[epoch] = measure(self.student, self.data, self.teacher_classes)
        runner.train_loop.stop_training = epoch == self.last
