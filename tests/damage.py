"""Damage recordings, as disks, networks and attackers do: by bytes, and by what the bytes mean.

A recording is taken apart into its chunks (of RIFF, Wave64, AIFF, CAF, MP4, EBML, ASF, FLV),
pages (Ogg), blocks (FLAC, WavPack), packets (MPEG-TS) or frames (MP3, ADTS). What is a chunk can be
lost, doubled, moved and put into another, and what is a number in it can lie.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from ullim.audio.mpeg import mp3_frame

Order = Literal["little", "big"]
Chance = np.random.Generator

_MAX_PARTS = 400
_HEAD = 48  # of a chunk: where its numbers are
_FLAT_HEAD = 160  # of a file that has no chunks


@dataclass(frozen=True, slots=True)
class Field:
    """A number: where, of how many bytes, and in which order; a vint keeps its leading bits."""

    at: int
    width: int
    order: Order = "big"
    vint: bool = False

    def value(self, data: bytes) -> int:
        raw = int.from_bytes(data[self.at : self.at + self.width], self.order)
        return raw & self.most if self.vint else raw

    @property
    def most(self) -> int:
        return (1 << (7 if self.vint else 8) * self.width) - 1

    def told(self, data: bytes, value: int) -> bytes:
        """Return the data with another value in the field."""
        raw = value & self.most
        if self.vint:
            raw |= self.most + 1
        new = raw.to_bytes(self.width, self.order)
        return data[: self.at] + new + data[self.at + self.width :]

    def lies(self, data: bytes) -> list[int]:
        """Return what it could say: nothing, one, the most, the least, and almost the truth."""
        truth, most = self.value(data), self.most
        half = (most + 1) // 2
        told = (0, 1, 2, most, most - 1, half, half - 1, truth + 1, truth - 1, truth * 2)
        return sorted({value & most for value in (*told, truth // 2)} - {truth})


@dataclass(frozen=True, slots=True)
class Part:
    """A chunk: from its id to its end, where its content begins, and where it tells its length."""

    start: int
    body: int
    end: int
    size: Field | None = None


def parts_of(data: bytes) -> list[Part]:
    """Take a recording apart; a chunk comes before those within it."""
    for matches, walk in _WALKS:
        if matches(data):
            found = []
            for part in walk(data):
                found.append(part)
                if len(found) == _MAX_PARTS:
                    break
            return found
    return []


def fields_of(data: bytes, parts: Sequence[Part]) -> Iterator[Field]:
    """Yield every number of every chunk's head, in every width that it could have."""
    order: Order = "little" if data[:4] in _LITTLE else "big"
    heads = [(part.body, min(part.end, part.body + _HEAD)) for part in parts] or [(0, _FLAT_HEAD)]
    for start, end in heads:
        end = min(end, len(data))
        if end - start <= 8:  # an element of EBML is one number
            yield Field(start, max(1, end - start), order)
        for width in (1, 2, 4, 8):
            for at in range(start, end - width + 1, min(width, 2)):
                yield Field(at, width, order)


_LITTLE = (b"RIFF", b"RF64", b"BW64", b"riff", b"OggS", b"wvpk", b"TTA1", b"MAC ", b"\x30\x26\xb2u")


def size_lies(data: bytes) -> Iterator[bytes]:
    """Yield the recording with each length of each chunk wrong in each way."""
    for part in parts_of(data):
        if part.size is not None:
            for lie in part.size.lies(data):
                yield sealed(part.size.told(data, lie))


def number_lies(data: bytes) -> Iterator[tuple[Field, int]]:
    """Yield each number in each chunk's head with each value it could be given."""
    for field in fields_of(data, parts_of(data)):
        for lie in field.lies(data):
            yield field, lie


# --- how containers are built --------------------------------------------------------------------


def _iff(data: bytes, at: int, end: int, order: Order, nested: dict[bytes, int]) -> Iterator[Part]:
    while at + 8 <= end:
        size = Field(at + 4, 4, order)
        stop = min(end, at + 8 + size.value(data))
        yield Part(at, at + 8, stop, size)
        if (inner := nested.get(data[at : at + 4])) is not None:
            yield from _iff(data, at + 8 + inner, stop, order, nested)
        at = stop + (stop - at) % 2


