"""Which of the checkpoints that are there a run resumes from."""

import re
from pathlib import Path
from typing import List, Optional, Tuple

from .atomic_file import damage
from .safe_loading import load_from_local

PREEMPTED = 'preempted_iter_{}.pth'
NEEDED = ('meta', 'state_dict', 'optimizer', 'message_hub')


def choose(found: List[Path], wanted: Optional[str], runner) -> Optional[str]:
    """The newest good checkpoint, or the one that was asked for.

    Args:
        found (List[Path]): The run's checkpoints, newest first.
        wanted (str, optional): The one that was asked for.
        runner (Runner): Of whose run they are; its logger is told what was passed over.

    Returns:
        str | None: The file; None if there is none at all.

    Raises:
        ValueError: If the one asked for, or all of them, are damaged.
    """
    passed = {}
    if wanted is not None:
        reason = training_fault(wanted)
        if reason is None:
            return wanted
        passed[wanted] = reason
    named = pointed_at(runner.work_dir)
    if named is not None and named.is_file() and not any(map(named.samefile, found)):
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
        if named is not None and not named.is_file():
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
        folder (Path): Where they are.
        template (str): Of their names, with ``{}`` for the epoch or iteration.
        by_epoch (bool): Whether it stands for the epoch.
        named (Path, optional): What ``last_checkpoint`` names; counts if it is in that folder.
    """
    found = {}
    for path in folder.glob('*'):
        if match := _match(template, path):
            found[path] = (int(match[1]), 0) if by_epoch else (0, int(match[1]))
        elif match := _match(PREEMPTED, path):
            found[path] = _reached(path) if by_epoch else (0, int(match[1]))
    ours = named is not None and named.is_file() and named.parent.resolve() == folder.resolve()
    if ours and not any(map(named.samefile, found)):
        epoch, iteration = _reached(named)
        found[named] = (epoch if by_epoch else 0, iteration)
    return sorted(found, key=lambda path: (found[path], path.stat().st_mtime_ns), reverse=True)


def pointed_at(work_dir: str) -> Optional[Path]:
    """What ``last_checkpoint`` names, whether it is there or not.

    Args:
        work_dir (str): Of the run.
    """
    last = Path(work_dir) / 'last_checkpoint'
    return Path(last.read_text().strip()) if last.is_file() else None


def training_fault(path) -> Optional[str]:
    """Why a training cannot go on from a file.

    Args:
        path (str | Path): A checkpoint.

    Returns:
        str | None: A sentence's end such as "is empty"; None for a good checkpoint.
    """
    reason = damage(path)
    if reason is not None:
        return reason
    try:
        content = load_from_local(str(path), map_location='cpu')
    except Exception as error:  # whatever the unpickler says
        return f'cannot be read ({error})'
    missing = [key for key in NEEDED if not isinstance(content, dict) or key not in content]
    if missing:
        return f'is no checkpoint of a training (it has no "{missing[0]}")'
    return None


def _match(template: str, path: Path) -> Optional[re.Match]:
    return re.fullmatch(re.escape(template).replace(r'\{\}', r'(\d+)'), path.name)


def _reached(path: Path) -> Tuple[float, float]:
    """Epochs that are done and iterations; where the name tells no iterations, the file does."""
    try:
        meta = load_from_local(str(path), map_location='cpu')['meta']
        return int(meta['epoch']), int(meta['iter'])
    except Exception:  # whatever the unpickler says; training_fault finds the reason
        return float('inf'), float('inf')


def _spelt(passed: dict) -> str:
    return '; '.join(f'{path} {reason}' for path, reason in passed.items())
