"""What the signatures of the parts of a config do not say."""

import inspect
import math
import multiprocessing
from pathlib import Path
from typing import Any, Callable, Optional, Sequence, Tuple

import torch
from mmengine.dataset import BaseDataset
from mmengine.hooks import EMAHook
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.utils.dl_utils import set_multi_processing
from mmrazor.registry import MODELS
from torch.utils.data import DataLoader

from .part import (
    check_arguments,
    check_keys,
    check_options,
    check_part,
    check_value,
    registered,
    type_name,
)
from .sizes import check_most
from .suggest import nearest
from .typed import fits

# What a Runner needs all of, or none.
TOGETHER = (
    ('train_dataloader', 'train_cfg', 'optim_wrapper'),
    ('val_dataloader', 'val_cfg', 'val_evaluator'),
    ('test_dataloader', 'test_cfg', 'test_evaluator'),
)
# Keys of torch's DataLoader, whose annotations not every torch can evaluate, and of MMEngine.
LOADER = dict(
    batch_size=int, num_workers=int, num_batch_per_epoch=Optional[int], timeout=float,
    prefetch_factor=Optional[int], pin_memory=bool, drop_last=bool, persistent_workers=bool,
    shuffle=Optional[bool], disable_subprocess_warning=bool, pin_memory_device=str,
)  # fmt: skip
SCHEDULE = dict(begin=int, end=int, by_epoch=bool, convert_to_iter_based=bool, verbose=bool)
# Numbers of any part: the smallest value, and the one that it must stay below.
RATES = (
    'attn_drop', 'attn_drop_rate', 'drop', 'drop_path', 'drop_path_rate', 'drop_rate', 'dropout',
    'dropout_rate', 'dropout_ratio', 'proj_drop', 'proj_drop_rate',
)  # fmt: skip
MULTIPLES = (
    'lr_mult', 'decay_mult', 'bias_lr_mult', 'bias_decay_mult', 'norm_decay_mult',
    'flat_decay_mult', 'dwconv_decay_mult', 'dcn_offset_lr_mult',
)  # fmt: skip
BOUNDS = {
    **dict.fromkeys(RATES, (0, 1)),
    **dict.fromkeys((*MULTIPLES, 'alpha', 'loss_weight', 'eta_min'), (0, math.inf)),
}


def check_numbers(part: Any, key: str) -> None:
    """Refuse numbers out of range that most classes take at their word, in inner parts too."""
    for name, value in part.items() if isinstance(part, dict) else enumerate(part):
        check_most(str(name), value, f'{key}.{name}')
        if isinstance(value, (dict, list, tuple)):
            check_numbers(value, f'{key}.{name}')
        elif name in BOUNDS and type(value) in (int, float):
            least, below = BOUNDS[name]
            if not least <= value < below:
                upto = '' if below == math.inf else f', less than {below}'
                raise ValueError(f'{key}.{name} is {value!r}, expected a number >= {least}{upto}.')


def check_together(cfg: Any) -> None:
    """The config has all of what a phase needs, or none."""
    for keys in TOGETHER:
        there = [key for key in keys if cfg.get(key) is not None]
        for key in keys:
            if there and key not in there:
                others = [name for name in cfg if name not in keys]
                raise ValueError(
                    f'{key} is missing, which {" and ".join(there)} need. '
                    + nearest(key, others, most=1)
                )