def _riff(data: bytes) -> Iterator[Part]:
    order: Order = "big" if data[:4] in (b"RIFX", b"FORM") else "little"
    outer = {data[:4]: 4, b"LIST": 4}
    end = len(data)
    if data[:4] in (b"RF64", b"BW64"):  # whose own length stands elsewhere
        yield Part(0, 8, end, Field(4, 4, order))
        yield from _iff(data, 12, end, order, outer)
    else:
        yield from _iff(data, 0, end, order, outer)


def _w64(data: bytes) -> Iterator[Part]:
    yield Part(0, 24, len(data), Field(16, 8, "little"))
    at = 40
    while at + 24 <= len(data):
        size = Field(at + 16, 8, "little")
        end = min(len(data), at + max(24, size.value(data)))
        yield Part(at, at + 24, end, size)
        at = (end + 7) // 8 * 8


def _caf(data: bytes) -> Iterator[Part]:
    at = 8
    while at + 12 <= len(data):
        size = Field(at + 4, 8)
        end = min(len(data), at + 12 + size.value(data))
        yield Part(at, at + 12, end, size)
        at = end


_BOXES = {
    b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0, b"udta": 0, b"meta": 4, b"ilst": 0,
    b"edts": 0, b"dinf": 0, b"moof": 0, b"traf": 0, b"mvex": 0, b"stsd": 8, b"mp4a": 28,
    b"samr": 28, b"alac": 28, b"wave": 0,
}  # fmt: skip


def _boxes(data: bytes, at: int = 0, end: int | None = None) -> Iterator[Part]:
    end = len(data) if end is None else end
    while at + 8 <= end:
        size = Field(at, 4)
        length = size.value(data)
        head = 8
        if length == 1:
            size, head = Field(at + 8, 8), 16
            length = size.value(data)
        stop = min(end, at + length) if length >= head else end
        yield Part(at, at + head, stop, size)
        if (inner := _BOXES.get(data[at + 4 : at + 8])) is not None:
            yield from _boxes(data, at + head + inner, stop)
        at = stop


_MASTERS = (
    b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"\x11\x4d\x9b\x74", b"\x4d\xbb",
    b"\x15\x49\xa9\x66", b"\x16\x54\xae\x6b", b"\xae", b"\xe1", b"\x1f\x43\xb6\x75", b"\xa0",
    b"\x1c\x53\xbb\x6b", b"\xbb", b"\xb7", b"\x12\x54\xc3\x67", b"\x73\x73", b"\x67\xc8",
    b"\x63\xc0",
)  # fmt: skip


def _ebml(data: bytes, at: int = 0, end: int | None = None) -> Iterator[Part]:
    end = len(data) if end is None else end
    while at + 2 <= end and data[at]:
        name_end = at + 9 - data[at].bit_length()
        if name_end >= end or not data[name_end]:
            return
        size = Field(name_end, 9 - data[name_end].bit_length(), vint=True)
        body = name_end + size.width
        length = size.value(data)
        stop = end if length == size.most else min(end, body + length)
        yield Part(at, body, stop, size)
        if data[at:name_end] in _MASTERS:
            yield from _ebml(data, body, stop)
        at = max(stop, body)


def _ogg(data: bytes) -> Iterator[Part]:
    at = 0
    while data[at : at + 4] == b"OggS" and at + 27 <= len(data):
        body = at + 27 + data[at + 26]
        end = min(len(data), body + sum(data[at + 27 : body]))
        yield Part(at, min(body, end), end, Field(at + 26, 1))
        yield Part(at, at + 4, end)  # its own numbers: granule, serial, sequence
        at = end


def _flac(data: bytes) -> Iterator[Part]:
    at, is_last = 4, False
    while not is_last and at + 4 <= len(data):
        is_last = bool(data[at] & 0x80)
        size = Field(at + 1, 3)
        end = min(len(data), at + 4 + size.value(data))
        yield Part(at, at + 4, end, size)
        at = end
    starts = [at]
    while (at := data.find(b"\xff\xf8", starts[-1] + 8)) > 0:
        starts.append(at)
    for start, end in pairwise([*starts, len(data)]):
        yield Part(start, start, end)


