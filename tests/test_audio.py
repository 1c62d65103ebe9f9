"""Every format in, every kind of broken file refused by its own code."""

from __future__ import annotations

import contextlib
import io
import struct
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import recordings
from recordings import MEDIA_FORMATS, SOUNDFILE_FORMATS
from ullim import audio
from ullim.audio import AUDIO_SUFFIXES, Limits, check_samples, media, read, stream
from ullim.audio.containers import describe_foreign
from ullim.errors import AudioError, MissingExtraError

av = pytest.importorskip("av")

RATE = 16_000


def voice(duration_s: float = 1.5, rate: int = RATE) -> np.ndarray:
    """Ten harmonics of a gliding pitch, in syllables: speech enough for a codec."""
    t = np.arange(round(duration_s * rate)) / rate
    phase = 2 * np.pi * (140 * t + 15 * np.sin(2 * np.pi * t))
    tone = sum(np.sin(k * phase) / k for k in range(1, 11))
    return (0.15 * tone * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * t))).astype(np.float32)


def encoded(
    fmt: str, subtype: str | None = None, *, rate: int = RATE, samples: np.ndarray | None = None
) -> bytes:
    return recordings.encoded(voice(rate=rate) if samples is None else samples, rate, fmt, subtype)


def muxed(
    fmt: str,
    codec: str,
    *,
    rate: int = 48_000,
    layout: str = "mono",
    samples: np.ndarray | None = None,
) -> bytes:
    samples = voice(rate=rate) if samples is None else samples
    return recordings.muxed(samples, rate, fmt, codec, layout=layout)


def assert_same_sound(found: np.ndarray, rate: int = RATE, max_error_db: float = 6.0) -> None:
    """Compare smoothed log spectra and lengths; a codec keeps both, whatever it does to phase."""
    expected = voice(rate=rate)
    assert found.dtype == np.float32
    assert found.ndim == 1
    assert len(found) / rate == pytest.approx(len(expected) / rate, abs=0.1)

    def bands(x: np.ndarray) -> np.ndarray:
        power = np.abs(np.fft.rfft(x, 4 * rate)) ** 2
        return 10 * np.log10([power[4 * f : 4 * (f + 250)].sum() for f in range(0, 1500, 250)])

    np.testing.assert_allclose(bands(found), bands(expected), atol=max_error_db)


@pytest.mark.parametrize(
    ("suffix", "fmt", "subtype", "tolerance"),
    SOUNDFILE_FORMATS,
    ids=[f"{case[1]}-{case[2]}" for case in SOUNDFILE_FORMATS],
)
def test_every_soundfile_format_is_read(
    tmp_path: Path, suffix: str, fmt: str, subtype: str, tolerance: float | None
) -> None:
    path = tmp_path / f"clip.{suffix}"
    path.write_bytes(encoded(fmt, subtype))
    samples = read(path)
    if tolerance is None:
        assert_same_sound(samples)
    else:
        np.testing.assert_allclose(samples[: len(voice())], voice(), atol=tolerance)


@pytest.mark.parametrize(
    ("suffix", "fmt", "codec", "rate"), MEDIA_FORMATS, ids=[f"{m[1]}-{m[2]}" for m in MEDIA_FORMATS]
)
def test_every_media_format_is_read(
    tmp_path: Path, suffix: str, fmt: str, codec: str, rate: int
) -> None:
    if fmt not in av.formats_available or codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec}")
    path = tmp_path / f"clip.{suffix}"
    path.write_bytes(muxed(fmt, codec, rate=rate))
    samples = read(path, 8_000 if rate == 8_000 else RATE)
    assert_same_sound(samples, 8_000 if rate == 8_000 else RATE)


def test_stereo_of_either_decoder_is_averaged() -> None:
    left, right = voice(), np.roll(voice(), 400)
    wav = encoded("WAV", "FLOAT", samples=np.stack([left, right], axis=1))
    np.testing.assert_allclose(read(wav), (left + right) / 2, atol=1e-6)
    assert_same_sound(read(muxed("mp4", "aac", layout="stereo")))


