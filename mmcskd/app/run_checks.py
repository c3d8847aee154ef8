"""What can be said of a run when its parts are built, before its first iteration."""

import difflib
import math
from typing import Any, Iterator, List, Optional, Tuple

from mmengine.hooks import CheckpointHook, EarlyStoppingHook, EMAHook
from mmengine.runner import BaseLoop, Runner
from mmpretrain.evaluation import Accuracy, ConfusionMatrix, MultiLabelMetric

from ..checks.class_names import (
    check_class_names,
    check_run_classes,
    checkpoint_classes,
    dataset_classes,
)
from ..checks.part import type_name
from ..runs.wrapped_model import unwrapped

STOCK = ('mmcv.', 'mmdet.', 'mmseg.')
# Of hooks that change something once: the key, and the epoch, from 1 on.
SWITCHES = dict(
    SwitchRecipeHook=('schedule has an action_epoch', lambda hook: max(hook.schedule, default=1)),
    PipelineSwitchHook=('switch_epoch, from 1 on,', lambda hook: hook.switch_epoch + 1),
)


def check_run(runner: Runner) -> None:
    """Refuse a run that would end with an error, or with another number than it says.

    Args:
        runner (Runner): With the loops built that it will run.

    Raises:
        ValueError: If datasets or the teacher name the same classes by other numbers, a ``topk`` is
            larger than the number of classes, batch augmentations make labels of other classes than
            the model's, a metric has no annotations, ``save_best`` names a metric that there is
            not, ``custom_keys`` names a weight that there is not, a hook changes something
            behind the end of the run, or an average is too long for it.
    """
    _check_classes(runner)
    for phase, loop in _loops(runner):
        _check_topk(runner, phase, loop)
        _check_truth(runner, phase, loop)
    _check_preprocessor(unwrapped(runner))
    if isinstance(getattr(runner, '_train_loop', None), BaseLoop):
        _check_averages(runner)
        _check_switches(runner)
        _check_monitored(runner)
        _check_custom_keys(runner)
        _check_annotations(runner)


def check_loaded(runner: Runner, checkpoint: dict) -> None:
    """Refuse a checkpoint whose classes are the run's by other numbers.

    Args:
        runner (Runner): Of the training.
        checkpoint (dict): What it starts from or resumes.

    Raises:
        ValueError: If they are.
    """
    loop = getattr(runner, '_train_loop', None)
    if isinstance(loop, BaseLoop):
        named = {
            'train_dataloader.dataset': dataset_classes(loop.dataloader.dataset),
            f'load_from="{runner._load_from}"': checkpoint_classes(checkpoint),
        }
        for warning in check_class_names(named):
            runner.logger.warning(warning)


def _check_classes(runner: Runner) -> None:
    """Refuse datasets, or a teacher, with the same classes by other numbers."""
    datasets = {
        f'{phase}_dataloader.dataset': getattr(loop.dataloader, 'dataset', None)
        for phase, loop in _loops(runner)
    }
    for key, dataset in datasets.items():
        for each in _innermost(dataset):
            names, found = dataset_classes(each), getattr(each, 'cat_ids', None)
            if names and isinstance(found, list) and len(found) != len(names):
                raise ValueError(
                    f'{key}.metainfo.classes has {len(names)} names, of which {len(found)} are '
                    f'categories of ann_file="{each.ann_file}": labels would be of other classes. '
                    'Name those of the file.'
                )
    for warning in check_run_classes(unwrapped(runner), datasets):
        runner.logger.warning(warning)


def _innermost(dataset: Any) -> Iterator[Any]:
    """A dataset, or those that it repeats or joins."""
    inner = [*getattr(dataset, 'datasets', ()), getattr(dataset, 'dataset', None)]
    inner = [each for each in inner if each is not None]
    for each in inner:
        yield from _innermost(each)
    if not inner and dataset is not None:
        yield dataset


