"""The sound itself, for networks that learn their own filters."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from ullim.features import Feature
from ullim.types import FloatArray


class Waveform(Feature):
    """Samples in frames that follow one another without overlap; the last is filled with zeros.

    Attributes:
        frame_length: Samples in a frame.

    >>> Waveform(frame_length=4).extract(np.ones(6, np.float32)).tolist()
    [[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0]]
    """

    version = "v1"
    unit = "full scale"

    name: Literal["waveform"] = "waveform"
    frame_length: int = Field(160, ge=1, le=65_536)

    @property
    def n_features(self) -> int:
        """Samples in a frame."""
        return self.frame_length

    @property
    def hop_s(self) -> float:
        """Seconds from one frame to the next."""
        return self.frame_length / self.sampling_rate

    @property
    def min_samples(self) -> int:
        """One."""
        return 1

    def _extract(self, signal: FloatArray) -> FloatArray:
        n = -(-signal.size // self.frame_length)
        frames = np.zeros((n, self.frame_length), dtype=np.float32)
        frames.reshape(-1)[: signal.size] = signal
        return frames
