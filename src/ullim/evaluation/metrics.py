"""Metrics over an explicit label list.

Truth and guesses are column numbers into that list, so that a class nobody guessed, or nobody
acted, is still a class. A class without a true item has no recall: it is NaN in the per-class
values, left out of means, and named by whoever reports them. Metrics of a confusion matrix take a
stack of them too, shape (..., labels, labels), and answer with shape (...): that is what makes
intervals fast.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Columns = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Binning = Literal["mass", "width"]

_TINY = 1e-12


def confusion_matrix(truth: Columns, guess: Columns, n_labels: int) -> Counts:
    """Count items, shape (labels, labels): rows are the truth.

    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    flat = np.bincount(truth * n_labels + guess, minlength=n_labels * n_labels)
    return np.asarray(flat.reshape(n_labels, n_labels))


def recalls(confusion: Floats | Counts) -> Floats:
    """Return recall per class in [0, 1], shape (..., labels); NaN where a class has no items."""
    return _shares(_hits(confusion), confusion.sum(axis=-1))


def precisions(confusion: Floats | Counts) -> Floats:
    """Return precision per class in [0, 1], shape (..., labels); NaN where none is guessed.

    Differs: scikit-learn and audmetric write 0 for a class that is never guessed.

    >>> precisions(np.array([[1, 1], [0, 2]])).round(3).tolist()
    [1.0, 0.667]
    """
    return _shares(_hits(confusion), confusion.sum(axis=-2))


def f1_scores(confusion: Floats | Counts) -> Floats:
    """Return F1 per class in [0, 1], shape (..., labels); NaN where a class has no items."""
    true, guessed = confusion.sum(axis=-1), confusion.sum(axis=-2)
    scores = _shares(2 * _hits(confusion), true + guessed)
    return np.asarray(np.where(true > 0, scores, np.nan))


def unweighted_average_recall(confusion: Floats | Counts) -> Floats:
    """Return UA in [0, 1]: the mean recall over the classes that have items.

    Differs: audmetric counts a class without items as a recall of 0 unless ``labels`` leaves it
    out, and its default list is the union of truth and guesses.

    >>> unweighted_average_recall(np.array([[1, 1], [0, 1]])).item()
    0.75
    """
    return _mean_of_present(recalls(confusion))


def weighted_accuracy(confusion: Floats | Counts) -> Floats:
    """Return WA in [0, 1]: the share of items that are right (plain accuracy)."""
    hits = np.trace(confusion, axis1=-2, axis2=-1)
    total = confusion.sum(axis=(-2, -1))
    return np.asarray(hits / np.where(total > 0, total, 1))


def macro_f1(confusion: Floats | Counts) -> Floats:
    """Return the mean F1 in [0, 1] over the classes that have items."""
    return _mean_of_present(f1_scores(confusion))


def weighted_f1(confusion: Floats | Counts) -> Floats:
    """Return the mean F1 in [0, 1] over the classes, weighted by their items.

    >>> round(weighted_f1(np.array([[1, 1], [0, 2]])).item(), 4)
    0.7333
    """
    true = confusion.sum(axis=-1)
    total = true.sum(axis=-1)
    scores = np.nan_to_num(f1_scores(confusion))
    return np.asarray((scores * true).sum(axis=-1) / np.where(total > 0, total, 1))


def majority_baseline(confusion: Floats | Counts) -> dict[str, float]:
    """Return what always answering the most frequent class of the tested items scores.

    >>> majority_baseline(np.array([[3, 0], [1, 0]]))["weighted_accuracy"]
    0.75
    """
    share, present = _class_shares(confusion)
    top = float(share.max())
    return {
        "weighted_accuracy": top,
        "unweighted_average_recall": 1.0 / present,
        "macro_f1": 2.0 * top / (1.0 + top) / present,
    }


def prior_baseline(confusion: Floats | Counts) -> dict[str, float]:
    """Return what answering at random, as often as the tested items have each class, scores.

    WA, UA and macro-F1 are those of the expected confusion matrix; ``log_loss`` (nats) and
    ``brier_score`` are those of answering every item with these shares as probabilities.
    """
    share, present = _class_shares(confusion)
    kept = share[share > 0]
    squares = float((share**2).sum())
    return {
        "weighted_accuracy": squares,
        "unweighted_average_recall": 1.0 / present,
        "macro_f1": 1.0 / present,
        "log_loss": float(-(kept * np.log(kept)).sum()),
        "brier_score": 1.0 - squares,
    }


