"""How far raters agree, and what one of them reaches against the others: the human ceiling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ullim.corpora.votes import (
    Shares,
    Ties,
    VoteTable,
    intensity_shares,
    majority,
    soft_shares,
    tabulate,
    targets,
    tied,
)
from ullim.errors import CorpusError
from ullim.types import LABELS, Utterance


def nominal_alpha(counts: npt.ArrayLike) -> float:
    """Return Krippendorff's alpha for labels without order.

    Args:
        counts: Votes for each label, shape (items, labels). Items with one vote or none say nothing
            and are left out; items may have different numbers of votes.

    Returns:
        1 for full agreement, 0 for what chance gives; may be negative. NaN where nobody ever used a
        second label or no item has two votes.

    >>> round(nominal_alpha([[2, 0], [0, 2], [1, 1], [2, 0]]), 3)
    0.533

    Reference: Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section D.
    """
    votes = np.asarray(counts, dtype=np.float64)
    n = votes.sum(axis=1)
    votes, n = votes[n >= 2], n[n >= 2]
    total = n.sum()
    by_label = votes.sum(axis=0)
    observed = ((n**2 - (votes**2).sum(axis=1)) / np.maximum(n - 1, 1)).sum()
    expected = total**2 - (by_label**2).sum()
    if expected == 0:
        return math.nan
    return float(1 - (total - 1) * observed / expected)


def interval_alpha(values: npt.ArrayLike) -> float:
    """Return Krippendorff's alpha for numbers: intensities, valence, arousal.

    Args:
        values: Shape (items, raters); NaN where a rater gave none.

    Returns:
        As ``nominal_alpha``.

    >>> round(interval_alpha([[1, 1], [2, 3], [5, 5], [3, np.nan]]), 3)
    0.95

    Reference: Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section E.
    """
    given = np.asarray(values, dtype=np.float64)
    there = ~np.isnan(given)
    n = there.sum(axis=1)
    given, there, n = given[n >= 2], there[n >= 2], n[n >= 2]
    total = int(n.sum())
    if total == 0:
        return math.nan
    # Squared differences of pairs follow from sums; the mean is taken off first for their sake.
    centred = np.where(there, given - given[there].mean(), 0.0)
    squares, sums = (centred**2).sum(axis=1), centred.sum(axis=1)
    observed = (2 * (n * squares - sums**2) / (n - 1)).sum()
    expected = 2 * (total * squares.sum() - sums.sum() ** 2)
    # All values alike leave a rounding error and no spread.
    if np.ptp(given[there]) == 0:
        return math.nan
    return float(1 - (total - 1) * observed / expected)


def fleiss_kappa(counts: npt.ArrayLike) -> float:
    """Return Fleiss' kappa.

    Args:
        counts: Votes for each label, shape (items, labels).

    Returns:
        1 for full agreement, 0 for what chance gives. NaN where nobody ever used a second label or
        no item has two votes.

    >>> round(fleiss_kappa([[2, 0], [0, 2], [1, 1], [2, 0]]), 3)
    0.467

    Reference: Fleiss, Measuring nominal scale agreement among many raters, Psychological Bulletin
        76 (1971) 378-382.
    Differs: Items may have different numbers of votes; those with fewer than two are left out. With
        the same number everywhere it is the published figure.
    """
    votes = np.asarray(counts, dtype=np.float64)
    n = votes.sum(axis=1)
    votes, n = votes[n >= 2], n[n >= 2]
    if not len(n):
        return math.nan
    observed = (((votes**2).sum(axis=1) - n) / (n * (n - 1))).mean()
    expected = ((votes.sum(axis=0) / n.sum()) ** 2).sum()
    if expected >= 1:
        return math.nan
    return float((observed - expected) / (1 - expected))


def ceiling_confusion(table: VoteTable, *, ties: Ties = "earlier") -> npt.NDArray[np.int64]:
    """Return each rater's votes against the majority of the other raters of the item.

    Args:
        table: The votes.
        ties: ``earlier`` or ``drop``: what counts where the others tie.

    Returns:
        Shape (raters, labels of the others, labels of the rater). An item on which nobody else
        voted is left out.
    """
    n_labels = len(table.labels)
    confusion = np.zeros((len(table.raters), n_labels, n_labels), dtype=np.int64)
    for slot in range(table.codes.shape[1]):
        others = table.codes.copy()
        others[:, slot] = -1
        truth = majority(
            VoteTable(table.labels, table.raters, others, table.who, table.intensities), ties=ties
        )
        valid = (truth >= 0) & (table.codes[:, slot] >= 0)
        np.add.at(confusion, (table.who[valid, slot], truth[valid], table.codes[valid, slot]), 1)
    return confusion


def summarise(utterances: Sequence[Utterance], labels: Sequence[str]) -> dict[str, Any]:
    """Return what there is to say of the raters of some utterances, as plain JSON types.

    Args:
        utterances: Items with votes.
        labels: Labels to count, in order.

    Returns:
        ``items``, ``votes``, ``raters``; ``agreement``; ``unanimous`` and ``ties`` (items and
        shares); ``ceiling`` over all raters and by rater, and over items where the others do not
        tie; ``distribution``, a share per label under each aggregation; and where every group
        names a label (a situation the speaker was put in), how often the majority ``differs`` from
        it.

    Raises:
        CorpusError: No item has two votes.
    """
    table = tabulate(utterances, labels)
    counts = table.counts()
    n_votes = counts.sum(axis=1)
    if not (n_votes >= 2).any():
        raise CorpusError(
            "no recording has two raters' votes; agreement can be told of rated corpora only",
            code="one_vote",
        )
    top = majority(table)
    ties = tied(table)
    confusion = ceiling_confusion(table)
    groups = [utterance.group for utterance in utterances]
    return {
        "items": len(table),
        "votes": int(n_votes.sum()),
        "raters": len(table.raters),
        "votes_per_item": {"least": int(n_votes.min()), "most": int(n_votes.max())},
        "agreement": {
            "krippendorff_alpha": _rounded(nominal_alpha(counts)),
            "fleiss_kappa": _rounded(fleiss_kappa(counts)),
            "krippendorff_alpha_of_intensity": _rounded(interval_alpha(table.intensities)),
        },
        "unanimous": _share(((counts > 0).sum(axis=1) == 1) & (n_votes >= 2)),
        "ties": _share(ties),
        "ceiling": _score(confusion.sum(axis=0), labels)
        | {
            "without_ties": _score(ceiling_confusion(table, ties="drop").sum(axis=0), labels),
            "by_rater": {
                rater: _score(confusion[column], labels)
                for column, rater in enumerate(table.raters)
            }
            if len(table.raters) <= _FEW
            else {},
        },
        "distribution": {
            name: {label: _rounded(share) for label, share in zip(labels, _mean(rows), strict=True)}
            for name, rows in (
                ("first", np.eye(len(labels))[_first(utterances, labels)]),
                ("majority", targets(table)),
                ("majority-drop", targets(table, ties="drop")),
                ("soft", soft_shares(table)),
                ("intensity", intensity_shares(table)),
            )
        },
        "differs": _differs(groups, top, labels) if set(groups) <= set(LABELS) else None,
    }


_FEW = 20  # raters that are told one by one


def _first(utterances: Sequence[Utterance], labels: Sequence[str]) -> list[int]:
    return [list(labels).index(u.votes[0].label) for u in utterances if u.votes[0].label in labels]


def _mean(rows: Shares) -> Shares:
    kept = rows[~np.isnan(rows).any(axis=1)]
    return kept.mean(axis=0) if len(kept) else np.full(rows.shape[1], np.nan)


def _differs(
    groups: Sequence[str | None], top: npt.NDArray[np.int64], labels: Sequence[str]
) -> dict[str, Any]:
    names = np.array([*labels, ""], dtype=object)[top]
    told = np.array(groups, dtype=object)
    return _share(names != told) | {
        "by_group": {
            label: _share((names != told)[told == label])
            for label in labels
            if (told == label).any()
        }
    }


def _score(confusion: npt.NDArray[np.int64], labels: Sequence[str]) -> dict[str, Any]:
    n = confusion.sum(axis=1)
    recalls = np.divide(np.diag(confusion), n, out=np.full(len(labels), np.nan), where=n > 0)
    return {
        "n": int(n.sum()),
        "weighted_accuracy": _rounded(float(np.trace(confusion) / n.sum())) if n.sum() else None,
        "unweighted_average_recall": _rounded(float(np.nanmean(recalls))) if n.sum() else None,
        "recall": {
            label: _rounded(float(recall)) for label, recall in zip(labels, recalls, strict=True)
        },
    }


def _share(which: npt.NDArray[np.bool_]) -> dict[str, Any]:
    return {"n": int(which.sum()), "share": _rounded(float(which.mean()))}


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 4)


__all__ = [
    "ceiling_confusion",
    "fleiss_kappa",
    "interval_alpha",
    "nominal_alpha",
    "summarise",
]
