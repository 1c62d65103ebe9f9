"""From the probabilities of windows to one answer and a smoothed timeline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from ullim.decision import Decision, vote_shares
from ullim.inference.voice import FRAME_S
from ullim.types import FloatArray, Segment

Seconds = npt.NDArray[np.float64]

# A stretch is silent when less of it than this is voice.
_MIN_VOICE_SHARE = 0.2

# Where most of a recording is taken for other sounds, one window must be this clearly a voice:
# of a long recording with little speech some window is, of a barking dog none.
_CLEAR_VOICE = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """What the model said.

    Attributes:
        starts_s: Start of each window, shape (windows,).
        lengths_s: Its length.
        emotions: Scores, shape (windows, labels), rows summing to 1.
        silence: Probability that nobody speaks, shape (windows,).
    """

    starts_s: Seconds
    lengths_s: Seconds
    emotions: FloatArray
    silence: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """Overall scores and votes, None where nobody speaks; how sure a voice is; the timeline."""

    scores: FloatArray | None
    shares: FloatArray | None
    voice: float
    segments: tuple[Segment, ...]


def decide(
    windows: Windows,
    voice_frames: npt.NDArray[np.bool_],
    *,
    duration_s: float,
    hop_s: float | None,
    decision: Decision,
    labels: Sequence[str],
    every_window: bool = False,
) -> Answer:
    """Average windows, count their votes, and draw the timeline.

    Windows in which somebody speaks count, in the mean by how long. Whether anybody speaks at all,
    and where the timeline is silent, does not depend on ``every_window``.

    Args:
        windows: What the model said.
        voice_frames: Voice activity, one value every ``FRAME_S`` seconds.
        duration_s: Length of the recording.
        hop_s: Step of the timeline; None makes it one stretch.
        decision: The bundle's rule.
        labels: Names of the columns of ``windows.emotions``.
        every_window: Whether windows count alike, with a voice in them or without, as a run counts
            the pieces of ``segments``; only those the model itself calls silent are left out.
    """
    ends_s = windows.starts_s + windows.lengths_s
    spoken_s = _spoken_s(voice_frames, windows.starts_s, ends_s)
    # Of a clip or a window shorter than the usual minimum, half must be voice.
    enough_s = min(decision.min_speech_s, duration_s / 2)
    voiced = spoken_s >= np.minimum(enough_s, windows.lengths_s / 2)
    speaking = voiced & (windows.silence < 0.5)
    heard = speaking.any() and (
        np.average(windows.silence[voiced], weights=spoken_s[voiced]) < 0.5
        or windows.silence[speaking].min() < _CLEAR_VOICE
    )
    if voice_frames.sum() * FRAME_S < enough_s or not heard:
        return Answer(None, None, 0.0, (Segment(0.0, duration_s, None, None, {}),))
    counted = windows.silence < 0.5 if every_window else speaking
    weight = np.where(counted, 1.0 if every_window else spoken_s, 0.0)
    weight /= weight.sum()
    scores = (weight @ windows.emotions).astype(np.float32)
    (shares,) = vote_shares(windows.emotions[counted], np.array([counted.sum()]))
    voice = float(1.0 - weight @ windows.silence)
    drawn = _segments(windows, voice_frames, duration_s, hop_s, decision, labels)
    return Answer(scores, shares, voice, drawn)


def _spoken_s(voice_frames: npt.NDArray[np.bool_], starts_s: Seconds, ends_s: Seconds) -> Seconds:
    """Return seconds of voice within each stretch."""
    total = np.concatenate([[0], np.cumsum(voice_frames)])
    first = np.clip(np.round(starts_s / FRAME_S).astype(int), 0, len(voice_frames))
    last = np.clip(np.round(ends_s / FRAME_S).astype(int), 0, len(voice_frames))
    return np.asarray((total[last] - total[first]) * FRAME_S)


def _segments(
    windows: Windows,
    voice_frames: npt.NDArray[np.bool_],
    duration_s: float,
    hop_s: float | None,
    decision: Decision,
    labels: Sequence[str],
) -> tuple[Segment, ...]:
    # A rest shorter than half a step joins the last step instead of standing alone.
    n_cells = 1 if hop_s is None else max(1, math.floor(duration_s / hop_s + 0.5))
    edges_s = np.append(np.arange(n_cells) * (hop_s or 0.0), duration_s)
    centres_s = (edges_s[:-1] + edges_s[1:]) / 2
    window_centres_s = windows.starts_s + windows.lengths_s / 2
    emotions = np.empty((n_cells, len(labels)))
    silence = np.empty(n_cells)
    for cell, centre_s in enumerate(centres_s):
        # Only the windows around a cell matter, so that a long recording costs linear time.
        low, high = np.searchsorted(
            window_centres_s, [centre_s - decision.smoothing_s, centre_s + decision.smoothing_s]
        )
        if low == high:
            low = min(low, len(window_centres_s) - 1)
            high = low + 1
        distance_s = np.abs(window_centres_s[low:high] - centre_s)
        weight = np.maximum(1.0 - distance_s / decision.smoothing_s, 1e-6)
        weight /= weight.sum()
        emotions[cell] = weight @ windows.emotions[low:high]
        silence[cell] = weight @ windows.silence[low:high]
    spoken = _spoken_s(voice_frames, edges_s[:-1], edges_s[1:]) / np.diff(edges_s)
    if n_cells == 1:  # the recording as a whole was found to hold speech
        spoken[:] = 1.0
    told = [
        int(emotions[cell].argmax())
        if spoken[cell] >= _MIN_VOICE_SHARE and silence[cell] < 0.5
        else None
        for cell in range(n_cells)
    ]
    segments = []
    for label, run in groupby(range(n_cells), key=lambda cell: told[cell]):
        cells = list(run)
        start_s, end_s = float(edges_s[cells[0]]), float(edges_s[cells[-1] + 1])
        if label is None:
            segments.append(Segment(start_s, end_s, None, None, {}))
            continue
        scores = emotions[cells].mean(axis=0)
        confidence = float(scores[label] * (1.0 - silence[cells].mean()))
        segments.append(
            Segment(
                start_s,
                end_s,
                labels[label],
                confidence,
                {name: float(p) for name, p in zip(labels, scores, strict=True)},
            )
        )
    return tuple(segments)
