"""Tell an audio container by its first bytes, and read what its header promises.

Content decides, never the file's name: names lie, and a demuxer chosen by probing could be talked
into following a playlist. The header is read here, before any decoder sees the file, for two
reasons: limits must hold before a decoder allocates what a header claims, and decoders return what
is left of a cut file without a word.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import BinaryIO, Literal

HEAD_BYTES = 1 << 16
# Writers' header arithmetic is off by a chunk header now and then; 64 bytes are inaudible.
SLACK_BYTES = 64
_MAX_CHUNKS = 100_000


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

# WAVE format tags libsndfile decodes; any other (MP3 in RIFF, AAC) is FFmpeg's.
_SNDFILE_WAV_TAGS = {0x0001, 0x0002, 0x0003, 0x0006, 0x0007, 0x0011, 0x0031}
# Programs that write to a pipe can not go back to fill in the size: they leave 0xFFFFFFFF
# (FFmpeg), 0x7FFFFFFF less something (SoX) or 0x80000000 (arecord).
_STREAMING_BYTES = 0x7FFF_0000


class _Reader:
    """Random access to a seekable file; reading past the end gives fewer bytes."""

    def __init__(self, file: BinaryIO, size_bytes: int) -> None:
        self.file = file
        self.size_bytes = size_bytes

    def at(self, position: int, count: int) -> bytes:
        if not 0 <= position < self.size_bytes:
            return b""
        self.file.seek(position)
        return self.file.read(count)


def sniff(file: BinaryIO, size_bytes: int) -> Header | None:
    """Return what the file's first bytes declare, or None where they are no audio container.

    Args:
        file: Seekable binary file; its position is changed.
        size_bytes: Its length.
    """
    reader = _Reader(file, size_bytes)
    offset = _after_id3(reader)
    head = reader.at(offset, HEAD_BYTES)
    for matches, parse in _PARSERS:
        if matches(head):
            return replace(parse(reader, offset), offset=offset)
    return _adts(head, offset) or _mp3(reader, head, offset)


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


def _after_id3(reader: _Reader) -> int:
    offset = 0
    # Some taggers put a second tag before the first.
    for _ in range(8):
        tag = reader.at(offset, 10)
        if len(tag) < 10 or tag[:3] != b"ID3" or max(tag[6:10]) > 0x7F:
            break
        length = tag[6] << 21 | tag[7] << 14 | tag[8] << 7 | tag[9]
        offset += 10 + length + (10 if tag[5] & 0x10 else 0)
    return offset


def _missing(reader: _Reader, end: int) -> int:
    return max(0, end - reader.size_bytes)


def _riff(reader: _Reader, offset: int) -> Header:
    magic = reader.at(offset, 12)
    order = ">" if magic[:4] == b"RIFX" else "<"
    riff_end = offset + 8 + struct.unpack(order + "I", magic[4:8])[0]
    header, position, data_bytes_64 = WAV, offset + 12, None
    for _ in range(_MAX_CHUNKS):
        chunk = reader.at(position, 8)
        if len(chunk) < 8:
            break
        name, length = chunk[:4], struct.unpack(order + "I", chunk[4:])[0]
        body = position + 8
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
            return replace(header, missing_bytes=_missing(reader, body + length))
        position = body + length + (length & 1)
    # Without a data chunk the file is either cut within its header, or was closed empty.
    missing = _missing(reader, max(riff_end, position))
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


def _w64(reader: _Reader, offset: int) -> Header:
    header, position = W64, offset + 40
    for _ in range(_MAX_CHUNKS):
        chunk = reader.at(position, 24)
        if len(chunk) < 24:
            break
        length = struct.unpack("<Q", chunk[16:])[0]
        if chunk[:4] == b"fmt ":
            header = _wave_format(header, reader.at(position + 24, 40), "<")
        elif chunk[:4] == b"data":
            return replace(header, missing_bytes=_missing(reader, position + length))
        position += max(24, (length + 7) // 8 * 8)
    return replace(header, missing_bytes=SLACK_BYTES + 1)


def _aiff(reader: _Reader, offset: int) -> Header:
    header, position = AIFF, offset + 12
    for _ in range(_MAX_CHUNKS):
        chunk = reader.at(position, 26)
        if len(chunk) < 8:
            break
        length = struct.unpack(">I", chunk[4:8])[0]
        if chunk[:4] == b"COMM" and len(chunk) >= 14:
            channels, frames = struct.unpack(">HI", chunk[8:14])
            header = replace(header, channels=channels, is_empty=frames == 0)
        elif chunk[:4] == b"SSND":
            if length < _STREAMING_BYTES:
                header = replace(header, missing_bytes=_missing(reader, position + 8 + length))
            return header
        position += 8 + length + (length & 1)
    missing = 0 if header.is_empty else SLACK_BYTES + 1
    return replace(header, missing_bytes=missing)


def _au(reader: _Reader, offset: int) -> Header:
    fields = reader.at(offset, 24)
    if len(fields) < 24:
        return replace(AU, missing_bytes=SLACK_BYTES + 1)
    start, length, _, rate, channels = struct.unpack(">5I", fields[4:])
    missing = 0 if length == 0xFFFF_FFFF else _missing(reader, offset + start + length)
    return replace(AU, channels=channels, sampling_rate=rate, missing_bytes=missing)


def _caf(reader: _Reader, offset: int) -> Header:
    header, position = CAF, offset + 8
    for _ in range(_MAX_CHUNKS):
        chunk = reader.at(position, 44)
        if len(chunk) < 12:
            break
        length = struct.unpack(">q", chunk[4:12])[0]
        if chunk[:4] == b"desc" and len(chunk) == 44:
            rate, channels = struct.unpack(">d16xI4x", chunk[12:])
            if rate == rate and 0 < rate < 1e9:
                header = replace(header, channels=channels, sampling_rate=int(rate))
        elif chunk[:4] == b"data":
            # -1: the recorder did not come back to fill it in.
            end = reader.size_bytes if length < 0 else position + 12 + length
            return replace(header, missing_bytes=_missing(reader, end))
        if length < 0:
            break
        position += 12 + length
    return replace(header, missing_bytes=SLACK_BYTES + 1)


def _flac(reader: _Reader, offset: int) -> Header:
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


def _nist(reader: _Reader, offset: int) -> Header:
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


def _ogg(reader: _Reader, offset: int) -> Header:
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


def _first_ogg_granule(reader: _Reader, offset: int) -> int:
    for _ in range(64):
        page = reader.at(offset, 27 + 255)
        if len(page) < 27 or page[:4] != b"OggS":
            break
        granule = int(struct.unpack("<q", page[6:14])[0])
        if granule > 0:
            return granule
        offset += 27 + page[26] + sum(page[27 : 27 + page[26]])
    return 0


def _mp4(reader: _Reader, offset: int) -> Header:
    position, seen = offset, set()
    for _ in range(_MAX_CHUNKS):
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


def _webm(reader: _Reader, offset: int) -> Header:
    head = reader.at(offset, 4096)
    length, position = _ebml_number(head, 4)
    position += length or 0
    if head[position : position + 4] != b"\x18\x53\x80\x67":
        return WEBM
    length, position = _ebml_number(head, position + 4)
    # A browser's recorder leaves the size unknown.
    missing = 0 if length is None else _missing(reader, offset + position + length)
    return replace(WEBM, missing_bytes=missing)


def _asf(reader: _Reader, offset: int) -> Header:
    head = reader.at(offset, HEAD_BYTES)
    properties = head.find(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"))
    if properties < 0 or len(head) < properties + 92:
        return ASF
    length = struct.unpack("<Q", head[properties + 40 : properties + 48])[0]
    is_broadcast = head[properties + 88] & 1
    return replace(ASF, missing_bytes=0 if is_broadcast else _missing(reader, offset + length))


def _adts(head: bytes, offset: int) -> Header | None:
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
class _Mp3Frame:
    length: int
    samples: int
    rate: int
    channels: int
    is_mpeg1: bool
    layer: int

    def is_alike(self, other: _Mp3Frame) -> bool:
        return (self.rate, self.is_mpeg1, self.layer) == (other.rate, other.is_mpeg1, other.layer)


def _mp3_frame(data: bytes, position: int) -> _Mp3Frame | None:
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
    return _Mp3Frame(length, samples, hz, 1 if field[3] >> 6 == 3 else 2, is_mpeg1, layer)


def _mp3(reader: _Reader, head: bytes, offset: int) -> Header | None:
    start = head.find(b"\xff")
    while start >= 0:
        first = _mp3_frame(head, start)
        if first is not None:
            position, frames = start, 0
            while frames < 4 and (frame := _mp3_frame(head, position)) and first.is_alike(frame):
                position, frames = position + frame.length, frames + 1
            # Within junk more proof is asked for than at the very start.
            if frames == 4 or (frames >= 2 - (start == 0) and offset + position + 4 > _end(reader)):
                return _mp3_header(reader, head[start:], offset + start, first)
        start = head.find(b"\xff", start + 1)
    return None


def _end(reader: _Reader) -> int:
    # An ID3v1 tag, 128 bytes, may follow the last frame.
    has_tag = reader.at(reader.size_bytes - 128, 3) == b"TAG"
    return reader.size_bytes - (128 if has_tag else 0)


def _mp3_header(reader: _Reader, data: bytes, offset: int, first: _Mp3Frame) -> Header:
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
    missing = _missing(reader, offset + length) if length else 0
    return replace(header, frames=frames and frames * first.samples, missing_bytes=missing)


def _starts(magic: bytes, inner: bytes = b"", at: int = 8) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magic) and head[at : at + len(inner)] == inner


def _plain(kind: Header) -> Callable[[_Reader, int], Header]:
    return lambda _reader, _offset: kind


_PARSERS: tuple[tuple[Callable[[bytes], bool], Callable[[_Reader, int], Header]], ...] = (
    *((_starts(magic, b"WAVE"), _riff) for magic in (b"RIFF", b"RIFX", b"RF64", b"BW64")),
    (_starts(b"RIFF", b"AVI "), _plain(AVI)),
    (_starts(b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb", b"wave", at=24), _w64),
    (_starts(b"FORM", b"AIFF"), _aiff),
    (_starts(b"FORM", b"AIFC"), _aiff),
    (_starts(b".snd"), _au),
    (_starts(b"caff\0\x01"), _caf),
    (_starts(b"fLaC"), _flac),
    (_starts(b"OggS\0"), _ogg),
    (_starts(b"NIST_1A\n"), _nist),
    (_starts(b"", b"ftyp", at=4), _mp4),
    (_starts(b"", b"moov", at=4), _mp4),
    (_starts(b"", b"mdat", at=4), _mp4),
    (_starts(b"\x1a\x45\xdf\xa3"), _webm),
    (_starts(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9"), _asf),
    (_starts(b"#!AMR\n"), _plain(AMR)),
    (_starts(b"#!AMR-WB\n"), _plain(AMR)),
    (_starts(b"FLV\x01"), _plain(FLV)),
    (_starts(b"wvpk"), _plain(WAVPACK)),
    (_starts(b"TTA1"), _plain(TTA)),
    (_starts(b"MAC "), _plain(APE)),
    (lambda head: len(head) > 376 and head[0:377:188] == b"GGG", _plain(MPEG_TS)),
)


def size_of(file: BinaryIO) -> int:
    """Return the length of a seekable file in bytes; leaves it at its start."""
    file.seek(0, os.SEEK_END)
    size_bytes = file.tell()
    file.seek(0)
    return size_bytes
