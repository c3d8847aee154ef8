"""Refuse an optimizer and schedules that would not step."""

import inspect
import math
from typing import Any, Optional

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmengine.registry import (
    OPTIM_WRAPPER_CONSTRUCTORS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
)

from .named_part import built, check_named, check_value, shown
from .suggest import nearest

SCHEDULE = dict(begin=int, end=int, by_epoch=bool, convert_to_iter_based=bool, verbose=bool)


def check_optimizer(part: Any, schedules: Any = None, ends: tuple = (1, 1)) -> None:
    """Whether an optimizer steps and its schedules follow, on a parameter that stands for the model.

    Args:
        part (dict): The config of the optimizer's wrapper.
        schedules (dict | Sequence[dict] | None): Those of its parameters. Defaults to None.
        ends (tuple): Epochs and iterations of the run, where schedules end that do not say so.
            Defaults to (1, 1).

    Raises:
        TypeError: For a value of another type than it must be.
        ValueError: For an unknown or missing key, name, or another value than it takes.
    """
    key = 'optim_wrapper'
    if not isinstance(part, dict):
        return
    own = ('constructor', 'paramwise_cfg')
    wrapper = {name: value for name, value in part.items() if name not in own}
    wrapper.setdefault('type', 'OptimWrapper')
    check_value(part, 'paramwise_cfg', Optional[dict], key)
    constructor = part.get('constructor', 'DefaultOptimWrapperConstructor')
    if not isinstance(constructor, str):
        raise TypeError(f'{key}.constructor is {constructor!r}, expected a registered name.')
    with OPTIM_WRAPPER_CONSTRUCTORS.switch_scope_and_registry(None) as scoped:
        if not constructor or scoped.get(constructor) is None:
            names = (*scoped.module_dict, *OPTIM_WRAPPER_CONSTRUCTORS.module_dict)
            raise ValueError(
                f'{key}.constructor "{constructor}" is not registered. '
                + nearest(constructor, names)
            )
    if 'optimizer' not in wrapper:
        # Several optimizers, of a constructor of their own.
        if constructor != 'DefaultOptimWrapperConstructor':
            return
        raise ValueError(f'{key} lacks "optimizer". ' + nearest('optimizer', wrapper, most=1))
    kind = check_named(wrapper, OPTIM_WRAPPERS, key, given=('optimizer',))
    optimizer = wrapper['optimizer']
    check_named(optimizer, OPTIMIZERS, f'{key}.optimizer', given=('params',))
    schedules = [schedules] if isinstance(schedules, dict) else list(schedules or ())
    for place, each in enumerate(schedules):
        _check_schedule(each, f'param_scheduler.{place}')
    # Some wrappers step by way of an engine that is not there yet.
    if not (inspect.isclass(kind) and issubclass(kind, OptimWrapper)):
        return
    _step(wrapper, schedules, {True: ends[0], False: ends[1]})


def _step(wrapper: dict, schedules: list, ends: dict) -> None:
    """A step of optimizer and schedules on a parameter that stands for the model."""
    # Nothing is drawn: the run's random numbers are its own.
    model = torch.nn.Linear(2, 1, device='meta').to_empty(device=get_device())
    for parameter in model.parameters():
        torch.nn.init.ones_(parameter)
    config = dict(wrapper['optimizer'], params=list(model.parameters()))
    optimizer = built('optim_wrapper.optimizer', wrapper['optimizer'], OPTIMIZERS.build, config)
    stepping = built(
        'optim_wrapper', wrapper, OPTIM_WRAPPERS.build, dict(wrapper, optimizer=optimizer)
    )

    def step():
        with stepping.optim_context(model):
            loss = model(torch.ones(1, 2, device=get_device())).sum()
        stepping.backward(loss)
        stepping.step()

    built('optim_wrapper', wrapper, step)
    for place, each in enumerate(schedules):
        key = f'param_scheduler.{place}'
        by_epoch = each.get('by_epoch', True)
        end = ends[by_epoch]
        if 'end' not in each and each.get('begin', 0) >= end:
            raise ValueError(
                f'{key}.begin is {each["begin"]}, expected less than the end of the run, '
                f'train_cfg.{"max_epochs" if by_epoch else "max_iters"}={end}.'
            )
        default = dict(optimizer=stepping, epoch_length=10, end=end)
        built(key, each, PARAM_SCHEDULERS.build, dict(each), default_args=default)
        # From its first step on, wherever that lies.
        length = max(each.get('end', end) - each.get('begin', 0), 2)
        shifted = dict(each, begin=0, end=length)
        schedule = built(key, each, PARAM_SCHEDULERS.build, shifted, default_args=default)
        for _ in range(2):
            built(key, each, schedule.step)
        for group in optimizer.param_groups:
            value = group.get(schedule.param_name, 0.0)
            if not all(map(math.isfinite, value if isinstance(value, tuple) else (value,))):
                raise ValueError(
                    f'{key} makes {schedule.param_name} {value}. Given was {shown(each)}.'
                )


def _check_schedule(part: Any, key: str) -> None:
    given = ('optimizer', 'epoch_length', 'convert_to_iter_based')
    check_named(part, PARAM_SCHEDULERS, key, given)
    for name, hint in SCHEDULE.items():
        check_value(part, name, hint, key)
    if part.get('end', math.inf) <= part.get('begin', 0):
        raise ValueError(
            f'{key}.end is {part["end"]}, expected more than {key}.begin, {part.get("begin", 0)}.'
        )
