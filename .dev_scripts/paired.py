"""Means over seeds, and differences of two arms paired over the seeds that both have."""

import statistics
from typing import Dict, NamedTuple, Optional

from scipy import stats

Scores = Dict[str, float]  # by seed


class Difference(NamedTuple):
    """How much one arm is above another, in points."""

    mean: float
    half: Optional[float]
    """Half the width of the 95 % confidence interval; None from a single seed."""
    seeds: int

    @property
    def verdict(self) -> str:
        """``'above'``, ``'below'`` or, where the interval holds zero or is not known, ``'open'``."""
        if self.half is None or abs(self.mean) <= self.half:
            return 'open'
        return 'above' if self.mean > 0 else 'below'

    def __str__(self) -> str:
        interval = '' if self.half is None else f' ± {self.half:.1f}'
        return f'{self.mean:+.1f}{interval}'


def difference(arm: Scores, reference: Scores) -> Optional[Difference]:
    """Arm minus reference, by Student's t over the differences of each seed.

    Args:
        arm (dict[str, float]): Scores by seed.
        reference (dict[str, float]): Likewise, of what it is compared with.

    Returns:
        Difference | None: None if they have no seed in common.
    """
    each = [arm[seed] - reference[seed] for seed in arm if seed in reference]
    if not each:
        return None
    half = None
    if len(each) > 1:
        error = statistics.stdev(each) / len(each) ** 0.5
        half = float(stats.t.ppf(0.975, len(each) - 1)) * error
    return Difference(statistics.mean(each), half, len(each))


def summary(scores: Scores) -> str:
    """Mean and, from two seeds on, standard deviation."""
    if not scores:
        return '–'
    text = f'{statistics.mean(scores.values()):.1f}'
    return text if len(scores) < 2 else f'{text} ± {statistics.stdev(scores.values()):.1f}'
