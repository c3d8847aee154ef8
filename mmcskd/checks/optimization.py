"""What the signatures of optimizers, their wrappers and schedules do not say."""

import inspect
import math
from typing import Any, Callable, Optional, Sequence

import torch
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmpretrain.engine import LearningRateDecayOptimWrapperConstructor

from .part import check_arguments, check_keys, check_options, check_value, registered
from .rules import MULTIPLES, check_numbers
from .suggest import nearest

SCHEDULE = dict(begin=int, end=int, by_epoch=bool, convert_to_iter_based=bool, verbose=bool)
# Of MMPretrain's constructor: all that it reads.
LAYER_DECAY = (
    ('norm_decay_mult', 'bias_decay_mult', 'flat_decay_mult', 'layer_decay_rate'),
    ('decay_mult',),
)
# Of weights by their names, what MMPretrain's LARS and SimSiamHook read.
OF_OTHERS = dict(lars_exclude=bool, fix_lr=bool)


def check_optim_wrapper(part: dict, kind: Callable, key: str) -> None:
    """A wrapper has an optimizer and clips by arguments that torch knows."""
    scale = part.get('loss_scale')
    if isinstance(scale, str) and scale != 'dynamic':
        raise ValueError(f'{key}.loss_scale is {scale!r}, expected "dynamic", a number or a dict.')
    constructor = part.get('constructor', 'DefaultOptimWrapperConstructor')
    check_value(constructor, str, f'{key}.constructor')
    build = registered(constructor, OPTIM_WRAPPER_CONSTRUCTORS, f'{key}.constructor')
    for name in ('paramwise_cfg', 'clip_grad'):
        check_value(part.get(name), Optional[dict], f'{key}.{name}')
    if constructor == 'DefaultOptimWrapperConstructor':
        check_paramwise(part.get('paramwise_cfg') or {}, f'{key}.paramwise_cfg')
    elif inspect.isclass(build) and issubclass(build, LearningRateDecayOptimWrapperConstructor):
        check_paramwise(part.get('paramwise_cfg') or {}, f'{key}.paramwise_cfg', *LAYER_DECAY)
    # Another constructor may build several optimizers.
    if 'optimizer' not in part and constructor == 'DefaultOptimWrapperConstructor':
        raise ValueError(f'{key} lacks "optimizer". ' + nearest('optimizer', part, most=1))
    if part.get('clip_grad') is not None:
        clip = dict(part['clip_grad'])
        by = clip.pop('type', 'norm')
        if by not in ('norm', 'value'):
            raise ValueError(f'{key}.clip_grad.type is {by!r}, expected "norm" or "value".')
        for name in ('max_norm', 'clip_value'):
            if isinstance(clip.get(name), (int, float)) and not clip[name] > 0:
                raise ValueError(f'{key}.clip_grad.{name} is {clip[name]!r}, expected > 0.')
        clipper = getattr(torch.nn.utils, f'clip_grad_{by}_')
        check_arguments(clipper, clip, f'{key}.clip_grad', given=('parameters',))


def check_multiplied(part: Any) -> None:
    """What ``paramwise_cfg`` multiplies is there."""
    part = part if isinstance(part, dict) else {}
    optimizer, multiples = part.get('optimizer'), part.get('paramwise_cfg') or {}
    inner = [name for each in (multiples.get('custom_keys') or {}).values() for name in each]
    for name in (*multiples, *inner) if isinstance(optimizer, dict) else ():
        if name == 'layer_decay_rate' or str(name).endswith('_mult'):
            base = 'weight_decay' if str(name).endswith('decay_mult') else 'lr'
            if base not in optimizer:
                raise ValueError(
                    f'optim_wrapper.optimizer lacks "{base}", of which {name} is a multiple.'
                )


def check_paramwise(
    part: dict,
    key: str,
    known: Sequence[str] = ('bypass_duplicate', *MULTIPLES[2:]),
    own: Sequence[str] = MULTIPLES[:2],
) -> None:
    """Multiples are known, numbers, and within ``custom_keys`` those of names of weights."""
    check_keys(part, ('custom_keys', *known), key)
    check_value(part.get('custom_keys', {}), dict, f'{key}.custom_keys')
    for name, multiples in (part.get('custom_keys') or {}).items():
        place = f'{key}.custom_keys.{name}'
        if not isinstance(multiples, dict) or not multiples:
            raise TypeError(
                f'{place} is {multiples!r}, expected dict({"=…, ".join(own)}=…) for the weights '
                f'with "{name}" in their names.'
            )
        check_options(multiples, {**dict.fromkeys(own, float), **OF_OTHERS}, place)
    for name in (*MULTIPLES, 'layer_decay_rate'):
        check_value(part.get(name), Optional[float], f'{key}.{name}')
    check_finite(part, key)
    check_numbers(part, key)


def check_optimizer(part: dict, kind: Any, key: str) -> None:
    """An optimizer's numbers are finite, and it steps without a closure."""
    check_finite(part, key)
    closure = inspect.signature(kind.step).parameters.get('closure')
    if closure is not None and closure.default is closure.empty:
        raise ValueError(f'{key}.type: {kind.__name__} needs a closure, which MMEngine has not.')


def check_finite(part: dict, key: str) -> None:
    """Refuse NaN and infinity, in inner dictionaries too."""
    for name, value in part.items():
        if isinstance(value, dict):
            check_finite(value, f'{key}.{name}')
        elif isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f'{key}.{name} is {value!r}, expected a finite number.')


def check_schedule(part: dict, kind: Callable, key: str) -> None:
    """A schedule ends behind its begin."""
    for name, hint in SCHEDULE.items():
        if name in part:
            check_value(part[name], hint, f'{key}.{name}')
    check_numbers(part, key)
    for name in ('gamma', 'power'):
        if name in part and not part[name] >= 0:
            raise ValueError(f'{key}.{name} is {part[name]!r}, expected a number >= 0.')
    # The factor by which a rate was made smaller is divided by.
    for name in ('start_factor', 'factor'):
        if name in part and not part[name] > 0:
            raise ValueError(f'{key}.{name} is {part[name]!r}, expected a number > 0.')
    begin, end = part.get('begin', 0), part.get('end', math.inf)
    if end <= begin:
        raise ValueError(f'{key}.end is {end}, expected more than {key}.begin, {begin}.')
