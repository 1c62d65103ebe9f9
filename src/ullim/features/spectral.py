"""Log-mel spectrogram and MFCC in NumPy: one float32 real FFT and one matrix product."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from ullim.features import Feature
from ullim.types import FloatArray

# Samples transformed at once. NumPy's float32 FFT takes four times as long for each frame when it
# is given more than about 2^16 samples.
_SAMPLES_PER_BLOCK = 1 << 15

# Frames in one matrix product: so few that OpenBLAS does not split it over threads, which gains
# nothing at this size and stalls when other processes keep the cores busy.
_FRAMES_PER_PRODUCT = 8


class _MelBase(Feature):
    """What log-mel and MFCC share: framing, power spectrum, mel filters, decibels.

    Attributes:
        n_fft: Length of the transform, in samples.
        win_length: Length of the periodic Hann window, in samples; centred within ``n_fft``.
        hop_length: Step between frames, in samples.
        n_mels: Mel bands (Slaney's scale and area normalisation).
        f_min_hz: Lower edge of the lowest band.
        f_max_hz: Upper edge of the highest band; None means half the sampling rate.
        amin: Power under which decibels are cut off.
        top_db: Greatest distance below the loudest value of the clip; None leaves it unbounded,
            so that a frame does not depend on the rest of the clip.
    """

    n_fft: int = Field(512, ge=32, le=65_536)
    win_length: int = Field(400, ge=16, le=65_536)
    hop_length: int = Field(160, ge=1, le=65_536)
    n_mels: int = Field(64, ge=1, le=1024)
    f_min_hz: float = Field(0.0, ge=0.0)
    f_max_hz: float | None = Field(None, gt=0.0)
    amin: float = Field(1e-10, ge=1e-30)
    top_db: float | None = Field(None, gt=0.0)

    @model_validator(mode="after")
    def _check(self) -> _MelBase:
        if self.win_length > self.n_fft:
            raise ValueError(f"win_length {self.win_length} is longer than n_fft {self.n_fft}")
        upper = self.f_max_hz if self.f_max_hz is not None else self.sampling_rate / 2
        if not self.f_min_hz < upper <= self.sampling_rate / 2:
            raise ValueError(
                f"mel bands from {self.f_min_hz} to {upper} Hz do not fit under half the "
                f"sampling rate, {self.sampling_rate / 2} Hz"
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

    def _mel_db(self, signal: FloatArray) -> FloatArray:
        """Return mel power in dB, shape (frames, n_mels)."""
        window, filters = _window_and_filters(
            self.sampling_rate,
            self.n_fft,
            self.win_length,
            self.n_mels,
            self.f_min_hz,
            self.f_max_hz if self.f_max_hz is not None else self.sampling_rate / 2,
        )
        half = self.n_fft // 2
        padded = np.zeros(signal.size + 2 * half, dtype=np.float32)
        padded[half : half + signal.size] = signal
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.n_fft)[:: self.hop_length]
        mel = np.empty((len(frames), self.n_mels), dtype=np.float32)
        step = max(1, _SAMPLES_PER_BLOCK // self.n_fft // _FRAMES_PER_PRODUCT) * _FRAMES_PER_PRODUCT
        power = np.zeros((step, self.n_fft // 2 + 1), dtype=np.float32)
        for start in range(0, len(frames), step):
            spectrum = np.fft.rfft(frames[start : start + step] * window, axis=-1)
            n = len(spectrum)
            np.square(spectrum.real, out=power[:n])
            power[:n] += np.square(spectrum.imag)
            products = power.reshape(-1, _FRAMES_PER_PRODUCT, power.shape[1]) @ filters
            mel[start : start + n] = products.reshape(step, -1)[:n]
        decibels = 10.0 * np.log10(np.maximum(mel, np.float32(self.amin)))
        if self.top_db is not None:
            decibels = np.maximum(decibels, decibels.max() - np.float32(self.top_db))
        return decibels.astype(np.float32, copy=False)


class LogMel(_MelBase):
    """Mel-band power in decibels.

    Equal to ``librosa.power_to_db(librosa.feature.melspectrogram(...))`` with the same parameters
    and librosa's other defaults.

    >>> LogMel(n_mels=64).extract(np.ones(16_000, np.float32)).shape
    (101, 64)

    Reference: Davis & Mermelstein, IEEE TASSP 28(4), 1980 (mel filter bank); Slaney, Auditory
    Toolbox, 1998 (this scale and normalisation).
    """

    version = "v1"

    name: Literal["logmel"] = "logmel"

    @property
    def n_features(self) -> int:
        """Mel bands."""
        return self.n_mels

    def _extract(self, signal: FloatArray) -> FloatArray:
        return self._mel_db(signal)


class Mfcc(_MelBase):
    """Mel-frequency cepstral coefficients: orthonormal DCT-II of the log-mel spectrogram.

    Equal to ``librosa.feature.mfcc`` with the same parameters and librosa's other defaults.

    Attributes:
        n_mfcc: Coefficients kept, counting the zeroth.

    >>> Mfcc(n_mfcc=13).extract(np.ones(16_000, np.float32)).shape
    (101, 13)

    Reference: Davis & Mermelstein, IEEE TASSP 28(4), 1980.
    """

    version = "v1"

    name: Literal["mfcc"] = "mfcc"
    n_mels: int = Field(128, ge=1, le=1024)
    n_mfcc: int = Field(20, ge=1, le=1024)
    top_db: float | None = Field(80.0, gt=0.0)

    @model_validator(mode="after")
    def _check_order(self) -> Mfcc:
        if self.n_mfcc > self.n_mels:
            raise ValueError(f"n_mfcc {self.n_mfcc} is more than n_mels {self.n_mels}")
        return self

    @property
    def n_features(self) -> int:
        """Cepstral coefficients."""
        return self.n_mfcc

    def _extract(self, signal: FloatArray) -> FloatArray:
        return np.asarray(self._mel_db(signal) @ _dct_basis(self.n_mels, self.n_mfcc))


@lru_cache(maxsize=32)
def _window_and_filters(
    sampling_rate: int,
    n_fft: int,
    win_length: int,
    n_mels: int,
    f_min_hz: float,
    f_max_hz: float,
) -> tuple[FloatArray, FloatArray]:
    """Return the window, shape (n_fft,), and the mel filters, shape (bins, n_mels)."""
    window = np.zeros(n_fft)
    offset = (n_fft - win_length) // 2
    phase = 2 * np.pi * np.arange(win_length) / win_length
    window[offset : offset + win_length] = 0.5 - 0.5 * np.cos(phase)

    low_mel, high_mel = _hz_to_mel(np.array([f_min_hz, f_max_hz])).tolist()
    edges_hz = _mel_to_hz(np.linspace(low_mel, high_mel, n_mels + 2))
    bins_hz = np.arange(n_fft // 2 + 1) * sampling_rate / n_fft
    lower, centre, upper = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    rising = (bins_hz[:, None] - lower) / (centre - lower)
    falling = (upper - bins_hz[:, None]) / (upper - centre)
    filters = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (upper - lower))
    return window.astype(np.float32), filters.astype(np.float32)


# Slaney's mel scale: linear below 1 kHz, logarithmic above.
_HZ_PER_MEL = 200.0 / 3
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27.0


def _hz_to_mel(hz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    above = _BREAK_MEL + np.log(np.maximum(hz, _BREAK_HZ) / _BREAK_HZ) / _LOG_STEP
    return np.where(hz < _BREAK_HZ, hz / _HZ_PER_MEL, above)


def _mel_to_hz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    above = _BREAK_HZ * np.exp(_LOG_STEP * (np.maximum(mel, _BREAK_MEL) - _BREAK_MEL))
    return np.where(mel < _BREAK_MEL, mel * _HZ_PER_MEL, above)


@lru_cache(maxsize=8)
def _dct_basis(n_in: int, n_out: int) -> FloatArray:
    """Return the orthonormal DCT-II, shape (n_in, n_out)."""
    angle = np.pi * (np.arange(n_in)[:, None] + 0.5) * np.arange(n_out) / n_in
    basis = np.cos(angle) * np.sqrt(2.0 / n_in)
    basis[:, 0] /= np.sqrt(2.0)
    return np.asarray(basis, dtype=np.float32)
