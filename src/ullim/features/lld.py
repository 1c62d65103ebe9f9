"""The 32 low-level descriptors of openSMILE's IS09 set, in NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ullim.features import Feature
from ullim.features._frames import delta_repeating, product, rows_per_block
from ullim.types import FloatArray

_FRAME_S = 0.025
_HOP_S = 0.01
_EMPHASIS = 0.97
_N_MELS = 26
_N_MFCC = 12
_LIFTER = 22.0
_MEL_TOP_HZ = 8000.0
_F0_TOP_HZ = 500.0
_VOICED = 0.55

# The reference counts magnitudes in steps of 16 bits and takes one step for the least.
_FULL_SCALE = 32_767.0

_NAMES = ("rms", *(f"mfcc{n:02}" for n in range(1, _N_MFCC + 1)), "zcr", "voicing", "f0")


class Lld32(Feature):
    """RMS energy, 12 MFCC, zero-crossing rate, voicing and F0, and their differences.

    Frames of 25 ms every 10 ms, not padded: frame ``t`` covers the 25 ms from ``t`` hops on. All
    are averaged over three frames; the differences are regressions over two frames on either side.
    ``names`` says what each column is. F0 is in Hz, 0 where unvoiced, and half way between them
    beside an unvoiced frame. Silence gives zeros, but for the crossings: as in the reference, a
    sample that is zero between others that are counts as one.

    >>> Lld32().extract(np.zeros(16_000, np.float32)).shape
    (98, 32)

    Reference: Schuller, Steidl & Batliner, Interspeech 2009 Emotion Challenge; this is the order
    and the meaning of openSMILE's IS09_emotion, frame for frame, which the tests hold it against.
    Differs: openSMILE rounds a signal to 16 bits first, and gives one frame more at the end, where
    its averages have one frame less.
    """

    version = "v1"
    unit = "mixed: amplitude, none, shares, Hz; and per frame"

    name: Literal["lld32"] = "lld32"

    @property
    def n_features(self) -> int:
        """Sixteen descriptors and their differences."""
        return 2 * len(_NAMES)

    @property
    def names(self) -> tuple[str, ...]:
        """Name of every column."""
        return (*_NAMES, *(f"{name}_delta" for name in _NAMES))

    @property
    def hop_s(self) -> float:
        """Seconds from one frame to the next."""
        return round(_HOP_S * self.sampling_rate) / self.sampling_rate

    @property
    def min_samples(self) -> int:
        """One frame."""
        return round(_FRAME_S * self.sampling_rate)

    def _extract(self, signal: FloatArray) -> FloatArray:
        setup = _setup(self.sampling_rate)
        length, hop = self.min_samples, round(_HOP_S * self.sampling_rate)
        n = 1 + (len(signal) - length) // hop
        emphasised = np.empty_like(signal)
        np.multiply(signal[:-1], np.float32(-_EMPHASIS), out=emphasised[1:])
        emphasised[1:] += signal[1:]
        frames = np.lib.stride_tricks.sliding_window_view(emphasised, length)[::hop]
        # A frame's first sample has none before it.
        firsts = signal[: (n - 1) * hop + 1 : hop] * (np.float32(1 - _EMPHASIS) * setup.window[0])

        values = np.empty((n, len(_NAMES)), dtype=np.float32)
        f0_hz = np.zeros(n, dtype=np.float32)
        step = rows_per_block(n, setup.n_fft)
        padded = np.zeros((step, setup.n_fft), dtype=np.float32)
        for first in range(0, n, step):
            rows = slice(first, min(first + step, n))
            block = padded[: rows.stop - first]
            windowed = block[:, :length]
            np.multiply(frames[rows], setup.window, out=windowed)
            windowed[:, 0] = firsts[rows]
            values[rows, 0] = np.einsum("ij,ij->i", windowed, windowed)
            spectrum = np.fft.rfft(block, axis=-1)
            even, odd = _power(spectrum[:, 0::2]), _power(spectrum[:, 1::2])
            mel = product(np.sqrt(even), setup.mel_even) + product(np.sqrt(odd), setup.mel_odd)
            values[rows, 1:13] = np.log(np.maximum(mel, np.float32(1.0))) @ setup.cosines
            voicing = _voicing(_lagged(even, odd, setup), setup.shortest)
            values[rows, 14] = voicing
            voiced = np.flatnonzero(voicing >= _VOICED)
            if voiced.size:
                cepstrum = _lagged(np.log1p(even[voiced]), np.log1p(odd[voiced]), setup)
                f0_hz[first + voiced] = _f0_hz(cepstrum, setup)
        np.sqrt(values[:, 0] / np.float32(length), out=values[:, 0])
        values[:, 13] = _crossings(signal, length, hop, n)
        values[:, 15] = _steadied(f0_hz)

        padded = np.concatenate([values[:1], values, values[-1:]])
        smooth = (padded[:-2] + padded[1:-1] + padded[2:]) * np.float32(1 / 3)
        return np.concatenate([smooth, delta_repeating(smooth)], axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class _Setup:
    """What depends on the sampling rate alone.

    Attributes:
        window: Hamming's, shape (samples,).
        n_fft: Power of two that holds the window.
        mel_even: Magnitude in the even bins to mel bands, shape (bins, bands).
        mel_odd: The same for odd bins.
        cosines: Log mel bands to liftered cepstral coefficients, shape (bands, coefficients).
        even: Even bins of a power spectrum to the autocorrelation up to a quarter of ``n_fft``.
        odd: The same for odd bins.
        shortest: Lag from which F0 is looked for, in samples.
        sampling_rate: In Hz.
    """

    window: FloatArray
    n_fft: int
    mel_even: FloatArray
    mel_odd: FloatArray
    cosines: FloatArray
    even: FloatArray
    odd: FloatArray
    shortest: int
    sampling_rate: int


@lru_cache(maxsize=16)
def _setup(sampling_rate: int) -> _Setup:
    length = round(_FRAME_S * sampling_rate)
    n_fft = 1 << (length - 1).bit_length()
    window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(length) / (length - 1))

    hz = np.arange(n_fft // 2 + 1)[:, None] * (sampling_rate / n_fft)
    mel = 1127.0 * np.log1p(hz / 700.0)
    top = 1127.0 * np.log1p(min(_MEL_TOP_HZ, sampling_rate / 2) / 700.0)
    edges = np.linspace(0.0, top, _N_MELS + 2)
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    filters = np.minimum((mel - lower) / (centre - lower), (upper - mel) / (upper - centre))
    filters = _FULL_SCALE * np.maximum(0.0, filters)

    order = np.arange(1, _N_MFCC + 1)
    cosines = np.cos(np.pi * order / _N_MELS * (np.arange(_N_MELS)[:, None] + 0.5))
    lifter = 1.0 + _LIFTER / 2.0 * np.sin(np.pi * order / _LIFTER)

    bins, lags = np.arange(n_fft // 2 + 1), np.arange(n_fft // 4 + 1)
    transform = 2.0 / n_fft * np.cos(2 * np.pi * np.outer(bins, lags) / n_fft)
    transform[[0, -1]] /= 2.0
    return _Setup(
        window=window.astype(np.float32),
        n_fft=n_fft,
        mel_even=filters[0::2].astype(np.float32),
        mel_odd=filters[1::2].astype(np.float32),
        cosines=(np.sqrt(2.0 / _N_MELS) * cosines * lifter).astype(np.float32),
        even=transform[0::2].astype(np.float32),
        odd=transform[1::2].astype(np.float32),
        # One less where the rate is a multiple, as the reference's division comes out.
        shortest=int(np.ceil(sampling_rate / _F0_TOP_HZ)) - 1,
        sampling_rate=sampling_rate,
    )


def _power(spectrum: npt.NDArray[np.complexfloating[Any]]) -> FloatArray:
    power = np.square(spectrum.real)
    power += np.square(spectrum.imag)
    return np.asarray(power)


def _lagged(even: FloatArray, odd: FloatArray, setup: _Setup) -> FloatArray:
    """Return the inverse transform of real, even spectra, shape (frames, n_fft // 2).

    A cosine is even about a quarter of the period on even bins and odd on odd ones, so that half
    the lags give all.
    """
    half = setup.n_fft // 4
    lagged = np.empty((len(even), 2 * half), dtype=np.float32)
    from_even, from_odd = product(even, setup.even), product(odd, setup.odd)
    np.add(from_even, from_odd, out=lagged[:, : half + 1])
    back = slice(half - 1, 0, -1)
    np.subtract(from_even[:, back], from_odd[:, back], out=lagged[:, half + 1 :])
    return lagged


def _voicing(correlation: FloatArray, shortest: int) -> FloatArray:
    """Return the highest rising value from the shortest lag on, over that of no lag."""
    np.abs(correlation, out=correlation)
    candidates = correlation[:, shortest:]
    rising = candidates > correlation[:, shortest - 1 : -1]
    highest = np.maximum((candidates * rising).max(axis=1), correlation[:, -1])
    energy = correlation[:, 0]
    voicing = np.zeros_like(energy)
    np.divide(highest, energy, out=voicing, where=energy > 0)
    return voicing


def _f0_hz(cepstrum: FloatArray, setup: _Setup) -> npt.NDArray[np.float64]:
    """Return F0, 0 where no peak stands out.

    The peak is the first over 0.6 of what the highest value and the mean magnitude sum up to.
    """
    shortest = setup.shortest + 1
    magnitude = np.abs(cepstrum).sum(axis=1) / np.float32(cepstrum.shape[1])
    threshold = np.float32(0.6) * (cepstrum[:, shortest:].max(axis=1) + magnitude)
    inner = cepstrum[:, shortest + 1 : -1]
    peak = inner > threshold[:, None]
    peak &= inner > cepstrum[:, shortest:-2]
    peak &= inner > cepstrum[:, shortest + 2 :]
    first = peak.argmax(axis=1)
    f0_hz = setup.sampling_rate / (first + (shortest + 1))
    return np.where(peak[np.arange(len(peak)), first], f0_hz, 0.0)


def _crossings(signal: FloatArray, length: int, hop: int, n: int) -> npt.NDArray[np.float64]:
    """Return crossings of zero in each frame over its length."""
    before, here, after = signal[:-2], signal[1:-1], signal[2:]
    crossed = before * here < 0
    zero = here == 0
    if zero.any():
        crossed |= zero & (before * after <= 0)
    counted = np.zeros(len(signal) - 1, dtype=np.int32)
    np.cumsum(crossed, out=counted[1:])
    starts = np.arange(n) * hop
    return (counted[starts + length - 2] - counted[starts]) / length


def _steadied(f0_hz: FloatArray) -> FloatArray:
    """Follow F0 as the reference does: one frame late, drawn towards a running mean.

    A value more than two fifths off the running mean gives way to it; a voiced stretch's first
    value, where it is above the second, is lowered by 15 %; two voiced values are averaged.
    """
    followed = np.zeros_like(f0_hz)
    voiced = f0_hz > 0
    # Two frames into silence the follower is at rest, and stays so until the next voice.
    awake = voiced.copy()
    awake[1:] |= voiced[:-1]
    awake[2:] |= voiced[:-2]
    rows = np.flatnonzero(awake)
    values = []
    earlier = previous = mean = 0.0
    onset = last = 0
    for row, found in zip(rows.tolist(), f0_hz[rows].tolist(), strict=True):
        if row > last + 1:
            earlier = previous = 0.0
        last = row
        value = found
        if previous == 0.0:
            onset = 1 if value > 0 else 0
        elif value > 0:
            onset = 0
        elif onset == 0:
            onset = -1
        elif onset == 1:
            # A single voiced frame between unvoiced ones is dropped.
            previous = 0.0
        if value > 0:
            weight = 0.3
            mean = mean or value
            if not 0.6 * mean < value < 1.4 * mean:
                value, weight = mean, 0.1
            if onset and previous > value:
                previous *= 0.85
            mean += weight * (found - mean)
        values.append(0.5 * (earlier + previous) if earlier and previous else previous)
        earlier, previous = previous, value
    followed[rows] = values
    return followed
