"""Prosody of a whole clip: pitch statistics, voice quality, speech rate, modulation spectrum."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from ullim.features import Feature
from ullim.features._frames import (
    decibels,
    fft_length,
    levelled,
    periodic_window,
    power_blocks,
    product,
)
from ullim.features.pitch import PitchParameters, PitchTrack, track
from ullim.features.stft import hz_to_mel, mel_to_hz
from ullim.types import FloatArray

Values = npt.NDArray[np.float64]

_PULSE_HZ = 400.0

_STATISTICS = (
    "mean", "std", "min", "max", "range", "median", "q1", "q3", "iqr", "skew", "kurtosis", "slope",
    "first", "last",
)  # fmt: skip
_CONTOURS = ("f0", "log_f0", "delta_f0", "segment_f0")


class _ClipPitch(PitchParameters):
    """A clip-level feature on the pitch tracker."""

    level = "clip"

    @property
    def hop_s(self) -> float:
        """Infinite: one vector for the clip."""
        return float("inf")

    def _track(self, signal: FloatArray) -> PitchTrack:
        return track(signal, self)


class Pitch56(_ClipPitch):
    """Fourteen statistics of F0, log F0, the difference of F0, and the means of voiced segments.

    F0 is in Hz, its difference in Hz per frame within voiced segments, slopes per value. ``names``
    says what each column is. A clip without voice gives zeros.

    >>> Pitch56().extract(np.zeros(16_000, np.float32)).any()
    np.False_

    Reference: the number is that of Kim, Trans. KIEE 66(8), 2017, which selects 15 of 56 pitch
    parameters; which ones they are is not public, and these are ours.
    """

    version = "v1"
    unit = "Hz, its logarithm, or per frame; see the text"

    name: Literal["pitch56"] = "pitch56"

    @property
    def n_features(self) -> int:
        """Statistics of all contours."""
        return len(_CONTOURS) * len(_STATISTICS)

    @property
    def names(self) -> tuple[str, ...]:
        """Name of every column."""
        return tuple(f"{contour}_{value}" for contour in _CONTOURS for value in _STATISTICS)

    def _extract(self, signal: FloatArray) -> FloatArray:
        f0_hz = self._track(signal).f0_hz.astype(np.float64)
        voiced = f0_hz > 0
        if not voiced.any():
            return np.zeros((1, self.n_features), dtype=np.float32)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], voiced, [False]])))
        segments = [f0_hz[start:end].mean() for start, end in edges.reshape(-1, 2)]
        delta = np.diff(f0_hz)[voiced[1:] & voiced[:-1]]
        contours = (f0_hz[voiced], np.log(f0_hz[voiced]), delta, np.array(segments))
        return np.concatenate([_moments(c) for c in contours])[None].astype(np.float32)


def _moments(values: Values) -> Values:
    """Return the values of ``_STATISTICS``; zeros for no values."""
    if not values.size:
        return np.zeros(len(_STATISTICS))
    mean, std = values.mean(), values.std()
    q1, median, q3 = np.percentile(values, [25, 50, 75])
    least, most = values.min(), values.max()
    # Rounding is no spread.
    z = (values - mean) / std if std > 1e-6 * max(abs(mean), 1.0) else np.zeros_like(values)
    time = np.arange(len(values)) - (len(values) - 1) / 2
    slope = time @ (values - mean) / max(float(time @ time), 1.0)
    kurtosis = (z**4).mean() - 3.0 if z.any() else 0.0
    return np.array(
        [mean, std, least, most, most - least, median, q1, q3, q3 - q1, (z**3).mean(), kurtosis,
         slope, values[0], values[-1]]
    )  # fmt: skip


class VoiceQuality(_ClipPitch):
    """Jitter, shimmer, harmonics-to-noise ratio, share of voice, and syllables per second.

    Jitter (local, and RAP over three periods) is relative to the mean period, shimmer (local) to
    the mean peak, and in dB; both are over the peaks of the waveform, one per period, found from
    each period to the next. A clip without voice gives zeros. Gain changes nothing.

    >>> VoiceQuality().names
    ('jitter', 'jitter_rap', 'shimmer', 'shimmer_db', 'hnr_db', 'voiced_share', 'syllables_per_s')

    Reference: Boersma & Weenink, Praat manual (jitter, shimmer); Boersma, Proc. Institute of
    Phonetic Sciences 17, 1993 (harmonicity); de Jong & Wempe, Behavior Research Methods 41(2), 2009
    (syllables).
    Differs: peaks are those of the waveform under about 600 Hz, which reads strong jitter low (3 %
    as 2 %); on speech the measures follow Praat's, and do not equal them.
    """

    version = "v1"
    unit = "shares of 1; dB; per second"

    name: Literal["voice-quality"] = "voice-quality"

    @property
    def n_features(self) -> int:
        """Measures."""
        return len(self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """Name of every column."""
        return (
            "jitter", "jitter_rap", "shimmer", "shimmer_db", "hnr_db", "voiced_share",
            "syllables_per_s",
        )  # fmt: skip

    def _extract(self, signal: FloatArray) -> FloatArray:
        found = self._track(signal)
        voiced = found.f0_hz > 0
        if not voiced.any():
            return np.zeros((1, self.n_features), dtype=np.float32)
        levelled_signal, _ = levelled(signal)
        smooth = _low_passed(levelled_signal, self.sampling_rate)
        perturbation = _perturbation(smooth, found.f0_hz, self)
        periodicity = np.clip(found.periodicity[voiced], 1e-6, 1.0 - 1e-6)
        hnr_db = 10.0 * np.log10(periodicity / (1.0 - periodicity)).mean()
        duration_s = len(signal) / self.sampling_rate
        rate = syllables(found, self.hop_length / self.sampling_rate) / duration_s
        values = [*perturbation, float(hnr_db), float(voiced.mean()), rate]
        return np.array([values], dtype=np.float32)


def syllables(found: PitchTrack, hop_s: float) -> int:
    """Count voiced peaks of level, each 2 dB over the dips on either side.

    Args:
        found: Level and voicing.
        hop_s: Seconds from one frame to the next.
    """
    level = np.maximum(found.level_db, found.level_db.max() - 25.0)
    width = max(1, round(0.05 / hop_s))
    kernel = np.ones(width) / width
    level = np.convolve(np.pad(level, width, mode="edge"), kernel, mode="same")[width:-width]
    count, dip, top, place = 0, float(level[0]), -np.inf, 0
    for row, value in enumerate([*level.tolist(), float(level.min())]):
        if value > top:
            top, place = value, row
        if value < top - 2.0:
            # The peak is over: it counts if it rose enough and is voiced.
            count += bool(top - dip >= 2.0 and found.f0_hz[max(0, place - 2) : place + 3].any())
            dip, top = value, -np.inf
        elif value < dip:
            dip, top = value, value
    return count


def _perturbation(
    signal: FloatArray, f0_hz: FloatArray, parameters: PitchParameters
) -> tuple[float, float, float, float]:
    """Return jitter, RAP, shimmer, and shimmer in dB."""
    hop, rate = parameters.hop_length, parameters.sampling_rate
    edges = np.flatnonzero(np.diff(np.concatenate([[False], f0_hz > 0, [False]])))
    empty: Values = np.zeros(0)
    first, second, third = [empty], [empty], [empty]
    height_steps, height_ratios, heights = [empty], [empty], [empty]
    for start, end in edges.reshape(-1, 2):
        expected = rate / f0_hz[start:end].astype(np.float64)
        times, peaks = _pulses(signal, start * hop, end * hop, expected, hop)
        periods = np.diff(times)
        # Neighbours that differ by more than three tenths are a missed or a doubled pulse.
        even = np.abs(np.diff(periods)) < 0.3 * periods[:-1]
        first.append(periods)
        second.append(np.abs(np.diff(periods))[even])
        triple = even[1:] & even[:-1]
        third.append(np.abs(np.diff(periods, 2))[triple] / 3.0)
        ratio = peaks[1:] / peaks[:-1]
        alike = (ratio > 1 / 1.6) & (ratio < 1.6)
        heights.append(peaks)
        height_steps.append(np.abs(np.diff(peaks))[alike])
        height_ratios.append(np.abs(20.0 * np.log10(ratio[alike])))

    def mean(parts: list[Values]) -> float:
        values = np.concatenate(parts)
        return float(values.mean()) if values.size else 0.0

    period, height = max(mean(first), 1e-9), max(mean(heights), 1e-9)
    return (
        mean(second) / period,
        mean(third) / period,
        mean(height_steps) / height,
        mean(height_ratios),
    )


def _low_passed(signal: FloatArray, sampling_rate: int) -> FloatArray:
    """Take away what lies over the first formant and moves the peak within its period."""
    n = fft_length(len(signal))
    spectrum = np.fft.rfft(signal, n)
    hz = np.arange(len(spectrum)) * sampling_rate / n
    spectrum *= 0.5 + 0.5 * np.cos(np.pi * np.clip(hz / _PULSE_HZ - 1.0, 0.0, 1.0))
    return np.fft.irfft(spectrum, n)[: len(signal)].astype(np.float32)


def _pulses(
    signal: FloatArray, start: int, end: int, periods: Values, hop: int
) -> tuple[Values, Values]:
    """Return places and heights of one peak per period, between samples by a parabola."""
    end = min(end, len(signal) - 2)
    piece = signal[start:end]
    reach = int(1.2 * periods[0]) + 1
    if len(piece) < reach + 2:
        return np.zeros(0), np.zeros(0)
    # The waveform's taller side has the sharper peaks.
    upright = signal if piece.max() >= -piece.min() else -signal
    place = start + int(upright[start : start + reach].argmax())
    places: list[float] = []
    heights: list[float] = []
    while 0 < place < end:
        before, here, after = (float(value) for value in upright[place - 1 : place + 2])
        curvature = before - 2.0 * here + after
        shift = 0.5 * (before - after) / curvature if curvature < 0 else 0.0
        places.append(place + min(max(shift, -0.5), 0.5))
        heights.append(max(here - 0.25 * (before - after) * shift, 1e-9))
        period = float(periods[min((place - start) // hop, len(periods) - 1)])
        low, high = place + int(0.8 * period), place + int(1.2 * period) + 2
        if high >= end:
            break
        place = low + int(upright[low:high].argmax())
    return np.array(places), np.array(heights)


class ModulationSpectrum(Feature):
    """Energy of each band's envelope by modulation frequency, in dB of all of it.

    The envelope is the amplitude of each mel band in windows of 16 ms, every 4 ms; its spectrum
    over the whole clip is summed over octaves around 4, 8, 16, 32 and 64 Hz. Columns go by band,
    then by octave. Silence gives the floor, -80 dB; gain changes nothing.

    Attributes:
        n_bands: Mel bands, from 100 Hz to 8 kHz.

    >>> ModulationSpectrum().extract(np.sin(np.arange(16_000) * 0.3)).shape
    (1, 95)

    Reference: Wu, Falk & Chan, Speech Communication 53(5), 2011 (modulation spectral features).
    Differs: mel bands instead of gammatone filters, and octaves of one spectrum instead of frames.
    """

    version = "v1"
    unit = "dB of the whole"
    level = "clip"

    name: Literal["modulation-spectrum"] = "modulation-spectrum"
    n_bands: int = Field(19, ge=1, le=128)

    @property
    def n_features(self) -> int:
        """Bands times octaves."""
        return self.n_bands * (len(_OCTAVES_HZ) - 1)

    @property
    def min_samples(self) -> int:
        """One sample: frames are centred, so the ends are padded with silence."""
        return 1

    def _extract(self, signal: FloatArray) -> FloatArray:
        signal, _ = levelled(signal)
        window = periodic_window(round(0.016 * self.sampling_rate))
        hop = round(0.004 * self.sampling_rate)
        n_fft = fft_length(2 * len(window))
        filters = _mel_filters(self.sampling_rate, n_fft, self.n_bands)
        mel = np.concatenate(
            [product(power, filters) for _, power in power_blocks(signal, window, hop, n_fft)]
        )
        envelope = np.sqrt(mel)
        envelope -= envelope.mean(axis=0)
        n = max(512, len(envelope))
        energy = np.square(np.abs(np.fft.rfft(envelope, n, axis=0)))
        hz = np.arange(len(energy)) * self.sampling_rate / hop / n
        edges = np.searchsorted(hz, _OCTAVES_HZ)
        sums = np.stack([energy[low:high].sum(axis=0) for low, high in pairwise(edges)], axis=1)
        total = float(sums.sum())
        return decibels(sums.ravel() / total if total > 0 else sums.ravel(), 1e-8)[None]


_OCTAVES_HZ = tuple(4.0 * 2.0 ** (step - 0.5) for step in range(6))


def _mel_filters(sampling_rate: int, n_fft: int, n_bands: int) -> FloatArray:
    hz = np.arange(n_fft // 2 + 1)[:, None] * (sampling_rate / n_fft)
    low, high = hz_to_mel(np.array([100.0, 8000.0])).tolist()
    edges = mel_to_hz(np.linspace(low, high, n_bands + 2))
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (hz - lower) / (centre - lower), (upper - hz) / (upper - centre)
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)