def check_run(cfg: Any) -> None:
    """Losses are steered, averages are whole, a start is there, schedules begin before the end."""
    losses = ((cfg.get('model') or {}).get('distiller') or {}).get('distill_losses') or {}
    hooks = [type_name(hook) for hook in cfg.get('custom_hooks') or []]
    for name, loss in losses.items():
        steered = loss.get('fusion_weight') is not None or 'CKFHook' in hooks
        if type_name(loss) in ('CSKDLoss', 'DenseCSKDLoss') and not steered:
            raise ValueError(
                f'model.distiller.distill_losses.{name} has no fusion weight: add '
                'dict(type="mmrazor.CKFHook") to custom_hooks, or set its fusion_weight.'
            )
    if 'FSDP' in str((cfg.get('strategy') or {}).get('type')) and 'EMAHook' in hooks:
        raise ValueError(
            'custom_hooks has an EMAHook, which under strategy.type="StudentFSDPStrategy" would '
            "save the average of the first process's shard alone: take it out of custom_hooks, or "
            'leave out runner_type and strategy.'
        )
    start = cfg.get('load_from')
    if isinstance(start, str) and '://' not in start and not Path(start).is_file():
        raise ValueError(f'load_from="{start}" is no file (looked in {Path.cwd()}).')
    loop = cfg.get('train_cfg') or {}
    last = loop.get('max_epochs', loop.get('max_iters', math.inf))
    if cfg.get('val_cfg') is not None and loop.get('val_begin', 0) > last:
        raise ValueError(
            f'train_cfg.val_begin is {loop["val_begin"]}, behind the end of the run, {last}: set '
            'it to less, or val_cfg, val_dataloader and val_evaluator to None.'
        )
    schedules, loop = cfg.get('param_scheduler') or (), cfg.get('train_cfg') or {}
    for index, part in enumerate([schedules] if isinstance(schedules, dict) else schedules):
        key = 'max_epochs' if part.get('by_epoch', True) else 'max_iters'
        begin = part.get('begin', 0)
        # What the loop does not count is as long as one could want.
        if 'end' not in part and begin >= loop.get(key, math.inf):
            raise ValueError(
                f'param_scheduler.{index}.begin is {begin}, expected less than the end of the run, '
                f'train_cfg.{key}={loop[key]}.'
            )


def train_loop(part: dict, key: str) -> str:
    """The type of a training loop that has none."""
    check_value(part.get('by_epoch'), bool, f'{key}.by_epoch')
    return 'EpochBasedTrainLoop' if part['by_epoch'] else 'IterBasedTrainLoop'


def check_loop(part: dict, kind: Callable, key: str) -> None:
    """A loop validates at an interval."""
    for step in part.get('dynamic_intervals') or ():
        if not fits(step, Tuple[int, int]) or not isinstance(step, tuple):
            raise TypeError(
                f'{key}.dynamic_intervals has {step!r}, expected tuples, (from when, interval).'
            )
        if min(step) < 0 or step[1] < 1:
            raise ValueError(
                f'{key}.dynamic_intervals has {step!r}, expected (from when, interval > 0).'
            )
    steps = part.get('dynamic_intervals') or ()
    if [when for when, _ in steps] != sorted(when for when, _ in steps):
        raise ValueError(f'{key}.dynamic_intervals is {steps!r}, expected in the order of time.')


def check_loader(part: dict, key: str) -> None:
    """A dataloader has all that it needs."""
    check_keys(part, (*inspect.signature(DataLoader).parameters, *LOADER), key)
    for name in part:
        check_value(part[name], LOADER.get(name, Any), f'{key}.{name}')
    for name in ('dataset', 'sampler'):
        if name not in part:
            raise ValueError(f'{key} lacks "{name}". ' + nearest(name, part, most=1))
    if 'batch_size' not in part and 'batch_sampler' not in part:
        raise ValueError(f'{key} lacks "batch_size".')
    for name in ('prefetch_factor', 'persistent_workers'):
        if part.get(name) and not part.get('num_workers'):
            raise ValueError(f'{key}.{name} needs {key}.num_workers > 0.')
    if 'collate_fn' in part and not isinstance(part['collate_fn'], dict):
        check_value(part['collate_fn'], Callable, f'{key}.collate_fn')


