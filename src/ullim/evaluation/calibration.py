"""Whether confidence means what it says, and what is gained by staying silent.

The temperature is fitted elsewhere, in training; here is what it is judged by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ullim.evaluation.metrics import Binning, Flags, Floats, confidence_bins


@dataclass(frozen=True, slots=True)
class Bin:
    """Items of alike confidence.

    Attributes:
        confidence: Their mean confidence in [0, 1].
        accuracy: The share of them that is right.
        n: How many there are.
    """

    confidence: float
    accuracy: float
    n: int


@dataclass(frozen=True, slots=True, eq=False)
class CoverageCurve:
    """What share is answered, and how well, when only confidence from a threshold on counts.

    Attributes:
        threshold: Every confidence there is, falling, shape (points,).
        coverage: Share of the items at or above it, rising to 1.
        accuracy: Share of those that is right.
        risk_area: Mean of 1 - accuracy over the coverages (AURC): 0 is best, and an order by
            chance gives the overall error.
        least_risk_area: The same if every wrong item stood behind every right one.
    """

    threshold: Floats
    coverage: Floats
    accuracy: Floats
    risk_area: float
    least_risk_area: float

    def at_coverage(self, wanted: float) -> float:
        """Return the accuracy where at least ``wanted`` of the items are answered."""
        return float(self.accuracy[np.searchsorted(self.coverage, wanted - 1e-12)])


def reliability(
    confidence: Floats, correct: Flags, n_bins: int = 15, binning: Binning = "mass"
) -> list[Bin]:
    """Return the points of a reliability diagram, rising with confidence; empty bins left out.

    >>> [b.accuracy for b in reliability(np.array([0.9, 0.4]), np.array([True, False]), 2)]
    [0.0, 1.0]
    """
    bins = confidence_bins(confidence, n_bins, binning)
    found = []
    for number in np.unique(bins):
        rows = bins == number
        found.append(
            Bin(float(confidence[rows].mean()), float(correct[rows].mean()), int(rows.sum()))
        )
    return found


def coverage_accuracy(confidence: Floats, correct: Flags) -> CoverageCurve:
    """Return accuracy as a function of how many items are answered, surest first.

    Items of equal confidence are answered together; the area counts them at their mean accuracy,
    so their order does not matter.

    Reference: El-Yaniv & Wiener, On the foundations of noise-free selective classification, JMLR
    2010; Geifman, Uziel & El-Yaniv, Bias-reduced uncertainty estimation for deep neural
    classifiers, ICLR 2019 (the area, and its least value for an accuracy).

    >>> curve = coverage_accuracy(np.array([0.9, 0.5]), np.array([True, False]))
    >>> curve.coverage.tolist(), curve.accuracy.tolist(), curve.risk_area
    ([0.5, 1.0], [1.0, 0.5], 0.25)
    """
    n = len(confidence)
    if n == 0:
        raise ValueError("a coverage curve needs at least one item")
    order = np.argsort(-confidence, kind="stable")
    sure, right = confidence[order], correct[order].astype(float)
    ends = np.flatnonzero(np.append(sure[1:] != sure[:-1], True))
    hits = np.cumsum(right)
    kept = ends + 1
    # Within a tie, right and wrong answers arrive evenly.
    even = np.interp(np.arange(1, n + 1), [0, *kept], [0.0, *hits[ends]])
    answered = np.arange(1, n + 1)
    best = np.minimum(answered, hits[-1])
    return CoverageCurve(
        threshold=sure[ends],
        coverage=kept / n,
        accuracy=hits[ends] / kept,
        risk_area=float((1 - even / answered).mean()),
        least_risk_area=float((1 - best / answered).mean()),
    )


def threshold_for_accuracy(
    confidence: Floats, correct: Flags, wanted: float, *, least_items: int = 1
) -> float | None:
    """Return the lowest confidence from which on answers are right often enough.

    Give it held-out items that do not also judge the outcome: validation speakers, or the tested
    items of other folds.

    Args:
        confidence: Shape (items,), in [0, 1].
        correct: Whether each item is right.
        wanted: Accuracy in (0, 1] to reach among the items kept.
        least_items: Fewer than this are no evidence.

    Returns:
        The threshold (an item counts at or above it); None where no threshold reaches ``wanted``.

    >>> threshold_for_accuracy(np.array([0.9, 0.6, 0.4]), np.array([True, True, False]), 0.9)
    0.6
    """
    if not 0.0 < wanted <= 1.0:
        raise ValueError(f"an accuracy lies in (0, 1], not {wanted}")
    if len(confidence) == 0:
        return None
    curve = coverage_accuracy(confidence, correct)
    enough = curve.coverage * len(confidence) >= least_items - 1e-9
    good = np.flatnonzero((curve.accuracy >= wanted - 1e-12) & enough)
    return float(curve.threshold[good[-1]]) if good.size else None


def threshold_over_folds(
    confidence: Floats, correct: Flags, folds: Sequence[str], wanted: float
) -> tuple[float, float, float] | None:
    """Say what becomes of a wanted accuracy when each fold's threshold comes from the others.

    Args:
        confidence: Shape (items,).
        correct: Whether each item is right.
        folds: Fold of each item.
        wanted: Accuracy in (0, 1].

    Returns:
        The mean threshold, the share of the items that is answered, and the accuracy among those;
        None with one fold, where a fold finds no threshold, or where nothing is answered.
    """
    names = np.asarray(folds)
    kept = np.zeros(len(confidence), dtype=bool)
    thresholds = []
    for fold in np.unique(names):
        here = names == fold
        threshold = threshold_for_accuracy(confidence[~here], correct[~here], wanted)
        if threshold is None:
            return None
        thresholds.append(threshold)
        kept |= here & (confidence >= threshold)
    if not kept.any():
        return None
    return float(np.mean(thresholds)), float(kept.mean()), float(correct[kept].mean())
