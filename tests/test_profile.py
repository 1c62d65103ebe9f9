"""The seven cues of a voice: measured on known voices, compared, told in words, drawn."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ullim.cli.features_plot import choose
from ullim.errors import CorpusError, FeatureError
from ullim.features.cue_words import describe
from ullim.features.cues import MEASURES, Cues, measure
from ullim.features.profile import THRESHOLDS, compare, degree, reference
from ullim.types import Utterance, Vote

RATE = 16_000


def voice(rate=4.0, f0_hz=150.0, gain=0.1, swing=0.0, tilt=1.0, duration_s=2.0, sampling_rate=RATE):
    """Return harmonics under syllables of a known rate, F0 and gain."""
    t = np.arange(round(duration_s * sampling_rate)) / sampling_rate
    hz = f0_hz * 2.0 ** (swing / 12 * np.sin(2 * np.pi * 2 * t))
    phase = 2 * np.pi * np.cumsum(hz) / sampling_rate
    stack = sum(np.sin(k * phase) / k**tilt for k in range(1, int(5000 / f0_hz)))
    return (gain * stack * np.abs(np.sin(np.pi * rate * t))).astype(np.float32)


NEUTRAL = measure(voice(), RATE)


class TestMeasure:
    @pytest.mark.parametrize("rate", [3.0, 4.0, 6.0])
    def test_rate(self, rate):
        assert measure(voice(rate), RATE).syllables_per_s == pytest.approx(rate, rel=0.1)

    @pytest.mark.parametrize("f0_hz", [90.0, 200.0, 320.0])
    def test_pitch(self, f0_hz):
        cues = measure(voice(f0_hz=f0_hz), RATE)
        assert cues.f0_median_hz == pytest.approx(f0_hz, rel=0.01)
        assert cues.f0_range_semitones < 0.5

    def test_gain_moves_the_level_and_nothing_else(self):
        louder = measure(voice(gain=0.2), RATE)
        assert louder.level_db - NEUTRAL.level_db == pytest.approx(6.02, abs=0.05)
        assert replace(louder, level_db=0).to_dict() == pytest.approx(
            replace(NEUTRAL, level_db=0).to_dict(), abs=0.05
        )

    def test_movement_range_and_tilt(self):
        moving = measure(voice(swing=4.0), RATE)
        assert 6.0 < moving.f0_range_semitones < 8.0
        # A sine of 4 semitones at 2 Hz moves by 4 * 4 * 2 semitones a second.
        assert moving.f0_speed_semitones_per_s == pytest.approx(32.0, rel=0.2)
        assert measure(voice(tilt=2.0), RATE).spectral_balance_db < NEUTRAL.spectral_balance_db - 5

    def test_silence_around_and_another_rate_change_little(self):
        around = np.concatenate([np.zeros(RATE), voice(), np.zeros(RATE)])
        faster = measure(voice(sampling_rate=44_100), 44_100)
        for other in (measure(around, RATE), faster):
            assert other.syllables_per_s == pytest.approx(NEUTRAL.syllables_per_s, rel=0.1)
            assert other.f0_median_hz == pytest.approx(150, rel=0.01)
            assert other.level_db == pytest.approx(NEUTRAL.level_db, abs=0.5)

    @pytest.mark.parametrize(
        ("signal", "rate", "code"),
        [
            (np.zeros(RATE), RATE, "silent"),
            (np.full(RATE, 0.5), RATE, "silent"),
            (np.zeros(0), RATE, "silent"),
            (np.random.default_rng(0).standard_normal(RATE) * 0.1, RATE, "unvoiced"),
            (voice(duration_s=0.25), RATE, "too_short"),
            (np.zeros((2, RATE)), RATE, "bad_shape"),
            (np.full(RATE, np.nan), RATE, "not_finite"),
            (voice(), 8_000, "bad_rate"),
        ],
    )
    def test_bad_input(self, signal, rate, code):
        with pytest.raises(FeatureError) as caught:
            measure(signal, rate)
        assert caught.value.code == code


class TestCompare:
    def test_the_table_has_every_measure(self):
        rows = reference()["speakers"]
        assert rows.keys() == {"any", "female", "male"}
        for row in rows.values():
            assert row.keys() == {one.name for one in MEASURES}
            assert all(value["within"] > 0 for value in row.values())
        pitch = {who: row["f0_median_hz"]["mean"] for who, row in rows.items()}
        assert pitch["male"] < pitch["any"] < pitch["female"]

    def test_against_the_speaker(self):
        high = measure(voice(f0_hz=300.0), RATE)
        profile = compare(high, [NEUTRAL] * 4)
        by_name = {one.measure: one for one in profile.differences}
        within = reference()["speakers"]["any"]["f0_median_hz"]["within"]
        # An octave over the floor of the spread, and four clips that agree perfectly.
        assert by_name["f0_median_hz"].z == pytest.approx(12 / within / 1.25**0.5, rel=0.02)
        assert by_name["f0_median_hz"].degree == "strong"
        assert by_name["f0_median_hz"].neutral == pytest.approx(150, rel=0.01)
        assert by_name["level_db"].z is not None
        assert profile.few
        assert not compare(high, [NEUTRAL] * 5).few

    def test_their_own_spread_counts_where_it_is_wider(self):
        wild = [replace(NEUTRAL, f0_median_hz=hz) for hz in (75.0, 150.0, 300.0)]
        found = compare(measure(voice(f0_hz=300.0), RATE), wild).differences[1]
        assert found.z == pytest.approx(1 / (4 / 3) ** 0.5, rel=0.02)

    def test_without_the_speaker_intensity_is_not_compared(self):
        profile = compare(NEUTRAL, who="male")
        assert profile.against == "reference"
        assert [one.measure for one in profile.differences if one.z is None] == ["level_db"]

    def test_unknown_row(self):
        with pytest.raises(FeatureError, match="any, female, male"):
            compare(NEUTRAL, who="other")  # type: ignore[arg-type]

    def test_degrees(self):
        assert [degree(z) for z in (0.99, -1.0, 2.0, -3.5)] == ["alike", *THRESHOLDS]


class TestWords:
    def test_english(self):
        lines = describe(compare(measure(voice(6.0, gain=0.4), RATE), [NEUTRAL]))
        (rate,) = [line for line in lines if line.startswith("speech rate")]
        assert "faster than this speaker's neutral: 6." in rate
        assert rate.endswith("syllables a second")
        assert any("louder" in line for line in lines)
        assert "only 1 neutral recording of" in lines[-1]

    def test_korean(self):
        lines = describe(compare(measure(voice(2.5, f0_hz=300.0), RATE), [NEUTRAL] * 5), "ko")
        assert any(
            "이 화자의 중립 음성보다 훨씬 더 높습니다: 300 (중립 150) Hz" in s for s in lines
        )
        assert any("느립니다" in line for line in lines)
        assert "뿐입니다" not in lines[-1]

    def test_nothing_differs(self):
        assert describe(compare(NEUTRAL, [NEUTRAL] * 5)) == [
            "nothing measured differs from neutral speech"
        ]

    @pytest.mark.parametrize(("lang", "words"), [("en", "other women"), ("ko", "여성 화자 24명")])
    def test_the_reference_is_owned_up_to(self, lang, words):
        assert words in describe(compare(NEUTRAL, who="female"), lang)[-1]

    def test_every_measure_goes_both_ways_in_both_languages(self):
        for sign in (-1, 1):
            far = Cues(
                **{
                    name: value * 2.0 ** (4 * sign) if name == "f0_median_hz" else value + sign * 99
                    for name, value in NEUTRAL.to_dict().items()
                }
            )
            for lang in ("en", "ko"):
                assert len(describe(compare(far, [NEUTRAL] * 5), lang)) == len(MEASURES)


@pytest.fixture
def run(run, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name, signal in (("high.wav", voice(f0_hz=300.0)), ("plain.wav", voice())):
        soundfile.write(name, signal, RATE)
    soundfile.write("noise.wav", 0.1 * np.random.default_rng(0).standard_normal(RATE), RATE)

    def call(*arguments):
        outcome = run("features", *arguments)
        return outcome.code, outcome.out, outcome.said

    return call


class TestCommands:
    def test_profile(self, run):
        code, out, _ = run("profile", "high.wav", "--neutral", "plain.wav")
        assert code == 0
        assert "much higher than this speaker's neutral: 300 against 150 Hz" in out
        assert "the model says: " in out

    def test_profile_in_json_and_korean(self, run):
        code, out, _ = run("profile", "high.wav", "--gender", "female", "--lang", "ko", "--json")
        answer = json.loads(out)
        assert code == 0
        assert answer.keys() == {"file", "cues", "profile", "words", "prediction"}
        assert answer["profile"]["against"] == "reference"
        assert "여성" in answer["words"][-1]

    @pytest.mark.parametrize("lang", ["en", "ko"])
    def test_pictures(self, run, toy_corpus, lang):
        pytest.importorskip("matplotlib")
        assert run("profile", "high.wav", "-n", "plain.wav", "-o", "p.png", "--lang", lang)[0] == 0
        root = toy_corpus("ravdess")
        for file in root.glob("Actor_*/*.wav"):
            soundfile.write(file, voice(duration_s=0.5), RATE)  # the toy clips are too short
        corpus = f"ravdess={root}"
        code, _, err = run("plot", "--by-emotion", corpus, "-o", "e.png", "--lang", lang)
        assert code == 0, err
        assert "anger: 03-01-05-01-01-01-01" in err
        for name in ("p.png", "e.png"):
            assert Path(name).read_bytes().startswith(b"\x89PNG")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["profile", "noise.wav"], "noise.wav: no voice with a pitch"),
            (["profile", "high.wav", "-n", "noise.wav"], "noise.wav: no voice with a pitch"),
            (["profile", "absent.wav"], "absent.wav"),
            (["profile", "high.wav", "-o", "x.gif"], ".png, .svg, .pdf"),
            (["plot"], "--by-emotion NAME=PATH"),
            (["plot", "high.wav", "--speaker", "1"], "--by-emotion NAME=PATH"),
            (["plot", "--by-emotion", "ravdess"], "NAME=PATH"),
        ],
    )
    def test_bad_use(self, run, arguments, message):
        code, _, err = run(*arguments)
        assert code == 2
        assert message in err


def spoken(name, speaker, label, sentence, votes=()):
    return Utterance(
        id=name, file=Path(name), corpus="toy", speaker=speaker, sentence_id=sentence,
        votes=votes or (Vote("actor", label),),
    )  # fmt: skip


class TestChoice:
    ROWS = [
        spoken("1", "b", "anger", "x"),
        spoken("2", "b", "neutral", "x"),
        spoken("3", "b", "fear", "y"),
        spoken("0", "b", "anger", "y"),
        spoken("5", "b", "neutral", "y"),
        spoken("6", "b", "anger", "y"),
        spoken("4", "a", "anger", "x"),
        spoken("7", "b", "", "y", (Vote("r", "disgust"), Vote("s", "fear"))),
    ]

    @pytest.mark.parametrize("rows", [ROWS, ROWS[::-1]])
    def test_one_for_each_emotion_whatever_the_order(self, rows):
        assert {label: u.id for label, u in choose(rows).items()} == {
            "neutral": "5", "anger": "0", "fear": "3",
        }  # fmt: skip

    def test_asked_for(self):
        assert [u.id for u in choose(self.ROWS, sentence="x").values()] == ["2", "1"]
        assert [u.id for u in choose(self.ROWS, speaker="a").values()] == ["4"]

    @pytest.mark.parametrize("asked", [{"speaker": "c"}, {"sentence": "z"}])
    def test_unknown(self, asked):
        with pytest.raises(CorpusError, match="there are: "):
            choose(self.ROWS, **asked)
