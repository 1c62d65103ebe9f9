"""Broken and hostile uploads: every one is answered in the 400s, and the service stays as it was.

The recordings are made by seed from good ones in twelve formats; what is no recording at all, and
forms that are no forms, stand in lists. ``tests/test_serving_process.py`` has what needs a real
connection: lying lengths, endless streams.
"""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from service import RATE, TestClient, problem_of, rss_bytes, sent, sound, white
from ullim.serving.app import create_app
from ullim.serving.settings import MIB, Settings

HOME = "http://127.0.0.1"
SEEDS = [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 6))]
REFUSED = {413, 415, 422}


def muxed(container: str, codec: str, rate: int) -> bytes:
    """Encode with FFmpeg."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as opened:
        stream = opened.add_stream(codec, rate=rate, layout="mono")
        signal = sound_samples(rate)
        frame = av.AudioFrame.from_ndarray(signal[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        stream.codec_context.open()
        resampler = av.AudioResampler(
            format=stream.codec_context.format,
            layout="mono",
            rate=rate,
            frame_size=stream.codec_context.frame_size or None,
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            opened.mux(stream.encode(piece))
        opened.mux(stream.encode(None))
    return file.getvalue()


def sound_samples(rate: int) -> np.ndarray:
    t = np.arange(rate) / rate
    return (0.2 * np.sin(2 * np.pi * 200 * t) * np.sin(2 * np.pi * 3 * t)).astype(np.float32)


GOOD: dict[str, Callable[[], bytes]] = {
    "wav": sound,
    "wav24": lambda: sound(subtype="PCM_24"),
    "wavfloat": lambda: sound(subtype="FLOAT"),
    "flac": lambda: sound(format="FLAC"),
    "vorbis": lambda: sound(format="OGG", subtype="VORBIS"),
    "opus": lambda: sound(format="OGG", subtype="OPUS", rate=48_000),
    "mp3": lambda: sound(format="MP3"),
    "aiff": lambda: sound(format="AIFF"),
    "au": lambda: sound(format="AU"),
    "w64": lambda: sound(format="W64"),
    "webm": lambda: muxed("webm", "libopus", 48_000),
    "m4a": lambda: muxed("mp4", "aac", 48_000),
}


@cache
def good(name: str) -> bytes:
    return GOOD[name]()


Mutation = Callable[[bytearray, np.random.Generator], bytes]


def cut(data: bytearray, chance: np.random.Generator) -> bytes:
    return bytes(data[: int(chance.integers(1, len(data)))])


def cut_in_header(data: bytearray, chance: np.random.Generator) -> bytes:
    return bytes(data[: int(chance.integers(1, 64))])


def flip_header(data: bytearray, chance: np.random.Generator) -> bytes:
    for place in chance.integers(4, 128, 8):
        data[place % len(data)] = int(chance.integers(256))
    return bytes(data)


def flip_anywhere(data: bytearray, chance: np.random.Generator) -> bytes:
    for place in chance.integers(0, len(data), 64):
        data[place] = int(chance.integers(256))
    return bytes(data)


def huge_numbers(data: bytearray, chance: np.random.Generator) -> bytes:
    place = int(chance.integers(4, 96)) // 4 * 4
    data[place : place + 4] = b"\xff\xff\xff\x7f" if chance.integers(2) else b"\x7f\xff\xff\xff"
    return bytes(data)


def zeros(data: bytearray, chance: np.random.Generator) -> bytes:
    start = int(chance.integers(0, len(data)))
    data[start : start + len(data) // 4] = bytes(len(data) // 4)
    return bytes(data)


def spliced(data: bytearray, chance: np.random.Generator) -> bytes:
    other = good(list(GOOD)[int(chance.integers(len(GOOD)))])
    return bytes(data[: int(chance.integers(4, len(data)))]) + other


def noise_after_header(data: bytearray, chance: np.random.Generator) -> bytes:
    return bytes(data[:48]) + chance.bytes(len(data))


def junk_before(data: bytearray, chance: np.random.Generator) -> bytes:
    return chance.bytes(int(chance.integers(1, 2000))) + bytes(data)


def repeated(data: bytearray, chance: np.random.Generator) -> bytes:
    return bytes(data) * int(chance.integers(2, 6))


MUTATIONS: list[Mutation] = [
    cut, cut_in_header, flip_header, flip_anywhere, huge_numbers, zeros, spliced,
    noise_after_header, junk_before, repeated,
]  # fmt: skip

MUTATED = [(name, change, seed) for name in GOOD for change in MUTATIONS for seed in (0, 1)]


def mutated(name: str, change: Mutation, seed: int) -> bytes:
    chance = np.random.default_rng([seed, list(GOOD).index(name), MUTATIONS.index(change)])
    return change(bytearray(good(name)), chance)


def wav_header(
    channels: int = 1,
    rate: int = RATE,
    bits: int = 16,
    data_bytes: int = 32_000,
    riff_bytes: int = 32_036,
    kind: int = 1,
) -> bytes:
    block = channels * bits // 8
    return (
        b"RIFF" + struct.pack("<I", riff_bytes & 0xFFFFFFFF) + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, kind, channels & 0xFFFF, rate & 0xFFFFFFFF,
                      rate * block & 0xFFFFFFFF, block & 0xFFFF, bits)
        + b"data" + struct.pack("<I", data_bytes & 0xFFFFFFFF)
    )  # fmt: skip


def zipped(content: bytes, name: str = "clip.wav") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def tarred(name: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = 4
        archive.addfile(info, io.BytesIO(b"RIFF"))
    return file.getvalue()


class Harmful:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return Path.touch, (Path("/tmp/ullim-was-here"),)


def pcm(values: object, subtype: str = "FLOAT") -> bytes:
    return sound(samples=np.asarray(values), subtype=subtype)


PCM = np.random.default_rng(3).integers(-9000, 9000, 16_000).astype("<i2").tobytes()

FOREIGN: dict[str, bytes] = {
    "no bytes": b"",
    "one byte": b"R",
    "text": "안녕하세요, 기분이 어때요?\n".encode() * 50,
    "zeros": bytes(100_000),
    "noise": np.random.default_rng(1).bytes(100_000),
    "zip": zipped(b"RIFF" * 100),
    "zip of a recording": zipped(sound()),
    "zip bomb": zipped(bytes(8 * MIB)),
    "zip with a path": zipped(b"x", "../../../etc/passwd"),
    "gzip of a recording": gzip.compress(sound()),
    "gzip bomb": gzip.compress(bytes(8 * MIB)),
    "zlib bomb": zlib.compress(bytes(8 * MIB)),
    "tar": tarred("../../etc/passwd"),
    "pickle": pickle.dumps(Harmful()),
    "pickle protocol 0": pickle.dumps(Harmful(), protocol=0),
    "numpy": b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
    "png": b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 65_535, 65_535, 8, 6,
                                               0, 0, 0),
    "pdf": b"%PDF-1.7\n1 0 obj\n<< /OpenAction << /S /JavaScript >> >>\n",
    "elf": b"\x7fELF\x02\x01\x01" + bytes(200),
    "html": b"<!doctype html><script>alert(1)</script>",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
    "xml bomb": b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>',
    "shell": b"#!/bin/sh\nrm -rf /\n",
    "playlist": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n",
    "concat": b"ffconcat version 1.0\nfile '/etc/passwd'\nduration 1\n",
    "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
    "url": b"[InternetShortcut]\nURL=http://127.0.0.1:9/\n",
    "dash": b'<?xml version="1.0"?><MPD><Period><BaseURL>file:///etc/passwd</BaseURL></Period></MPD>',
    "subtitles": b"WEBVTT\n\n00:00.000 --> 00:01.000\nhello\n",
    "midi": b"MThd\x00\x00\x00\x06\x00\x01\x00\x01\x00\x60MTrk\x00\x00\x00\x04\x00\xff\x2f\x00",
    "riff of nothing": b"RIFF\x00\x00\x00\x00WAVE",
    "riff of itself": b"RIFF\x04\x00\x00\x00RIFF" * 500,
    "only fLaC": b"fLaC",
    "only OggS": b"OggS" * 100,
    "only ID3": b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + bytes(100),
    "id3 chain": b"ID3\x04\x00\x00\x00\x00\x00\x00" * 5000,
    "ebml size of all ones": b"\x1a\x45\xdf\xa3\x01\xff\xff\xff\xff\xff\xff\xff" + bytes(50),
    "mp4 box of size 0": b"\x00\x00\x00\x18ftypM4A \x00\x00\x00\x00M4A mp42" + bytes(8) + b"moov",
    "mp4 box of size 2^63": b"\x00\x00\x00\x18ftypM4A \x00\x00\x00\x00M4A mp42"
    + b"\x00\x00\x00\x01moov" + b"\x7f" + b"\xff" * 7,
    "mp4 boxes in boxes": b"\x00\x00\x00\x18ftypM4A \x00\x00\x00\x00M4A mp42"
    + b"".join(struct.pack(">I4s", 8 * (400 - n), b"moov") for n in range(400)),
    "no channels": wav_header(channels=0) + PCM,
    "channels 65535": wav_header(channels=65_535) + PCM,
    "channels 255": wav_header(channels=255) + PCM,
    "rate 0": wav_header(rate=0) + PCM,
    "rate 1": wav_header(rate=1) + PCM,
    "rate 2^32-1": wav_header(rate=2**32 - 1) + PCM,
    "bits 0": wav_header(bits=0) + PCM,
    "bits 65528": wav_header(bits=65_528 % 65_536) + PCM,
    "codec unknown": wav_header(kind=0x1234) + PCM,
    "codec adpcm without its header": wav_header(kind=2, bits=4) + PCM,
    "data claims 4 GiB": wav_header(data_bytes=2**32 - 16) + PCM[:3000],
    "data claims twice": wav_header(data_bytes=64_000) + PCM,
    "no samples": wav_header(data_bytes=0),
    "not a number": pcm(np.full(RATE, np.nan)),
    "infinite": pcm(np.where(np.arange(RATE) % 2, np.inf, -np.inf)),
    "one not a number": pcm(np.where(np.arange(RATE) == 9000, np.nan, 0.1 * white(1.0))),
    "beyond float32": pcm(np.full(RATE, 1e300) * np.sin(np.arange(RATE)), "DOUBLE"),
    "denormal": pcm(np.full(RATE, 1e-40)),
    "silent": pcm(np.zeros(RATE)),
    "constant": pcm(np.full(RATE, 0.7)),
    "too short": pcm(white(0.1)),
    "one sample": pcm([0.5]),
    "bomb of flac": sound(format="FLAC", samples=np.zeros(200 * RATE, np.int16)),
    "bomb of flac, eight channels": sound(
        format="FLAC", samples=np.zeros((120 * 8_000, 8), np.int16), rate=8_000
    ),
    "bomb of opus": sound(format="OGG", subtype="OPUS", rate=8_000,
                          samples=np.zeros(200 * 8_000, np.float32)),
}  # fmt: skip


@pytest.fixture(scope="module")
def client(toy_bundle: Path) -> Iterator[TestClient]:
    """A service with one worker, so that whatever one upload leaves behind meets the next."""
    settings = Settings(
        models=(str(toy_bundle),),
        workers=1,
        max_file_bytes=4 * MIB,
        max_request_bytes=6 * MIB,
        max_duration_s=60.0,
        max_field_bytes=4096,
        job_timeout_s=15.0,
    )
    with TestClient(create_app(settings), base_url=HOME) as opened:
        assert opened.post("/v1/predict", files=sent(sound())).status_code == 200
        (worker,) = pids(opened)
        yield opened
        # Not one of them ended the worker, and a good recording is answered as ever.
        assert pids(opened) == [worker]
        assert opened.post("/v1/predict", files=sent(sound())).status_code == 200
        assert not Path("/tmp/ullim-was-here").exists()


def pids(client: TestClient) -> list[int]:
    found: list[int] = client.app.state.service.pool.pids
    return found


def test_the_battery_is_as_large_as_it_says():
    assert len(MUTATED) + len(FOREIGN) + len(FORMS) >= 340


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("change", MUTATIONS, ids=lambda change: change.__name__)
@pytest.mark.parametrize("name", GOOD)
def test_a_damaged_recording_is_predicted_or_refused(client, name, change, seed):
    answer = client.post("/v1/predict", files=sent(mutated(name, change, seed)))
    if answer.status_code != 200:
        assert problem_of(answer)[0] in REFUSED


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_no_recording_is_refused(client, name):
    status, _ = problem_of(client.post("/v1/predict", files=sent(FOREIGN[name])))
    assert status in REFUSED


def part(headers: bytes, body: bytes = b"x") -> bytes:
    return b"--b\r\n" + headers + b"\r\n\r\n" + body + b"\r\n"


FILE = b'Content-Disposition: form-data; name="files"; filename="a.wav"'
FIELD = b'Content-Disposition: form-data; name="lang"'
END = b"--b--\r\n"
KIND = "multipart/form-data; boundary=b"

FORMS: dict[str, tuple[str, bytes]] = {
    "no body": (KIND, b""),
    "no boundary": ("multipart/form-data", part(FILE) + END),
    "empty boundary": ("multipart/form-data; boundary=", part(FILE) + END),
    "another boundary": ("multipart/form-data; boundary=c", part(FILE) + END),
    "boundary of 10,000": ("multipart/form-data; boundary=" + "b" * 10_000, part(FILE) + END),
    "boundary twice": ("multipart/form-data; boundary=b; boundary=c", part(FILE) + END),
    "no end": (KIND, part(FILE)),
    "only the end": (KIND, END),
    "only dashes": (KIND, b"-" * 100_000),
    "only new lines": (KIND, b"\r\n" * 50_000),
    "no headers": (KIND, part(b"") + END),
    "no disposition": (KIND, part(b"Content-Type: audio/wav") + END),
    "no name": (KIND, part(b'Content-Disposition: form-data; filename="a.wav"') + END),
    "empty name": (KIND, part(b'Content-Disposition: form-data; name=""; filename="a"') + END),
    "name not closed": (KIND, part(b'Content-Disposition: form-data; name="files') + END),
    "header without colon": (KIND, part(b"Content-Disposition") + END),
    "header with a zero": (KIND, part(FILE + b"\x00") + END),
    "header of 100 kB": (KIND, part(FILE + b"\r\nX: " + b"y" * 100_000) + END),
    "header name of 100 kB": (KIND, part(b"y" * 100_000 + b": x") + END),
    "1,000 headers": (KIND, part(FILE + b"\r\nX: yyyyyy" * 1000) + END),
    "1,000 empty files": (KIND, part(FILE, b"") * 1000 + END),
    "1,000 fields": (KIND, part(FIELD) * 1000 + END),
    "a field of 100 kB": (KIND, part(FIELD, b"x" * 100_000) + END),
    "field is no utf-8": (KIND, part(FILE) + part(FIELD, b"\xff\xfe\x00") + END),
    "charset nobody knows": (KIND + "; charset=nothing", part(FILE) + END),
    "charset utf-7": (KIND + "; charset=utf-7", part(FILE) + part(FIELD, b"+ADw-") + END),
    "charset that is no text": (KIND + "; charset=zlib", part(FILE) + END),
    "charset of idna": (KIND + "; charset=idna", part(FILE) + part(FIELD, b"xn--") + END),
    "a form in a form": (KIND, part(b"Content-Type: multipart/mixed; boundary=b", part(FILE))),
    "only text": (KIND, part(FIELD, b"en") + END),
    "filename* of another charset": (
        KIND, part(b"Content-Disposition: form-data; name=files; filename*=x''%ff%00..%2f") + END,
    ),
    "filename with a new line": (
        KIND, part(b'Content-Disposition: form-data; name="files"; filename="a\r\n b"') + END,
    ),
    "path of windows": (
        KIND, part(b'Content-Disposition: form-data; name="files"; filename="C:\\\\x"') + END,
    ),
    "json": ("application/json", b'{"files": []}'),
    "deep json": ("application/json", b"[" * 100_000),
    "urlencoded": ("application/x-www-form-urlencoded", b"files=x&" * 10_000),
    "a recording as the body": ("audio/wav", b"RIFF"),
    "multipart/mixed": ("multipart/mixed; boundary=b", part(FILE) + END),
    "no type": ("", part(FILE) + END),
    "strange type": ("multipart/form-data\x7f; boundary=b", part(FILE) + END),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_a_form_that_is_none_is_refused(client, name):
    kind, body = FORMS[name]
    answer = client.post("/v1/predict", content=body, headers={"Content-Type": kind})
    assert problem_of(answer)[0] in REFUSED


@pytest.mark.slow
def test_memory_does_not_grow_with_broken_uploads(client):
    uploads = [mutated(*one) for one in MUTATED] + list(FOREIGN.values())
    (worker,) = pids(client)

    def all_of_them() -> int:
        for upload in uploads:
            client.post("/v1/predict", files=sent(upload))
        return rss_bytes(worker)

    all_of_them()
    settled = all_of_them()
    assert all_of_them() < 1.05 * settled


def test_decoders_cannot_write_files(client, tmp_path):
    """What FFmpeg or libsndfile could be talked into creating would be cut at no bytes at all."""
    (worker,) = pids(client)
    limits = Path(f"/proc/{worker}/limits")
    if not limits.exists():
        pytest.skip("needs /proc")
    rows = {line[:25].strip(): line[26:].split()[0] for line in limits.read_text().splitlines()}
    assert rows["Max file size"] == "0"
    assert rows["Max core file size"] == "0"
    assert rows["Max address space"] != "unlimited"
    assert rows["Max cpu time"] != "unlimited"


@pytest.mark.slow
def test_a_recording_that_takes_too_much_memory_is_refused(toy_bundle):
    """The limit holds in the worker, whose replacement answers the next one."""
    settings = Settings(
        models=(str(toy_bundle),), workers=1, job_memory_bytes=64 * MIB, max_duration_s=2000.0
    )
    # A quarter of the rate it is predicted at: small to send, four times as long when read.
    slow = 0.1 * np.sin(np.arange(1500 * RATE // 4) / 10)
    file = io.BytesIO()
    soundfile.write(file, slow.astype(np.float32), RATE // 4, format="FLAC")
    with TestClient(create_app(settings), base_url=HOME) as client:
        options = {"include": "waveform"}
        answer = client.post("/v1/predict", files=sent(file.getvalue()), data=options)
        assert problem_of(answer) in [(413, "too_costly"), (422, "decoder_died")]
        assert client.post("/v1/predict", files=sent(sound())).status_code == 200


@pytest.mark.slow
def test_a_header_that_asks_for_all_memory_is_refused(toy_bundle):
    """FFmpeg says no by itself; who came so near to the limit is replaced all the same."""
    settings = Settings(models=(str(toy_bundle),), workers=1)
    data = good("m4a")
    count = data.rindex(b"stts") + 8
    data = data[:count] + b"\xff" * 4 + data[count + 4 :]
    with TestClient(create_app(settings), base_url=HOME) as client:
        for _ in range(2):
            assert problem_of(client.post("/v1/predict", files=sent(data))) == (413, "too_costly")
        assert client.post("/v1/predict", files=sent(sound())).status_code == 200
