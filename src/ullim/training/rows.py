"""What classical models and densities are fitted on: the windows of all clips, end to end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from ullim.errors import TrainingError
from ullim.training.classifier import Features
from ullim.types import FloatArray, Ragged
from ullim.window import Window


@dataclass(frozen=True, slots=True)
class Standard:
    """What standardises values by those of the training rows, and cuts what lies far out.

    So one strange value in a user's recording cannot decide alone.

    Attributes:
        clip: In standard deviations.
        mean: Shape (features,).
        scale: Standard deviations, shape (features,); 1 for a feature that never changes.

    >>> standard = Standard.of(np.array([[1.0, 5.0], [3.0, 5.0]]))
    >>> standard(np.array([[3.0, 6.0], [99.0, 5.0]])).tolist()
    [[1.0, 1.0], [5.0, 0.0]]
    """

    clip: ClassVar[float] = 5.0

    mean: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]

    @classmethod
    def of(cls, values: npt.NDArray[np.float64]) -> Self:
        """Return that of training rows, shape (rows, features)."""
        scale = values.std(axis=0)
        return cls(values.mean(axis=0), np.where(scale > 1e-8, scale, 1.0))

    def __call__(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return values standardised and cut, shape (rows, features)."""
        return np.clip((values - self.mean) / self.scale, -self.clip, self.clip)


@dataclass(frozen=True, slots=True)
class Rows:
    """Windows of all items end to end, several features side by side; each is a row.

    Attributes:
        values: float64 (rows, features), or (frames of all rows, features).
        counts: Rows of each item.
        lengths: Frames of each row; None where a row is one vector.
    """

    values: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64] | None = None

    @classmethod
    def of_vectors(cls, X: Features) -> Self:
        """Return the rows of features at level ``clip``, whose items hold a vector per window.

        Raises:
            TrainingError: There is none, or they do not give the same windows.
        """
        joined = _side_by_side(
            X, "windows; a classical model takes features with one vector per clip, side by side"
        )
        return cls(joined.values.astype(np.float64), joined.lengths)

    @classmethod
    def of_frames(cls, X: Features, window: Window, hops: Mapping[str, float]) -> Self:
        """Return the rows of features over frames, cut as the predictor cuts a recording.

        Args:
            X: Features by name, items of shape (frames, features).
            window: How.
            hops: Seconds from one frame to the next, by name; needed unless the window is whole.

        Raises:
            TrainingError: There is none, they do not give the same frames, or a hop is missing.
        """
        joined = _side_by_side(
            X, "frames; a density over frames takes features with the same hop, side by side"
        )
        values = joined.values.astype(np.float64)
        lengths = joined.lengths
        if window.mode == "whole":
            return cls(values, np.ones(len(lengths), np.int64), lengths)
        hop_s = {hops.get(name) for name in X}
        (unit_s,) = hop_s if len(hop_s) == 1 else (None,)
        if unit_s is None:
            raise TrainingError(
                f"features {', '.join(X)} are to be cut into windows, and their hops are "
                f"{dict(hops)}; give hops= with the same seconds for each"
            )
        starts = [window.starts(int(n), unit_s) for n in lengths]
        counts = np.array([len(of_item) for of_item in starts])
        cut = np.repeat([window.length(int(n), unit_s) for n in lengths], counts)
        first = np.concatenate(starts) + np.repeat(joined.offsets[:-1], counts)
        return cls(values[_ranges(first, cut)], counts, cut)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the rows of several, one after the other."""
        return cls(
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.counts for part in parts]),
            None
            if parts[0].lengths is None
            else np.concatenate([part.lengths for part in parts if part.lengths is not None]),
        )

    @property
    def n_items(self) -> int:
        """How many clips there are."""
        return len(self.counts)

    def take(self, items: npt.NDArray[np.int64]) -> Self:
        """Return the rows of some items, in the order given."""
        first = np.cumsum([0, *self.counts])
        rows = _ranges(first[items], self.counts[items])
        if self.lengths is None:
            return type(self)(self.values[rows], self.counts[items])
        begins = np.cumsum([0, *self.lengths])
        frames = _ranges(begins[rows], self.lengths[rows])
        return type(self)(self.values[frames], self.counts[items], self.lengths[rows])

    def fed(self, standard: Standard | None) -> Any:
        """Return what a model's ``fit`` takes: a matrix, or a ragged sequence of frames.

        Args:
            standard: Applied to every vector; None leaves them as they are.
        """
        values: Any = self.values if standard is None else standard(self.values)
        if self.lengths is None:
            return values
        return Ragged(values, np.cumsum([0, *self.lengths], dtype=np.int64))

    def batches(self, widths: Mapping[str, int]) -> Iterator[dict[str, FloatArray]]:
        """Yield every row as a graph takes it: float32 (batch, frames, features) by name.

        Args:
            widths: Values of each feature, by name, in the order they were joined in.
        """
        values = self.values.astype(np.float32)
        rows = (
            [values[:, None]]
            if self.lengths is None
            else [row[None] for row in np.split(values, np.cumsum(self.lengths)[:-1])]
        )
        for row in rows:
            parts = np.split(row, np.cumsum(list(widths.values()))[:-1], axis=2)
            yield dict(zip(widths, parts, strict=True))


def _side_by_side(X: Features, same: str) -> Ragged:
    offsets = [items.offsets for items in X.values()]
    if not offsets or any(not np.array_equal(offsets[0], other) for other in offsets[1:]):
        raise TrainingError(f"features {', '.join(X) or '(none)'} do not give the same {same}")
    return Ragged(np.concatenate([items.values for items in X.values()], axis=1), offsets[0])


def _ranges(first: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the integers of several ranges, one after the other."""
    return np.concatenate([np.arange(a, a + n) for a, n in zip(first, lengths, strict=True)])
