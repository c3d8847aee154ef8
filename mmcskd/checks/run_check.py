"""Refuse what MMEngine would not build a run from, or would only after an hour of it.

The parts of a config that are MMEngine's own: loops, dataloaders, optimizer, schedules, evaluators,
environment. Names are looked up, values held against the annotations of what takes them, and what
costs nothing is built once, on a parameter that stands for the model.
"""

import copy
import inspect
import logging
import math
import multiprocessing
import typing
from typing import Any, Callable, Container, Iterable, Optional

import torch
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.dataset import BaseDataset
from mmengine.device import get_device
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.optim import OptimWrapper
from mmengine.registry import (
    DATA_SAMPLERS,
    DATASETS,
    FUNCTIONS,
    LOG_PROCESSORS,
    LOOPS,
    METRICS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
    TRANSFORMS,
    VISBACKENDS,
    VISUALIZERS,
)
from mmengine.runner import FlexibleRunner, Runner
from torch.utils.data import DataLoader, Dataset, Sampler

from .config_check import check_keys, check_part
from .suggest import nearest
from .typed import fits, spelt

LOADER_OPTIONS = dict(
    batch_size=int, num_workers=int, num_batch_per_epoch=Optional[int], prefetch_factor=Optional[int],
    timeout=float, pin_memory=bool, drop_last=bool, persistent_workers=bool, shuffle=Optional[bool],
    disable_subprocess_warning=bool, pin_memory_device=str,
)  # fmt: skip
# The smallest value that means anything.
LEAST = dict(
    batch_size=1, num_workers=0, num_batch_per_epoch=1, prefetch_factor=1, timeout=0, max_epochs=1,
    max_iters=1, val_begin=0, val_interval=1, accumulative_counts=1, base_batch_size=1, seed=0,
    opencv_num_threads=0, resource_limit=1, interval=1, num_repeats=1, begin=0,
)  # fmt: skip
ENVIRONMENT = dict(cudnn_benchmark=bool, mp_cfg=dict, dist_cfg=dict, resource_limit=int)
RANDOMNESS = dict(seed=Optional[int], diff_rank_seed=bool, deterministic=bool)
# The argument that the loader gives them.
FIRST = ('batch', 'data_batch', 'worker_id')
SCHEDULE = dict(begin=int, end=int, by_epoch=bool, convert_to_iter_based=bool, verbose=bool)
SCALE = dict(enable=bool, base_batch_size=int)
# What a Runner needs all of, or none.
TOGETHER = (
    ('train_dataloader', 'train_cfg', 'optim_wrapper'),
    ('val_dataloader', 'val_cfg', 'val_evaluator'),
    ('test_dataloader', 'test_cfg', 'test_evaluator'),
)


def check_run(cfg: Any, phases: Iterable[str] = ('train', 'val', 'test')) -> None:
    """Whether MMEngine can build a run from a config.

    Args:
        cfg (mmengine.Config): The training config, in whose default scope names are looked up.
        phases (Iterable[str]): What will be run of it. Defaults to all.

    Raises:
        TypeError: For a value of another type than it must be.
        ValueError: For an unknown or missing key, name, or another value than it takes.
    """
    kinds = typing.get_type_hints(FlexibleRunner.__init__)
    kinds.update(typing.get_type_hints(Runner.__init__), work_dir=Optional[str])
    for key in ('model', 'cfg', 'custom_hooks', 'default_hooks'):
        kinds.pop(key)  # checked elsewhere
    for key, hint in kinds.items():
        _fits(cfg, key, hint)
    _check_together(cfg)
    for key in phases:
        _check_loop(cfg.get(f'{key}_cfg'), f'{key}_cfg')
        check_loader(cfg.get(f'{key}_dataloader'), f'{key}_dataloader')
        _check_evaluator(cfg.get(f'{key}_evaluator'), f'{key}_evaluator')
    _check_options(cfg.get('randomness'), RANDOMNESS, 'randomness')
    if 'seed' not in cfg.get('randomness', ['seed']):
        raise ValueError('randomness lacks "seed": a whole number, or None for one of its own.')
    _check_options(cfg.get('auto_scale_lr'), SCALE, 'auto_scale_lr')
    _check_environment(cfg.get('env_cfg'))
    _check_logging(cfg)
    if 'train' in phases and cfg.get('optim_wrapper') is not None:
        loop = cfg.get('train_cfg') or {}
        # Whichever of the two the loop does not count is as many as one could want.
        ends = tuple(loop.get(key, 2**31) for key in ('max_epochs', 'max_iters'))
        check_optimizer(cfg['optim_wrapper'], cfg.get('param_scheduler'), ends)


