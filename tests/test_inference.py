"""The predictor: windows, voice, timeline, statuses, every kind of source, memory and threads."""

from __future__ import annotations

import io
import itertools
import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

import ullim
from ullim import audio
from ullim.decision import Decision
from ullim.errors import AudioError, BundleError, UllimError
from ullim.features.spectral import LogMel
from ullim.inference import models, timeline
from ullim.inference.predictor import Predictor
from ullim.inference.voice import FRAME_S, SAMPLING_RATE, VoiceActivity
from ullim.inference.windows import cut
from ullim.types import FloatArray, Prediction
from ullim.window import Window

RATE = 16_000
LABELS = ("neutral", "happiness", "sadness", "anger")

MakePredictor = Callable[..., Predictor]


@pytest.fixture(scope="module")
def predictor(toy_bundle: Path) -> Predictor:
    """Answers by the colour of the sound, ``no_speech`` for noise."""
    return Predictor.from_folder(toy_bundle)


@pytest.fixture
def make_predictor(make_bundle, tmp_path) -> MakePredictor:
    """Builds a predictor with fixed logits or other fields of the manifest."""
    numbers = itertools.count()

    def make(**arguments: object) -> Predictor:
        folder = make_bundle(tmp_path / f"bundle-{next(numbers)}", **arguments)
        return Predictor.from_folder(folder)

    return make


@pytest.fixture(scope="module")
def clip(make_speech) -> FloatArray:
    """A few seconds of speech whose voice changes half way, and the label with it."""
    return np.concatenate(
        [
            make_speech(4.3, f0_hz=140.0, tilt=1.0, seed=1),
            make_speech(4.4, f0_hz=300.0, tilt=0.5, seed=2),
        ]
    )


def as_wav(samples: FloatArray, rate: int = RATE, **options: object) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **({"format": "WAV", "subtype": "FLOAT"} | options))
    return file.getvalue()


def noise(duration_s: float, level: float = 0.1) -> FloatArray:
    generator = np.random.default_rng(5)
    return (level * generator.standard_normal(round(duration_s * RATE))).astype(np.float32)


def assert_whole(prediction: Prediction, duration_s: float) -> None:
    """The timeline covers the recording, in order, without gaps, and its numbers are sound."""
    segments = prediction.segments
    assert prediction.duration_s == pytest.approx(duration_s, abs=1e-3)
    assert segments[0].start_s == 0.0
    assert segments[-1].end_s == pytest.approx(prediction.duration_s)
    for left, right in itertools.pairwise(segments):
        assert left.end_s == right.start_s
        assert left.label != right.label, "equal neighbours are one segment"
    for segment in segments:
        assert segment.start_s < segment.end_s
        if segment.label is None:
            assert segment.confidence is None
            assert segment.scores == {}
        else:
            assert segment.label == max(segment.scores, key=lambda name: segment.scores[name])
            assert sum(segment.scores.values()) == pytest.approx(1.0, abs=1e-5)
            assert 0.0 <= segment.confidence <= segment.scores[segment.label] + 1e-6


def assert_same(left: Prediction, right: Prediction, tolerance: float = 1e-4) -> None:
    assert (left.label, left.status) == (right.label, right.status)
    assert left.scores.keys() == right.scores.keys()
    for name, score in left.scores.items():
        assert score == pytest.approx(right.scores[name], abs=tolerance)
    assert [(s.start_s, s.label) for s in left.segments] == [
        (s.start_s, s.label) for s in right.segments
    ]
    assert left.duration_s == pytest.approx(right.duration_s, abs=1e-3)


class TestWindows:
    @given(data=st.data())
    @settings(deadline=None)
    def test_cuts_as_the_window_rule_says(self, data):
        n = data.draw(st.integers(1, 300), label="samples")
        length = data.draw(st.integers(1, 80), label="length")
        hop = data.draw(st.integers(1, 80), label="hop")
        ends = sorted(data.draw(st.lists(st.integers(0, n), max_size=12), label="block ends"))
        signal = np.arange(n, dtype=np.float32)
        blocks = np.split(signal, ends)
        windows = list(cut(blocks, length, hop))
        rule = Window(mode="crop", length_s=length, hop_s=hop)
        # A hop longer than the window leaves samples out, in both alike.
        starts = rule.starts(n, 1.0).tolist()
        assert [start for start, _ in windows] == starts
        for start, window in windows:
            np.testing.assert_array_equal(window, signal[start : start + rule.length(n, 1.0)])
        if hop <= length:
            seen = np.concatenate([window for _, window in windows])
            assert set(seen.tolist()) == set(signal.tolist())

    @given(n=st.integers(1, 200), blocks=st.integers(1, 7))
    @settings(deadline=None)
    def test_whole_is_one_window(self, n, blocks):
        signal = np.arange(n, dtype=np.float32)
        ((start, window),) = cut(np.array_split(signal, blocks), None, 1)
        assert start == 0
        np.testing.assert_array_equal(window, signal)

    def test_windows_do_not_change_when_more_blocks_come(self):
        blocks = [np.arange(i, i + 10, dtype=np.float32) for i in range(0, 100, 10)]
        early = [(start, window, window.copy()) for start, window in cut(blocks, 25, 5)]
        assert len(early) == 16
        for _, window, as_yielded in early:
            np.testing.assert_array_equal(window, as_yielded)

    def test_holds_no_more_than_a_window_and_a_block(self):
        length, block = 4 * RATE, 30 * RATE

        def blocks():
            for _ in range(40):
                yield np.zeros(block, dtype=np.float32)

        tracemalloc.start()
        try:
            n_windows = sum(1 for _ in cut(blocks(), length, RATE))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert n_windows == 40 * 30 - 3
        assert peak < 4 * (length + block) * 4  # bytes of float32; 40 blocks would be 77 MB


