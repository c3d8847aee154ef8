"""Curves of a run, from the log of MMEngine's local visualiser."""

import json
from pathlib import Path
from typing import Dict, List, NamedTuple


class Curve(NamedTuple):
    """One logged value over a run."""

    steps: List[float]
    """Iterations; epochs for validation results of an epoch-based run."""
    values: List[float]


def read_curves(work_dir: str) -> Dict[str, Curve]:
    """Read all values that a run logged.

    A resumed run has one log for each start. They are joined; where they overlap, the values of
    the later start are kept.

    Args:
        work_dir (str): The run's work directory.

    Returns:
        dict[str, Curve]: By name, such as ``loss_cskd``, ``fusion_weight``, ``lr`` and
        ``accuracy/top1``.

    Raises:
        ValueError: If the directory holds no log of scalars.
    """
    logs = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))
    if not logs:
        raise ValueError(
            f'WORK_DIR "{work_dir}" holds no */vis_data/scalars.json: give the --work-dir of a run '
            'whose vis_backends have dict(type="LocalVisBackend").'
        )
    points: Dict[str, Dict[float, float]] = {}
    for log in logs:
        for line in log.read_text(encoding='utf-8').splitlines():
            entry = _parsed(line)
            step = entry.pop('step', None)
            for name, value in entry.items():
                if step is not None and isinstance(value, (int, float)):
                    points.setdefault(name, {})[step] = value
    return {
        name: Curve(sorted(values), [values[step] for step in sorted(values)])
        for name, values in points.items()
    }


def _parsed(line: str) -> dict:
    try:
        return json.loads(line)
    except json.JSONDecodeError:  # the last line of a killed run may be incomplete
        return {}
