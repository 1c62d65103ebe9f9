"""Audits: what is asked, what the figures mean, what passes, and what is written."""

from __future__ import annotations

import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

import ullim
from ullim import bundle
from ullim.audit import card, figures, groups, marks, output, text, words
from ullim.audit.asking import Replies, Reply, ask
from ullim.audit.clips import Clip, label_map, select
from ullim.audit.conditions import (
    CONDITIONS,
    FAMILIES,
    TINY,
    Babble,
    BitRate,
    DropStart,
    Loudest,
    RoundTrip,
    choose,
)
from ullim.audit.run import audit
from ullim.corpora.folders import corpus_folders
from ullim.errors import BundleError, CorpusError, UllimError
from ullim.types import Utterance, Vote

RATE = 16_000
COLOURS = ("neutral", "happiness", "sadness", "anger")


@pytest.fixture(scope="module")
def emodb(make_speech, tmp_path_factory) -> Path:
    """A small EMO-DB whose clips, unlike those of ``toy_corpus``, are long enough to answer."""
    root = tmp_path_factory.mktemp("corpora") / "emodb"
    (root / "wav").mkdir(parents=True)
    names = [f"{speaker}a01{letter}a" for speaker in ("03", "08", "10") for letter in "WLEAFTN"]
    for number, name in enumerate([*names, "03b10Wc"]):
        signal = make_speech(0.8, f0_hz=100.0 + 10 * number, tilt=0.5 + number % 4, seed=number)
        soundfile.write(root / "wav" / f"{name}.wav", signal, RATE, subtype="PCM_16")
    return root


@pytest.fixture
def model(toy_bundle, tmp_path) -> Path:
    return Path(shutil.copytree(toy_bundle, tmp_path / "toy"))


class TestConditions:
    def test_names_differ_and_can_be_typed(self):
        names = [condition.name for condition in CONDITIONS]
        assert len(set(names)) == len(names)
        assert all(re.fullmatch(r"[a-z0-9-]+:[A-Za-z0-9.+/-]+", name) for name in names)

    @pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.name)
    @pytest.mark.parametrize("rate", [RATE, 22_050])
    def test_every_condition_gives_sound_by_its_seed_alone(self, condition, rate, make_speech):
        signal = make_speech(0.7, rate)
        before = signal.copy()

        def changed(seed):
            generator = condition.generator("clip", seed)
            if isinstance(condition.change, Babble):
                return condition.change.among(signal, [signal[::-1].copy()], generator)
            return condition.change.apply(signal, rate, generator)

        first = changed(0)
        assert first.dtype == np.float32
        assert first.ndim == 1
        assert np.isfinite(first).all()
        assert first.size > 0.4 * rate
        np.testing.assert_array_equal(first, changed(0))
        np.testing.assert_array_equal(signal, before)
        if condition.family in {"white-noise", "babble", "room"}:
            assert not np.array_equal(first, changed(1))

    @pytest.mark.parametrize("snr_db", [0.0, 20.0])
    def test_babble_lies_under_the_clip_by_the_ratio_asked(self, snr_db, make_speech, generator):
        signal = make_speech(1.0)
        voices = [make_speech(0.4, seed=seed) * 10.0**seed for seed in (1, 2, 3)]
        noise = Babble(snr_db=snr_db).among(signal, voices, generator) - signal
        ratio = np.mean(signal.astype(float) ** 2) / np.mean(noise.astype(float) ** 2)
        assert 10 * np.log10(ratio) == pytest.approx(snr_db, abs=0.01)

    def test_babble_hears_every_voice_alike(self, generator):
        t = np.arange(RATE) / RATE
        low, high = (np.sin(2 * np.pi * hz * t).astype(np.float32) for hz in (200, 1000))
        mixed = Babble(snr_db=0.0).among(1e-3 * low[::-1].copy(), [low, 50 * high], generator)
        spectrum = np.abs(np.fft.rfft(mixed))
        assert spectrum[1000] == pytest.approx(spectrum[990:1011].max())
        assert spectrum[1000] > 0.3 * spectrum[200]

    @pytest.mark.parametrize(("codec", "kbit_per_s"), [("mp3", 64), ("mp3", 16), ("opus", 24)])
    def test_a_bit_rate_is_that_of_the_file(self, codec, kbit_per_s, make_speech):
        data = BitRate(codec=codec, kbit_per_s=kbit_per_s).encode(make_speech(5.0))
        assert len(data) * 8 / 5_000 == pytest.approx(kbit_per_s, rel=0.2)

    @pytest.mark.parametrize("rate", [RATE, 44_100])
    @pytest.mark.parametrize("codec", ["mp3", "opus"])
    def test_a_codec_neither_moves_nor_shortens_the_sound(self, codec, rate, make_speech):
        signal = make_speech(1.0, rate, tilt=2.0)
        decoded = BitRate(codec=codec, kbit_per_s=64).apply(signal, rate, _chance())
        assert abs(decoded.size - signal.size) <= 2
        n = min(decoded.size, signal.size)
        assert np.corrcoef(decoded[:n], signal[:n])[0, 1] > 0.95

    def test_the_loudest_second_is_kept(self):
        signal = np.full(3 * RATE, 0.01, np.float32)
        signal[20_000:36_000] = 0.5
        kept = Loudest(length_s=1.0).apply(signal, RATE, _chance())
        np.testing.assert_array_equal(kept, signal[20_000:36_000])
        assert Loudest(length_s=9.0).apply(signal, RATE, _chance()) is signal

    def test_a_start_is_dropped_to_the_sample(self):
        signal = np.arange(1000, dtype=np.float32)
        kept = DropStart(length_s=0.01).apply(signal, RATE, _chance())
        np.testing.assert_array_equal(kept, signal[160:])

    def test_a_round_trip_is_inaudible(self, make_speech):
        signal = make_speech(1.0, tilt=2.0)
        back = RoundTrip().apply(signal, RATE, _chance())
        assert back.size == signal.size
        window = np.hanning(signal.size)
        before, change = (np.abs(np.fft.rfft(x * window)) ** 2 for x in (signal, back - signal))
        # All but the last octave's edge, which any resampler rolls off.
        assert 10 * np.log10(change[:7000].sum() / before[:7000].sum()) < -60

    def test_unknown_conditions_are_named_with_those_there_are(self):
        with pytest.raises(UllimError, match=r"called moon; there are .*white-noise") as caught:
            choose(["moon", "babble"])
        assert caught.value.code == "unknown_condition"

    def test_all_are_chosen_by_default(self):
        assert choose([]) == CONDITIONS
        assert {condition.family for condition in choose([TINY])} == {TINY}


