"""What spectral features share: parameters of the transform, mel filters, cosine transform."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from ullim.features import Feature
from ullim.features._frames import (
    WindowName,
    n_frames,
    periodic_window,
    power_blocks,
    up_to_multiple,
)
from ullim.types import FloatArray

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
        shape = periodic_window(self.win_length, window)
        for rows, block in power_blocks(signal, shape, self.hop_length, self.n_fft, centred=True):
            power[rows] = block
        return power

    def n_frames(self, n_samples: int) -> int:
        """Frames of a signal of so many samples."""
        return n_frames(n_samples - self.n_fft % 2, self.hop_length)


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
        n = self.n_frames(signal.size)
        mel = np.empty((up_to_multiple(n, _FRAMES_PER_PRODUCT), self.n_mels), dtype=np.float32)
        shape = periodic_window(self.win_length)
        for rows, block in power_blocks(
            signal,
            shape,
            self.hop_length,
            self.n_fft,
            centred=True,
            multiple=_FRAMES_PER_PRODUCT,
        ):
            power = block.reshape(-1, _FRAMES_PER_PRODUCT, self.n_bins)
            into = mel[rows.start : rows.start + len(block)]
            into = into.reshape(-1, _FRAMES_PER_PRODUCT, self.n_mels)
            for bands, bins, filters in groups:
                np.matmul(power[..., bins], filters, out=into[..., bands])
        return mel[:n]


@lru_cache(maxsize=8)
def dct_basis(n_in: int, n_out: int) -> FloatArray:
    """Return the orthonormal DCT-II, shape (n_in, n_out)."""
    angle = np.pi * (np.arange(n_in)[:, None] + 0.5) * np.arange(n_out) / n_in
    basis = np.cos(angle) * np.sqrt(2.0 / n_in)
    basis[:, 0] /= np.sqrt(2.0)
    return np.asarray(basis, dtype=np.float32)


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
    low_mel, high_mel = hz_to_mel(np.array([f_min_hz, f_max_hz])).tolist()
    edges_hz = mel_to_hz(np.linspace(low_mel, high_mel, n_mels + 2))
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


def hz_to_mel(hz: _Float64) -> _Float64:
    """Return Slaney's mel for frequencies in Hz."""
    above = _BREAK_MEL + np.log(np.maximum(hz, _BREAK_HZ) / _BREAK_HZ) / _LOG_STEP
    return np.where(hz < _BREAK_HZ, hz / _HZ_PER_MEL, above)


def mel_to_hz(mel: _Float64) -> _Float64:
    """Return frequencies in Hz for Slaney's mel."""
    above = _BREAK_HZ * np.exp(_LOG_STEP * (np.maximum(mel, _BREAK_MEL) - _BREAK_MEL))
    return np.where(mel < _BREAK_MEL, mel * _HZ_PER_MEL, above)