def _check_averages(runner: Runner) -> None:
    """Refuse an average that the run is too short for, or that begins behind its end."""
    for hook in runner.hooks:
        if isinstance(hook, EMAHook):
            for key, end in (('begin_epoch', runner.max_epochs), ('begin_iter', runner.max_iters)):
                if getattr(hook, key) > end:
                    raise ValueError(
                        f'The EMAHook in custom_hooks has {key}={getattr(hook, key)}, but the run '
                        f'ends at {end}: set it to less, or take the hook out.'
                    )
        # The other types warm up or forget nothing.
        if not isinstance(hook, EMAHook) or type_name(hook.ema_cfg) != 'ExponentialMovingAverage':
            continue
        momentum, every = hook.ema_cfg.get('momentum', 0.0002), hook.ema_cfg.get('interval', 1)
        iterations, span = runner.max_iters, every / momentum
        begin = hook.begin_iter or hook.begin_epoch * len(runner.train_dataloader)
        if span > iterations and begin < iterations / 2:
            raise ValueError(
                f'The EMAHook in custom_hooks averages over some {span:.0f} iterations '
                f'(momentum={momentum:g}), but the run has {iterations}: validation, best '
                'checkpoint and export would be of nearly the first weights. Set its momentum to '
                f'{every / iterations:.2g} or more, its ema_type to "MomentumAnnealingEMA", which '
                f'warms up, or its begin_iter to {math.ceil(iterations / 2)} or more; or take it '
                'out.'
            )


def _check_switches(runner: Runner) -> None:
    for hook in runner.hooks:
        key, epoch_of = SWITCHES.get(type(hook).__name__, ('', None))
        if epoch_of and epoch_of(hook) > runner.max_epochs:
            raise ValueError(
                f'The {type(hook).__name__} in custom_hooks: {key} of {epoch_of(hook)}, but the '
                f'run ends after epoch {runner.max_epochs}: set it to that at most, or take it out.'
            )


def _loops(runner: Runner) -> Iterator[Tuple[str, Any]]:
    for phase in ('train', 'val', 'test'):
        loop = getattr(runner, f'_{phase}_loop', None)
        if isinstance(loop, BaseLoop):
            yield phase, loop


def _check_topk(runner: Runner, phase: str, loop: Any) -> None:
    named = dataset_classes(getattr(loop.dataloader, 'dataset', None))
    known = (len(named or ()), _num_classes(unwrapped(runner)))
    classes = min((count for count in known if count), default=None)
    for metric in getattr(getattr(loop, 'evaluator', None), 'metrics', ()):
        if not isinstance(metric, (Accuracy, MultiLabelMetric)) or not classes:
            continue
        topk = getattr(metric, 'topk', None) or ()
        topk = tuple(topk) if isinstance(topk, (list, tuple)) else (topk,)
        kept = tuple(k for k in topk if 1 <= k <= classes)
        if kept != topk:
            raise ValueError(
                f'{phase}_evaluator.topk is {topk}, but there are {classes} classes: set it to '
                f'{kept or f"1 to {classes}"}.'
            )


def _check_truth(runner: Runner, phase: str, loop: Any) -> None:
    """Metrics have names of classes, and annotations, if need be those that the pipeline packs."""
    packed = "'instances'" in str(runner.cfg.get(f'{phase}_dataloader'))
    for metric in getattr(getattr(loop, 'evaluator', None), 'metrics', ()):
        if type(metric).__name__ == 'CocoMetric' and metric._coco_api is None and not packed:
            raise ValueError(
                f'{phase}_evaluator.ann_file is missing: name the file of annotations, or add '
                f"'instances' to meta_keys of PackDetInputs in {phase}_dataloader."
            )
        if type(metric).__name__ == 'IoUMetric' and not dataset_classes(loop.dataloader.dataset):
            raise ValueError(
                f'{phase}_dataloader.dataset.metainfo.classes is missing, the names of what '
                f'{phase}_evaluator counts.'
            )


def _check_annotations(runner: Runner) -> None:
    """The pipeline of a dense student loads what it learns from, as far as its steps are stock."""
    steps = list(_transforms(runner.train_dataloader.dataset))
    student = getattr(unwrapped(runner), 'architecture', unwrapped(runner))
    learnt = {name: getattr(student, name, False) for name in ('with_bbox', 'with_mask')}
    learnt['with_seg'] = hasattr(student, 'decode_head')
    stock = all(type(step).__module__.startswith(STOCK) for step in steps)
    for name, needed in learnt.items():
        if stock and needed and not any(getattr(step, name, False) for step in steps):
            raise ValueError(
                f'train_dataloader.dataset.pipeline has no LoadAnnotations with {name}=True, which '
                'the model learns from.'
            )


def _transforms(dataset: Any) -> Iterator[Any]:
    for each in _innermost(dataset):
        yield from getattr(getattr(each, 'pipeline', None), 'transforms', ())


