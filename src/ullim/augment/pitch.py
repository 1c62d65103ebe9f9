"""Tempo without pitch and pitch without tempo, by overlap and add of similar waveforms."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import soxr
from pydantic import Field, model_validator

from ullim.augment import Augmentation
from ullim.augment.waveform import ordered
from ullim.types import FloatArray

# Two periods of the lowest voice, and one to search in.
_FRAME_S = 0.030
_SEARCH_S = 0.0125


class Tempo(Augmentation):
    """Speak faster or slower at the same pitch.

    Attributes:
        min_factor: Slowest, as a factor of the original tempo.
        max_factor: Fastest.
        factors: Of each view in turn, instead of drawing one; none draws.

    >>> generator = np.random.default_rng(0)
    >>> faster = Tempo(min_factor=1.25, max_factor=1.25)
    >>> faster.apply(np.zeros(16_000, np.float32), 16_000, generator).size
    12800

    Reference: Verhelst & Roelands, An overlap-add technique based on waveform similarity (WSOLA),
    ICASSP 1993.
    """

    name: Literal["tempo"] = "tempo"
    min_factor: float = Field(0.8, ge=0.25)
    max_factor: float = Field(1.2, le=4.0)
    factors: tuple[Annotated[float, Field(ge=0.25, le=4.0)], ...] = ()

    def for_view(self, view: int) -> Tempo:
        """Return it with the factor of that view."""
        if not self.factors:
            return self
        factor = self.factors[view % len(self.factors)]
        return self.model_copy(update={"min_factor": factor, "max_factor": factor})

    @model_validator(mode="after")
    def _check(self) -> Tempo:
        return ordered(self, self.min_factor, self.max_factor)

    def _apply(
        self, signal: FloatArray, sampling_rate: int, generator: np.random.Generator
    ) -> FloatArray:
        return stretch(signal, sampling_rate, generator.uniform(self.min_factor, self.max_factor))


class PitchShift(Augmentation):
    """Move the pitch, and the formants with it, at the same tempo.

    Attributes:
        min_semitones: Greatest shift downwards.
        max_semitones: Greatest shift upwards.

    >>> generator = np.random.default_rng(0)
    >>> PitchShift().apply(np.zeros(16_000, np.float32), 16_000, generator).size
    16000
    """

    name: Literal["pitch-shift"] = "pitch-shift"
    min_semitones: float = Field(-2.0, ge=-12.0)
    max_semitones: float = Field(2.0, le=12.0)

    @model_validator(mode="after")
    def _check(self) -> PitchShift:
        return ordered(self, self.min_semitones, self.max_semitones)

    def _apply(
        self, signal: FloatArray, sampling_rate: int, generator: np.random.Generator
    ) -> FloatArray:
        factor = 2 ** (generator.uniform(self.min_semitones, self.max_semitones) / 12)
        longer = stretch(signal, sampling_rate, 1 / factor)
        shifted = np.asarray(soxr.resample(longer, sampling_rate * factor, sampling_rate, "MQ"))
        return np.pad(shifted[: signal.size], (0, max(0, signal.size - shifted.size)))


def stretch(signal: FloatArray, sampling_rate: int, factor: float) -> FloatArray:
    """Return the signal at another tempo, its pitch kept.

    Args:
        signal: Shape (samples,).
        sampling_rate: In Hz.
        factor: Tempo relative to the original.

    Returns:
        float32, shape (samples / factor,).
    """
    half = max(1, round(_FRAME_S * sampling_rate / 2))
    search = max(1, round(_SEARCH_S * sampling_rate / 2))
    length = 2 * half
    n_out = max(1, round(signal.size / factor))
    n_frames = n_out // half + 2
    lead = half + search
    last = round((n_frames - 1) * half * factor)
    tail = max(0, last + length + 2 * search + half - signal.size)
    padded = np.pad(signal, (lead, tail + length))
    # Energy of every stretch of one frame, to compare shapes and not levels.
    squares = np.concatenate([[0.0], np.cumsum(np.square(padded, dtype=np.float64))])
    energy = np.sqrt(np.maximum(squares[length:] - squares[:-length], 0.0)) + 1e-9
    shape = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    out = np.zeros((n_frames + 1) * half)
    chosen = search
    for frame in range(n_frames):
        if frame:
            # The frame that looks most like what would have followed the last one.
            first = round(frame * half * factor)
            follows = padded[chosen + half : chosen + half + length]
            among = padded[first : first + length + 2 * search]
            likeness = np.correlate(among, follows, "valid")
            chosen = first + int((likeness / energy[first : first + likeness.size]).argmax())
        out[frame * half : frame * half + length] += shape * padded[chosen : chosen + length]
    return out[half : half + n_out].astype(np.float32)
