"""Intervals: how far a figure would move with other speakers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from ullim.evaluation.metrics import Columns, Floats, confusion_matrix

# Under about ten speakers the bootstrap's intervals are too narrow.
FEW_SPEAKERS = 10


def speaker_interval(
    statistic: Callable[[npt.NDArray[np.float64]], Floats],
    truth: Columns,
    guess: Columns,
    speakers: Sequence[str],
    n_labels: int,
    *,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return a percentile interval of a statistic of the confusion matrix.

    Speakers, not items, are drawn with replacement: items of one speaker are no independent
    evidence.

    Args:
        statistic: Maps matrices of shape (draws, labels, labels) to (draws,).
        truth: Column of each item's label.
        guess: Column of each item's guess.
        speakers: Speaker of each item.
        n_labels: Length of the label list.
        level: Nominal coverage.
        draws: Bootstrap samples.
        seed: Of the draw.

    Reference: Efron & Tibshirani, An introduction to the bootstrap, 1993, ch. 13; Ferrer & Riera,
    Confidence intervals for evaluation in machine learning, 2022 (resampling by condition).
    """
    _, owner = np.unique(np.asarray(speakers), return_inverse=True)
    n_speakers = int(owner.max()) + 1
    each = np.stack(
        [
            confusion_matrix(truth[owner == s], guess[owner == s], n_labels)
            for s in range(n_speakers)
        ]
    )
    weights = np.random.default_rng(seed).multinomial(
        n_speakers, np.full(n_speakers, 1 / n_speakers), size=draws
    )
    matrices = np.tensordot(weights.astype(float), each.astype(float), axes=1)
    low, high = np.quantile(statistic(matrices), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