class TestVoiceActivity:
    def test_hears_nothing_in_silence(self):
        frames = VoiceActivity().feed(np.zeros(3 * SAMPLING_RATE, np.float32))
        assert frames.shape == (100,)
        assert not frames.any()

    def test_hears_a_voice(self, make_speech):
        assert VoiceActivity().feed(make_speech(3.0)).mean() > 0.5

    @given(ends=st.lists(st.integers(0, 8000), max_size=10))
    @settings(max_examples=25, deadline=None)
    def test_pieces_give_what_the_whole_gives(self, make_speech, ends):
        signal = np.concatenate([np.zeros(3000, np.float32), make_speech(0.3125)])
        detector = VoiceActivity()
        pieces = [detector.feed(piece) for piece in np.split(signal, sorted(ends))]
        np.testing.assert_array_equal(np.concatenate(pieces), VoiceActivity().feed(signal))

    def test_an_incomplete_frame_waits(self):
        detector = VoiceActivity()
        frame = round(FRAME_S * SAMPLING_RATE)
        assert detector.feed(np.zeros(frame - 1, np.float32)).size == 0
        assert detector.feed(np.zeros(1, np.float32)).size == 1

    def test_samples_over_full_scale_are_clipped(self, make_speech):
        loud = make_speech(1.0) * 100
        np.testing.assert_array_equal(
            VoiceActivity().feed(loud), VoiceActivity().feed(np.clip(loud, -1, 1))
        )


def told(
    emotions: object,
    *,
    voice: object = None,
    silence: object = None,
    length_s: float = 2.0,
    step_s: float = 1.0,
    duration_s: float | None = None,
    hop_s: float | None = 1.0,
    every_window: bool = False,
    **decision: object,
) -> timeline.Answer:
    """Decide over windows that start every ``step_s``; everything is voice unless told."""
    emotions = np.asarray(emotions, dtype=np.float32)
    starts_s = np.arange(len(emotions)) * step_s
    duration_s = starts_s[-1] + length_s if duration_s is None else duration_s
    n_frames = int(duration_s / FRAME_S)
    return timeline.decide(
        timeline.Windows(
            starts_s,
            np.full(len(emotions), min(length_s, duration_s)),
            emotions,
            np.zeros(len(emotions), np.float32) if silence is None else np.float32(silence),
        ),
        np.ones(n_frames, bool) if voice is None else np.asarray(voice, bool),
        duration_s=duration_s,
        hop_s=hop_s,
        decision=Decision(**decision),
        labels=["neutral", "anger"],
        every_window=every_window,
    )


