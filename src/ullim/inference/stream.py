"""Endless sound in, events out: who speaks when, and how it sounds, while it is being said."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ullim import audio
from ullim.errors import AudioError, UllimError
from ullim.inference.phrases import Began, Ended, Phrases, Phrasing
from ullim.inference.predictor import Predictor
from ullim.inference.voice import FRAME_S, RunningVoice
from ullim.inference.voice import SAMPLING_RATE as VOICE_RATE
from ullim.types import FloatArray, Prediction, Status
from ullim.window import Window

_BLOCK_S = 1.0  # the most that is taken in at once, which bounds memory
_SLACK_S = 2.0  # what resamplers hold back, and a block


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a stream; times are seconds from its start."""

    type: ClassVar[str]

    def to_json(self) -> str:
        """Return one line of JSON, ``type`` first."""
        fields = {name: _plain(value) for name, value in asdict(self).items()}
        return json.dumps({"type": self.type, **fields}, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Voice(Event):
    """Somebody began to speak (``active``) or ended.

    Attributes:
        active: Whether somebody speaks from here on.
        at_s: Where the voice began, or ended.
    """

    type: ClassVar[str] = "voice"
    active: bool
    at_s: float


@dataclass(frozen=True, slots=True)
class Answer(Event):
    """What a stretch of a phrase sounds like.

    Attributes:
        start_s: Start of the stretch that was judged.
        end_s: Its end.
        status: As that of a :class:`~ullim.types.Prediction`.
        label: As its label.
        confidence: As its confidence.
        scores: As its scores.
    """

    start_s: float
    end_s: float
    status: Status
    label: str | None
    confidence: float | None
    scores: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Partial(Answer):
    """The answer for the last seconds of a phrase that goes on."""

    type: ClassVar[str] = "partial"


@dataclass(frozen=True, slots=True)
class Final(Answer):
    """The answer for a whole phrase.

    Attributes:
        segment: Number of the phrase in its stream, from 0.
    """

    type: ClassVar[str] = "final"
    segment: int


class Stream:
    """Hears one stream of sound and tells what it hears.

    What is said does not depend on how the sound is cut into pieces, but for partial answers: of
    those that fall due within one piece, only the last is made. Memory does not grow with the
    stream. A final answer is that of ``Predictor.predict`` for the same samples. Not to be shared
    between threads while it works.

    >>> import ullim
    >>> stream = Stream(ullim.load(), 16_000)
    >>> events = [*stream.push(audio.read(ullim.demo_clip())), *stream.finish()]
    >>> events[0].type, events[-1].type
    ('voice', 'final')
    """

    def __init__(
        self,
        predictor: Predictor,
        sampling_rate: int,
        *,
        labels: Sequence[str] | None = None,
        reject_below: float | None = None,
        phrasing: Phrasing = Phrasing(),  # noqa: B008 - frozen
    ) -> None:
        """Begin a stream.

        Args:
            predictor: Who answers; may be shared between streams.
            sampling_rate: Rate of what will be pushed, in Hz.
            labels: Answer only among these.
            reject_below: As for ``Predictor.predict``.
            phrasing: How speech is cut into phrases.

        Raises:
            AudioError: The rate is out of the range of :class:`ullim.audio.Limits`.
            UllimError: A label is not the bundle's.
        """
        limits = audio.Limits()
        if not limits.min_sampling_rate <= sampling_rate <= limits.max_sampling_rate:
            raise AudioError(
                f"the stream has a sampling rate of {sampling_rate} Hz; "
                f"{limits.min_sampling_rate} to {limits.max_sampling_rate} Hz are allowed",
                code="unsupported_rate",
            )
        predictor.columns(labels)
        rate = predictor.sampling_rate
        self.sampling_rate = sampling_rate
        self.phrasing = phrasing
        self._rate = rate
        self._predict = partial(predictor.predict, labels=labels, reject_below=reject_below)
        window = predictor.bundle.manifest.window
        # Segments are far shorter than what can be answered, and whole clips have no length.
        length_s = window.length_s if window.mode == "crop" else Window().length_s
        self._partial = round(length_s * rate)
        self._every = max(1, math.floor(phrasing.partial_every_s / FRAME_S + 1e-6))
        self._to_model = audio.Resampler(sampling_rate, rate)
        self._to_voice = audio.Resampler(rate, VOICE_RATE)
        self._detector = RunningVoice()
        self._phrases = Phrases(phrasing)
        self._tape = _Tape(math.ceil((phrasing.max_phrase_s + phrasing.lead_s + _SLACK_S) * rate))
        self._next_partial = 0
        self._due: int | None = None  # the frame at which a partial answer fell due
        self._samples = 0
        self._finished = False
        self.n_finals = 0

    @property
    def duration_s(self) -> float:
        """Seconds of sound pushed so far."""
        return self._samples / self.sampling_rate

    def push(self, samples: npt.NDArray[Any]) -> list[Event]:
        """Hear the next samples.

        Args:
            samples: Floats with full scale 1, shape (samples,), any number of them.

        Returns:
            What happened, in order.

        Raises:
            AudioError: Samples are not finite, or not of one channel.
            UllimError: The stream has been finished.
        """
        if self._finished:
            raise UllimError("the stream has ended; begin another one", code="finished")
        sound = np.asarray(samples, dtype=np.float32)
        if sound.ndim != 1:
            raise AudioError(
                f"samples have the shape {sound.shape}; one channel, shape (samples,), is allowed: "
                "average the channels first",
                code="not_audio",
            )
        # Larger values overflow in every feature: they are as unusable as infinity.
        if sound.size and not np.abs(sound).max() < 1e15:
            raise AudioError(
                "holds samples that are NaN or infinite; finite numbers are allowed",
                code="not_finite",
            )
        self._samples += sound.size
        events: list[Event] = []
        block = max(1, round(_BLOCK_S * self.sampling_rate))
        for start in range(0, sound.size, block):
            events += self._hear(self._to_model.push(sound[start : start + block]))
        return events + self._partials()

    def finish(self) -> list[Event]:
        """End the stream, and with it the phrase that is being spoken."""
        if self._finished:
            return []
        self._finished = True
        events = self._hear(self._to_model.push(np.zeros(0, np.float32), last=True), last=True)
        ended = self._phrases.end()
        return events + (self._ended(ended) if ended else [])

    def _hear(self, sound: FloatArray, *, last: bool = False) -> list[Event]:
        """Take samples at the model's rate."""
        self._tape.append(sound)
        events: list[Event] = []
        for voiced in self._detector.feed(self._to_voice.push(sound, last=last)):
            change = self._phrases.feed(bool(voiced))
            if isinstance(change, Began):
                events.append(Voice(True, change.voice * FRAME_S))
                # The very beginning alone tells little.
                self._next_partial = self._phrases.n_frames + self._every // 2
            elif isinstance(change, Ended):
                events += self._ended(change)
                self._next_partial = self._phrases.n_frames + self._every
            if self._phrases.start is not None and self._phrases.n_frames >= self._next_partial:
                self._due = self._phrases.n_frames
                self._next_partial += self._every
        self._tape.forget(self._sample(self._phrases.keep_from))
        return events

    def _ended(self, phrase: Ended) -> list[Event]:
        self._due = None
        events: list[Event] = []
        if not phrase.cut:
            events.append(Voice(False, phrase.end * FRAME_S))
        if phrase.enough:
            answer = self._answer(self._sample(phrase.start), self._sample(phrase.end))
            events.append(Final(**answer, segment=self.n_finals))
            self.n_finals += 1
        return events

    def _partials(self) -> list[Event]:
        """Return the partial answer that fell due last, if the phrase still goes on."""
        end, self._due = self._due, None
        if end is None or self._phrases.start is None:
            return []
        last = self._sample(end)
        start = max(self._sample(self._phrases.start), last - self._partial)
        return [Partial(**self._answer(start, last))]

    def _answer(self, start: int, end: int) -> dict[str, Any]:
        span = {"start_s": start / self._rate, "end_s": end / self._rate}
        try:
            said = self._predict(self._tape.cut(start, end), self._rate)
        except UllimError as error:
            # Too short or too quiet to be a recording; or a feature that fails on this sound.
            status: Status = "no_speech" if isinstance(error, AudioError) else "error"
            said = Prediction(None, None, {}, (), 0.0, status)
        return span | {
            "status": said.status,
            "label": said.label,
            "confidence": said.confidence,
            "scores": said.scores,
        }

    def _sample(self, frame: int) -> int:
        return round(frame * FRAME_S * self._rate)


class _Tape:
    """The last samples of a stream, by their position in it, in memory of fixed size."""

    def __init__(self, capacity: int) -> None:
        self._values = np.zeros(capacity, dtype=np.float32)
        self._first = 0  # position in the stream of the first value
        self._keep = 0  # position before which nothing is asked for any more
        self._count = 0

    def append(self, samples: FloatArray) -> None:
        if self._count + samples.size > self._values.size:
            kept = self._values[self._keep - self._first : self._count].copy()
            self._values[: kept.size] = kept
            self._first, self._count = self._keep, kept.size
        self._values[self._count : self._count + samples.size] = samples
        self._count += samples.size

    def forget(self, before: int) -> None:
        self._keep = max(self._keep, min(before, self._first + self._count))

    def cut(self, start: int, end: int) -> FloatArray:
        return self._values[start - self._first : end - self._first].copy()


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    return value