def log_loss(probabilities: Floats, truth: Columns) -> float:
    """Return the mean negative log-probability of the truth, in nats."""
    return float(log_losses(probabilities, truth).mean())


def log_losses(probabilities: Floats, truth: Columns) -> Floats:
    """Return the negative log-probability of each item's truth, in nats, shape (items,)."""
    chosen = probabilities[np.arange(len(truth)), truth]
    return np.asarray(-np.log(np.maximum(chosen, _TINY)))


def brier_scores(probabilities: Floats, truth: Columns) -> Floats:
    """Return the squared error of each item's probabilities, in [0, 2], shape (items,).

    The sum over the classes, as Brier wrote it; two classes score twice what the binary form does.

    Reference: Brier, Verification of forecasts expressed in terms of probability, 1950, eq. 2.

    >>> brier_scores(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([0, 1])).tolist()
    [0.5, 2.0]
    """
    wanted = np.eye(probabilities.shape[1])[truth]
    return np.asarray(((probabilities - wanted) ** 2).sum(axis=1))


def confidence_bins(confidence: Floats, n_bins: int = 15, binning: Binning = "mass") -> Columns:
    """Return the bin of each item, shape (items,), rising with confidence.

    Args:
        confidence: Shape (items,), in [0, 1].
        n_bins: How many bins; with fewer items than that, each item is one.
        binning: ``mass`` for bins of equal count, ``width`` for bins of equal width. Items of
            equal confidence share a bin either way, so the order of the items does not matter.
    """
    if binning == "width":
        return np.clip(np.ceil(confidence * n_bins).astype(np.int64) - 1, 0, n_bins - 1)
    n_bins = min(n_bins, len(confidence))
    ordered = np.sort(confidence)
    # As numpy.array_split: the first bins take one item more where the count does not divide.
    each, over = divmod(len(ordered), max(n_bins, 1))
    ends = np.cumsum([each + (place < over) for place in range(n_bins)])
    first = np.searchsorted(ordered, confidence, side="left")
    return np.asarray(np.searchsorted(ends, first, side="right"), dtype=np.int64)


def expected_calibration_error(
    confidence: Floats, correct: Flags, n_bins: int = 15, binning: Binning = "mass"
) -> float:
    """Return ECE in [0, 1]: the mean gap between confidence and accuracy over bins.

    Reference: Nguyen & O'Connor, Posterior calibration and exploratory analysis for natural
    language processing models, EMNLP 2015 (bins of equal count, the default); Naeini, Cooper &
    Hauskrecht, Obtaining well calibrated probabilities using Bayesian binning, AAAI 2015 (bins of
    equal width).

    >>> expected_calibration_error(np.array([0.8, 0.8]), np.array([True, True]), n_bins=1)
    0.2
    """
    bins = confidence_bins(confidence, n_bins, binning)
    gaps = np.bincount(bins, weights=confidence - correct)
    return round(float(np.abs(gaps).sum()) / max(len(confidence), 1), 12)


def areas_under_roc(probabilities: Floats, truth: Columns) -> Floats:
    """Return the area under the ROC curve of each class against the rest, shape (labels,).

    In [0, 1]: the probability that an item of the class scores above one of another; equal scores
    count half. NaN where a class has no items, or all.

    Reference: Hanley & McNeil, The meaning and use of the area under a receiver operating
    characteristic (ROC) curve, Radiology 1982.
    """
    areas = np.full(probabilities.shape[1], np.nan)
    for column, scores in enumerate(probabilities.T):
        positive = truth == column
        n_positive, n_negative = int(positive.sum()), int((~positive).sum())
        if not n_positive or not n_negative:
            continue
        _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
        middle_rank = np.cumsum(counts) - (counts - 1) / 2
        above = middle_rank[place][positive].sum() - n_positive * (n_positive + 1) / 2
        areas[column] = above / (n_positive * n_negative)
    return areas


