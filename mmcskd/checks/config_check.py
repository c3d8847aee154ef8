"""One pass over a config before anything is built of it: names, keys, types and references.

Names are looked up in the registries; keys and values are compared with the signatures and
annotations of the classes. Nothing is built or run: a class checks its values itself when the
Runner builds it.
"""

import inspect
import logging
import math
import multiprocessing
import typing
from typing import Any, Iterable, Optional

import torch
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import EMAHook, Hook
from mmengine.registry import (
    LOG_PROCESSORS,
    LOOPS,
    METRICS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
    VISBACKENDS,
    VISUALIZERS,
)
from mmengine.runner import FlexibleRunner, Runner
from mmengine.utils.dl_utils import set_multi_processing
from mmrazor.registry import HOOKS, MODELS

from .distiller_check import check_distiller
from .loader_check import check_loader
from .part import (
    ANNOTATED,
    check_arguments,
    check_keys,
    check_options,
    check_part,
    check_value,
    registered,
    type_name,
)
from .suggest import nearest

ENVIRONMENT = dict(cudnn_benchmark=bool, mp_cfg=dict, dist_cfg=dict, resource_limit=int)
RANDOMNESS = dict(seed=Optional[int], diff_rank_seed=bool, deterministic=bool)
SCALE = dict(enable=bool, base_batch_size=int)
SCHEDULE = dict(begin=int, end=int, by_epoch=bool, convert_to_iter_based=bool, verbose=bool)
LEVELS = ('DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL')
# A Runner needs all of a row or none.
TOGETHER = (
    ('train_dataloader', 'train_cfg', 'optim_wrapper'),
    ('val_dataloader', 'val_cfg', 'val_evaluator'),
    ('test_dataloader', 'test_cfg', 'test_evaluator'),
)


def check_config(cfg: Any, phases: Iterable[str] = ('train', 'val', 'test')) -> None:
    """Check that a run can be built from a config, in its default scope.

    Args:
        cfg (mmengine.Config): The config.
        phases (Iterable[str]): The phases that will run. Defaults to all.

    Raises:
        TypeError: For a value of another type.
        ValueError: For an unknown or missing key or name, or a value out of range.
    """
    check_scope(cfg)
    _check_together(cfg)
    check_model(cfg.get('model'))
    check_hooks(cfg)
    hints = typing.get_type_hints(FlexibleRunner.__init__)
    hints.update(typing.get_type_hints(Runner.__init__), work_dir=Optional[str])
    for key in cfg:
        if key in hints and key not in ('model', 'cfg'):
            check_value(cfg[key], hints[key], key)
    for phase in phases:
        _check_loop(cfg.get(f'{phase}_cfg'), f'{phase}_cfg')
        check_loader(cfg.get(f'{phase}_dataloader'), f'{phase}_dataloader')
        _check_evaluator(cfg.get(f'{phase}_evaluator'), f'{phase}_evaluator')
    if 'train' in phases:
        _check_optimizer(cfg.get('optim_wrapper'))
        _check_schedules(cfg)
        _check_fusion(cfg)
        _check_shards(cfg)
    check_options(cfg.get('randomness', {}), RANDOMNESS, 'randomness')
    if 'seed' not in cfg.get('randomness', ['seed']):
        raise ValueError('randomness lacks "seed": a whole number, or None for one of its own.')
    check_options(cfg.get('auto_scale_lr') or {}, SCALE, 'auto_scale_lr')
    _check_environment(cfg.get('env_cfg') or {})
    _check_logging(cfg)


def check_scope(cfg: Any) -> None:
    """Check the default scope of a config.

    Args:
        cfg (mmengine.Config): The config.

    Raises:
        TypeError: If it is no string.
        ValueError: If MMEngine knows no package of that name.
    """
    scope, scopes = cfg.get('default_scope', 'mmengine'), ('mmengine', *MODULE2PACKAGE)
    check_value(scope, str, 'default_scope')
    if scope not in scopes:
        raise ValueError(f'default_scope is "{scope}". ' + nearest(scope, scopes))