def _chance() -> np.random.Generator:
    return np.random.default_rng(0)


class TestSelection:
    def test_labels_the_model_lacks_are_left_out_and_counted(self, emodb, model):
        manifest = bundle.load(model).manifest
        chosen = select(manifest, {"emodb": emodb})
        assert {clip.label for clip in chosen.clips} == set(COLOURS)
        assert {clip.offered for clip in chosen.clips} == {COLOURS}
        assert chosen.label_map == {}
        # One clip of each label and speaker, and one more of anger.
        assert chosen.available == {"emodb": 13}
        assert chosen.left_out == {"emodb": {"boredom": 3, "disgust": 3, "fear": 3}}

    def test_a_corpus_with_fewer_labels_masks_the_rest(self, toy_corpus, make_bundle, tmp_path):
        folder = make_bundle(tmp_path / "all", labels=("fear", *COLOURS, "boredom"))
        manifest = bundle.load(folder).manifest
        chosen = select(manifest, {"emotiontts_ko": toy_corpus("emotiontts_ko")})
        assert {clip.offered for clip in chosen.clips} == {COLOURS}

    def test_calm_is_neutral_unless_the_model_knows_calm(self, toy_corpus, make_bundle, tmp_path):
        folder = toy_corpus("ravdess")
        without = bundle.load(make_bundle(tmp_path / "a", labels=COLOURS)).manifest
        with_calm = bundle.load(make_bundle(tmp_path / "b", labels=(*COLOURS, "calm"))).manifest
        chosen = [select(manifest, {"ravdess": folder}) for manifest in (without, with_calm)]
        assert [of_one.label_map for of_one in chosen] == [{"calm": "neutral"}, {}]
        of = [[clip.label for clip in of_one.clips] for of_one in chosen]
        # Three actors; calm has two intensities and neutral one.
        assert of[0].count("neutral") == 9
        assert (of[1].count("neutral"), of[1].count("calm")) == (3, 6)

    def test_the_recipes_own_map_comes_first(self, make_bundle, tmp_path):
        recipe = {"task": {"label_map": {"calm": "sadness", "excited": "happiness"}}}
        manifest = bundle.load(make_bundle(tmp_path / "m", recipe=recipe)).manifest
        assert label_map(manifest) == {"calm": "sadness", "excited": "happiness"}

    @pytest.mark.parametrize("n", [4, 7, 12, 100])
    def test_few_clips_are_spread_over_speakers_and_labels(self, emodb, model, n):
        manifest = bundle.load(model).manifest
        chosen = select(manifest, {"emodb": emodb}, max_items=n, seed=3)
        cells = [(clip.utterance.speaker, clip.label) for clip in chosen.clips]
        assert len(cells) == min(n, 13)
        assert len(set(cells)) == min(n, 12)
        assert chosen.available == {"emodb": 13}
        again = select(manifest, {"emodb": emodb}, max_items=n, seed=3)
        assert [clip.key for clip in again.clips] == [clip.key for clip in chosen.clips]

    def test_a_corpus_without_common_labels_is_refused(self, toy_corpus, model):
        with pytest.raises(CorpusError, match="fewer than two in common") as caught:
            select(bundle.load(model).manifest, {"esc10": toy_corpus("esc10")})
        assert caught.value.code == "no_common_labels"

    @pytest.mark.parametrize("given", [("emodb",), ("=x",), ("emodb=",), ("emodb=a", "emodb=b")])
    def test_corpora_are_given_as_name_and_path(self, given):
        with pytest.raises(CorpusError, match=r"NAME=PATH|twice"):
            corpus_folders(given)


