"""A short stretch of a clip, as users and microphones cut them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from ullim.augment import Augmentation
from ullim.augment.waveform import ordered
from ullim.types import FloatArray


class Excerpt(Augmentation):
    """Keep one stretch that holds speech; a clip no longer than it stays whole.

    The stretch is drawn from those with at least half the energy of the strongest one of their
    length, so that it is never a pause alone.

    Attributes:
        min_s: Shortest stretch, in seconds.
        max_s: Longest.

    >>> generator = np.random.default_rng(0)
    >>> second = Excerpt(min_s=1.0, max_s=1.0)
    >>> second.apply(np.ones(48_000, np.float32), 16_000, generator).size
    16000
    """

    name: Literal["excerpt"] = "excerpt"
    min_s: float = Field(0.7, ge=0.05)
    max_s: float = Field(2.0, ge=0.05)

    @model_validator(mode="after")
    def _check(self) -> Excerpt:
        return ordered(self, self.min_s, self.max_s)

    def _apply(
        self, signal: FloatArray, sampling_rate: int, generator: np.random.Generator
    ) -> FloatArray:
        length = round(generator.uniform(self.min_s, self.max_s) * sampling_rate)
        if signal.size <= length:
            return signal
        total = np.cumsum(np.concatenate([[0.0], np.square(signal, dtype=np.float64)]))
        energy = total[length:] - total[:-length]
        starts = np.flatnonzero(energy >= 0.5 * energy.max())
        start = int(starts[generator.integers(starts.size)])
        return signal[start : start + length]
