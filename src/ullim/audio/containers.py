"""Tell an audio container by its first bytes, and hold a file to what its header promises.

Content decides, never the file's name: names lie, and a demuxer chosen by probing could be talked
into following a playlist. The header is read here, before any decoder sees the file, for two
reasons: limits must hold before a decoder allocates what a header claims, and decoders return what
is left of a cut file without a word.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from ullim.audio import chunks, mpeg
from ullim.audio.header import (
    AMR,
    APE,
    AVI,
    FLV,
    HEAD_BYTES,
    KNOWN_SUFFIXES,
    MPEG_TS,
    SLACK_BYTES,
    TTA,
    WAVPACK,
    Header,
    Reader,
    size_of,
)
from ullim.audio.limits import Limits, check_bytes, check_channels, check_format, empty
from ullim.audio.sources import Source
from ullim.errors import AudioError

_FORMATS = "WAV, FLAC, Ogg, MP3, AIFF, WebM, M4A and similar are"


def header_of(source: Source, file: BinaryIO, name: str, limits: Limits) -> Header:
    """Return what a file's first bytes declare; its position is changed.

    Raises:
        AudioError: It is not audio, or what it declares is refused already.
    """
    size_bytes = size_of(file)
    check_bytes(size_bytes, name, limits)
    if size_bytes == 0:
        raise empty(name)
    header = sniff(file, size_bytes)
    if header is None:
        file.seek(0)
        found = describe_foreign(file.read(HEAD_BYTES))
        raise AudioError(
            f"{name}: is not audio but {found}; {_FORMATS} allowed: give a recording",
            code="not_audio",
        )
    suffix = Path(name).suffix.lower() if isinstance(source, str | os.PathLike) else ""
    if suffix in KNOWN_SUFFIXES and suffix not in header.suffixes:
        raise AudioError(
            f"{name}: holds {header.kind} data under the suffix {suffix}; for it "
            f"{', '.join(sorted(header.suffixes))} are allowed: rename the file, and check how it "
            "was made",
            code="wrong_extension",
        )
    if header.is_empty:
        raise empty(name)
    if header.channels is not None and header.sampling_rate is not None:
        check_format(header.channels, header.sampling_rate, name, limits)
    elif header.channels is not None:
        check_channels(header.channels, name, limits)
    if header.missing_bytes > SLACK_BYTES:
        raise _truncated(name, f"its {header.kind} header declares more bytes than the file has")
    return header


def check_whole(header: Header, rate: int, decoded: int, name: str) -> None:
    """Refuse a recording of which fewer samples were decoded than its header promised."""
    if not header.frames or not header.sampling_rate:
        return
    declared_s, decoded_s = header.frames / header.sampling_rate, decoded / rate
    # Encoders count their padding, and decoders drop it: up to three frames of MP3.
    if decoded_s < declared_s - 0.15:
        raise _truncated(name, f"it ends after {decoded_s:.2f} of {declared_s:.2f} s")


def _truncated(name: str, reason: str) -> AudioError:
    return AudioError(
        f"{name}: is cut off ({reason}); a whole recording is needed: copy or export it again",
        code="truncated",
    )


def sniff(file: BinaryIO, size_bytes: int) -> Header | None:
    """Return what the file's first bytes declare, or None where they are no audio container.

    Args:
        file: Seekable binary file; its position is changed.
        size_bytes: Its length.
    """
    reader = Reader(file, size_bytes)
    offset = _after_id3(reader)
    head = reader.at(offset, HEAD_BYTES)
    for matches, parse in _PARSERS:
        if matches(head):
            return replace(parse(reader, offset), offset=offset)
    return mpeg.adts(head, offset) or mpeg.mp3(reader, head, offset)


def describe_foreign(head: bytes) -> str:
    """Say what bytes that are no audio look like, for a message.

    >>> describe_foreign(b"%PDF-1.7"), describe_foreign(b"Dear diary,")
    ('a PDF document', 'text')
    """
    for magic, name in _FOREIGN:
        if head.startswith(magic):
            return name
    if not head.strip(b"\0"):
        return "nothing but zero bytes"
    try:
        # A cut multi-byte character at the end of the excerpt is still text.
        text = head[:4096].decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < min(len(head), 4096) - 4:
            return "unknown binary data"
        text = head[: error.start].decode("utf-8")
    if re.search(r"[\x00-\x08\x0e-\x1a]", text):
        return "unknown binary data"
    if re.match(r"\s*<(!doctype html|html)", text, re.IGNORECASE):
        return "an HTML page (a failed download?)"
    return "text"


_FOREIGN = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"MThd", "a MIDI score, which holds notes and no sound"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"#EXTM3U", "a playlist, which holds addresses and no sound"),
    (b"version https://git-lfs", "a Git LFS pointer; `git lfs pull` fetches the recording itself"),
)


def _after_id3(reader: Reader) -> int:
    offset = 0
    # Some taggers put a second tag before the first.
    for _ in range(8):
        tag = reader.at(offset, 10)
        if len(tag) < 10 or tag[:3] != b"ID3" or max(tag[6:10]) > 0x7F:
            break
        length = tag[6] << 21 | tag[7] << 14 | tag[8] << 7 | tag[9]
        offset += 10 + length + (10 if tag[5] & 0x10 else 0)
    return offset


def _starts(magic: bytes, inner: bytes = b"", at: int = 8) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magic) and head[at : at + len(inner)] == inner


def _plain(kind: Header) -> Callable[[Reader, int], Header]:
    return lambda _reader, _offset: kind


_PARSERS: tuple[tuple[Callable[[bytes], bool], Callable[[Reader, int], Header]], ...] = (
    *((_starts(magic, b"WAVE"), chunks.riff) for magic in (b"RIFF", b"RIFX", b"RF64", b"BW64")),
    (_starts(b"RIFF", b"AVI "), _plain(AVI)),
    (_starts(b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb", b"wave", at=24), chunks.w64),
    (_starts(b"FORM", b"AIFF"), chunks.aiff),
    (_starts(b"FORM", b"AIFC"), chunks.aiff),
    (_starts(b".snd"), chunks.au),
    (_starts(b"caff\0\x01"), chunks.caf),
    (_starts(b"fLaC"), chunks.flac),
    (_starts(b"OggS\0"), chunks.ogg),
    (_starts(b"NIST_1A\n"), chunks.nist),
    (_starts(b"", b"ftyp", at=4), chunks.mp4),
    (_starts(b"", b"moov", at=4), chunks.mp4),
    (_starts(b"", b"mdat", at=4), chunks.mp4),
    (_starts(b"\x1a\x45\xdf\xa3"), chunks.webm),
    (_starts(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9"), chunks.asf),
    (_starts(b"#!AMR\n"), _plain(AMR)),
    (_starts(b"#!AMR-WB\n"), _plain(AMR)),
    (_starts(b"FLV\x01"), _plain(FLV)),
    (_starts(b"wvpk"), _plain(WAVPACK)),
    (_starts(b"TTA1"), _plain(TTA)),
    (_starts(b"MAC "), _plain(APE)),
    (lambda head: len(head) > 376 and head[0:377:188] == b"GGG", _plain(MPEG_TS)),
)