def _answers(rows, *, labels=("a", "b"), conditions=()):
    """Build answers of (corpus, speaker, true label, reply or replies), gender by first letter."""
    clips, replies = [], []
    for number, (corpus, speaker, label, *said) in enumerate(rows):
        gender = "female" if speaker.startswith("f") else "male"
        utterance = Utterance(
            f"{number:04}", Path("x.wav"), corpus, speaker, (Vote("actor", label),), gender=gender
        )
        clips.append(Clip(utterance, label, tuple(labels)))
        first, *rest = [Reply(*reply) for reply in said]
        replies.append(Replies(first, tuple(rest)))
    return figures.collect(clips, replies, labels)


class TestFigures:
    ROWS = (
        ("c", "f1", "a", ("a", 0.9), ("a", 0.8)),
        ("c", "f1", "b", ("b", 0.8), ("a", 0.6)),
        ("c", "m1", "a", ("a", 0.7), ("a", 0.7)),
        ("c", "m1", "b", ("a", 0.6), (None, 0.0)),
    )

    def test_clean(self):
        clean = figures.clean(_answers(self.ROWS))
        assert clean["n"] == 4
        assert clean["unweighted_average_recall"]["value"] == 0.75
        assert clean["weighted_accuracy"]["value"] == 0.75
        assert clean["chance"] == 0.5
        assert clean["not_answered"] == 0.0
        assert clean["mean_confidence"] == 0.75
        assert clean["overconfidence"] == 0.0
        assert clean["unweighted_average_recall_by_corpus"] == {"c": 0.75}

    def test_a_condition_is_held_against_clean(self):
        found = figures.condition(_answers(self.ROWS), 1, CONDITIONS[0])
        assert found["name"] == CONDITIONS[0].name
        assert found["unweighted_average_recall"]["value"] == 0.5
        assert found["loss"]["value"] == 0.25
        assert found["loss"]["low"] <= 0.25 <= found["loss"]["high"]
        assert found["agreement"] == 0.5
        assert found["not_answered"] == 0.25
        assert found["confidence_change"] == pytest.approx((0.1 + 0.2 + 0.0 + 0.6) / 4)
        # Calibration is that of the clips that were answered.
        assert found["overconfidence"] == pytest.approx((0.8 + 0.6 + 0.7) / 3 - 2 / 3, abs=1e-4)

    def test_the_interval_of_a_loss_is_paired(self):
        rows = [
            ("c", f"s{n}", label, (label if n % 2 else "a", 0.9), (label if n % 2 else "a", 0.9))
            for n in range(8)
            for label in "ab"
        ]
        loss = figures.condition(_answers(rows), 1, CONDITIONS[0])["loss"]
        assert loss == {"value": 0.0, "low": 0.0, "high": 0.0}

    def test_a_clip_without_an_answer_is_wrong_and_has_no_confidence(self):
        clean = figures.clean(
            _answers([("c", "f1", "a", (None, 0.0)), ("c", "f2", "b", ("b", 1.0))])
        )
        assert clean["unweighted_average_recall"]["value"] == 0.5
        assert clean["not_answered"] == 0.5
        assert clean["mean_confidence"] == 1.0

    def test_no_answers_at_all(self):
        clean = figures.clean(
            _answers([("c", "f1", "a", (None, 0.0)), ("c", "f2", "b", (None, 0))])
        )
        assert clean["unweighted_average_recall"]["value"] == 0.0
        assert clean["expected_calibration_error"] is None
        assert clean["overconfidence"] is None

    def test_chance_follows_what_each_corpus_offers(self):
        answers = _answers([("c", "f1", "a", ("a", 1.0)), ("d", "m1", "b", ("b", 1.0))])
        wide = replace(answers.clips[1], offered=("a", "b", "c", "d"))
        answers.clips[1] = wide
        assert answers.chance() == pytest.approx((1 / 2 + 1 / 4) / 2)


def _speaker(name, right, n=10):
    """Rows of one speaker, the first ``right`` of each label's ``n`` answered rightly."""
    other = {"a": "b", "b": "a"}
    return [
        ("c", name, label, (label if k < right else other[label], 0.9))
        for label in "ab"
        for k in range(n)
    ]


