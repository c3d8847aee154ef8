"""Whether a teacher can teach a student place by place, before either of them is trained."""

from typing import Any, Tuple

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmrazor.registry import MODELS

from .models_by_name import NamedModel

LARGEST = 1024  # pixels, up to which a size that serves is looked for


def check_pair(teacher: NamedModel, student: NamedModel, config: str) -> None:
    """Refuse a pair in which nothing can be learnt place by place.

    Both are built with random weights and run on a black image.

    Args:
        teacher (NamedModel): The teacher.
        student (NamedModel): The student.
        config (str): The config of the student's training, as Python source text.

    Raises:
        ValueError: If one of the two does not answer by places, or has a single place, with the
            option and a size that serves.
    """
    model = Config.fromstring(config, '.py').model
    model.update(teacher_ckpt=None, random_teacher=True, teacher_view=None, bank=None)
    try:
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            distiller = MODELS.build(model)
        _check_places(distiller, 'teacher', '--teacher-size', teacher)
        _check_places(distiller, 'student', '--size', student)
    except _SinglePlace:
        raise
    except Exception as error:  # models of other packages raise what they like
        raise ValueError(
            f'--teacher "{teacher.name}" cannot teach --student "{student.name}" place by place: '
            f'{error} (Those that can: mmcskd models.)'
        ) from error


class _SinglePlace(ValueError):
    pass


def _check_places(distiller: Any, role: str, option: str, model: NamedModel) -> None:
    size = model.size
    while _grid(distiller, role, size) == (1, 1) and size < LARGEST:
        size *= 2
    if size != model.size:
        raise _SinglePlace(
            f'{option}: {model.name} at {model.size} pixels has a grid of 1 × 1, one place, which '
            f'is the whole picture: give {option} {size} or more.'
        )


@torch.no_grad()
def _grid(distiller: Any, role: str, size: int) -> Tuple[int, ...]:
    """Height and width of the responses of the teacher, or of the patches of the student."""
    recorders = getattr(distiller.distiller, f'{role}_recorders')
    with recorders:
        getattr(distiller, role).eval()(torch.zeros(1, 3, size, size), mode='tensor')
    name = dict(teacher='response', student='tokens')[role]  # of configs/_base_/distillers.py
    record = recorders.recorders[name].data_buffer[-1]
    return tuple(record[0].shape[-2:]) if role == 'teacher' else tuple(record.grid)
