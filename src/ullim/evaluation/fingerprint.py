"""Finds recordings that are copies of one another, however they were cut, padded or re-encoded.

A clip's fingerprint is its constellation: the peaks of its spectrogram, as frame and frequency bin.
Gain moves no peak, silence around a clip has none, and a codec keeps the strongest. Triples of
neighbouring peaks are looked up in one sorted list of all clips; two clips that share triples at
one displacement are laid over each other there, and the share of peaks that fall together decides.

Reference:
    Wang, An industrial-strength audio search algorithm, ISMIR 2003: landmarks, the inverted index,
    votes for a displacement.

Differs:
    Three peaks to a landmark instead of two, so that a hundred thousand clips of one sentence do
    not collide; and the displacement found is verified by the peaks themselves, because the same
    person saying the same words twice gives a few common landmarks but not common peaks.

On 2,178 clips of RAVDESS, EMO-DB and emotiontts_ko, pairs that are no copies have at most 0.48 of
their peaks in common where 32 or more could be; copies with other gain and silence around them, as
MP3 of about 12 kb/s, have 0.67 or more (``benchmarks/fingerprint.py``; docs/leakage.md). The
threshold lies between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt
import soxr

from ullim.types import FloatArray

FINGERPRINT = "fingerprint-v1"
"""What the numbers below are called where they are kept; another way to make them, another name."""

Peaks = npt.NDArray[np.int32]
"""Shape (peaks, 2), in time order: frame of 16 ms, frequency bin of 15.6 Hz."""

Kind = Literal["copy", "contained", "overlap"]

_RATE = 8_000
_WINDOW = 512
_HOP = 128
HOP_S = _HOP / _RATE
"""Seconds from one frame to the next."""

# 200 to 3,500 Hz: what a telephone keeps, so that a copy at 8 kHz has the same peaks.
_BINS = slice(13, 224)
# A peak is the largest within so many frames and bins on either side, and not this far under the
# clip's loudest.
_FRAMES_AROUND = 3
_BINS_AROUND = 4
_FLOOR_DB = 35.0

# Landmarks: a peak and two of the next few peaks after it.
_SUCCESSORS = 4
_LOOK_AHEAD = 24
_MAX_FRAMES = 32
_MAX_BINS = 40
# Landmarks of one name are compared with so many next ones: what bounds the work.
_NEIGHBOURS = 64
_MIN_VOTES = 4
# What bounds the memory: peaks or landmarks looked at together, and landmarks counted together.
_BLOCK = 1 << 20
_LANDMARKS_AT_ONCE = 1 << 24

MIN_PEAKS = 32
"""Peaks that two clips must have in the common stretch; speech has about 30 a second."""
MIN_SIMILARITY = 0.55
"""Share of the peaks that must fall together."""
_NEARLY_ALL = 0.9
_NO_PEAKS: Peaks = np.empty((0, 2), dtype=np.int32)


@dataclass(frozen=True, slots=True)
class Copy:
    """Two clips that hold the same recording.

    Attributes:
        first: Index of one clip.
        second: Index of the other; larger than ``first``.
        similarity: Share of the peaks in the common stretch that fall together, in (0, 1].
        offset_s: Where in ``first`` the second clip starts; may be negative.
        kind: ``copy`` (all of both is common), ``contained`` (all of one is part of the other) or
            ``overlap`` (the end of one is the start of the other).
    """

    first: int
    second: int
    similarity: float
    offset_s: float
    kind: Kind


def fingerprint(samples: FloatArray, sampling_rate: int) -> Peaks:
    """Return the peaks of a clip's spectrogram.

    Args:
        samples: Mono, shape (samples,).
        sampling_rate: Of ``samples``, in Hz; 8,000 or more.

    Returns:
        Shape (peaks, 2), int32: frame and frequency bin, in time order. Empty for silence.

    >>> tone = np.sin(np.arange(8_000) * 0.4).astype(np.float32)
    >>> bool((fingerprint(tone, 8_000) == fingerprint(tone / 8, 8_000)).all())
    True
    """
    if sampling_rate != _RATE:
        samples = soxr.resample(samples, sampling_rate, _RATE)
    padded = np.pad(samples, _WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
    window = np.hanning(_WINDOW + 1)[:-1].astype(np.float32)
    level = np.abs(np.fft.rfft(frames * window))[:, _BINS].astype(np.float32)
    around = _largest_around(_largest_around(level, _FRAMES_AROUND, 0), _BINS_AROUND, 1)
    floor = level.max() * 10 ** (-_FLOOR_DB / 20)
    # Where nothing sounds, everything is equal to its neighbours: above zero, then.
    peaks = np.argwhere((level == around) & (level > floor))
    return peaks.astype(np.int32)


def find_copies(fingerprints: Sequence[Peaks]) -> list[Copy]:
    """Return every pair of clips that hold the same recording, in order of the clips.

    Work grows with the number of clips, not with that of their pairs. A recording that is there
    more than 64 times is linked with the next 64 only. Clips with fewer than ``MIN_PEAKS`` peaks
    (under about a second of speech) cannot be told.
    """
    copies: dict[tuple[int, int], Copy] = {}
    for first, second, displacement in _candidates(fingerprints):
        found = _compare(fingerprints[first], fingerprints[second], displacement)
        if found is None:
            continue
        similarity, kind = found
        held = copies.get((first, second))
        if held is None or similarity > held.similarity:
            copies[first, second] = Copy(
                first, second, round(similarity, 3), round(displacement * HOP_S, 3), kind
            )
    return [copies[pair] for pair in sorted(copies)]


def _largest_around(values: FloatArray, reach: int, axis: int) -> FloatArray:
    """Return the maximum over ``reach`` places on either side."""
    widths = [(0, 0), (0, 0)]
    widths[axis] = (reach, reach)
    padded = np.moveaxis(np.pad(values, widths), axis, 0)
    n = values.shape[axis]
    largest = padded[:n]
    for shift in range(1, 2 * reach + 1):
        largest = np.maximum(largest, padded[shift : shift + n])
    return np.moveaxis(largest, 0, axis)


def _landmarks(clips: npt.NDArray[np.int32], peaks: Peaks) -> npt.NDArray[np.uint64]:
    """Return every triple, its name in the upper 32 bits and the number of its first peak below."""
    n = len(peaks)
    frames, bins = peaks[:, 0].astype(np.int64), peaks[:, 1].astype(np.int64)
    seen = np.full((n, _SUCCESSORS), -1)
    count = np.zeros(n, dtype=np.int64)
    for ahead in range(1, min(_LOOK_AHEAD, n - 1) + 1):
        later, higher = frames[ahead:] - frames[:-ahead], bins[ahead:] - bins[:-ahead]
        near = (clips[ahead:] == clips[:-ahead]) & (later > 0) & (later <= _MAX_FRAMES)
        near &= (np.abs(higher) <= _MAX_BINS) & (count[: n - ahead] < _SUCCESSORS)
        anchor = np.flatnonzero(near)
        seen[anchor, count[anchor]] = anchor + ahead
        count[anchor] += 1
    packed = []
    for one, other in combinations(range(_SUCCESSORS), 2):
        anchor = np.flatnonzero(seen[:, other] >= 0)
        name = bins[anchor]
        for successor in (seen[anchor, one], seen[anchor, other]):
            name = name << 7 | (bins[successor] - bins[anchor] + _MAX_BINS)
            name = name << 5 | (frames[successor] - frames[anchor] - 1)
        packed.append((name << 32 | anchor).astype(np.uint64))
    return np.concatenate(packed)


def _index(
    fingerprints: Sequence[Peaks],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.uint64]]:
    """Return clip and frame of every peak, and the landmarks sorted by name."""
    clips = np.repeat(
        np.arange(len(fingerprints), dtype=np.int32), [len(peaks) for peaks in fingerprints]
    )
    peaks = np.concatenate([_NO_PEAKS, *fingerprints])
    ends = np.flatnonzero(np.diff(clips, append=-1)) + 1
    # Whole clips at a time: only the landmarks themselves need to be held for all.
    packed, start = [np.empty(0, np.uint64)], 0
    while start < len(clips):
        stop = int(ends[min(int(np.searchsorted(ends, start + _BLOCK)), len(ends) - 1)])
        packed.append(_landmarks(clips[start:stop], peaks[start:stop]) + np.uint64(start))
        start = stop
    landmarks = np.concatenate(packed)
    del packed
    landmarks.sort()
    return clips, np.ascontiguousarray(peaks[:, 0]), landmarks


def _candidates(fingerprints: Sequence[Peaks]) -> Iterator[tuple[int, int, int]]:
    """Yield pairs of clips that share landmarks, and the displacement in frames they share."""
    clips, frames, landmarks = _index(fingerprints)
    n_clips = np.int64(len(fingerprints))
    reach = int(frames.max(initial=0)) + 1
    span = 2 * reach + 1
    # All votes for a pair are counted in one round; several rounds bound the memory.
    rounds = 1 + len(landmarks) // _LANDMARKS_AT_ONCE
    for turn in range(rounds):
        votes = [np.empty(0, np.int64)]
        for start in range(0, len(landmarks), _BLOCK):
            block = landmarks[start : start + _BLOCK + _NEIGHBOURS]
            names = (block >> np.uint64(32)).astype(np.uint32)
            peaks = (block & np.uint64(0xFFFFFFFF)).astype(np.int64)
            for step in range(1, min(_NEIGHBOURS, len(block) - 1) + 1):
                met = np.flatnonzero(names[step:] == names[:-step])
                met = met[met < _BLOCK]
                if len(met) == 0:
                    break
                # Sorted: the first of the two peaks is never of the later clip.
                first, second = peaks[met], peaks[met + step]
                pair = clips[first] * n_clips + clips[second]
                kept = (clips[first] != clips[second]) & (pair % rounds == turn)
                displacement = frames[first].astype(np.int64) - frames[second] + reach
                votes.append((pair * span + displacement)[kept])
        ballots, count = np.unique(np.concatenate(votes), return_counts=True)
        # A copy that starts between two frames votes for both displacements.
        beside = np.zeros_like(count)
        touching = np.flatnonzero(np.diff(ballots) == 1)
        beside[touching] += count[touching + 1]
        beside[touching + 1] += count[touching]
        for ballot in ballots[count + beside >= _MIN_VOTES].tolist():
            both, displacement = divmod(ballot, span)
            yield *divmod(both, int(n_clips)), displacement - reach


def _compare(one: Peaks, other: Peaks, displacement: int) -> tuple[float, Kind] | None:
    """Lay one clip over another; None where they are not the same recording."""
    other = other + np.array([displacement, 0], dtype=np.int32)
    start = max(one[0, 0], other[0, 0]) - 1
    end = min(one[-1, 0], other[-1, 0]) + 1
    ours = one[(one[:, 0] >= start) & (one[:, 0] <= end)]
    theirs = other[(other[:, 0] >= start) & (other[:, 0] <= end)]
    fewer, more = sorted((ours, theirs), key=len)
    if len(fewer) < MIN_PEAKS:
        return None
    near = np.zeros((end - start + 3, _BINS.stop - _BINS.start + 2), dtype=bool)
    frames, bins = more[:, 0] - start + 1, more[:, 1] + 1
    for late in (-1, 0, 1):
        for high in (-1, 0, 1):
            near[frames + late, bins + high] = True
    similarity = float(near[fewer[:, 0] - start + 1, fewer[:, 1] + 1].mean())
    if similarity < MIN_SIMILARITY:
        return None
    whole = (len(ours) >= _NEARLY_ALL * len(one), len(theirs) >= _NEARLY_ALL * len(other))
    return similarity, "copy" if all(whole) else "contained" if any(whole) else "overlap"