class TestGroups:
    def test_a_gap_that_speakers_do_not_explain(self):
        rows = [row for k in range(6) for row in _speaker(f"f{k}", 5) + _speaker(f"m{k}", 9)]
        found = groups.compare(_answers(rows), "gender")
        assert found["groups"]["female"]["unweighted_average_recall"]["value"] == 0.5
        assert found["groups"]["male"]["unweighted_average_recall"]["value"] == 0.9
        assert found["gap"] == 0.4
        assert found["weakest"] == "female"
        assert found["groupings"] == 924
        assert found["p"] < 0.01
        assert found["chance_gap"] < 0.4

    def test_a_gap_that_speakers_do_explain(self):
        rights = (2, 9, 8, 3, 9, 2, 9, 8, 3, 9, 2, 10)
        rows = [
            row for k, right in enumerate(rights) for row in _speaker(f"{'fm'[k % 2]}{k}", right)
        ]
        found = groups.compare(_answers(rows), "gender")
        assert found["gap"] > 0.0
        assert found["p"] > 0.05
        assert found["chance_gap"] > found["gap"]

    def test_speakers_are_regrouped_within_their_corpus(self):
        # The easy corpus has nearly all the women, yet within each corpus gender does not matter.
        rows = []
        for corpus, right, names in (
            ("easy", 10, ["f1", "f2", "f3", "f4", "f5", "m1"]),
            ("hard", 5, ["m2", "m3", "m4", "m5", "m6", "f6"]),
        ):
            rows += [(corpus, *row[1:]) for name in names for row in _speaker(name, right)]
        found = groups.compare(_answers(rows), "gender")
        assert found["gap"] > 0.3
        assert found["within_corpus"]
        assert found["p"] > 0.05

    def test_too_few_speakers_tell_nothing(self):
        rows = [row for k in range(2) for row in _speaker(f"f{k}", 5) + _speaker(f"m{k}", 10)]
        found = groups.compare(_answers(rows), "gender")
        assert found["gap"] == 0.5
        assert found["groupings"] == 6
        assert found["p"] is None

    def test_a_group_of_one_speaker_makes_no_gap(self):
        rows = [row for k in range(5) for row in _speaker(f"f{k}", 5)] + _speaker("m1", 10)
        found = groups.compare(_answers(rows), "gender")
        assert found["groups"]["male"]["n_speakers"] == 1
        assert found["groups"]["male"]["unweighted_average_recall"]["low"] is None
        assert found["gap"] is None

    def test_nothing_known_of_the_speakers(self):
        found = groups.compare(_answers(_speaker("f1", 5)), "age")
        assert found["groups"] == {}
        assert found["gap"] is None

    def test_corpora_with_other_emotions_are_not_compared(self):
        rows = [
            (f"corpus-{half}", *row[1:])
            for half in "xy"
            for k in range(4)
            for row in _speaker(f"s{half}{k}", 5)
        ]
        answers = _answers(rows)
        for place, clip in enumerate(answers.clips):
            language = clip.utterance.corpus[-1]
            offered = clip.offered if language == "x" else (*clip.offered, "c")
            utterance = replace(clip.utterance, language=language)
            answers.clips[place] = replace(clip, utterance=utterance, offered=offered)
        found = groups.compare(answers, "language")
        assert not found["within_corpus"]
        assert not found["same_labels"]
        assert found["p"] is None

    def test_speakers_that_differ(self):
        rows = [row for k in range(5) for row in _speaker(f"f{k}", 10)] + _speaker("m1", 3)
        found = groups.compare_speakers(_answers(rows))
        assert found["weakest"] == "c/m1"
        assert found["gap"] == 0.7
        assert found["p"] < 0.01

    def test_speakers_that_differ_by_luck(self):
        chance = np.random.default_rng(1)
        rows = [
            ("c", f"s{speaker}", label, ("ab"[chance.integers(2)], 0.5))
            for speaker in range(6)
            for label in "ab"
            for _ in range(8)
        ]
        found = groups.compare_speakers(_answers(rows))
        assert found["gap"] > 0.1
        assert found["p"] > 0.05


def _measured(**changes):
    """An audit in which every mark passes, but for the changes."""
    score = {"value": 0.8, "low": 0.7, "high": 0.9}
    base = {
        "clean": {"n": 200, "unweighted_average_recall": score, "chance": 0.25},
        "conditions": [
            {
                "name": condition.name,
                "family": condition.family,
                "loss": {"value": 0.01, "low": -0.01, "high": 0.015},
                "agreement": 0.99,
                "confidence_change": 0.01,
                "not_answered": 0.0,
                "overconfidence": -0.02,
            }
            for condition in CONDITIONS
        ],
        "groups": {
            **{
                kind: {"gap": 0.1, "p": 0.5, "same_labels": True, "weakest": "x"}
                for kind in ("gender", "age", "language")
            },
            "speaker": {
                "gap": 0.3,
                "p": 0.001,
                "weakest": "c/s",
                "groups": {"c/s": {"unweighted_average_recall": {"value": 0.6}}},
            },
        },
    }
    for condition in base["conditions"]:
        condition |= changes.get(condition["name"], {})
    for key in ("clean", "groups"):
        base[key] |= changes.get(key, {})
    return base


