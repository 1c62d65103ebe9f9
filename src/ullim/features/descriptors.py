"""What a spectrum looks like: pitch classes, contrast, and single figures for each frame."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from ullim.features._frames import decibels
from ullim.features.stft import StftFeature
from ullim.types import FloatArray

_TINY = np.finfo(np.float32).tiny

DescriptorName = Literal[
    "centroid", "bandwidth", "rolloff", "flatness", "flux", "zero_crossing_rate", "rms"
]


class Chroma(StftFeature):
    """Power by pitch class, C first, each frame scaled to a greatest value of 1.

    Equal to ``librosa.feature.chroma_stft`` with the same parameters, ``tuning`` given.

    Attributes:
        tuning: How far the instrument lies above 440 Hz for A4, in semitones.

    >>> tone = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    >>> int(Chroma().extract(tone)[15].argmax())  # A
    9

    Reference: Ellis, Chroma feature analysis and synthesis, 2007 (these filters).
    Differs: librosa guesses the tuning of each clip, which for speech is chance; here it is stated.
    """

    version = "v1"
    unit = "0 to 1"

    name: Literal["chroma"] = "chroma"
    n_fft: int = Field(2048, ge=32, le=65_536)
    win_length: int = Field(2048, ge=16, le=65_536)
    hop_length: int = Field(512, ge=1, le=65_536)
    tuning: float = Field(0.0, ge=-0.5, le=0.5)

    @property
    def n_features(self) -> int:
        """The twelve pitch classes."""
        return 12

    def _extract(self, signal: FloatArray) -> FloatArray:
        filters = _chroma_filters(self.sampling_rate, self.n_fft, self.tuning)
        raw: FloatArray = self.power(signal) @ filters
        loudest = raw.max(axis=1, keepdims=True)
        raw /= np.where(loudest > _TINY, loudest, np.float32(1.0))
        return raw


class SpectralContrast(StftFeature):
    """Level of the peaks over that of the valleys, in dB, in bands of an octave.

    Equal to ``librosa.feature.spectral_contrast`` with the same parameters.

    Attributes:
        f_min_hz: Upper edge of the lowest band; each further band is an octave.
        n_bands: Bands above the lowest.
        quantile: Share of a band's bins that counts as peak, and as valley.

    >>> SpectralContrast().extract(np.ones(16_000, np.float32)).shape
    (32, 7)

    Reference: Jiang, Lu, Zhang, Tao & Cai, Music type classification by spectral contrast feature,
    ICME 2002.
    """

    version = "v1"
    unit = "dB"

    name: Literal["spectral-contrast"] = "spectral-contrast"
    n_fft: int = Field(2048, ge=32, le=65_536)
    win_length: int = Field(2048, ge=16, le=65_536)
    hop_length: int = Field(512, ge=1, le=65_536)
    f_min_hz: float = Field(200.0, gt=0.0)
    n_bands: int = Field(6, ge=1, le=16)
    quantile: float = Field(0.02, gt=0.0, lt=1.0)

    @model_validator(mode="after")
    def _check_bands(self) -> SpectralContrast:
        top_hz = self.f_min_hz * 2 ** (self.n_bands - 1)
        if top_hz >= self.sampling_rate / 2:
            raise ValueError(
                f"{self.n_bands} octaves from {self.f_min_hz} Hz begin the last at {top_hz} Hz, "
                f"not under half the sampling rate, {self.sampling_rate / 2} Hz"
            )
        if self.sampling_rate / self.n_fft > self.f_min_hz:
            raise ValueError(
                f"bins {self.sampling_rate / self.n_fft:.0f} Hz apart leave bands from "
                f"{self.f_min_hz} Hz empty; give a longer n_fft"
            )
        return self

    @property
    def n_features(self) -> int:
        """Bands, with the lowest."""
        return self.n_bands + 1

    def _bands(self) -> list[tuple[slice, int]]:
        """Return by band: its bins, and how many of them are peaks."""
        edges_hz = [0.0, *(self.f_min_hz * 2.0**octave for octave in range(self.n_bands + 1))]
        bins_hz = self.bins_hz()
        bands = []
        for band in range(self.n_bands + 1):
            inside = (bins_hz >= edges_hz[band]) & (bins_hz <= edges_hz[band + 1])
            first, last = np.flatnonzero(inside)[[0, -1]].tolist()
            first -= band > 0
            if band == self.n_bands:
                last = self.n_bins - 1
            n_peaks = max(1, int(np.rint(self.quantile * (last + 1 - first))))
            bands.append((slice(first, last + (band == self.n_bands)), n_peaks))
        return bands

    def _extract(self, signal: FloatArray) -> FloatArray:
        power = self.power(signal)
        magnitude = np.sqrt(power, out=power)
        shape = (len(magnitude), self.n_features)
        peaks, valleys = np.empty(shape, np.float32), np.empty(shape, np.float32)
        for band, (bins, n_peaks) in enumerate(self._bands()):
            ordered = np.sort(magnitude[:, bins], axis=1)
            valleys[:, band] = ordered[:, :n_peaks].mean(axis=1)
            peaks[:, band] = ordered[:, -n_peaks:].mean(axis=1)
        return decibels(peaks, 1e-10, 80.0) - decibels(valleys, 1e-10, 80.0)


class Descriptors(StftFeature):
    """Single figures for each frame, side by side in the order asked for.

    ==================  ============================================================  ========
    centroid            mean frequency, weighted by magnitude                         Hz
    bandwidth           standard deviation of frequency around the centroid           Hz
    rolloff             frequency under which ``roll_share`` of the magnitude lies    Hz
    flatness            geometric over arithmetic mean of power, 1 for white noise    0 to 1
    flux                squared distance to the frame before, both of length 1        0 to 2
    zero_crossing_rate  share of neighbouring samples of unlike sign                  0 to 1
    rms                 root of the mean square of the samples                        0 to 1
    ==================  ============================================================  ========

    All but ``flux`` are equal to the functions of that name in ``librosa.feature``; the last two
    look at ``win_length`` samples without a window. A silent frame has 0 Hz.

    Attributes:
        kinds: Which figures.
        roll_share: Share for ``rolloff``.

    >>> Descriptors(kinds=("rms", "flux")).extract(np.ones(16_000, np.float32))[50].tolist()
    [1.0, 0.0]

    Reference: Tzanetakis & Cook, IEEE Transactions on Speech and Audio Processing 10(5), 2002.
    """

    version = "v1"
    unit = "see the table"

    name: Literal["descriptors"] = "descriptors"
    kinds: tuple[DescriptorName, ...] = Field(
        ("centroid", "bandwidth", "rolloff", "flatness", "flux", "zero_crossing_rate", "rms"),
        min_length=1,
    )
    roll_share: float = Field(0.85, gt=0.0, lt=1.0)

    @model_validator(mode="after")
    def _check_kinds(self) -> Descriptors:
        if len(set(self.kinds)) != len(self.kinds):
            raise ValueError(f"kinds repeat: {', '.join(self.kinds)}")
        return self

    @property
    def n_features(self) -> int:
        """Figures asked for."""
        return len(self.kinds)

    def _extract(self, signal: FloatArray) -> FloatArray:
        columns: dict[str, FloatArray] = {}
        if set(self.kinds) - {"zero_crossing_rate", "rms"}:
            columns |= self._of_spectrum(signal)
        if "zero_crossing_rate" in self.kinds:
            columns["zero_crossing_rate"] = self._zero_crossing_rate(signal)
        if "rms" in self.kinds:
            squares = np.square(self._frames(signal, "constant"), dtype=np.float64)
            columns["rms"] = np.sqrt(squares.mean(axis=1)).astype(np.float32)
        return np.stack([columns[kind] for kind in self.kinds], axis=1).astype(np.float32)

    def _of_spectrum(self, signal: FloatArray) -> dict[str, FloatArray]:
        power = self.power(signal)
        magnitude = np.sqrt(power)
        total = magnitude.sum(axis=1, dtype=np.float64, keepdims=True)
        share = magnitude / np.where(total > _TINY, total, 1.0)
        hz = self.bins_hz()
        centroid = share @ hz
        spread = np.sqrt(np.einsum("fb,fb->f", share, np.square(hz - centroid[:, None])))
        below = np.cumsum(magnitude, axis=1, dtype=np.float64)
        reached = (below >= self.roll_share * below[:, -1:]).argmax(axis=1)
        audible = np.maximum(power, np.float32(1e-10)).astype(np.float64)
        flatness = np.exp(np.log(audible).mean(axis=1)) / audible.mean(axis=1)
        length = np.sqrt(power.sum(axis=1, dtype=np.float64, keepdims=True))
        unit = magnitude / np.where(length > _TINY, length, 1.0)
        moved = np.square(np.diff(unit, axis=0, prepend=unit[:1])).sum(axis=1)
        columns = {
            "centroid": centroid,
            "bandwidth": spread,
            "rolloff": hz[reached],
            "flatness": flatness,
            "flux": moved,
        }
        return {name: np.asarray(values, np.float32) for name, values in columns.items()}

    def _zero_crossing_rate(self, signal: FloatArray) -> FloatArray:
        # What is quieter than 1e-10 counts as zero, and zero as positive.
        negative = self._frames(signal, "edge") < -1e-10
        crossings = (negative[:, 1:] != negative[:, :-1]).sum(axis=1)
        return np.asarray(crossings / self.win_length, np.float32)

    def _frames(self, signal: FloatArray, mode: Literal["constant", "edge"]) -> FloatArray:
        """Return the samples of each frame, shape (frames, win_length)."""
        lead = self.win_length // 2
        n_frames = self.n_frames(signal.size)
        needed = (n_frames - 1) * self.hop_length + self.win_length
        padded = np.pad(signal, (lead, max(lead, needed - lead - signal.size)), mode=mode)
        views = np.lib.stride_tricks.sliding_window_view(padded, self.win_length)
        return np.asarray(views[:: self.hop_length][:n_frames])


@lru_cache(maxsize=8)
def _chroma_filters(sampling_rate: int, n_fft: int, tuning: float) -> FloatArray:
    """Return weights of each bin in each pitch class, C first, shape (bins, 12)."""
    hz = np.arange(1, n_fft) * sampling_rate / n_fft
    a0_hz = 27.5 * 2.0 ** (tuning / 12)
    semitone = 12 * np.log2(hz / a0_hz)
    # The bin at 0 Hz has no pitch: it is put one and a half octaves under the next one.
    semitone = np.concatenate([[semitone[0] - 18], semitone])
    width = np.append(np.maximum(np.diff(semitone), 1.0), 1.0)
    distance = np.remainder(semitone[:, None] - np.arange(12) + 126, 12) - 6
    weights = np.exp(-0.5 * np.square(2 * distance / width[:, None]))
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    # A bell of two octaves around the fifth leaves out what lies far from it.
    weights *= np.exp(-0.5 * np.square((semitone / 12 - 5) / 2))[:, None]
    from_c = np.roll(weights, -3, axis=1)
    return np.asarray(from_c[: n_fft // 2 + 1], np.float32)
