"""F0, voicing and intensity: autocorrelation from the power spectrum, smoothed by Viterbi."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from ullim.features import Feature
from ullim.features._frames import (
    decibels,
    fft_length,
    levelled,
    n_frames,
    periodic_window,
    power_blocks,
    product,
)
from ullim.types import FloatArray

# The window holds 2.75 periods of the lowest F0. Praat takes three; the quarter less keeps the
# transform at 960 samples for 16 kHz and 60 Hz.
_PERIODS = 2.75

# The autocorrelation is taken of what lies under this frequency, where voices have their strong
# harmonics, on lags so many times finer than that band needs.
_BAND_HZ = 3000.0
_LAGS_PER_S = 8_000.0

_CANDIDATES = 4
_LEAST_PEAK = 0.1

_FLOOR_DB = -120.0


@dataclass(frozen=True, slots=True, eq=False)
class PitchTrack:
    """F0 and what comes with it, one value per frame, all of shape (frames,).

    Attributes:
        f0_hz: F0 in Hz; 0 where unvoiced.
        probability: Of being voiced, in [0, 1].
        periodicity: Normalised autocorrelation at the best lag, in [0, 1].
        level_db: Mean square of the frame under its window, in dB from a mean square of one.
    """

    f0_hz: FloatArray
    probability: FloatArray
    periodicity: FloatArray
    level_db: FloatArray


class PitchParameters(Feature):
    """What every feature built on the pitch tracker can set.

    Attributes:
        hop_length: Step between frames, in samples.
        f_min_hz: Lowest F0.
        f_max_hz: Highest F0.
        voicing_threshold: Autocorrelation under which a frame is rather unvoiced.
        silence_threshold: Amplitude, relative to the clip's loudest frame, under which a frame is
            rather unvoiced.
        octave_cost: Preference for higher candidates, per octave.
        octave_jump_cost: Cost of a change of F0, per octave and 10 ms.
        voicing_cost: Cost of a change between voiced and unvoiced, per 10 ms.
    """

    hop_length: int = Field(160, ge=1, le=65_536)
    f_min_hz: float = Field(60.0, ge=20.0)
    f_max_hz: float = Field(600.0, le=2000.0)
    voicing_threshold: float = Field(0.45, ge=0.0, le=1.0)
    silence_threshold: float = Field(0.03, ge=0.0, le=1.0)
    octave_cost: float = Field(0.01, ge=0.0)
    octave_jump_cost: float = Field(0.35, ge=0.0)
    voicing_cost: float = Field(0.14, ge=0.0)

    @model_validator(mode="after")
    def _check_range(self) -> PitchParameters:
        if not self.f_min_hz < self.f_max_hz <= self.sampling_rate / 4:
            raise ValueError(
                f"F0 from {self.f_min_hz} to {self.f_max_hz} Hz does not lie in order under a "
                f"quarter of the sampling rate, {self.sampling_rate / 4} Hz"
            )
        return self

    @property
    def hop_s(self) -> float:
        """Seconds from one frame to the next."""
        return self.hop_length / self.sampling_rate

    @property
    def min_samples(self) -> int:
        """One sample: frames are centred, so the ends are padded with silence."""
        return 1


class Pitch(PitchParameters):
    """F0 in Hz (0 where unvoiced), probability of voicing, and intensity in dB.

    Frames are centred on every hop. F0 and voicing do not change with gain. Silence and constants
    are unvoiced, at -120 dB.

    >>> t = np.arange(16_000) / 16_000
    >>> tone = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 9))
    >>> f0_hz, voicing, intensity_db = Pitch().extract(tone)[50].tolist()
    >>> round(f0_hz), round(voicing, 1)
    (120, 1.0)

    Reference: Boersma, Proc. Institute of Phonetic Sciences 17, 1993, sections 3 and 4.
    Differs: the autocorrelation is of the band up to 3 kHz, five candidates are kept, the window
    is 2.75 periods long, and the loudest frame is measured by its mean square.
    """

    version = "v1"
    unit = "Hz; 0 to 1; dB"

    name: Literal["pitch"] = "pitch"

    @property
    def n_features(self) -> int:
        """F0, voicing and intensity."""
        return 3

    def _extract(self, signal: FloatArray) -> FloatArray:
        found = track(signal, self)
        return np.stack([found.f0_hz, found.probability, found.level_db], axis=1)


def track(signal: FloatArray, parameters: PitchParameters) -> PitchTrack:
    """Follow the pitch of a signal.

    Args:
        signal: Mono samples, shape (samples,).
        parameters: Range, hop and costs.
    """
    analysis = lag_analysis(parameters.sampling_rate, parameters.f_min_hz, parameters.f_max_hz)
    signal, gain = levelled(signal)
    n = n_frames(len(signal), parameters.hop_length)
    correlation = np.empty((n, 1 + len(analysis.lags_s)), dtype=np.float32)
    power = np.empty(n, dtype=np.float32)
    for rows, spectrum in power_blocks(
        signal, analysis.window, parameters.hop_length, analysis.n_fft
    ):
        correlation[rows] = product(spectrum[:, : len(analysis.basis)], analysis.basis)
        power[rows] = analysis.mean_square(spectrum)
    found = follow(correlation, power, analysis, parameters)
    gain_db = 20.0 * np.log10(gain) if gain > 0 else -np.inf
    level_db = np.maximum(found.level_db + np.float32(gain_db), np.float32(_FLOOR_DB))
    return replace(found, level_db=level_db)


@dataclass(frozen=True, slots=True, eq=False)
class LagAnalysis:
    """How power spectra turn into a normalised autocorrelation.

    Attributes:
        window: Shape (samples,).
        n_fft: Length of the transform.
        lags_s: Lags, evenly spaced, one beyond the range of F0 at either end.
        basis: Shape (bins of the band, 1 + lags): power to the lag of zero, and to the others
            corrected for the window.
    """

    window: FloatArray
    n_fft: int
    lags_s: npt.NDArray[np.float64]
    basis: FloatArray

    def mean_square(self, power: FloatArray) -> FloatArray:
        """Return the mean square under the window of each row of a power spectrum."""
        total = 2.0 * power.sum(axis=1) - power[:, 0] - power[:, -1] * (self.n_fft % 2 == 0)
        return np.asarray(total / (self.n_fft * np.square(self.window).sum()), dtype=np.float32)


@lru_cache(maxsize=16)
def lag_analysis(sampling_rate: int, f_min_hz: float, f_max_hz: float) -> LagAnalysis:
    """Return window, lags and basis for a rate and a range of F0."""
    window = periodic_window(round(_PERIODS / f_min_hz * sampling_rate))
    longest = int(np.ceil(_LAGS_PER_S / f_min_hz)) + 1
    shortest = int(_LAGS_PER_S / f_max_hz) - 1
    lags_s = np.arange(shortest, longest + 1) / _LAGS_PER_S
    # What wraps around is of the window's outermost sixth at either end, where little is left.
    n_fft = fft_length(int(np.ceil(len(window) * 5 / 6 + lags_s[-1] * sampling_rate)))
    hz = np.arange(n_fft // 2 + 1) * sampling_rate / n_fft
    # Cut off softly at both ends: hum and drift below, and no ringing from the edge above.
    band_hz = min(_BAND_HZ, sampling_rate / 2)
    weight = 0.5 + 0.5 * np.cos(np.pi * np.clip((hz - 0.7 * band_hz) / (0.3 * band_hz), 0, 1))
    weight *= np.clip((hz - 0.5 * f_min_hz) / (0.25 * f_min_hz), 0, 1)
    n_bins = int(np.searchsorted(hz, band_hz, side="right"))
    basis = np.empty((n_bins, 1 + len(lags_s)))
    basis[:, 0] = weight[:n_bins]
    basis[:, 1:] = weight[:n_bins, None] * np.cos(2 * np.pi * np.outer(hz[:n_bins], lags_s))
    spectrum = np.abs(np.fft.rfft(window.astype(np.float64), n_fft)) ** 2
    spectrum[1:] *= 2
    own = spectrum @ np.cos(2 * np.pi * np.outer(hz, lags_s)) / spectrum.sum()
    basis[:, 1:] /= own
    return LagAnalysis(window, n_fft, lags_s, basis.astype(np.float32))


def follow(
    correlation: FloatArray,
    power: FloatArray,
    analysis: LagAnalysis,
    parameters: PitchParameters,
) -> PitchTrack:
    """Choose candidates in every frame and the best path through them.

    Args:
        correlation: Product of the power spectra and ``analysis.basis``, (frames, 1 + lags).
        power: Mean square of the frames.
        analysis: What ``correlation`` was made with.
        parameters: Costs and thresholds.
    """
    energy = correlation[:, :1]
    peak = float(power.max(initial=0.0))
    # Frames over 100 dB under the loudest hold rounding, not sound.
    audible = power > 1e-10 * peak
    usable = audible[:, None] & (energy > 0)
    normalised = correlation[:, 1:] * np.divide(
        1.0, energy, out=np.zeros_like(energy), where=usable
    )
    f0_hz, strength = _candidates(normalised, analysis.lags_s, parameters)

    amplitude = np.sqrt(power / peak) if peak > 0 else np.zeros_like(power)
    threshold = parameters.voicing_threshold
    quiet = 2.0 - amplitude * (1.0 + threshold) / max(parameters.silence_threshold, 1e-6)
    unvoiced = np.where(audible, threshold + np.maximum(0.0, quiet), 2.0 + threshold)

    # State 0 is unvoiced, the others are the candidates; an absent candidate is never chosen.
    there = f0_hz > 0
    octaves = np.log2(np.where(there, f0_hz, parameters.f_min_hz) / parameters.f_min_hz)
    local = np.empty((_CANDIDATES + 1, len(power)), dtype=np.float32)
    local[0] = unvoiced
    local[1:] = np.where(there, strength + parameters.octave_cost * octaves, -1e3)
    scale = 0.01 / parameters.hop_s
    moves = np.zeros((*local.shape[:1] * 2, max(len(power) - 1, 0)), dtype=np.float32)
    np.subtract(octaves[:, None, :-1], octaves[None, :, 1:], out=moves[1:, 1:])
    np.abs(moves[1:, 1:], out=moves[1:, 1:])
    moves[1:, 1:] *= -parameters.octave_jump_cost * scale
    moves[0, 1:] = moves[1:, 0] = -parameters.voicing_cost * scale
    states = best_path(local, moves)

    frames = np.arange(len(power))
    voiced = states > 0
    chosen = np.maximum(states - 1, 0)
    best = strength.max(axis=0)
    periodicity = np.where(voiced, strength[chosen, frames], best)
    # A logistic of what decides between voiced and unvoiced in the frame alone.
    probability = 1.0 / (1.0 + np.exp(np.clip(12.0 * (unvoiced - best), -60.0, 60.0)))
    return PitchTrack(
        f0_hz=np.where(voiced, f0_hz[chosen, frames], 0.0).astype(np.float32),
        probability=probability.astype(np.float32),
        periodicity=np.clip(periodicity, 0.0, 1.0).astype(np.float32),
        level_db=decibels(power, 1e-20),
    )


def _candidates(
    normalised: FloatArray, lags_s: npt.NDArray[np.float64], parameters: PitchParameters
) -> tuple[FloatArray, FloatArray]:
    """Return F0 (0 where there is none) and height of the best peaks, (candidates, frames)."""
    centre = normalised[:, 1:-1]
    rank = centre - np.asarray(
        parameters.octave_cost * np.log2(lags_s[1:-1] * parameters.f_min_hz), dtype=np.float32
    )
    peak = (centre > normalised[:, :-2]) & (centre >= normalised[:, 2:])
    peak &= centre > _LEAST_PEAK
    rank[~peak] = -np.inf
    frames = np.arange(len(rank))
    chosen = np.empty((_CANDIDATES, len(rank)), dtype=np.intp)
    for best in chosen:
        rank.argmax(axis=1, out=best)
        rank[frames, best] = -np.inf
    there = peak[frames, chosen]
    before, here, after = (normalised[frames, chosen + shift] for shift in (0, 1, 2))
    # The vertex of the parabola through the peak and its neighbours.
    curvature = np.minimum(before - 2.0 * here + after, np.float32(-1e-9))
    shift = np.clip(0.5 * (before - after) / curvature, -0.5, 0.5)
    lag_s = lags_s[chosen + 1] + shift * (lags_s[1] - lags_s[0])
    there &= (lag_s * parameters.f_max_hz >= 1) & (lag_s * parameters.f_min_hz <= 1)
    height = here - 0.25 * (before - after) * shift
    # A peak above one comes of noise at lags where the window has little left.
    height = np.where(height > 1.0, 1.0 / np.maximum(height, 1.0), height)
    f0_hz = np.where(there, 1.0 / lag_s, 0.0).astype(np.float32)
    return f0_hz, np.where(there, height, np.float32(0.0))


def best_path(local: FloatArray, moves: FloatArray) -> npt.NDArray[np.intp]:
    """Find the path of the greatest sum: Viterbi's, by halves instead of frame by frame.

    Two steps make one by the (max, +) product of their matrices, and so on up; going down, the
    state between two halves is the one their best sum went through. So there are as many NumPy
    calls as levels and none per frame.

    Args:
        local: Score of each state, shape (states, frames).
        moves: Score of each move, shape (from, to, frames - 1).

    Returns:
        The state of every frame, shape (frames,).

    >>> best_path(np.array([[1.0, 0, 1], [0, 0.5, 0]]), np.zeros((2, 2, 2))).tolist()
    [0, 1, 0]
    """
    if local.shape[1] == 1:
        return np.array([local[:, 0].argmax()])
    levels = [moves + local[:, 1:]]
    while levels[-1].shape[2] > 1:
        steps = levels[-1]
        even = steps.shape[2] // 2 * 2
        first, second = steps[:, :, 0:even:2], steps[:, :, 1:even:2]
        joined = first[:, 0, None] + second[None, 0]
        for middle in range(1, len(local)):
            np.maximum(joined, first[:, middle, None] + second[None, middle], out=joined)
        levels.append(np.concatenate([joined, steps[:, :, even:]], axis=2))
    total = local[:, 0, None] + levels[-1][:, :, 0]
    path = np.array(np.unravel_index(total.argmax(), total.shape))
    for steps in reversed(levels[:-1]):
        n_pairs = steps.shape[2] // 2
        pair = 2 * np.arange(n_pairs)
        start, end = path[:n_pairs], path[1 : n_pairs + 1]
        finer = np.empty(steps.shape[2] + 1, dtype=path.dtype)
        finer[0 : 2 * n_pairs + 1 : 2] = path[: n_pairs + 1]
        finer[1 : 2 * n_pairs : 2] = (steps[start, :, pair] + steps[:, end, pair + 1].T).argmax(1)
        finer[2 * n_pairs :] = path[n_pairs:]
        path = finer
    return path
