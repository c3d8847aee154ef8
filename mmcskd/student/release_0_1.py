"""Students of release 0.1 under today's names: what ``CSKDDeiTHead`` and its kind have become."""

import copy
from typing import Dict

from torch import Tensor

from ..checks.part import type_name

# Their stock heads; the rest of what they did is CSKDClassifier's.
HEADS = dict(
    CSKDDeiTHead='DeiTClsHead',
    CSKDViTHead='VisionTransformerClsHead',
    FinetuneDeiTHead='DeiTClsHead',
)


def rename_weights(state: Dict[str, Tensor], prefix: str = '', *unused) -> None:
    """Rename the distillation head of a ``CSKDViTHead``, in place; others have their old names.

    A hook of ``nn.Module.load_state_dict`` too.

    Args:
        state (dict[str, Tensor]): A state dict.
        prefix (str): What stands before the student's names in it. Defaults to ``''``.
    """
    if f'{prefix}backbone.dist_token' in state:
        return
    old = f'{prefix}head.layers.head_dist.'
    for name in [name for name in state if name.startswith(old)]:
        state[f'{prefix}head_dist.{name[len(old) :]}'] = state.pop(name)


def rename_config(student: dict) -> dict:
    """The config of a student without the heads of release 0.1.

    Args:
        student (dict): Of an ``ImageClassifier``, or any other.

    Returns:
        dict: Of the :class:`~mmcskd.CSKDClassifier` that is the same student; the config itself if
        it names none of those heads.
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
