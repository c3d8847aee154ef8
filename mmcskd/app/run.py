"""What `mmcskd distill` left in a folder."""

import json
from math import sqrt
from pathlib import Path
from typing import Any, Dict, Optional, Tuple, Union

STEPS = ('teacher', 'baseline', 'student')


class Run:
    """A finished or half-finished run of ``mmcskd distill``.

    Args:
        out (str | Path): Its folder.

    Raises:
        ValueError: If there is none.
    """

    def __init__(self, out: Union[str, Path]) -> None:
        self.out = Path(out).resolve()
        if not (self.out / 'command.json').is_file():
            raise ValueError(f'RUN "{out}" is no folder of a run: "command.json" is not there.')

    @property
    def metrics(self) -> Dict[str, dict]:
        """The ``metrics.json`` of each finished step."""
        files = {step: self.out / step / 'metrics.json' for step in STEPS}
        return {step: json.loads(file.read_text()) for step, file in files.items() if file.exists()}

    @property
    def accuracy(self) -> float:
        """The student's accuracy in percent on test, or on val if there is no test split."""
        metrics = self.metrics
        if 'student' not in metrics:
            raise ValueError(f'The run in {self.out} has no student yet: run the command again.')
        return (metrics['student'].get('test') or metrics['student']['val'])['accuracy']

    def table(self) -> str:
        """Accuracies with their 95 % intervals, as text."""
        metrics = self.metrics
        splits = [split for split in ('val', 'test') if any(split in m for m in metrics.values())]
        lines = ['', 'Accuracy in %, with 95 % intervals (Wilson)']
        lines.append(f'{"":44}' + ''.join(f'{split:>22}' for split in splits))
        for step, each in metrics.items():
            cells = ''.join(f'{_spelt(each.get(split)):>22}' for split in splits)
            lines.append(f'{step + ", " + each["name"]:44}{cells}')
        return '\n'.join(lines)


def wilson(correct: int, count: int) -> Tuple[float, float]:
    """The 95 % interval of a share, in percent (Wilson 1927).

    Args:
        correct (int): How many of them.
        count (int): Of how many.
    """
    z = 1.959964
    share, square = correct / count, z * z / count
    centre = (share + square / 2) / (1 + square)
    half = z / (1 + square) * sqrt(share * (1 - share) / count + square / (4 * count))
    return 100 * (centre - half), 100 * (centre + half)


def _spelt(split: Optional[Dict[str, Any]]) -> str:
    if split is None:
        return '–'
    low, high = wilson(split['correct'], split['n'])
    return f'{split["accuracy"]:.1f} ({low:.1f} – {high:.1f})'