def _verdict(audited, key):
    (found,) = [verdict for verdict in marks.judge(audited) if verdict["key"] == key]
    return found


class TestMarks:
    def test_every_mark_speaks_of_something_that_is_measured(self):
        known = {condition.name for condition in CONDITIONS} | set(FAMILIES)
        assert len({mark.key for mark in marks.MARKS}) == len(marks.MARKS)
        for mark in marks.MARKS:
            if mark.measure not in {"gap", "weakest"}:
                assert set(mark.over) <= known
                assert marks.needed(mark)

    def test_a_good_model_passes_everything(self):
        assert {verdict["verdict"] for verdict in marks.judge(_measured())} == {"pass"}

    @pytest.mark.parametrize(
        ("key", "condition", "figure"),
        [
            ("tiny-shift-agreement", "tiny-shift:-5ms", {"agreement": 0.979}),
            ("tiny-shift-confidence", "tiny-shift:44.1kHz", {"confidence_change": 0.021}),
            ("light-noise", "babble:20dB", {"loss": {"value": 0.06, "low": 0.03, "high": 0.1}}),
            ("telephone", "telephone:GSM", {"loss": {"value": 0.2, "low": 0.15, "high": 0.3}}),
            ("speech-lost", "room:0.6s", {"not_answered": 0.03}),
            ("confidence-under-change", "babble:20dB", {"overconfidence": 0.11}),
        ],
    )
    def test_the_worst_condition_decides(self, key, condition, figure):
        found = _verdict(_measured(**{condition: figure}), key)
        assert found["verdict"] == "fail"
        assert found["where"] == condition

    @pytest.mark.parametrize(
        ("value", "low", "high", "verdict", "certain"),
        [
            (0.05, 0.0, 0.05, "pass", True),
            (0.05, 0.0, 0.06, "pass", False),
            (0.06, 0.04, 0.08, "fail", False),
            (0.06, 0.051, 0.08, "fail", True),
            (0.05, None, None, "pass", None),
        ],
    )
    def test_a_verdict_says_whether_the_interval_agrees(self, value, low, high, verdict, certain):
        loss = {"value": value, "low": low, "high": high}
        found = _verdict(_measured(**{"room:0.3s": {"loss": loss}}), "small-room")
        assert (found["verdict"], found["certain"]) == (verdict, certain)

    @pytest.mark.parametrize(
        ("changes", "key", "reason"),
        [
            ({"clean": {"n": 49}}, "light-noise", "few_clips"),
            ({"clean": {"n": 49}}, "gender-gap", "few_clips"),
            ({"clean": {"chance": 0.7}}, "telephone", "chance"),
            ({"telephone:GSM": {"overconfidence": None}}, "confidence-under-change", "no_answers"),
            ({"groups": {"age": {"gap": None}}}, "age-gap", "one_group"),
            (
                {"groups": {"age": {"gap": 0.1, "p": None, "same_labels": True}}},
                "age-gap",
                "few_speakers",
            ),
            (
                {"groups": {"language": {"gap": 0.1, "p": None, "same_labels": False}}},
                "language-gap",
                "other_labels",
            ),
            ({"groups": {"speaker": {"gap": None}}}, "weakest-speaker", "few_clips_per_speaker"),
        ],
    )
    def test_what_cannot_be_measured_is_not_passed(self, changes, key, reason):
        found = _verdict(_measured(**changes), key)
        assert (found["verdict"], found["reason"]) == ("not measured", reason)

    def test_a_mark_whose_conditions_were_left_out(self):
        audited = _measured()
        audited["conditions"] = [c for c in audited["conditions"] if c["name"] != "babble:20dB"]
        assert _verdict(audited, "light-noise")["reason"] == "left_out"
        assert _verdict(audited, "loud-noise")["verdict"] == "pass"

    @pytest.mark.parametrize(
        ("gap", "p", "verdict"),
        [(0.2, 0.06, "pass"), (0.2, 0.04, "fail"), (0.03, 0.001, "pass")],
    )
    def test_a_gap_fails_where_it_is_large_and_no_chance(self, gap, p, verdict):
        found = {"gap": gap, "p": p, "same_labels": True, "weakest": "x"}
        audited = _measured(groups={"gender": found})
        assert _verdict(audited, "gender-gap")["verdict"] == verdict

    def test_the_weakest_speaker_is_held_against_everybody(self):
        weak = {"c/s": {"unweighted_average_recall": {"value": 0.5}}}
        speaker = {"gap": 0.5, "weakest": "c/s", "p": 0.01, "groups": weak}
        found = _verdict(_measured(groups={"speaker": speaker}), "weakest-speaker")
        assert (found["verdict"], found["value"], found["where"]) == ("fail", 0.3, "c/s")
        by_luck = _measured(groups={"speaker": speaker | {"p": 0.2}})
        assert _verdict(by_luck, "weakest-speaker")["verdict"] == "pass"


