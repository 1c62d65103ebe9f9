"""Histogram equalisation: gives one speaker's features the distribution of others.

This is a change of features, not of sound, and it needs many clips of a speaker at once: it is
transductive where that speaker is tested on, and a report has to say so.
"""

from __future__ import annotations

import numpy as np

from ullim.errors import FeatureError
from ullim.types import FloatArray


def quantiles(values: FloatArray, n: int = 1000) -> FloatArray:
    """Return the quantiles of each feature.

    Args:
        values: Shape (items, features).
        n: How many, evenly spaced from the least value to the greatest, at least 2.

    Returns:
        float32, shape (n, features).

    Raises:
        FeatureError: There is no item, or a value is not finite.
    """
    values = np.asarray(values, np.float32)
    if values.ndim != 2 or len(values) == 0 or not np.isfinite(values).all():
        raise FeatureError(
            f"quantiles need finite values of shape (items, features) and were given shape "
            f"{values.shape}",
            code="bad_shape",
        )
    return np.quantile(values, np.linspace(0.0, 1.0, n), axis=0).astype(np.float32)


def equalise(values: FloatArray, own: FloatArray, reference: FloatArray) -> FloatArray:
    """Map each feature so that a distribution becomes another: x' = F_reference⁻¹(F_own(x)).

    Args:
        values: Shape (items, features).
        own: :func:`quantiles` of the speaker the values belong to.
        reference: As many quantiles of the training speakers.

    Returns:
        float32, shape (items, features). A value outside the speaker's range goes to the end of
        the reference's; a value the speaker often has goes to the middle of what it stands for.

    >>> own = quantiles(np.array([[0.0], [1.0], [2.0]]), n=3)
    >>> equalise(np.array([[1.0], [0.5]]), own, np.array([[0.0], [10.0], [40.0]])).tolist()
    [[10.0], [5.0]]

    Reference: de la Torre et al., IEEE Transactions on Speech and Audio Processing 13(3), 2005.
    """
    values = np.asarray(values, np.float32)
    if own.shape != reference.shape or values.shape[1:] != own.shape[1:]:
        raise FeatureError(
            f"values of shape {values.shape} cannot be mapped from quantiles of shape {own.shape} "
            f"to those of shape {reference.shape}; features and quantiles must be as many",
            code="bad_shape",
        )
    mapped = np.empty_like(values)
    for column in range(values.shape[1]):
        x, xs, ys = values[:, column], own[:, column], reference[:, column]
        # Read from below and from above, a repeated value gives the ends of its step.
        above = np.interp(x, xs, ys)
        below = -np.interp(-x, -xs[::-1], -ys[::-1])
        mapped[:, column] = (above + below) / 2
    return mapped
