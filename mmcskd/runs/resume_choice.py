"""Choose the checkpoint from which a run resumes."""

import re
from pathlib import Path
from typing import List, Optional, Tuple

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
        folder (Path): Their folder.
        template (str): Template of their names, with ``{}`` for the epoch or iteration.
        by_epoch (bool): Whether ``{}`` is the epoch.
        named (Path, optional): The file in ``last_checkpoint``, used if it is in that folder.
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
    """The file in ``last_checkpoint``, which need not exist.

    Args:
        work_dir (str): Work directory of the run.
    """
    last = Path(work_dir) / 'last_checkpoint'
    return Path(last.read_text().strip()) if last.is_file() else None


def training_fault(path) -> Optional[str]:
    """The reason why a training cannot resume from a file.

    Args:
        path (str | Path): A checkpoint.

    Returns:
        str | None: The end of a sentence, such as "is empty"; None for a good checkpoint.
    """
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
    return None


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