def check_model(model: Any) -> None:
    """Check the types and keys of a model and its distiller.

    Args:
        model (Any): The config of the model.

    Raises:
        TypeError: For a part of another type.
        ValueError: For an unknown or missing name.
    """
    kind = check_part(model, MODELS, 'model')
    if 'distiller' not in model or not kind.__module__.startswith('mmcskd.'):
        return
    with MODELS.switch_scope_and_registry(model.get('_scope_')):
        check_distiller(model['distiller'])
    for name in ('architecture', 'teacher'):
        part = model.get(name)
        if isinstance(part, dict) and 'cfg_path' not in part:
            check_part(part, MODELS, f'model.{name}')
            if 'head' in part:
                with MODELS.switch_scope_and_registry(part.get('_scope_')):
                    check_part(part['head'], MODELS, f'model.{name}.head')


def check_hooks(cfg: Any) -> None:
    """Check the types and keys of a config's hooks.

    Args:
        cfg (mmengine.Config): The config.

    Raises:
        TypeError: For a part of another type.
        ValueError: For an unknown or missing name.
    """
    for name, kinds in (('custom_hooks', (list, tuple)), ('default_hooks', (dict,))):
        hooks = cfg.get(name)
        if hooks is None:
            continue
        if not isinstance(hooks, kinds):
            raise TypeError(f'{name} is {hooks!r}, expected a {kinds[0].__name__}.')
        named = isinstance(hooks, dict)
        for place, hook in hooks.items() if named else enumerate(hooks):
            left_out = named and hook is None
            if left_out or isinstance(hook, Hook):
                continue
            kind = check_part(hook, HOOKS, f'{name}.{place}', given=('priority',))
            if inspect.isclass(kind) and issubclass(kind, EMAHook):
                # The other keys belong to the average, which the hook builds when the run begins.
                own = ('type', '_scope_', 'priority', *inspect.signature(kind).parameters)
                average = {key: value for key, value in hook.items() if key not in own}
                average['type'] = hook.get('ema_type', 'ExponentialMovingAverage')
                check_part(average, MODELS, f'{name}.{place}', given=('model',))
                if not 0 < average.get('momentum', 0.5) < 1:
                    raise ValueError(
                        f'{name}.{place}.momentum is {average["momentum"]}, expected 0 to 1.'
                    )


def _check_together(cfg: Any) -> None:
    for keys in TOGETHER:
        there = [key for key in keys if cfg.get(key) is not None]
        for key in keys:
            if there and key not in there:
                others = [name for name in cfg if name not in keys]
                raise ValueError(
                    f'{key} is missing, which {" and ".join(there)} need. '
                    + nearest(key, others, most=1)
                )


def _check_loop(part: Any, key: str) -> None:
    if part is None:
        return
    part = dict(part)
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
    check_part(part, LOOPS, key, given=('runner', 'dataloader', 'evaluator'))
    for step in part.get('dynamic_intervals') or ():
        if min(step) < 0 or step[1] < 1:
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
        check_part(part, METRICS, key, annotated=(*ANNOTATED, 'mmpretrain'))


def _check_optimizer(part: Any) -> None:
    key = 'optim_wrapper'
    if not isinstance(part, dict):
        return
    constructor = part.get('constructor', 'DefaultOptimWrapperConstructor')
    check_value(constructor, str, f'{key}.constructor')
    check_value(part.get('paramwise_cfg'), Optional[dict], f'{key}.paramwise_cfg')
    registered(constructor, OPTIM_WRAPPER_CONSTRUCTORS, f'{key}.constructor')
    own = ('constructor', 'paramwise_cfg')
    wrapper = {'type': 'OptimWrapper', **{k: v for k, v in part.items() if k not in own}}
    if 'optimizer' not in part:
        # Several optimizers, made by a custom constructor.
        if constructor == 'DefaultOptimWrapperConstructor':
            raise ValueError(f'{key} lacks "optimizer". ' + nearest('optimizer', wrapper, most=1))
        return
    check_part(wrapper, OPTIM_WRAPPERS, key, given=('optimizer',))
    check_part(part['optimizer'], OPTIMIZERS, f'{key}.optimizer', given=('params',))
    for name, value in part['optimizer'].items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f'{key}.optimizer.{name} is {value!r}, expected a finite number.')
    check_value(part.get('clip_grad'), Optional[dict], f'{key}.clip_grad')
    if part.get('clip_grad'):
        clip = dict(part['clip_grad'])
        by = clip.pop('type', 'norm')
        if by not in ('norm', 'value'):
            raise ValueError(f'{key}.clip_grad.type is {by!r}, expected "norm" or "value".')
        clipper = getattr(torch.nn.utils, f'clip_grad_{by}_')
        check_arguments(clipper, clip, f'{key}.clip_grad', given=('parameters',))