def _asf(data: bytes) -> Iterator[Part]:
    at, end = 0, len(data)
    while at + 24 <= end:
        size = Field(at + 16, 8, "little")
        is_header = data[at : at + 4] == b"\x30\x26\xb2\x75"
        stop = min(end, at + max(24, size.value(data)))
        yield Part(at, at + 24, stop, size)
        at = at + 30 if is_header else stop


def _flv(data: bytes) -> Iterator[Part]:
    at = 13
    while at + 15 <= len(data):
        size = Field(at + 1, 3)
        end = min(len(data), at + 15 + size.value(data))
        yield Part(at, at + 11, end, size)
        at = end


def _wavpack(data: bytes) -> Iterator[Part]:
    at = 0
    while data[at : at + 4] == b"wvpk" and at + 8 <= len(data):
        size = Field(at + 4, 4, "little")
        end = min(len(data), at + 8 + size.value(data))
        yield Part(at, at + 8, end, size)
        at = end


def _transport(data: bytes) -> Iterator[Part]:
    for at in range(0, len(data), 188):
        yield Part(at, at, min(len(data), at + 188))


def _adts(data: bytes) -> Iterator[Part]:
    at = 0
    while at + 7 <= len(data) and data[at] == 0xFF:
        length = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
        yield Part(at, at, min(len(data), at + max(7, length)), Field(at + 3, 3))
        at += max(7, length)


def _mpeg(data: bytes) -> Iterator[Part]:
    at = data.find(b"\xff") if data[:3] == b"ID3" else 0
    if at:
        yield Part(0, 10, at, Field(6, 4))
    while at < len(data) and (frame := mp3_frame(data, at)) is not None:
        yield Part(at, at, min(len(data), at + max(4, frame.length)))
        at += max(4, frame.length)


def _starts(*magics: bytes, at: int = 0) -> Callable[[bytes], bool]:
    return lambda data: data[at : at + 12].startswith(magics)


_WALKS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes], Iterator[Part]]], ...] = (
    (_starts(b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM"), _riff),
    (_starts(b"riff\x2e"), _w64),
    (_starts(b"caff"), _caf),
    (_starts(b"ftyp", b"moov", b"mdat", at=4), _boxes),
    (_starts(b"\x1a\x45\xdf\xa3"), _ebml),
    (_starts(b"OggS"), _ogg),
    (_starts(b"fLaC"), _flac),
    (_starts(b"\x30\x26\xb2\x75"), _asf),
    (_starts(b"FLV"), _flv),
    (_starts(b"wvpk"), _wavpack),
    (_starts(b"G"), _transport),
    (_starts(b"\xff\xf1", b"\xff\xf9"), _adts),
    (_starts(b"ID3", b"\xff"), _mpeg),
)


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc & 0x8000_0000 else 0)) & 0xFFFF_FFFF
        table.append(crc)
    return table


_CRC = _crc_table()


def sealed(data: bytes) -> bytes:
    """Give the pages of Ogg the checksums of what they now hold, so that they are read at all."""
    if data[:4] != b"OggS":
        return data
    whole, at = bytearray(data), 0
    while (at := whole.find(b"OggS", at)) >= 0 and at + 27 <= len(whole):
        body = at + 27 + whole[at + 26]
        end = min(len(whole), body + sum(whole[at + 27 : body]))
        whole[at + 22 : at + 26] = bytes(4)
        crc = 0
        for byte in whole[at:end]:
            crc = (crc << 8 ^ _CRC[crc >> 24 ^ byte]) & 0xFFFF_FFFF
        whole[at + 22 : at + 26] = crc.to_bytes(4, "little")
        at = max(end, at + 27)
    return bytes(whole)


# --- damage --------------------------------------------------------------------------------------

Damage = Callable[[bytes, Chance, Sequence[bytes]], bytes]


