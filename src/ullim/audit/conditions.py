"""What an audit does to a clip before it asks again: one fixed change at a time."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import soundfile
import soxr
from pydantic import Field

from ullim.augment import Augmentation
from ullim.augment.codec import Codec
from ullim.augment.room import Room
from ullim.augment.waveform import Clipping, Gain, Noise, Speed, rms
from ullim.errors import UllimError
from ullim.types import FloatArray

TINY = "tiny-shift"
"""Family of the changes that nobody hears."""

_PADDING_S = 0.1  # of silence on both sides, for an encoder's delay
# Least and greatest bits per second of libsndfile's scale from 1 to 0, where a codec is at 16 kHz.
_BITS = {"mp3": (8_000, 160_000), "opus": (6_000, 256_000)}


@dataclass(frozen=True, slots=True)
class Babble:
    """Add other clips, all at the same level, as of people talking around.

    Attributes:
        snr_db: Level of the clip over that of all voices together.
    """

    snr_db: float

    def among(
        self, signal: FloatArray, voices: Sequence[FloatArray], generator: np.random.Generator
    ) -> FloatArray:
        """Return the signal among voices, each repeated from a random place on.

        Args:
            signal: Shape (samples,).
            voices: Other clips at the same rate, each of shape (samples,).
            generator: Source of the places.
        """
        crowd = np.zeros(signal.size, np.float64)
        for voice in voices:
            start = int(generator.integers(voice.size))
            places = (start + np.arange(signal.size)) % voice.size
            crowd += voice[places] / max(rms(voice), 1e-12)
        scale = rms(signal) / max(rms(crowd), 1e-12) * 10 ** (-self.snr_db / 20)
        return np.asarray(signal + scale * crowd, np.float32)


class BitRate(Augmentation):
    """Encode at a constant bit rate and decode.

    Attributes:
        codec: Which.
        kbit_per_s: Bit rate in kbit/s without the container, for a clip at 16 kHz.
    """

    name: Literal["bit-rate"] = "bit-rate"
    codec: Literal["mp3", "opus"]
    kbit_per_s: float = Field(gt=0.0)

    def _apply(
        self, signal: FloatArray, sampling_rate: int, generator: np.random.Generator
    ) -> FloatArray:
        rate = 16_000
        if sampling_rate != rate:
            signal = np.asarray(soxr.resample(signal, sampling_rate, rate, "HQ"))
        padding = round(_PADDING_S * rate)
        peak = max(1.0, float(np.abs(signal).max()))
        padded = np.pad(signal / np.float32(peak), padding)
        decoded = decode(self.encode(padded))
        decoded = np.pad(decoded, (0, max(0, padded.size - decoded.size)))
        decoded = decoded[padding : padding + signal.size] * np.float32(peak)
        if sampling_rate != rate:
            decoded = soxr.resample(decoded, rate, sampling_rate, "HQ")
        return np.asarray(decoded, np.float32)

    def encode(self, signal: FloatArray) -> bytes:
        """Return the bytes of a file; ``signal`` is at 16 kHz and within full scale."""
        low, high = _BITS[self.codec]
        level = min(max((high - 1000 * self.kbit_per_s) / (high - low), 0.0), 1.0)
        file = io.BytesIO()
        if self.codec == "mp3":
            # Without a constant rate the level would be one of quality.
            options = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT"}
        else:
            options = {"format": "OGG", "subtype": "OPUS"}
        soundfile.write(file, signal, 16_000, compression_level=level, **options)
        return file.getvalue()


class Loudest(Augmentation):
    """Keep only the stretch with the most energy; a shorter clip stays whole.

    Attributes:
        length_s: Its length in seconds.
    """

    name: Literal["loudest"] = "loudest"
    length_s: float = Field(gt=0.0)

    def _apply(
        self, signal: FloatArray, sampling_rate: int, generator: np.random.Generator
    ) -> FloatArray:
        length = round(self.length_s * sampling_rate)
        if signal.size <= length:
            return signal
        total = np.concatenate([[0.0], np.cumsum(np.square(signal, dtype=np.float64))])
        start = int((total[length:] - total[:-length]).argmax())
        return signal[start : start + length]


class DropStart(Augmentation):
    """Leave out the first moment.

    Attributes:
        length_s: How much, in seconds.
    """

    name: Literal["drop-start"] = "drop-start"
    length_s: float = Field(gt=0.0)

    def _apply(
        self, signal: FloatArray, sampling_rate: int, generator: np.random.Generator
    ) -> FloatArray:
        return signal[round(self.length_s * sampling_rate) :]


class RoundTrip(Augmentation):
    """Resample to another rate and back, as programs do between themselves.

    Attributes:
        sampling_rate: The other rate, in Hz.
    """

    name: Literal["round-trip"] = "round-trip"
    sampling_rate: int = Field(44_100, gt=0)

    def _apply(
        self, signal: FloatArray, sampling_rate: int, generator: np.random.Generator
    ) -> FloatArray:
        there = soxr.resample(signal, sampling_rate, self.sampling_rate, "HQ")
        return np.asarray(soxr.resample(there, self.sampling_rate, sampling_rate, "HQ"))


@dataclass(frozen=True, slots=True)
class Condition:
    """One change.

    Attributes:
        family: What is changed; the conditions of a family are one curve.
        level: How much, with its unit.
        change: What does it.
    """

    family: str
    level: str
    change: Augmentation | Babble

    @property
    def name(self) -> str:
        """Family and level as one word: ``white-noise:20dB``."""
        return f"{self.family}:{self.level.replace(' ', '')}"

    def generator(self, clip: str, seed: int) -> np.random.Generator:
        """Return the source of chance for a clip: the same whatever else is audited."""
        return np.random.default_rng([seed, *(zlib.crc32(s.encode()) for s in (clip, self.name))])


_SNR_DB = (20, 10, 5, 0)

CONDITIONS: tuple[Condition, ...] = (
    *(
        Condition("white-noise", f"{snr} dB", Noise(min_snr_db=snr, max_snr_db=snr, max_slope=0.0))
        for snr in _SNR_DB
    ),
    *(Condition("babble", f"{snr} dB", Babble(snr_db=snr)) for snr in _SNR_DB),
    *(
        Condition(
            "room",
            f"{rt60} s",
            Room(min_rt60_s=rt60, max_rt60_s=rt60, min_direct_db=0.0, max_direct_db=0.0),
        )
        for rt60 in (0.3, 0.6, 1)
    ),
    Condition("telephone", "mu-law", Codec(kinds=("mu-law",))),
    Condition("telephone", "GSM", Codec(kinds=("gsm",))),
    *(
        Condition("mp3", f"{rate} kbit/s", BitRate(codec="mp3", kbit_per_s=rate))
        for rate in (64, 32, 16)
    ),
    *(
        Condition("opus", f"{rate} kbit/s", BitRate(codec="opus", kbit_per_s=rate))
        for rate in (32, 16, 8)
    ),
    *(
        Condition("gain", f"{gain:+} dB", Gain(min_gain_db=gain, max_gain_db=gain))
        for gain in (-20, 20)
    ),
    *(
        Condition("speed", f"x{factor}", Speed(min_factor=factor, max_factor=factor))
        for factor in (0.9, 1.1)
    ),
    *(
        Condition("clipping", f"{drive} dB", Clipping(min_drive_db=drive, max_drive_db=drive))
        for drive in (6, 12, 20)
    ),
    *(Condition("truncation", f"{length} s", Loudest(length_s=length)) for length in (2, 1, 0.5)),
    *(
        Condition(TINY, f"-{length} ms", DropStart(length_s=length / 1000))
        for length in (1, 5, 10, 20)
    ),
    Condition(TINY, "44.1 kHz", RoundTrip(sampling_rate=44_100)),
    *(
        Condition(TINY, f"{gain:+} dB", Gain(min_gain_db=gain, max_gain_db=gain))
        for gain in (-0.1, 0.1)
    ),
)
"""Everything an audit asks, mild to severe within a family."""

FAMILIES: tuple[str, ...] = tuple(dict.fromkeys(condition.family for condition in CONDITIONS))


def choose(only: Sequence[str]) -> tuple[Condition, ...]:
    """Return the conditions of some families or names; all where none is given.

    Raises:
        UllimError: A name is neither.

    >>> [condition.name for condition in choose(["speed", "gain:+20dB"])]
    ['gain:+20dB', 'speed:x0.9', 'speed:x1.1']
    """
    unknown = [
        name for name in only if name not in FAMILIES and name not in {c.name for c in CONDITIONS}
    ]
    if unknown:
        raise UllimError(
            f"no condition is called {', '.join(unknown)}; there are the families "
            f"{', '.join(FAMILIES)}, and each of their levels, such as {CONDITIONS[0].name}",
            code="unknown_condition",
        )
    return tuple(c for c in CONDITIONS if not only or c.family in only or c.name in only)


def decode(data: bytes) -> FloatArray:
    """Return the samples of an encoded file, shape (samples,)."""
    samples, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    return np.asarray(samples, np.float32)
