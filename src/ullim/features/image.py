"""Spectra as pictures, for networks that were made for pictures.

One row of values is one picture, laid end to end in the order of ``item_shape``:
``values.reshape(len(values), *feature.item_shape)`` gives them back.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from ullim.features._frames import decibels
from ullim.features.colour import ColourMap, colours
from ullim.features.descriptors import Chroma, SpectralContrast
from ullim.features.spectral import LogMel, Mfcc
from ullim.features.stft import StftFeature
from ullim.types import FloatArray

# Mean and standard deviation of red, green and blue over ImageNet, which networks trained on it
# subtract and divide by.
_IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)


class SpectrogramImages(StftFeature):
    """Colour pictures of short stretches of the spectrogram, cut one after the other along time.

    A row is one picture of shape (time, frequency, colour), values in [0, 1]: decibels between
    the loudest value of the clip and ``range_db`` under it, through a colour map. Frequency rises
    with the index; the bin at half the sampling rate is left out, so that 512 samples give 256.
    Frames that fill no picture at the end are dropped.

    Attributes:
        segment_frames: Frames in one picture.
        range_db: Decibels from the darkest to the brightest colour.
        colour_map: Which colours.

    >>> feature = SpectrogramImages()
    >>> feature.extract(np.ones(16_000, np.float32)).reshape(-1, *feature.item_shape).shape
    (6, 16, 256, 3)

    Reference: Park, Kim, Kwon & Park, KIEE Information and Control Symposium, 2018, pp. 240-241.
    Differs: transform, range and colours are not in the paper; these are ours.
    """

    version = "v1"
    unit = "0 to 1"

    name: Literal["spectrogram-images"] = "spectrogram-images"
    segment_frames: int = Field(16, ge=1, le=1024)
    range_db: float = Field(80.0, gt=0.0)
    colour_map: ColourMap = "jet"

    @property
    def item_shape(self) -> tuple[int, ...]:
        """Time, frequency, colour."""
        return (self.segment_frames, self.n_bins - 1, 3)

    @property
    def n_features(self) -> int:
        """Values of one picture."""
        return self.segment_frames * (self.n_bins - 1) * 3

    @property
    def hop_s(self) -> float:
        """Seconds from one picture to the next."""
        return self.segment_frames * self.hop_length / self.sampling_rate

    @property
    def min_samples(self) -> int:
        """As many as give the frames of one picture."""
        return max(1, (self.segment_frames - 1) * self.hop_length + self.n_fft % 2)

    def _extract(self, signal: FloatArray) -> FloatArray:
        level = decibels(self.power(signal), 1e-10, self.range_db)[:, :-1]
        picture = colours(_fraction(level, self.range_db), self.colour_map)
        n = len(picture) // self.segment_frames
        return picture[: n * self.segment_frames].reshape(n, -1)


class _PictureOfClip(StftFeature):
    """A whole clip as one square picture in colour, normalised as for networks of ImageNet.

    Attributes:
        size: Height and width in pixels.
        colour_map: Which colours.
    """

    level = "clip"

    n_fft: int = Field(2048, ge=32, le=65_536)
    win_length: int = Field(2048, ge=16, le=65_536)
    hop_length: int = Field(512, ge=1, le=65_536)
    size: int = Field(224, ge=8, le=1024)
    colour_map: ColourMap = "magma"

    @property
    def item_shape(self) -> tuple[int, ...]:
        """Height (top row highest), time, colour."""
        return (self.size, self.size, 3)

    @property
    def n_features(self) -> int:
        """Values of the picture."""
        return self.size * self.size * 3

    def _picture(self, fraction: FloatArray) -> FloatArray:
        """Return (frames, features) in [0, 1] as one row."""
        upright = np.ascontiguousarray(fraction.T[::-1])
        picture = resize(colours(upright, self.colour_map), self.size, self.size)
        return ((picture - _IMAGENET_MEAN) / _IMAGENET_STD).reshape(1, -1)


class MelImage(_PictureOfClip):
    """Log-mel spectrogram of the whole clip as a picture of 224 by 224 in colour.

    Shape (height, time, colour): the top row is the highest band. Decibels between the loudest
    value and ``range_db`` under it become [0, 1], then colours, resized bilinearly and normalised
    by ImageNet's mean and deviation.

    Attributes:
        n_mels: Mel bands.
        range_db: Decibels from the darkest to the brightest colour.

    >>> MelImage().extract(np.ones(16_000, np.float32)).shape
    (1, 150528)

    Reference: Lee, Yoon & Jo, Journal of KIISE 47(7), 2020, doi 10.5626/JOK.2020.47.7.665.
    Differs: they photograph a plot with its axes; this is the picture alone.
    """

    version = "v1"
    unit = "ImageNet's deviations from its mean"

    name: Literal["mel-image"] = "mel-image"
    n_mels: int = Field(128, ge=8, le=1024)
    range_db: float = Field(80.0, gt=0.0)

    def _extract(self, signal: FloatArray) -> FloatArray:
        mel = LogMel(
            sampling_rate=self.sampling_rate,
            n_fft=self.n_fft,
            win_length=self.win_length,
            hop_length=self.hop_length,
            n_mels=self.n_mels,
            top_db=self.range_db,
        )
        return self._picture(_fraction(mel.extract(signal), self.range_db))


class MfccImage(_PictureOfClip):
    """MFCC of the whole clip as a picture of 224 by 224 in colour.

    Shape (height, time, colour): the top row is the highest coefficient. The clip's least and
    greatest coefficient become 0 and 1, then colours, resized bilinearly and normalised by
    ImageNet's mean and deviation.

    Attributes:
        n_mfcc: Coefficients, counting the zeroth.

    >>> MfccImage().extract(np.ones(16_000, np.float32)).shape
    (1, 150528)

    Reference: Lee, Yoon & Jo, Journal of KIISE 47(7), 2020, doi 10.5626/JOK.2020.47.7.665.
    Differs: they photograph a plot with its axes; this is the picture alone.
    """

    version = "v1"
    unit = "ImageNet's deviations from its mean"

    name: Literal["mfcc-image"] = "mfcc-image"
    n_mfcc: int = Field(40, ge=2, le=128)

    def _extract(self, signal: FloatArray) -> FloatArray:
        mfcc = Mfcc(
            sampling_rate=self.sampling_rate,
            n_fft=self.n_fft,
            win_length=self.win_length,
            hop_length=self.hop_length,
            n_mfcc=self.n_mfcc,
        ).extract(signal)
        least, greatest = mfcc.min(), mfcc.max()
        return self._picture((mfcc - least) / max(greatest - least, np.float32(1e-6)))


class FeatureMap(StftFeature):
    """A feature of the whole clip resized to one picture of fixed size, without colours.

    Shape (height, width): features upwards with the index, time along the width. Values keep the
    unit of the feature; scale them by the training data.

    Attributes:
        of: The feature: ``logmel`` (128 bands, dB), ``mfcc`` (40), ``chroma`` or
            ``spectral-contrast``.
        height: Pixels along the features.
        width: Pixels along time.

    >>> feature = FeatureMap(of="chroma")
    >>> feature.extract(np.ones(16_000, np.float32)).reshape(-1, *feature.item_shape).shape
    (1, 512, 400)

    Reference: the size is that of a Korean system of four networks over four features whose paper
    is known by its summary only; which four is not said, and these are ours.
    """

    version = "v1"
    unit = "that of the feature"
    level = "clip"

    name: Literal["feature-map"] = "feature-map"
    n_fft: int = Field(1024, ge=32, le=65_536)
    win_length: int = Field(1024, ge=16, le=65_536)
    of: Literal["logmel", "mfcc", "chroma", "spectral-contrast"] = "logmel"
    height: int = Field(512, ge=8, le=2048)
    width: int = Field(400, ge=8, le=2048)

    @model_validator(mode="after")
    def _check_inner(self) -> FeatureMap:
        self._inner()
        return self

    @property
    def item_shape(self) -> tuple[int, ...]:
        """Features, time."""
        return (self.height, self.width)

    @property
    def n_features(self) -> int:
        """Values of the picture."""
        return self.height * self.width

    def _inner(self) -> StftFeature:
        sizes: dict[str, int] = {
            "sampling_rate": self.sampling_rate,
            "n_fft": self.n_fft,
            "win_length": self.win_length,
            "hop_length": self.hop_length,
        }
        match self.of:
            case "logmel":
                return LogMel(n_mels=128, top_db=80.0, **sizes)
            case "mfcc":
                return Mfcc(n_mfcc=40, **sizes)
            case "chroma":
                return Chroma(**sizes)
            case "spectral-contrast":
                return SpectralContrast(**sizes)

    def _extract(self, signal: FloatArray) -> FloatArray:
        values = self._inner().extract(signal).T
        return resize(values[..., None], self.height, self.width).reshape(1, -1)


def resize(image: FloatArray, height: int, width: int) -> FloatArray:
    """Resize a picture bilinearly; where it shrinks, each pixel averages what it covers.

    Args:
        image: Shape (height, width, channels).
        height: Of the result.
        width: Of the result.

    Returns:
        float32 (height, width, channels), equal to Pillow's BILINEAR on floats.
    """
    columns = _resizing(image.shape[1], width) @ image  # over (rows), (width, channels)
    n_rows, _, n_channels = columns.shape
    rows = _resizing(image.shape[0], height) @ columns.reshape(n_rows, -1)
    return np.asarray(rows.reshape(height, width, n_channels), np.float32)


@lru_cache(maxsize=32)
def _resizing(n_in: int, n_out: int) -> FloatArray:
    """Return weights (n_out, n_in): a triangle around the place each pixel comes from."""
    scale = n_in / n_out
    support = max(scale, 1.0)
    centre = (np.arange(n_out) + 0.5) * scale
    distance = np.abs(np.arange(n_in) + 0.5 - centre[:, None]) / support
    weights = np.maximum(0.0, 1.0 - distance)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def _fraction(level: FloatArray, range_db: float) -> FloatArray:
    """Return decibels as [0, 1], where 1 is the clip's loudest value."""
    fraction: FloatArray = (level - level.max()) / np.float32(range_db) + np.float32(1.0)
    return np.clip(fraction, 0.0, 1.0, out=fraction)
