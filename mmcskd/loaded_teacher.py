"""A teacher and its weights."""

from typing import Optional, Tuple, Union

from mmengine.model import BaseModel
from mmrazor.registry import MODELS

from .runs.keyed_views import drawing_aside
from .runs.weights import load_weights
from .student.stock_model import named_model
from .teacher.own_weights import brings_weights, check_own_weights


def build_teacher(
    teacher: Union[BaseModel, dict],
    teacher_ckpt: Optional[str] = None,
    random_teacher: bool = False,
) -> Tuple[BaseModel, str]:
    """Build a teacher, with its weights completely or not at all.

    It draws no random number that others would draw, so that a student starts from the same weights
    with any teacher and with a bank.

    Args:
        teacher (dict | BaseModel): ``model.teacher``; a built one is not drawn again.
        teacher_ckpt (str, optional): File or URL of its weights. Defaults to None.
        random_teacher (bool): Accept a config without weights. Defaults to False.

    Returns:
        tuple[BaseModel, str]: The teacher, in evaluation mode, and where its weights are from, in
        words.

    Raises:
        ValueError: If it has no or unreadable weights.
    """
    origin = teacher_ckpt or 'the caller'
    if isinstance(teacher, dict):
        teacher = named_model(teacher, 'model.teacher')
        own_weights = teacher_ckpt is None and brings_weights(teacher)
        if teacher_ckpt is None:
            origin = 'its library' if own_weights else 'random numbers'
            if not own_weights and not random_teacher:
                raise ValueError(
                    'The teacher has no weights and would teach noise: set model.teacher_ckpt to a '
                    'checkpoint file or URL, or model.random_teacher=True if noise is what you '
                    'want.'
                )
        with drawing_aside():
            teacher = MODELS.build(teacher)
        if own_weights:
            check_own_weights(teacher)
    if teacher_ckpt is not None:
        load_weights(teacher, teacher_ckpt)
    return teacher.eval(), origin
