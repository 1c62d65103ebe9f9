"""What samples pass through, of a file or of an array: a gate that refuses, and a resampler."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np

from ullim.audio.limits import DEFAULT_LIMITS, Limits, check_format, check_rate, empty, too_long
from ullim.audio.media import scaled
from ullim.errors import AudioError
from ullim.types import FloatArray

_SILENCE = 1e-4  # -80 dBFS


def check_samples(
    samples: Any,
    sampling_rate: int,
    *,
    target_sampling_rate: int | None = None,
    name: str = "<array>",
    limits: Limits = DEFAULT_LIMITS,
) -> FloatArray:
    """Make an array that a user passes what :func:`read` would have given.

    Args:
        samples: ``(samples,)``, ``(samples, channels)`` or ``(channels, samples)``; the shorter
            axis is that of the channels. Floats have full scale 1; int8, int16 and int32 are
            scaled to it, and unsigned integers are first centred, as in WAV.
        sampling_rate: Rate of ``samples`` in Hz.
        target_sampling_rate: Rate of the result in Hz; None for the same.
        name: How messages call the array.
        limits: What to refuse.

    Returns:
        Mean of the channels, float32 ``(samples,)``.

    Raises:
        AudioError: With the codes ``empty``, ``too_short``, ``silent``, ``not_finite``,
            ``not_audio`` (not one of the shapes and types above), ``too_many_channels``,
            ``too_long`` or ``unsupported_rate``.

    >>> check_samples(np.array([[8192, -8192]] * 8000, np.int16).ravel(), 16_000)[:2].tolist()
    [0.25, -0.25]
    """
    check_rate(sampling_rate, name, limits)
    check_rate(target_sampling_rate or sampling_rate, name, limits)
    try:
        array = np.asarray(samples)
    except (ValueError, TypeError) as error:
        raise _not_samples(name, "rows of different lengths") from error
    kinds = {"f": (2, 4, 8, 16), "i": (1, 2, 4), "u": (1, 2)}
    if array.dtype.itemsize not in kinds.get(array.dtype.kind, ()):
        raise _not_samples(name, f"values of type {array.dtype}")
    if array.ndim not in (1, 2):
        raise _not_samples(name, f"shape {array.shape}")
    if array.size == 0:
        raise empty(name)
    if array.ndim == 2 and array.shape[0] < array.shape[1]:
        array = array.T
    array = array.reshape(len(array), -1)
    check_format(array.shape[1], sampling_rate, name, limits)
    if len(array) > limits.max_duration_s * sampling_rate:
        raise too_long(name, limits)
    gate = Gate(name, limits, sampling_rate)
    mono = gate.passed(scaled(array))
    gate.finish()
    resampler = Resampler(sampling_rate, target_sampling_rate or sampling_rate)
    return np.concatenate([resampler.push(mono), resampler.flush()])


class Resampler:
    """soxr at its high quality; the result does not depend on how the input is cut.

    Args:
        from_rate: Rate of what is pushed, in Hz.
        to_rate: Rate of what comes back, in Hz.

    >>> twice = Resampler(8_000, 16_000)
    >>> sum(part.size for part in (twice.push(np.zeros(800, np.float32)), twice.flush()))
    1600
    """

    def __init__(self, from_rate: int, to_rate: int) -> None:
        self._soxr: Any = None
        if from_rate != to_rate:
            import soxr

            self._soxr = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32")

    def push(self, mono: FloatArray, *, last: bool = False) -> FloatArray:
        """Return what is certain after these samples ``(n,)``: fewer or more than went in.

        Args:
            mono: The next samples.
            last: Whether none follow.
        """
        if self._soxr is None:
            return mono
        return cast(FloatArray, self._soxr.resample_chunk(mono, last=last))

    def flush(self) -> FloatArray:
        """Return what was still held back; nothing may be pushed after it."""
        return self.push(np.zeros(0, np.float32), last=True)


class Gate:
    """Averages channels and refuses what holds nothing, before resampling rings and blurs it."""

    def __init__(self, name: str, limits: Limits, rate: int) -> None:
        self._name, self._limits, self._rate = name, limits, rate
        self._count, self._channels = 0, 1
        self._low, self._high = math.inf, -math.inf

    def passed(self, block: FloatArray) -> FloatArray:
        """Return the mean of ``(frames, channels)``."""
        self._channels = block.shape[1]
        with np.errstate(invalid="ignore", over="ignore"):
            mono = block[:, 0] if self._channels == 1 else block.mean(axis=1, dtype=np.float32)
        low, high = float(mono.min()), float(mono.max())
        # Squares of larger values overflow in every feature: they are as unusable as infinity.
        if not (low > -1e15 and high < 1e15):
            raise AudioError(
                f"{self._name}: holds samples that are NaN or infinite; finite numbers are "
                "allowed: export the recording again",
                code="not_finite",
            )
        self._low, self._high = min(low, self._low), max(high, self._high)
        self._count += len(mono)
        return np.ascontiguousarray(mono)

    def finish(self) -> None:
        """Refuse what turned out empty, too short or silent."""
        name, duration_s = self._name, self._count / self._rate
        if not self._count:
            raise empty(name)
        if duration_s < self._limits.min_duration_s:
            raise AudioError(
                f"{name}: lasts {duration_s:.3f} s; at least {self._limits.min_duration_s:g} s is "
                "needed: give a longer recording",
                code="too_short",
            )
        if (self._high - self._low) / 2 <= _SILENCE:
            cause = " (or its channels cancel out)" if self._channels > 1 else ""
            raise AudioError(
                f"{name}: is silent{cause}; some sample above -80 dBFS is needed: check the "
                "microphone, or give another recording",
                code="silent",
            )


def _not_samples(name: str, found: str) -> AudioError:
    return AudioError(
        f"{name}: is an array with {found}; (samples,), (samples, channels) or (channels, "
        "samples) of float, int8, int16, int32, uint8 or uint16 is allowed: convert it first",
        code="not_audio",
    )
