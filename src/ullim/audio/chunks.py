"""Headers of containers made of chunks, boxes, elements, pages or blocks, each with its length.

Each function takes a :class:`Reader` and where the container begins.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import replace

from ullim.audio.header import (
    AIFF,
    ASF,
    AU,
    CAF,
    FLAC,
    HEAD_BYTES,
    MAX_CHUNKS,
    MP4,
    NIST,
    OGG,
    SLACK_BYTES,
    W64,
    WAV,
    WEBM,
    Header,
    Reader,
    bytes_missing,
)

# WAVE format tags libsndfile decodes; any other (MP3 in RIFF, AAC) is FFmpeg's.
_SNDFILE_WAV_TAGS = {0x0001, 0x0002, 0x0003, 0x0006, 0x0007, 0x0011, 0x0031}
# Programs that write to a pipe can not go back to fill in the size: they leave 0xFFFFFFFF
# (FFmpeg), 0x7FFFFFFF less something (SoX) or 0x80000000 (arecord).
_STREAMING_BYTES = 0x7FFF_0000


def _chunks(reader: Reader, at: int, layout: str, pad: int = 1) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and length of each chunk's body; ``pad`` bytes follow an odd one."""
    head = struct.Struct(layout)
    for _ in range(MAX_CHUNKS):
        found = reader.at(at, head.size)
        if len(found) < head.size:
            return
        name, length = head.unpack(found)
        at += head.size
        yield name, at, length
        if length < 0:
            return
        at += length + (length & pad)


def riff(reader: Reader, offset: int) -> Header:
    """Read the header of RIFF, RIFX, RF64 and BW64."""
    magic = reader.at(offset, 12)
    order = ">" if magic[:4] == b"RIFX" else "<"
    riff_end = offset + 8 + struct.unpack(order + "I", magic[4:8])[0]
    header, end, data_bytes_64 = WAV, offset + 12, None
    for name, body, length in _chunks(reader, end, order + "4sI"):
        end = body + length + (length & 1)
        if name == b"ds64":
            sizes = reader.at(body, 16)
            if len(sizes) == 16:
                riff_end, data_bytes_64 = struct.unpack("<QQ", sizes)
                riff_end += offset + 8
        elif name == b"fmt ":
            header = _wave_format(header, reader.at(body, 40), order)
        elif name == b"data":
            if length == 0xFFFF_FFFF and data_bytes_64 is not None:
                length = data_bytes_64
            elif length >= _STREAMING_BYTES and body + length > reader.size_bytes:
                return header
            elif length == 0:
                # Zero in a closed file means no audio; in an unclosed one, "to the end".
                is_closed = riff_end in (reader.size_bytes, reader.size_bytes - 1)
                return replace(
                    header,
                    is_empty=is_closed or body >= reader.size_bytes,
                    patch=(body - 4 - offset, b"\xff" * 4),
                )
            return replace(header, missing_bytes=bytes_missing(reader, body + length))
    # Without a data chunk the file is either cut within its header, or was closed empty.
    missing = bytes_missing(reader, max(riff_end, end))
    return replace(header, missing_bytes=missing and missing + SLACK_BYTES, is_empty=not missing)


def _wave_format(header: Header, body: bytes, order: str) -> Header:
    if len(body) < 16:
        return header
    tag, channels, rate = struct.unpack(order + "HHI", body[:8])
    if tag == 0xFFFE and len(body) >= 26:
        tag = struct.unpack(order + "H", body[24:26])[0]
    return replace(
        header,
        channels=channels,
        sampling_rate=rate,
        decoder="soundfile" if tag in _SNDFILE_WAV_TAGS else "media",
    )


