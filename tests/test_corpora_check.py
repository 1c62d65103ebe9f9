"""A check names what a copy of a corpus lacks, has too much, and has wrong."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from ullim import audio, registry
from ullim.corpora.check import check, known_digests, listen
from ullim.corpora.emodb import Emodb
from ullim.types import Utterance

RATE = 16_000


def tone(seed: int = 0, duration_s: float = 0.5, level: float = 0.3) -> Any:
    generator = np.random.default_rng(seed)
    t = np.arange(round(duration_s * RATE)) / RATE
    return level * np.sin(2 * np.pi * (200 + 40 * seed) * t) + 1e-3 * generator.normal(size=len(t))


def write(root: Path, name: str, samples: Any, **options: Any) -> None:
    file = root / "wav" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(file, samples, RATE, subtype="PCM_16", **options)


def utterance(file: Path, **fields: Any) -> Utterance:
    return Utterance("x", file, "emodb", None, (), **fields)


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three recordings, which are all there is of EMO-DB as far as ullim knows."""
    root = tmp_path / "emodb"
    for seed, name in enumerate(("03a01Wa", "08a01Fa", "10a01Na"), start=1):
        write(root, f"{name}.wav", tone(seed))
    digests = {u.id: listen(u).digest for u in Emodb().load(root)}
    monkeypatch.setattr("ullim.corpora.check.known_digests", lambda name: digests)
    monkeypatch.setattr(Emodb, "expected_counts", {"anger": 1, "happiness": 1, "neutral": 1})
    monkeypatch.setattr(Emodb, "expected_speakers", 3)
    return root


def codes(findings: dict[str, Any]) -> dict[str, int]:
    return dict(Counter(problem["code"] for problem in findings["problems"]))


class TestCheck:
    @pytest.mark.parametrize("jobs", [1, 2])
    def test_whole_copy(self, copy, jobs):
        told: list[tuple[int, int]] = []
        findings = check(Emodb(), copy, jobs=jobs, progress=lambda *counts: told.append(counts))
        assert findings["complete"] is True
        assert findings["problems"] == []
        assert findings["hashes"] == {"same": 3, "changed": 0, "unknown": 0}
        assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
        assert json.loads(json.dumps(findings)) == findings

    def test_missing(self, copy):
        (copy / "wav" / "08a01Fa.wav").unlink()
        findings = check(Emodb(), copy)
        assert codes(findings) == {"missing": 1}
        assert findings["problems"][0]["id"] == "08a01Fa"
        assert findings["complete"] is False

    def test_changed(self, copy):
        write(copy, "08a01Fa.wav", tone(7))
        findings = check(Emodb(), copy)
        assert codes(findings) == {"changed": 1}
        assert findings["hashes"] == {"same": 2, "changed": 1, "unknown": 0}
        assert findings["complete"] is False

    def test_extra_audio_files_are_named_and_harmless(self, copy):
        write(copy, "notes.wav", tone(8))
        (copy / "readme.txt").write_text("not audio")
        findings = check(Emodb(), copy)
        assert [p["message"] for p in findings["problems"]] == [
            "wav/notes.wav is no recording of this corpus"
        ]
        assert findings["complete"] is True

    def test_duplicate(self, copy):
        shutil.copyfile(copy / "wav" / "03a01Wa.wav", copy / "wav" / "10a01Na.wav")
        findings = check(Emodb(), copy)
        assert codes(findings) == {"duplicate": 1, "changed": 1}

    @pytest.mark.parametrize(
        ("samples", "code"),
        [
            (np.zeros(RATE), "silent"),
            (tone(3, 0.1), "too_short"),
            (np.clip(tone(3, level=1.5), -1, 1), "clipped"),
            (tone(3) + 0.05, "dc_offset"),
        ],
    )
    def test_recordings_that_are_wrong(self, copy, samples, code):
        write(copy, "10a01Na.wav", samples)
        findings = check(Emodb(), copy)
        assert code in codes(findings)
        assert findings["read"] == (2 if code in {"silent", "too_short"} else 3)

    @pytest.mark.parametrize(("share", "clipped"), [(0.0009, False), (0.0011, True)])
    def test_the_rule_of_clipping(self, copy, share, clipped):
        samples = tone(3, duration_s=5)
        samples[: round(share * len(samples))] = 1.0
        write(copy, "10a01Na.wav", samples)
        assert ("clipped" in codes(check(Emodb(), copy))) is clipped

    @pytest.mark.parametrize("content", [b"", b"not audio at all" * 99, b"RIFF\x00\x00"])
    def test_unreadable(self, copy, content):
        (copy / "wav" / "10a01Na.wav").write_bytes(content)
        findings = check(Emodb(), copy)
        assert findings["read"] == 2
        assert findings["complete"] is False
        (problem,) = findings["problems"]
        assert problem["id"] == "10a01Na"
        assert "10a01Na.wav" in problem["message"]

    def test_names_alone(self, copy):
        (copy / "wav" / "10a01Na.wav").write_bytes(b"")
        findings = check(Emodb(), copy, decode=False)
        assert (findings["read"], findings["hashes"]) == (None, None)
        assert findings["complete"] is True

    def test_nothing_is_expected_where_nothing_is_stated(self, copy, monkeypatch):
        monkeypatch.setattr(Emodb, "expected_counts", {})
        monkeypatch.setattr(Emodb, "expected_speakers", 0)
        assert check(Emodb(), copy)["complete"] is True


