import numpy as np
import pytest

from mmcskd.app.report.statistics import (
    accuracy,
    calibrate,
    class_accuracy,
    compare,
    confusions,
    disagreement,
)


def flags(*counts):
    """Pairs (first right, second right) by how often: both, first alone, second alone, neither."""
    pairs = [(1, 1), (1, 0), (0, 1), (0, 0)]
    table = np.array([pair for pair, count in zip(pairs, counts) for _ in range(count)], dtype=bool)
    return table[:, 0], table[:, 1]


def test_wilson():
    """Newcombe (1998), table I: 81 of 263 and 0 of 20."""
    share = accuracy(np.arange(263) < 81)
    assert share == pytest.approx((30.798, 25.53, 36.62), abs=0.01)
    assert accuracy(np.zeros(20, dtype=bool)) == pytest.approx((0, 0, 16.11), abs=0.01)


def test_paired_difference():
    """Bonett and Price by hand: (2 - 8) / 23 ∓ 1.96 · √((10/23 - (6/23)²) / 23)."""
    first, second = flags(1, 1, 7, 12)
    found = compare(first, second)
    assert found.difference.value == pytest.approx(100 * (1 - 7) / 21)
    assert found.difference[1:] == pytest.approx((-50.84, -1.34), abs=0.01)
    assert found.p == pytest.approx(0.0703, abs=1e-4)  # 2 · P(X ≤ 1), X of B(8, ½)
    assert (found.only_first, found.only_second) == (1, 7)


def test_equal_models():
    first, second = flags(5, 0, 0, 2)
    found = compare(first, second)
    assert found.difference.value == 0 and found.p == 1
    assert found.difference.low == -found.difference.high


def test_class_accuracy():
    shares = class_accuracy(np.array([0, 0, 0, 2]), np.array([True, True, False, False]), 3)
    assert shares[0] == pytest.approx(200 / 3) and np.isnan(shares[1]) and shares[2] == 0


def test_confusions():
    labels, answers = np.array([0, 0, 0, 1, 2, 2]), np.array([1, 1, 0, 1, 0, 2])
    assert confusions(labels, answers, 3) == [(0, 1, 2), (2, 0, 1)]


def test_calibration():
    """By hand: two bins, each 10 points too sure."""
    probabilities = np.array([[0.6, 0.4]] * 4 + [[0.1, 0.9]] * 5)
    labels = np.array([0, 0, 1, 1, 1, 1, 1, 1, 0])
    found = calibrate(probabilities, labels)
    assert found.confidence == pytest.approx([0.6, 0.9])
    assert found.accuracy == pytest.approx([0.5, 0.8])
    assert found.pictures.tolist() == [4, 5] and found.error == pytest.approx(10)
    assert calibrate(np.array([[1.0, 0.0]]), np.array([0])).error == 0


def test_disagreement():
    first, second = (
        np.array([[1.0, 0, 0], [0.5, 0.5, 0]]),
        np.array([[0, 0, 1.0], [0.5, 0.25, 0.25]]),
    )
    assert disagreement(first, second).tolist() == [1, 0.25]
