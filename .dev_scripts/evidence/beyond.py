"""What the method could do besides, to be measured against it."""

from typing import List, Sequence

import torch
import torch.nn.functional as F
from mmengine.hooks.hook import DATA_BATCH
from mmpretrain.registry import MODELS as CLASSIFIERS
from mmrazor.registry import HOOKS, MODELS
from torch import Tensor, nn

from mmcskd import CKFHook, CSKDLoss
from mmcskd.fusion.ckf_hook import steered_losses
from mmcskd.method import fuse
from mmcskd.runs.wrapped_model import unwrapped


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
        """The fusion weight.

        Args:
            progress (float): Not used.
        """
        return min(max(1 - (self.agreement - self.chance) / (1 - self.chance), 0.0), 1.0)

    def after_train_iter(
        self, runner, batch_idx: int, data_batch: DATA_BATCH = None, outputs: dict = None
    ) -> None:
        """Take the iteration's agreement into the average.

        Args:
            runner (Runner): The runner of the training process.
            batch_idx (int): The index of the current batch in the train loop.
            data_batch (dict | tuple | list, optional): Data from the dataloader.
            outputs (dict, optional): Of the model.
        """
        (loss,) = steered_losses(unwrapped(runner))
        self.agreement += self.momentum * (float(loss.agreement) - self.agreement)


@MODELS.register_module()
class ConfidenceCSKDLoss(CSKDLoss):
    """The hard loss with each location weighted by the teacher's confidence.

    That is the probability of the fused response's class, divided by its mean over the batch.

    Args:
        **kwargs: Of ``CSKDLoss``.
    """

    def _fused_classes(self, spatial_response: Tensor, global_response: Tensor) -> Tensor:
        confidence, classes = (
            self._fuse(spatial_response, global_response).softmax(dim=1).max(dim=1)
        )
        self._confidence = confidence / confidence.mean()
        return classes

    def hard(self, student: Tensor, classes: Tensor) -> Tensor:
        """Weighted mean of the cross entropy.

        Args:
            student (Tensor): (N, C, H, W).
            classes (Tensor): (N, H, W).
        """
        losses = F.cross_entropy(student.float(), classes, reduction='none')
        return self.loss_weight * (losses * self._confidence).mean()


@MODELS.register_module()
class MixtureCSKDLoss(CSKDLoss):
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

    def _fused_classes(self, spatial_response: Tensor, global_response: Tensor) -> Tensor:
        share = 1 / len(self.weights)
        self._shares = torch.zeros_like(spatial_response)
        for weight in self.weights:
            classes = fuse(spatial_response, global_response, weight).argmax(dim=1, keepdim=True)
            self._shares.scatter_(1, classes, share, reduce='add')
        return self._shares.argmax(dim=1)

    def hard(self, student: Tensor, classes: Tensor) -> Tensor:
        """Cross entropy with the mixture.

        Args:
            student (Tensor): (N, C, H, W).
            classes (Tensor): Not used.
        """
        return self.loss_weight * F.cross_entropy(student.float(), self._shares)


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
        """The last maps, put together.

        Args:
            images (Tensor): (N, 3, H, W).

        Returns:
            tuple[Tensor]: One map (N, D₁ + D₂ + …, h, w).
        """
        return (torch.cat([part(images)[-1] for part in self.parts], dim=1),)


def side_by_side(states: List[dict]) -> dict:
    """The weights of a classifier with ``SideBySide`` from those of classifiers.

    Args:
        states (list[dict]): State dicts of classifiers with a ``LinearClsHead``.

    Returns:
        dict: A state dict.
    """
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