class TestTimeline:
    def test_a_clip_taken_mostly_for_other_sounds_needs_one_window_that_is_clearly_a_voice(self):
        scores = [[0.9, 0.1]] * 3
        assert told(scores, silence=[0.4, 0.7, 0.7]).scores is None
        assert told(scores, silence=[0.1, 0.9, 0.9]).scores is not None
        assert told(scores, silence=[0.4, 0.4, 0.6]).scores is not None

    def test_a_change_shows(self):
        answer = told([[0.9, 0.1]] * 4 + [[0.1, 0.9]] * 4)
        assert [segment.label for segment in answer.segments] == ["neutral", "anger"]
        assert answer.scores == pytest.approx([0.5, 0.5])

    def test_confidence_is_the_score_times_the_share_of_voice(self):
        answer = told([[0.8, 0.2]] * 3, silence=[0.25] * 3)
        (segment,) = answer.segments
        assert segment.scores == pytest.approx({"neutral": 0.8, "anger": 0.2})
        assert segment.confidence == pytest.approx(0.8 * 0.75)
        assert answer.voice == pytest.approx(0.75)
        assert answer.scores == pytest.approx([0.8, 0.2])

    def test_a_silent_stretch_has_no_label(self):
        voice = np.ones(266, bool)
        voice[100:200] = False  # 3.0 s to 6.0 s of 8.0 s
        answer = told([[0.9, 0.1]] * 7, voice=voice)
        assert [(s.start_s, s.end_s, s.label) for s in answer.segments] == [
            (0.0, 3.0, "neutral"),
            (3.0, 6.0, None),
            (6.0, 8.0, "neutral"),
        ]
        assert answer.segments[1].confidence is None
        assert answer.segments[1].scores == {}

    def test_windows_without_voice_do_not_count(self):
        voice = np.zeros(266, bool)
        voice[:66] = True
        answer = told([[0.9, 0.1]] + [[0.0, 1.0]] * 6, voice=voice, step_s=1.0)
        # The second window hears 1 s of the voice, the first 2 s.
        assert answer.scores == pytest.approx(
            (2 * np.array([0.9, 0.1]) + np.array([0, 1])) / 3, abs=0.01
        )

    def test_windows_the_model_calls_silent_do_not_count(self):
        answer = told([[0.9, 0.1], [0.0, 1.0]], silence=[0.1, 0.9])
        assert answer.scores == pytest.approx([0.9, 0.1])
        assert answer.voice == pytest.approx(0.9)

    def test_where_every_window_counts_all_do_alike(self):
        voice = np.zeros(266, bool)
        voice[:66] = True
        rows = [[0.9, 0.1]] + [[0.2, 0.8]] * 3
        some, every = (
            told(rows, voice=voice, step_s=2.0, every_window=every) for every in (False, True)
        )
        assert some.scores == pytest.approx([0.9, 0.1])
        assert some.shares == pytest.approx([1.0, 0.0])
        assert every.scores == pytest.approx([0.375, 0.625])
        assert every.shares == pytest.approx([0.25, 0.75])
        assert every.voice == 1.0
        assert every.segments == some.segments
        assert [segment.label for segment in every.segments] == ["neutral", None]

    def test_where_every_window_counts_those_the_model_calls_silent_do_not(self):
        answer = told([[0.9, 0.1], [0.0, 1.0]], silence=[0.1, 0.9], every_window=True)
        assert answer.scores == pytest.approx([0.9, 0.1])
        assert answer.shares == pytest.approx([1.0, 0.0])
        assert answer.voice == pytest.approx(0.9)

    @pytest.mark.parametrize("every_window", [False, True])
    @pytest.mark.parametrize(
        ("voice", "silence"),
        [(np.zeros(133), [0.0] * 3), (np.ones(133), [0.5] * 3), (np.arange(133) < 6, [0.0] * 3)],
        ids=["no voice", "the model says so", "less voice than min_speech_s"],
    )
    def test_no_speech(self, voice, silence, every_window):
        answer = told([[0.9, 0.1]] * 3, voice=voice, silence=silence, every_window=every_window)
        assert answer.scores is None
        ((segment),) = answer.segments
        assert (segment.start_s, segment.end_s, segment.label) == (0.0, 4.0, None)

    def test_of_a_short_clip_half_must_be_voice(self):
        short = {"length_s": 0.3, "duration_s": 0.3}
        assert told([[0.9, 0.1]], voice=[True] * 5 + [False] * 5, **short).scores is not None
        assert told([[0.9, 0.1]], voice=[True] * 4 + [False] * 6, **short).scores is None

    def test_without_a_step_it_is_one_stretch(self):
        answer = told([[0.9, 0.1]], length_s=30.0, hop_s=None)
        assert [(s.start_s, s.end_s) for s in answer.segments] == [(0.0, 30.0)]

    @pytest.mark.parametrize(
        ("duration_s", "edges"),
        [(0.4, [0.4]), (1.4, [1.4]), (1.6, [1.0, 1.6]), (3.0, [1, 2, 3]), (3.49, [1, 2, 3.49])],
    )
    def test_a_short_rest_joins_the_last_step(self, duration_s, edges):
        n = max(1, int(duration_s))
        rows = [[0.9, 0.1], [0.1, 0.9]] * 5
        answer = told(rows[:n], length_s=1.0, duration_s=duration_s, smoothing_s=0.1)
        assert answer.segments[-1].end_s == duration_s
        assert {s.end_s for s in answer.segments} <= set(edges)

    @given(data=st.data())
    @settings(deadline=None)
    def test_is_always_whole(self, data):
        duration_s = data.draw(st.floats(0.25, 40.0), label="duration")
        hop_s = data.draw(st.one_of(st.none(), st.floats(0.1, 7.0)), label="hop")
        length_s = data.draw(st.floats(0.2, 6.0), label="length")
        window = Window(mode="crop", length_s=length_s, hop_s=hop_s or 1.0)
        n = round(duration_s * RATE)
        starts = window.starts(n, 1 / RATE) / RATE
        seed = data.draw(st.integers(0, 2**32 - 1), label="seed")
        generator = np.random.default_rng(seed)
        emotions = generator.dirichlet([0.5, 0.5, 0.5], len(starts)).astype(np.float32)
        voice = generator.random(int(duration_s / FRAME_S)) < generator.random()
        silence = (generator.random(len(starts)) * generator.random()).astype(np.float32)
        answer = timeline.decide(
            timeline.Windows(
                starts, np.full(len(starts), window.length(n, 1 / RATE) / RATE), emotions, silence
            ),
            voice,
            duration_s=n / RATE,
            hop_s=hop_s,
            decision=Decision(),
            labels=["neutral", "anger", "fear"],
        )
        if answer.scores is None:
            assert [segment.label for segment in answer.segments] == [None]
        else:
            assert answer.scores.sum() == pytest.approx(1.0, abs=1e-4)
            assert 0.5 < answer.voice <= 1.0
        assert_whole(Prediction(None, None, {}, answer.segments, n / RATE, "ok"), n / RATE)