class TestAudit:
    ONLY = ("white-noise:20dB", "babble:0dB", "gain:-20dB", TINY)

    def test_a_model_that_follows_the_sound(self, model, emodb):
        found = audit(model, {"emodb": emodb}, conditions=choose(self.ONLY))
        assert json.loads(json.dumps(found)) == found
        assert found["corpora"]["emodb"]["n"] == 13
        assert found["clean"]["n"] == 13
        by_name = {condition["name"]: condition for condition in found["conditions"]}
        # The toy's answers hardly depend on the level, nor on tiny shifts.
        assert by_name["gain:-20dB"]["agreement"] > 0.9
        assert by_name["tiny-shift:-1ms"]["agreement"] == 1.0
        assert by_name["white-noise:20dB"]["confidence_change"] > 0.0
        assert (
            by_name["babble:0dB"]["confidence_change"]
            > by_name["tiny-shift:-1ms"]["confidence_change"]
        )
        assert {verdict["verdict"] for verdict in found["marks"]} == {"not measured"}
        assert set(found["groups"]) == {"gender", "age", "language", "speaker"}
        assert found["groups"]["gender"]["groups"]["male"]["n_speakers"] == 2

    def test_the_clean_answer_is_that_of_the_predictor(self, model, emodb):
        manifest = bundle.load(model).manifest
        clips = select(manifest, {"emodb": emodb}).clips[:3]
        replies = ask(model, clips, (), jobs=1, seed=0, report=lambda *_: None)
        predictor = ullim.load(model)
        for clip, reply in zip(clips, replies, strict=True):
            expected = predictor.predict(clip.utterance.file, labels=clip.offered)
            assert reply.clean == Reply(expected.label, expected.confidence)

    @pytest.mark.slow
    def test_the_figures_do_not_depend_on_jobs_or_on_what_else_is_asked(self, model, emodb):
        alone = audit(model, {"emodb": emodb}, conditions=choose(["babble:5dB"]))
        wider = choose(["babble", "room:0.3s"])
        shared = audit(model, {"emodb": emodb}, conditions=wider, jobs=2)
        (same,) = [c for c in shared["conditions"] if c["name"] == "babble:5dB"]
        assert same == alone["conditions"][0]
        assert shared["clean"] == alone["clean"]

    def test_clips_that_cannot_be_read_are_counted(self, model, emodb):
        folder = Path(shutil.copytree(emodb, model.parent / "emodb"))
        (folder / "wav" / "03a01Wa.wav").write_bytes(b"")
        found = audit(model, {"emodb": folder}, conditions=())
        assert found["clean"]["n"] == 12
        assert found["unreadable"] == {"empty": 1}

    def test_nothing_can_be_read(self, model, toy_corpus):
        # The toy clips last 0.2 s, under the shortest that is answered.
        with pytest.raises(CorpusError, match="none of 13 clips can be read"):
            audit(model, {"emodb": toy_corpus("emodb")}, conditions=())

    def test_progress_counts_clips(self, model, emodb):
        told = []
        audit(
            model,
            {"emodb": emodb},
            conditions=(),
            max_items=5,
            report=lambda *counts: told.append(counts),
        )
        assert told == [("clips", done, 5) for done in range(6)]


TRAINED = {
    "name": "emodb",
    "title": "EMO-DB",
    "licence": "CC0",
    "citation": "",
    "utterances": 9,
    "speakers": 3,
}


class TestText:
    def test_what_the_model_was_trained_on_comes_first(self, make_bundle, emodb, tmp_path):
        for trained_on, words_of in (
            ((TRAINED,), "No figure here is an accuracy on people the model never heard"),
            (({**TRAINED, "name": "other"},), "was not trained on EMO-DB"),
            ((), "does not say what it was trained on"),
        ):
            folder = make_bundle(tmp_path / str(len(words_of)), trained_on=trained_on)
            found = audit(folder, {"emodb": emodb}, conditions=())
            page = text.page(found, "en")
            assert words_of in page.split("\n\n")[1]
            assert words_of in card.section(found).split("\n\n")[1]

    def test_a_part_and_few_speakers_are_said(self, model, emodb):
        found = audit(model, {"emodb": emodb}, conditions=(), max_items=6)
        lines = text.first_lines(found, "en")
        assert "Only 6 of 13 clips were asked about." in lines
        assert any(line.startswith("3 speakers: ") for line in lines)

    @pytest.mark.parametrize("lang", ["en", "ko"])
    def test_every_name_has_its_word(self, lang):
        for name in [*FAMILIES, *(mark.key for mark in marks.MARKS), *groups.KINDS]:
            assert words.say(name, lang)
        for mark in marks.MARKS:
            assert re.search(r"[≤≥] \d", text.limit(mark, lang))

    def test_both_languages_take_the_same_values(self):
        for english, korean in words._WORDS.values():
            assert set(re.findall(r"{\w+}", english)) == set(re.findall(r"{\w+}", korean))

    @pytest.mark.parametrize("lang", ["en", "ko"])
    def test_a_page_is_whole(self, model, emodb, lang):
        found = audit(model, {"emodb": emodb}, conditions=choose(["gain"]), command="ullim audit")
        page = text.page(found, lang, ["robustness.svg"])
        assert "![robustness.svg](robustness.svg)" in page
        assert "boredom 3" in page
        assert "`ullim audit`" in page
        assert ("판정" in page) == (lang == "ko")
        for table in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
            assert len({line.count("|") for line in table.splitlines()}) == 1