def _place(data: bytes, chance: Chance) -> int:
    """Return a position: as often near the beginning, where the numbers are, as anywhere."""
    end = max(1, len(data))
    return int(chance.integers(min(end, 256) if chance.random() < 0.5 else end))


def _run(chance: Chance) -> int:
    return int(2 ** chance.uniform(0, 11))


def flip_bits(data: bytes, chance: Chance, _: Sequence[bytes]) -> bytes:
    found = bytearray(data)
    for _ in range(int(chance.integers(1, 9))):
        found[_place(data, chance)] ^= 1 << int(chance.integers(8))
    return bytes(found)


def set_bytes(data: bytes, chance: Chance, _: Sequence[bytes]) -> bytes:
    found = bytearray(data)
    for _ in range(int(chance.integers(1, 9))):
        found[_place(data, chance)] = int(chance.integers(256))
    return bytes(found)


def overwrite(data: bytes, chance: Chance, _: Sequence[bytes]) -> bytes:
    at, count = _place(data, chance), _run(chance)
    new = (bytes(count), b"\xff" * count, chance.bytes(count))[int(chance.integers(3))]
    return data[:at] + new[: len(data) - at] + data[at + count :]


def insert(data: bytes, chance: Chance, _: Sequence[bytes]) -> bytes:
    at, count = _place(data, chance), _run(chance)
    return data[:at] + (bytes(count) if chance.random() < 0.3 else chance.bytes(count)) + data[at:]


def lose(data: bytes, chance: Chance, _: Sequence[bytes]) -> bytes:
    at = _place(data, chance)
    return data[:at] + data[at + _run(chance) :]


def repeat(data: bytes, chance: Chance, _: Sequence[bytes]) -> bytes:
    at = _place(data, chance)
    return data[:at] + data[at : at + _run(chance)] * int(chance.integers(2, 9)) + data[at:]


def cut(data: bytes, chance: Chance, _: Sequence[bytes]) -> bytes:
    return data[: _place(data, chance)]


def behead(data: bytes, chance: Chance, _: Sequence[bytes]) -> bytes:
    return data[_place(data, chance) :]


def splice(data: bytes, chance: Chance, pool: Sequence[bytes]) -> bytes:
    other = pool[int(chance.integers(len(pool)))]
    return data[: _place(data, chance)] + other[_place(other, chance) :]


def append(data: bytes, chance: Chance, pool: Sequence[bytes]) -> bytes:
    return data + pool[int(chance.integers(len(pool)))]


def lie(data: bytes, chance: Chance, _: Sequence[bytes]) -> bytes:
    """Change numbers of the heads of chunks."""
    parts = parts_of(data)
    for _ in range(int(chance.integers(1, 4))):
        some = [parts[int(chance.integers(len(parts)))]] if parts else []
        if fields := list(fields_of(data, some)):
            field = fields[int(chance.integers(len(fields)))]
            data = field.told(data, _one(field.lies(data), chance))
    return data


def lie_of_size(data: bytes, chance: Chance, _: Sequence[bytes]) -> bytes:
    """Change what chunks say their lengths are."""
    sizes = [part.size for part in parts_of(data) if part.size is not None]
    for _ in range(int(chance.integers(1, 4)) if sizes else 0):
        field = sizes[int(chance.integers(len(sizes)))]
        data = field.told(data, _one(field.lies(data), chance))
    return data


def _one(values: Sequence[int], chance: Chance) -> int:
    return values[int(chance.integers(len(values)))]


def _two(data: bytes, chance: Chance) -> tuple[Part, Part] | None:
    parts = parts_of(data)
    if len(parts) < 2:
        return None
    first, second = (parts[int(place)] for place in chance.integers(0, len(parts), 2))
    return first, second


def lose_part(data: bytes, chance: Chance, _: Sequence[bytes]) -> bytes:
    found = _two(data, chance)
    return data if found is None else data[: found[0].start] + data[found[0].end :]


