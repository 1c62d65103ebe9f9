"""Frames of MPEG audio and of AAC, which no container holds together."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from ullim.audio.header import AAC, MP3, Header, Reader, bytes_missing


def adts(head: bytes, offset: int) -> Header | None:
    """Read the first frames of AAC; None where they are none."""
    position, frames = 0, 0
    while frames < 3 and position + 7 <= len(head):
        if head[position] != 0xFF or head[position + 1] & 0xF6 != 0xF0:
            return None
        length = (head[position + 3] & 3) << 11 | head[position + 4] << 3 | head[position + 5] >> 5
        if length < 8:
            return None
        position, frames = position + length, frames + 1
    return replace(AAC, offset=offset) if frames >= 2 else None


_MP3_KBPS = {
    # (is MPEG-1, layer): bit rates by index 1..14
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


@dataclass(frozen=True, slots=True)
class Mp3Frame:
    """What the four bytes before a frame say."""

    length: int
    samples: int
    rate: int
    channels: int
    is_mpeg1: bool
    layer: int

    def is_alike(self, other: Mp3Frame) -> bool:
        """Return whether two frames may be of one stream."""
        return (self.rate, self.is_mpeg1, self.layer) == (other.rate, other.is_mpeg1, other.layer)


def mp3_frame(data: bytes, position: int) -> Mp3Frame | None:
    """Read the head of a frame; None where there is none."""
    field = data[position : position + 4]
    if len(field) < 4 or field[0] != 0xFF or field[1] & 0xE0 != 0xE0:
        return None
    version, layer = field[1] >> 3 & 3, 4 - (field[1] >> 1 & 3)
    bitrate, rate, padding = field[2] >> 4, field[2] >> 2 & 3, field[2] >> 1 & 1
    if version == 1 or layer == 4 or bitrate in (0, 15) or rate == 3 or field[3] & 3 == 2:
        return None
    is_mpeg1 = version == 3
    bits_per_s = _MP3_KBPS[is_mpeg1, layer][bitrate - 1] * 1000
    hz = (44_100, 48_000, 32_000)[rate] >> {3: 0, 2: 1, 0: 2}[version]
    samples = 384 if layer == 1 else 576 if layer == 3 and not is_mpeg1 else 1152
    if layer == 1:
        length = (12 * bits_per_s // hz + padding) * 4
    else:
        length = samples // 8 * bits_per_s // hz + padding
    return Mp3Frame(length, samples, hz, 1 if field[3] >> 6 == 3 else 2, is_mpeg1, layer)


def mp3(reader: Reader, head: bytes, offset: int) -> Header | None:
    """Find the first frames of MPEG audio; None where there are none."""
    start = head.find(b"\xff")
    while start >= 0:
        first = mp3_frame(head, start)
        if first is not None:
            position, frames = start, 0
            while frames < 4 and (frame := mp3_frame(head, position)) and first.is_alike(frame):
                position, frames = position + frame.length, frames + 1
            # Within junk more proof is asked for than at the very start.
            if frames == 4 or (frames >= 2 - (start == 0) and offset + position + 4 > _end(reader)):
                return _mp3_header(reader, head[start:], offset + start, first)
        start = head.find(b"\xff", start + 1)
    return None


def _end(reader: Reader) -> int:
    # An ID3v1 tag, 128 bytes, may follow the last frame.
    has_tag = reader.at(reader.size_bytes - 128, 3) == b"TAG"
    return reader.size_bytes - (128 if has_tag else 0)


def _mp3_header(reader: Reader, data: bytes, offset: int, first: Mp3Frame) -> Header:
    header = replace(MP3, offset=offset, channels=first.channels, sampling_rate=first.rate)
    side_bytes = {(True, 2): 32, (True, 1): 17, (False, 2): 17, (False, 1): 9}
    tag = data[4 + side_bytes[first.is_mpeg1, first.channels] :][:16]
    frames = length = None
    if tag[:4] in (b"Xing", b"Info") and len(tag) == 16:
        flags, *fields = struct.unpack(">3I", tag[4:])
        frames = fields.pop(0) if flags & 1 else None
        length = fields.pop(0) if flags & 2 else None
    elif data[36:40] == b"VBRI" and len(data) >= 54:
        length, frames = struct.unpack(">2I", data[46:54])
    missing = bytes_missing(reader, offset + length) if length else 0
    return replace(header, frames=frames and frames * first.samples, missing_bytes=missing)