class TestDigest:
    def test_container_and_coding_do_not_matter(self, tmp_path):
        samples = (tone(2) * 32767).astype(np.int16)
        digests = set()
        for name, options in {
            "a.wav": {"subtype": "PCM_16"},
            "b.flac": {"subtype": "PCM_16"},
            "c.wav": {"subtype": "FLOAT"},
            "d.aiff": {"subtype": "PCM_24"},
        }.items():
            values = samples / 32768 if options["subtype"] == "FLOAT" else samples
            soundfile.write(tmp_path / name, values, RATE, **options)
            digests.add(listen(utterance(tmp_path / name)).digest)
        padded = (tmp_path / "a.wav").read_bytes() + b"LIST\x04\x00\x00\x00INFO"
        (tmp_path / "e.wav").write_bytes(padded)
        digests.add(listen(utterance(tmp_path / "e.wav")).digest)
        assert len(digests) == 1
        assert len(digests.pop()) == 12

    def test_samples_rate_and_channels_do(self, tmp_path):
        samples = (tone(2) * 32767).astype(np.int16)
        other = samples.copy()
        other[100] += 1
        variants = [
            (samples, RATE),
            (other, RATE),
            (samples, 22_050),
            (np.stack([samples, samples], axis=1), RATE),
            (samples[:-1], RATE),
        ]
        digests = set()
        for number, (values, rate) in enumerate(variants):
            file = tmp_path / f"{number}.wav"
            soundfile.write(file, values, rate)
            digests.add(listen(utterance(file)).digest)
        assert len(digests) == len(variants)

    def test_part_of_a_file(self, tmp_path):
        file = tmp_path / "long.wav"
        soundfile.write(file, tone(2, 2.0), RATE)
        parts = [(0.0, 1.0), (1.0, 2.0), (0.0, None)]
        digests = {listen(utterance(file, start_s=a, end_s=b)).digest for a, b in parts}
        assert len(digests) == 3

    @pytest.mark.parametrize("name", registry.components("corpora"))
    def test_known_ones_are_well_formed(self, name):
        digests = known_digests(name)
        assert all(len(value) == 12 and int(value, 16) >= 0 for value in digests.values())
        assert len(digests) <= sum(registry.component("corpora", name).expected_counts.values())

    def test_unknown_corpus_has_none(self):
        assert known_digests("nonesuch") == {}


class TestBlocks:
    def test_are_what_the_file_holds(self, tmp_path):
        samples = np.stack([tone(1), tone(2)], axis=1).astype(np.float32)
        file = tmp_path / "stereo.wav"
        soundfile.write(file, samples, 22_050, subtype="FLOAT")
        rates, parts = zip(*audio.blocks(file), strict=True)
        assert set(rates) == {22_050}
        np.testing.assert_array_equal(np.concatenate(parts), samples)

    def test_read_is_their_mean(self, tmp_path):
        samples = np.stack([tone(1), tone(2)], axis=1).astype(np.float32)
        file = tmp_path / "stereo.wav"
        soundfile.write(file, samples, RATE, subtype="FLOAT")
        np.testing.assert_allclose(audio.read(file), samples.mean(axis=1), atol=1e-7)


@pytest.mark.corpora
class TestRealCorpora:
    @pytest.mark.parametrize("name", ["emodb", "emotiontts_ko"])
    def test_hold_the_published_samples(self, name, corpora_root):
        if not (corpora_root / name).is_dir():
            pytest.skip(f"ULLIM_CORPORA has no folder {name}")
        findings = check(registry.component("corpora", name)(), corpora_root / name, jobs=2)
        assert findings["hashes"]["changed"] == 0
        assert findings["hashes"]["same"] == findings["read"]
        assert findings["problems"] == []

    def test_the_one_duplicate_of_ravdess_is_found(self, corpora_root):
        root = corpora_root / "ravdess" / "Actor_07"
        if not root.is_dir():
            pytest.skip("ULLIM_CORPORA has no folder ravdess")
        findings = check(registry.component("corpora", "ravdess")(), root, jobs=2)
        assert codes(findings) == {"duplicate": 1, "missing": 1380}
        assert findings["hashes"] == {"same": 60, "changed": 0, "unknown": 0}
