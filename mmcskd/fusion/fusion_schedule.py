"""Schedules of the fusion weight of Cumulative Knowledge Fusion.

A schedule is a function of the progress p in [0, 1] that returns the fusion weight in [0, 1]:
1 is the teacher's spatial response alone, 0 its global response alone. Source: CSKD, section 3.3.
"""

from functools import partial
from numbers import Real
from typing import Any, Callable, Dict, Union

from mmengine.registry import Registry

from .. import method
from ..checks.suggest import nearest

Schedule = Callable[[float], float]
FUSION_SCHEDULES = Registry('fusion schedule', scope='mmcskd')
"""Register a custom function here and name it in ``CKFHook(schedule=…)``."""


for _schedule in (method.linear, method.x2, method.cos, method.constant):
    FUSION_SCHEDULES.register_module(module=_schedule)


def build_schedule(schedule: Union[str, Dict[str, Any], Schedule]) -> Schedule:
    """A schedule from its name, its config or a function.

    Args:
        schedule (str | dict | Callable): A registered name, ``dict(type=name, …)`` with further
            arguments of the function, or a function of the progress.

    Returns:
        Callable: progress in [0, 1] → fusion weight.

    Raises:
        ValueError: For a name that is not registered, arguments the function does not take, or a
            schedule that begins outside [0, 1].
        TypeError: For anything else.
    """
    if callable(schedule):
        return schedule
    if isinstance(schedule, str):
        schedule = dict(type=schedule)
    if not isinstance(schedule, dict) or 'type' not in schedule:
        raise TypeError(
            'CKFHook.schedule takes a name, a dict with the key "type" or a function of the '
            f'progress; got {schedule!r}.'
        )
    options = {key: value for key, value in schedule.items() if key != 'type'}
    function = schedule['type']
    if isinstance(function, str):
        known = FUSION_SCHEDULES.module_dict
        if function not in known:
            raise ValueError(
                f'CKFHook.schedule: type "{function}" is no registered fusion schedule. '
                + nearest(function, known)
            )
        function = known[function]
    try:
        first = partial(function, **options)(0.0)
    except TypeError as error:
        raise ValueError(f'CKFHook.schedule={schedule!r}: {error}') from error
    if isinstance(first, bool) or not isinstance(first, Real):
        raise ValueError(f'CKFHook.schedule={schedule!r} gives {first!r}, expected a number.')
    if not 0 <= float(first) <= 1:
        raise ValueError(
            f'CKFHook.schedule={schedule!r} begins with {first!r}, expected a fusion weight in '
            '[0, 1].'
        )
    return partial(function, **options)
