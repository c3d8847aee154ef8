"""One pass over a config before anything is built: names, keys, types, and what refers to what.

Names are looked up in the registries; keys and values are compared with the signatures and
annotations of the classes. Nothing is built or run: a class checks its values itself when the
Runner builds it.
"""

import difflib
import logging
import typing
from typing import Any, Callable, Collection, Dict, Iterable, NamedTuple, Optional, Tuple, Union

import torch
from mmengine.registry import (
    DATA_SAMPLERS,
    DATASETS,
    FUNCTIONS,
    LOG_PROCESSORS,
    LOOPS,
    METRICS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    PARAM_SCHEDULERS,
    TRANSFORMS,
    VISBACKENDS,
    VISUALIZERS,
    WEIGHT_INITIALIZERS,
    Registry,
)
from mmengine.runner import FlexibleRunner, Runner
from mmrazor.registry import HOOKS, MODELS

from . import optimization, rules
from .distiller_check import check_distiller
from .environment import check_environment
from .part import ANNOTATED, SCOPES, check_options, check_part, check_value
from .pipeline import check_transform
from .preprocessor import DENSE, check_augments, check_preprocessor
from .suggest import nearest

PLAIN = (dict, list, tuple, str, bytes, int, float, type(None))
MMPRETRAIN = (*ANNOTATED, 'mmpretrain')
PACKAGES = (*MMPRETRAIN, 'mmdet', 'mmseg')


class Place(NamedTuple):
    """What may stand under a key."""

    registry: Registry
    given: Tuple[str, ...] = ()  # by whoever builds it
    default: Union[None, str, Callable] = None  # the type
    annotated: Collection[str] = ANNOTATED  # packages that keep to their annotations
    rule: Optional[Callable] = None  # what a signature does not say


HOOK = Place(HOOKS, ('priority',), annotated=PACKAGES, rule=rules.check_hook)
METRIC = Place(METRICS, annotated=PACKAGES, rule=rules.check_metric)
DATASET = Place(
    DATASETS, ('dataset', 'datasets', 'pipeline'), annotated=PACKAGES, rule=rules.check_dataset
)
# What a loader hands over to a function has no name.
FUNCTION = Place(FUNCTIONS, ('batch', 'data_batch', 'worker_id'))
LOOP = ('runner', 'dataloader', 'evaluator', 'by_epoch')
# Of the run and of its parts. Several of a kind stand in a list, the default hooks in a dict.
PLACES = dict(
    custom_hooks=HOOK,
    default_hooks=HOOK,
    train_cfg=Place(LOOPS, LOOP, rules.train_loop, rule=rules.check_loop),
    val_cfg=Place(LOOPS, LOOP, 'ValLoop', rule=rules.check_loop),
    test_cfg=Place(LOOPS, LOOP, 'TestLoop', rule=rules.check_loop),
    val_evaluator=METRIC,
    test_evaluator=METRIC,
    dataset=DATASET,
    datasets=DATASET,
    # Some arguments are given otherwise than annotated in MMPretrain's own configs.
    pipeline=Place(
        TRANSFORMS,
        ('magnitude_level', 'eigvec', 'input_size'),
        annotated=(*MMPRETRAIN, 'mmcv', 'mmseg'),
        rule=check_transform,
    ),
    sampler=Place(DATA_SAMPLERS, ('dataset',), annotated=MMPRETRAIN),
    batch_sampler=Place(DATA_SAMPLERS, ('sampler', 'batch_size'), annotated=MMPRETRAIN),
    collate_fn=FUNCTION,
    worker_init_fn=FUNCTION,
    optim_wrapper=Place(
        OPTIM_WRAPPERS,
        ('optimizer', 'constructor', 'paramwise_cfg'),
        'OptimWrapper',
        rule=optimization.check_optim_wrapper,
    ),
    optimizer=Place(OPTIMIZERS, ('params',), rule=optimization.check_optimizer),
    param_scheduler=Place(
        PARAM_SCHEDULERS,
        ('optimizer', 'epoch_length', 'convert_to_iter_based'),
        rule=optimization.check_schedule,
    ),
    log_processor=Place(LOG_PROCESSORS, default='LogProcessor'),
    visualizer=Place(VISUALIZERS, ('vis_backends',), 'Visualizer'),
    vis_backends=Place(VISBACKENDS, ('save_dir',)),
)
SEVERAL = (
    'custom_hooks', 'val_evaluator', 'test_evaluator', 'datasets', 'pipeline', 'param_scheduler',
    'vis_backends',
)  # fmt: skip
LOADED = ('dataset', 'sampler', 'batch_sampler', 'collate_fn', 'worker_init_fn')
OPTIONS: Dict[str, dict] = dict(
    randomness=dict(seed=Optional[int], diff_rank_seed=bool, deterministic=bool),
    auto_scale_lr=dict(enable=bool, base_batch_size=int),
    env_cfg=dict(cudnn_benchmark=bool, mp_cfg=dict, dist_cfg=dict, resource_limit=int),
)
STOCK_HOOKS = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')
LAYERS = (
    'Linear',
    'Conv1d',
    'Conv2d',
    'Conv3d',
    'BatchNorm2d',
    'GroupNorm',
    'LayerNorm',
    'Embedding',
)
LEVELS = ('DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL')


