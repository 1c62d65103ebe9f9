"""Streams: phrases, answers equal to a file's, any cutting alike, memory that does not grow."""

from __future__ import annotations

import itertools
import json
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ullim.inference.stream
from ullim.errors import AudioError, UllimError
from ullim.inference.phrases import Began, Ended, Phrases, Phrasing
from ullim.inference.predictor import Predictor
from ullim.inference.stream import Event, Final, Partial, Stream, Voice
from ullim.inference.voice import FRAME_S, VoiceActivity
from ullim.types import FloatArray

RATE = 16_000


@pytest.fixture(scope="module")
def predictor(toy_bundle: Path) -> Predictor:
    return Predictor.from_folder(toy_bundle)


@pytest.fixture(scope="module")
def talk(make_speech) -> FloatArray:
    """Two phrases of two voices, with silence before, between and after."""
    silence = np.zeros(RATE, np.float32)
    first = make_speech(1.6, f0_hz=140.0, seed=1)
    second = make_speech(2.3, f0_hz=280.0, tilt=0.5, seed=2)
    return np.concatenate([silence, first, silence, second, silence])


def heard(stream: Stream, pieces: list[FloatArray]) -> list[Event]:
    events = [event for piece in pieces for event in stream.push(piece)]
    return events + stream.finish()


def of(kind: type[Event], events: list[Event]) -> list[Event]:
    return [event for event in events if isinstance(event, kind)]


class TestPhrases:
    def changes(self, voice: list[bool], **phrasing: float) -> list[Began | Ended]:
        phrases = Phrases(Phrasing(**phrasing))
        found = [change for frame in voice if (change := phrases.feed(frame))]
        last = phrases.end()
        return found + ([last] if last else [])

    def test_a_knock_begins_no_phrase(self):
        assert self.changes(([True] * 3 + [False] * 20) * 5) == []

    def test_a_pause_shorter_than_the_hangover_does_not_end_a_phrase(self):
        voice = [True] * 10 + [False] * 9 + [True] * 10 + [False] * 30
        assert self.changes(voice)[1:] == [Ended(0, 29, enough=True)]

    def test_a_pause_as_long_as_the_hangover_does(self):
        voice = [True] * 10 + [False] * 10 + [True] * 10 + [False] * 30
        assert [change.end for change in self.changes(voice)[1::2]] == [10, 30]

    def test_a_long_phrase_is_cut_and_goes_on(self):
        began, cut, ended = self.changes([True] * 60 + [False] * 20, max_phrase_s=1.2)
        assert began == Began(0, 0)
        assert cut == Ended(0, 40, enough=True, cut=True)
        assert ended == Ended(40, 60, enough=True)

    def test_the_lead_does_not_reach_into_the_last_phrase(self):
        first, second = (
            change
            for change in self.changes(
                [True] * 10 + [False] * 3 + [True] * 10, hangover_s=0.06, lead_s=0.3
            )
            if isinstance(change, Ended)
        )
        assert (first.end, second.start) == (10, 10)

    @given(
        voice=st.lists(st.booleans(), max_size=300),
        hangover=st.integers(1, 12),
        longest=st.integers(34, 80),
        lead=st.integers(0, 12),
    )
    @settings(max_examples=150, deadline=None)
    def test_phrases_are_in_order_apart_and_bounded(self, voice, hangover, longest, lead):
        phrases = Phrases(
            Phrasing(
                hangover_s=hangover * FRAME_S, max_phrase_s=longest * FRAME_S, lead_s=lead * FRAME_S
            )
        )
        found: list[Ended] = []
        for frame in [*voice, None]:
            kept = phrases.keep_from
            change = phrases.end() if frame is None else phrases.feed(frame)
            if isinstance(change, Ended):
                found.append(change)
            if change is not None:
                assert change.start >= kept, "what a phrase needs has not been forgotten"
            assert phrases.n_frames - phrases.keep_from <= max(longest, 11 + lead) + 1
        for ended in found:
            assert 0 <= ended.start <= ended.end <= len(voice)
            assert ended.end - ended.start <= max(longest, 11 + lead)
        for left, right in itertools.pairwise(found):
            assert left.end <= right.start

    @pytest.mark.parametrize("field", ["hangover_s", "max_phrase_s", "partial_every_s"])
    @pytest.mark.parametrize("value", [0.0, -1.0, 61.0, float("nan"), float("inf")])
    def test_senseless_phrasing_is_refused(self, field, value):
        with pytest.raises(UllimError, match=field):
            Phrasing(**{field: value})


