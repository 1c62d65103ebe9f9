"""A room around the voice: an impulse response of decaying noise."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from ullim.augment import Augmentation
from ullim.augment.waveform import ordered, rms
from ullim.types import FloatArray


class Room(Augmentation):
    """Add the reverberation of a room; loudness and place in time stay.

    Attributes:
        min_rt60_s: Shortest time in which the sound falls by 60 dB.
        max_rt60_s: Longest.
        min_direct_db: Farthest voice: level of the direct sound over that of the room.
        max_direct_db: Nearest voice.

    Reference: Polack, Acta Acustica 1, 1993 (reverberation as decaying Gaussian noise).
    """

    name: Literal["room"] = "room"
    min_rt60_s: float = Field(0.2, ge=0.02)
    max_rt60_s: float = Field(0.8, le=10.0)
    min_direct_db: float = Field(-3.0, ge=-60.0)
    max_direct_db: float = Field(12.0, le=60.0)

    @model_validator(mode="after")
    def _check(self) -> Room:
        ordered(self, self.min_rt60_s, self.max_rt60_s)
        return ordered(self, self.min_direct_db, self.max_direct_db)

    def _apply(
        self, signal: FloatArray, sampling_rate: int, generator: np.random.Generator
    ) -> FloatArray:
        rt60_s = generator.uniform(self.min_rt60_s, self.max_rt60_s)
        direct_db = generator.uniform(self.min_direct_db, self.max_direct_db)
        response = impulse_response(rt60_s, direct_db, sampling_rate, generator)
        n = signal.size + response.size - 1
        n_fft = 1 << (n - 1).bit_length()
        spectrum = np.fft.rfft(signal, n_fft) * np.fft.rfft(response, n_fft)
        wet = np.fft.irfft(spectrum, n_fft)[: signal.size]
        return np.asarray(wet * (rms(signal) / max(rms(wet), 1e-12)))


def impulse_response(
    rt60_s: float, direct_db: float, sampling_rate: int, generator: np.random.Generator
) -> FloatArray:
    """Return what a room answers to a clap.

    Args:
        rt60_s: Time in which it falls by 60 dB.
        direct_db: Energy of the direct sound over that of the rest, in dB.
        sampling_rate: In Hz.
        generator: Source of the reflections.

    Returns:
        float32, shape (rt60_s * sampling_rate,); the direct sound is the first sample, 1.
    """
    n = max(2, round(rt60_s * sampling_rate))
    decay = np.exp(-np.log(1000.0) * np.arange(n) / n)
    response = generator.standard_normal(n) * decay
    response[0] = 0.0
    response *= 10 ** (-direct_db / 20) / max(float(np.linalg.norm(response)), 1e-12)
    response[0] = 1.0
    return np.asarray(response, np.float32)
