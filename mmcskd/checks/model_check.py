"""Checks of student and teacher: classes, channels, batch augmentations, what to compile."""

from inspect import signature
from typing import Any, Dict, Optional, Union

import torch
from torch import nn

from .part import check_keys
from .suggest import nearest

PARTS = ('teacher', 'student')


def check_classes(student: nn.Module, teacher: nn.Module) -> None:
    """Check that student and teacher have the same number of classes, where both state it.

    Args:
        student (nn.Module): The student.
        teacher (nn.Module): The teacher.

    Raises:
        ValueError: If they differ.
    """
    taught, teaches = _num_classes(student), _num_classes(teacher)
    if None not in (taught, teaches) and taught != teaches:
        raise ValueError(
            f'The student has {taught} classes and the teacher {teaches}: set '
            'model.architecture.head.num_classes and model.teacher.head.num_classes to the same '
            'number.'
        )


def check_channels(preprocessor: nn.Module, models: Dict[str, nn.Module]) -> None:
    """Check that models take images of as many channels as the mean has numbers.

    Args:
        preprocessor (nn.Module): The data preprocessor; the images have as many channels as its
            ``mean`` has numbers, where these are more than one.
        models (dict[str, nn.Module]): Config key → model.

    Raises:
        ValueError: If a model takes another number.
    """
    channels = len(getattr(preprocessor, 'mean', ()))
    for key, model in models.items() if channels > 1 else ():
        taken = model_channels(model)
        if taken not in (None, channels):
            raise ValueError(
                f'data_preprocessor.mean has {channels} numbers, one a channel, but {key} takes '
                f'images of {taken}: set {key}.backbone.in_channels.'
            )


def model_channels(model: nn.Module) -> Optional[int]:
    """The channels of the images that a model takes, by its first convolution.

    Args:
        model (nn.Module): The model.

    Returns:
        int | None: None if it is not known, as of a model that first makes channels of pixels.
    """
    first = next((part for part in model.modules() if isinstance(part, nn.Conv2d)), None)
    # 2 × 2 pixels of three channels are twelve.
    return first.in_channels if first is not None and first.in_channels < 12 else None


def check_augments(architecture: Any, preprocessor: Any) -> None:
    """Refuse batch augmentations that nothing would do.

    A classifier hands those of its ``train_cfg`` to its own data preprocessor, which the algorithm
    does not use if it has one.

    Args:
        architecture (Any): The student, as a config or built.
        preprocessor (Any): The algorithm's data preprocessor, or None.

    Raises:
        ValueError: If the config has both.
    """
    if preprocessor is None or not isinstance(architecture, dict):
        return
    if (architecture.get('train_cfg') or {}).get('augments'):
        raise ValueError(
            'model.architecture.train_cfg.augments would not be used, as the data_preprocessor of '
            'the algorithm sees the batches: set data_preprocessor.batch_augments, as '
            'dict(augments=[dict(type="Mixup", alpha=0.8)]), and leave them out here.'
        )


def _num_classes(model: nn.Module) -> Optional[int]:
    for part in (getattr(model, 'head', None), getattr(model, 'model', None)):
        classes = getattr(part, 'num_classes', None)
        if isinstance(classes, int):
            return classes
    return None


def check_compile(wanted: Dict[str, Union[bool, dict]]) -> None:
    """Check the keys and values of ``model.compile``.

    Args:
        wanted (dict): For ``'teacher'`` and ``'student'`` a bool or arguments of ``torch.compile``.

    Raises:
        ValueError: For another key or value, or a release of torch that cannot compile in place.
    """
    for name, options in wanted.items():
        if name not in PARTS:
            raise ValueError(f'model.compile has no key "{name}". ' + nearest(name, PARTS))
        if not isinstance(options, (bool, dict)):
            raise ValueError(
                f'model.compile.{name} is {options!r}, expected True, False or the arguments of '
                'torch.compile.'
            )
        if isinstance(options, dict):
            check_keys(options, signature(torch.compile).parameters, f'model.compile.{name}')
        if options is not False and not hasattr(nn.Module, 'compile'):
            raise ValueError(
                f'model.compile.{name} needs torch >= 2.2 but runs on {torch.__version__}: leave '
                'it out.'
            )