@pytest.mark.parametrize(
    ("fmt", "codec", "layout", "n"),
    [
        ("mp4", "aac", "7.1", 8),  # PyAV's own conversion ends the process here
        ("webm", "libopus", "7.1", 8),
        ("matroska", "pcm_f32le", "hexadecagonal", 16),
    ],
)
def test_many_channels_are_averaged(fmt: str, codec: str, layout: str, n: int) -> None:
    sound = voice(0.5, rate=48_000)
    samples = np.stack([sound * (channel % 3) for channel in range(n)], axis=1)
    data = muxed(fmt, codec, layout=layout, samples=samples)
    share = read(data).std() / sound.std()
    assert share == pytest.approx(sum(channel % 3 for channel in range(n)) / n, rel=0.4)
    with pytest.raises(AudioError) as caught:
        read(data, limits=Limits(max_channels=n - 1))
    assert caught.value.code == "too_many_channels"


def test_channels_that_become_too_many_are_refused() -> None:
    sound = voice(0.5, rate=48_000)
    eight = np.stack([sound] * 8, axis=1)
    data = muxed("adts", "aac") + muxed("adts", "aac", layout="7.1", samples=eight)
    assert len(read(data)) == pytest.approx(2.0 * RATE, rel=0.1)
    with pytest.raises(AudioError) as caught:
        read(data, limits=Limits(max_channels=7))
    assert caught.value.code == "too_many_channels"


