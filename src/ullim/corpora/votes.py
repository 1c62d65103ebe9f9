"""Raters' votes as one array, and the targets made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ullim.corpora import ACTOR
from ullim.corpora._rows import OWNER
from ullim.errors import CorpusError
from ullim.types import Utterance

Ties = Literal["earlier", "drop", "soft"]
Codes = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]

_NOT_RATERS = {ACTOR, OWNER}


@dataclass(frozen=True, slots=True, eq=False)
class VoteTable:
    """Votes over a fixed list of labels.

    The intended or the owner's label is no rater's vote: where anybody else voted, it is left out.

    Attributes:
        labels: What may be voted for.
        raters: Names of the raters, in the order they first appear.
        codes: int64 (items, slots), column of ``labels``; -1 where there is no further vote. The
            slots of an item are its votes in the corpus' order: the earlier rater first.
        who: int64 (items, slots), index into ``raters``; -1 where there is no vote.
        intensities: float64 (items, slots), not negative; NaN where the corpus gives none.
    """

    labels: tuple[str, ...]
    raters: tuple[str, ...]
    codes: Codes
    who: Codes
    intensities: Shares

    def __len__(self) -> int:
        return len(self.codes)

    def counts(self) -> Shares:
        """Return how many votes each label got, shape (items, labels)."""
        return self._sums(np.ones(self.codes.shape))

    def take(self, items: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> VoteTable:
        """Return some items."""
        return VoteTable(
            self.labels, self.raters, self.codes[items], self.who[items], self.intensities[items]
        )

    def _sums(self, weights: Shares) -> Shares:
        sums = np.zeros((len(self.codes), len(self.labels)))
        item, slot = np.nonzero(self.codes >= 0)
        np.add.at(sums, (item, self.codes[item, slot]), weights[item, slot])
        return sums


def tabulate(
    utterances: Sequence[Utterance],
    labels: Sequence[str],
    *,
    rename: Callable[[str], str] = lambda label: label,
) -> VoteTable:
    """Put the votes of utterances into one array.

    Args:
        utterances: The items.
        labels: What may be voted for; a vote for anything else counts as none.
        rename: Applied to every vote's label first.

    Raises:
        CorpusError: An intensity is negative.

    >>> from pathlib import Path
    >>> from ullim.types import Vote
    >>> votes = (Vote("a", "anger", 2.0), Vote("b", "neutral", 0.0))
    >>> table = tabulate([Utterance("1", Path(), "toy", None, votes)], ["neutral", "anger"])
    >>> table.codes.tolist(), table.raters
    ([[1, 0]], ('a', 'b'))
    """
    columns = {label: column for column, label in enumerate(labels)}
    raters: dict[str, int] = {}
    rows: list[list[tuple[int, int, float]]] = []
    for utterance in utterances:
        votes = [vote for vote in utterance.votes if vote.rater not in _NOT_RATERS]
        rows.append(
            [
                (columns[label], raters.setdefault(vote.rater, len(raters)), vote.intensity)
                for vote in votes or utterance.votes
                if (label := rename(vote.label)) in columns
            ]
        )
        if any(intensity < 0 for *_, intensity in rows[-1]):
            raise CorpusError(
                f"corpus {utterance.corpus}: {utterance.id} has a vote of negative intensity; "
                "intensities start at 0",
                code="negative_intensity",
            )
    width = max((len(row) for row in rows), default=0)
    flat = np.array(
        [cell for row in rows for cell in [*row, *[(-1, -1, np.nan)] * (width - len(row))]],
        dtype=np.float64,
    ).reshape(len(rows), width, 3)
    return VoteTable(
        tuple(labels),
        tuple(raters),
        flat[..., 0].astype(np.int64),
        flat[..., 1].astype(np.int64),
        flat[..., 2],
    )


def tied(table: VoteTable) -> npt.NDArray[np.bool_]:
    """Return which items have two labels that share the most votes."""
    counts = table.counts()
    top = counts.max(axis=1, initial=0)
    return np.asarray((top > 0) & ((counts == top[:, None]).sum(axis=1) > 1))


def majority(table: VoteTable, *, ties: Ties = "earlier") -> Codes:
    """Return the label most voted for, as a column of ``labels``; -1 where there is none.

    Args:
        table: The votes.
        ties: ``earlier`` takes the tied label that was voted for first, ``drop`` takes none.
            ``soft`` is a rule for targets and not for one label.

    Raises:
        ValueError: ``ties`` is ``soft``.

    >>> table = VoteTable(("neutral", "anger"), ("a", "b"), np.array([[1, 0]]), np.array([[0, 1]]),
    ...                   np.full((1, 2), np.nan))
    >>> majority(table).tolist(), majority(table, ties="drop").tolist()
    ([1], [-1])

    Reference: ``earlier`` is what Python's ``Counter(votes).most_common(1)`` does, which published
        code for the AI Hub corpus uses.
    """
    if ties == "soft":
        raise ValueError("a soft tie has no one label; ask for targets")
    counts = table.counts()
    if not counts.size or not table.codes.shape[1]:
        return np.full(len(table), -1, dtype=np.int64)
    voted = table.codes >= 0
    support = np.where(voted, np.take_along_axis(counts, np.maximum(table.codes, 0), axis=1), 0)
    slot = support.argmax(axis=1)  # the first slot whose label has the most votes
    top = np.where(voted.any(axis=1), table.codes[np.arange(len(table)), slot], -1)
    if ties == "drop":
        top[tied(table)] = -1
    return top


def soft_shares(table: VoteTable) -> Shares:
    """Return each label's share of the votes, shape (items, labels); NaN rows without votes."""
    return _normalised(table.counts())


def intensity_shares(table: VoteTable) -> Shares:
    """Return shares in which a vote weighs its intensity, shape (items, labels).

    A vote for neutral weighs 1, since neutral has no strength, and so does a vote without an
    intensity. Where all weights are zero, votes count alike. Rows without votes are NaN.

    >>> table = VoteTable(("neutral", "anger"), ("a", "b"), np.array([[1, 0]]), np.array([[0, 1]]),
    ...                   np.array([[2.0, 0.0]]))
    >>> intensity_shares(table).round(3).tolist()
    [[0.333, 0.667]]
    """
    weights = np.where(np.isnan(table.intensities), 1.0, table.intensities)
    if "neutral" in table.labels:
        weights[table.codes == table.labels.index("neutral")] = 1.0
    sums = table._sums(weights)
    weightless = sums.sum(axis=1) == 0
    sums[weightless] = table.counts()[weightless]
    return _normalised(sums)


def targets(table: VoteTable, *, ties: Ties = "earlier") -> Shares:
    """Return majority targets, shape (items, labels): 1 for the label, 0 for others.

    Args:
        table: The votes.
        ties: ``earlier``: the label voted for first; ``drop``: a row of NaN; ``soft``: the tied
            labels share the row evenly. Rows without votes are NaN.
    """
    counts = table.counts()
    if ties == "soft":
        top = counts.max(axis=1, initial=0)[:, None]
        return _normalised(((counts == top) & (top > 0)).astype(np.float64))
    label = majority(table, ties=ties)
    rows = np.zeros(counts.shape)
    rows[np.flatnonzero(label >= 0), label[label >= 0]] = 1.0
    rows[label < 0] = np.nan
    return rows


def _normalised(sums: Shares) -> Shares:
    total = sums.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(sums, total, out=np.full_like(sums, np.nan), where=total > 0))
