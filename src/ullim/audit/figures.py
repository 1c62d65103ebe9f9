"""From answers to figures: how good, how much worse under each condition, how sure, for whom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ullim.audit.asking import Replies, Reply
from ullim.audit.clips import Clip
from ullim.audit.conditions import Condition
from ullim.evaluation.metrics import (
    Columns,
    Floats,
    confusion_matrix,
    expected_calibration_error,
    unweighted_average_recall,
    weighted_accuracy,
)
from ullim.evaluation.protocols import speaker_keys
from ullim.evaluation.statistics import speaker_interval

_DRAWS = 2000
# Fewer answers than this in a bin make its accuracy a matter of luck.
_PER_BIN = 20

Statistic = Callable[[Floats], Floats]


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Answers to all clips in columns; the last column of ``labels`` is "no answer".

    Attributes:
        clips: The clips that could be read.
        labels: All labels offered to any of them.
        truth: Column of each clip's label, shape (clips,).
        speakers: ``corpus/speaker`` of each clip.
        guesses: Column answered, shape (1 + conditions, clips); row 0 is the clip as it is.
        confidence: Its confidence, same shape; 0 where there is no answer.
    """

    clips: list[Clip]
    labels: tuple[str, ...]
    truth: Columns
    speakers: npt.NDArray[np.str_]
    guesses: Columns
    confidence: Floats

    @property
    def n_columns(self) -> int:
        """Labels, and one for "no answer"."""
        return len(self.labels) + 1

    @property
    def nothing(self) -> int:
        """Column of "no answer"."""
        return len(self.labels)

    @property
    def corpora(self) -> npt.NDArray[np.str_]:
        """Corpus of each clip."""
        return np.array([clip.utterance.corpus for clip in self.clips])

    def chance(self) -> float:
        """Return the UA of answering any offered label at random."""
        each = np.array([1 / len(clip.offered) for clip in self.clips])
        return float(np.mean([each[self.truth == label].mean() for label in set(self.truth)]))


def collect(clips: Sequence[Clip], replies: Sequence[Replies], emotions: Sequence[str]) -> Answers:
    """Return the answers about the clips that could be read.

    Args:
        clips: What was asked about.
        replies: What was said, clip by clip.
        emotions: The bundle's, in its order.
    """
    read = [(clip, reply) for clip, reply in zip(clips, replies, strict=True) if reply.clean]
    offered = {label for clip, _ in read for label in clip.offered}
    labels = tuple(label for label in emotions if label in offered)
    rows: list[tuple[Reply, ...]] = [
        (reply.clean, *reply.changed) for _, reply in read if reply.clean is not None
    ]

    def column(label: str | None) -> int:
        return len(labels) if label is None else labels.index(label)

    return Answers(
        clips=[clip for clip, _ in read],
        labels=labels,
        truth=np.array([labels.index(clip.label) for clip, _ in read], dtype=np.int64),
        speakers=speaker_keys([clip.utterance for clip, _ in read]),
        guesses=np.array([[column(r.label) for r in row] for row in rows], dtype=np.int64).T,
        confidence=np.array([[r.confidence for r in row] for row in rows]).T,
    )


def clean(answers: Answers) -> dict[str, Any]:
    """Return the figures of the clips as they are."""
    return _scores(answers, 0) | {"chance": round(answers.chance(), 4)}


def condition(answers: Answers, number: int, asked: Condition) -> dict[str, Any]:
    """Return the figures under one condition, ``number`` from 1, beside those of clean clips."""
    same = answers.guesses[number] == answers.guesses[0]
    moved = np.abs(answers.confidence[number] - answers.confidence[0])
    return {
        "name": asked.name,
        "family": asked.family,
        "level": asked.level,
        **_scores(answers, number),
        "loss": _loss(answers, number),
        "agreement": round(float(same.mean()), 4),
        "confidence_change": round(float(moved.mean()), 4),
    }


def with_interval(
    statistic: Statistic,
    truth: Columns,
    guess: Columns,
    speakers: Sequence[str] | npt.NDArray[np.str_],
    n_columns: int,
) -> dict[str, float | None]:
    """Return a figure and its 95 % interval over speakers; without one for a single speaker."""
    value = float(statistic(confusion_matrix(truth, guess, n_columns).astype(float)))
    if len(set(speakers)) < 2:
        return {"value": round(value, 4), "low": None, "high": None}
    low, high = speaker_interval(statistic, truth, guess, list(speakers), n_columns, draws=_DRAWS)
    return {"value": round(value, 4), "low": round(low, 4), "high": round(high, 4)}


def _scores(answers: Answers, number: int) -> dict[str, Any]:
    guess, confidence = answers.guesses[number], answers.confidence[number]
    right = guess == answers.truth
    answered = guess != answers.nothing
    n_bins = max(1, min(15, int(answered.sum()) // _PER_BIN))
    by_corpus = {
        str(name): float(
            unweighted_average_recall(
                confusion_matrix(answers.truth[rows], guess[rows], answers.n_columns)
            )
        )
        for name in np.unique(answers.corpora)
        for rows in [answers.corpora == name]
    }
    sure = answered.any()
    return {
        "n": len(guess),
        "unweighted_average_recall": with_interval(
            unweighted_average_recall, answers.truth, guess, answers.speakers, answers.n_columns
        ),
        "weighted_accuracy": with_interval(
            weighted_accuracy, answers.truth, guess, answers.speakers, answers.n_columns
        ),
        "unweighted_average_recall_by_corpus": {n: round(v, 4) for n, v in by_corpus.items()},
        "not_answered": round(float(1 - answered.mean()), 4),
        "mean_confidence": round(float(confidence[answered].mean()), 4) if sure else None,
        "overconfidence": round(float((confidence[answered] - right[answered]).mean()), 4)
        if sure
        else None,
        "expected_calibration_error": round(
            expected_calibration_error(confidence[answered], right[answered], n_bins), 4
        )
        if sure
        else None,
    }


def _loss(answers: Answers, number: int) -> dict[str, float | None]:
    """Return how much UA is lost, with an interval over the same speakers on both sides."""
    n = answers.n_columns

    def halved(matrices: Floats) -> Floats:
        # Both matrices lie on one diagonal, so that a draw takes a speaker's answers to both. In
        # [0, 1], as an interval of a share wants it.
        before = unweighted_average_recall(matrices[..., :n, :n])
        after = unweighted_average_recall(matrices[..., n:, n:])
        return np.asarray((1 + before - after) / 2)

    both = with_interval(
        halved,
        np.concatenate([answers.truth, answers.truth + n]),
        np.concatenate([answers.guesses[0], answers.guesses[number] + n]),
        np.concatenate([answers.speakers, answers.speakers]),
        2 * n,
    )
    return {
        name: None if value is None else round(2 * value - 1, 4) for name, value in both.items()
    }