def _fits(part: dict, key: str, hint: Any, place: str = '') -> None:
    """Whether a value is of its type and not below the least that means anything."""
    if key not in part:
        return
    value, name = part[key], f'{place}.{key}' if place else key
    if not fits(value, hint):
        raise TypeError(f'{name} is {value!r}, expected {spelt(hint)}.')
    if isinstance(value, (int, float)) and not value >= LEAST.get(key, value):
        raise ValueError(f'{name} is {value!r}, expected a number >= {LEAST[key]}.')


def _check_options(part: Any, options: dict, place: str) -> None:
    if part is None:
        return
    check_keys(part, options, place)
    for key, hint in options.items():
        _fits(part, key, hint, place)


def _check_together(cfg: Any) -> None:
    for keys in TOGETHER:
        there = [key for key in keys if cfg.get(key) is not None]
        for key in keys:
            if there and key not in there:
                others = [name for name in cfg if name not in keys and name != key]
                raise ValueError(
                    f'{key} is missing, which {" and ".join(there)} need. '
                    + nearest(key, others, most=1)
                )


def _check_given(kind: Callable, part: dict, key: str, left_out: Container = ()) -> None:
    """Values against the annotations of what takes them."""
    init = kind.__init__ if inspect.isclass(kind) else kind
    try:
        hints = typing.get_type_hints(init)
    except (NameError, TypeError):  # an annotation that cannot be evaluated here
        return
    for name in part:
        if name in hints and name not in left_out:
            _fits(part, name, hints[name], key)


def _check_named(part: Any, registry, key: str, given: tuple = ()) -> Callable:
    """Whether a part names a registered type, gives it the keys that it takes, of their types."""
    kind = check_part(part, registry, key, given=given)
    # Elsewhere annotations are not to be relied on: MMPretrain's own configs break them.
    if kind.__module__.split('.')[0] in ('mmengine', 'torch'):
        _check_given(kind, part, key, left_out=given)
    return kind


def _built(key: str, part: Any, build: Callable, *arguments, **options) -> Any:
    """What ``build`` makes of it, or an error that names the key and shows the part."""
    try:
        return build(*arguments, **options)
    except Exception as error:
        raise ValueError(
            f'{key} cannot be used: {type(error).__name__}: {error}. Given was {_shown(part)}.'
        ) from error


def _shown(part: Any) -> str:
    text = repr(part.to_dict() if hasattr(part, 'to_dict') else part)
    return text if len(text) < 600 else f'{text[:600]} …'


def _check_loop(part: Any, key: str) -> None:
    if part is None:
        return
    part = dict(part)
    given = ('runner', 'dataloader', 'evaluator')
    if 'type' in part:
        if 'by_epoch' in part:
            raise ValueError(f'{key} has both "type" and "by_epoch": leave one out.')
    elif key == 'train_cfg':
        by_epoch = part.pop('by_epoch', None)
        if not isinstance(by_epoch, bool):
            raise TypeError(f'{key}.by_epoch is {by_epoch!r}, expected True or False, or a "type".')
        part['type'] = 'EpochBasedTrainLoop' if by_epoch else 'IterBasedTrainLoop'
    else:
        part['type'] = 'ValLoop' if key == 'val_cfg' else 'TestLoop'
    _check_named(part, LOOPS, key, given)
    for step in part.get('dynamic_intervals') or ():
        if len(step) != 2 or min(step) < 0 or step[1] < 1:
            raise ValueError(
                f'{key}.dynamic_intervals has {step!r}, expected (from when, interval > 0).'
            )