def check_dataset(part: dict, kind: Callable, key: str) -> None:
    """A dataset is on the disk and has what its images go through."""
    parameters = inspect.signature(kind).parameters
    for name in ('dataset', 'datasets'):
        if name in parameters and name not in part:
            raise ValueError(f'{key} lacks "{name}", which {kind.__name__} needs.')
    check_value(part.get('datasets', ()), Sequence, f'{key}.datasets')
    root = part.get('data_root') or ''
    local = isinstance(root, str) and '://' not in root and not part.get('download')
    if local and not Path(root).exists():
        raise ValueError(
            f'{key}.data_root="{root}" does not exist (looked in {Path.cwd()}): put the dataset '
            f'there, link it, or set {key}.data_root.'
        )
    if inspect.isclass(kind) and issubclass(kind, BaseDataset) and not part.get('pipeline'):
        others = [name for name in part if name not in parameters]
        raise ValueError(
            f'{key}.pipeline is missing or empty: without PackInputs the model gets no images. '
            + nearest('pipeline', others, most=1)
        )
    check_value(part.get('pipeline', ()), Sequence, f'{key}.pipeline')


def check_hook(part: dict, kind: Callable, key: str) -> None:
    """What an EMAHook does not take is taken by the average that it builds when the run begins."""
    if not inspect.isclass(kind) or not issubclass(kind, EMAHook):
        return
    own = ('type', '_scope_', 'priority', *inspect.signature(kind).parameters)
    average = {name: value for name, value in part.items() if name not in own}
    average['type'] = part.get('ema_type', 'ExponentialMovingAverage')
    check_part(average, MODELS, key, given=('model',))
    if not 0 < average.get('momentum', 0.5) < 1:
        raise ValueError(f'{key}.momentum is {average["momentum"]}, expected 0 to 1.')


def check_optim_wrapper(part: dict, kind: Callable, key: str) -> None:
    """A wrapper has an optimizer and clips by arguments that torch knows."""
    constructor = part.get('constructor', 'DefaultOptimWrapperConstructor')
    check_value(constructor, str, f'{key}.constructor')
    registered(constructor, OPTIM_WRAPPER_CONSTRUCTORS, f'{key}.constructor')
    for name in ('paramwise_cfg', 'clip_grad'):
        check_value(part.get(name), Optional[dict], f'{key}.{name}')
    if constructor == 'DefaultOptimWrapperConstructor':
        check_paramwise(part.get('paramwise_cfg') or {}, f'{key}.paramwise_cfg')
    # Another constructor may build several optimizers.
    if 'optimizer' not in part and constructor == 'DefaultOptimWrapperConstructor':
        raise ValueError(f'{key} lacks "optimizer". ' + nearest('optimizer', part, most=1))
    if part.get('clip_grad'):
        clip = dict(part['clip_grad'])
        by = clip.pop('type', 'norm')
        if by not in ('norm', 'value'):
            raise ValueError(f'{key}.clip_grad.type is {by!r}, expected "norm" or "value".')
        for name in ('max_norm', 'clip_value'):
            if isinstance(clip.get(name), (int, float)) and not clip[name] > 0:
                raise ValueError(f'{key}.clip_grad.{name} is {clip[name]!r}, expected > 0.')
        clipper = getattr(torch.nn.utils, f'clip_grad_{by}_')
        check_arguments(clipper, clip, f'{key}.clip_grad', given=('parameters',))


def check_paramwise(part: dict, key: str) -> None:
    """Multiples are known, numbers, and within ``custom_keys`` those of names of weights."""
    check_keys(part, ('custom_keys', 'bypass_duplicate', *MULTIPLES[2:]), key)
    check_value(part.get('custom_keys', {}), dict, f'{key}.custom_keys')
    for name, multiples in (part.get('custom_keys') or {}).items():
        place = f'{key}.custom_keys.{name}'
        if not isinstance(multiples, dict):
            raise TypeError(
                f'{place} is {multiples!r}, expected dict(lr_mult=…, decay_mult=…) for the weights '
                f'with "{name}" in their names.'
            )
        check_options(multiples, dict.fromkeys(MULTIPLES[:2], float), place)
    for name in MULTIPLES:
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
    begin, end = part.get('begin', 0), part.get('end', math.inf)
    if end <= begin:
        raise ValueError(f'{key}.end is {end}, expected more than {key}.begin, {begin}.')


def check_environment(part: dict) -> None:
    """Processes can be started and find each other."""
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