def _check_schedules(cfg: Any) -> None:
    schedules, loop = cfg.get('param_scheduler') or (), cfg.get('train_cfg') or {}
    for place, part in enumerate([schedules] if isinstance(schedules, dict) else schedules):
        key = f'param_scheduler.{place}'
        check_part(
            part,
            PARAM_SCHEDULERS,
            key,
            given=('optimizer', 'epoch_length', 'convert_to_iter_based'),
        )
        for name, hint in SCHEDULE.items():
            if name in part:
                check_value(part[name], hint, f'{key}.{name}')
        begin, length = part.get('begin', 0), 'epochs' if part.get('by_epoch', True) else 'iters'
        # No limit for what the loop does not count.
        end = loop.get(f'max_{length}', math.inf)
        if part.get('end', math.inf) <= begin:
            raise ValueError(
                f'{key}.end is {part["end"]}, expected more than {key}.begin, {begin}.'
            )
        if 'end' not in part and begin >= end:
            raise ValueError(
                f'{key}.begin is {begin}, expected less than the end of the run, '
                f'train_cfg.max_{length}={end}.'
            )


def _check_fusion(cfg: Any) -> None:
    """A CSKD loss without a fusion weight."""
    losses = ((cfg.get('model') or {}).get('distiller') or {}).get('distill_losses') or {}
    hooks = [type_name(hook) for hook in cfg.get('custom_hooks') or []]
    for name, loss in losses.items():
        steered = loss.get('fusion_weight') is not None or 'CKFHook' in hooks
        if type_name(loss) in ('CSKDLoss', 'DenseCSKDLoss') and not steered:
            raise ValueError(
                f'model.distiller.distill_losses.{name} has no fusion weight: add '
                'dict(type="mmrazor.CKFHook") to custom_hooks, or set its fusion_weight.'
            )


def _check_shards(cfg: Any) -> None:
    """An EMAHook that would average shards and save one of them as the student."""
    kinds = [type_name(hook) for hook in cfg.get('custom_hooks') or []]
    if 'FSDP' in str((cfg.get('strategy') or {}).get('type')) and 'EMAHook' in kinds:
        raise ValueError(
            'custom_hooks has an EMAHook, which under strategy.type="StudentFSDPStrategy" would '
            "save the average of the first process's shard alone: take it out of custom_hooks, or "
            'leave out runner_type and strategy.'
        )


def _check_environment(part: Any) -> None:
    check_options(part, ENVIRONMENT, 'env_cfg')
    key, processes = 'env_cfg.mp_cfg', part.get('mp_cfg', {})
    check_arguments(set_multi_processing, processes, key)
    methods = multiprocessing.get_all_start_methods()
    method = processes.get('mp_start_method', methods[0])
    if method not in methods:
        raise ValueError(f'{key}.mp_start_method is "{method}". ' + nearest(method, methods))
    key, peers = 'env_cfg.dist_cfg', part.get('dist_cfg', {})
    known = inspect.signature(torch.distributed.init_process_group).parameters
    check_keys(peers, (*known, 'port', 'init_backend'), key)
    check_value(peers.get('backend', ''), str, f'{key}.backend')
    timeout = peers.get('timeout')
    check_value(timeout, Optional[float], f'{key}.timeout')
    if timeout is not None and not 0 < timeout < 2**31:
        raise ValueError(f'{key}.timeout is {timeout!r}, expected seconds > 0.')


def _check_logging(cfg: Any) -> None:
    level = cfg.get('log_level', 'INFO')
    if not isinstance(logging.getLevelName(level), int):
        raise ValueError(f'log_level is "{level}". ' + nearest(level, LEVELS))
    if cfg.get('log_processor') is not None:
        part = {'type': 'LogProcessor', **cfg['log_processor']}
        check_part(part, LOG_PROCESSORS, 'log_processor')
    visualizer = cfg.get('visualizer')
    if isinstance(visualizer, dict):
        backends = visualizer.get('vis_backends') or ()
        if not isinstance(backends, (list, tuple)):
            raise TypeError(f'visualizer.vis_backends is {backends!r}, expected a list.')
        for place, each in enumerate(backends):
            key = f'visualizer.vis_backends.{place}'
            check_part(each, VISBACKENDS, key, given=('save_dir',))
        part = {'type': 'Visualizer', **visualizer}
        check_part(part, VISUALIZERS, 'visualizer', given=('vis_backends',))