def check_loader(part: Any, key: str) -> None:
    """Whether a dataloader can be built, but for its dataset, which is not read.

    Args:
        part (dict | torch.utils.data.DataLoader | None): The config of the dataloader.
        key (str): Where it stands, for messages.

    Raises:
        TypeError: For a value of another type than it must be.
        ValueError: For an unknown or missing key, name, or another value than it takes.
    """
    if not isinstance(part, dict):
        return
    check_keys(part, (*inspect.signature(DataLoader).parameters, *LOADER_OPTIONS), key)
    for name, hint in LOADER_OPTIONS.items():
        _fits(part, name, hint, key)
    for name in ('dataset', 'sampler'):
        if name not in part:
            raise ValueError(f'{key} lacks "{name}". ' + nearest(name, part, most=1))
    if 'batch_size' not in part and 'batch_sampler' not in part:
        raise ValueError(f'{key} lacks "batch_size".')
    if part.get('prefetch_factor') is not None and not part.get('num_workers'):
        raise ValueError(f'{key}.prefetch_factor needs {key}.num_workers > 0.')
    if part.get('persistent_workers') and not part.get('num_workers'):
        raise ValueError(f'{key}.persistent_workers needs {key}.num_workers > 0.')
    _check_dataset(part['dataset'], f'{key}.dataset')
    for name, given in (('sampler', ('dataset',)), ('batch_sampler', ('sampler', 'batch_size'))):
        value = part.get(name)
        if not isinstance(value, Sampler) and (name == 'sampler' or value is not None):
            kind = _check_named(value, DATA_SAMPLERS, f'{key}.{name}', given)
            _check_given(kind, value, f'{key}.{name}', left_out=given)
    for name in ('collate_fn', 'worker_init_fn'):
        value = part.get(name)
        if isinstance(value, dict):
            # What the loader hands over has no name.
            check_part(value, FUNCTIONS, f'{key}.{name}', given=FIRST)
        elif name in part and not callable(value):
            raise TypeError(f'{key}.{name} is {value!r}, expected dict(type=…).')


def _check_dataset(part: Any, key: str) -> None:
    if isinstance(part, Dataset):
        return
    kind = _check_named(part, DATASETS, key, given=('dataset', 'datasets', 'pipeline'))
    parameters = inspect.signature(kind.__init__ if inspect.isclass(kind) else kind).parameters
    for name in ('dataset', 'datasets'):
        if name in parameters and name not in part:
            raise ValueError(f'{key} lacks "{name}", which {kind.__name__} needs.')
    if 'dataset' in part:
        _check_dataset(part['dataset'], f'{key}.dataset')
    several = part.get('datasets', ())
    if not isinstance(several, (list, tuple)):
        raise TypeError(f'{key}.datasets is {several!r}, expected a list.')
    for place, inner in enumerate(several):
        _check_dataset(inner, f'{key}.datasets.{place}')
    if inspect.isclass(kind) and issubclass(kind, BaseDataset) and not part.get('pipeline'):
        raise ValueError(
            f'{key}.pipeline is missing or empty: without PackInputs the model gets no images. '
            + nearest('pipeline', [name for name in part if name not in parameters], most=1)
        )
    check_pipeline(part.get('pipeline', ()), f'{key}.pipeline')


def check_pipeline(part: Any, key: str) -> None:
    """Whether all transforms of a pipeline can be built.

    Args:
        part (Sequence[dict]): The pipeline.
        key (str): Where it stands, for messages.

    Raises:
        TypeError: For a value of another type than it must be.
        ValueError: For an unknown or missing key, name, or another value than it takes.
    """
    if not isinstance(part, (list, tuple)):
        raise TypeError(f'{key} is {part!r}, expected a list of transforms.')
    for place, each in enumerate(part):
        if callable(each):
            continue
        name = f'{key}.{place}'
        _check_named(each, TRANSFORMS, name)
        _built(name, each, TRANSFORMS.build, copy.deepcopy(each))


def _check_evaluator(part: Any, key: str) -> None:
    if isinstance(part, (list, tuple)):
        for place, each in enumerate(part):
            _check_evaluator(each, f'{key}.{place}')
    elif isinstance(part, dict) and 'metrics' in part:
        check_keys(part, ('type', 'metrics'), key)
        _check_evaluator(part['metrics'], f'{key}.metrics')
    elif part is not None and not isinstance(part, (Evaluator, BaseMetric)):
        kind = _check_named(part, METRICS, key)
        # Others read their files as they are built.
        if kind.__module__.startswith('mmpretrain.'):
            _check_given(kind, part, key)
            _built(key, part, METRICS.build, copy.deepcopy(part))


