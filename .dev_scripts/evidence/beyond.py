"""What the method could do besides, to be measured against it."""

from typing import Callable, List, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from mmengine.hooks.hook import DATA_BATCH
from mmpretrain.registry import MODELS as CLASSIFIERS
from mmrazor.registry import HOOKS, MODELS
from torch import Tensor, nn

from mmcskd import CKFHook, CSKDLoss
from mmcskd.method import agreement, fuse


@HOOKS.register_module()
class AgreementCKFHook(CKFHook):
    """Let the fusion weight follow the student's agreement with the teacher instead of time.

    λ = 1 − (a − 1/C) ÷ (1 − 1/C) within [0, 1], where a is the share of locations at which the
    student's class is the fused response's, as a moving average over the iterations, and 1/C what
    guessing would give.

    Args:
        num_classes (int): C.
        momentum (float): Of the newest iteration in the average. Defaults to 0.01.
    """

    def __init__(self, num_classes: int, momentum: float = 0.01) -> None:
        self.chance = self.agreement = 1 / num_classes
        self.momentum = momentum
        super().__init__(schedule=self.weight)

    def weight(self, progress: float) -> float:
        """The fusion weight, whatever the progress."""
        return min(max(1 - (self.agreement - self.chance) / (1 - self.chance), 0.0), 1.0)

    def after_train_iter(
        self, runner, batch_idx: int, data_batch: DATA_BATCH = None, outputs: dict = None
    ) -> None:
        """Take the iteration's agreement into the average."""
        (loss,) = self.losses
        self.agreement += self.momentum * (float(loss.agreement) - self.agreement)


class GivenClasses(CSKDLoss):
    """A hard loss on the teacher's grid, with targets of its own."""

    def forward(
        self,
        student_response: Union[Tensor, Callable],
        spatial_response: Tensor,
        global_response: Tensor,
    ) -> Tensor:
        """As of ``CSKDLoss``."""
        if callable(student_response):
            student_response = student_response(tuple(spatial_response.shape[-2:]))
        loss, classes = self.compare(student_response, spatial_response, global_response)
        self.agreement = agreement(student_response, classes)
        return self.loss_weight * loss


@MODELS.register_module()
class ConfidenceCSKDLoss(GivenClasses):
    """The hard loss with each location weighted by the teacher's confidence.

    That is the probability of the fused response's class, divided by its mean over the batch.

    Args:
        **kwargs: Of ``CSKDLoss``.
    """

    def compare(self, student: Tensor, spatial: Tensor, whole: Tensor) -> Tuple[Tensor, Tensor]:
        """The loss, and the classes (N, H, W)."""
        confidence, classes = fuse(spatial, whole, self.fusion_weight).softmax(dim=1).max(dim=1)
        losses = F.cross_entropy(student.float(), classes, reduction='none')
        return (losses * confidence / confidence.mean()).mean(), classes


@MODELS.register_module()
class MixtureCSKDLoss(GivenClasses):
    """The classes of all fusion weights at once, each with its share of [0, 1], at all times.

    What linear CKF teaches one after the other: each location has as few classes as its upper
    envelope has pieces, and the target is their mixture. No hook moves anything.

    Args:
        steps (int): Fusion weights at which the shares are taken. Defaults to 16.
        **kwargs: Of ``CSKDLoss``.
    """

    def __init__(self, steps: int = 16, **kwargs) -> None:
        super().__init__(fusion_weight=1.0, **kwargs)
        self.weights = [(step + 0.5) / steps for step in range(steps)]

    def compare(self, student: Tensor, spatial: Tensor, whole: Tensor) -> Tuple[Tensor, Tensor]:
        """The loss, and the classes with the largest shares (N, H, W)."""
        shares = torch.zeros_like(spatial)
        for weight in self.weights:
            classes = fuse(spatial, whole, weight).argmax(dim=1, keepdim=True)
            shares.scatter_(1, classes, 1 / len(self.weights), reduce='add')
        return F.cross_entropy(student.float(), shares), shares.argmax(dim=1)


@CLASSIFIERS.register_module()
class SideBySide(nn.Module):
    """Several backbones as one, whose map has the channels of all, one after the other.

    With a linear head whose weights are those of the teachers, side by side and divided by their
    number, its response at each location is the mean of the teachers' responses.

    Args:
        parts (Sequence[dict]): Configs of the backbones.
    """

    def __init__(self, parts: Sequence[dict]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(CLASSIFIERS.build(part) for part in parts)

    def forward(self, images: Tensor) -> tuple:
        """The last maps of images (N, 3, H, W), as one (N, D₁ + D₂ + …, h, w)."""
        return (torch.cat([part(images)[-1] for part in self.parts], dim=1),)


def side_by_side(states: List[dict]) -> dict:
    """The state dict of a classifier with ``SideBySide`` from those of its parts."""
    joined = {
        f'backbone.parts.{index}.{name.removeprefix("backbone.")}': value
        for index, state in enumerate(states)
        for name, value in state.items()
        if name.startswith('backbone.')
    }
    weights = torch.cat([state['head.fc.weight'] for state in states], dim=1)
    joined['head.fc.weight'] = weights / len(states)
    joined['head.fc.bias'] = torch.stack([state['head.fc.bias'] for state in states]).mean(0)
    return joined