class TestStream:
    def test_tells_who_speaks_when(self, predictor, talk):
        events = heard(Stream(predictor, RATE), [talk])
        on, off, on_again, off_again = of(Voice, events)
        assert [event.active for event in of(Voice, events)] == [True, False, True, False]
        assert on.at_s == pytest.approx(1.0, abs=0.15)
        assert off.at_s == pytest.approx(2.6, abs=0.3)
        assert on_again.at_s == pytest.approx(3.6, abs=0.15)
        assert off_again.at_s == pytest.approx(5.9, abs=0.3)

    def test_a_final_is_what_the_predictor_says_of_these_samples(self, predictor, talk):
        stream = Stream(predictor, RATE, labels=["anger", "sadness", "happiness"])
        finals = of(Final, heard(stream, np.array_split(talk, 50)))
        assert [final.segment for final in finals] == [0, 1]
        for final in finals:
            stretch = talk[round(final.start_s * RATE) : round(final.end_s * RATE)]
            said = predictor.predict(stretch, RATE, labels=["anger", "sadness", "happiness"])
            assert final.scores == said.scores
            assert (final.label, final.confidence, final.status) == (
                said.label,
                said.confidence,
                said.status,
            )
            assert final.label is not None

    def test_a_partial_is_what_the_predictor_says_of_the_last_window(self, predictor, make_speech):
        stream = Stream(predictor, RATE)
        sound = make_speech(5.0)
        events = [event for piece in np.split(sound, 100) for event in stream.push(piece)]
        partials = of(Partial, events)
        length_s = predictor.bundle.manifest.window.length_s
        for partial in partials:
            assert partial.end_s - partial.start_s <= length_s + 1e-9
            stretch = sound[round(partial.start_s * RATE) : round(partial.end_s * RATE)]
            assert partial.scores == predictor.predict(stretch, RATE).scores
        assert partials[-1].end_s - partials[-1].start_s == pytest.approx(length_s)

    def test_partials_come_at_least_twice_a_second(self, predictor, make_speech):
        stream = Stream(predictor, RATE)
        said_s = [
            (number + 1) * 0.05
            for number, piece in enumerate(np.split(make_speech(6.0), 120))
            for event in stream.push(piece)
            if isinstance(event, Partial)
        ]
        assert said_s[0] <= 0.75
        assert np.diff([*said_s, 6.0]).max() <= 0.5

    def test_the_final_comes_when_the_hangover_is_over(self, predictor, talk):
        phrasing = Phrasing(hangover_s=0.3)
        stream = Stream(predictor, RATE, phrasing=phrasing)
        told = [
            (round((start + 160) / RATE, 3), event)
            for start in range(0, talk.size, 160)
            for event in stream.push(talk[start : start + 160])
        ]
        for at_s, event in told:
            if isinstance(event, Final):
                waited_s = at_s - event.end_s
                assert phrasing.hangover_s - 1e-6 <= waited_s <= phrasing.hangover_s + FRAME_S

    def test_a_long_phrase_is_answered_in_parts_without_a_gap(self, predictor, make_speech):
        stream = Stream(predictor, RATE, phrasing=Phrasing(max_phrase_s=2.0))
        finals = of(Final, heard(stream, [make_speech(7.0)]))
        assert len(finals) == 4
        for left, right in itertools.pairwise(finals):
            assert left.end_s == right.start_s

    def test_a_voice_that_dies_away_does_not_hold_a_phrase(self, predictor, make_speech):
        sound = 4 * np.concatenate([make_speech(4.0, seed=3), np.zeros(RATE, np.float32)])
        away_db = np.clip((np.arange(sound.size) / RATE - 1.5) * -40.0, -120.0, 0.0)
        sound = (sound * 10 ** (away_db / 20)).astype(np.float32)
        # The detector alone hears it for longer, or this test tests nothing.
        assert VoiceActivity().feed(sound)[int(2.4 / FRAME_S) :].any()
        (final,) = of(Final, heard(Stream(predictor, RATE), [sound]))
        assert final.end_s <= 2.4

    def test_noise_that_is_as_low_as_the_room_is_no_voice(self, predictor, make_speech, generator):
        room = 0.001 * generator.standard_normal(4 * RATE).astype(np.float32)
        room[RATE // 2 : 2 * RATE] += make_speech(1.5)
        (final,) = of(Final, heard(Stream(predictor, RATE), [room]))
        assert final.end_s == pytest.approx(2.0, abs=0.15)

    def test_noise_that_is_no_voice_ends_as_no_speech(self, predictor, generator):
        noise = (0.1 * generator.standard_normal(3 * RATE)).astype(np.float32)
        finals = of(Final, heard(Stream(predictor, RATE), [noise]))
        assert {(final.status, final.label) for final in finals} <= {("no_speech", None)}

    @pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
    def test_other_rates_are_resampled_on_the_way(self, predictor, make_speech, rate):
        silence = np.zeros(rate, np.float32)
        sound = np.concatenate([silence, make_speech(1.6, rate, f0_hz=140.0, seed=1), silence])
        stream = Stream(predictor, rate)
        (final,) = of(Final, heard(stream, np.array_split(sound, 77)))
        assert stream.duration_s == pytest.approx(3.6, abs=1e-3)
        assert final.start_s == pytest.approx(0.8, abs=0.2)
        assert final.end_s == pytest.approx(2.6, abs=0.3)

    @given(data=st.data())
    @settings(max_examples=20, deadline=None)
    def test_finals_do_not_depend_on_the_pieces(self, predictor, talk, data):
        rate = data.draw(st.sampled_from([RATE, 44_100]), label="rate")
        ends = data.draw(st.lists(st.integers(0, talk.size), max_size=40), label="piece ends")
        whole = heard(Stream(predictor, rate), [talk])
        pieces = heard(Stream(predictor, rate), np.split(talk, sorted(ends)))
        wanted = [event for event in whole if not isinstance(event, Partial)]
        assert [event for event in pieces if not isinstance(event, Partial)] == wanted
        assert len(of(Final, wanted)) >= 1

    def test_an_hour_takes_no_more_memory_than_a_minute(self, predictor, talk, monkeypatch):
        class Loud:
            """Voice is what is loud: quicker than the real detector, of which an hour is slow."""

            rest = np.zeros(0, np.float32)

            def feed(self, block: FloatArray) -> np.ndarray:
                block = np.concatenate([self.rest, block])
                frames = block[: block.size - block.size % 480].reshape(-1, 480)
                self.rest = block[frames.size :]
                return np.abs(frames).max(axis=1, initial=0.0) > 0.05

        monkeypatch.setattr(ullim.inference.stream, "RunningVoice", Loud)
        stream = Stream(predictor, RATE)
        quiet = np.zeros(120 * RATE - talk.size, np.float32)

        def peak_bytes(rounds: int) -> int:
            tracemalloc.reset_peak()
            for _ in range(rounds):
                stream.push(talk)
                stream.push(quiet)
            return tracemalloc.get_traced_memory()[1]

        stream.push(talk)  # what is loaded once
        tracemalloc.start()
        try:
            two_minutes = peak_bytes(1)
            hour = peak_bytes(30)
        finally:
            tracemalloc.stop()
        assert stream.n_finals == 2 * 32
        assert hour < two_minutes + 200_000

    @pytest.mark.parametrize("rate", [0, -1, 3_999, 400_000])
    def test_a_senseless_rate_is_refused(self, predictor, rate):
        with pytest.raises(AudioError, match="sampling rate"):
            Stream(predictor, rate)

    def test_an_unknown_label_is_refused(self, predictor):
        with pytest.raises(UllimError, match="labels must be"):
            Stream(predictor, RATE, labels=["anger", "pride"])

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
    def test_samples_that_are_no_numbers_are_refused(self, predictor, value):
        with pytest.raises(AudioError, match="NaN or infinite") as caught:
            Stream(predictor, RATE).push(np.array([0.0, value], np.float32))
        assert caught.value.code == "not_finite"

    def test_two_channels_are_refused(self, predictor):
        with pytest.raises(AudioError, match="one channel"):
            Stream(predictor, RATE).push(np.zeros((100, 2), np.float32))

    def test_nothing_may_follow_the_end(self, predictor):
        stream = Stream(predictor, RATE)
        assert stream.push(np.zeros(0, np.float32)) == []
        assert stream.finish() == []
        assert stream.finish() == []
        with pytest.raises(UllimError, match="has ended"):
            stream.push(np.zeros(1, np.float32))

    def test_events_are_json(self, predictor, talk):
        for event in heard(Stream(predictor, RATE), [talk]):
            fields = json.loads(event.to_json())
            assert next(iter(fields)) == "type"
            if isinstance(event, Final):
                assert list(fields)[1:] == [
                    *("start_s", "end_s", "status", "label", "confidence", "scores", "segment"),
                ]
                assert sum(fields["scores"].values()) == pytest.approx(1.0, abs=1e-3)


def test_the_example_of_the_page_is_run_as_it_stands(talk, capsys):
    page = (Path(__file__).parent.parent / "docs" / "streaming.md").read_text(encoding="utf-8")
    example = re.findall(r"```python\n(.*?)```", page, re.S)[0]
    assert "sampling_rate=48_000" in example
    microphone = np.array_split(np.repeat(talk, 48_000 // RATE), 100)
    exec(compile(example, "streaming.md", "exec"), {"microphone": microphone})
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["type"] for event in events].count("final") == 2
