"""Teachers whose weights come with them, as timm's by ``pretrained=True``."""

from typing import Any

from ..checks.part import type_name

# Whole classifiers; a pretrained backbone alone has a random head.
WHOLE = ('TimmClassifier', 'HuggingFaceClassifier')


def brings_weights(teacher: Any) -> bool:
    """Whether a teacher is built with its weights.

    Args:
        teacher (dict): Its config, of ``type``.
    """
    return teacher.get('pretrained') is True and type_name(teacher) in WHOLE


def check_own_weights(teacher: Any) -> None:
    """Refuse a timm teacher whose head is random, and note the names of its classes.

    Args:
        teacher (nn.Module): A teacher of which :func:`brings_weights` holds.

    Raises:
        ValueError: If it was built for another number of classes than its weights are of.
    """
    cfg: Any = getattr(getattr(teacher, 'model', None), 'pretrained_cfg', None) or {}
    classes, trained = getattr(teacher.model, 'num_classes', None), cfg.get('num_classes')
    if None not in (classes, trained) and classes != trained:
        raise ValueError(
            f'model.teacher.num_classes is {classes}, but its pretrained weights are of {trained} '
            'classes, so its head would be random: fine-tune it, and set model.teacher_ckpt to '
            'its checkpoint.'
        )
    teacher._dataset_meta = dict(classes=cfg.get('label_names'))
