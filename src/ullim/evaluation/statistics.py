"""Intervals: how far a figure would move with other speakers.

Speakers, not items, are drawn: items of one speaker are no independent evidence. The spread of the
draws becomes an interval by Student's t with one degree of freedom less than there are speakers,
on the logit scale where the figure lies in [0, 1]. ``benchmarks/intervals.py`` measures how often
such intervals hold the truth, beside the percentile and BCa bootstraps; ``docs/statistics.md``
shows the table this method was chosen by.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from ullim.evaluation.metrics import Columns, Floats

FEW_SPEAKERS = 10
"""Under this, a figure hangs on who the speakers happen to be, and a reader is told."""

Statistic = Callable[[Floats], Floats]
"""Maps confusion matrices of shape (..., labels, labels) to (...)."""

Scale = Literal["logit", "linear"]


def speaker_interval(
    statistic: Statistic,
    truth: Columns,
    guess: Columns,
    speakers: Sequence[str],
    n_labels: int,
    *,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return an interval of a statistic of the confusion matrix, in [0, 1], over speakers.

    Args:
        statistic: Maps matrices of shape (draws, labels, labels) to (draws,), in [0, 1].
        truth: Column of each item's label.
        guess: Column of each item's guess.
        speakers: Speaker of each item.
        n_labels: Length of the label list.
        level: Nominal coverage.
        draws: Bootstrap samples.
        seed: Of the draw.

    Returns:
        Low and high. With one speaker there is nothing to draw: both are the figure itself.

    Reference: Efron & Tibshirani, An introduction to the bootstrap, 1993, ch. 12 and 13; Ferrer &
    Riera, Confidence intervals for evaluation in machine learning, 2022 (resampling by condition).
    """
    each = confusion_per_speaker(truth, guess, speakers, n_labels)
    value = float(statistic(each.sum(axis=0)))
    drawn = statistic(drawn_sums(each, speaker_draws(len(each), draws, seed)))
    return interval(value, drawn, len(each), level=level)


