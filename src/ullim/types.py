"""The nouns every other module speaks in: frozen dataclasses without behaviour of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
"""A float32 array; the docstring that uses it names the axes."""

Status = Literal["ok", "uncertain", "ambiguous", "no_speech", "error"]
Gender = Literal["female", "male", "other"]

LABELS: tuple[str, ...] = (
    "neutral",
    "happiness",
    "sadness",
    "anger",
    "fear",
    "disgust",
    "surprise",
    "boredom",
    "calm",
    "excited",
)
"""Canonical label names. Corpus codes map to these by name, never by position."""

NO_SPEECH = "no_speech"
"""What a clip of other sounds is called: a status of the answer, never an emotion."""

LABELS_KO: dict[str, str] = {
    "neutral": "중립",
    "happiness": "기쁨",
    "sadness": "슬픔",
    "anger": "화남",
    "fear": "공포",
    "disgust": "혐오",
    "surprise": "놀람",
    "boredom": "지루함",
    "calm": "평온",
    "excited": "흥분",
}

STATUS_KO: dict[str, str] = {
    "ok": "정상",
    "uncertain": "불확실",
    "ambiguous": "모호함",
    "no_speech": "음성 없음",
    "error": "오류",
}


@dataclass(frozen=True, slots=True)
class Vote:
    """One rater's judgement of one utterance.

    Attributes:
        rater: Identifier of the rater within the corpus.
        label: Canonical label.
        intensity: Strength in the corpus' own unit; NaN where the corpus gives none.
    """

    rater: str
    label: str
    intensity: float = float("nan")


@dataclass(frozen=True, slots=True)
class Utterance:
    """One row of a corpus: a stretch of one file, who said it, and what raters heard.

    Attributes:
        id: Unique within the corpus, stable across machines.
        file: Path of the recording.
        corpus: Registry name of the corpus.
        speaker: Unique within the corpus; None where the corpus does not tell.
        votes: What raters said. An acted corpus has one vote, by ``"actor"``.
        start_s: Start within the file, in seconds.
        end_s: End within the file, in seconds; None means to its end.
        sentence_id: Same value means same words, whoever says them.
        group: Part of the corpus that a task may select (a half, a session type).
        dimensions: For example ``{"valence": 2.5, "arousal": 3.0}``, in the corpus' own range.
        licence: Licence of this recording.
    """

    id: str
    file: Path
    corpus: str
    speaker: str | None
    votes: tuple[Vote, ...]
    start_s: float = 0.0
    end_s: float | None = None
    session: str | None = None
    gender: Gender | None = None
    age: float | None = None
    language: str | None = None
    text: str | None = None
    sentence_id: str | None = None
    group: str | None = None
    dimensions: Mapping[str, float] = field(default_factory=dict)
    licence: str | None = None


@dataclass(frozen=True, slots=True)
class LabelSet:
    """An ordered set of label names; the order is that of every score vector beside it.

    >>> labels = LabelSet(("neutral", "anger"))
    >>> labels.index("anger"), len(labels), list(labels)
    (1, 2, ['neutral', 'anger'])
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"labels repeat: {', '.join(self.names)}")

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def index(self, name: str) -> int:
        """Return the column of ``name``.

        Raises:
            ValueError: ``name`` is not one of the labels.
        """
        return self.names.index(name)


@dataclass(frozen=True, slots=True, eq=False)
class Ragged:
    """Items of unequal length in one block of memory, which processes can share.

    Attributes:
        values: All items end to end, shape (total frames, features).
        offsets: Item ``i`` is ``values[offsets[i]:offsets[i + 1]]``; shape (items + 1,).

    >>> ragged = Ragged.from_items([np.zeros((3, 2), np.float32), np.ones((1, 2), np.float32)])
    >>> len(ragged), ragged[1].shape, ragged.lengths.tolist()
    (2, (1, 2), [3, 1])
    """

    values: FloatArray
    offsets: npt.NDArray[np.int64]

    @classmethod
    def from_items(cls, items: Sequence[FloatArray]) -> Ragged:
        """Join arrays of shape (frames, features)."""
        offsets = np.cumsum([0, *(len(item) for item in items)], dtype=np.int64)
        return cls(np.concatenate(list(items)).astype(np.float32, copy=False), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> FloatArray:
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Frames of each item."""
        return np.diff(self.offsets)

    def take(self, indices: Sequence[int] | npt.NDArray[np.int64]) -> Ragged:
        """Return a copy of some items, in the order given."""
        return Ragged.from_items([self[int(index)] for index in indices])


@dataclass(frozen=True, slots=True)
class Segment:
    """One stretch of the timeline.

    Attributes:
        start_s: Start, in seconds from the beginning of the recording.
        end_s: End, in seconds.
        label: The most probable label; None where nobody speaks.
        confidence: Its calibrated probability in [0, 1]; None where nobody speaks.
        scores: Probability of every label; empty where nobody speaks.
    """

    start_s: float
    end_s: float
    label: str | None
    confidence: float | None
    scores: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "start_s": round(self.start_s, 3),
            "end_s": round(self.end_s, 3),
            "label": self.label,
            "confidence": _rounded(self.confidence),
            "scores": {name: _rounded(p) for name, p in self.scores.items()},
        }


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one recording.

    Attributes:
        label: The emotion; the best guess where ``status`` is ``uncertain`` or ``ambiguous``; None
            for ``no_speech``.
        confidence: Calibrated probability of ``label`` in [0, 1].
        scores: Probability of every label of the bundle; they sum to 1, or are empty without
            speech. Where the bundle's rule is a vote, ``label`` need not have the highest.
        segments: The timeline, in order, without gaps.
        duration_s: Length of the recording in seconds.
        status: ``ok``, ``uncertain`` (confidence under the threshold), ``ambiguous`` (two labels
            share the top), ``no_speech``, or ``error``.
    """

    label: str | None
    confidence: float | None
    scores: Mapping[str, float]
    segments: Sequence[Segment]
    duration_s: float
    status: Status

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, in the order the command line prints them."""
        return {
            "status": self.status,
            "label": self.label,
            "confidence": _rounded(self.confidence),
            "scores": {name: _rounded(p) for name, p in self.scores.items()},
            "duration_s": round(self.duration_s, 3),
            "segments": [segment.to_dict() for segment in self.segments],
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)
