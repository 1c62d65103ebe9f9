"""Plain statistics of frame-wise features: the oldest way to one vector per clip."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from ullim.features import Feature
from ullim.features.spectral import Mfcc
from ullim.types import FloatArray


class MfccStatistics(Feature):
    """Mean and standard deviation over time of each cepstral coefficient, means first.

    Attributes:
        n_mfcc: Coefficients, the zeroth included.
        n_mels: Bands they are computed from.
        window_s: Length of a frame, in seconds.
        step_s: From one frame to the next, in seconds.

    >>> MfccStatistics().extract(np.zeros(16_000, np.float32)).shape
    (1, 80)

    Reference: the systems that take "MFCC statistics" rarely say which; 40 coefficients over
    25 ms every 10 ms are our default.
    """

    version = "v1"
    level = "clip"
    unit = "decibels after a discrete cosine transform"

    name: Literal["mfcc-statistics"] = "mfcc-statistics"
    n_mfcc: int = Field(40, ge=2)
    n_mels: int = Field(64, ge=2)
    window_s: float = Field(0.025, gt=0.0, le=1.0)
    step_s: float = Field(0.010, gt=0.0, le=1.0)

    @property
    def n_features(self) -> int:
        """Two for each coefficient."""
        return 2 * self.n_mfcc

    @property
    def min_samples(self) -> int:
        """What a frame needs."""
        return self._frames().min_samples

    def _frames(self) -> Mfcc:
        window = round(self.window_s * self.sampling_rate)
        return Mfcc(
            sampling_rate=self.sampling_rate,
            n_mfcc=self.n_mfcc,
            n_mels=self.n_mels,
            n_fft=max(512, 1 << (window - 1).bit_length()),
            win_length=window,
            hop_length=round(self.step_s * self.sampling_rate),
        )

    def _extract(self, signal: FloatArray) -> FloatArray:
        frames = self._frames().extract(signal)
        return np.concatenate([frames.mean(axis=0), frames.std(axis=0)])[None]