class TestStatus:
    """A graph without weights fixes the answer, so each status can be asked for."""

    @staticmethod
    def logits(**shares: float) -> dict[str, object]:
        return {"labels": tuple(shares), "bias": np.log(list(shares.values())).tolist()}

    def test_ok(self, make_predictor, make_speech):
        predictor = make_predictor(**self.logits(neutral=0.2, anger=0.7, fear=0.1))
        prediction = predictor.predict(make_speech(2.0), RATE)
        assert prediction.status == "ok"
        assert prediction.label == "anger"
        assert prediction.confidence == pytest.approx(0.7, abs=1e-5)
        assert prediction.scores == pytest.approx({"neutral": 0.2, "anger": 0.7, "fear": 0.1})

    def test_uncertain_under_the_bundle_s_threshold(self, make_predictor, make_speech):
        shares = self.logits(neutral=0.2, anger=0.7, fear=0.1)
        prediction = make_predictor(**shares, reject_threshold=0.71).predict(make_speech(2.0), RATE)
        assert (prediction.status, prediction.label) == ("uncertain", "anger")
        assert make_predictor(**shares, reject_threshold=0.69).predict(
            make_speech(2.0), RATE
        ).status == ("ok")

    def test_reject_below_replaces_the_threshold(self, make_predictor, make_speech):
        predictor = make_predictor(
            **self.logits(neutral=0.2, anger=0.7, fear=0.1), reject_threshold=0.9
        )
        speech = make_speech(2.0)
        assert predictor.predict(speech, RATE).status == "uncertain"
        assert predictor.predict(speech, RATE, reject_below=0.5).status == "ok"
        assert predictor.predict(speech, RATE, reject_below=0.0).status == "ok"
        assert predictor.predict(speech, RATE, reject_below=1.0).status == "uncertain"

    @pytest.mark.parametrize("value", [-0.1, 1.1, 2.0, float("nan"), float("inf")])
    def test_reject_below_is_a_probability(self, value, predictor, make_speech):
        with pytest.raises(UllimError, match="probability from 0 to 1 and was") as caught:
            predictor.predict(make_speech(1.0), RATE, reject_below=value)
        assert caught.value.code == "bad_threshold"

    def test_ambiguous_when_two_share_the_top(self, make_predictor, make_speech):
        shares = self.logits(neutral=0.45, anger=0.46, fear=0.09)
        assert make_predictor(**shares).predict(make_speech(2.0), RATE).status == "ambiguous"
        strict = make_predictor(**shares, decision=Decision(ambiguity_margin=0.005))
        assert strict.predict(make_speech(2.0), RATE).status == "ok"

    def test_uncertain_comes_before_ambiguous(self, make_predictor, make_speech):
        shares = self.logits(neutral=0.45, anger=0.46, fear=0.09)
        predictor = make_predictor(**shares, reject_threshold=0.5)
        assert predictor.predict(make_speech(2.0), RATE).status == "uncertain"

    def test_voice_lowers_confidence_and_not_the_scores(self, make_predictor, make_speech):
        predictor = make_predictor(**self.logits(neutral=0.14, anger=0.56, no_speech=0.3))
        prediction = predictor.predict(make_speech(2.0), RATE)
        assert prediction.scores == pytest.approx({"neutral": 0.2, "anger": 0.8}, abs=1e-5)
        assert prediction.confidence == pytest.approx(0.8 * 0.7, abs=1e-5)

    def test_no_speech_by_the_model(self, make_predictor, make_speech):
        predictor = make_predictor(**self.logits(neutral=0.1, anger=0.3, no_speech=0.6))
        prediction = predictor.predict(make_speech(2.0), RATE)
        assert prediction == Prediction(None, None, {}, prediction.segments, 2.0, "no_speech")
        assert_whole(prediction, 2.0)
        assert [segment.label for segment in prediction.segments] == [None]

    def test_no_speech_by_the_voice_detector(self, make_predictor):
        predictor = make_predictor(**self.logits(neutral=0.1, anger=0.9))
        assert predictor.predict(noise(3.0, level=0.002), RATE).status == "no_speech"

    def test_noise_is_no_speech_and_a_voice_is(self, predictor, make_speech):
        assert predictor.predict(noise(3.0), RATE).status == "no_speech"
        assert predictor.predict(make_speech(3.0), RATE).status != "no_speech"

    def test_temperature_divides_the_logits(self, make_predictor, make_speech):
        from ullim.bundle import Calibration

        predictor = make_predictor(
            **self.logits(neutral=0.1, anger=0.9),
            calibration=Calibration(temperature=2.0, fitted_on="nobody"),
        )
        prediction = predictor.predict(make_speech(1.0), RATE)
        assert prediction.scores["anger"] == pytest.approx(3 / 4, abs=1e-5)

    def test_members_are_averaged(self, make_predictor, make_speech):
        one = make_predictor(members=1).predict(make_speech(3.0), RATE)
        assert_same(make_predictor(members=3).predict(make_speech(3.0), RATE), one, 1e-6)

    def test_scores_are_plain_numbers(self, predictor, make_speech):
        prediction = predictor.predict(make_speech(2.0), RATE)
        assert {type(score) for score in prediction.scores.values()} == {float}
        assert type(prediction.confidence) is float
        assert type(prediction.duration_s) is float


