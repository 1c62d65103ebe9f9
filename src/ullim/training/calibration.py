"""Temperature scaling: the one number that makes confidence mean what it says."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ullim.models import NEVER

Matrix = npt.NDArray[np.float32]


def fit_temperature(logits: Matrix, targets: Matrix, most: float = 10.0) -> float:
    """Return the temperature in [1 / most, most] with the lowest cross-entropy.

    Args:
        logits: Shape (rows, classes), of rows the model was not fitted on. A class with ``NEVER``
            was not in its training, so that there is nothing to calibrate: it counts as not
            offered.
        targets: Shape (rows, classes); NaN marks a class that is not offered.
        most: Logits that are log-likelihoods of many values need a high one.

    >>> fit_temperature(np.array([[9.0, 0.0], [9.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])) > 5
    True

    Reference: Guo, Pleiss, Sun & Weinberger, On calibration of modern neural networks, ICML 2017.
    """
    offered = ~np.isnan(targets) & (logits > NEVER / 1e6)
    truth = np.nan_to_num(targets).astype(np.float64)
    masked = np.where(offered, logits, -np.inf).astype(np.float64)

    def cross_entropy(temperature: float) -> float:
        scaled = masked / temperature
        top = scaled.max(axis=1, keepdims=True)
        log_sum = top + np.log(np.exp(scaled - top).sum(axis=1, keepdims=True))
        log_probability = np.where(offered, scaled - log_sum, 0.0)
        return float(-(truth * log_probability).sum(axis=1).mean())

    # The loss is convex in 1 / temperature, so a golden-section search on its logarithm suffices.
    low, high = -np.log(most), np.log(most)
    ratio = (np.sqrt(5.0) - 1) / 2
    for _ in range(40):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if cross_entropy(float(np.exp(left))) < cross_entropy(float(np.exp(right))):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))
