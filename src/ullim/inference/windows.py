"""Cuts a stream of samples into windows, holding no more than one window and one block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from ullim.types import FloatArray


def cut(
    blocks: Iterable[FloatArray], length: int | None, hop: int
) -> Iterator[tuple[int, FloatArray]]:
    """Yield where each window starts, in samples, and its samples.

    The windows are those of :meth:`ullim.window.Window.starts`: a signal no longer than ``length``
    is one window; otherwise windows start every ``hop`` samples, and a last one ends where the
    signal ends.

    Args:
        blocks: Consecutive pieces of a mono signal.
        length: Samples per window; None yields the whole signal as one.
        hop: Samples from one start to the next.

    >>> signal = [np.arange(7, dtype=np.float32), np.arange(7, 10, dtype=np.float32)]
    >>> [(start, window.size) for start, window in cut(signal, length=4, hop=3)]
    [(0, 4), (3, 4), (6, 4)]
    >>> [(start, window.size) for start, window in cut(signal, length=5, hop=4)]
    [(0, 5), (4, 5), (5, 5)]
    """
    held = np.empty(0, dtype=np.float32)
    first = 0  # position of held[0] in the signal
    following = 0  # where the next window starts
    for block in blocks:
        held = np.concatenate([held, block])
        if length is None:
            continue
        while following + length <= first + held.size:
            yield following, held[following - first : following - first + length]
            following += hop
        # Keep what the next window needs, and a whole window in case this was the last block.
        keep_from = max(first, min(following, first + held.size - length))
        held, first = held[keep_from - first :], keep_from
    end = first + held.size
    if length is None or end < length:
        yield 0, held
    elif following - hop + length < end:
        yield end - length, held[end - length - first :]


def stretches(
    blocks: Iterable[FloatArray], length: int, least: int
) -> Iterator[tuple[int, FloatArray]]:
    """Yield where each stretch starts, in samples, and its samples: one after the other.

    A rest of fewer than ``least`` samples is dropped, unless it is all there is.

    Args:
        blocks: Consecutive pieces of a mono signal.
        length: Samples in a stretch.
        least: Samples a last one must have.

    >>> signal = [np.arange(7, dtype=np.float32), np.arange(7, 10, dtype=np.float32)]
    >>> [(start, part.size) for start, part in stretches(signal, length=4, least=2)]
    [(0, 4), (4, 4), (8, 2)]
    >>> [(start, part.size) for start, part in stretches(signal, length=4, least=3)]
    [(0, 4), (4, 4)]
    """
    held = np.empty(0, dtype=np.float32)
    start = 0
    for block in blocks:
        held = np.concatenate([held, block])
        while held.size >= length:
            yield start, held[:length]
            held, start = held[length:], start + length
    if held.size >= least or start == 0:
        yield start, held