class TestLabels:
    def test_are_the_bundle_s_emotions(self, predictor):
        assert predictor.labels == LABELS

    def test_restrict_and_renormalise(self, make_predictor, make_speech):
        predictor = make_predictor(labels=LABELS, bias=np.log([0.4, 0.3, 0.2, 0.1]).tolist())
        prediction = predictor.predict(make_speech(2.0), RATE, labels=["anger", "sadness"])
        assert prediction.label == "sadness"
        assert prediction.scores == pytest.approx({"anger": 1 / 3, "sadness": 2 / 3}, abs=1e-5)
        assert prediction.confidence == pytest.approx(2 / 3, abs=1e-5)
        assert {name for s in prediction.segments for name in s.scores} == {"anger", "sadness"}

    def test_order_does_not_change_the_answer(self, predictor, clip):
        forth = predictor.predict(clip, RATE, labels=["anger", "neutral", "sadness"])
        back = predictor.predict(clip, RATE, labels=["sadness", "neutral", "anger"])
        assert_same(forth, back, 1e-6)

    def test_all_labels_are_no_restriction(self, predictor, clip):
        assert_same(
            predictor.predict(clip, RATE, labels=LABELS), predictor.predict(clip, RATE), 1e-6
        )

    @pytest.mark.parametrize(
        "labels",
        [["anger", "glee"], ["anger"], ["anger", "anger"], [], ["anger", "no_speech"], [""]],
        ids=["unknown", "one", "one twice", "none", "no_speech", "empty text"],
    )
    def test_wrong_ones_are_refused(self, labels, predictor, make_speech):
        with pytest.raises(UllimError, match="two or more of neutral, happiness") as caught:
            predictor.predict(make_speech(1.0), RATE, labels=labels)
        assert caught.value.code == "bad_labels"


