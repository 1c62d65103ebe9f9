"""Damaged recordings in every format, seeded: a small form of ``fuzz_decoding.py``."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soxr

import damage
from conftest import speech
from fuzz_target import Targets
from recordings import MEDIA_FORMATS, SOUNDFILE_FORMATS, encoded, muxed
from ullim.errors import AudioError
from ullim.serving import webm

av = pytest.importorskip("av")

RATE = 16_000
FORMATS = {
    **{f"{fmt}-{subtype}": (fmt, subtype, 0) for _, fmt, subtype, _ in SOUNDFILE_FORMATS},
    **{
        f"{fmt}-{codec}": (fmt, codec, rate)
        for _, fmt, codec, rate in MEDIA_FORMATS
        if fmt in av.formats_available and codec in av.codecs_available
    },
}


@cache
def recording(name: str) -> bytes:
    fmt, codec, rate = FORMATS[name]
    sound = speech(0.4)
    if not rate:
        return encoded(sound, RATE, fmt, codec)
    return muxed(soxr.resample(sound, RATE, rate), rate, fmt, codec)


@cache
def pool() -> list[bytes]:
    return [recording(name) for name in FORMATS]


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_recording_is_read_alike_every_way_or_refused(name: str, tmp_path: Path) -> None:
    chance = np.random.default_rng([7, list(FORMATS).index(name)])
    targets = Targets(tmp_path)
    targets.bytes(recording(name))
    for number in range(6):
        data = damage.damaged(recording(name), chance, pool())
        (targets.bytes, targets.file)[number % 2](data)


def test_a_damaged_stream_is_decoded_or_refused(tmp_path: Path) -> None:
    chance = np.random.default_rng(7)
    targets = Targets(tmp_path)
    for _ in range(30):
        targets.webm(damage.damaged(recording("webm-libopus"), chance, pool()))


def test_a_stream_of_what_is_no_number_is_passed_on_without_a_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who listens refuses it; a warning would be printed by the stream's process."""
    monkeypatch.setattr(webm, "samples_of", lambda _: np.array([[np.inf, -np.inf]], np.float32))
    heard = [samples for _, samples in webm.decoded(io.BytesIO(recording("webm-libopus")))]
    assert heard
    assert np.isnan(heard).all()


def test_a_stream_in_an_unknown_codec_is_named() -> None:
    file = io.BytesIO(recording("webm-libopus").replace(b"A_OPUS", b"A_SUPO"))
    with pytest.raises(AudioError, match="codec that is not known") as caught:
        next(webm.decoded(file))
    assert caught.value.code == "not_audio"


FLAT = {"AU-PCM_16", "AU-G721_32", "NIST-PCM_16", "amr-libopencore_amrnb", "tta-tta"}


@pytest.mark.parametrize("name", FORMATS)
def test_a_whole_recording_comes_apart_without_a_rest(name: str) -> None:
    data = recording(name)
    parts = damage.parts_of(data)
    assert bool(parts) == (name not in FLAT)
    if parts:
        covered = sorted((part.start, part.end) for part in parts)
        assert covered[0][0] < 64
        assert max(end for _, end in covered) == len(data.partition(b"APETAGEX")[0])
        end = covered[0][1]
        for start, stop in covered:
            assert start <= end + 1  # chunks of odd length are padded
            end = max(end, stop)
    assert damage.sealed(data) == data  # checksums of Ogg are computed as encoders do


@pytest.mark.parametrize("width", [1, 2, 4, 8])
@pytest.mark.parametrize("vint", [False, True])
def test_numbers_lie_in_every_way_but_the_truth(width: int, vint: bool) -> None:
    field = damage.Field(1, width, "big", vint)
    data = field.told(bytes(10), 5)
    assert field.value(data) == 5
    lies = field.lies(data)
    assert {0, 1, 4, 6, field.most} <= set(lies)
    assert 5 not in lies
    for lie in lies:
        told = field.told(data, lie)
        assert field.value(told) == lie
        assert (told[:1], told[1 + width :]) == (data[:1], data[1 + width :])
