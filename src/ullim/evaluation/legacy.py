"""Formulas of published systems that say less than they seem to; kept to check their figures.

Nothing here is an accuracy, and nothing in ullim reports it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def any_overlap_share(truth: npt.ArrayLike, guess: npt.ArrayLike) -> float:
    """Return the share of items whose true and guessed sets of labels share at least one.

    A guess of every label is always right by it, and a guess of none always wrong; it equals the
    weighted accuracy only where every item has exactly one true and one guessed label.

    Args:
        truth: Zeros and ones, shape (items, labels), at least one item.
        guess: Likewise.

    Returns:
        In [0, 1].

    Raises:
        ValueError: The shapes differ, are not (items, labels), or there is anything but 0 and 1.

    >>> any_overlap_share([[1, 0], [0, 1]], [[1, 1], [0, 0]])
    0.5

    Reference: a web application for four Korean emotions, whose "validation" this is: the sum over
    axis 1 of ``y_test & y_pred``, for a perceptron of independent outputs on one-hot targets. What
    it calls accuracy is taken on the training items, and is not kept.
    """
    true, guessed = np.asarray(truth), np.asarray(guess)
    if true.ndim != 2 or true.shape != guessed.shape or not true.size:
        raise ValueError(
            f"truth and guess are both (items, labels), and were given as {true.shape} and "
            f"{guessed.shape}"
        )
    if not (np.isin(true, (0, 1)).all() and np.isin(guessed, (0, 1)).all()):
        raise ValueError("truth and guess hold 0 and 1 only, a column for each label")
    overlap = true.astype(int) & guessed.astype(int)
    return float((overlap.sum(axis=1) > 0).mean())
