"""What can be said of a run when its parts are built, before its first iteration."""

import math
from typing import Any, Iterator, List, Optional, Tuple

from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.runner import BaseLoop, Runner
from mmpretrain.evaluation import Accuracy

from ..checks.class_names import (
    check_class_names,
    check_run_classes,
    checkpoint_classes,
    dataset_classes,
)
from ..checks.part import type_name
from ..runs.wrapped_model import unwrapped


def check_run(runner: Runner) -> None:
    """Refuse a run that would end with an error, or with another number than it says.

    Args:
        runner (Runner): With the loops built that it will run.

    Raises:
        ValueError: If datasets or the teacher name the same classes by other numbers, a ``topk`` is
            larger than the number of classes, batch augmentations make labels of other classes than
            the model's, ``save_best`` names a metric that there is not, or an average is too long
            for the run.
    """
    _check_classes(runner)
    for phase, loop in _loops(runner):
        _check_topk(runner, phase, loop)
    _check_preprocessor(unwrapped(runner))
    if isinstance(getattr(runner, '_train_loop', None), BaseLoop):
        _check_averages(runner)
        _check_best(runner)


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
    for warning in check_run_classes(unwrapped(runner), datasets):
        runner.logger.warning(warning)


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
        if isinstance(metric, Accuracy) and classes and max(metric.topk) > classes:
            kept = tuple(k for k in metric.topk if k <= classes)
            raise ValueError(
                f'{phase}_evaluator.topk is {tuple(metric.topk)}, but there are {classes} classes: '
                f'set it to {kept}.'
            )


def _check_preprocessor(model: Any) -> None:
    """Mixed labels are vectors of the preprocessor's classes."""
    preprocessor, classes = getattr(model, 'data_preprocessor', None), _num_classes(model)
    mixed = getattr(preprocessor, 'num_classes', None)
    if getattr(preprocessor, 'batch_augments', None) is not None and classes not in (None, mixed):
        raise ValueError(
            f'data_preprocessor.num_classes is {mixed}, of which its batch_augments make labels, '
            f'but the model has {classes} classes: set it to {classes}.'
        )


def _check_best(runner: Runner) -> None:
    known = _metrics(getattr(runner, '_val_loop', None))
    for hook in runner.hooks:
        if not isinstance(hook, CheckpointHook) or not hook.save_best or known is None:
            continue
        for name in hook.key_indicators:
            if name != 'auto' and name not in known:
                raise ValueError(
                    f'default_hooks.checkpoint.save_best is "{name}", but val_evaluator gives '
                    f'{", ".join(known)}: take one of them, or "auto".'
                )


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
