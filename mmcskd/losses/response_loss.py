"""What the distillation losses share."""

from typing import Union

import torch.nn.functional as F
from torch import Tensor, nn

from .. import method
from ..method import at_least_float32
from .partial_target import PartialTarget


class ResponseLoss(nn.Module):
    """Compare class responses of student and teacher, by the teacher's class or its distribution.

    Args:
        mode (str): ``'hard'`` or ``'soft'``.
        temperature (float): T of the soft form, > 0.
        loss_weight (float): >= 0.

    Raises:
        ValueError: Naming the argument, its value and what is expected.
    """

    def __init__(self, mode: str, temperature: float, loss_weight: float) -> None:
        super().__init__()
        name = type(self).__name__
        if mode not in ('hard', 'soft'):
            raise ValueError(f'{name}.mode is {mode!r}, expected "hard" or "soft".')
        _check_number(f'{name}.temperature', temperature, above_zero=True)
        _check_number(f'{name}.loss_weight', loss_weight, above_zero=False)
        self.mode = mode
        self.temperature = temperature
        self.loss_weight = loss_weight

    def hard(self, student: Tensor, classes: Tensor) -> Tensor:
        """Mean cross entropy with the teacher's classes.

        Args:
            student (Tensor): (N, C, …).
            classes (Tensor): (N, …), int64.

        Returns:
            Tensor: A scalar, ``loss_weight`` applied.
        """
        return self.loss_weight * method.hard_loss(student, classes)

    def soft(self, student: Tensor, target: Union[Tensor, PartialTarget], divisor: int) -> Tensor:
        """KL divergence at temperature T, summed, × T² ÷ divisor.

        Args:
            student (Tensor): (N, C, …).
            target (Tensor | PartialTarget): (N, C, …), the teacher's logits, or what is known of
                them, N·… rows.
            divisor (int): What the sum is divided by.

        Returns:
            Tensor: A scalar, ``loss_weight`` applied.
        """
        scale = self.temperature
        if not isinstance(target, PartialTarget):
            summed = self.loss_weight * len(student) * method.soft_loss(student, target, scale)
            return summed / divisor
        log_probs = F.log_softmax(at_least_float32(student) / scale, dim=1)
        rows = log_probs.movedim(1, -1).flatten(0, -2)
        divergence = target.divergence(rows, scale).sum()
        return self.loss_weight * divergence * (scale**2 / divisor)

    def check_classes(self, student: Tensor, teacher: Tensor) -> None:
        """Refuse responses over different classes.

        Args:
            student (Tensor): (N, C, …).
            teacher (Tensor): (N, C', …).

        Raises:
            TypeError: If one of them is no tensor.
            ValueError: If C differs from C', or they lie on different devices.
        """
        for response in (student, teacher):
            if not isinstance(response, Tensor) or response.dim() < 2:
                raise TypeError(
                    f'{type(self).__name__} got {what_is(response)}, expected a tensor (N, C, …): check '
                    'connector and data_idx in distiller.loss_forward_mappings.'
                )
        if student.shape[1] != teacher.shape[1]:
            raise ValueError(
                f'{type(self).__name__}: the student has {student.shape[1]} classes and the '
                f'teacher {teacher.shape[1]}: set model.architecture.head.num_classes and '
                'model.teacher.head.num_classes to the same number.'
            )
        if student.device != teacher.device:
            raise ValueError(
                f'{type(self).__name__}: the student answers on {student.device} and the teacher on '
                f'{teacher.device}: let the algorithm move both, with model.teacher as a config or a '
                'module that is given to it.'
            )


def what_is(response) -> str:
    """A response in words, for messages."""
    if isinstance(response, Tensor):
        return f'a tensor {tuple(response.shape)}'
    return f'a {type(response).__name__}'


def _check_number(key: str, value: float, above_zero: bool) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value < float('inf') or (above_zero and value == 0):
        raise ValueError(f'{key} is {value!r}, expected a number {">" if above_zero else ">="} 0.')
