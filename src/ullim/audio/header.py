"""What the first bytes of a file say about it, and the kinds of container that are known."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import BinaryIO, Literal

HEAD_BYTES = 1 << 16
# Writers' header arithmetic is off by a chunk header now and then; 64 bytes are inaudible.
SLACK_BYTES = 64
MAX_CHUNKS = 100_000


@dataclass(frozen=True, slots=True)
class Header:
    """What the first bytes of a file say about it; None where they do not tell.

    Attributes:
        kind: Name for messages, for example ``"WAV"``.
        suffixes: File name suffixes this content may carry.
        decoder: ``"soundfile"`` or ``"media"`` (PyAV).
        demuxer: FFmpeg's name of the container, so that FFmpeg never guesses.
        offset: Bytes of tags or junk before the audio container starts.
        channels: Channels declared.
        sampling_rate: Rate declared, in Hz.
        frames: Samples per channel declared, at ``sampling_rate``.
        missing_bytes: How many bytes of audio the header declares beyond the end of the file.
        is_empty: The header is whole and declares no audio at all.
        patch: Position and bytes to put in place of what the file says there, counted after
            ``offset``, where the decoder would take the header at its word.
    """

    kind: str
    suffixes: frozenset[str]
    decoder: Literal["soundfile", "media"]
    demuxer: str
    offset: int = 0
    channels: int | None = None
    sampling_rate: int | None = None
    frames: int | None = None
    missing_bytes: int = 0
    is_empty: bool = False
    patch: tuple[int, bytes] | None = None


def _kind(
    name: str, suffixes: str, demuxer: str, decoder: Literal["soundfile", "media"] = "media"
) -> Header:
    return Header(name, frozenset(f".{s}" for s in suffixes.split()), decoder, demuxer)


WAV = _kind("WAV", "wav wave bwf rf64 bw64 w64", "wav", "soundfile")
W64 = _kind("Wave64", "w64 wav", "w64", "soundfile")
FLAC = _kind("FLAC", "flac fla", "flac", "soundfile")
OGG = _kind("Ogg", "ogg oga opus spx ogx ogv", "ogg", "soundfile")
MP3 = _kind("MP3", "mp3 mp2 mp1 mpga mpeg mpg", "mp3", "soundfile")
AIFF = _kind("AIFF", "aif aiff aifc aff", "aiff", "soundfile")
AU = _kind("AU", "au snd", "au", "soundfile")
# TIMIT and its kin name their SPHERE files .wav.
NIST = _kind("NIST SPHERE", "sph nist wav", "nistsphere", "soundfile")
WEBM = _kind("WebM", "webm weba mkv mka", "matroska")
MP4 = _kind("MP4", "m4a mp4 m4b m4r m4v mov qt 3gp 3gpp 3g2 3ga aac alac", "mov")
AAC = _kind("AAC", "aac adts", "aac")
AMR = _kind("AMR", "amr awb 3ga", "amr")
ASF = _kind("WMA", "wma asf wmv", "asf")
CAF = _kind("CAF", "caf", "caf")
AVI = _kind("AVI", "avi", "avi")
FLV = _kind("FLV", "flv f4a", "flv")
WAVPACK = _kind("WavPack", "wv", "wv")
TTA = _kind("True Audio", "tta", "tta")
APE = _kind("Monkey's Audio", "ape", "ape")
MPEG_TS = _kind("MPEG-TS", "ts mts m2ts", "mpegts")

KINDS = (
    *(WAV, W64, FLAC, OGG, MP3, AIFF, AU, NIST, WEBM, MP4, AAC, AMR, ASF, CAF, AVI, FLV),
    *(WAVPACK, TTA, APE, MPEG_TS),
)
KNOWN_SUFFIXES = frozenset().union(*(kind.suffixes for kind in KINDS))


class Reader:
    """Random access to a seekable file; reading past the end gives fewer bytes."""

    def __init__(self, file: BinaryIO, size_bytes: int) -> None:
        self.file = file
        self.size_bytes = size_bytes

    def at(self, position: int, count: int) -> bytes:
        """Return up to ``count`` bytes."""
        if not 0 <= position < self.size_bytes:
            return b""
        self.file.seek(position)
        return self.file.read(count)


def bytes_missing(reader: Reader, end: int) -> int:
    """Return how many bytes a file lacks up to ``end``."""
    return max(0, end - reader.size_bytes)


def size_of(file: BinaryIO) -> int:
    """Return the length of a seekable file in bytes; leaves it at its start."""
    file.seek(0, os.SEEK_END)
    size_bytes = file.tell()
    file.seek(0)
    return size_bytes