def move_part(data: bytes, chance: Chance, _: Sequence[bytes]) -> bytes:
    """Put a chunk before another, often without taking it away where it was."""
    if (found := _two(data, chance)) is None:
        return data
    part, to = found
    moved = data[part.start : part.end]
    if chance.random() < 0.5:
        return data[: to.start] + moved + data[to.start :]
    rest = data[: part.start] + data[part.end :]
    at = to.start if to.start <= part.start else max(part.start, to.start - len(moved))
    return rest[:at] + moved + rest[at:]


def nest_part(data: bytes, chance: Chance, _: Sequence[bytes]) -> bytes:
    """Put a chunk into another, or many times into itself; half the time lengths grow with it."""
    if (found := _two(data, chance)) is None:
        return data
    part, into = found
    moved = data[part.start : part.end]
    if chance.random() < 0.3:
        head = data[part.start : part.body]
        moved = head * int(2 ** chance.uniform(1, 12)) + moved
    grown = data
    if into.size is not None and chance.random() < 0.5:
        grown = into.size.told(data, into.size.value(data) + len(moved))
    return grown[: into.body] + moved + grown[into.body :]


def borrow_part(data: bytes, chance: Chance, pool: Sequence[bytes]) -> bytes:
    """Put a chunk of another recording in the place of one."""
    other = pool[int(chance.integers(len(pool)))]
    theirs, ours = parts_of(other), parts_of(data)
    if not (theirs and ours):
        return data
    part = theirs[int(chance.integers(len(theirs)))]
    place = ours[int(chance.integers(len(ours)))]
    return data[: place.start] + other[part.start : part.end] + data[place.end :]


def swap_text(data: bytes, chance: Chance, _: Sequence[bytes]) -> bytes:
    """Change a decimal number, as SPHERE has them."""
    digits = [at for at, byte in enumerate(data[:1024]) if 48 <= byte <= 57]
    if not digits:
        return data
    at = digits[int(chance.integers(len(digits)))]
    new = (b"0", b"-1", b"1", b"99999999999999999999", b"2147483648", b"x")[chance.integers(6)]
    return data[:at] + new + data[at + (len(new) if chance.random() < 0.5 else 1) :]


def tag(data: bytes, chance: Chance, _: Sequence[bytes]) -> bytes:
    """Put ID3 tags before it, whose length may lie."""
    count = int(chance.integers(0, 300))
    told = count if chance.random() < 0.6 else int(chance.integers(1 << 28))
    size = bytes(told >> shift & 0x7F for shift in (21, 14, 7, 0))
    one = b"ID3\x04\0" + bytes([int(chance.integers(2)) * 0x10]) + size + bytes(count)
    return one * int(chance.integers(1, 11)) + data


def float_values(data: bytes, chance: Chance, _: Sequence[bytes]) -> bytes:
    """Write numbers that are none, or beyond every bound, into the sound."""
    bits = (0x7FC00000, 0x7F800000, 0xFF800000, 0x7F7FFFFF, 0x00000001, 0x7FF00000)
    new = struct.pack("<>"[int(chance.integers(2))] + "I", _one(bits, chance))
    at = _place(data, chance)
    return data[:at] + new * int(chance.integers(1, 4)) + data[at + 4 :]


DAMAGES: tuple[Damage, ...] = (
    flip_bits, set_bytes, overwrite, insert, lose, repeat, cut, behead, splice, append, lie, lie,
    lie, lie_of_size, lie_of_size, lose_part, move_part, nest_part, borrow_part, swap_text, tag,
    float_values,
)  # fmt: skip


def damaged(
    data: bytes, chance: Chance, pool: Sequence[bytes], *, max_bytes: int = 1 << 18
) -> bytes:
    """Return the recording with one to four damages.

    Args:
        data: The recording, or one that was damaged before.
        chance: Which, and where.
        pool: Recordings to take parts of.
        max_bytes: Where the result is cut.
    """
    for _ in range(1 + int(chance.integers(4)) * int(chance.integers(2))):
        if not data:
            break
        data = DAMAGES[int(chance.integers(len(DAMAGES)))](data, chance, pool)[:max_bytes]
    return sealed(data) if chance.random() < 0.8 else data
