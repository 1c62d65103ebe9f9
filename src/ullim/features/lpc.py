"""Linear prediction: cepstral coefficients and formants."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from ullim.features import Feature
from ullim.features._frames import (
    fft_length,
    levelled,
    n_frames,
    periodic_window,
    power_blocks,
    product,
)
from ullim.types import FloatArray

Rows = npt.NDArray[np.float64]

# Frames so far under the loudest have nothing to predict.
_QUIET = 1e-8

# A share of the energy added at no lag, as noise 90 dB down would, so that a pure tone has a
# solution.
_WHITENING = 1e-9


class _PredictionBase(Feature):
    """What features on linear prediction share.

    Attributes:
        hop_length: Step between frames, in samples.
        win_length: Length of the Hann window, in samples; frames are centred on every hop.
        emphasis: Weight of the sample before in the pre-emphasis.
        order: Coefficients of the predictor.
    """

    hop_length: int = Field(160, ge=1, le=65_536)
    win_length: int = Field(400, ge=16, le=65_536)
    emphasis: float = Field(0.97, ge=0.0, lt=1.0)
    order: int = Field(12, ge=1, le=64)

    @property
    def hop_s(self) -> float:
        """Seconds from one frame to the next."""
        return self.hop_length / self.sampling_rate

    @property
    def min_samples(self) -> int:
        """One sample: frames are centred, so the ends are padded with silence."""
        return 1

    @property
    @abstractmethod
    def _top_hz(self) -> float: ...

    def _predictors(self, signal: FloatArray) -> tuple[Rows, npt.NDArray[np.bool_]]:
        """Return predictors of the band up to ``_top_hz``, and which frames have sound in them."""
        signal, _ = levelled(signal)
        n_fft = fft_length(self.win_length + self.order + 1)
        hz = np.arange(n_fft // 2 + 1) * (self.sampling_rate / n_fft)
        inside = hz <= self._top_hz
        angle = 2 * np.pi * hz / self.sampling_rate
        weight = 1.0 + self.emphasis**2 - 2.0 * self.emphasis * np.cos(angle)
        weight *= np.where(hz > 0, 2.0, 1.0) * inside
        lags = np.arange(self.order + 1)
        # The inverse transform of the band alone, as if it were all there is.
        basis = weight[:, None] * np.cos(np.pi * np.outer(hz / self._top_hz, lags))
        matrix: FloatArray = (basis / n_fft).astype(np.float32)
        n = n_frames(len(signal), self.hop_length)
        correlation = np.empty((n, self.order + 1), dtype=np.float32)
        window = periodic_window(self.win_length)
        for rows, power in power_blocks(signal, window, self.hop_length, n_fft):
            correlation[rows] = product(power, matrix)
        energy = correlation[:, 0]
        heard = energy > _QUIET * energy.max()
        return levinson(correlation[heard].astype(np.float64)), heard


class Lpcc(_PredictionBase):
    """Cepstral coefficients of the all-pole model, from the first on.

    Silent frames, and those 80 dB under the loudest, give zeros; gain changes nothing.

    Attributes:
        n_lpcc: Coefficients kept.

    >>> Lpcc(n_lpcc=13).extract(np.sin(np.arange(16_000) * 0.3)).shape
    (101, 13)

    Reference: Atal, JASA 55(6), 1974; Rabiner & Juang, Fundamentals of Speech Recognition, 1993,
    equation 3.83.
    """

    version = "v1"
    unit = "none: natural logarithms of spectral magnitude, transformed"

    name: Literal["lpcc"] = "lpcc"
    n_lpcc: int = Field(12, ge=1, le=256)

    @property
    def n_features(self) -> int:
        """Cepstral coefficients."""
        return self.n_lpcc

    @property
    def _top_hz(self) -> float:
        return self.sampling_rate / 2

    def _extract(self, signal: FloatArray) -> FloatArray:
        predictors, heard = self._predictors(signal)
        cepstra = np.zeros((len(heard), self.n_lpcc), dtype=np.float32)
        cepstra[heard] = _cepstra(predictors, self.n_lpcc)
        return cepstra


class Formants(_PredictionBase):
    """Frequency and bandwidth of the lowest resonances in Hz: F1, B1, F2, B2, and so on.

    They are the roots of the predictor of the band up to ``top_hz`` with a bandwidth under
    ``max_bandwidth_hz``, from the lowest up; 0 where a frame has fewer, or is silent.

    Attributes:
        n_formants: Resonances kept.
        top_hz: Upper edge of the band; about 5,000 Hz for men, 5,500 Hz for women.
        max_bandwidth_hz: Broader roots are the slope of the spectrum, not a resonance.

    >>> Formants(n_formants=2).extract(np.sin(np.arange(16_000) * 0.3)).shape
    (101, 4)

    Reference: Markel & Gray, Linear Prediction of Speech, 1976, chapter 7; Makhoul, Proc. IEEE
    63(4), 1975, section VI (prediction of a band of the spectrum).
    """

    version = "v1"
    unit = "Hz"

    name: Literal["formants"] = "formants"
    order: int = Field(10, ge=1, le=64)
    n_formants: int = Field(3, ge=1, le=16)
    top_hz: float = Field(5500.0, gt=0.0)
    max_bandwidth_hz: float = Field(700.0, gt=0.0)

    @model_validator(mode="after")
    def _check(self) -> Formants:
        if 2 * self.n_formants > self.order:
            raise ValueError(
                f"{self.n_formants} formants need an order of {2 * self.n_formants} or more and "
                f"it is {self.order}"
            )
        return self

    @property
    def n_features(self) -> int:
        """Frequencies and bandwidths."""
        return 2 * self.n_formants

    @property
    def _top_hz(self) -> float:
        return min(self.top_hz, self.sampling_rate / 2)

    def _extract(self, signal: FloatArray) -> FloatArray:
        predictors, heard = self._predictors(signal)
        found = np.zeros((len(heard), self.n_formants, 2), dtype=np.float32)
        if heard.any():
            companion = np.zeros((len(predictors), self.order, self.order))
            companion[:, np.arange(1, self.order), np.arange(self.order - 1)] = 1.0
            companion[:, 0] = -predictors[:, 1:]
            roots = np.linalg.eigvals(companion)
            hz = np.angle(roots) * (self._top_hz / np.pi)
            bandwidth_hz = -np.log(np.maximum(np.abs(roots), 1e-12)) * (2 * self._top_hz / np.pi)
            # Roots at the very edges are the slope of the spectrum.
            resonant = (hz > 90.0) & (hz < self._top_hz - 50.0)
            resonant &= bandwidth_hz < self.max_bandwidth_hz
            rank = np.where(resonant, hz, np.inf).argsort(axis=1)[:, : self.n_formants]
            pairs = np.stack([hz, bandwidth_hz], axis=2)
            pairs[~resonant] = 0.0
            found[heard] = np.take_along_axis(pairs, rank[:, :, None], axis=1)
        return found.reshape(len(heard), -1)


def levinson(correlation: Rows) -> Rows:
    """Solve for the predictors of many frames at once.

    Args:
        correlation: Autocorrelation from no lag on, shape (frames, order + 1); positive at no lag.

    Returns:
        Coefficients of the inverse filter, from the 1 on, shape (frames, order + 1).

    >>> levinson(np.array([[1.0, 0.5, 0.1]])).round(3).tolist()
    [[1.0, -0.6, 0.2]]
    """
    n, order = len(correlation), correlation.shape[1] - 1
    solved = np.zeros((n, order + 1))
    solved[:, 0] = 1.0
    error = correlation[:, 0] * (1.0 + _WHITENING)
    for step in range(1, order + 1):
        rest = np.einsum("ij,ij->i", solved[:, :step], correlation[:, step:0:-1])
        reflection = np.clip(-rest / error, -1.0 + 1e-9, 1.0 - 1e-9)
        solved[:, 1 : step + 1] += reflection[:, None] * solved[:, step - 1 :: -1][:, :step]
        error = error * (1.0 - np.square(reflection))
    return solved


def _cepstra(predictors: Rows, n: int) -> Rows:
    """Return the cepstrum of one over the inverse filter, from the first coefficient on."""
    order = predictors.shape[1] - 1
    cepstra = np.zeros((len(predictors), n))
    for index in range(1, n + 1):
        value = -predictors[:, index] if index <= order else np.zeros(len(predictors))
        for lag in range(max(1, index - order), index):
            value = value - lag / index * cepstra[:, lag - 1] * predictors[:, index - lag]
        cepstra[:, index - 1] = value
    return cepstra
