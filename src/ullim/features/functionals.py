"""One vector per clip: statistics of prosody, voice quality and spectrum over active frames."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ullim.features import Feature
from ullim.features._descriptors import (
    N_MEL_GROUPS,
    SPECTRAL_NAMES,
    VOICE_NAMES,
    Descriptors,
    describe,
)
from ullim.features._frames import delta_repeating, levelled
from ullim.features.pitch import Pitch
from ullim.types import FloatArray

_HOP_S = 0.01

# Statistics over fewer frames than this say nothing of a voice.
_FEWEST = 5

_QUANTILES = {"p5": 0.05, "p20": 0.2, "p50": 0.5, "p80": 0.8, "p95": 0.95}

# What is computed of the spectral columns, by the frames it is computed over.
_SPECTRAL_STATISTICS: dict[str, tuple[str, ...]] = {
    "active": ("mean", "std", "p5", "p50", "p95", "skew", "slope"),
    "active_delta": ("std", "abs", "p5", "p95"),
    "voiced": ("mean", "std", "skew", "slope"),
    "voiced_delta": ("std",),
    "unvoiced": ("mean", "std"),
}
_VOICE_STATISTICS = ("mean", "std", "p5", "p20", "p50", "p80", "p95", "skew", "slope")
_F0_DELTA_STATISTICS = ("mean", "std", "abs", "p5", "p95")
_F0_DELTA_LIMIT_ST = 4.0

_F0_MOVES = ("rising_share", "rise", "fall")
_PERTURBATION = ("jitter_mean", "jitter_median", "shimmer_mean", "shimmer_median")
_RHYTHM = (
    "voiced_per_s",
    "voiced_length_mean",
    "voiced_length_std",
    "voiced_length_max",
    "voiced_share",
    "active_share",
    "pauses_per_s",
    "pause_length_mean",
    "pause_length_max",
    "peaks_per_s",
    "segment_f0_std",
    "segment_f0_change",
)
_PEAK_DB = -25.0

_MODULATION_HZ = (0.5, 2.0, 4.0, 6.0, 9.0, 14.0, 22.0)
_MODULATION_CONTOURS = ("level", *(f"group{n}" for n in range(1, N_MEL_GROUPS + 1)), "f0")
_MODULATION_FRAMES = 256


class Functionals(Feature):
    """Statistics of a whole clip.

    Frames of 46 ms, every 10 ms, give 40 log-mel bands relative to the clip's mean band, MFCC 1-14,
    centroid, spread, alpha ratio, roll-off, Hammarberg index, entropy, flux, level relative to the
    clip's mean, harmonics-to-noise ratio, voicing, and over voiced frames F0 in semitones from
    200 Hz and the first harmonic over the second and over the frame. Their statistics, and those of
    their regression deltas, are taken over active, voiced and unvoiced frames; beside them stand F0
    movement, jitter and shimmer between frames, rhythm, and modulation energies. ``names`` says
    what each column is.

    Active frames, smoothed over five, lie within ``active_db`` of the loudest part, and nothing
    outside the first and the last of them counts, so that silence at the ends changes nothing;
    everything is relative to the clip's level, so that gain changes nothing. Silence and constants
    give zeros; statistics of voiced frames are those of active frames where fewer than five are
    voiced, and zero for F0.

    Attributes:
        active_db: How far under the loudest part a frame is still active.

    >>> feature = Functionals()
    >>> feature.extract(np.sin(np.arange(16_000) * 0.1)).shape == (1, len(feature.names))
    True

    Reference: the families of descriptors are those of Eyben, Real-time Speech and Music
    Classification, 2016, chapters 2 and 3; the set is our own.
    """

    version = "v1"
    unit = "mixed: dB, semitones, shares, per second"
    level = "clip"

    name: Literal["functionals"] = "functionals"
    active_db: float = Field(40.0, gt=0.0, le=90.0)

    @property
    def n_features(self) -> int:
        """Statistics."""
        return len(self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """Name of every column: frames, descriptor, statistic."""
        return _names()

    @property
    def min_samples(self) -> int:
        """One sample: frames are centred, so the ends are padded with silence."""
        return 1

    def _extract(self, signal: FloatArray) -> FloatArray:
        heard = signal != 0
        signal, gain = levelled(signal[heard.argmax() : len(heard) - heard[::-1].argmax()])
        if gain == 0.0:
            return np.zeros((1, self.n_features), dtype=np.float32)
        found = describe(signal, _pitch(self.sampling_rate), self.active_db)
        parts = [
            _spectral_statistics(found),
            _voice_statistics(found),
            _perturbation(found),
            _rhythm(found),
            _modulation(found),
        ]
        return np.concatenate(parts)[None].astype(np.float32)


@lru_cache(maxsize=16)
def _pitch(sampling_rate: int) -> Pitch:
    return Pitch(sampling_rate=sampling_rate, hop_length=round(_HOP_S * sampling_rate))


@lru_cache(maxsize=1)
def _names() -> tuple[str, ...]:
    spectral = [
        f"{frames}_{column}_{statistic}"
        for frames, statistics in _SPECTRAL_STATISTICS.items()
        for statistic in statistics
        for column in SPECTRAL_NAMES
    ]
    voice = [f"voiced_{column}_{s}" for s in _VOICE_STATISTICS for column in VOICE_NAMES]
    moves = [f"voiced_delta_f0_{s}" for s in (*_F0_DELTA_STATISTICS, *_F0_MOVES)]
    modulation = [
        f"modulation_{column}_{low:g}hz" for low, _ in pairwise(_MODULATION_HZ)
        for column in _MODULATION_CONTOURS
    ]  # fmt: skip
    return (*spectral, *voice, *moves, *_PERTURBATION, *_RHYTHM, *modulation)


def _statistics(values: FloatArray, wanted: tuple[str, ...]) -> FloatArray:
    """Return statistics of each column, one after the other, shape (statistics * columns,).

    Quantiles are by nearest rank; ``abs`` is the mean magnitude; ``slope`` is how far the fitted
    line goes from the first frame to the last.
    """
    n = len(values)
    # A product with this is a mean, at less than half the cost of NumPy's own.
    share = np.full(n, 1.0 / n, dtype=np.float32)
    mean = share @ values
    centred = values - mean
    squared = np.square(centred)
    std = np.sqrt(share @ squared)
    ordered = np.sort(values, axis=0) if not _QUANTILES.keys().isdisjoint(wanted) else values
    found: list[FloatArray] = []
    for statistic in wanted:
        if statistic == "mean":
            found.append(mean)
        elif statistic == "std":
            found.append(std)
        elif statistic == "abs":
            found.append(share @ np.abs(values))
        elif statistic == "skew":
            found.append(share @ (squared * centred) / np.maximum(std, np.float32(1e-3)) ** 3)
        elif statistic == "slope":
            time = np.linspace(-1.0, 1.0, n, dtype=np.float32) if n > 1 else np.zeros(1, np.float32)
            found.append(2.0 * (time @ centred) / max(float(time @ time), 1.0))
        else:
            found.append(ordered[round(_QUANTILES[statistic] * (n - 1))])
    return np.concatenate(found)


def _median(values: FloatArray) -> float:
    """Return the median by nearest rank."""
    return float(np.sort(values)[len(values) // 2])


def _spectral_statistics(found: Descriptors) -> FloatArray:
    moving = delta_repeating(found.spectral)
    unvoiced = found.active & ~found.voiced
    some = {
        "active": found.active,
        "voiced": found.voiced if found.voiced.sum() >= _FEWEST else found.active,
        "unvoiced": unvoiced if unvoiced.sum() >= _FEWEST else found.active,
    }
    parts = []
    for frames, statistics in _SPECTRAL_STATISTICS.items():
        values = moving if frames.endswith("_delta") else found.spectral
        parts.append(_statistics(values[some[frames.removesuffix("_delta")]], statistics))
    return np.concatenate(parts)


def _voice_statistics(found: Descriptors) -> FloatArray:
    """Return statistics of F0, its movement, and the first harmonics."""
    n_moves = len(_F0_DELTA_STATISTICS) + len(_F0_MOVES)
    if found.voiced.sum() < _FEWEST:
        n_voice = len(_VOICE_STATISTICS) * len(VOICE_NAMES)
        return np.zeros(n_voice + n_moves, dtype=np.float32)
    voice = _statistics(found.voice[found.voiced], _VOICE_STATISTICS)
    together = found.voiced[1:] & found.voiced[:-1]
    steps = np.diff(found.voice[:, 0])[together] / np.float32(_HOP_S)
    limit = _F0_DELTA_LIMIT_ST / _HOP_S
    steps = np.clip(steps, -limit, limit) if steps.size else np.zeros(1, dtype=np.float32)
    up, down = steps[steps > 0], steps[steps < 0]
    moves = [up.size / steps.size, up.mean() if up.size else 0.0, down.mean() if down.size else 0.0]
    return np.concatenate([voice, _statistics(steps[:, None], _F0_DELTA_STATISTICS), moves])


def _perturbation(found: Descriptors) -> FloatArray:
    """Return jitter (share of F0) and shimmer (dB) between neighbouring frames."""
    within = found.voiced[2:] & found.voiced[1:-1] & found.voiced[:-2]
    if within.sum() < _FEWEST:
        return np.zeros(len(_PERTURBATION), dtype=np.float32)
    bend_hz = np.abs(np.diff(found.f0_hz, 2))[within] / found.f0_hz[1:-1][within]
    jitter = np.minimum(bend_hz, np.float32(0.2))
    shimmer = np.abs(np.diff(found.level_db, 2))[within]
    return np.array([jitter.mean(), _median(jitter), shimmer.mean(), _median(shimmer)])


def _runs(mask: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return where runs of True start and where they have ended."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]])))
    return edges[::2], edges[1::2]


def _rhythm(found: Descriptors) -> FloatArray:
    duration_s = len(found.active) * _HOP_S
    starts, ends = _runs(found.voiced)
    lengths_s = (ends - starts) * _HOP_S if starts.size else np.zeros(1)
    pause_starts, pause_ends = _runs(~found.active)
    pauses_s = (pause_ends - pause_starts) * _HOP_S if pause_starts.size else np.zeros(1)
    # Peaks of level under a tenth of a second of Hann window are about the syllables.
    smooth = np.convolve(found.level_db, np.hanning(13)[1:-1] / 6.0, mode="same")
    inner = smooth[1:-1]
    peaks = (inner > smooth[:-2]) & (inner >= smooth[2:]) & (inner > _PEAK_DB)
    medians = [_median(found.voice[a:b, 0]) for a, b in zip(starts, ends, strict=True)]
    medians = medians or [0.0]
    return np.array(
        [
            starts.size / duration_s,
            lengths_s.mean(),
            lengths_s.std(),
            lengths_s.max(),
            found.voiced.mean(),
            found.active.mean(),
            pause_starts.size / duration_s,
            pauses_s.mean(),
            pauses_s.max(),
            peaks.sum() / duration_s,
            np.std(medians),
            medians[-1] - medians[0],
        ]
    )


def _modulation(found: Descriptors) -> FloatArray:
    """Return the common logarithm of each contour's energy in bands of modulation frequency."""
    f0 = np.where(found.voiced, found.voice[:, 0], 0.0)
    if found.voiced.any():
        f0 = np.where(found.voiced, f0 - _median(f0[found.voiced]), 0.0)
    contours = np.column_stack([found.level_db, found.mel_groups, f0])
    contours -= contours.mean(axis=0)
    n = max(_MODULATION_FRAMES, len(contours))
    power = np.square(np.abs(np.fft.rfft(contours, n, axis=0))) / len(contours)
    edges = np.searchsorted(np.arange(len(power)) / (n * _HOP_S), _MODULATION_HZ)
    bands = [power[low:high].mean(axis=0) for low, high in pairwise(edges)]
    return np.log10(np.concatenate(bands) + 1e-3)