def w64(reader: Reader, offset: int) -> Header:
    """Read the header of Wave64."""
    header, position = W64, offset + 40
    for _ in range(MAX_CHUNKS):
        chunk = reader.at(position, 24)
        if len(chunk) < 24:
            break
        length = struct.unpack("<Q", chunk[16:])[0]
        if chunk[:4] == b"fmt ":
            header = _wave_format(header, reader.at(position + 24, 40), "<")
        elif chunk[:4] == b"data":
            return replace(header, missing_bytes=bytes_missing(reader, position + length))
        position += max(24, (length + 7) // 8 * 8)
    return replace(header, missing_bytes=SLACK_BYTES + 1)


def aiff(reader: Reader, offset: int) -> Header:
    """Read the header of AIFF and AIFF-C."""
    header = AIFF
    for name, body, length in _chunks(reader, offset + 12, ">4sI"):
        if name == b"COMM" and len(fields := reader.at(body, 6)) == 6:
            channels, frames = struct.unpack(">HI", fields)
            header = replace(header, channels=channels, is_empty=frames == 0)
        elif name == b"SSND":
            if length < _STREAMING_BYTES:
                header = replace(header, missing_bytes=bytes_missing(reader, body + length))
            return header
    missing = 0 if header.is_empty else SLACK_BYTES + 1
    return replace(header, missing_bytes=missing)


def au(reader: Reader, offset: int) -> Header:
    """Read the header of AU."""
    fields = reader.at(offset, 24)
    if len(fields) < 24:
        return replace(AU, missing_bytes=SLACK_BYTES + 1)
    start, length, _, rate, channels = struct.unpack(">5I", fields[4:])
    missing = 0 if length == 0xFFFF_FFFF else bytes_missing(reader, offset + start + length)
    return replace(AU, channels=channels, sampling_rate=rate, missing_bytes=missing)


def caf(reader: Reader, offset: int) -> Header:
    """Read the header of CAF."""
    header = CAF
    for name, body, length in _chunks(reader, offset + 8, ">4sq", pad=0):
        if name == b"desc" and len(fields := reader.at(body, 32)) == 32:
            rate, channels = struct.unpack(">d16xI4x", fields)
            if rate == rate and 0 < rate < 1e9:
                header = replace(header, channels=channels, sampling_rate=int(rate))
        elif name == b"data":
            # -1: the recorder did not come back to fill it in.
            end = reader.size_bytes if length < 0 else body + length
            return replace(header, missing_bytes=bytes_missing(reader, end))
    return replace(header, missing_bytes=SLACK_BYTES + 1)


def flac(reader: Reader, offset: int) -> Header:
    """Read the header of FLAC."""
    info = reader.at(offset + 18, 8)
    if len(info) < 8:
        return replace(FLAC, missing_bytes=SLACK_BYTES + 1)
    bits = int.from_bytes(info, "big")
    return replace(
        FLAC,
        sampling_rate=bits >> 44,
        channels=(bits >> 41 & 7) + 1,
        frames=bits & (1 << 36) - 1 or None,
    )


def nist(reader: Reader, offset: int) -> Header:
    """Read the header of NIST SPHERE."""
    text = reader.at(offset, 1024)

    def field(name: bytes) -> int | None:
        found = re.search(rb"^" + name + rb" -i (\d{1,12})\b", text, re.MULTILINE)
        return int(found[1]) if found else None

    return replace(
        NIST,
        channels=field(b"channel_count"),
        sampling_rate=field(b"sample_rate"),
        frames=field(b"sample_count"),
    )


def ogg(reader: Reader, offset: int) -> Header:
    """Read the header of Ogg."""
    page = reader.at(offset, HEAD_BYTES)
    if len(page) < 28:
        return replace(OGG, missing_bytes=SLACK_BYTES + 1)
    payload = page[27 + page[26] :]
    header, granule_rate, skipped = replace(OGG, decoder="media"), 0, 0
    if payload[:7] == b"\x01vorbis" and len(payload) >= 16:
        channels, granule_rate = struct.unpack("<BI", payload[11:16])
        header = replace(OGG, channels=channels, sampling_rate=granule_rate)
    elif payload[:8] == b"OpusHead" and len(payload) >= 12:
        channels, skipped = struct.unpack("<BH", payload[9:12])
        granule_rate = 48_000
        header = replace(OGG, channels=channels, sampling_rate=granule_rate)

    tail_start = max(offset, reader.size_bytes - 3 * HEAD_BYTES)
    tail = reader.at(tail_start, 3 * HEAD_BYTES)
    last = tail.rfind(b"OggS\0")
    page = tail[last:]
    if last < 0 or len(page) < 27:
        return replace(header, missing_bytes=SLACK_BYTES + 1)
    page_end = last + 27 + page[26] + sum(page[27 : 27 + page[26]])
    if page_end > len(tail):
        # Any byte missing makes the page fail its checksum, and all of it is lost.
        return replace(header, missing_bytes=page_end - len(tail) + SLACK_BYTES)
    granule, serial = struct.unpack("<qI", page[6:18])
    first_granule = _first_ogg_granule(reader, offset)
    # The dump of a live stream starts anywhere; a chain of streams counts anew in each.
    if (
        granule_rate
        and serial == struct.unpack("<I", reader.at(offset + 14, 4))[0]
        and first_granule < 60 * granule_rate
    ):
        header = replace(header, frames=max(0, granule - skipped))
    return header


def _first_ogg_granule(reader: Reader, offset: int) -> int:
    for _ in range(64):
        page = reader.at(offset, 27 + 255)
        if len(page) < 27 or page[:4] != b"OggS":
            break
        granule = int(struct.unpack("<q", page[6:14])[0])
        if granule > 0:
            return granule
        offset += 27 + page[26] + sum(page[27 : 27 + page[26]])
    return 0


def mp4(reader: Reader, offset: int) -> Header:
    """Read the header of MP4 and its kin."""
    position, seen = offset, set()
    for _ in range(MAX_CHUNKS):
        atom = reader.at(position, 16)
        if len(atom) < 8:
            break
        length, name = struct.unpack(">I4s", atom[:8])
        if length == 1 and len(atom) == 16:
            length = struct.unpack(">Q", atom[8:])[0]
        elif length == 0:
            length = reader.size_bytes - position
        if length < 8:
            break
        seen.add(name)
        position += length
        if position > reader.size_bytes and name in (b"mdat", b"moov", b"moof"):
            return replace(MP4, missing_bytes=position - reader.size_bytes)
    # An image (HEIC, AVIF) has a "meta" atom where audio and video have "moov".
    is_cut = b"moov" not in seen and b"meta" not in seen
    return replace(MP4, missing_bytes=SLACK_BYTES + 1 if is_cut else 0)


def _ebml_number(data: bytes, position: int) -> tuple[int | None, int]:
    """Return a variable-length size (None: unknown) and the position after it."""
    if position >= len(data) or data[position] == 0:
        return None, position
    width = 9 - data[position].bit_length()
    bits = int.from_bytes(data[position : position + width], "big") & (1 << 7 * width) - 1
    return (None if bits == (1 << 7 * width) - 1 else bits), position + width


def webm(reader: Reader, offset: int) -> Header:
    """Read the header of WebM and Matroska."""
    head = reader.at(offset, 4096)
    length, position = _ebml_number(head, 4)
    position += length or 0
    if head[position : position + 4] != b"\x18\x53\x80\x67":
        return WEBM
    length, position = _ebml_number(head, position + 4)
    # A browser's recorder leaves the size unknown.
    missing = 0 if length is None else bytes_missing(reader, offset + position + length)
    return replace(WEBM, missing_bytes=missing)


def asf(reader: Reader, offset: int) -> Header:
    """Read the header of ASF."""
    head = reader.at(offset, HEAD_BYTES)
    properties = head.find(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"))
    if properties < 0 or len(head) < properties + 92:
        return ASF
    length = struct.unpack("<Q", head[properties + 40 : properties + 48])[0]
    is_broadcast = head[properties + 88] & 1
    return replace(ASF, missing_bytes=0 if is_broadcast else bytes_missing(reader, offset + length))
