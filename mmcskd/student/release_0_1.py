"""Rename configs and weights of students of release 0.1, with ``CSKDDeiTHead`` and similar."""

import copy
from typing import Dict

from torch import Tensor

from ..checks.part import type_name

# The stock heads that replace them, in a CSKDClassifier.
HEADS = dict(
    CSKDDeiTHead='DeiTClsHead',
    CSKDViTHead='VisionTransformerClsHead',
    FinetuneDeiTHead='DeiTClsHead',
)


def rename_weights(state: Dict[str, Tensor], prefix: str = '', *unused) -> None:
    """Rename the distillation head of a ``CSKDViTHead``, in place; other weights keep their names.

    Also a hook of ``nn.Module.load_state_dict``.

    Args:
        state (dict[str, Tensor]): A state dict.
        prefix (str): Prefix of the student's names in it. Defaults to ``''``.
    """
    if f'{prefix}backbone.dist_token' in state:
        return
    old = f'{prefix}head.layers.head_dist.'
    for name in [name for name in state if name.startswith(old)]:
        state[f'{prefix}head_dist.{name[len(old) :]}'] = state.pop(name)


def rename_config(student: dict) -> dict:
    """Replace the heads of release 0.1 in the config of a student.

    Args:
        student (dict): The config of the student.

    Returns:
        dict: The config of the same student as a :class:`~mmcskd.CSKDClassifier`; the given one if
        it has none of those heads.
    """
    head, backbone = student.get('head'), student.get('backbone')
    if type_name(head) not in HEADS or not isinstance(head, dict) or not isinstance(backbone, dict):
        return student
    student = copy.deepcopy(student)
    student.update(type='CSKDClassifier', vote=student['head'].pop('vote', None))
    student['finetune'] = type_name(head) == 'FinetuneDeiTHead'
    student['head']['type'] = HEADS[type_name(head)]
    student['backbone'].pop('out_type', None)
    return student
