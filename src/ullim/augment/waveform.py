"""Speed, noise, gain and clipping, applied to samples before any feature is computed."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import soxr
from pydantic import Field, model_validator

from ullim.augment import Augmentation
from ullim.types import FloatArray

_A = TypeVar("_A", bound=Augmentation)


class Speed(Augmentation):
    """Play faster or slower: tempo, pitch and formants move together.

    Attributes:
        min_factor: Slowest playback, as a factor of the original speed.
        max_factor: Fastest.

    >>> generator = np.random.default_rng(0)
    >>> faster = Speed(min_factor=2, max_factor=2)
    >>> faster.apply(np.zeros(16_000, np.float32), 16_000, generator).size
    8000

    Reference: Ko, Peddinti, Povey & Khudanpur, Audio augmentation for speech recognition,
    Interspeech 2015.
    """

    name: Literal["speed"] = "speed"
    min_factor: float = Field(0.9, gt=0.1)
    max_factor: float = Field(1.1, lt=10.0)

    @model_validator(mode="after")
    def _check(self) -> Speed:
        return ordered(self, self.min_factor, self.max_factor)

    def _apply(
        self, signal: FloatArray, sampling_rate: int, generator: np.random.Generator
    ) -> FloatArray:
        factor = generator.uniform(self.min_factor, self.max_factor)
        return np.asarray(soxr.resample(signal, sampling_rate * factor, sampling_rate, "MQ"))


class Noise(Augmentation):
    """Add stationary noise whose spectrum falls by a random slope.

    Attributes:
        min_snr_db: Loudest noise, as signal-to-noise ratio over the clip.
        max_snr_db: Softest noise.
        max_slope: Power falls with frequency to at most this exponent (0 white, 1 pink, 2 brown).
    """

    name: Literal["noise"] = "noise"
    min_snr_db: float = 5.0
    max_snr_db: float = 30.0
    max_slope: float = Field(2.0, ge=0.0)

    @model_validator(mode="after")
    def _check(self) -> Noise:
        return ordered(self, self.min_snr_db, self.max_snr_db)

    def _apply(
        self, signal: FloatArray, sampling_rate: int, generator: np.random.Generator
    ) -> FloatArray:
        snr_db = generator.uniform(self.min_snr_db, self.max_snr_db)
        slope = generator.uniform(0.0, self.max_slope)
        spectrum = np.fft.rfft(generator.standard_normal(signal.size, dtype=np.float32))
        frequency = np.arange(spectrum.size, dtype=np.float32)
        frequency[0] = 1.0
        # Brown noise would otherwise sit wholly under the speech band.
        corner = max(1.0, 100.0 * signal.size / sampling_rate)
        spectrum *= np.maximum(frequency, np.float32(corner)) ** np.float32(-slope / 2)
        noise = np.fft.irfft(spectrum, signal.size)
        scale = rms(signal) / max(rms(noise), 1e-12) * 10 ** (-snr_db / 20)
        return np.asarray(signal + np.float32(scale) * noise)


class Gain(Augmentation):
    """Change the level; what then exceeds full scale clips, as in a recorder.

    Attributes:
        min_gain_db: Greatest attenuation.
        max_gain_db: Greatest amplification.
    """

    name: Literal["gain"] = "gain"
    min_gain_db: float = -20.0
    max_gain_db: float = 6.0

    @model_validator(mode="after")
    def _check(self) -> Gain:
        return ordered(self, self.min_gain_db, self.max_gain_db)

    def _apply(
        self, signal: FloatArray, sampling_rate: int, generator: np.random.Generator
    ) -> FloatArray:
        gain_db = generator.uniform(self.min_gain_db, self.max_gain_db)
        return np.asarray(np.clip(signal * np.float32(10 ** (gain_db / 20)), -1.0, 1.0))


class Clipping(Augmentation):
    """Cut off the peaks, as a recorder that was set too loud; the level is kept.

    Attributes:
        min_drive_db: Least that the loudest sample exceeds the limit by.
        max_drive_db: Most.
    """

    name: Literal["clipping"] = "clipping"
    min_drive_db: float = Field(1.0, ge=0.0)
    max_drive_db: float = Field(15.0, le=60.0)

    @model_validator(mode="after")
    def _check(self) -> Clipping:
        return ordered(self, self.min_drive_db, self.max_drive_db)

    def _apply(
        self, signal: FloatArray, sampling_rate: int, generator: np.random.Generator
    ) -> FloatArray:
        drive_db = generator.uniform(self.min_drive_db, self.max_drive_db)
        limit = np.abs(signal).max() * np.float32(10 ** (-drive_db / 20))
        return np.asarray(np.clip(signal, -limit, limit))


def rms(signal: npt.NDArray[np.floating[Any]]) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.mean(np.square(signal, dtype=np.float64))))


def ordered(augmentation: _A, low: float, high: float) -> _A:
    """Return the augmentation, or refuse a range that runs backwards."""
    if low > high:
        raise ValueError(f"the range runs from {low} to {high}; give the lower value first")
    return augmentation
