"""Spectrograms, linear and mel, and the cepstrum."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from ullim.features._frames import WindowName, decibels, delta
from ullim.features.stft import MelFeature, StftFeature, dct_basis
from ullim.types import FloatArray


class Spectrogram(StftFeature):
    """Short-time spectrum: power, magnitude or decibels.

    Equal to ``librosa.stft`` with the same parameters, squared, absolute, or through
    ``librosa.power_to_db``.

    Attributes:
        window: Shape of the window.
        scale: ``power`` and ``magnitude`` are relative to full scale 1; ``db`` is power in dB.
        amin: Power under which decibels are cut off.
        top_db: Greatest distance below the loudest value of the clip; None leaves it unbounded.

    >>> Spectrogram().extract(np.ones(16_000, np.float32)).shape
    (101, 257)

    Reference: Allen & Rabiner, Proceedings of the IEEE 65(11), 1977.
    """

    version = "v1"
    unit = "dB re full scale, summed over the window; or power, or magnitude"

    name: Literal["spectrogram"] = "spectrogram"
    window: WindowName = "hann"
    scale: Literal["power", "magnitude", "db"] = "db"
    amin: float = Field(1e-10, ge=1e-30)
    top_db: float | None = Field(None, gt=0.0)

    @property
    def n_features(self) -> int:
        """Frequency bins."""
        return self.n_bins

    def _extract(self, signal: FloatArray) -> FloatArray:
        power = self.power(signal, self.window)
        if self.scale == "db":
            return decibels(power, self.amin, self.top_db)
        return np.sqrt(power, out=power) if self.scale == "magnitude" else power


class DeltaSpectrogram(StftFeature):
    """Log magnitude spectrum with its first and second differences along time, side by side.

    A frame holds three channels of ``n_fft // 2 + 1`` bins: static, first and second difference;
    ``values.reshape(frames, 3, bins).transpose(1, 0, 2)`` is the image of three channels a network
    takes. The difference of the first frame is 0.

    Attributes:
        window: Shape of the window.
        floor: Added to the magnitude before the natural logarithm.

    >>> DeltaSpectrogram().extract(np.ones(16_000, np.float32)).shape
    (134, 363)

    Reference: github.com/daydrill/speech-emotion-recognition (commit 343164e), a system of voice
    and text for Korean, whose transform has these sizes at 16 kHz.
    Differs: github.com/aris-ai/Audio-and-text-based-emotion-recognition, which it follows, takes
    the differences along frequency; here, as there, they run along time.
    """

    version = "v1"
    unit = "natural logarithm of magnitude; its differences per frame"

    name: Literal["delta-spectrogram"] = "delta-spectrogram"
    n_fft: int = Field(240, ge=32, le=65_536)
    win_length: int = Field(240, ge=16, le=65_536)
    hop_length: int = Field(120, ge=1, le=65_536)
    window: WindowName = "hamming"
    floor: float = Field(1e-10, ge=1e-30)

    @property
    def n_features(self) -> int:
        """Three channels of the frequency bins."""
        return 3 * self.n_bins

    def _extract(self, signal: FloatArray) -> FloatArray:
        magnitude = np.sqrt(self.power(signal, self.window))
        static = np.log(magnitude + np.float32(self.floor))
        first = np.diff(static, axis=0, prepend=static[:1])
        second = np.diff(first, axis=0, prepend=first[:1])
        return np.concatenate([static, first, second], axis=1)


class Mel(MelFeature):
    """Mel-band power, without a logarithm.

    Equal to ``librosa.feature.melspectrogram`` with the same parameters and librosa's other
    defaults. Power relative to full scale 1, summed over the window.

    >>> Mel(n_mels=40).extract(np.ones(16_000, np.float32)).shape
    (101, 40)

    Reference: Davis & Mermelstein, IEEE TASSP 28(4), 1980 (mel filter bank); Slaney, Auditory
    Toolbox, 1998 (this scale and normalisation).
    """

    version = "v1"
    unit = "power, full scale 1, summed over the window"

    name: Literal["mel"] = "mel"

    @property
    def n_features(self) -> int:
        """Mel bands."""
        return self.n_mels

    def _extract(self, signal: FloatArray) -> FloatArray:
        return self.mel(signal)


class MeanMel128(MelFeature):
    """Mean over time of a mel spectrogram of 128 bands, scaled to length 1: one vector a clip.

    Attributes:
        log: Average decibels instead of power; the vector is scaled to length 1 all the same.

    >>> vector = MeanMel128().extract(np.ones(16_000, np.float32))
    >>> vector.shape, round(float(np.linalg.norm(vector)), 4)
    ((1, 128), 1.0)

    Reference: a web application for four Korean emotions whose classifier takes
    ``librosa.feature.melspectrogram`` at 16 kHz with its defaults, averaged over time and scaled
    by scikit-learn's ``normalize``.
    """

    version = "v1"
    unit = "none: a vector of length 1"
    level = "clip"

    name: Literal["mean-mel-128"] = "mean-mel-128"
    n_fft: int = Field(2048, ge=32, le=65_536)
    win_length: int = Field(2048, ge=16, le=65_536)
    hop_length: int = Field(512, ge=1, le=65_536)
    n_mels: Literal[128] = 128
    log: bool = False

    @property
    def n_features(self) -> int:
        """Mel bands."""
        return self.n_mels

    def _extract(self, signal: FloatArray) -> FloatArray:
        values = self.mel(signal)
        if self.log:
            values = decibels(values, 1e-10, None)
        mean = values.mean(axis=0, dtype=np.float64, keepdims=True)
        length = np.linalg.norm(mean)
        return np.asarray(mean / length if length > 0 else mean, dtype=np.float32)


class _MelDecibels(MelFeature):
    """What log-mel and MFCC share.

    Attributes:
        amin: Power under which decibels are cut off.
        top_db: Greatest distance below the loudest value of the clip; None leaves it unbounded,
            so that a frame does not depend on the rest of the clip.
    """

    amin: float = Field(1e-10, ge=1e-30)
    top_db: float | None = Field(None, gt=0.0)

    def _mel_db(self, signal: FloatArray) -> FloatArray:
        """Return mel power in dB, shape (frames, n_mels)."""
        return decibels(self.mel(signal), self.amin, self.top_db)


class LogMel(_MelDecibels):
    """Mel-band power in decibels.

    Equal to ``librosa.power_to_db(librosa.feature.melspectrogram(...))`` with the same parameters
    and librosa's other defaults.

    >>> LogMel(n_mels=64).extract(np.ones(16_000, np.float32)).shape
    (101, 64)

    Reference: Davis & Mermelstein, IEEE TASSP 28(4), 1980 (mel filter bank); Slaney, Auditory
    Toolbox, 1998 (this scale and normalisation).
    """

    version = "v1"
    unit = "dB"

    name: Literal["logmel"] = "logmel"

    @property
    def n_features(self) -> int:
        """Mel bands."""
        return self.n_mels

    def _extract(self, signal: FloatArray) -> FloatArray:
        return self._mel_db(signal)


class Mfcc(_MelDecibels):
    """Mel-frequency cepstral coefficients: orthonormal DCT-II of the log-mel spectrogram.

    Equal to ``librosa.feature.mfcc``, and to ``librosa.feature.delta`` of it, with the same
    parameters and librosa's other defaults.

    Attributes:
        n_mfcc: Coefficients kept, counting the zeroth.
        deltas: 1 appends the first derivative along time, 2 the second as well.
        delta_width: Frames in the regression that gives a derivative.

    >>> Mfcc(n_mfcc=13).extract(np.ones(16_000, np.float32)).shape
    (101, 13)
    >>> Mfcc(n_mfcc=13, deltas=2).extract(np.ones(16_000, np.float32)).shape
    (101, 39)

    Reference: Davis & Mermelstein, IEEE TASSP 28(4), 1980; Furui, IEEE TASSP 34(1), 1986 (deltas).
    Differs: a clip of fewer frames than ``delta_width``, which librosa refuses, is continued with
    its first and last frame.
    """

    version = "v1"
    unit = "dB, transformed; derivatives per frame"

    name: Literal["mfcc"] = "mfcc"
    n_mels: int = Field(128, ge=1, le=1024)
    n_mfcc: int = Field(20, ge=1, le=1024)
    top_db: float | None = Field(80.0, gt=0.0)
    deltas: Literal[0, 1, 2] = 0
    delta_width: int = Field(9, ge=3, le=101)

    @model_validator(mode="after")
    def _check_order(self) -> Mfcc:
        if self.n_mfcc > self.n_mels:
            raise ValueError(f"n_mfcc {self.n_mfcc} is more than n_mels {self.n_mels}")
        if self.delta_width % 2 == 0:
            raise ValueError(f"delta_width {self.delta_width} has no middle frame; give an odd one")
        return self

    @property
    def n_features(self) -> int:
        """Cepstral coefficients, and their derivatives."""
        return self.n_mfcc * (1 + self.deltas)

    def _extract(self, signal: FloatArray) -> FloatArray:
        cepstrum = np.asarray(self._mel_db(signal) @ dct_basis(self.n_mels, self.n_mfcc))
        if not self.deltas:
            return cepstrum
        orders = range(1, self.deltas + 1)
        derivatives = [delta(cepstrum, self.delta_width, order) for order in orders]
        return np.concatenate([cepstrum, *derivatives], axis=1)
