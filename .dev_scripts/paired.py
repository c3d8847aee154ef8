"""Means over seeds, and differences of two arms paired over the seeds that both have."""

from typing import NamedTuple, Optional

import pandas as pd
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
        return f'{self.mean:+.1f}{interval}'


def difference(arm, reference) -> Optional[Difference]:
    """Arm minus reference, scores by seed; None if they have no seed in common."""
    both = pd.DataFrame(dict(arm=pd.Series(arm), reference=pd.Series(reference))).dropna()
    if both.empty:
        return None
    both, half = both.astype(float), None
    if len(both) > 1:
        interval = stats.ttest_rel(both.arm, both.reference).confidence_interval(0.95)
        half = float(interval.high - interval.low) / 2
    return Difference(float((both.arm - both.reference).mean()), half, len(both))


def summary(scores) -> str:
    """Mean and, from two seeds on, standard deviation of scores by seed."""
    scores = pd.Series(scores, dtype=float)
    if scores.empty:
        return '–'
    return f'{scores.mean():.1f}' + (f' ± {scores.std():.1f}' if len(scores) > 1 else '')
