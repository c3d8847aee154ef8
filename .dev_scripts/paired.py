"""Means over seeds, and differences of two arms paired over the seeds that both have."""

import statistics
from typing import NamedTuple, Optional, Tuple

from scipy import stats


class Difference(NamedTuple):
    """How much one arm is above another, in points."""

    mean: float
    half: Optional[float]
    """Half the width of the 95 % confidence interval; None from a single seed."""
    seeds: int

    @property
    def verdict(self) -> str:
        """``'above'``, ``'below'`` or, where the interval holds zero or is unknown, ``'open'``."""
        if self.half is None or abs(self.mean) <= self.half:
            return 'open'
        return 'above' if self.mean > 0 else 'below'

    def __str__(self) -> str:
        interval = '' if self.half is None else f' ± {self.half:.1f}'
        return f'{round(self.mean, 1) + 0.0:+.1f}{interval}'  # no negative zero


def difference(arm, reference) -> Optional[Difference]:
    """Arm minus reference, dicts or Series of scores by seed; None without a seed in common."""
    arm, reference = dict(arm), dict(reference)
    seeds = [seed for seed in arm if seed in reference]
    if not seeds:
        return None
    ours, theirs = ([float(scores[seed]) for seed in seeds] for scores in (arm, reference))
    half = None
    if len(seeds) > 1:
        interval = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
        half = float(interval.high - interval.low) / 2
    mean = statistics.mean(our - their for our, their in zip(ours, theirs))
    return Difference(mean, half, len(seeds))


def summary(scores) -> str:
    """Mean and, from two seeds on, standard deviation of scores by seed."""
    scores = list(map(float, dict(scores).values()))
    if not scores:
        return '–'
    text = f'{statistics.mean(scores):.1f}'
    return text if len(scores) < 2 else f'{text} ± {statistics.stdev(scores):.1f}'


def interval(scores) -> Tuple[float, float]:
    """Mean of scores, and half the width of its 95 % confidence interval: 0 from a single one."""
    scores = [float(score) for score in scores]
    if len(scores) < 2:
        return scores[0], 0.0
    low, high = stats.ttest_1samp(scores, 0).confidence_interval(0.95)
    return statistics.mean(scores), float(high - low) / 2