def mean_interval(
    values: Floats,
    speakers: Sequence[str],
    *,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return an interval of a mean over items, such as the log-loss, over speakers.

    Args:
        values: Shape (items,).
        speakers: Speaker of each item.
        level: Nominal coverage.
        draws: Bootstrap samples.
        seed: Of the draw.
    """
    owner, n_speakers = owners(speakers)
    totals = np.stack([np.bincount(owner, values), np.bincount(owner).astype(float)], axis=1)
    drawn = drawn_sums(totals, speaker_draws(n_speakers, draws, seed))
    means = drawn[:, 0] / drawn[:, 1]
    return interval(float(np.mean(values)), means, n_speakers, level=level, scale="linear")


def interval_of(
    statistic: Callable[[npt.NDArray[np.int64]], float],
    speakers: Sequence[str],
    *,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
    scale: Scale = "linear",
) -> tuple[float, float]:
    """Return an interval of any statistic, recomputed on every draw of speakers.

    Args:
        statistic: Maps row numbers, repeated where a speaker was drawn twice, to a figure. Draws
            on which it is NaN are left out.
        speakers: Speaker of each row.
        level: Nominal coverage.
        draws: Bootstrap samples; the cost is that many calls.
        seed: Of the draw.
        scale: ``logit`` for figures in [0, 1].
    """
    owner, n_speakers = owners(speakers)
    rows = np.split(
        np.argsort(owner, kind="stable"), np.cumsum(np.bincount(owner))[:-1].astype(np.int64)
    )
    drawn = [
        statistic(np.concatenate([rows[s] for s in np.repeat(np.arange(n_speakers), weights)]))
        for weights in speaker_draws(n_speakers, draws, seed).astype(np.int64)
    ]
    value = statistic(np.arange(len(owner)))
    return interval(value, np.array(drawn), n_speakers, level=level, scale=scale)


def interval(
    value: float,
    drawn: Floats,
    n_speakers: int,
    *,
    level: float = 0.95,
    scale: Scale = "logit",
) -> tuple[float, float]:
    """Return an interval from a figure and what it was on draws of speakers.

    The standard deviation of the draws, times the square root of n / (n - 1) since draws with
    replacement vary too little, times Student's t with n - 1 degrees of freedom, to both sides: of
    the figure itself, or (``logit``) of its logit, so that the ends stay in [0, 1] and the side
    with more room is the longer one.

    Differs: the percentile interval takes quantiles of the draws, which with 4 to 24 speakers
    holds the truth too seldom.
    """
    drawn = drawn[~np.isnan(drawn)]
    if n_speakers < 2 or len(drawn) < 2 or math.isnan(value):
        return value, value
    error = float(np.std(drawn, ddof=1)) * math.sqrt(n_speakers / (n_speakers - 1))
    reach = student_t_quantile((1 + level) / 2, n_speakers - 1) * error
    if scale == "linear":
        return value - reach, value + reach
    if not 0.0 < value < 1.0 or reach == 0.0:
        return value, value
    middle = math.log(value / (1 - value))
    # The slope of the logit turns a small step of the figure into one of its logit.
    reach /= value * (1 - value)
    return _logistic(middle - reach), _logistic(middle + reach)


def spread(values: Sequence[float]) -> dict[str, float | int | None]:
    """Return mean, sd (over n - 1; None for one value) and n of figures over seeds or folds.

    >>> spread([0.5, 0.7])["mean"], round(spread([0.5, 0.7])["sd"], 3)
    (0.6, 0.141)
    """
    return {
        "mean": float(np.mean(values)),
        "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "n": len(values),
    }


def confusion_per_speaker(
    truth: Columns,
    guess: Columns,
    speakers: Sequence[str],
    n_labels: int,
    weights: Floats | None = None,
) -> Floats:
    """Count items of each speaker, shape (speakers, labels, labels), speakers sorted by name.

    Args:
        truth: Column of each item's label.
        guess: Column of each item's guess.
        speakers: Speaker of each item.
        n_labels: Length of the label list.
        weights: What each item counts; 1 where None.
    """
    owner, n_speakers = owners(speakers)
    flat = (owner * n_labels + truth) * n_labels + guess
    counts = np.bincount(flat, weights, minlength=n_speakers * n_labels * n_labels)
    return counts.reshape(n_speakers, n_labels, n_labels).astype(float)


def owners(speakers: Sequence[str]) -> tuple[Columns, int]:
    """Return the number of each item's speaker, by sorted name, and how many there are."""
    names, owner = np.unique(np.asarray(speakers), return_inverse=True)
    return np.asarray(owner.reshape(-1), dtype=np.int64), len(names)


def speaker_draws(n_speakers: int, draws: int, seed: int) -> Floats:
    """Return how often each speaker is drawn, shape (draws, speakers); rows sum to speakers."""
    even = np.full(n_speakers, 1 / n_speakers)
    return np.random.default_rng(seed).multinomial(n_speakers, even, size=draws).astype(float)


def drawn_sums(each: Floats, weights: Floats) -> Floats:
    """Add up what speakers hold, as often as they were drawn.

    Args:
        each: Shape (speakers, ...).
        weights: Shape (draws, speakers).

    Returns:
        Shape (draws, ...).
    """
    sums = weights @ each.reshape(len(each), -1)
    return np.asarray(sums.reshape(len(weights), *each.shape[1:]))


@cache
def student_t_quantile(probability: float, freedom: int) -> float:
    """Return the quantile of Student's t for whole degrees of freedom.

    Reference: Abramowitz & Stegun, Handbook of mathematical functions, 26.7.3 and 26.7.4.

    >>> round(student_t_quantile(0.975, 3), 4)
    3.1824
    """
    if not 0.0 < probability < 1.0 or freedom < 1:
        raise ValueError(f"no quantile at {probability} with {freedom} degrees of freedom")
    if probability < 0.5:
        return -student_t_quantile(1 - probability, freedom)
    low, high = 0.0, 1.0
    while student_t_within(high, freedom) < 2 * probability - 1:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        inside = student_t_within(middle, freedom) < 2 * probability - 1
        low, high = (middle, high) if inside else (low, middle)
    return (low + high) / 2


def student_t_within(t: float, freedom: int) -> float:
    """Return the probability that Student's t lies between -t and t."""
    angle = math.atan2(t, math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total = term if freedom > 1 else 0.0
    for k in range(3 if odd else 2, freedom - 1, 2):
        term *= cosine**2 * (k - 1) / k
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