class TestSources:
    @pytest.fixture
    def file(self, clip, tmp_path) -> Path:
        path = tmp_path / "clip.wav"
        path.write_bytes(as_wav(clip))
        return path

    def test_path_text_bytes_and_file_objects(self, predictor, file):
        expected = predictor.predict(file)
        assert expected.status == "ok"
        assert_whole(expected, 8.7)
        assert predictor.predict(str(file)) == expected
        assert predictor.predict(file.read_bytes()) == expected
        assert predictor.predict(io.BytesIO(file.read_bytes())) == expected
        with file.open("rb") as opened:
            assert predictor.predict(opened) == expected
            assert not opened.closed

    def test_a_pipe_that_cannot_seek(self, predictor, file):
        reading, writing = os.pipe()

        def feed() -> None:
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(file.read_bytes())

        feeder = threading.Thread(target=feed)
        feeder.start()
        with os.fdopen(reading, "rb") as pipe:
            assert predictor.predict(pipe) == predictor.predict(file)
        feeder.join()

    @pytest.mark.parametrize("kind", ["float32", "float64", "int16", "int32", "stereo", "channels"])
    def test_arrays_equal_the_file(self, kind, predictor, clip, file):
        scaled = {
            "float32": clip,
            "float64": clip.astype(np.float64),
            "int16": np.round(clip * 32768).astype(np.int16),
            "int32": np.round(clip.astype(np.float64) * 2**31).astype(np.int32),
            "stereo": np.stack([clip, clip], axis=1),
            "channels": np.stack([0.5 * clip, 1.5 * clip]),
        }
        tolerance = 5e-3 if kind == "int16" else 1e-4
        assert_same(predictor.predict(scaled[kind], RATE), predictor.predict(file), tolerance)

    @pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
    def test_other_rates_equal_the_file_at_that_rate(self, rate, predictor, make_speech, tmp_path):
        samples = make_speech(3.0, rate)
        file = tmp_path / "clip.wav"
        file.write_bytes(as_wav(samples, rate))
        from_file = predictor.predict(file)
        assert_same(predictor.predict(samples, rate), from_file)
        assert from_file.duration_s == pytest.approx(3.0, abs=1e-3)

    def test_a_feature_at_another_rate_hears_the_same_voice(self, make_predictor, make_speech):
        feature = LogMel(n_mels=32, n_fft=512, win_length=512, hop_length=256, sampling_rate=22_050)
        from ullim.bundle import InputSpec

        predictor = make_predictor(
            labels=LABELS, bias=[0.0, 1.0, 0.0, 0.0], inputs=(InputSpec(**feature.identity()),)
        )
        prediction = predictor.predict(make_speech(5.2), RATE)
        assert prediction.label == "happiness"
        assert_whole(prediction, 5.2)
        assert predictor.predict(noise(3.0, level=0.002), RATE).status == "no_speech"

    def test_array_is_left_alone(self, predictor, clip):
        given_array = clip.copy()
        predictor.predict(given_array, RATE)
        np.testing.assert_array_equal(given_array, clip)

    def test_an_array_needs_its_rate(self, predictor, clip):
        with pytest.raises(UllimError, match="needs its sampling_rate, in Hz") as caught:
            predictor.predict(clip)
        assert caught.value.code == "bad_sampling_rate"

    def test_a_file_states_its_own_rate(self, predictor, file):
        for source in (file, str(file), file.read_bytes()):
            with pytest.raises(UllimError, match="a file states its own") as caught:
                predictor.predict(source, 44_100)
            assert caught.value.code == "bad_sampling_rate"

    @pytest.mark.parametrize("rate", [0, -16_000, 10, 10_000_000])
    def test_an_impossible_rate(self, rate, predictor, clip):
        with pytest.raises(AudioError, match="sampling rate") as caught:
            predictor.predict(clip, rate)
        assert caught.value.code == "unsupported_rate"

    @pytest.mark.parametrize(
        ("samples", "code"),
        [
            (np.full(RATE, np.nan, np.float32), "not_finite"),
            (np.full(RATE, np.inf, np.float32), "not_finite"),
            (np.zeros(RATE, np.float32), "silent"),
            (noise(0.1), "too_short"),
            (np.zeros(0, np.float32), "empty"),
            (np.zeros((2, 2, RATE), np.float32), "not_audio"),
            (np.array(["a"] * RATE), "not_audio"),
            (np.ones(RATE, bool), "not_audio"),
        ],
    )
    def test_useless_arrays(self, samples, code, predictor):
        with pytest.raises(AudioError, match="<array>") as caught:
            predictor.predict(samples, RATE)
        assert caught.value.code == code

    @pytest.mark.parametrize(
        ("data", "code"),
        [
            (as_wav(np.full(RATE, np.nan, np.float32)), "not_finite"),
            (as_wav(np.zeros(RATE, np.float32)), "silent"),
            (as_wav(noise(0.1)), "too_short"),
            (as_wav(noise(60.0))[:-900_000], "truncated"),
            (b"", "empty"),
            (b"hello, I am no recording", "not_audio"),
        ],
        ids=["NaN", "silent", "short", "truncated", "empty", "text"],
    )
    def test_useless_files(self, data, code, predictor):
        with pytest.raises(AudioError, match="<bytes>") as caught:
            predictor.predict(data)
        assert caught.value.code == code

    def test_nan_late_in_a_long_file_is_found(self, predictor):
        samples = noise(65.0)
        samples[-10] = np.nan
        with pytest.raises(AudioError, match="NaN") as caught:
            predictor.predict(as_wav(samples))
        assert caught.value.code == "not_finite"

    def test_limits_are_kept(self, predictor, file, clip):
        for source, rate in ((file, None), (clip, RATE)):
            with pytest.raises(AudioError, match="lasts more than 5 s") as caught:
                predictor.predict(source, rate, limits=audio.Limits(max_duration_s=5.0))
            assert caught.value.code == "too_long"

    def test_the_shortest_allowed_clip(self, predictor, make_speech):
        prediction = predictor.predict(make_speech(0.25), RATE)
        assert_whole(prediction, 0.25)


