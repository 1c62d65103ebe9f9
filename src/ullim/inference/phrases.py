"""From voice activity to phrases: where somebody begins to speak, and where they have ended."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from ullim.errors import UllimError
from ullim.inference.voice import FRAME_S


@dataclass(frozen=True, slots=True)
class Phrasing:
    """How running speech is cut into phrases.

    Voice is decided every 30 ms, and a final answer falls due when ``hangover_s`` is over.

    Attributes:
        hangover_s: A phrase has ended when nobody has spoken for this long, in seconds.
        min_speech_s: Voice that begins a phrase, and that a phrase must hold to be answered; it is
            sought within half as much again, so that a click or a knock begins none.
        lead_s: Sound before the first voice that belongs to the phrase.
        max_phrase_s: A phrase is cut here, answered, and goes on as the next one.
        partial_every_s: From one partial answer to the next while somebody speaks.
    """

    hangover_s: float = 0.3
    min_speech_s: float = 0.21
    lead_s: float = 0.21
    max_phrase_s: float = 15.0
    partial_every_s: float = 0.36

    def __post_init__(self) -> None:
        lowest = {"min_speech_s": 0.09, "max_phrase_s": 1.0, "lead_s": 0.0}
        for name in ("hangover_s", "min_speech_s", "lead_s", "max_phrase_s", "partial_every_s"):
            value, low = getattr(self, name), lowest.get(name, FRAME_S)
            if not (math.isfinite(value) and low <= value <= 60.0):
                raise UllimError(
                    f"{name} is {value}; {low:g} to 60 seconds are allowed", code="bad_phrasing"
                )


@dataclass(frozen=True, slots=True)
class Began:
    """Somebody speaks since frame ``voice``; the phrase starts at frame ``start``."""

    start: int
    voice: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A phrase is over.

    Attributes:
        start: Its first frame.
        end: The frame after its last.
        enough: Whether it holds the voice that an answer needs.
        cut: Whether it was cut for its length, and goes on.
    """

    start: int
    end: int
    enough: bool
    cut: bool = False


class Phrases:
    """Follows voice activity, frame by frame.

    Attributes:
        n_frames: Frames heard.
        start: First frame of the phrase that is being spoken; None in silence.

    >>> phrases = Phrases(Phrasing(hangover_s=0.3, lead_s=0.0))
    >>> voice = [False] * 10 + [True] * 20 + [False] * 15
    >>> [change for frame in voice if (change := phrases.feed(frame))]
    [Began(start=10, voice=10), Ended(start=10, end=30, enough=True, cut=False)]
    """

    def __init__(self, phrasing: Phrasing) -> None:
        self._hangover = _frames(phrasing.hangover_s)
        self._enough = _frames(phrasing.min_speech_s)
        self._lead = round(phrasing.lead_s / FRAME_S)
        self._longest = _frames(phrasing.max_phrase_s)
        self._recent: deque[bool] = deque(maxlen=math.ceil(1.5 * self._enough))
        self._free = 0  # the frame after the last phrase
        self._spoken = 0  # frames of voice within the phrase
        self._last = 0  # the frame after its last voice
        self.n_frames = 0
        self.start: int | None = None

    @property
    def keep_from(self) -> int:
        """The earliest frame that may still become part of a phrase."""
        if self.start is not None:
            return self.start
        return max(self._free, self.n_frames - len(self._recent) - self._lead)

    def feed(self, voiced: bool) -> Began | Ended | None:
        """Take the next frame; return what it changed."""
        self.n_frames += 1
        if self.start is None:
            self._recent.append(voiced)
            if sum(self._recent) < self._enough:
                return None
            voice = self.n_frames - len(self._recent) + self._recent.index(True)
            self.start = max(voice - self._lead, self._free)
            self._spoken, self._last = sum(self._recent), self.n_frames
            return Began(self.start, voice)
        if voiced:
            self._spoken += 1
            self._last = self.n_frames
        if self.n_frames - self._last >= self._hangover:
            return self.end()
        if self.n_frames - self.start >= self._longest:
            cut = Ended(self.start, self.n_frames, self._spoken >= self._enough, cut=True)
            self.start, self._spoken = self.n_frames, 0
            self._last = max(self._last, self.start)
            return cut
        return None

    def end(self) -> Ended | None:
        """End the phrase that is being spoken, if there is one."""
        if self.start is None:
            return None
        ended = Ended(self.start, self._last, self._spoken >= self._enough)
        self._free, self.start = self._last, None
        self._recent.clear()
        return ended


def _frames(seconds: float) -> int:
    return max(1, round(seconds / FRAME_S))
