"""What a data preprocessor would say of the first batch, or of the first that it mixes."""

import math
from typing import Any, Optional, Sequence, Union

from mmengine.registry import DefaultScope
from mmpretrain.registry import BATCH_AUGMENTS
from mmrazor.registry import MODELS

from .part import check_options, check_part, check_value, type_name

# Whose annotations hold here.
PACKAGES = ('mmengine', 'mmpretrain', 'mmdet', 'mmseg')
# Where the model brings none of its own.
DENSE = ('mmdet', 'mmseg')
NUMBERS = Optional[Union[float, Sequence[float]]]


def check_preprocessor(part: Any, key: str) -> None:
    """Check the numbers of a data preprocessor, and the batch augmentations of MMPretrain's.

    Args:
        part (Any): Its config. Nothing else is checked.
        key (str): Its config key.

    Raises:
        TypeError: For a value of another type than it must be.
        ValueError: For another value than it takes.
    """
    if not isinstance(part, dict):
        return
    scope = DefaultScope.get_current_instance()
    if 'type' not in part and scope is not None and scope.scope_name in DENSE:
        raise ValueError(f'{key} lacks "type".')
    part = {'type': 'mmpretrain.ClsDataPreprocessor', **part}
    check_part(part, MODELS, key, annotated=PACKAGES)
    check_value(part.get('seg_pad_val', 255), int, f'{key}.seg_pad_val')
    mean, std = (_numbers(part, name, key) for name in ('mean', 'std'))
    if (mean is None) != (std is None):
        raise ValueError(f'{key} has one of mean and std: give both, or none.')
    if mean is not None and std is not None:
        if len(std) not in (1, len(mean)):
            raise ValueError(f'{key}.std is {std!r}, expected one number, or as many as mean.')
        if min(std) <= 0:
            raise ValueError(f'{key}.std is {std!r}, expected numbers > 0.')
    check_value(part.get('pad_size_divisor', 1), int, f'{key}.pad_size_divisor')
    if type_name(part) == 'ClsDataPreprocessor':
        check_value(part.get('num_classes'), Optional[int], f'{key}.num_classes')
        check_augments(part.get('batch_augments'), f'{key}.batch_augments')


def _numbers(part: dict, name: str, key: str) -> Optional[Sequence[float]]:
    value = part.get(name)
    check_value(value, NUMBERS, f'{key}.{name}')
    if value is None:
        return None
    numbers: Sequence[float] = value if isinstance(value, (list, tuple)) else [value]
    if not numbers:
        raise ValueError(f'{key}.{name} is {value!r}, expected one number for each channel.')
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f'{key}.{name} is {value!r}, expected finite numbers.')
    return numbers


def check_augments(part: Any, key: str) -> None:
    """Check batch augmentations.

    Args:
        part (Any): ``dict(augments=…, probs=…)`` or None.
        key (str): Its config key.

    Raises:
        TypeError: For a value of another type than it must be.
        ValueError: For another value than it takes.
    """
    check_value(part, Optional[dict], key)
    if part is None:
        return
    check_options(part, dict(augments=Any, probs=Optional[Union[float, Sequence[float]]]), key)
    augments = part.get('augments') or ()
    listed = augments if isinstance(augments, (list, tuple)) else [augments]
    if not listed:
        raise ValueError(f'{key}.augments is empty or missing, expected at least one.')
    for index, each in enumerate(listed):
        place = f'{key}.augments' + (f'.{index}' if listed is augments else '')
        if not isinstance(each, dict) and callable(each):
            continue
        check_part(each, BATCH_AUGMENTS, place, annotated=('mmpretrain',))
        alpha = each.get('alpha')
        if not isinstance(alpha, float) or not 0 < alpha < 1e9:
            raise ValueError(f'{place}.alpha is {alpha!r}, expected a number > 0 with a point.')
    probs = part.get('probs')
    # MMPretrain adds the rest to the list.
    shares = [probs] if isinstance(probs, float) else probs
    known = isinstance(shares, list) and len(shares) == len(listed)
    if probs is not None and not (known and min(shares) >= 0 and sum(shares) <= 1):
        raise ValueError(
            f'{key}.probs is {probs!r}, expected a list with a share of 0 to 1 for each of '
            'augments, together at most 1.'
        )
