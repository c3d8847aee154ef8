"""Curves of a run, from the log of MMEngine's local visualiser."""

import json
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

from ..runs.starts import starts


class Curve(NamedTuple):
    """One logged value over a run."""

    steps: List[float]
    """Iterations; epochs for validation results of an epoch-based run."""
    values: List[float]


def read_curves(work_dir: str) -> Dict[str, Curve]:
    """Read all values that a run logged.

    A resumed run has one log for each start. They are joined; where they overlap, the values of
    the later start are kept. If the directory has logs of several runs, the newest is read; a
    start is known to have resumed another by ``ExactResumeHook``.

    Args:
        work_dir (str): The run's work directory.

    Returns:
        dict[str, Curve]: By name, such as ``loss_cskd``, ``fusion_weight``, ``lr`` and
        ``accuracy/top1``.

    Raises:
        ValueError: If the directory holds no log of scalars.
    """
    logs = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))
    entries = {log.parents[1]: found for log in logs if (found := _entries(log))}
    if not logs:
        raise ValueError(
            f'WORK_DIR "{work_dir}" holds no */vis_data/scalars.json: give the --work-dir of a run '
            'whose vis_backends have dict(type="LocalVisBackend").'
        )
    points: Dict[str, Dict[float, float]] = {}
    for start in starts([*entries]) if entries else []:
        for step, entry in entries[start]:
            for name, value in entry.items():
                if isinstance(value, (int, float)):
                    points.setdefault(name, {})[step] = value
    return {
        name: Curve(sorted(values), [values[step] for step in sorted(values)])
        for name, values in points.items()
    }


def _entries(log: Path) -> List[Tuple[float, dict]]:
    """Step and values of each line of a training; a test's have step 0."""
    lines = map(_parsed, log.read_text(encoding='utf-8').splitlines())
    return [(line.pop('step'), line) for line in lines if line.get('step', 0) > 0]


def _parsed(line: str) -> dict:
    try:
        return json.loads(line)
    except json.JSONDecodeError:  # the last line of a killed run may be incomplete
        return {}
