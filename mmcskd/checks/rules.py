"""What the signatures of the parts of a config do not say."""

import inspect
import math
from pathlib import Path
from typing import Any, Callable, Optional, Sequence, Tuple, Union, get_type_hints

from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.runner import Priority, Runner, get_priority
from mmpretrain.engine import VisualizationHook
from mmpretrain.visualization import UniversalVisualizer
from mmrazor.registry import MODELS
from torch.utils.data import DataLoader

from .part import (
    check_keys,
    check_part,
    check_value,
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
IOU_METRICS = ('mIoU', 'mDice', 'mFscore')
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
    'layer_decay_rate': (0, math.inf),
}


def check_numbers(part: Any, key: str) -> None:
    """Refuse numbers out of range that most classes take at their word, in inner parts too."""
    for name, value in part.items() if isinstance(part, dict) else enumerate(part):
        check_most(str(name), value, f'{key}.{name}')
        if isinstance(value, (dict, list, tuple)):
            check_numbers(value, f'{key}.{name}')
        elif name in BOUNDS and type(value) in (int, float):
            least, below = BOUNDS[name]
            # MMSegmentation's heads know -1 as none.
            if not least <= value < below and (name, value) != ('dropout_ratio', -1):
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
    schedules = cfg.get('param_scheduler') or ()
    by_iteration = (
        type_name(loop if 'type' in loop else train_loop(loop, 'train_cfg')) == 'IterBasedTrainLoop'
    )
    for index, part in enumerate([schedules] if isinstance(schedules, dict) else schedules):
        by_epoch = part.get('by_epoch', True)
        key = 'max_epochs' if by_epoch else 'max_iters'
        begin = part.get('begin', 0)
        if by_iteration and by_epoch and not part.get('convert_to_iter_based'):
            raise ValueError(
                f'param_scheduler.{index}.by_epoch is True, but train_cfg counts iterations, all '
                'in one epoch, at whose end it would step: set it to False.'
            )
        # What the loop does not count is as long as one could want.
        if 'end' not in part and begin >= loop.get(key, math.inf):
            raise ValueError(
                f'param_scheduler.{index}.begin is {begin}, expected less than the end of the run, '
                f'train_cfg.{key}={loop[key]}.'
            )


def train_loop(part: dict, key: str) -> str:
    """The type of a training loop that has none."""
    if 'by_epoch' not in part:
        raise ValueError(f'{key} lacks "type" or "by_epoch".')
    check_value(part['by_epoch'], bool, f'{key}.by_epoch')
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
    if inspect.isclass(kind) and issubclass(kind, BaseDataset):
        for name, hint in get_type_hints(BaseDataset.__init__).items():
            if name in part and name not in parameters:
                check_value(part[name], hint, f'{key}.{name}')
        _check_family(part, kind, key)
    root = part.get('data_root') or ''
    local = isinstance(root, str) and '://' not in root and not part.get('download')
    if local and not Path(root).exists():
        raise ValueError(
            f'{key}.data_root="{root}" does not exist (looked in {Path.cwd()}): put the dataset '
            f'there, link it, or set {key}.data_root.'
        )
    if local and inspect.isclass(kind) and issubclass(kind, BaseDataset):
        _check_paths(part, Path(root), key)
    if inspect.isclass(kind) and issubclass(kind, BaseDataset) and not part.get('pipeline'):
        others = [name for name in part if name not in parameters]
        raise ValueError(
            f'{key}.pipeline is missing or empty: without PackInputs the model gets no images. '
            + nearest('pipeline', others, most=1)
        )
    check_value(part.get('pipeline', ()), Sequence, f'{key}.pipeline')
    _check_metainfo(part.get('metainfo') or {}, kind, f'{key}.metainfo')
    family = inspect.getmro(kind) if isinstance(kind, type) else ()
    if any(each.__module__.startswith('mmseg.') for each in family):
        default = parameters.get('reduce_zero_label')
        reduced = part.get('reduce_zero_label', default.default if default else False)
        _check_segments(part, reduced, key)
    if any(each.__name__ == 'CocoDataset' for each in family):
        _check_prefixes(part.get('data_prefix'), ['img'], key)
        check_keys(
            part.get('filter_cfg') or {}, ('filter_empty_gt', 'min_size'), f'{key}.filter_cfg'
        )


def _check_family(part: dict, kind: type, key: str, others: Sequence[str] = ()) -> None:
    """What a class does not take it hands on to its parents, or ignores: one of them knows it."""
    inits = [vars(each)['__init__'] for each in kind.__mro__[:-1] if '__init__' in vars(each)]
    taken = {name for init in inits for name in inspect.signature(init).parameters}
    check_keys(part, {'type', '_scope_', *taken, *others}, key)


