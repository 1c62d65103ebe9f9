"""Inputs of mean 0 and deviation 1, by statistics that travel with the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ullim.errors import TrainingError
from ullim.types import Ragged


class Standardised(nn.Module):
    """A network behind a standardisation; both are one graph when exported.

    What pads a clip is shifted too, which no network looks at.

    Args:
        network: Called as ``network(features, lengths)``.
        mean: float32 (features,), or (frames, features) for maps of one size.
        deviation: Of the same shape; a value that never changes is only shifted.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        network: nn.Module,
        mean: npt.NDArray[np.float32],
        deviation: npt.NDArray[np.float32],
    ) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.from_numpy(mean))
        varies = deviation > 1e-6 * np.maximum(np.abs(mean), 1e-6)
        inverse = np.where(varies, 1.0 / np.where(varies, deviation, 1.0), 1.0)
        self.register_buffer("scale", torch.from_numpy(inverse.astype(np.float32)))

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the network's logits for features as they were computed."""
        return torch.as_tensor(self.network((features - self.mean) * self.scale, lengths))


def statistics(
    views: Sequence[Ragged], rows: npt.NDArray[np.int64], per: Literal["feature", "position"]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return mean and standard deviation of some rows in all their views, float32.

    Args:
        views: Renderings of the same rows, (frames, features) each.
        rows: Those trained on.
        per: ``feature`` gives shape (features,), over all frames; ``position`` gives
            (frames, features), over the rows, which must be equally long.

    Raises:
        TrainingError: ``position`` was asked of clips of different lengths.

    >>> clips = Ragged.from_items([np.array([[1.0], [3.0]]), np.array([[5.0], [7.0]])])
    >>> mean, deviation = statistics([clips], np.arange(2), "position")
    >>> mean.tolist(), deviation.tolist()
    ([[3.0], [5.0]], [[2.0], [2.0]])
    """
    shapes = {view[int(row)].shape for view in views for row in rows}
    if per == "position" and len(shapes) > 1:
        lengths = sorted(shape[0] for shape in shapes)
        raise TrainingError(
            "standardise: position needs clips of one length and was given "
            f"{lengths[0]} to {lengths[-1]} frames; set window.padding: silence, or standardise: "
            "feature"
        )
    # Two passes in float64: the first coefficient of a cepstrum is large beside its deviation.
    total: npt.NDArray[np.float64] = np.zeros(())
    count = 0
    for view in views:
        for row in rows:
            clip = view[int(row)].astype(np.float64)
            total = total + (clip.sum(axis=0) if per == "feature" else clip)
            count += len(clip) if per == "feature" else 1
    mean = total / count
    squares: npt.NDArray[np.float64] = np.zeros(())
    for view in views:
        for row in rows:
            difference = np.square(view[int(row)] - mean)
            squares = squares + (difference.sum(axis=0) if per == "feature" else difference)
    deviation = np.sqrt(squares / count)
    return np.asarray(mean, np.float32), np.asarray(deviation, np.float32)
