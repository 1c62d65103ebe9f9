"""Metrics over an explicit label list.

Truth and guesses are column numbers into that list, so that a class nobody guessed, or nobody
acted, is still a class. A class without a true item has no recall: it is NaN in the per-class
values, left out of means, and named by whoever reports them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Columns = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def confusion_matrix(truth: Columns, guess: Columns, n_labels: int) -> Counts:
    """Count items, shape (labels, labels): rows are the truth.

    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    flat = np.bincount(truth * n_labels + guess, minlength=n_labels * n_labels)
    return np.asarray(flat.reshape(n_labels, n_labels))


def recalls(confusion: npt.NDArray[np.float64] | Counts) -> Floats:
    """Return recall per class in [0, 1], shape (..., labels); NaN where a class has no items."""
    total = confusion.sum(axis=-1).astype(float)
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    return np.asarray(np.divide(hits, total, out=np.full(total.shape, np.nan), where=total > 0))


def unweighted_average_recall(confusion: npt.NDArray[np.float64] | Counts) -> Floats:
    """Return UA in [0, 1]: the mean recall over the classes that have items.

    >>> unweighted_average_recall(np.array([[1, 1], [0, 1]])).item()
    0.75
    """
    per_class = recalls(confusion)
    present = ~np.isnan(per_class)
    return np.asarray(np.nansum(per_class, axis=-1) / np.maximum(present.sum(axis=-1), 1))


def weighted_accuracy(confusion: npt.NDArray[np.float64] | Counts) -> Floats:
    """Return WA in [0, 1]: the share of items that are right (plain accuracy)."""
    hits = np.trace(confusion, axis1=-2, axis2=-1)
    return np.asarray(hits / np.maximum(confusion.sum(axis=(-2, -1)), 1))


def macro_f1(confusion: npt.NDArray[np.float64] | Counts) -> Floats:
    """Return the mean F1 in [0, 1] over the classes that have items."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    true, guessed = confusion.sum(axis=-1), confusion.sum(axis=-2)
    f1 = 2 * hits / np.maximum(true + guessed, 1)
    present = true > 0
    return np.asarray((f1 * present).sum(axis=-1) / np.maximum(present.sum(axis=-1), 1))


def expected_calibration_error(
    confidence: Floats, correct: npt.NDArray[np.bool_], n_bins: int = 15
) -> float:
    """Return ECE in [0, 1] with bins of equal count.

    Reference: Nguyen & O'Connor, Posterior calibration and exploratory analysis for natural
    language processing models, EMNLP 2015 (adaptive bins).

    >>> expected_calibration_error(np.array([0.8, 0.8]), np.array([True, True]), n_bins=1)
    0.2
    """
    order = np.argsort(confidence, kind="stable")
    error = 0.0
    for rows in np.array_split(order, min(n_bins, len(order))):
        gap = abs(confidence[rows].mean() - correct[rows].mean())
        error += float(gap) * len(rows) / len(order)
    return round(error, 12)


def log_loss(probabilities: Floats, truth: Columns) -> float:
    """Return the mean negative log-probability of the truth, in nats."""
    chosen = probabilities[np.arange(len(truth)), truth]
    return float(-np.log(np.maximum(chosen, 1e-12)).mean())


def coverage_curve(confidence: Floats, correct: npt.NDArray[np.bool_]) -> list[dict[str, float]]:
    """Return what is gained by staying silent: coverage and accuracy at confidence thresholds."""
    curve = []
    for threshold in np.arange(0.0, 1.0, 0.05):
        kept = confidence >= threshold
        if kept.any():
            curve.append(
                {
                    "threshold": round(float(threshold), 2),
                    "coverage": round(float(kept.mean()), 4),
                    "accuracy": round(float(correct[kept].mean()), 4),
                }
            )
    return curve
