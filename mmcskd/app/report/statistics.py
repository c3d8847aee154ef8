"""The numbers of the report, from labels and predictions."""

from typing import List, NamedTuple, Tuple

import numpy as np
from scipy.stats import binomtest, norm
from sklearn.metrics import confusion_matrix

BINS = 10


class Interval(NamedTuple):
    """A number between bounds, in percent or percentage points."""

    value: float
    low: float
    high: float


class Comparison(NamedTuple):
    """Two models on the same pictures."""

    difference: Interval
    """Accuracy of the first minus that of the second, in percentage points."""
    p: float
    """Of McNemar's exact test: the chance of such a difference between equally good models."""
    only_first: int
    """Pictures that the first alone answers rightly."""
    only_second: int
    """Pictures that the second alone answers rightly."""


class Calibration(NamedTuple):
    """How often a model is right, by how sure it is."""

    confidence: np.ndarray
    """Mean confidence in each bin that holds a picture."""
    accuracy: np.ndarray
    """Share of right answers in it."""
    pictures: np.ndarray
    """Pictures in it."""
    error: float
    """Expected calibration error, in percent (Guo et al., 2017)."""


class Confusion(NamedTuple):
    """Pictures of one class that were taken for another."""

    true: int
    answer: int
    pictures: int


def accuracy(right: np.ndarray) -> Interval:
    """The share of right answers with its 95 % interval.

    Args:
        right (np.ndarray): (N,) of bool.

    Returns:
        Interval: In percent; Wilson's interval, which serves small N and shares near 0 and 1.
    """
    count = int(right.sum())
    bounds = binomtest(count, len(right)).proportion_ci(method='wilson')
    return Interval(100 * count / len(right), 100 * bounds.low, 100 * bounds.high)


def compare(first: np.ndarray, second: np.ndarray) -> Comparison:
    """Compare two models on the same pictures.

    Args:
        first (np.ndarray): (N,) of bool, whether the first is right.
        second (np.ndarray): The same of the second.

    Returns:
        Comparison: With the 95 % interval of Bonett and Price (2012) for paired shares.
    """
    n = len(first)
    gained, lost = int((first & ~second).sum()), int((second & ~first).sum())
    up, down = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    half = norm.ppf(0.975) * np.sqrt((up + down - (up - down) ** 2) / (n + 2))
    interval = Interval(
        100 * (gained - lost) / n,
        100 * max(up - down - half, -1),
        100 * min(up - down + half, 1),
    )
    p = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    return Comparison(interval, float(p), gained, lost)


def class_accuracy(labels: np.ndarray, right: np.ndarray, classes: int) -> np.ndarray:
    """The share of right answers in each class.

    Args:
        labels (np.ndarray): (N,).
        right (np.ndarray): (N,) of bool.
        classes (int): C.

    Returns:
        np.ndarray: (C,), in percent; NaN for a class without a picture.
    """
    counts = np.bincount(labels, minlength=classes)
    with np.errstate(invalid='ignore'):
        return 100 * np.bincount(labels, weights=right, minlength=classes) / counts


def confusions(labels: np.ndarray, answers: np.ndarray, classes: int) -> List[Confusion]:
    """The pairs of classes that are confused, the most frequent first.

    Args:
        labels (np.ndarray): (N,).
        answers (np.ndarray): (N,).
        classes (int): C.
    """
    matrix = confusion_matrix(labels, answers, labels=range(classes))
    np.fill_diagonal(matrix, 0)
    order = np.argsort(-matrix, axis=None, kind='stable')[: np.count_nonzero(matrix)]
    pairs: List[Tuple[int, int]] = [divmod(int(index), classes) for index in order]
    return [Confusion(true, answer, int(matrix[true, answer])) for true, answer in pairs]


def calibrate(probabilities: np.ndarray, labels: np.ndarray) -> Calibration:
    """Compare a model's confidence with how often it is right.

    Args:
        probabilities (np.ndarray): (N, C).
        labels (np.ndarray): (N,).

    Returns:
        Calibration: In ten bins of equal width.
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    count = np.bincount(bins, minlength=BINS)
    held = count > 0
    mean = np.bincount(bins, weights=confidence, minlength=BINS)[held] / count[held]
    share = np.bincount(bins, weights=right, minlength=BINS)[held] / count[held]
    error = 100 * float((np.abs(mean - share) * count[held]).sum() / len(labels))
    return Calibration(mean, share, count[held], error)


def disagreement(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How far two models' answers are apart.

    Args:
        first (np.ndarray): (N, C), probabilities.
        second (np.ndarray): The same of the other.

    Returns:
        np.ndarray: (N,), half the sum of the absolute differences: 0 for the same answer, 1 for
        answers that share nothing.
    """
    return np.abs(first - second).sum(axis=1) / 2
