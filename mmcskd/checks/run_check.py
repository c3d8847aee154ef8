"""Refuse what MMEngine would not build a run from, or would only after an hour of it.

The parts of a config that are MMEngine's own: loops, dataloaders, optimizer, schedules, evaluators,
environment. Names are looked up, values held against the annotations of what takes them, and what
costs nothing is built once, on a parameter that stands for the model.
"""

import copy
import inspect
import logging
import multiprocessing
import typing
from typing import Any, Iterable, Optional

import torch
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.registry import (
    LOG_PROCESSORS,
    LOOPS,
    METRICS,
    VISBACKENDS,
    VISUALIZERS,
)
from mmengine.runner import FlexibleRunner, Runner

from .config_check import check_keys
from .loader_check import check_loader
from .named_part import built, check_given, check_named, check_options, check_value
from .optimizer_check import check_optimizer
from .suggest import nearest
from .typed import fits

ENVIRONMENT = dict(cudnn_benchmark=bool, mp_cfg=dict, dist_cfg=dict, resource_limit=int)
RANDOMNESS = dict(seed=Optional[int], diff_rank_seed=bool, deterministic=bool)
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
        check_value(cfg, key, hint)
    check_scope(cfg)
    _check_together(cfg)
    for key in phases:
        _check_loop(cfg.get(f'{key}_cfg'), f'{key}_cfg')
        check_loader(cfg.get(f'{key}_dataloader'), f'{key}_dataloader')
        _check_evaluator(cfg.get(f'{key}_evaluator'), f'{key}_evaluator')
    check_options(cfg.get('randomness'), RANDOMNESS, 'randomness')
    if 'seed' not in cfg.get('randomness', ['seed']):
        raise ValueError('randomness lacks "seed": a whole number, or None for one of its own.')
    check_options(cfg.get('auto_scale_lr'), SCALE, 'auto_scale_lr')
    _check_environment(cfg.get('env_cfg'))
    _check_logging(cfg)
    if 'train' in phases and cfg.get('optim_wrapper') is not None:
        loop = cfg.get('train_cfg') or {}
        # Whichever of the two the loop does not count is as many as one could want.
        ends = tuple(loop.get(key, 2**31) for key in ('max_epochs', 'max_iters'))
        check_optimizer(cfg['optim_wrapper'], cfg.get('param_scheduler'), ends)


def check_scope(cfg: Any) -> None:
    """Whether the scope in which a config's names are looked up is one.

    Args:
        cfg (mmengine.Config): The config.

    Raises:
        TypeError: If it is no text.
        ValueError: If it is the name of no package that MMEngine knows.
    """
    check_value(cfg, 'default_scope', str)
    scope, scopes = cfg.get('default_scope', 'mmengine'), ('mmengine', *MODULE2PACKAGE)
    if scope not in scopes:
        raise ValueError(f'default_scope is "{scope}". ' + nearest(scope, scopes))


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
    check_named(part, LOOPS, key, given)
    for step in part.get('dynamic_intervals') or ():
        if len(step) != 2 or min(step) < 0 or step[1] < 1:
            raise ValueError(
                f'{key}.dynamic_intervals has {step!r}, expected (from when, interval > 0).'
            )


def _check_evaluator(part: Any, key: str) -> None:
    if isinstance(part, (list, tuple)):
        for place, each in enumerate(part):
            _check_evaluator(each, f'{key}.{place}')
    elif isinstance(part, dict) and 'metrics' in part:
        check_keys(part, ('type', 'metrics'), key)
        _check_evaluator(part['metrics'], f'{key}.metrics')
    elif part is not None and not isinstance(part, (Evaluator, BaseMetric)):
        kind = check_named(part, METRICS, key)
        # Others read their files as they are built.
        if kind.__module__.startswith('mmpretrain.'):
            check_given(kind, part, key)
            built(key, part, METRICS.build, copy.deepcopy(part))


def _check_environment(part: Any) -> None:
    check_options(part, ENVIRONMENT, 'env_cfg')
    part = part or {}
    processes = part.get('mp_cfg', {})
    options = dict(mp_start_method=str, opencv_num_threads=int)
    check_options(processes, options, 'env_cfg.mp_cfg')
    methods = multiprocessing.get_all_start_methods()
    method = processes.get('mp_start_method', methods[0])
    if method not in methods:
        raise ValueError(
            f'env_cfg.mp_cfg.mp_start_method is "{method}". ' + nearest(method, methods)
        )
    peers = part.get('dist_cfg', {})
    known = inspect.signature(torch.distributed.init_process_group).parameters
    check_keys(peers, (*known, 'port', 'init_backend'), 'env_cfg.dist_cfg')
    check_value(peers, 'backend', str, 'env_cfg.dist_cfg')
    timeout = peers.get('timeout')
    if timeout is not None and not (fits(timeout, float) and 0 < timeout < 2**31):
        raise ValueError(f'env_cfg.dist_cfg.timeout is {timeout!r}, expected seconds > 0.')


def _check_logging(cfg: Any) -> None:
    level = cfg.get('log_level', 'INFO')
    if not isinstance(logging.getLevelName(level), int):
        levels = ('DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL')
        raise ValueError(f'log_level is "{level}". ' + nearest(level, levels))
    part = cfg.get('log_processor')
    if part is not None:
        part = dict(dict(type='LogProcessor'), **part)
        check_named(part, LOG_PROCESSORS, 'log_processor')
        built('log_processor', part, LOG_PROCESSORS.build, copy.deepcopy(part))
    part = cfg.get('visualizer')
    if isinstance(part, dict):
        part = dict(dict(type='Visualizer'), **part)
        backends = part.get('vis_backends') or ()
        if not isinstance(backends, (list, tuple)):
            raise TypeError(f'visualizer.vis_backends is {backends!r}, expected a list.')
        for place, each in enumerate(backends):
            check_named(each, VISBACKENDS, f'visualizer.vis_backends.{place}', ('save_dir',))
        check_named(part, VISUALIZERS, 'visualizer', given=('vis_backends',))
