"""What the prosodic features share: levelled signals and blocks of power spectra."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ullim.types import FloatArray

# NumPy's float32 FFT takes three times as long for each frame when it is given more than this.
_SAMPLES_PER_BLOCK = 1 << 16

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

    >>> rows_per_block(298, 512)
    100
    """
    blocks = math.ceil(n_rows * n_fft / _SAMPLES_PER_BLOCK)
    return math.ceil(n_rows / blocks)


@lru_cache(maxsize=16)
def hann(n: int) -> FloatArray:
    """Return the periodic Hann window, shape (n,)."""
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n), dtype=np.float32)


def power_blocks(
    signal: FloatArray, window: FloatArray, hop_length: int, n_fft: int
) -> Iterator[tuple[slice, FloatArray]]:
    """Yield rows and power spectra of centred, windowed frames, a block at a time.

    Args:
        signal: Mono samples, shape (samples,).
        window: Shape (length,), ``length`` <= ``n_fft``.
        hop_length: Step between frames, in samples.
        n_fft: Length of the transform.

    Yields:
        The rows, and their power, float32 of shape (rows, n_fft // 2 + 1), which the next block
        overwrites.
    """
    length = len(window)
    n = n_frames(len(signal), hop_length)
    padded = np.zeros((n - 1) * hop_length + length, dtype=np.float32)
    start = length // 2
    kept = min(len(signal), len(padded) - start)
    padded[start : start + kept] = signal[:kept]
    frames = np.lib.stride_tricks.sliding_window_view(padded, length)[::hop_length]
    step = rows_per_block(n, n_fft)
    buffer = np.zeros((step, n_fft), dtype=np.float32)
    power = np.empty((step, n_fft // 2 + 1), dtype=np.float32)
    for first in range(0, n, step):
        last = min(first + step, n)
        np.multiply(frames[first:last], window, out=buffer[: last - first, :length])
        spectrum = np.fft.rfft(buffer[: last - first], axis=-1)
        rows = power[: last - first]
        np.square(spectrum.real, out=rows)
        rows += np.square(spectrum.imag)
        yield slice(first, last), rows


def product(rows: FloatArray, matrix: FloatArray, out: FloatArray | None = None) -> FloatArray:
    """Return ``rows @ matrix`` in pieces that stay on one thread."""
    if out is None:
        out = np.empty((len(rows), matrix.shape[1]), dtype=np.float32)
    step = max(1, _MULTIPLICATIONS_PER_PRODUCT // matrix.size)
    for first in range(0, len(rows), step):
        piece = slice(first, first + step)
        np.matmul(rows[piece], matrix, out=out[piece])
    return out


def decibels(power: npt.NDArray[np.floating[Any]], floor: float) -> FloatArray:
    """Return ten times the common logarithm, cut off below at ``floor``; float32."""
    kept = np.maximum(power, floor).astype(np.float32, copy=False)
    return np.asarray(np.float32(10.0) * np.log10(kept))


def delta(values: FloatArray) -> FloatArray:
    """Return each column's regression over two frames on either side, as HTK computes it.

    Args:
        values: Shape (frames, columns); the first and the last frame are repeated at the ends.
    """
    first, last = values[:1], values[-1:]
    padded = np.concatenate([first, first, values, last, last])
    wide, narrow = padded[4:] - padded[:-4], padded[3:-1] - padded[1:-3]
    wide *= np.float32(0.2)
    narrow *= np.float32(0.1)
    wide += narrow
    return np.asarray(wide)
