"""What features share: windows, blocks of power spectra, products, decibels and deltas.

A clip is transformed in blocks of frames that stay in the processor's cache, in room that is kept
for the thread's next clip.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ullim.types import FloatArray

WindowName = Literal["hann", "hamming"]

# Samples transformed at once: a clip of some seconds in one go. Smaller blocks pay more calls, and
# larger ones more memory (22 bytes a sample) for no time gained.
_SAMPLES_PER_BLOCK = 1 << 18

# Multiplications in one matrix product: so few that OpenBLAS does not split it over threads, which
# gains nothing at this size and stalls when other processes keep the cores busy.
_MULTIPLICATIONS_PER_PRODUCT = 1 << 18

# What is left of a constant after its mean is taken off is rounding; so much of the peak is taken
# for it.
_ROUNDING = 1e-6


def levelled(signal: FloatArray) -> tuple[FloatArray, float]:
    """Take the mean off and bring the peak to one.

    Args:
        signal: Mono samples, shape (samples,).

    Returns:
        float32 samples, shape (samples,), and the factor that was taken out; for silence and for a
        constant, zeros and 0.0.
    """
    peak = float(np.abs(signal).max(initial=0.0))
    if peak < np.finfo(np.float32).tiny:
        return np.zeros_like(signal), 0.0
    scaled = signal / np.float32(peak)
    scaled -= np.float32(scaled.mean(dtype=np.float64))
    rest = float(np.abs(scaled).max())
    if rest < _ROUNDING:
        return np.zeros_like(signal), 0.0
    scaled /= np.float32(rest)
    return scaled, peak * rest


def n_frames(n_samples: int, hop_length: int) -> int:
    """Return how many centred frames a signal has, one on every hop."""
    return 1 + n_samples // hop_length


def fft_length(n_samples: int) -> int:
    """Return the least length of 2^k times 1, 5/8, 3/4 or 15/16 that holds ``n_samples``.

    >>> fft_length(1000), fft_length(950), fft_length(1025)
    (1024, 960, 1280)
    """
    power = max(16, 1 << (n_samples - 1).bit_length())
    return next(n for n in (power * s // 16 for s in (10, 12, 15, 16)) if n >= n_samples)


def rows_per_block(n_rows: int, n_fft: int) -> int:
    """Return how many frames to transform at once, so that blocks are even.

    >>> rows_per_block(298, 512), rows_per_block(1198, 512)
    (298, 400)
    """
    blocks = math.ceil(n_rows * n_fft / _SAMPLES_PER_BLOCK)
    return math.ceil(n_rows / blocks)


def up_to_multiple(n: int, of: int) -> int:
    """Return the least multiple of ``of`` that is no less than ``n``."""
    return -(-n // of) * of


@lru_cache(maxsize=32)
def periodic_window(length: int, name: WindowName = "hann") -> FloatArray:
    """Return a raised cosine of one period, shape (length,)."""
    floor = 0.5 if name == "hann" else 0.54
    phase = 2 * np.pi * np.arange(length) / length
    return np.asarray(floor - (1 - floor) * np.cos(phase), dtype=np.float32)


class _Room(NamedTuple):
    """Memory for one block, each flat and as long as was ever needed.

    Attributes:
        windowed: Frames, float64.
        spectrum: Their transform, complex128.
        parts: Its real and imaginary parts in turn, float32.
        power: Their squares' sum, float32.
    """

    windowed: npt.NDArray[np.float64]
    spectrum: npt.NDArray[np.complex128]
    parts: FloatArray
    power: FloatArray


def power_blocks(
    signal: FloatArray,
    window: FloatArray,
    hop_length: int,
    n_fft: int,
    *,
    centred: bool = False,
    multiple: int = 1,
) -> Iterator[tuple[slice, FloatArray]]:
    """Yield rows and power spectra of centred, windowed frames, a block at a time.

    Args:
        signal: Mono samples, shape (samples,).
        window: Shape (length,), ``length`` <= ``n_fft``.
        hop_length: Step between frames, in samples.
        n_fft: Length of the transform.
        centred: Put the window in the middle of the transform and frames where librosa puts them;
            else the window comes first.
        multiple: Bring the rows of a block up to a multiple of this; those after the clip's last
            mean nothing.

    Yields:
        The rows, and their power, float32 of shape (rows, n_fft // 2 + 1), which the next block
        overwrites.
    """
    length, n_bins = len(window), n_fft // 2 + 1
    before = (n_fft - length) // 2 if centred else 0
    lead = n_fft // 2 - before if centred else length // 2
    n = n_frames(len(signal) - n_fft % 2 if centred else len(signal), hop_length)
    padded = np.zeros((n - 1) * hop_length + length, dtype=np.float32)
    kept = min(len(signal), len(padded) - lead)
    padded[lead : lead + kept] = signal[:kept]
    strides = (hop_length * padded.itemsize, padded.itemsize)
    frames: FloatArray = np.ndarray((n, length), np.float32, padded, strides=strides)
    step = up_to_multiple(rows_per_block(n, n_fft), multiple)
    room = _take_room(step, n_fft)
    try:
        windowed = room.windowed[: step * n_fft].reshape(step, n_fft)
        spectrum = room.spectrum[: step * n_bins].reshape(step, n_bins)
        parts = room.parts[: 2 * step * n_bins].reshape(step, 2 * n_bins)
        power = room.power[: step * n_bins].reshape(step, n_bins)
        windowed[:, :before] = windowed[:, before + length :] = 0.0
        inner = windowed[:, before : before + length]
        for first in range(0, n, step):
            rows = slice(first, min(first + step, n))
            here = slice(rows.stop - first)
            np.multiply(frames[rows], window, out=inner[here], dtype=np.float32)
            np.fft.rfft(windowed[here], axis=-1, out=spectrum[here])
            parts[here] = spectrum[here].view(np.float64)
            np.square(parts[here], out=parts[here])
            np.add(parts[here, ::2], parts[here, 1::2], out=power[here])
            yield rows, power[: up_to_multiple(rows.stop - first, multiple)]
    finally:
        _kept.room = room


def _take_room(step: int, n_fft: int) -> _Room:
    """Return this thread's room, or new where it is too small or in use.

    Fresh memory costs more than the transform: the system clears each page on first touch. For the
    same reason the transform is given float64, which NumPy's takes even float32 to, in arrays of
    its own for each call.
    """
    room: _Room | None = _kept.__dict__.pop("room", None)
    n, n_out = step * n_fft, step * (n_fft // 2 + 1)
    if room is None or room.windowed.size < n or room.spectrum.size < n_out:
        room = _Room(
            np.zeros(n),
            np.zeros(n_out, dtype=np.complex128),
            np.zeros(2 * n_out, dtype=np.float32),
            np.zeros(n_out, dtype=np.float32),
        )
    return room


_kept = threading.local()


def product(rows: FloatArray, matrix: FloatArray, out: FloatArray | None = None) -> FloatArray:
    """Return ``rows @ matrix`` in pieces that stay on one thread."""
    if out is None:
        out = np.empty((len(rows), matrix.shape[1]), dtype=np.float32)
    step = max(1, _MULTIPLICATIONS_PER_PRODUCT // matrix.size)
    for first in range(0, len(rows), step):
        piece = slice(first, first + step)
        np.matmul(rows[piece], matrix, out=out[piece])
    return out


def decibels(
    power: npt.NDArray[np.floating[Any]], floor: float, top_db: float | None = None
) -> FloatArray:
    """Return power in decibels re 1, float32.

    Args:
        power: Any shape.
        floor: Power under which it is cut off.
        top_db: Greatest distance below the loudest value; None leaves it unbounded.
    """
    result = np.asarray(np.log10(np.maximum(power, floor).astype(np.float32, copy=False)))
    result *= np.float32(10.0)
    if top_db is not None:
        np.maximum(result, result.max() - np.float32(top_db), out=result)
    return result


def delta(values: FloatArray, width: int, order: int) -> FloatArray:
    """Return a derivative along time by local regression (Savitzky and Golay).

    Args:
        values: Shape (frames, features).
        width: Frames in one regression, odd, more than ``order``.
        order: 1 or 2: which derivative, and the degree of the polynomial.

    Returns:
        float32, shape (frames, features), per frame (squared). The ends take the value of the
        outermost regression; a clip of fewer than ``width`` frames is continued with its first and
        last frame instead.

    >>> delta(np.arange(12, dtype=np.float32)[:, None], width=9, order=1)[5].round(4).tolist()
    [1.0]
    """
    half = width // 2
    short = len(values) < width
    if short:
        values = np.pad(values, ((half, half), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(values, width, axis=0)
    middle: FloatArray = windows @ _regression(width, order)
    return middle if short else np.pad(middle, ((half, half), (0, 0)), mode="edge")


@lru_cache(maxsize=16)
def _regression(width: int, order: int) -> FloatArray:
    """Return weights (width,): the derivative of the polynomial that fits a window of frames."""
    x = np.arange(width, dtype=np.float64) - width // 2
    fit = np.linalg.pinv(np.vander(x, order + 1, increasing=True))
    return np.asarray(fit[order] * order, dtype=np.float32)


def delta_repeating(values: FloatArray) -> FloatArray:
    """Return the first derivative over five frames as HTK and openSMILE take it.

    It is ``delta(values, 5, 1)`` but for the ends, where the first and the last frame are repeated.

    Args:
        values: Shape (frames, columns).
    """
    first, last = values[:1], values[-1:]
    padded = np.concatenate([first, first, values, last, last])
    wide, narrow = padded[4:] - padded[:-4], padded[3:-1] - padded[1:-3]
    wide *= np.float32(0.2)
    narrow *= np.float32(0.1)
    wide += narrow
    return np.asarray(wide)
