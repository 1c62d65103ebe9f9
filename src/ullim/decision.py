"""How classifiers and windows become one answer: the rules a recipe states and a bundle carries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

FusionRule = Literal["mean", "literal", "over_classifiers"]


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
        rule: ``mean_probability`` averages the windows in which somebody speaks.
        ambiguity_margin: Two labels this close at the top make the answer ambiguous.
        coverage: Share of held-out speech that is to be answered; training sets the bundle's
            threshold so that the least confident rest is called uncertain.
        smoothing_s: A moment of the timeline is told by the windows centred within this many
            seconds of it, the nearer the more.
        min_speech_s: Speech that a recording must hold to be answered, in seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rule: Literal["mean_probability"] = "mean_probability"
    ambiguity_margin: float = Field(0.02, ge=0.0, lt=1.0)
    coverage: float = Field(0.9, gt=0.0, le=1.0)
    smoothing_s: float = Field(2.0, gt=0.0)
    min_speech_s: float = Field(0.2, ge=0.0)
