"""Protocols that draw utterances, as many papers do: speakers and texts are on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from ullim.evaluation.protocols.base import Fold, ProtocolBase, Rows
from ullim.types import Utterance


class RandomSplit(ProtocolBase):
    """Utterances drawn; speakers are on both sides. Rows may come in any order.

    The papers' own splits are this protocol with parameters, on their own choice of labels:
    Eom & Bang (2021), RAVDESS, five emotions: ``{name: random, test_share: 0.3}`` draws 288 of
    960. Park et al. (2018), EMO-DB, five emotions: ``{name: random, test_share: 0.2,
    at_most_per_label: 60}`` draws 60 of 300, and ``stratified: false`` lets the classes vary, as
    the 61 test files in their table do. Neither published a list; ``ullim corpora audit --protocol
    … --write-folds FILE`` writes a draw down for the protocol ``fixed``.

    Attributes:
        test_share: Share of the utterances that are tested on.
        stratified: Whether each label keeps its share; the total is rounded once, not per label.
        at_most_per_label: Utterances drawn from each label, the others left out; None for all.
    """

    description = "utterances drawn at random: speakers and texts are on both sides"

    name: Literal["random"] = "random"
    speaker_independent: Literal[False] = Field(False, exclude=True)
    text_independent: Literal[False] = Field(False, exclude=True)
    test_share: float = Field(0.3, gt=0.0, lt=1.0)
    stratified: bool = True
    at_most_per_label: int | None = Field(None, ge=2)

    def _folds(
        self, utterances: Sequence[Utterance], labels: Sequence[str], seed: int
    ) -> list[Fold]:
        names = [(u.corpus, u.id) for u in utterances]
        by_name = np.array(sorted(range(len(names)), key=names.__getitem__))
        kinds = np.array(list(labels))[by_name]
        generator = np.random.default_rng(seed)
        drawn: list[Rows] = [
            generator.permutation(np.flatnonzero(kinds == kind)) for kind in np.unique(kinds)
        ]
        if self.at_most_per_label is not None:
            drawn = [places[: self.at_most_per_label] for places in drawn]
        if not self.stratified:
            drawn = [generator.permutation(np.concatenate(drawn))]
        counts = _shares([len(places) for places in drawn], self.test_share, generator)
        test = [places[:n] for places, n in zip(drawn, counts, strict=True)]
        train = [places[n:] for places, n in zip(drawn, counts, strict=True)]
        return [
            Fold(
                "1", np.sort(by_name[np.concatenate(train)]), np.sort(by_name[np.concatenate(test)])
            )
        ]


def _shares(sizes: Sequence[int], share: float, generator: np.random.Generator) -> list[int]:
    """Return how many to test of each label, so that the total is the rounded share of all.

    >>> _shares([192] * 5, 0.3, np.random.default_rng(0))
    [57, 57, 58, 58, 58]
    """
    exact = np.array(sizes) * share
    counts = np.floor(exact).astype(int)
    order = generator.permutation(len(sizes))
    largest = order[np.argsort(-(exact - counts)[order], kind="stable")]
    counts[largest[: round(share * sum(sizes)) - counts.sum()]] += 1
    return [int(n) for n in counts]
