"""What the weights of a run depend on, to tell a resumed run from another one."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any, Collection, Dict, Iterator, Optional, Sequence, Tuple, Union

import numpy as np
from mmengine.runner import EpochBasedTrainLoop

from ..checks.class_names import dataset_classes
from .wrapped_model import unwrapped

PARTS = (
    'model', 'data_preprocessor', 'train_dataloader', 'train_cfg', 'optim_wrapper',
    'param_scheduler', 'custom_hooks', 'auto_scale_lr',
)  # fmt: skip
# Keys of a loader that change the speed, not the batches.
SPEED = ('num_workers', 'persistent_workers', 'pin_memory', 'prefetch_factor')
# Validation changes nothing; the total batch, which processes share, is compared by itself; what
# a model starts from is no matter to one that resumes.
UNRELATED = (*SPEED, 'val_interval', 'val_begin', 'dynamic_intervals', 'batch_size', 'init_cfg')


def run_fingerprint(runner) -> Dict[str, Any]:
    """What the weights of a training run depend on beside its seed and total batch.

    A model may have a method ``depends_on()`` that returns a dictionary of config keys and plain
    values that stand for them, such as a digest for the path of a frozen teacher's weights.

    Args:
        runner (Runner): With a built train loop.

    Returns:
        dict: Plain values by config key.
    """
    cfg = runner.cfg if 'model' in runner.cfg else {}  # one that was built part by part has none
    found = {part: plain(cfg.get(part), UNRELATED) for part in PARTS if cfg}
    by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
    length = 'max_epochs' if by_epoch else 'max_iters'
    (found.get('train_cfg') or {}).pop(length, None)
    found[f'train_cfg.{length}'] = getattr(runner, length)
    dataset = runner.train_dataloader.dataset
    found['number of images of train_dataloader.dataset'] = len(dataset)
    found['classes of train_dataloader.dataset'] = plain(dataset_classes(dataset))
    for key, value in getattr(unwrapped(runner), 'depends_on', dict)().items():
        *path, last = key.split('.') if cfg else [key]
        place = found
        for name in path:
            if not isinstance(place.get(name), dict):  # a part that is built already
                place[name] = {}
            place = place[name]
        place[last] = value
    return found


def check_changes(runner, then: Any, allowed: Sequence[str]) -> None:
    """Refuse to resume a run on whose settings the weights depend otherwise.

    Args:
        runner (Runner): The run that resumes.
        then (Any): Fingerprint in the checkpoint, None if it has none.
        allowed (Sequence[str]): Keys that may differ, with all that is below them.

    Raises:
        ValueError: If others differ.
    """
    if not isinstance(then, dict):
        runner.logger.warning(
            'The checkpoint is of a release that did not save what a run depends on: whether '
            'teacher, losses, schedules and data are still those of its run is not checked.'
        )
        return
    now = run_fingerprint(runner)
    both = then.keys() & now.keys()  # another release may compare more
    found = differences({key: then[key] for key in both}, {key: now[key] for key in both})
    accepted: Dict[str, str] = {}
    refused: Dict[str, str] = {}
    for key, old, new in found:
        known = any(f'{key}.'.startswith(f'{each}.') for each in allowed)
        (accepted if known else refused)[key] = f'"{key}" was {short(old)} and is {short(new)} now'
    if refused:
        raise ValueError(
            f'The checkpoint to resume from is of another run: {"; ".join(refused.values())}. '
            'Change it back, or start a run of its own from these weights with load_from. To go on '
            f'all the same, set default_hooks.exact_resume.allowed_changes={list(refused)}.'
        )
    if accepted:
        runner.logger.warning(
            f'Resumed as another run, by allowed_changes: {"; ".join(accepted.values())}. '
            'Schedules of the optimizer go on as they were saved.'
        )


def differences(then: Dict[str, Any], now: Dict[str, Any]) -> Iterator[Tuple[str, Any, Any]]:
    """Key, old and new value of all that differs, each as deep within the two as possible."""
    for key in sorted({*then, *now}):
        yield from _differences(key, then.get(key), now.get(key))


def _differences(path: str, then: Any, now: Any) -> Iterator[Tuple[str, Any, Any]]:
    if isinstance(then, dict) and isinstance(now, dict):
        for key in sorted({*then, *now}):
            yield from _differences(f'{path}.{key}', then.get(key), now.get(key))
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for index, pair in enumerate(zip(then, now)):
            yield from _differences(f'{path}.{index}', *pair)
    elif then != now:
        yield path, then, now


def short(value: Any) -> str:
    """A value as it stands in a message."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 120 else text[:117] + '…'


def plain(value: Any, unrelated: Collection[str] = ()) -> Any:
    """A part of a config as lists, dictionaries, numbers and text.

    Args:
        value (Any): The part. Classes and functions are given by their names.
        unrelated (Collection[str]): Keys to leave out at any depth. Defaults to none.
    """
    if isinstance(value, dict):
        return {str(k): plain(v, unrelated) for k, v in value.items() if k not in unrelated}
    if isinstance(value, (list, tuple)):
        return [plain(each, unrelated) for each in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # NaN differs from itself
    if isinstance(value, (bool, int, float, str, type(None))):
        return value
    named = value if hasattr(value, '__qualname__') else type(value)
    return f'{named.__module__}.{named.__qualname__}'


def content_digest(path: Union[str, Path]) -> Optional[str]:
    """SHA-256 of a file's content, in any folder; None if it is not there."""
    if not Path(path).is_file():
        return None
    sha = hashlib.sha256()
    with open(path, 'rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            sha.update(block)
    return sha.hexdigest()
