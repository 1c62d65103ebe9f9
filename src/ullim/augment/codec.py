"""What a recording goes through on its way: lossy codecs and the telephone."""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
import soundfile
import soxr
from pydantic import Field, model_validator

from ullim.augment import Augmentation
from ullim.augment.waveform import ordered
from ullim.types import FloatArray

CodecName = Literal["mp3", "vorbis", "opus", "gsm", "mu-law"]

# How soundfile writes each: container, subtype, and the rates the codec knows.
_FORMATS: dict[str, tuple[str, str, tuple[int, ...]]] = {
    "mp3": ("MP3", "MPEG_LAYER_III", (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)),
    "vorbis": ("OGG", "VORBIS", (8_000, 16_000, 22_050, 32_000, 44_100, 48_000)),
    "opus": ("OGG", "OPUS", (8_000, 16_000, 24_000, 48_000)),
    "gsm": ("WAV", "GSM610", (8_000,)),
    "mu-law": ("WAV", "ULAW", (8_000,)),
}
_TELEPHONES = {"gsm", "mu-law"}
_TELEPHONE_HZ = (300.0, 3400.0)
_ROOM_S = 0.1  # of silence before and after, for the encoders' delay and for very short clips


class Codec(Augmentation):
    """Encode and decode, as a messenger, a recorder or a telephone does.

    One of ``kinds`` is drawn for each signal, and a place in the encoder's frames. ``gsm`` and
    ``mu-law`` are telephones: 8 kHz, 300 to 3400 Hz.

    Attributes:
        kinds: Codecs to draw from.
        min_compression: Best quality of mp3, vorbis and opus, as libsndfile counts from 0 to 1.
        max_compression: Worst quality.

    >>> generator = np.random.default_rng(0)
    >>> telephone = Codec(kinds=("mu-law",))
    >>> telephone.apply(np.ones(16_000, np.float32), 16_000, generator).shape
    (16000,)

    Reference: ITU-T G.711 (mu-law); ETSI GSM 06.10; ISO/IEC 11172-3; RFC 6716 (Opus).
    """

    name: Literal["codec"] = "codec"
    kinds: tuple[CodecName, ...] = Field(("mp3", "vorbis", "opus", "gsm", "mu-law"), min_length=1)
    min_compression: float = Field(0.5, ge=0.0)
    max_compression: float = Field(0.99, le=0.99)

    @model_validator(mode="after")
    def _check(self) -> Codec:
        return ordered(self, self.min_compression, self.max_compression)

    def _apply(
        self, signal: FloatArray, sampling_rate: int, generator: np.random.Generator
    ) -> FloatArray:
        kind = self.kinds[int(generator.integers(len(self.kinds)))]
        compression = generator.uniform(self.min_compression, self.max_compression)
        offset = int(generator.integers(1, max(2, round(_ROOM_S * sampling_rate))))
        # A codec clips what exceeds full scale.
        peak = max(1.0, float(np.abs(signal).max()))
        after = round(_ROOM_S * sampling_rate)
        room = np.pad(signal / np.float32(peak), (offset, after))
        decoded = transcode(room, sampling_rate, kind, compression)
        decoded = np.pad(decoded, (0, max(0, room.size - decoded.size)))
        return decoded[offset : offset + signal.size] * np.float32(peak)


def transcode(
    signal: FloatArray, sampling_rate: int, kind: CodecName, compression: float
) -> FloatArray:
    """Return a signal as it comes out of a codec.

    Args:
        signal: Shape (samples,), in [-1, 1].
        sampling_rate: In Hz; the codec works at the next rate it knows.
        kind: Which codec.
        compression: From 0 to 1, the more the worse; no matter for the telephones.

    Returns:
        float32, shape (samples,) at ``sampling_rate``; the length may differ by a few.
    """
    container, subtype, rates = _FORMATS[kind]
    rate = next((known for known in rates if known >= sampling_rate), rates[-1])
    if rate != sampling_rate:
        signal = np.asarray(soxr.resample(signal, sampling_rate, rate, "MQ"))
    file = io.BytesIO()
    options: dict[str, object] = {}
    if kind in _TELEPHONES:
        signal = _telephone_band(signal, rate)
    else:
        options["compression_level"] = compression
    soundfile.write(file, signal, rate, format=container, subtype=subtype, **options)
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    if rate != sampling_rate:
        decoded = soxr.resample(decoded, rate, sampling_rate, "MQ")
    return np.asarray(decoded, np.float32)


def _telephone_band(signal: FloatArray, sampling_rate: int) -> FloatArray:
    spectrum = np.fft.rfft(signal)
    hz = np.fft.rfftfreq(signal.size, 1 / sampling_rate)
    low_hz, high_hz = _TELEPHONE_HZ
    # Flanks of 100 Hz, so that the band rings no longer than a telephone's filter.
    rise = np.clip((hz - low_hz + 100) / 100, 0, 1)
    fall = np.clip((high_hz + 100 - hz) / 100, 0, 1)
    return np.fft.irfft(spectrum * rise * fall, signal.size).astype(np.float32)