def _check_environment(part: Any) -> None:
    _check_options(part, ENVIRONMENT, 'env_cfg')
    part = part or {}
    processes = part.get('mp_cfg', {})
    options = dict(mp_start_method=str, opencv_num_threads=int)
    _check_options(processes, options, 'env_cfg.mp_cfg')
    methods = multiprocessing.get_all_start_methods()
    method = processes.get('mp_start_method', methods[0])
    if method not in methods:
        raise ValueError(
            f'env_cfg.mp_cfg.mp_start_method is "{method}". ' + nearest(method, methods)
        )
    peers = part.get('dist_cfg', {})
    known = inspect.signature(torch.distributed.init_process_group).parameters
    check_keys(peers, (*known, 'port', 'init_backend'), 'env_cfg.dist_cfg')
    _fits(peers, 'backend', str, 'env_cfg.dist_cfg')
    timeout = peers.get('timeout')
    if timeout is not None and not (fits(timeout, float) and 0 < timeout < 2**31):
        raise ValueError(f'env_cfg.dist_cfg.timeout is {timeout!r}, expected seconds > 0.')


def _check_logging(cfg: Any) -> None:
    level = cfg.get('log_level', 'INFO')
    if not isinstance(logging.getLevelName(level), int):
        levels = ('DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL')
        raise ValueError(f'log_level is "{level}". ' + nearest(level, levels))
    scope, scopes = cfg.get('default_scope', 'mmengine'), ('mmengine', *MODULE2PACKAGE)
    if scope not in scopes:
        raise ValueError(f'default_scope is "{scope}". ' + nearest(scope, scopes))
    part = cfg.get('log_processor')
    if part is not None:
        part = dict(dict(type='LogProcessor'), **part)
        _check_named(part, LOG_PROCESSORS, 'log_processor')
        _built('log_processor', part, LOG_PROCESSORS.build, copy.deepcopy(part))
    part = cfg.get('visualizer')
    if isinstance(part, dict):
        part = dict(dict(type='Visualizer'), **part)
        backends = part.get('vis_backends') or ()
        if not isinstance(backends, (list, tuple)):
            raise TypeError(f'visualizer.vis_backends is {backends!r}, expected a list.')
        for place, each in enumerate(backends):
            _check_named(each, VISBACKENDS, f'visualizer.vis_backends.{place}', ('save_dir',))
        _check_named(part, VISUALIZERS, 'visualizer', given=('vis_backends',))


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
    _fits(part, 'paramwise_cfg', Optional[dict], key)
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
    kind = _check_named(wrapper, OPTIM_WRAPPERS, key, given=('optimizer',))
    optimizer = wrapper['optimizer']
    _check_named(optimizer, OPTIMIZERS, f'{key}.optimizer', given=('params',))
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
    optimizer = _built('optim_wrapper.optimizer', wrapper['optimizer'], OPTIMIZERS.build, config)
    built = _built(
        'optim_wrapper', wrapper, OPTIM_WRAPPERS.build, dict(wrapper, optimizer=optimizer)
    )

    def step():
        with built.optim_context(model):
            loss = model(torch.ones(1, 2, device=get_device())).sum()
        built.backward(loss)
        built.step()

    _built('optim_wrapper', wrapper, step)
    for place, each in enumerate(schedules):
        key = f'param_scheduler.{place}'
        end = ends[each.get('by_epoch', True)]
        default = dict(optimizer=built, epoch_length=10, end=end)
        _built(key, each, PARAM_SCHEDULERS.build, dict(each), default_args=default)
        # From its first step on, wherever that lies.
        length = max(each.get('end', end) - each.get('begin', 0), 2)
        shifted = dict(each, begin=0, end=length)
        schedule = _built(key, each, PARAM_SCHEDULERS.build, shifted, default_args=default)
        for _ in range(2):
            _built(key, each, schedule.step)
        for group in optimizer.param_groups:
            value = group.get(schedule.param_name, 0.0)
            if not all(map(math.isfinite, value if isinstance(value, tuple) else (value,))):
                raise ValueError(
                    f'{key} makes {schedule.param_name} {value}. Given was {_shown(each)}.'
                )


def _check_schedule(part: Any, key: str) -> None:
    given = ('optimizer', 'epoch_length', 'convert_to_iter_based')
    _check_named(part, PARAM_SCHEDULERS, key, given)
    for name, hint in SCHEDULE.items():
        _fits(part, name, hint, key)
    if part.get('end', math.inf) <= part.get('begin', 0):
        raise ValueError(
            f'{key}.end is {part["end"]}, expected more than {key}.begin, {part.get("begin", 0)}.'
        )