def _check_paths(part: dict, root: Path, key: str) -> None:
    """What a dataset reads is under its root, or has a whole path."""
    prefixes = part.get('data_prefix') or {}
    given = {'ann_file': part.get('ann_file')}
    if isinstance(prefixes, dict):
        given.update({f'data_prefix.{name}': path for name, path in prefixes.items()})
    else:
        given['data_prefix'] = prefixes
    for name, path in given.items():
        check_value(path, Optional[str], f'{key}.{name}')
        if path and '://' not in path and not (root / path).exists():
            raise ValueError(
                f'{key}.{name}="{path}" does not exist in {key}.data_root="{root}" (looked in '
                f'{Path.cwd()}).'
            )
    for name in ('img_suffix', 'seg_map_suffix'):
        if name in part and not (isinstance(part[name], str) and part[name]):
            raise ValueError(f'{key}.{name} is {part[name]!r}, expected an ending of file names.')


def _check_metainfo(part: Any, kind: Any, key: str) -> None:
    """The classes of a dataset are names, under the key that is read."""
    check_value(part, dict, key)
    if set(part) - {'palette', *(getattr(kind, 'METAINFO', None) or ())} and 'classes' not in part:
        raise ValueError(f'{key} lacks "classes". ' + nearest('classes', part, most=1))
    classes = part.get('classes', ())
    check_value(classes, Union[str, Sequence[str]], f'{key}.classes')
    if 'classes' in part and not classes:
        raise ValueError(f'{key}.classes is {classes!r}: no label would be left.')
    if isinstance(classes, str) and not Path(classes).is_file():
        raise ValueError(f'{key}.classes="{classes}" is no file of names, one a line.')


def _check_segments(part: dict, reduced: Any, key: str) -> None:
    """A dataset of MMSegmentation has what is read of it, and means the same by the first class."""
    needed = ['img_path']
    for index, step in enumerate(part.get('pipeline', ())):
        if type_name(step) != 'LoadAnnotations':
            continue
        needed.append('seg_map_path')
        own = step.get('reduce_zero_label')
        if own not in (None, reduced):
            raise ValueError(
                f'{key}.reduce_zero_label is {reduced!r}, but {key}.pipeline.{index}.'
                f'reduce_zero_label {own!r}: leave the second out.'
            )
    # Without prefixes images would be their own annotations.
    _check_prefixes(part.get('data_prefix') or (len(needed) > 1 and {}), needed, key)


def _check_prefixes(part: Any, needed: Sequence[str], key: str) -> None:
    for name in needed if isinstance(part, dict) else ():
        if part.get(name) is None:
            near = nearest(name, part, most=1)
            raise ValueError(f'{key}.data_prefix lacks "{name}", which is read. {near}')


def check_metric(part: dict, kind: Callable, key: str) -> None:
    """What a metric of MMDetection or MMSegmentation says of its values when all is evaluated."""
    if isinstance(kind, type) and issubclass(kind, BaseMetric):
        _check_family(part, kind, key)
    given = part.get('iou_metrics', ())
    for name in [given] if isinstance(given, str) else given:
        if name not in IOU_METRICS:
            raise ValueError(f'{key}.iou_metrics has {name!r}. ' + nearest(name, IOU_METRICS))
    path = part.get('ann_file')
    if isinstance(path, str) and '://' not in path and not Path(path).is_file():
        raise ValueError(f'{key}.ann_file="{path}" is no file (looked in {Path.cwd()}).')


def check_hook(part: dict, kind: Callable, key: str) -> None:
    """What a hook does not take is taken by what it builds or calls when the run has begun."""
    if 'priority' in part:
        try:
            get_priority(part['priority'])
        except (KeyError, TypeError, ValueError):
            near = nearest(part['priority'], Priority.__members__)
            raise ValueError(
                f'{key}.priority is {part["priority"]!r}, expected 0 to 100 or a name. {near}'
            ) from None
    if kind is VisualizationHook:
        drawn = inspect.signature(UniversalVisualizer.visualize_cls).parameters
        taken = (*inspect.signature(kind).parameters, *drawn)
        check_keys(part, ('type', '_scope_', 'priority', *taken), key)
    if inspect.isclass(kind) and issubclass(kind, CheckpointHook):
        saved = inspect.signature(Runner.save_checkpoint).parameters
        _check_family(part, kind, key, ('priority', *saved))
    if not inspect.isclass(kind) or not issubclass(kind, EMAHook):
        return
    own = ('type', '_scope_', 'priority', *inspect.signature(kind).parameters)
    average = {name: value for name, value in part.items() if name not in own}
    average['type'] = part.get('ema_type', 'ExponentialMovingAverage')
    check_part(average, MODELS, key, given=('model',))
    if not 0 < average.get('momentum', 0.5) < 1:
        raise ValueError(f'{key}.momentum is {average["momentum"]}, expected 0 to 1.')