class TestCard:
    SECTION = "## Audit\n\nnew\n"

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("# A\n", "# A\n\n## Audit\n\nnew\n"),
            ("# A\n\n## Audit\n\nold\n", "# A\n\n## Audit\n\nnew\n"),
            ("# A\n\n## Audit\n\nold\n\n## B\n\nb\n", "# A\n\n## Audit\n\nnew\n\n## B\n\nb\n"),
            ("# A\n\n## Auditors\n\nb\n", "# A\n\n## Auditors\n\nb\n\n## Audit\n\nnew\n"),
        ],
    )
    def test_the_section_is_appended_or_replaced(self, before, after):
        assert card.put(before, self.SECTION) == after
        assert card.put(after, self.SECTION) == after

    def test_a_bundle_with_its_audit_is_sound(self, model, emodb):
        found = audit(model, {"emodb": emodb}, conditions=())
        before = bundle.load(model).manifest
        card.write(model, found)
        card.write(model, found)
        after = bundle.load(model).manifest
        written = (model / bundle.CARD).read_text(encoding="utf-8")
        assert written.startswith("# A toy\n")
        assert written.count(card.HEADING) == 1
        assert before.files[bundle.CARD] != after.files[bundle.CARD]
        assert before.model_copy(update={"files": {}}) == after.model_copy(update={"files": {}})
        for name in before.files.keys() - {bundle.CARD}:
            assert before.files[name] == after.files[name]
        assert not list(model.parent.glob(".*"))

    def test_a_shipped_bundle_is_left_alone(self, monkeypatch, model):
        monkeypatch.setattr(ullim, "__file__", str(model.parent / "__init__.py"))
        with pytest.raises(BundleError, match="--force") as caught:
            card.check_writable(model, force=False)
        assert caught.value.code == "shipped"
        card.check_writable(model, force=True)

    def test_files_of_others_are_not_lost(self, model):
        (model / "notes.txt").write_text("mine")
        with pytest.raises(BundleError, match=r"notes\.txt"):
            card.check_writable(model, force=True)


@pytest.fixture(scope="module")
def found(toy_bundle, emodb):
    """A finished audit of the toy."""
    return audit(toy_bundle, {"emodb": emodb}, conditions=choose(["gain", TINY, "speed"]))


class TestOutput:
    def test_a_folder_is_written_and_replaced(self, found, tmp_path):
        pytest.importorskip("matplotlib")
        out = tmp_path / "deep" / "audit"
        for _ in range(2):
            pictures = output.write(out, found, "en")
            names = {path.name for path in out.iterdir()}
            assert names == {output.PAGE, output.DATA, *pictures}
            assert len(pictures) == 4
            assert [path.name for path in out.parent.iterdir()] == ["audit"]
        assert json.loads((out / output.DATA).read_text(encoding="utf-8")) == found
        assert (out / "groups.png").read_bytes().startswith(b"\x89PNG")
        page = (out / output.PAGE).read_text(encoding="utf-8")
        for name in re.findall(r"\]\(([\w.]+)\)", page):
            assert (out / name).is_file()

    def test_pictures_in_korean_or_else_in_english(self, found, tmp_path, monkeypatch):
        pytest.importorskip("matplotlib")
        from ullim.audit import pictures

        monkeypatch.setattr(pictures, "use_korean_font", lambda: False)
        assert pictures.draw(tmp_path, found, "ko")
        assert "<!-- gain -->" in (tmp_path / "robustness.svg").read_text(encoding="utf-8")

    def test_other_folders_are_left_alone(self, found, tmp_path):
        (tmp_path / "thesis.tex").write_text("years of work")
        with pytest.raises(UllimError, match="left alone"):
            output.write(tmp_path, found, "en")
        assert (tmp_path / "thesis.tex").is_file()

    def test_a_failed_picture_leaves_nothing(self, found, tmp_path, monkeypatch):
        def fail(*_):
            raise OSError("disk full")

        monkeypatch.setattr(output, "_draw", fail)
        out = tmp_path / "new" / "audit"
        with pytest.raises(OSError, match="disk full"):
            output.write(out, found, "en")
        assert list(out.parent.iterdir()) == []

    def test_without_matplotlib_there_are_figures_but_no_pictures(
        self, found, tmp_path, monkeypatch
    ):
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        monkeypatch.delitem(sys.modules, "ullim.audit.pictures", raising=False)
        monkeypatch.delattr("ullim.audit.pictures", raising=False)
        assert output.write(tmp_path / "audit", found, "en") == []
        assert {path.name for path in (tmp_path / "audit").iterdir()} == {output.PAGE, output.DATA}


