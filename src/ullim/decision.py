"""How classifiers and windows become one answer: the rules a recipe states and a bundle carries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

Rule = Literal["mean_probability", "majority", "park2018"]

FusionRule = Literal["mean", "literal", "over_classifiers"]

Matrix = npt.NDArray[Any]

RULES: tuple[Rule, ...] = get_args(Rule)

# Shares are quotients of small numbers, kept with five digits: what is closer than this is equal.
_EQUAL = 2e-5


def fuse(
    probabilities: Sequence[npt.NDArray[Any]],
    weights: Sequence[float],
    rule: FusionRule = "mean",
    members: Sequence[int] | None = None,
) -> npt.NDArray[Any]:
    """Return one distribution from those of several classifiers.

    With ``p_k`` the probabilities of classifier ``k`` and ``w_k`` its weight, the score of a class
    is, before all are divided by their sum:

    - ``mean``: ``Σ_k w_k p_k``, soft voting;
    - ``literal``: ``Σ_k w_k p_k²``;
    - ``over_classifiers``: ``Σ_k w_k p_k² / Σ_k w_k p_k``.

    Args:
        probabilities: Of each classifier, shape (rows, classes).
        weights: One for each.
        rule: As above.
        members: Number of the classifier each belongs to, where several are parts of one: their
            weighted mean is its ``p_k``. None for one each.

    Returns:
        Shape (rows, classes); rows sum to 1.

    >>> sure, unsure = np.array([[0.9, 0.1]]), np.array([[0.3, 0.7]])
    >>> fuse([sure, unsure], [1, 1]).round(3).tolist()
    [[0.6, 0.4]]
    >>> fuse([sure, unsure], [1, 1], "literal").round(3).tolist()
    [[0.643, 0.357]]

    Reference: KCI FI002460260, SVM, random forest and XGBoost fused: ``confidence(i) = Σ_k
    weight_k(i) · p_k(i)`` with ``weight_k(i) = p_k(i) / Σ_i p_k(i)``. That denominator is 1, which
    makes it ``literal``. ``over_classifiers`` takes the sum over classifiers instead, as it may
    have been meant.

    Differs: The paper takes the largest score and does not divide by the sum; the order is the
    same.
    """
    if rule == "mean":
        return np.asarray(np.average(probabilities, axis=0, weights=weights))
    each = np.asarray(probabilities)
    weight = np.asarray(weights, dtype=each.dtype)
    if members is not None:
        own = np.asarray(members)[None] == np.unique(members)[:, None]
        shares = own * weight
        weight = shares.sum(axis=1)
        each = np.tensordot(shares / weight[:, None], each, axes=1)
    scores = np.tensordot(weight, each**2, axes=1)
    if rule == "over_classifiers":
        scores = scores / np.maximum(np.tensordot(weight, each, axes=1), 1e-30)
    return np.asarray(scores / scores.sum(axis=-1, keepdims=True))


class Decision(BaseModel):
    """A decision rule.

    Attributes:
        rule: What the label of a recording follows. ``mean_probability`` averages the windows, and
            the label is the most probable. Under the others each window has one vote, for its
            most probable label: ``majority`` gives the label with the most votes; ``park2018`` the
            emotion other than neutral with the most votes, if it has at least ``vote_share`` of
            them, and neutral otherwise. Among equals the higher mean probability decides. Scores
            are mean probabilities under every rule, so under a vote the label need not have the
            highest. A run, and so the figures on a card, counts every window of a clip alike. A
            predictor does the same with the pieces of ``segments``; of other windows it counts
            those in which somebody speaks, in the mean by how long.
        vote_share: Share of the votes an emotion needs under ``park2018``.
        ambiguity_margin: Two labels this close at the top make the answer ambiguous: in mean
            probability, or in their shares of the votes where the rule is a vote.
        coverage: Share of held-out speech that is to be answered; training sets the bundle's
            threshold so that the least confident rest is called uncertain.
        smoothing_s: A moment of the timeline is told by the windows centred within this many
            seconds of it, the nearer the more.
        min_speech_s: Speech that a recording must hold to be answered, in seconds.

    Reference: Park, Kim, Kwon & Park, KIEE Information and Control Symposium, 2018, pp. 240-241,
    for ``park2018``.
    Differs: the paper adds that a recording is neutral when neutral has half of the votes, which
    changes nothing: without another emotion at 30 % it is neutral anyway. It words the bound once
    as "30 % or more" and once as "not over 30 %"; here exactly 30 % is enough. It does not say
    what decides among several emotions over the bound.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rule: Rule = "mean_probability"
    vote_share: float = Field(0.3, gt=0.0, le=1.0)
    ambiguity_margin: float = Field(0.02, ge=0.0, lt=1.0)
    coverage: float = Field(0.9, gt=0.0, le=1.0)
    smoothing_s: float = Field(2.0, gt=0.0)
    min_speech_s: float = Field(0.2, ge=0.0)

    @property
    def votes(self) -> bool:
        """Whether windows vote."""
        return self.rule != "mean_probability"

    def choose(
        self, scores: Matrix, shares: Matrix, labels: Sequence[str]
    ) -> npt.NDArray[np.int64]:
        """Return the column of each recording's label, shape (recordings,).

        Args:
            scores: Mean probabilities, shape (recordings, labels).
            shares: Of the windows' votes, shape (recordings, labels).
            labels: Names of the columns.

        >>> shares = np.array([[0.6, 0.3, 0.1], [0.5, 0.25, 0.25]])
        >>> Decision(rule="park2018").choose(shares, shares, ("neutral", "anger", "fear"))
        array([1, 0])
        """
        standing = self.standing(scores, shares, labels)
        first = standing >= standing.max(axis=1, keepdims=True) - _EQUAL
        return np.asarray(np.where(first, scores, -1.0).argmax(axis=1), dtype=np.int64)

    def standing(self, scores: Matrix, shares: Matrix, labels: Sequence[str]) -> Any:
        """Return what the rule ranks labels by, shape (recordings, labels).

        Under ``park2018`` that is the votes of the emotions over the bound, and neutral alone
        where there is none. Where neutral is not among the labels, the most votes decide then.
        """
        if self.rule == "mean_probability":
            return scores
        if self.rule == "majority":
            return shares
        heard = shares >= self.vote_share - _EQUAL
        if "neutral" in labels:
            neutral = list(labels).index("neutral")
            heard[:, neutral] = False
            otherwise: Matrix = np.eye(len(labels))[[neutral]]
        else:
            otherwise = shares
        return np.where(heard.any(axis=1, keepdims=True), np.where(heard, shares, 0.0), otherwise)


def vote_shares(per_window: Matrix, counts: npt.NDArray[np.int64]) -> Matrix:
    """Return the share of each label in the votes of a recording's windows.

    Args:
        per_window: Probabilities of all windows end to end, shape (windows, labels).
        counts: Windows of each recording, at least 1, shape (recordings,).

    Returns:
        float64 (recordings, labels), rows summing to 1.

    >>> vote_shares(np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]), np.array([2, 1])).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    votes = np.eye(per_window.shape[1])[per_window.argmax(axis=1)]
    return item_means(votes, counts)


def item_means(rows: Matrix, counts: npt.NDArray[np.int64]) -> Matrix:
    """Return the mean over each item's rows: the windows of a clip, or its frames.

    Args:
        rows: Of all items end to end, shape (rows, values).
        counts: Rows of each item, at least 1, shape (items,).

    Returns:
        Shape (items, values).

    >>> item_means(np.array([[1.0], [3.0], [5.0]]), np.array([2, 1])).tolist()
    [[2.0], [5.0]]
    """
    first = np.cumsum([0, *counts[:-1]])
    return np.asarray(np.add.reduceat(rows, first, axis=0) / np.asarray(counts)[:, None])