def check_config(cfg: Any, phases: Iterable[str] = ('train', 'val', 'test')) -> None:
    """Check whether a run can be built from a config, in whose default scope names are looked up.

    Args:
        cfg (mmengine.Config): The config.
        phases (Iterable[str]): What will be run. Defaults to all.

    Raises:
        TypeError: For a value of another type than it must be.
        ValueError: For an unknown or missing key, name, or another value than it takes.
    """
    check_scope(cfg)
    rules.check_together(cfg)
    hints = typing.get_type_hints(FlexibleRunner.__init__)
    hints.update(typing.get_type_hints(Runner.__init__), work_dir=Optional[str])
    _check_spelling(cfg, [*hints, 'auto_scale_lr', 'runner_type'], '')
    _check_spelling(cfg.get('default_hooks') or {}, STOCK_HOOKS, 'default_hooks.')
    for key in cfg:
        if key in hints and key not in ('model', 'cfg', 'default_hooks'):
            check_value(cfg[key], hints[key], key)
    check_model(cfg.get('model'))
    check_preprocessor(cfg.get('data_preprocessor'), 'data_preprocessor')
    # Those of Detectron2 prepare images themselves.
    brings = ('data_preprocessor', 'cfg_path', 'Detectron2')
    prepared = cfg.get('data_preprocessor') or any(key in repr(cfg.get('model')) for key in brings)
    if cfg.get('default_scope') in DENSE and not prepared:
        raise ValueError('data_preprocessor is missing, and the model has none of its own.')
    check_hooks(cfg)
    keys = [key for phase in phases for key in (f'{phase}_cfg', f'{phase}_evaluator')]
    if 'train' in phases:
        keys += ['optim_wrapper', 'param_scheduler']
    for key in (*keys, 'log_processor', 'visualizer'):
        if cfg.get(key) is not None:
            _check(cfg[key], key, key)
    for phase in phases:
        loader = cfg.get(f'{phase}_dataloader')
        if isinstance(loader, dict):
            rules.check_loader(loader, f'{phase}_dataloader')
            _check_inner(loader, LOADED, f'{phase}_dataloader')
    if 'train' in phases:
        rules.check_run(cfg)
        optimization.check_multiplied(cfg.get('optim_wrapper'))
    for key, options in OPTIONS.items():
        check_options(cfg.get(key) or {}, options, key)
    if 'seed' not in cfg.get('randomness', ['seed']):
        raise ValueError('randomness lacks "seed": a whole number, or None for one of its own.')
    check_environment(cfg.get('env_cfg') or {})
    level = cfg.get('log_level', 'INFO')
    if not isinstance(logging.getLevelName(level), int):
        raise ValueError(f'log_level is "{level}". ' + nearest(level, LEVELS))


def _check_spelling(part: Any, known: Iterable[str], key: str) -> None:
    """Refuse a key that is nearly one that is read; others may be variables of the config."""
    for name in part if hasattr(part, 'keys') else ():
        near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.9)
        if near and name not in known:
            raise ValueError(f'{key}{name} is no key that anything reads. Nearest: "{near[0]}".')


def check_scope(cfg: Any) -> None:
    """Check whether the scope in which a config's names are looked up is one.

    Args:
        cfg (mmengine.Config): The config.

    Raises:
        TypeError: If it is no text.
        ValueError: If it is the name of no package that MMEngine knows.
    """
    scope = cfg.get('default_scope', 'mmengine')
    check_value(scope, str, 'default_scope')
    if scope not in SCOPES:
        raise ValueError(f'default_scope is "{scope}". ' + nearest(scope, SCOPES))