class TestCommand:
    def test_tables(self, run, model, emodb):
        code, out, err = run("audit", model, "-c", f"emodb={emodb}", "--only", "gain")
        assert code == 0, err
        assert out.startswith("The model does not say what it was trained on")
        rows = [line.split("\t") for line in out.splitlines()]
        assert ["gain", "-20 dB"] in [row[:2] for row in rows]
        assert ["gender", "female", "4", "1"] in [row[:4] for row in rows]
        assert len([row for row in rows if "not measured" in row]) == len(marks.MARKS)

    def test_korean(self, run, model, emodb):
        code, out, _ = run("audit", model, "-c", f"emodb={emodb}", "--only", "gain", "--lang", "ko")
        assert code == 0
        assert "음량\t-20 dB" in out
        assert "측정 안 함" in out

    def test_json_and_folder_agree(self, run, model, emodb, tmp_path):
        folder = tmp_path / "audit"
        code, out, err = run(
            "audit", model, "-c", f"emodb={emodb}", "--only", "speed", "--json", "-o", folder
        )
        assert code == 0
        assert json.loads(out) == json.loads((folder / output.DATA).read_text(encoding="utf-8"))
        assert str(folder) in err.replace("\n", "")

    def test_the_card_is_written(self, run, model, emodb):
        code, _, err = run("audit", model, "-c", f"emodb={emodb}", "--only", "gain", "--write-card")
        assert code == 0, err
        assert card.HEADING in (model / bundle.CARD).read_text(encoding="utf-8")
        bundle.load(model)

    def test_strict_exits_with_one_where_a_mark_fails(self, run, model, emodb, monkeypatch):
        arguments = ("audit", model, "-c", f"emodb={emodb}", "--only", TINY, "--strict")
        assert run(*arguments)[0] == 0
        monkeypatch.setattr(marks, "MIN_CLIPS", 2)
        worse = replace(marks.MARKS[0], limit=1.01)
        monkeypatch.setattr(marks, "MARKS", (worse,))
        monkeypatch.setattr(text, "MARKS", (worse,))
        code, out, _ = run(*arguments)
        assert worse.key == "tiny-shift-agreement"
        assert "fail" in out
        assert code == 1

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ((), "NAME=PATH"),
            (("-c", "emodb=/nowhere"), "not a folder"),
            (("-c", "nothing=/nowhere"), "no corpus is called"),
            (("-c", "emodb=/nowhere", "--only", "moon"), "no condition is called moon"),
        ],
    )
    def test_wrong_input_is_told(self, run, model, arguments, said):
        code, out, err = run("audit", model, *arguments)
        assert code == 2
        assert out == ""
        assert said in " ".join(err.split())

    def test_what_would_fail_at_the_end_fails_at_the_start(self, run, model, tmp_path):
        (tmp_path / "mine.txt").write_text("x")
        code, _, err = run("audit", model, "-c", "emodb=/nowhere", "--out", tmp_path)
        assert code == 2
        assert "left alone" in " ".join(err.split())
        code, _, err = run("audit", "default", "-c", "emodb=/nowhere", "--write-card")
        assert code == 2
        assert "--force" in err


@pytest.mark.slow
@pytest.mark.corpora
def test_a_shipped_bundle_on_real_speech(corpora_root):
    if not (corpora_root / "emodb").is_dir():
        pytest.skip(f"{corpora_root} holds no emodb")
    folder = Path(ullim.__file__).parent / "data" / "models" / "emodb"
    found = audit(
        folder,
        {"emodb": corpora_root / "emodb"},
        conditions=choose(["white-noise", "gain:-20dB", "tiny-shift:-1ms"]),
        max_items=60,
    )
    noise = {c["level"]: c["loss"]["value"] for c in found["conditions"] if "noise" in c["family"]}
    assert found["corpora"]["emodb"]["trained_on"]
    assert found["clean"]["unweighted_average_recall"]["low"] > found["clean"]["chance"]
    assert noise["0 dB"] > noise["20 dB"]
    assert _verdict(found, "quiet")["verdict"] != "not measured"


def test_the_page_on_audits_names_every_mark_and_family():
    path = Path(__file__).resolve().parent.parent / "docs" / "audit.md"
    written = path.read_text(encoding="utf-8")
    for name in [*FAMILIES, *(mark.key for mark in marks.MARKS)]:
        assert f"`{name}`" in written, name
    assert f"{len(CONDITIONS)} changes" in written