def macro_area_under_roc(probabilities: Floats, truth: Columns) -> float:
    """Return the mean one-versus-rest AUROC in [0, 1] over classes that have it; NaN if none.

    >>> macro_area_under_roc(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 1]))
    1.0
    """
    areas = areas_under_roc(probabilities, truth)
    return float(np.nanmean(areas)) if not np.isnan(areas).all() else float("nan")


def soft_cross_entropy(probabilities: Floats, shares: Floats) -> float:
    """Return the mean cross-entropy from the raters' shares to the answers, in nats.

    Args:
        probabilities: Shape (items, labels); rows sum to 1.
        shares: Shape (items, labels): the part of the votes for each label; rows sum to 1.

    >>> round(soft_cross_entropy(np.array([[0.5, 0.5]]), np.array([[1.0, 0.0]])), 4)
    0.6931
    """
    return float(-(shares * np.log(np.maximum(probabilities, _TINY))).sum(axis=1).mean())


def jensen_shannon(probabilities: Floats, shares: Floats) -> float:
    """Return the mean Jensen-Shannon divergence between answers and raters, in bits, in [0, 1].

    Args:
        probabilities: Shape (items, labels); rows sum to 1.
        shares: Shape (items, labels); rows sum to 1.

    Differs: SciPy's ``jensenshannon`` is a distance: the square root of the divergence.

    Reference: Lin, Divergence measures based on the Shannon entropy, 1991, eq. 3.1.

    >>> jensen_shannon(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]))
    1.0
    """
    middle = (probabilities + shares) / 2

    def from_middle(part: Floats) -> Floats:
        ratio = np.divide(part, middle, out=np.ones_like(middle), where=part > 0)
        return np.asarray((part * np.log2(ratio)).sum(axis=1))

    return float(((from_middle(probabilities) + from_middle(shares)) / 2).mean())


def concordance_correlation(truth: Floats, guess: Floats) -> float:
    """Return CCC in [-1, 1]; NaN under two items or where neither moves and both are equal.

    Reference: Lin, A concordance correlation coefficient to evaluate reproducibility, 1989
    (variances over n, as AVEC and audmetric compute it).

    >>> round(concordance_correlation(np.array([0.0, 1, 2]), np.array([0.0, 1, 1])), 4)
    0.6667
    """
    if len(truth) < 2:
        return float("nan")
    apart = np.var(truth) + np.var(guess) + (np.mean(truth) - np.mean(guess)) ** 2
    together = np.mean((truth - np.mean(truth)) * (guess - np.mean(guess)))
    return float(2.0 * together / apart) if apart > 0 else float("nan")


def pearson_correlation(truth: Floats, guess: Floats) -> float:
    """Return Pearson's r in [-1, 1]; NaN under two items or where either does not move."""
    if len(truth) < 2:
        return float("nan")
    a, b = truth - np.mean(truth), guess - np.mean(guess)
    # Scaled first, so that very small and very large values neither vanish nor overflow.
    a_top, b_top = np.abs(a).max(), np.abs(b).max()
    if a_top == 0 or b_top == 0:
        return float("nan")
    a, b = a / a_top, b / b_top
    return float(np.clip((a @ b) / np.sqrt((a @ a) * (b @ b)), -1.0, 1.0))


def root_mean_square_error(truth: Floats, guess: Floats) -> float:
    """Return RMSE in the unit of the values."""
    return float(np.sqrt(np.mean((truth - guess) ** 2)))


def coverage_curve(confidence: Floats, correct: Flags) -> list[dict[str, float]]:
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


def _hits(confusion: Floats | Counts) -> Floats:
    return np.asarray(np.diagonal(confusion, axis1=-2, axis2=-1), dtype=np.float64)


def _shares(part: Floats | Counts, whole: Floats | Counts) -> Floats:
    empty = np.full(np.shape(whole), np.nan)
    return np.asarray(np.divide(part, whole, out=empty, where=whole > 0))


def _mean_of_present(per_class: Floats) -> Floats:
    present = ~np.isnan(per_class)
    return np.asarray(np.nansum(per_class, axis=-1) / np.maximum(present.sum(axis=-1), 1))


def _class_shares(confusion: Floats | Counts) -> tuple[Floats, int]:
    true = confusion.sum(axis=-1).astype(float)
    return true / max(float(true.sum()), 1.0), max(int((true > 0).sum()), 1)
