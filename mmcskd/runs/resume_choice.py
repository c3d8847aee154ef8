"""Choose the checkpoint from which a run resumes."""

import os
import re
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Optional, Tuple

import torch

from .atomic_file import damage
from .safe_loading import load_from_local

PREEMPTED = 'preempted_iter_{}.pth'
NEEDED = ('meta', 'state_dict', 'optimizer', 'message_hub')


def choose(found: List[Path], wanted: Optional[str], runner) -> Optional[str]:
    """The newest good checkpoint, or the given one.

    Args:
        found (List[Path]): The run's checkpoints, newest first.
        wanted (str, optional): The given file. Defaults to None.
        runner (Runner): The runner; its logger gets a warning for each damaged one.

    Returns:
        str | None: The file; None if there is no checkpoint.

    Raises:
        ValueError: If the given one, or all of them, are damaged.
    """
    passed = {}
    if wanted is not None:
        reason = training_fault(wanted)
        if reason is None:
            return wanted
        passed[wanted] = reason
    named = pointed_at(runner.work_dir)
    if named is not None and os.path.isfile(named) and not _among(named, found):
        passed[str(named)] = 'of last_checkpoint is not in the folder of this run'
    for path in found:
        reason = training_fault(path)
        if reason is not None:
            passed[str(path)] = reason
            continue
        if wanted is not None:
            raise ValueError(
                f'--resume: {wanted} {passed[wanted]}. The newest good one is {path}: name that, '
                'or give --resume alone.'
            )
        if named is not None and not os.path.isfile(named):
            passed[str(named)] = 'of last_checkpoint is gone'
        elif named is not None and not path.samefile(named) and str(named) not in passed:
            passed[str(named)] = 'of last_checkpoint is older'
        if passed:
            runner.logger.warning(f'Resuming from {path}, as {_spelt(passed)}.')
        return str(path)
    if passed:
        raise ValueError(
            f'--resume: no good checkpoint is left: {_spelt(passed)}. To start anew, remove '
            'them or leave out --resume.'
        )
    return None


def candidates(
    folder: Path, template: str, by_epoch: bool, named: Optional[Path] = None
) -> List[Path]:
    """All checkpoints of a run, newest first: by iteration, then by date.

    Args:
        folder (Path): Their folder.
        template (str): Template of their names, with ``{}`` for the epoch or iteration.
        by_epoch (bool): Whether ``{}`` is the epoch.
        named (Path, optional): The file in ``last_checkpoint``, used if it is in that folder.
    """
    found: Dict[Path, Tuple[float, float]] = {}
    for path in folder.glob('*'):
        if match := _match(template, path):
            found[path] = (int(match[1]), 0) if by_epoch else (0, int(match[1]))
        elif match := _match(PREEMPTED, path):
            found[path] = _reached(path) if by_epoch else (0, int(match[1]))
    here = named is not None and named.parent.resolve() == folder.resolve()
    if named is not None and here and os.path.isfile(named) and not _among(named, found):
        epoch, iteration = _reached(named)
        found[named] = (epoch if by_epoch else 0, iteration)
    return sorted(found, key=lambda path: (found[path], _date(path)), reverse=True)


def pointed_at(work_dir: str) -> Optional[Path]:
    """The file in ``last_checkpoint``, which need not exist.

    Args:
        work_dir (str): Work directory of the run.
    """
    last = Path(work_dir) / 'last_checkpoint'
    if not os.path.isfile(last):
        return None
    text = last.read_text(encoding='utf-8', errors='replace').strip()[:4096]
    return Path(''.join(letter if letter.isprintable() else '\ufffd' for letter in text))


def training_fault(path) -> Optional[str]:
    """The reason why a training cannot resume from a file.

    Args:
        path (str | Path): A checkpoint.

    Returns:
        str | None: The end of a sentence, such as "is empty"; None for a good checkpoint.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        return 'is no file'
    reason = damage(path)
    if reason is not None:
        return reason
    try:
        content = load_from_local(str(path), map_location='cpu')
    except Exception as error:  # any error of the unpickler
        return f'cannot be read ({error})'
    missing = [key for key in NEEDED if not isinstance(content, dict) or key not in content]
    if missing:
        return f'is no checkpoint of a training (it has no "{missing[0]}")'
    wrong = next((name for name, good in _parts(content) if not good), None)
    return wrong and f'is no checkpoint of a training (its {wrong} is not what it should be)'


def _parts(content: dict) -> Iterator[Tuple[str, bool]]:
    """The values that MMEngine takes for granted, and whether each is of the right kind."""
    meta, weights, hub = (content[key] for key in ('meta', 'state_dict', 'message_hub'))
    for name in ('epoch', 'iter'):
        count = meta.get(name) if isinstance(meta, dict) else None
        yield f'meta.{name}', type(count) is int and count >= 0
    yield 'state_dict', isinstance(weights, dict) and len(weights) > 0
    for name, value in weights.items():
        extra = str(name).endswith('_extra_state')
        yield f'state_dict["{name}"]', extra or isinstance(value, torch.Tensor)
    for name in ('log_scalars', 'runtime_info', 'resumed_keys'):
        yield f'message_hub.{name}', isinstance(hub, dict) and isinstance(hub.get(name), dict)
    optimizer = content['optimizer']
    yield 'optimizer', isinstance(optimizer, dict) and len(optimizer) > 0
    # Several optimizers are a dict of such.
    several = 'param_groups' not in optimizer
    for state in optimizer.values() if several else [optimizer]:
        good = isinstance(state, dict) and isinstance(state.get('state'), dict)
        yield 'optimizer', good and isinstance(state.get('param_groups'), (list, tuple))
    schedules = content.get('param_schedulers', [])
    lists = list(schedules.values()) if isinstance(schedules, dict) else [schedules]
    good = all(isinstance(each, list) for each in lists)
    yield 'param_schedulers', good and all(isinstance(one, dict) for one in sum(lists, []))
    yield 'ema_state_dict', isinstance(content.get('ema_state_dict', {}), dict)


def _among(path: Path, others: Iterable[Path]) -> bool:
    return any(os.path.exists(other) and path.samefile(other) for other in others)


def _date(path: Path) -> int:
    """0 for a link to nothing."""
    return path.stat().st_mtime_ns if os.path.exists(path) else 0


def _match(template: str, path: Path) -> Optional[re.Match]:
    return re.fullmatch(re.escape(template).replace(r'\{\}', r'(\d+)'), path.name)


def _reached(path: Path) -> Tuple[float, float]:
    """Finished epochs and iterations, from the name or else from the file."""
    try:
        meta = load_from_local(str(path), map_location='cpu')['meta']
        return int(meta['epoch']), int(meta['iter'])
    except Exception:  # any error of the unpickler; training_fault finds the reason
        return float('inf'), float('inf')


def _spelt(passed: dict) -> str:
    return '; '.join(f'{path} {reason}' for path, reason in passed.items())