def _check_preprocessor(model: Any) -> None:
    """Mixed labels are vectors of the preprocessor's classes."""
    preprocessor, classes = getattr(model, 'data_preprocessor', None), _num_classes(model)
    mixed = getattr(preprocessor, 'num_classes', None)
    if getattr(preprocessor, 'batch_augments', None) is not None and classes not in (None, mixed):
        raise ValueError(
            f'data_preprocessor.num_classes is {mixed}, of which its batch_augments make labels, '
            f'but the model has {classes} classes: set it to {classes}.'
        )


def _check_monitored(runner: Runner) -> None:
    """What is watched is measured, and a checkpoint is due before the end."""
    watched = []
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook):
            _check_due(runner, hook)
            best = hook.key_indicators if hook.save_best else ()
            watched += [('default_hooks.checkpoint.save_best', name) for name in best]
        if isinstance(hook, EarlyStoppingHook):
            watched.append(('The EarlyStoppingHook in custom_hooks: monitor', hook.monitor))
    schedules = runner.param_schedulers or ()
    for schedule in schedules if isinstance(schedules, (list, tuple)) else ():
        if hasattr(schedule, 'monitor'):
            watched.append(('param_scheduler: monitor', schedule.monitor))
    loop = getattr(runner, '_val_loop', None)
    first = next(iter(getattr(getattr(loop, 'evaluator', None), 'metrics', ())), None)
    if isinstance(first, ConfusionMatrix) and 'auto' in (name for _, name in watched):
        raise ValueError(
            'default_hooks.checkpoint.save_best is "auto", which takes the first number of '
            'val_evaluator, but the first gives a table, ConfusionMatrix: put another before it.'
        )
    known = _metrics(loop) or []
    for key, name in watched if known else ():
        if name != 'auto' and name not in known:
            auto = ', or "auto"' if key.endswith('save_best') else ''
            raise ValueError(
                f'{key} is "{name}", but val_evaluator gives {", ".join(known)}: take one of '
                f'them{auto}.'
            )


def _check_due(runner: Runner, hook: CheckpointHook) -> None:
    end = runner.max_epochs if hook.by_epoch else runner.max_iters
    due = max(hook.interval, hook.save_begin + 1)
    if hook.interval > 0 and due > end and not hook.save_last and not hook.save_best:
        raise ValueError(
            f'default_hooks.checkpoint saves nothing: with interval={hook.interval}, save_begin='
            f'{hook.save_begin} and save_last=False the first checkpoint is due behind the end of '
            f'the run, {end}.'
        )


def _check_custom_keys(runner: Runner) -> None:
    """Rates of their own have weights, and no name is misspelt.

    Recipes of whole families name weights that few models have, to keep them from decaying.
    """
    weights = [name for name, _ in unwrapped(runner).named_parameters()]
    pieces = {piece for name in weights for piece in name.split('.')}
    wrapper = runner.cfg.get('optim_wrapper') or {}
    keys = (wrapper.get('paramwise_cfg') or {}).get('custom_keys') or {}
    for key, multiples in keys.items():
        if any(key in (name if '.' in name else f'.{name}') for name in weights):
            continue
        said = f'optim_wrapper.paramwise_cfg.custom_keys has "{key}", but no weight has that name.'
        for piece in key.split('.'):
            near = difflib.get_close_matches(piece, pieces, n=1, cutoff=0.8)
            if near and piece not in pieces:
                raise ValueError(f'{said} Nearest: "{near[0]}".')
        if set(multiples) - {'decay_mult'}:
            raise ValueError(f'{said} The first one is "{weights[0]}".')
        runner.logger.warning(said)


def _metrics(loop: Any) -> Optional[List[str]]:
    """The names of what a validation will give, if that is known before."""
    found = []
    for metric in getattr(getattr(loop, 'evaluator', None), 'metrics', ()):
        if not isinstance(metric, Accuracy) or len(metric.thrs) > 1:
            return None
        prefix = metric.prefix or metric.default_prefix
        found += [f'{prefix}/top{k}' if prefix else f'top{k}' for k in metric.topk]
    return found or None


def _num_classes(model: Any) -> Optional[int]:
    head = getattr(getattr(model, 'architecture', model), 'head', None)
    found = getattr(head, 'num_classes', None)
    return found if isinstance(found, int) else None
