"""Fingerprints under what happens to recordings, and planted leaks of every kind."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from ullim import registry
from ullim.cli import app
from ullim.evaluation.fingerprint import HOP_S, MIN_PEAKS, find_copies, fingerprint
from ullim.evaluation.leakage import Heard, audit, listen, survey
from ullim.evaluation.protocols import Fold
from ullim.types import FloatArray, Utterance, Vote

RATE = 16_000
N_CLIPS = 12


def utterance(
    number: int, corpus: str = "ravdess", speaker: str | None = "01", **facts: object
) -> Utterance:
    return Utterance(
        **{"file": Path(f"{number}.wav")} | facts,
        id=f"{corpus}-{number}",
        corpus=corpus,
        speaker=speaker,
        votes=(Vote("actor", "anger"),),
    )


@pytest.fixture(scope="module")
def clips(make_speech) -> list[FloatArray]:
    return [make_speech(3.0, RATE, f0_hz=110 + 11 * seed, seed=seed) for seed in range(N_CLIPS)]


def encoded(samples: FloatArray, rate: int, kind: str, subtype: str) -> tuple[FloatArray, int]:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    file.seek(0)
    return soundfile.read(file, dtype="float32")


def padded(samples: FloatArray) -> FloatArray:
    return np.pad(samples, (RATE // 3, RATE // 2))


CHANGES = {
    "as it is": lambda x: (x, RATE),
    "gain": lambda x: (x * np.float32(0.05), RATE),
    "turned over": lambda x: (-x, RATE),
    "silence around": lambda x: (padded(x), RATE),
    "trimmed": lambda x: (x[1_234:-4_321], RATE),
    "half": lambda x: (x[RATE // 2 : 2 * RATE], RATE),
    "48 kHz": lambda x: (soxr.resample(x, RATE, 48_000), 48_000),
    "8 kHz": lambda x: (soxr.resample(x, RATE, 8_000), 8_000),
    "16 bits": lambda x: (np.round(x * 32_768).astype(np.float32) / 32_768, RATE),
    "MP3": lambda x: encoded(x, RATE, "MP3", "MPEG_LAYER_III"),
    "Opus": lambda x: encoded(x, RATE, "OGG", "OPUS"),
    "MP3, quieter, silence around": lambda x: encoded(
        padded(x) * np.float32(0.3), RATE, "MP3", "MPEG_LAYER_III"
    ),
}


class TestFingerprint:
    @pytest.mark.parametrize("change", CHANGES)
    def test_a_copy_is_found_and_nothing_else(self, change, clips):
        known = [fingerprint(clip, RATE) for clip in clips]
        copy = fingerprint(*CHANGES[change](clips[4]))
        (found,) = find_copies([*known, copy])
        assert (found.first, found.second) == (4, N_CLIPS)
        assert found.similarity >= 0.7
        assert found.kind == ("contained" if change in {"half", "trimmed"} else "copy")

    @pytest.mark.parametrize("late_s", [0.0, 0.5, 1.0, 0.777])
    def test_where_the_copy_starts(self, late_s, clips):
        cut = clips[0][round(late_s * RATE) :]
        (found,) = find_copies([fingerprint(clips[0], RATE), fingerprint(cut, RATE)])
        assert found.offset_s == pytest.approx(late_s, abs=HOP_S)

    def test_two_cuts_of_one_recording_overlap(self, make_speech):
        long = make_speech(6.0, RATE, seed=3)
        first, second = long[: 4 * RATE], long[round(2.5 * RATE) :]
        (found,) = find_copies([fingerprint(first, RATE), fingerprint(second, RATE)])
        assert found.kind == "overlap"
        assert found.offset_s == pytest.approx(2.5, abs=HOP_S)

    def test_noise_is_like_no_other_noise(self, generator):
        noises = generator.standard_normal((10, 3 * RATE)).astype(np.float32)
        assert find_copies([fingerprint(noise, RATE) for noise in noises]) == []

    @given(
        gain_db=st.floats(-40, 10),
        before=st.integers(0, RATE),
        after=st.integers(0, RATE),
        cut=st.integers(0, RATE // 4),
    )
    @settings(max_examples=25, deadline=None)
    def test_any_gain_padding_and_trim(self, gain_db, before, after, cut, clips):
        changed = np.pad(clips[1][cut:], (before, after)) * np.float32(10 ** (gain_db / 20))
        (found,) = find_copies([fingerprint(clips[1], RATE), fingerprint(changed, RATE)])
        assert found.similarity >= 0.7

    @pytest.mark.parametrize(
        "samples",
        [np.zeros(0), np.zeros(100), np.zeros(RATE), np.ones(RATE), np.full(3, 1e-9)],
        ids=["nothing", "short", "silence", "constant", "tiny"],
    )
    def test_what_has_no_sound_has_no_copies(self, samples):
        peaks = fingerprint(samples.astype(np.float32), RATE)
        assert len(peaks) < MIN_PEAKS
        assert find_copies([peaks, peaks]) == []

    def test_nothing_among_nothing(self):
        assert find_copies([]) == []

    def test_many_copies_of_one_recording(self, clips):
        peaks = fingerprint(clips[2], RATE)
        found = find_copies([peaks[:60]] * 70)
        assert {copy.first for copy in found} | {copy.second for copy in found} == set(range(70))

    def test_rounds_that_bound_the_memory_change_nothing(self, clips, monkeypatch):
        known = [fingerprint(clip, RATE) for clip in [*clips, *(c[4_000:] for c in clips)]]
        whole = find_copies(known)
        monkeypatch.setattr("ullim.evaluation.fingerprint._BLOCK", 200)
        monkeypatch.setattr("ullim.evaluation.fingerprint._LANDMARKS_AT_ONCE", 1000)
        assert find_copies(known) == whole
        assert len(whole) == N_CLIPS


class TestAudit:
    rows = (
        utterance(0, speaker="01", sentence_id="a"),
        utterance(1, speaker="01", sentence_id="b"),
        utterance(2, speaker="02", sentence_id="a"),
        utterance(3, speaker="03", sentence_id="c"),
    )
    hashes = ("h0", "h1", "h2", "h3")

    def test_clean_folds_have_nothing_to_report(self):
        fold = Fold("1", np.array([0, 1, 2]), np.array([3]))
        assert audit(self.rows, self.hashes, [fold]) == {
            "speakers_on_both_sides": [],
            "share_of_test_rows_with_trained_sentence": 0.0,
            "test_rows_with_trained_recording": [],
            "test_rows_with_trained_near_duplicate": None,
            "test_rows_overlapping_a_trained_stretch": [],
            "rows_too_short_for_a_fingerprint": None,
            "rows_without_speaker": 0,
            "rows_without_text": 0,
        }

    def test_what_cannot_be_seen_is_counted(self):
        rows = (*self.rows, utterance(4, speaker=None, sentence_id=None))
        found = audit(rows, (*self.hashes, "h4"), [Fold("1", np.array([0]), np.array([4]))])
        assert (found["rows_without_speaker"], found["rows_without_text"]) == (1, 1)

    def test_planted_speaker(self):
        found = audit(self.rows, self.hashes, [Fold("1", np.array([0, 2]), np.array([1, 3]))])
        assert found["speakers_on_both_sides"] == ["ravdess/01"]

    def test_planted_sentence(self):
        found = audit(self.rows, self.hashes, [Fold("1", np.array([0, 1]), np.array([2, 3]))])
        assert found["share_of_test_rows_with_trained_sentence"] == 0.5

    def test_planted_recording(self):
        hashes = ("h0", "h1", "h2", "h1")
        folds = [
            Fold("1", np.array([0, 1, 2]), np.array([3])),
            Fold("2", np.array([3]), np.array([0, 1, 2])),
        ]
        found = audit(self.rows, hashes, folds)
        assert found["test_rows_with_trained_recording"] == ["ravdess-1", "ravdess-3"]

    def test_planted_copy(self, clips):
        prints = [fingerprint(clip, RATE) for clip in clips[:3]]
        prints.append(fingerprint(*CHANGES["MP3, quieter, silence around"](clips[1])))
        fold = Fold("1", np.array([0, 1, 2]), np.array([3]))
        found = audit(self.rows, self.hashes, [fold], fingerprints=prints)
        (pair,) = found["test_rows_with_trained_near_duplicate"]
        assert (pair["test"], pair["train"]) == ("ravdess/ravdess-3", "ravdess/ravdess-1")
        assert pair["kind"] == "copy"
        same_side = Fold("1", np.array([0, 2]), np.array([1, 3]))
        found = audit(self.rows, self.hashes, [same_side], fingerprints=prints)
        assert found["test_rows_with_trained_near_duplicate"] == []
        assert found["rows_too_short_for_a_fingerprint"] == 0

    @pytest.mark.parametrize(
        ("stretches", "leaks"),
        [
            ([(0, 2), (2, 4)], False),
            ([(0, 2), (1.9, 4)], True),
            ([(1, 2), (0, 9)], True),
            ([(0, None), (5, 6)], True),
            ([(5, None), (0, 5)], False),
        ],
        ids=str,
    )
    def test_planted_stretch(self, stretches, leaks):
        rows = [
            utterance(n, file=Path("long.wav"), start_s=start, end_s=end)
            for n, (start, end) in enumerate(stretches)
        ]
        found = audit(rows, None, [Fold("1", np.array([0]), np.array([1]))])
        assert found["test_rows_overlapping_a_trained_stretch"] == ["ravdess-1"] * leaks
        assert found["test_rows_with_trained_recording"] is None

    def test_same_words_in_two_corpora_are_two_sentences(self):
        rows = [utterance(0, "ravdess", sentence_id="01"), utterance(1, "emodb", sentence_id="01")]
        found = audit(rows, ("x", "y"), [Fold("1", np.array([0]), np.array([1]))])
        assert found["share_of_test_rows_with_trained_sentence"] == 0.0
        assert found["speakers_on_both_sides"] == []

    def test_rows_without_sentence_go_by_their_text_or_stand_alone(self):
        rows = [utterance(0, text="hello"), utterance(1, text="Hello!"), utterance(2), utterance(3)]
        found = audit(rows, list("wxyz"), [Fold("1", np.array([0, 2]), np.array([1, 3]))])
        assert found["share_of_test_rows_with_trained_sentence"] == 0.5


class TestSurvey:
    def test_planted_leaks_are_told_and_unreadable_files_too(self, clips, tmp_path):
        sounds = {"a": clips[0], "b": clips[1], "c": clips[0], "d": clips[1][3_000:]}
        for name, samples in sounds.items():
            soundfile.write(tmp_path / f"{name}.wav", samples, RATE)
        (tmp_path / "e.wav").write_bytes(b"no sound")
        rows = [
            utterance(n, speaker=str(n), file=tmp_path / f"{name}.wav", text="same")
            for n, name in enumerate("abcde")
        ]
        heard = listen(rows)
        found = survey(rows, heard)
        assert found["duplicates"] == [["ravdess/ravdess-0", "ravdess/ravdess-2"]]
        (pair,) = found["near_duplicates"]
        assert (pair["first"], pair["second"]) == ("ravdess/ravdess-1", "ravdess/ravdess-3")
        assert found["share_of_rows_whose_sentence_others_say"] == 1.0
        (problem,) = found["problems"]
        assert (problem["id"], problem["code"]) == ("ravdess/ravdess-4", "not_audio")

    def test_hashing_files_needs_no_decoding(self, tmp_path):
        for name, content in (("a", b"x"), ("b", b"y"), ("c", b"x")):
            (tmp_path / name).write_bytes(content)
        rows = [utterance(n, file=tmp_path / name) for n, name in enumerate("abcz")]
        heard = listen(rows, decode=False)
        found = survey(rows, heard)
        assert found["duplicates"] == [["ravdess/ravdess-0", "ravdess/ravdess-2"]]
        assert found["near_duplicates"] is None
        assert [problem["code"] for problem in found["problems"]] == ["unreadable"]

    def test_without_sound_only_the_table_is_told(self):
        found = survey([utterance(0, speaker=None)], None)
        assert (found["rows_without_speaker"], found["duplicates"]) == (1, None)
        assert survey([], Heard())["rows"] == 0


class TestCommand:
    runner = CliRunner()
    hashed = ("corpora", "audit", "--sound", "hash", "--json")

    def test_reports_json(self, toy_corpus):
        pair = f"ravdess={toy_corpus('ravdess')}"
        ended = self.runner.invoke(app, [*self.hashed, pair, "-p", "random"])
        assert ended.exit_code == 0, ended.output
        found = json.loads(ended.stdout)
        assert found["corpora"]["rows"] == 45
        assert found["corpora"]["duplicates"], "toy clips are the same for every actor"
        assert found["protocol"]["speaker_independent"] is False
        assert found["leakage"]["speakers_on_both_sides"]
        assert found["leakage"]["test_rows_with_trained_recording"]

    def test_reports_a_table_without_reading_audio(self, toy_corpus):
        pair = f"emodb={toy_corpus('emodb')}"
        ended = self.runner.invoke(app, ["corpora", "audit", pair, "--sound", "none"])
        assert ended.exit_code == 0, ended.output
        assert "corpora\tduplicates\tnot looked for" in ended.stdout

    def test_writes_folds_that_a_recipe_can_name(self, toy_corpus, tmp_path):
        pair, file = f"emodb={toy_corpus('emodb')}", tmp_path / "folds.json"
        common = [*self.hashed, pair, "-p"]
        ended = self.runner.invoke(app, [*common, "random", "--write-folds", str(file)])
        assert ended.exit_code == 0, ended.output
        fixed = f"{{name: fixed, file: '{file}', speaker_independent: false}}"
        again = self.runner.invoke(app, [*common, fixed])
        assert again.exit_code == 0, again.output
        assert json.loads(again.stdout)["leakage"] == json.loads(ended.stdout)["leakage"]

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            (["ravdess"], "bad_corpus"),
            (["ravdess=x", "-p", "hold-out"], "unknown_protocol"),
            (["ravdess=x", "--write-folds", "f.json"], "bad_protocol"),
            (["ravdess=/nonesuch"], "not_found"),
        ],
    )
    def test_bad_input(self, arguments, code):
        ended = self.runner.invoke(app, ["corpora", "audit", *arguments])
        assert ended.exit_code != 0
        assert ended.exception.code == code


@pytest.fixture(scope="module")
def real_rows(corpora_root) -> list[Utterance]:
    return [
        row
        for name in ("ravdess", "emodb", "emotiontts_ko")
        for row in registry.component("corpora", name)().load(corpora_root / name)
    ]


@pytest.mark.corpora
class TestRealCorpora:
    """Every clip of three corpora: the one true pair is found, and no other."""

    @pytest.mark.slow
    def test_one_duplicate_and_no_false_alarm(self, real_rows):
        """Each of 24 actors says each of two sentences up to eight times in one emotion."""
        heard = listen(real_rows)
        found = survey(real_rows, heard)
        assert found["duplicates"] == [
            ["ravdess/03-01-03-01-02-01-07", "ravdess/03-01-03-01-02-02-07"]
        ]
        assert found["near_duplicates"] == []
        assert find_copies(heard.fingerprints)[0].similarity == 1.0

    def test_planted_mp3_is_found_among_one_actors_clips(self, real_rows, tmp_path):
        actor = [row for row in real_rows if (row.corpus, row.speaker) == ("ravdess", "05")]
        heard = listen(actor)
        samples, rate = soundfile.read(actor[7].file, dtype="float32", always_2d=True)
        samples = samples.mean(axis=1)
        changed = np.pad(samples * np.float32(0.2), (rate // 3, rate))
        copy = fingerprint(*encoded(changed, rate, "MP3", "MPEG_LAYER_III"))
        (found,) = find_copies([*heard.fingerprints, copy])
        assert (found.first, found.second, found.kind) == (7, len(actor), "copy")