class TestLong:
    def test_the_answer_is_the_average_of_its_windows(self, toy_bundle, predictor, clip):
        """Computed again from the parts: windows, feature, graph, softmax, voice, average."""
        import onnxruntime

        signal = np.concatenate([clip, np.zeros(round(3.3 * RATE), np.float32), clip])
        session = onnxruntime.InferenceSession(
            str(toy_bundle / "member-0.onnx"), providers=["CPUExecutionProvider"]
        )
        feature = LogMel(n_mels=32, n_fft=512, win_length=512, hop_length=256)
        voiced = VoiceActivity().feed(signal)
        total, weights = np.zeros(4), 0.0
        silence = 0.0
        for start in predictor.bundle.manifest.window.starts(len(signal), 1 / RATE):
            part = signal[start : start + 2 * RATE]
            (logits,) = session.run(None, {"logmel": feature.extract(part)[None]})
            shares = np.exp(logits[0] - logits[0].max())
            shares /= shares.sum()
            first, last = (round(sample / RATE / FRAME_S) for sample in (start, start + len(part)))
            voice_s = voiced[first:last].sum() * FRAME_S
            if voice_s < 0.2 or shares[4] >= 0.5:
                continue
            total += voice_s * shares[:4] / shares[:4].sum()
            silence += voice_s * shares[4]
            weights += voice_s
        expected = total / weights
        prediction = predictor.predict(signal, RATE)
        np.testing.assert_allclose(list(prediction.scores.values()), expected, atol=1e-4)
        assert prediction.confidence == pytest.approx(
            expected.max() * (1 - silence / weights), abs=1e-4
        )
        assert_whole(prediction, len(signal) / RATE)
        assert None in {segment.label for segment in prediction.segments}

    def test_the_timeline_follows_the_voice(self, predictor, clip):
        prediction = predictor.predict(clip, RATE)
        assert [segment.label for segment in prediction.segments] == ["sadness", "neutral"]
        assert prediction.segments[0].end_s == pytest.approx(4.3, abs=1.0)

    def test_a_clip_up_to_the_window_is_one_window(self, predictor, make_speech):
        """The same second twice gives the timeline of one stretch in either length."""
        assert len(predictor.predict(make_speech(1.2), RATE).segments) == 1

    def test_whole_mode_hears_the_clip_at_once(self, make_predictor, clip):
        predictor = make_predictor(window=Window(mode="whole"))
        prediction = predictor.predict(clip, RATE)
        assert len(prediction.segments) == 1
        assert_whole(prediction, 8.7)

    @pytest.mark.parametrize(
        ("short", "long"), [(3, 8), pytest.param(3, 20, marks=pytest.mark.slow)]
    )
    def test_memory_does_not_grow_with_the_recording(
        self, short, long, predictor, make_speech, tmp_path
    ):
        """Two lengths, in minutes, peak alike within what their answers take."""
        unit = np.concatenate([make_speech(6.0), noise(2.0), make_speech(7.0, f0_hz=300.0)])
        predictor.predict(unit, RATE)  # what is loaded once is no growth
        peaks = {}
        for minutes in (short, long):
            file = tmp_path / f"{minutes}.flac"
            with soundfile.SoundFile(file, "w", RATE, 1, "PCM_16") as sink:
                for _ in range(minutes * 4):
                    sink.write(unit)
            tracemalloc.start()
            try:
                prediction = predictor.predict(file)
                peaks[minutes] = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            assert_whole(prediction, minutes * 60)
        # What the longer one has more of are 19 or 65 MB of samples.
        assert peaks[long] - peaks[short] < 2 * 1024**2

    def test_threads_share_a_predictor(self, predictor, make_speech):
        clips = [make_speech(3.5, f0_hz=f0, seed=i) for i, f0 in enumerate((110, 150, 230, 310))]
        expected = [predictor.predict(clip, RATE) for clip in clips]
        found: dict[tuple[int, int], Prediction] = {}
        barrier = threading.Barrier(4, timeout=30)

        def work(turn: int) -> None:
            barrier.wait()
            for round_ in range(3):
                for number in range(4):
                    which = (number + turn) % 4
                    found[turn, which + 4 * round_] = predictor.predict(clips[which], RATE)

        threads = [threading.Thread(target=work, args=(turn,)) for turn in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 48
        for (_, which), prediction in found.items():
            assert prediction == expected[which % 4]


class TestModels:
    @pytest.fixture
    def user_folder(self, tmp_path, monkeypatch) -> Path:
        folder = tmp_path / "user" / "models"
        monkeypatch.setattr(models, "user_folder", lambda: folder)
        return folder

    def test_a_path_is_found(self, toy_bundle, user_folder):
        assert models.find(toy_bundle) == toy_bundle
        assert models.find(str(toy_bundle)) == toy_bundle
        assert ullim.load(toy_bundle).labels == LABELS

    def test_home_is_understood(self, toy_bundle, user_folder, monkeypatch):
        monkeypatch.setenv("HOME", str(toy_bundle.parent))
        monkeypatch.setenv("USERPROFILE", str(toy_bundle.parent))
        assert models.find("~/toy") == toy_bundle

    def test_an_unknown_name_lists_those_there_are(self, toy_bundle, user_folder):
        models.add(toy_bundle, "mine")
        with pytest.raises(BundleError, match=r"no model 'yours': .* names .*mine") as caught:
            models.find("yours")
        assert caught.value.code == "not_found"

    def test_added_is_found_and_removed_is_gone(self, toy_bundle, user_folder):
        target = models.add(toy_bundle, "mine")
        assert target == user_folder / "mine"
        assert models.find("mine") == target
        assert models.names()["mine"] == target
        assert Predictor.from_folder(target).labels == LABELS
        assert models.remove("mine") == target
        assert not target.exists()
        assert toy_bundle.is_dir()

    def test_the_folder_s_name_is_the_default(self, toy_bundle, user_folder, monkeypatch):
        monkeypatch.chdir(toy_bundle)
        assert models.add(Path()).name == "toy"

    def test_a_taken_name_is_refused(self, toy_bundle, user_folder):
        models.add(toy_bundle, "mine")
        with pytest.raises(BundleError, match="models remove mine") as caught:
            models.add(toy_bundle, "mine")
        assert caught.value.code == "exists"

    @pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "-dash", "a b", "한국", ".."])
    def test_an_unusable_name_is_refused(self, name, toy_bundle, user_folder):
        with pytest.raises(BundleError, match="cannot name a model: use letters") as caught:
            models.add(toy_bundle, name)
        assert caught.value.code == "bad_name"
        assert not user_folder.exists()

    def test_only_a_sound_bundle_is_added(self, tmp_path, user_folder):
        with pytest.raises(BundleError, match="is not a bundle"):
            models.add(tmp_path)
        assert not user_folder.exists()

    def test_only_the_files_of_the_bundle_are_copied(self, toy_bundle, user_folder, tmp_path):
        import shutil

        source = Path(shutil.copytree(toy_bundle, tmp_path / "source"))
        (source / "private.txt").write_text("mine", encoding="utf-8")
        target = models.add(source)
        assert sorted(path.name for path in target.iterdir()) == sorted(
            path.name for path in toy_bundle.iterdir()
        )

    def test_a_stopped_copy_leaves_nothing_to_be_listed(self, toy_bundle, user_folder, monkeypatch):
        import shutil

        calls = itertools.count()
        copy = shutil.copyfile

        def copyfile(source, target):
            if next(calls) == 1:
                raise OSError(28, "No space left on device")
            return copy(source, target)

        monkeypatch.setattr(shutil, "copyfile", copyfile)
        with pytest.raises(OSError, match="No space left"):
            models.add(toy_bundle, "mine")
        assert not any(root == user_folder for root in (p.parent for p in models.names().values()))
        assert list(user_folder.iterdir()) == []

    @pytest.mark.parametrize("name", ["nothing", "../models", "..", ""])
    def test_only_what_was_added_is_removed(self, name, user_folder):
        with pytest.raises(BundleError, match="there is no model") as caught:
            models.remove(name)
        assert caught.value.code == "not_found"

    def test_shipped_ones_stay(self, user_folder, monkeypatch, toy_bundle):
        monkeypatch.setattr(models, "_SHIPPED", toy_bundle.parent)
        with pytest.raises(BundleError, match="comes with ullim and stays"):
            models.remove("toy")
        assert toy_bundle.is_dir()

    def test_a_user_s_own_hides_a_shipped_one(
        self, user_folder, monkeypatch, toy_bundle, make_bundle, tmp_path
    ):
        monkeypatch.setattr(models, "_SHIPPED", toy_bundle.parent)
        assert models.find("toy") == toy_bundle
        mine = models.add(make_bundle(tmp_path / "other"), "toy")
        assert models.find("toy") == mine


@pytest.mark.parametrize(("wish", "told"), [(None, False), ("0", True)])
def test_nobody_is_told_what_is_predicted(wish, told, tmp_path, monkeypatch):
    """ONNX Runtime gives the machine a number and queues reports, unless ullim stops it."""
    import onnxruntime

    if told and tuple(map(int, onnxruntime.__version__.split(".")[:2])) < (1, 29):
        pytest.skip("this ONNX Runtime tells nobody, whatever is wished")
    # It also keeps still under tests and CI, which would make this pass for nothing.
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path),
        **({} if wish is None else {"ORT_DISABLE_TELEMETRY": wish}),
    }
    code = "import ullim; print(ullim.predict(ullim.demo_clip()).status)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "ok\n"
    assert bool(list(tmp_path.rglob("*onnxruntime*"))) is told


def test_nothing_is_opened_after_loading(predictor, make_speech, monkeypatch):
    import onnxruntime

    def opened(*_args, **_kwargs):
        pytest.fail("a graph was opened for a prediction")

    monkeypatch.setattr(onnxruntime, "InferenceSession", opened)
    assert predictor.predict(make_speech(2.0), RATE).label == "sadness"
