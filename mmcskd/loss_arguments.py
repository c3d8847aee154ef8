"""Checks that the distillation losses share."""

from torch import Tensor


def check_loss_arguments(name: str, mode: str, temperature: float, loss_weight: float) -> None:
    """Refuse arguments that no loss of this package takes.

    Args:
        name (str): The loss's class name, for the message.
        mode (str): ``'hard'`` or ``'soft'``.
        temperature (float): > 0.
        loss_weight (float): >= 0.

    Raises:
        ValueError: Naming the argument, its value and what is expected.
    """
    if mode not in ('hard', 'soft'):
        raise ValueError(f'{name}.mode is {mode!r}, expected "hard" or "soft".')
    for key, value, least in (
        ('temperature', temperature, '> 0'),
        ('loss_weight', loss_weight, '>= 0'),
    ):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 0 <= value < float('inf') or (least == '> 0' and value == 0):
            raise ValueError(f'{name}.{key} is {value!r}, expected a number {least}.')


def check_classes(name: str, student: Tensor, teacher: Tensor) -> None:
    """Refuse responses over different classes.

    Args:
        name (str): The loss's class name, for the message.
        student (Tensor): (N, C, …).
        teacher (Tensor): (N, C', …).

    Raises:
        ValueError: If C differs from C'.
    """
    if student.shape[1] != teacher.shape[1]:
        raise ValueError(
            f'{name}: the student has {student.shape[1]} classes and the teacher '
            f'{teacher.shape[1]}: set model.architecture.head.num_classes and '
            'model.teacher.head.num_classes to the same number.'
        )
