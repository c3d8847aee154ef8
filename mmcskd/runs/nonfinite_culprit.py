"""Where a number that is none comes from: the batch, the student's weights or the teacher."""

from typing import Dict, Optional

import torch
from torch import Tensor, nn

from .student_fsdp_strategy import is_sharded


def labels(samples) -> Optional[list]:
    """Class indices, or scores where labels were mixed.

    Args:
        samples (list, optional): Of the batch.
    """
    found = []
    for sample in samples or []:
        label = sample.get('gt_score', sample.get('gt_label'))
        found.append(None if label is None else label.detach().cpu())
    return found


def culprit(model: nn.Module, inputs: Optional[Tensor]) -> str:
    """Where the first non-finite number comes from, as a sentence.

    Args:
        model (nn.Module): The algorithm.
        inputs (Tensor, optional): The batch, if it is still known.
    """
    if inputs is not None and not torch.isfinite(inputs).all():
        return 'the batch itself is not finite'
    bad = [name for name, value in weights(model).items() if not _finite(value)]
    if bad:
        return f'the student\'s weights are not finite, the first is "{bad[0]}"'
    teacher = getattr(model, 'teacher', None)
    if teacher is not None and inputs is not None:
        recorders = model.distiller.teacher_recorders
        with recorders, torch.no_grad():
            teacher(inputs, mode='tensor')
        records = teacher_records(model)
        for recorder in recorders.recorders.values():
            recorder.reset_data_buffer()
        for name, parts in records.items():
            if not all(map(_finite, parts)):
                return (
                    f'the teacher\'s responses (recorder "{name}") are not finite, check '
                    'model.teacher_ckpt and the precision it runs in'
                )
    return 'batch, teacher and weights are finite, so it arose in the student or the loss'


def weights(model: nn.Module) -> Dict[str, Tensor]:
    """The student's; of one in shards those of this process, as no other would help to gather.

    Args:
        model (nn.Module): The algorithm.
    """
    if not is_sharded(model):
        return model.state_dict()
    parts = (*model.named_parameters(), *model.named_buffers())
    return {name.replace('_fsdp_wrapped_module.', ''): value.detach() for name, value in parts}


def _finite(value: Tensor) -> bool:
    return bool(torch.isfinite(value).all())


def teacher_records(model: nn.Module) -> Dict[str, list]:
    """The tensors that each recorder of the teacher holds.

    Args:
        model (nn.Module): The algorithm, during its forward pass.
    """
    found = {}
    for name, recorder in model.distiller.teacher_recorders.recorders.items():
        parts = []
        for record in recorder.data_buffer:
            parts += [record] if isinstance(record, Tensor) else record
        found[name] = [part for part in parts if isinstance(part, Tensor)]
    return found