def check_model(model: Any) -> None:
    """Check whether a model, and what it distils with, is made of registered parts with known keys.

    Args:
        model (Any): The config of the model.

    Raises:
        TypeError: For a part that is of another kind than it must be.
        ValueError: For an unknown name, or one that is missing.
    """
    kind = check_part(model, MODELS, 'model')
    rules.check_numbers(model, 'model')
    check_inits(model, 'model')
    check_preprocessor(model.get('data_preprocessor'), 'model.data_preprocessor')
    if isinstance(model.get('train_cfg'), dict) and 'augments' in model['train_cfg']:
        check_augments(model['train_cfg'], 'model.train_cfg')
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


def check_inits(part: Any, key: str) -> None:
    """Check how weights are drawn: MMEngine passes over layers that a model has not.

    Args:
        part (Any): The config of a model, or a part of it.
        key (str): Its key, for messages.

    Raises:
        TypeError: For an ``init_cfg`` that is no dict or list of dicts.
        ValueError: For an unknown name or key.
    """
    for name, value in part.items() if isinstance(part, dict) else enumerate(part):
        place = f'{key}.{name}'
        if name == 'init_cfg' and value is not None:
            for each in value if isinstance(value, (list, tuple)) else [value]:
                if isinstance(each, dict) and 'type' not in each:
                    continue  # some of MMDetection's backbones read the checkpoint themselves
                check_part(each, WEIGHT_INITIALIZERS, place, given=('override',))
                layers = each.get('layer') or ()
                for layer in [layers] if isinstance(layers, str) else layers:
                    near = difflib.get_close_matches(layer, LAYERS, n=1, cutoff=0.8)
                    if near and layer not in LAYERS and not hasattr(torch.nn, layer):
                        raise ValueError(f'{place}.layer is "{layer}". Nearest: "{near[0]}".')
        elif isinstance(value, (dict, list, tuple)):
            check_inits(value, place)


def check_hooks(cfg: Any) -> None:
    """Check whether the hooks of a config are registered and have known keys.

    Args:
        cfg (mmengine.Config): The config.

    Raises:
        TypeError: For a part that is of another kind than it must be.
        ValueError: For an unknown name, or one that is missing.
    """
    named, listed = cfg.get('default_hooks'), cfg.get('custom_hooks')
    check_value(named, Optional[dict], 'default_hooks')
    check_value(listed, Optional[list], 'custom_hooks')
    _check(listed or [], 'custom_hooks', 'custom_hooks')
    for name, hook in (named or {}).items():
        if hook is not None:  # left out
            _check(hook, 'default_hooks', f'default_hooks.{name}')


def _check(part: Any, name: str, key: str) -> None:
    """A part, or a list where there may be several."""
    if isinstance(part, (list, tuple)) and name in SEVERAL:
        if not part and name.endswith('_evaluator'):
            raise ValueError(f'{key} is {part!r}, expected at least one metric.')
        for index, each in enumerate(part):
            _check_one(each, name, f'{key}.{index}')
    else:
        _check_one(part, name, key)


def _check_one(part: Any, name: str, key: str) -> None:
    """A part, which may be built already."""
    optional = name in ('batch_sampler', 'worker_init_fn') and part is None
    if optional or not isinstance(part, PLAIN):
        return
    place = PLACES[name]
    if isinstance(part, dict):
        if place is METRIC and 'metrics' in part:
            if part.get('type', 'Evaluator') == 'Evaluator':
                check_options(part, dict(type=Any, metrics=Any), key)
            _check(part['metrics'], name, f'{key}.metrics')
            return
        if '_scope_' not in part and 'type' not in part and place.default is not None:
            default = place.default
            part = {'type': default if isinstance(default, str) else default(part, key), **part}
        elif 'by_epoch' in part and name == 'train_cfg':
            raise ValueError(f'{key} has both "type" and "by_epoch": leave one out.')
    kind = check_part(part, place.registry, key, given=place.given, annotated=place.annotated)
    if place.rule is not None:
        place.rule(part, kind, key)
    _check_inner(part, place.given, key)


def _check_inner(part: dict, names: Iterable[str], key: str) -> None:
    for name in names:
        if name in part and name in PLACES:
            _check(part[name], name, f'{key}.{name}')