@pytest.mark.parametrize("suffix", ["", ".bin", ".WAV", ".wave"])
def test_content_decides_and_not_the_suffix(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"clip{suffix}"
    path.write_bytes(encoded("WAV"))
    assert len(read(path)) == len(voice())


def test_every_kind_of_source_gives_the_same(tmp_path: Path) -> None:
    data = encoded("WAV")
    path = tmp_path / "clip.wav"
    path.write_bytes(data)

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    moved = io.BytesIO(data)
    moved.read(100)
    expected = read(path)
    for source in (str(path), data, bytearray(data), io.BytesIO(data), moved, Pipe(data)):
        np.testing.assert_array_equal(read(source), expected)
    assert not moved.closed
    with pytest.raises(TypeError, match="check_samples"):
        read(voice())  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("block_s", [0.01, 0.37, 1.0, 30.0])
def test_stream_is_read_in_blocks(rate: int, block_s: float) -> None:
    data = encoded("FLAC", rate=rate)
    blocks = list(stream(data, block_s=block_s))
    np.testing.assert_array_equal(np.concatenate(blocks), read(data))
    assert {len(block) for block in blocks[:-1]} <= {round(block_s * RATE)}
    assert len(blocks[-1]) <= round(block_s * RATE)


@pytest.mark.parametrize("fmt", ["MP3", "OGG"])
def test_blocks_of_the_decoder_do_not_show(fmt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(fmt)
    expected = read(data)
    monkeypatch.setattr(media, "_BLOCK_VALUES", 1000)
    np.testing.assert_array_equal(read(data), expected)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_resampling_equals_soxr_at_once(rate: int) -> None:
    data = encoded("WAV", "FLOAT", rate=rate)
    expected = soxr.resample(voice(rate=rate), rate, RATE)
    np.testing.assert_allclose(read(data), expected, atol=1e-6)
    np.testing.assert_allclose(
        check_samples(voice(rate=rate), rate, target_sampling_rate=RATE), expected, atol=1e-6
    )


@pytest.mark.parametrize("block_s", [0.0, -1.0, 1e-9, float("nan"), float("inf")])
def test_a_block_needs_a_length(block_s: float) -> None:
    with pytest.raises(ValueError, match="block_s"):
        stream(encoded("WAV"), block_s=block_s)


@pytest.mark.parametrize(
    ("fmt", "subtype"), [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("CAF", None)]
)
def test_a_range_is_what_lies_between(fmt: str, subtype: str | None) -> None:
    data = encoded(fmt, subtype)
    whole = read(data)
    np.testing.assert_array_equal(read(data, start_s=0.5), whole[8_000:])
    np.testing.assert_array_equal(read(data, end_s=0.5), whole[:8_000])
    np.testing.assert_array_equal(read(data, start_s=0.25, end_s=1.0), whole[4_000:16_000])
    np.testing.assert_array_equal(read(data, start_s=0.25, end_s=1.55), whole[4_000:])


# --- quirks of real files ------------------------------------------------------------------------


def wav(data: bytes, *, data_bytes: int | None = None, before: bytes = b"", **fmt: int) -> bytes:
    """Write a WAV by hand; a size that is not given is right."""
    fields = {"tag": 1, "channels": 1, "rate": RATE, "bits": 16} | fmt
    block = max(1, fields["channels"] * fields["bits"] // 8)
    header = struct.pack(
        "<HHIIHH",
        *(fields["tag"], fields["channels"] & 0xFFFF, fields["rate"]),
        *(fields["rate"] * block & 0xFFFFFFFF, block & 0xFFFF, fields["bits"]),
    )
    size = len(data) if data_bytes is None else data_bytes
    body = b"WAVEfmt " + struct.pack("<I", 16) + header + before
    body += b"data" + struct.pack("<I", size) + data
    riff_bytes = fmt.get("riff_bytes", len(body))
    return b"RIFF" + struct.pack("<I", riff_bytes) + body


PCM = (voice() * 32767).astype("<i2").tobytes()
LIST = b"LIST" + struct.pack("<I", 26) + b"INFOISFT\x0e\0\0\0Lavf58.76.100\0"
ID3 = b"ID3\x04\0\0\0\0\x01\0" + bytes(128)
XING_MP3 = encoded("MP3")
MP3_48K = muxed("mp3", "libmp3lame", rate=48_000)

QUIRKS = {
    "list-before": wav(PCM, before=LIST),
    "list-after": wav(PCM) + LIST,
    "odd-chunk-before": wav(PCM, before=b"note" + struct.pack("<I", 3) + b"abc\0"),
    "size-ffffffff": wav(PCM, data_bytes=0xFFFFFFFF, riff_bytes=0xFFFFFFFF),
    "size-0-unclosed": wav(PCM, data_bytes=0, riff_bytes=0),
    "size-sox-pipe": wav(PCM, data_bytes=0x7FFFFFD8, riff_bytes=0x7FFFFFFF),
    "size-arecord": wav(PCM, data_bytes=0x80000000, riff_bytes=0x80000024),
    "junk-after": wav(PCM) + b"\0" * 999,
    "id3-before-wav": ID3 + wav(PCM),
    "id3-before-flac": ID3 + encoded("FLAC"),
    "id3-before-mp3": ID3 + ID3 + MP3_48K,
    "junk-before-mp3": bytes(3000) + b"\xff\xe0\xff\xfb" + MP3_48K,
    "id3v1-after-mp3": MP3_48K + b"TAG" + bytes(125),
    "sphere-named-nothing": encoded("NIST", "PCM_16"),
}


@pytest.mark.parametrize("name", QUIRKS)
def test_files_as_the_world_writes_them(name: str) -> None:
    samples = read(QUIRKS[name])
    assert len(samples) == pytest.approx(len(voice()), abs=1300)
    assert_same_sound(samples)


def test_mp3_is_gapless() -> None:
    assert len(read(XING_MP3)) == len(voice())


# --- what is refused -----------------------------------------------------------------------------


def flac_of(samples: np.ndarray) -> bytes:
    return encoded("FLAC", samples=samples)


def video_only() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        output = container.add_stream("mpeg4", rate=10)
        output.width = output.height = 32
        output.pix_fmt = "yuv420p"
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            container.mux(output.encode(frame))
        container.mux(output.encode(None))
    return file.getvalue()


def flipped(data: bytes, at: float, count: int = 400) -> bytes:
    middle = int(len(data) * at)
    noise = np.random.default_rng(7).bytes(count)
    return data[:middle] + noise + data[middle + count :]


def cut(data: bytes, share: float = 0.6) -> bytes:
    return data[: int(len(data) * share)]


def told(data: bytes, after: bytes, value: bytes, skip: int = 0) -> bytes:
    """Replace what stands so many bytes behind the last place of a word."""
    at = data.rindex(after) + len(after) + skip
    return data[:at] + value + data[at + len(value) :]


NAN = voice()
NAN[5_000] = np.nan
INFINITE = voice()
INFINITE[-1] = np.inf
HUGE = voice().astype(np.float64) * 1e300
NOISE = np.random.default_rng(3).bytes(50_000)
WEBM = muxed("webm", "libopus")
M4A = muxed("ipod", "aac")
STEREO = np.stack([voice(), -voice()], axis=1)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(60)

BROKEN: dict[str, tuple[str, bytes, str]] = {
    "no bytes": ("clip.wav", b"", "empty"),
    "wav without samples": ("clip.wav", wav(b""), "empty"),
    "wav without data chunk": ("clip.wav", wav(b"")[:36].replace(b"$\0", b"\x1c\0", 1), "empty"),
    "flac without samples": ("clip.flac", flac_of(np.zeros(0)), "empty"),
    "aiff without samples": ("clip.aiff", encoded("AIFF", samples=np.zeros(0)), "empty"),
    "0.2 s": ("clip.wav", encoded("WAV", samples=voice(0.2)), "too_short"),
    "0.2 s mp3": ("clip.mp3", encoded("MP3", samples=voice(0.2)), "too_short"),
    "zeros": ("clip.wav", encoded("WAV", samples=np.zeros(RATE)), "silent"),
    "zeros in flac": ("clip.flac", flac_of(np.zeros(RATE)), "silent"),
    "offset": ("clip.wav", encoded("WAV", samples=np.full(RATE, 0.5)), "silent"),
    "-90 dBFS": ("clip.wav", encoded("WAV", "FLOAT", samples=voice() * 5e-5), "silent"),
    "channels cancel": ("clip.wav", encoded("WAV", samples=STEREO), "silent"),
    "nan": ("clip.wav", encoded("WAV", "FLOAT", samples=NAN), "not_finite"),
    "infinite": ("clip.wav", encoded("WAV", "FLOAT", samples=INFINITE), "not_finite"),
    "beyond float32": ("clip.wav", encoded("WAV", "DOUBLE", samples=HUGE), "not_finite"),
    "wav cut": ("clip.wav", cut(encoded("WAV")), "truncated"),
    "wav cut in header": ("clip.wav", encoded("WAV")[:30], "truncated"),
    "wav cut by 100 bytes": ("clip.wav", encoded("WAV")[:-100], "truncated"),
    "rf64 cut": ("clip.wav", cut(encoded("RF64", "PCM_16")), "truncated"),
    "w64 cut": ("clip.w64", cut(encoded("W64", "PCM_16")), "truncated"),
    "aiff cut": ("clip.aiff", cut(encoded("AIFF")), "truncated"),
    "au cut": ("clip.au", cut(encoded("AU")), "truncated"),
    "sphere cut": ("clip.sph", cut(encoded("NIST", "PCM_16")), "truncated"),
    "caf cut": ("clip.caf", cut(encoded("CAF", "PCM_16")), "truncated"),
    "flac cut": ("clip.flac", cut(encoded("FLAC")), "truncated"),
    "flac cut in header": ("clip.flac", encoded("FLAC")[:20], "truncated"),
    "flac broken inside": ("clip.flac", flipped(encoded("FLAC"), 0.5), "truncated"),
    "vorbis cut": ("clip.ogg", cut(encoded("OGG", "VORBIS")), "truncated"),
    "opus cut": ("clip.opus", cut(encoded("OGG", "OPUS")), "truncated"),
    "ogg cut in header": ("clip.ogg", encoded("OGG")[:40], "truncated"),
    "mp3 cut": ("clip.mp3", cut(XING_MP3), "truncated"),
    "mp3 broken inside": ("clip.mp3", flipped(XING_MP3, 0.3, 3000), "truncated"),
    "m4a cut": ("clip.m4a", cut(M4A), "truncated"),
    "webm cut": ("clip.webm", cut(WEBM), "truncated"),
    "webm header only": ("clip.webm", WEBM[:60], "truncated"),
    "flac named wav": ("clip.wav", encoded("FLAC"), "wrong_extension"),
    "wav named mp3": ("clip.mp3", encoded("WAV"), "wrong_extension"),
    "webm named m4a": ("clip.m4a", WEBM, "wrong_extension"),
    "mp3 named ogg": ("clip.ogg", XING_MP3, "wrong_extension"),
    "text": ("clip.wav", b"I said hello and then I left.\n" * 20, "not_audio"),
    "korean text": ("clip.wav", "안녕하세요. ".encode() * 2000, "not_audio"),
    "html": ("clip.mp3", b"<!DOCTYPE html><html>404</html>", "not_audio"),
    "lfs pointer": ("clip.flac", b"version https://git-lfs.github.com/spec/v1\n", "not_audio"),
    "png": ("clip.wav", PNG, "not_audio"),
    "zip": ("clip.wav", b"PK\x03\x04" + NOISE, "not_audio"),
    "pdf": ("clip.wav", b"%PDF-1.7\n" + NOISE, "not_audio"),
    "playlist": ("clip.m3u8", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "not_audio"),
    "noise": ("clip.wav", NOISE, "not_audio"),
    "noise named mp3": ("clip.mp3", NOISE, "not_audio"),
    "zero bytes": ("clip.wav", bytes(4096), "not_audio"),
    "one byte": ("clip.wav", b"R", "not_audio"),
    "video without sound": ("clip.mp4", video_only(), "not_audio"),
    "65535 channels": ("clip.wav", wav(PCM, channels=0xFFFF), "too_many_channels"),
    "17 channels": (
        "clip.wav",
        encoded("WAV", samples=np.tile(voice(0.5)[:, None], 17)),
        "too_many_channels",
    ),
    "0 channels": ("clip.wav", wav(PCM, channels=0), "truncated"),
    "1 Hz": ("clip.wav", wav(PCM, rate=1), "unsupported_rate"),
    "2 GHz": ("clip.wav", wav(PCM, rate=2_000_000_000), "unsupported_rate"),
    # Found by fuzzing (fuzz_decoding.py).
    "wav in an unknown codec": ("clip.wav", wav(PCM, tag=0x0103), "not_audio"),
    "m4a in an unknown codec": (
        "clip.m4a",
        M4A.replace(b"mp4a", b"zzzz").replace(b"esds", b"zzzz"),
        "not_audio",
    ),
    "m4a that asks for all memory": (
        "clip.m4a",
        told(M4A, b"stts", b"\xff\xff\xff\xff", skip=4),
        "too_costly",
    ),
    "sphere beginning before the file": (
        "clip.sph",
        encoded("NIST", "PCM_16").replace(b"   1024\n", b"  -9999\n"),
        "truncated",
    ),
    "4 GB claimed": ("clip.aiff", encoded("AIFF").replace(b"SSND\0", b"SSND\x70"), "truncated"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_refused_by_name_and_code(case: str, tmp_path: Path) -> None:
    name, data, code = BROKEN[case]
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(AudioError, match=name) as caught:
        read(path)
    assert caught.value.code == code, str(caught.value)
    with pytest.raises(AudioError, match=name) as streamed:
        list(stream(path))
    assert str(streamed.value) == str(caught.value)
    if code != "wrong_extension":
        for source, called in ((data, "<bytes>"), (io.BytesIO(data), "<file object>")):
            with pytest.raises(AudioError, match=called) as caught:
                read(source)
            assert caught.value.code == code


def test_paths_that_can_not_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, code in [
        (tmp_path / "absent.wav", "not_found"),
        (tmp_path / "absent" / "clip.wav", "not_found"),
        (f"{tmp_path}/a\0b.wav", "not_found"),
        (tmp_path / ("x" * 300 + ".wav"), "not_found"),
        (tmp_path, "is_directory"),
    ]:
        with pytest.raises(AudioError, match="wav|" + tmp_path.name) as caught:
            read(path)
        assert caught.value.code == code

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    path = tmp_path / "locked.wav"
    path.write_bytes(encoded("WAV"))
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(AudioError, match=r"locked\.wav") as caught:
        read(path)
    assert caught.value.code == "permission"


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no device files here")
def test_a_device_is_no_recording() -> None:
    with pytest.raises(AudioError, match="/dev/zero") as caught:
        read("/dev/zero")
    assert caught.value.code == "not_audio"


@pytest.mark.parametrize(
    ("start_s", "end_s"),
    [
        *((-1, None), (1.0, 0.5), (1.0, 1.0), (float("nan"), None), (0, float("nan"))),
        *((9, None), (0.5, 9.0), (0, -1.0), (float("inf"), None), (1.5, None), (9, 10)),
    ],
)
@pytest.mark.parametrize("fmt", ["WAV", "OGG"])
def test_a_range_outside_the_recording(fmt: str, start_s: float, end_s: float | None) -> None:
    with pytest.raises(AudioError, match="<bytes>") as caught:
        read(encoded(fmt), start_s=start_s, end_s=end_s)
    assert caught.value.code == "bad_range"


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(max_bytes=3_000), "too_large"),
        (Limits(max_duration_s=1.0), "too_long"),
        (Limits(max_channels=1), "too_many_channels"),
        (Limits(min_sampling_rate=32_000), "unsupported_rate"),
        (Limits(max_sampling_rate=20_000), "unsupported_rate"),
        (Limits(min_duration_s=2.0), "too_short"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("fmt", ["WAV", "FLAC", "OGG", "AIFF", "webm"])
def test_limits_hold(tmp_path: Path, fmt: str, limits: Limits, code: str) -> None:
    samples = np.stack([voice(rate=24_000)] * 2, axis=1)
    path = tmp_path / "clip"
    path.write_bytes(
        muxed("webm", "libopus", rate=24_000, layout="stereo")
        if fmt == "webm"
        else encoded(fmt, rate=24_000, samples=samples)
    )
    rate = 32_000 if limits.min_sampling_rate > 16_000 else RATE
    if fmt == "webm" and code in ("too_large", "unsupported_rate"):
        limits = Limits(max_bytes=1000) if code == "too_large" else Limits(max_sampling_rate=40_000)
    for source in (path, path.read_bytes(), io.BytesIO(path.read_bytes())):
        with pytest.raises(AudioError) as caught:
            read(source, rate, limits=limits)
        assert caught.value.code == code


@pytest.mark.parametrize("rate", [0, -1, 1, 10**9])
def test_the_rate_asked_for_is_limited_too(rate: int) -> None:
    with pytest.raises(AudioError, match="Hz is allowed") as caught:
        read(encoded("WAV"), rate)
    assert caught.value.code == "unsupported_rate"


def test_an_endless_pipe_stops_at_the_limit() -> None:
    class Endless(io.RawIOBase):
        count = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:
            buffer[:] = bytes(len(buffer))
            self.count += len(buffer)
            return len(buffer)

    pipe = Endless()
    with pytest.raises(AudioError) as caught:
        read(pipe, limits=Limits(max_bytes=3 << 20))  # type: ignore[arg-type]
    assert caught.value.code == "too_large"
    assert pipe.count <= 5 << 20


def test_a_decompression_bomb_is_stopped_by_its_decoded_length() -> None:
    bomb = flac_of(np.zeros(600 * RATE))
    assert len(bomb) < 100_000
    with pytest.raises(AudioError) as caught:
        read(bomb, limits=Limits(max_duration_s=60))
    assert caught.value.code == "too_long"


def test_formats_of_the_extra_say_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    path = tmp_path / "clip.webm"
    path.write_bytes(WEBM)
    with pytest.raises(MissingExtraError, match=r'clip\.webm.*pip install "ullim\[media\]"'):
        read(path)
    assert len(read(encoded("MP3"))) == len(voice())


def test_streaming_takes_constant_memory(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    minute = np.tile(voice(1.5, 24_000), 40)
    with soundfile.SoundFile(path, "w", 24_000, 1, "PCM_16") as file:
        for _ in range(30):
            file.write(minute)
    total = 0
    tracemalloc.start()
    for block in stream(path, block_s=10.0):
        total += len(block)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 30 * 60 * RATE
    assert peak < 16e6  # the whole recording would take 115 MB


def test_a_stream_says_late_what_only_the_end_tells() -> None:
    data = encoded("FLAC", samples=np.tile(voice(), 40))
    blocks = stream(cut(data, 0.9), block_s=1.0)
    assert len(next(blocks)) == RATE
    with pytest.raises(AudioError) as caught:
        list(blocks)
    assert caught.value.code == "truncated"


def test_nothing_is_yielded_of_what_is_too_short() -> None:
    blocks = stream(encoded("WAV", samples=voice(0.2)), block_s=0.05)
    with pytest.raises(AudioError, match=r"0\.200 s"):
        next(blocks)


def test_a_file_left_half_read_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    path.write_bytes(encoded("WAV", samples=np.tile(voice(), 20)))
    blocks = stream(path, block_s=0.5)
    next(blocks)
    blocks.close()  # an open file would be a ResourceWarning, which is an error here
    path.unlink()


# --- arrays --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "i2", "i4", "u1", "u2"])
def test_arrays_of_every_type_are_scaled(dtype: str) -> None:
    kind = np.dtype(dtype)
    samples = voice()
    if kind.kind != "f":
        half = 2 ** (8 * kind.itemsize - 1)
        samples = (samples.astype(np.float64) * (half - 1) + half * (kind.kind == "u")).round()
    found = check_samples(samples.astype(kind), RATE)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, voice(), atol=1e-2 if kind.itemsize == 1 else 1e-3)


def test_either_axis_may_be_the_channels() -> None:
    stereo = np.stack([voice(), voice() / 2])
    np.testing.assert_allclose(check_samples(stereo, RATE), voice() * 0.75, atol=1e-6)
    np.testing.assert_array_equal(check_samples(stereo.T, RATE), check_samples(stereo, RATE))
    np.testing.assert_array_equal(check_samples(list(voice()), RATE), voice())


@pytest.mark.parametrize(
    ("samples", "code"),
    [
        (np.zeros(0), "empty"),
        (np.zeros((2, 0)), "empty"),
        (voice(0.1), "too_short"),
        (np.zeros(RATE), "silent"),
        (np.full(RATE, -0.3), "silent"),
        (NAN, "not_finite"),
        (INFINITE, "not_finite"),
        (HUGE, "not_finite"),
        (voice()[None, None], "not_audio"),
        (np.float32(0.5), "not_audio"),
        (voice().astype(complex), "not_audio"),
        (np.arange(RATE), "not_audio"),
        (np.ones(RATE, bool), "not_audio"),
        (["a", "b"], "not_audio"),
        ([[1.0], [1.0, 2.0]], "not_audio"),
        (None, "not_audio"),
        (np.ones((RATE, 17), np.float32), "too_many_channels"),
    ],
)
def test_arrays_that_are_refused(samples: object, code: str) -> None:
    with pytest.raises(AudioError, match="mine") as caught:
        check_samples(samples, RATE, name="mine")
    assert caught.value.code == code


def test_arrays_are_limited_too() -> None:
    for arguments, code in [
        ({"sampling_rate": 1}, "unsupported_rate"),
        ({"sampling_rate": RATE, "target_sampling_rate": 1}, "unsupported_rate"),
        ({"sampling_rate": RATE, "limits": Limits(max_duration_s=1)}, "too_long"),
    ]:
        with pytest.raises(AudioError) as caught:
            check_samples(voice(), **arguments)  # type: ignore[arg-type]
        assert caught.value.code == code


# --- hostile bytes -------------------------------------------------------------------------------

SEEDS = [
    encoded("WAV", samples=voice(0.3)),
    encoded("FLAC", samples=voice(0.3)),
    encoded("OGG", "VORBIS", samples=voice(0.3)),
    encoded("OGG", "OPUS", samples=voice(0.3)),
    encoded("AIFF", samples=voice(0.3)),
    encoded("W64", "PCM_16", samples=voice(0.3)),
    encoded("RF64", "PCM_16", samples=voice(0.3)),
    encoded("CAF", "PCM_16", samples=voice(0.3)),
    wav(PCM[:9600], before=LIST),
    M4A,
    WEBM,
]
SMALL = Limits(max_bytes=1 << 20, max_duration_s=60)


def survives(data: bytes) -> None:
    with contextlib.suppress(AudioError):
        samples = read(data, limits=SMALL)
        assert samples.dtype == np.float32
        assert np.isfinite(samples).all()


HOSTILE = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@HOSTILE
@given(st.binary(max_size=600), st.sampled_from([b"", *(seed[:12] for seed in SEEDS), b"\xff\xfb"]))
def test_random_bytes_are_an_array_or_an_audio_error(data: bytes, magic: bytes) -> None:
    survives(magic + data)


@HOSTILE
@given(
    st.sampled_from(range(len(SEEDS))),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=6),
    st.one_of(st.none(), st.floats(0, 1)),
    st.integers(0, 2**32 - 1),
)
def test_mutated_headers_are_an_array_or_an_audio_error(
    which: int, changes: list[tuple[int, int]], share: float | None, seed: int
) -> None:
    data = bytearray(SEEDS[which])
    for position, value in changes:
        data[position % len(data)] = value
    if seed % 3 == 0:
        middle = seed % len(data)
        data[middle : middle + 40] = np.random.default_rng(seed).bytes(40)
    survives(bytes(data if share is None else data[: int(share * len(data))]))


def test_what_is_not_audio_is_named() -> None:
    assert describe_foreign("가".encode() * 5000) == "text"
    assert describe_foreign(b"\x00\x01binary") == "unknown binary data"
    assert describe_foreign(b"  <html>") == "an HTML page (a failed download?)"
    assert describe_foreign(NOISE) == "unknown binary data"


def test_suffixes_of_a_scan() -> None:
    assert {".wav", ".flac", ".ogg", ".opus", ".mp3", ".webm", ".m4a", ".amr"} <= AUDIO_SUFFIXES
    assert not {".txt", ".ts", ".png", ".avi", ""} & AUDIO_SUFFIXES
    assert all(suffix == suffix.lower() for suffix in AUDIO_SUFFIXES)
    assert audio.__all__ == sorted(audio.__all__)
