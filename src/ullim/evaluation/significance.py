"""Whether one system is better than another on the same items, or it only looks so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ullim.evaluation.metrics import Flags, Floats
from ullim.evaluation.statistics import (
    Statistic,
    drawn_sums,
    interval,
    speaker_draws,
    student_t_within,
)

_EXACT_SPEAKERS = 14


def sign_flip_test(
    statistic: Statistic, first: Floats, second: Floats, *, draws: int = 10_000, seed: int = 0
) -> float:
    """Return the two-sided p-value that two systems differ, by swapping their answers.

    If the systems were alike, it would not matter which of them gave which answers to a speaker.
    So the answers are swapped speaker by speaker, and the p-value is the share of swaps under which
    the systems differ at least as much as they do. Up to 14 speakers every swap is counted; beyond,
    ``draws`` of them. With n speakers the smallest possible p-value is 2 / 2^n: 0.125 for 4.

    Args:
        statistic: Maps matrices of shape (..., labels, labels) to (...).
        first: Confusion matrices of one system, shape (speakers, labels, labels).
        second: Of the other, on the same items.
        draws: Swaps drawn where there are too many to count.
        seed: Of the draw.

    Reference: Good, Permutation, parametric and bootstrap tests of hypotheses, 2005, ch. 3;
    Phipson & Smyth, Permutation p-values should never be zero, 2010 (one is added to both counts
    where swaps are drawn).
    """
    n_speakers = len(first)
    both, apart = (first + second).sum(axis=0), first - second
    if n_speakers <= _EXACT_SPEAKERS:
        # Swapping everybody only turns the sign, so the first speaker never needs to be swapped.
        codes = np.arange(2 ** max(n_speakers - 1, 0))[:, None]
        signs = (1 - 2 * ((codes >> np.arange(n_speakers)) & 1)).astype(np.float64)
    else:
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(draws, n_speakers))
    swapped = drawn_sums(apart, signs)
    found = np.abs(statistic((both + swapped) / 2) - statistic((both - swapped) / 2))
    observed = abs(float(statistic(first.sum(axis=0)) - statistic(second.sum(axis=0))))
    as_far = int((found >= observed - 1e-12).sum())
    if n_speakers <= _EXACT_SPEAKERS:
        return as_far / len(signs)
    return (as_far + 1) / (len(signs) + 1)


def mcnemar(first_right: Flags, second_right: Flags, *, mid: bool = True) -> float:
    """Return the two-sided p-value that two systems differ in accuracy, from paired items.

    It takes items as independent. Items of one speaker are not, so it finds differences more easily
    than :func:`sign_flip_test`, which is the one to trust for new speakers.

    Args:
        first_right: Whether one system is right, shape (items,).
        second_right: Whether the other is.
        mid: The mid-p-value, which is less cautious than the exact one.

    Reference: McNemar, Note on the sampling error of the difference between correlated
    proportions, 1947; Fagerland, Lydersen & Laake, The McNemar test for binary matched-pairs data:
    mid-p and asymptotic are better than exact conditional, 2013.

    >>> right = np.array([True] * 6), np.array([False] * 6)
    >>> mcnemar(*right, mid=False), mcnemar(*right)
    (0.03125, 0.015625)
    """
    only_first = int((first_right & ~second_right).sum())
    only_second = int((second_right & ~first_right).sum())
    n, fewer = only_first + only_second, min(only_first, only_second)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    k = np.arange(fewer + 1)
    chances = np.exp(log_factorial[n] - log_factorial[k] - log_factorial[n - k] - n * np.log(2.0))
    tail = 2 * float(chances.sum())
    return min(1.0, round(tail - float(chances[-1]) if mid else tail, 15))


def corrected_resampled_t_test(differences: Sequence[float], test_to_train: float) -> float:
    """Return the two-sided p-value that two systems differ over random splits of one corpus.

    Splits overlap in what they train on, so that their differences vary less than those of new
    recordings would: the variance of the mean is taken as ``1 / n + test_to_train`` times that of
    the differences, instead of ``1 / n``. Splits on which the difference is always the same give 0,
    or 1 where it is none.

    Args:
        differences: One system minus the other, on each of at least two splits.
        test_to_train: Items tested in a split, divided by those trained on.

    Raises:
        ValueError: There are fewer than two splits.

    Reference: Nadeau & Bengio, Inference for the generalization error, Machine Learning 52, 2003.

    >>> round(corrected_resampled_t_test([0.02, 0.05, 0.03, 0.06], 0.25), 3)
    0.053
    """
    n = len(differences)
    if n < 2:
        raise ValueError(f"{n} split tells nothing of how splits vary; give at least two")
    mean, deviation = float(np.mean(differences)), float(np.std(differences, ddof=1))
    error = deviation * (1 / n + test_to_train) ** 0.5
    if error < 1e-12:
        return 1.0 if abs(mean) < 1e-12 else 0.0
    return 1.0 - student_t_within(abs(mean) / error, n - 1)


def difference_interval(
    statistic: Statistic,
    first: Floats,
    second: Floats,
    *,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return an interval of first minus second, the same speakers drawn for both.

    Args:
        statistic: Maps matrices of shape (..., labels, labels) to (...).
        first: Confusion matrices of one system, shape (speakers, labels, labels).
        second: Of the other, on the same items.
        level: Nominal coverage.
        draws: Bootstrap samples.
        seed: Of the draw.
    """
    weights = speaker_draws(len(first), draws, seed)
    drawn = statistic(drawn_sums(first, weights)) - statistic(drawn_sums(second, weights))
    value = float(statistic(first.sum(axis=0)) - statistic(second.sum(axis=0)))
    return interval(value, drawn, len(first), level=level, scale="linear")


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected so that a false alarm anywhere keeps its probability.

    Reference: Holm, A simple sequentially rejective multiple test procedure, 1979.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order, p = _sorted(p_values)
    steps = p * np.arange(len(p), 0, -1)
    return _restored(order, np.maximum.accumulate(steps))


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected so that the share of false alarms among alarms is held.

    Reference: Benjamini & Hochberg, Controlling the false discovery rate, 1995.

    >>> benjamini_hochberg([0.01, 0.04, 0.03])
    [0.03, 0.04, 0.04]
    """
    order, p = _sorted(p_values)
    steps = p * len(p) / np.arange(1, len(p) + 1)
    return _restored(order, np.minimum.accumulate(steps[::-1])[::-1])


def _sorted(p_values: Sequence[float]) -> tuple[npt.NDArray[np.int64], Floats]:
    p = np.asarray(p_values, dtype=float)
    order = np.asarray(np.argsort(p, kind="stable"), dtype=np.int64)
    return order, p[order]


def _restored(order: npt.NDArray[np.int64], sorted_values: Floats) -> list[float]:
    values = np.empty(len(order))
    values[order] = np.minimum(sorted_values, 1.0)
    return [round(float(value), 15) for value in values]
