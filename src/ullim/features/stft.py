"""Framing, power spectra, mel filters, cosine transform and deltas, which spectral features share.

Everything is float32 NumPy. A clip is transformed in blocks of frames that stay in the processor's
cache, in buffers that are made once for each clip.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from ullim.features import Feature
from ullim.types import FloatArray

WindowName = Literal["hann", "hamming"]

# Samples transformed at once. Larger blocks leave the cache, smaller ones pay more calls.
_SAMPLES_PER_BLOCK = 1 << 16

# Frames in one matrix product: so few that OpenBLAS does not split it over threads, which gains
# nothing at this size and stalls when other processes keep the cores busy.
_FRAMES_PER_PRODUCT = 8

# A mel band is zero but for a few bins, so neighbouring bands are multiplied with their own range
# of bins only. More groups save more products and pay more calls.
_BAND_GROUPS = 4

_Float64 = npt.NDArray[np.float64]


class StftFeature(Feature):
    """What features over short-time spectra share: centred frames under a window.

    Attributes:
        n_fft: Length of the transform, in samples.
        win_length: Length of the periodic window, in samples; centred within ``n_fft``.
        hop_length: Step between frames, in samples.
    """

    n_fft: int = Field(512, ge=32, le=65_536)
    win_length: int = Field(400, ge=16, le=65_536)
    hop_length: int = Field(160, ge=1, le=65_536)

    @model_validator(mode="after")
    def _check_lengths(self) -> StftFeature:
        if self.win_length > self.n_fft:
            raise ValueError(f"win_length {self.win_length} is longer than n_fft {self.n_fft}")
        return self

    @property
    def hop_s(self) -> float:
        """Seconds from one frame to the next; infinite for a clip's one vector."""
        return math.inf if self.level == "clip" else self.hop_length / self.sampling_rate

    @property
    def min_samples(self) -> int:
        """One sample: frames are centred, so the ends are padded with silence."""
        return 1

    @property
    def n_bins(self) -> int:
        """Frequencies of the transform, from 0 to half the sampling rate."""
        return self.n_fft // 2 + 1

    def bins_hz(self) -> _Float64:
        """Return the frequency of each bin, shape (bins,)."""
        return np.arange(self.n_bins) * self.sampling_rate / self.n_fft

    def power(self, signal: FloatArray, window: WindowName = "hann") -> FloatArray:
        """Return the power spectrogram, shape (frames, bins)."""
        power = np.empty((self.n_frames(signal.size), self.n_bins), dtype=np.float32)
        for start, block in self._blocks(signal, window):
            power[start : start + len(block)] = block[: len(power) - start]
        return power

    def n_frames(self, n_samples: int) -> int:
        """Frames of a signal of so many samples."""
        return 1 + (n_samples - self.n_fft % 2) // self.hop_length

    def _blocks(
        self, signal: FloatArray, window: WindowName = "hann"
    ) -> Iterator[tuple[int, FloatArray]]:
        """Yield the first frame of a block and its power, shape (frames, bins).

        The block is overwritten by the next one. It has a multiple of ``_FRAMES_PER_PRODUCT``
        frames; those after the clip's last mean nothing.
        """
        shape = _window(window, self.win_length)
        before = (self.n_fft - self.win_length) // 2
        n_frames = self.n_frames(signal.size)
        lead = self.n_fft // 2 - before
        covered = (n_frames - 1) * self.hop_length + self.win_length
        padded = np.zeros(max(covered, lead + signal.size), dtype=np.float32)
        padded[lead : lead + signal.size] = signal
        frames = np.ndarray(
            (n_frames, self.win_length),
            np.float32,
            padded,
            strides=(self.hop_length * padded.itemsize, padded.itemsize),
        )
        step = _whole_products(min(n_frames, max(1, _SAMPLES_PER_BLOCK // self.n_fft)))
        windowed, spectrum, power = _buffers(step, self.n_fft)
        windowed[:, :before] = windowed[:, before + self.win_length :] = 0.0
        inner = windowed[:, before : before + self.win_length]
        parts = spectrum.view(np.float32)
        for start in range(0, n_frames, step):
            n = min(step, n_frames - start)
            np.multiply(frames[start : start + n], shape, out=inner[:n])
            # NumPy's stubs know complex128 only.
            np.fft.rfft(windowed[:n], axis=-1, out=spectrum[:n])  # type: ignore[arg-type]
            np.square(parts[:n], out=parts[:n])
            np.add(parts[:n, ::2], parts[:n, 1::2], out=power[:n])
            yield start, power


class MelFeature(StftFeature):
    """What features over mel bands share.

    Attributes:
        n_mels: Mel bands (Slaney's scale and area normalisation).
        f_min_hz: Lower edge of the lowest band.
        f_max_hz: Upper edge of the highest band; None means half the sampling rate.
    """

    n_mels: int = Field(64, ge=1, le=1024)
    f_min_hz: float = Field(0.0, ge=0.0)
    f_max_hz: float | None = Field(None, gt=0.0)

    @model_validator(mode="after")
    def _check_bands(self) -> MelFeature:
        upper = self.f_max_hz if self.f_max_hz is not None else self.sampling_rate / 2
        if not self.f_min_hz < upper <= self.sampling_rate / 2:
            raise ValueError(
                f"mel bands from {self.f_min_hz} to {upper} Hz do not fit under half the "
                f"sampling rate, {self.sampling_rate / 2} Hz"
            )
        return self

    def mel(self, signal: FloatArray) -> FloatArray:
        """Return mel power, shape (frames, n_mels)."""
        groups = _filter_groups(
            self.sampling_rate, self.n_fft, self.n_mels, self.f_min_hz, self.f_max_hz
        )
        n_frames = self.n_frames(signal.size)
        mel = np.empty((_whole_products(n_frames), self.n_mels), dtype=np.float32)
        for start, block in self._blocks(signal):
            n = min(len(block), len(mel) - start)
            power = block[:n].reshape(-1, _FRAMES_PER_PRODUCT, self.n_bins)
            into = mel[start : start + n].reshape(-1, _FRAMES_PER_PRODUCT, self.n_mels)
            for bands, bins, filters in groups:
                np.matmul(power[..., bins], filters, out=into[..., bands])
        return mel[:n_frames]


def decibels(power: FloatArray, amin: float, top_db: float | None) -> FloatArray:
    """Return power in decibels re 1, at most ``top_db`` under the loudest value."""
    result: FloatArray = np.log10(np.maximum(power, np.float32(amin)))
    result *= np.float32(10.0)
    if top_db is not None:
        np.maximum(result, result.max() - np.float32(top_db), out=result)
    return result


def delta(values: FloatArray, width: int, order: int) -> FloatArray:
    """Return a derivative along time by local regression (Savitzky and Golay).

    Args:
        values: Shape (frames, features).
        width: Frames in one regression, odd, more than ``order``.
        order: 1 or 2: which derivative, and the degree of the polynomial.

    Returns:
        float32, shape (frames, features), per frame (squared). The ends take the value of the
        outermost regression; a clip of fewer than ``width`` frames is continued with its first and
        last frame instead.

    >>> delta(np.arange(12, dtype=np.float32)[:, None], width=9, order=1)[5].round(4).tolist()
    [1.0]
    """
    half = width // 2
    short = len(values) < width
    if short:
        values = np.pad(values, ((half, half), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(values, width, axis=0)
    middle: FloatArray = windows @ _regression(width, order)
    return middle if short else np.pad(middle, ((half, half), (0, 0)), mode="edge")


@lru_cache(maxsize=16)
def _regression(width: int, order: int) -> FloatArray:
    """Return weights (width,): the derivative of the polynomial that fits a window of frames."""
    x = np.arange(width, dtype=np.float64) - width // 2
    fit = np.linalg.pinv(np.vander(x, order + 1, increasing=True))
    return np.asarray(fit[order] * order, dtype=np.float32)


@lru_cache(maxsize=8)
def dct_basis(n_in: int, n_out: int) -> FloatArray:
    """Return the orthonormal DCT-II, shape (n_in, n_out)."""
    angle = np.pi * (np.arange(n_in)[:, None] + 0.5) * np.arange(n_out) / n_in
    basis = np.cos(angle) * np.sqrt(2.0 / n_in)
    basis[:, 0] /= np.sqrt(2.0)
    return np.asarray(basis, dtype=np.float32)


def _buffers(step: int, n_fft: int) -> tuple[FloatArray, npt.NDArray[np.complex64], FloatArray]:
    """Return this thread's room for frames, their spectrum and their power.

    Fresh memory costs as much as half the transform: the system clears each page on first touch.
    """
    n_bins = n_fft // 2 + 1
    room = getattr(_kept, "room", None)
    if room is None or room[0].shape[1] != n_fft or len(room[0]) < step:
        room = _kept.room = (
            np.zeros((step, n_fft), dtype=np.float32),
            np.zeros((step, n_bins), dtype=np.complex64),
            np.zeros((step, n_bins), dtype=np.float32),
        )
    frames, spectrum, power = room
    return frames[:step], spectrum[:step], power[:step]


_kept = threading.local()


def _whole_products(n_frames: int) -> int:
    return -(-n_frames // _FRAMES_PER_PRODUCT) * _FRAMES_PER_PRODUCT


@lru_cache(maxsize=32)
def _window(name: WindowName, length: int) -> FloatArray:
    phase = 2 * np.pi * np.arange(length) / length
    floor = 0.5 if name == "hann" else 0.54
    return (floor - (1 - floor) * np.cos(phase)).astype(np.float32)


@lru_cache(maxsize=32)
def _filter_groups(
    sampling_rate: int, n_fft: int, n_mels: int, f_min_hz: float, f_max_hz: float | None
) -> list[tuple[slice, slice, FloatArray]]:
    """Return by group of bands: which bands, which bins they reach, and their filters there."""
    filters = mel_filters(
        sampling_rate, n_fft, n_mels, f_min_hz, f_max_hz if f_max_hz else sampling_rate / 2
    )
    edges = np.linspace(0, n_mels, min(_BAND_GROUPS, n_mels) + 1).round().astype(int).tolist()
    groups = []
    for first, last in pairwise(edges):
        bins = np.flatnonzero(filters[:, first:last].any(axis=1)).tolist() or [0]
        reach = slice(bins[0], bins[-1] + 1)
        groups.append((slice(first, last), reach, np.ascontiguousarray(filters[reach, first:last])))
    return groups


def mel_filters(
    sampling_rate: int, n_fft: int, n_mels: int, f_min_hz: float, f_max_hz: float
) -> FloatArray:
    """Return Slaney's mel filters, shape (bins, n_mels)."""
    low_mel, high_mel = _hz_to_mel(np.array([f_min_hz, f_max_hz])).tolist()
    edges_hz = _mel_to_hz(np.linspace(low_mel, high_mel, n_mels + 2))
    bins_hz = np.arange(n_fft // 2 + 1) * sampling_rate / n_fft
    lower, centre, upper = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    rising = (bins_hz[:, None] - lower) / (centre - lower)
    falling = (upper - bins_hz[:, None]) / (upper - centre)
    filters = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (upper - lower))
    return filters.astype(np.float32)


# Slaney's mel scale: linear below 1 kHz, logarithmic above.
_HZ_PER_MEL = 200.0 / 3
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27.0


def _hz_to_mel(hz: _Float64) -> _Float64:
    above = _BREAK_MEL + np.log(np.maximum(hz, _BREAK_HZ) / _BREAK_HZ) / _LOG_STEP
    return np.where(hz < _BREAK_HZ, hz / _HZ_PER_MEL, above)


def _mel_to_hz(mel: _Float64) -> _Float64:
    above = _BREAK_HZ * np.exp(_LOG_STEP * (np.maximum(mel, _BREAK_MEL) - _BREAK_MEL))
    return np.where(mel < _BREAK_MEL, mel * _HZ_PER_MEL, above)
