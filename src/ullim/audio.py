"""Read recordings: any common format in, mono float32 at one sampling rate out.

One road leads from bytes to samples, and :func:`read` and :func:`stream` both take it: the content
is recognised, the header is held against :class:`Limits`, the file is decoded block by block, the
channels are averaged, the samples are checked, and the blocks are resampled. WAV, FLAC, Ogg
(Vorbis, Opus), MP3, AIFF and AU need nothing more; WebM, M4A, AMR, WMA and others need
``pip install "ullim[media]"``.

Every failure is an :class:`~ullim.errors.AudioError` that names the file, with one of the codes

=====================  ==================================================================
``not_found``          no such file
``is_directory``       a folder, not a file
``permission``         the file may not be read
``empty``              no bytes, or no samples
``too_short``          shorter than ``Limits.min_duration_s``
``silent``             nothing above -80 dBFS but a constant
``not_finite``         NaN or infinite samples
``truncated``          cut or damaged: ends before its header says, or breaks while decoding
``wrong_extension``    the content is of another format than the suffix says
``not_audio``          no audio that is known, or no audio track
``too_large``          more than ``Limits.max_bytes``
``too_long``           more than ``Limits.max_duration_s``
``too_many_channels``  more than ``Limits.max_channels``
``unsupported_rate``   a sampling rate outside ``Limits``
``too_costly``         its header asks for more memory than there is
``bad_range``          ``start_s`` and ``end_s`` do not lie within the recording
=====================  ==================================================================
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from ullim._containers import describe_foreign, sniff
from ullim._header import HEAD_BYTES, KNOWN_SUFFIXES, SLACK_BYTES, Header, size_of
from ullim._media import (
    Decoder,
    MediaDecoder,
    SoundFileDecoder,
    Source,
    View,
    check_bytes,
    decoder_errors,
    name_of,
    opened,
    scaled,
)
from ullim.errors import AudioError
from ullim.types import FloatArray

__all__ = ["AUDIO_SUFFIXES", "Limits", "blocks", "check_samples", "read", "stream"]

# Video containers are left out, but for the two that browsers and telephones record sound into:
# corpora ship a video beside each sound file, and a scan would count every utterance twice.
AUDIO_SUFFIXES: frozenset[str] = frozenset(
    f".{suffix}"
    for group in (
        ("wav", "wave", "w64", "flac", "ogg", "oga", "opus", "spx", "mp3", "mp2", "aif", "aiff"),
        ("aifc", "au", "snd", "sph", "webm", "weba", "mka", "m4a", "mp4", "aac", "3gp", "3ga"),
        ("amr", "awb", "wma", "caf", "wv", "tta", "ape"),
    )
    for suffix in group
)
"""Lower-case suffixes that a scan of a folder counts as audio."""

_SILENCE = 1e-4  # -80 dBFS
_FORMATS = "WAV, FLAC, Ogg, MP3, AIFF, WebM, M4A and similar are"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a recording may cost before it is refused.

    Attributes:
        max_bytes: Size of the file.
        max_duration_s: Decoded length in seconds, whatever the header claims.
        max_channels: Channels.
        min_sampling_rate: Lowest rate of a file, and of what is asked for, in Hz.
        max_sampling_rate: Highest such rate, in Hz.
        min_duration_s: Shortest usable recording, in seconds.
    """

    max_bytes: int = 2 * 1024**3
    max_duration_s: float = 24 * 3600.0
    max_channels: int = 16
    min_sampling_rate: int = 4_000
    max_sampling_rate: int = 384_000
    min_duration_s: float = 0.25


_DEFAULT_LIMITS = Limits()


def read(
    source: Source,
    sampling_rate: int = 16_000,
    *,
    start_s: float = 0.0,
    end_s: float | None = None,
    limits: Limits = _DEFAULT_LIMITS,
) -> FloatArray:
    """Read a recording as mono.

    Args:
        source: Path, bytes of a file, or binary file object (read from its beginning; one that can
            not seek, such as standard input, from where it stands). The caller closes it.
        sampling_rate: Rate of the result in Hz.
        start_s: Where to begin, in seconds.
        end_s: Where to end, in seconds; None for the end. Up to 0.1 s past the end is forgiven.
        limits: What to refuse.

    Returns:
        Mean of the channels, float32 ``(samples,)``, full scale 1; lossy and float files may
        exceed it slightly.

    Raises:
        AudioError: The recording can not be used; the module lists the codes.
        MissingExtraError: The format needs ``ullim[media]``.

    >>> import io, soundfile
    >>> file = io.BytesIO()
    >>> soundfile.write(file, np.sin(np.arange(48_000) / 20), 48_000, format="WAV")
    >>> read(file.getvalue()).shape
    (16000,)
    """
    return np.concatenate(list(_samples(source, sampling_rate, start_s, end_s, limits)))


def stream(
    source: Source,
    sampling_rate: int = 16_000,
    *,
    block_s: float = 30.0,
    limits: Limits = _DEFAULT_LIMITS,
) -> Iterator[FloatArray]:
    """Yield the samples of :func:`read` block by block, in constant memory.

    Args:
        source: As for :func:`read`.
        sampling_rate: Rate of the result in Hz.
        block_s: Length of a block in seconds; the last one is shorter.
        limits: What to refuse.

    Yields:
        Mono float32 ``(samples,)``.

    Raises:
        AudioError: As :func:`read`, but when found: what only the end of the file tells
            (``truncated``, ``silent``) comes after the blocks before it. Nothing is yielded of a
            recording that is too short.
        MissingExtraError: The format needs ``ullim[media]``.
        ValueError: ``block_s`` is not positive, or less than one sample.
    """
    if not (math.isfinite(block_s) and block_s * sampling_rate >= 1):
        raise ValueError(f"block_s is {block_s}; at least one sample is needed: try 30.0")
    block = round(block_s * sampling_rate)
    return _reblocked(
        _samples(source, sampling_rate, 0.0, None, limits),
        block,
        hold=math.ceil(limits.min_duration_s * sampling_rate),
    )


def blocks(
    source: Source,
    *,
    start_s: float = 0.0,
    end_s: float | None = None,
    limits: Limits = _DEFAULT_LIMITS,
) -> Iterator[tuple[int, FloatArray]]:
    """Yield what a recording holds, as it holds it: for those who look at the recording itself.

    Args:
        source: As for :func:`read`.
        start_s: Where to begin, in seconds.
        end_s: Where to end, in seconds; None for the end.
        limits: What to refuse.

    Yields:
        The file's own sampling rate in Hz, and float32 ``(samples, channels)``, full scale 1.

    Raises:
        AudioError: As :func:`stream`.
        MissingExtraError: The format needs ``ullim[media]``.
    """
    for rate, block, _ in _checked(source, start_s, end_s, limits):
        yield rate, block


def check_samples(
    samples: Any,
    sampling_rate: int,
    *,
    target_sampling_rate: int | None = None,
    name: str = "<array>",
    limits: Limits = _DEFAULT_LIMITS,
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
    _check_rate(sampling_rate, name, limits)
    _check_rate(target_sampling_rate or sampling_rate, name, limits)
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
        raise _empty(name)
    if array.ndim == 2 and array.shape[0] < array.shape[1]:
        array = array.T
    array = array.reshape(len(array), -1)
    _check_format(array.shape[1], sampling_rate, name, limits)
    if len(array) > limits.max_duration_s * sampling_rate:
        raise _too_long(name, limits)
    gate = _Gate(name, limits, sampling_rate)
    mono = gate.passed(scaled(array))
    gate.finish()
    resampler = Resampler(sampling_rate, target_sampling_rate or sampling_rate)
    return np.concatenate([resampler.push(mono), resampler.flush()])


def _samples(
    source: Source, sampling_rate: int, start_s: float, end_s: float | None, limits: Limits
) -> Iterator[FloatArray]:
    """Yield the checked, resampled samples between two times; the one road for all sources."""
    _check_rate(sampling_rate, name_of(source), limits)
    resampler: Resampler | None = None
    for rate, _, mono in _checked(source, start_s, end_s, limits):
        resampler = resampler or Resampler(rate, sampling_rate)
        yield resampler.push(mono)
    if resampler is not None:
        yield resampler.flush()


def _checked(
    source: Source, start_s: float, end_s: float | None, limits: Limits
) -> Iterator[tuple[int, FloatArray, FloatArray]]:
    """Yield rate, checked block and its mean over channels, between two times."""
    name = name_of(source)
    end = math.inf if end_s is None else end_s
    if not (math.isfinite(start_s) and 0 <= start_s < end):
        raise _bad_range(name, start_s, end_s, "0 <= start_s < end_s is needed")
    with ExitStack() as stack:
        file = opened(source, name, limits.max_bytes, stack)
        header = _header_of(source, file, name, limits)
        with decoder_errors(name, header.kind):
            decoder = _decoder(file, header, name, limits)
        stack.callback(decoder.close)
        rate = decoder.sampling_rate
        gate = _Gate(name, limits, rate)
        start, stop = round(start_s * rate), end if math.isinf(end) else round(end * rate)
        decoded = decoder.blocks()
        with decoder_errors(name, header.kind):
            position = decoder.skip_to(start)
        while position < stop:
            with decoder_errors(name, header.kind):
                block = next(decoded, None)
            if block is None:
                break
            first, position = position, position + len(block)
            block = block[max(0, start - first) : None if position <= stop else int(stop - first)]
            if position > (limits.max_duration_s + start_s) * rate:
                raise _too_long(name, limits)
            if len(block):
                yield rate, block, gate.passed(block)
        if position < stop:
            _check_whole(header, rate, position, name)
            past_s = max(start_s, 0.0 if end_s is None else end_s - 0.1)
            if position and (start_s or end_s is not None) and position / rate <= past_s:
                raise _bad_range(name, start_s, end_s, f"it lasts {position / rate:.3f} s")
        gate.finish()


def _reblocked(chunks: Iterator[FloatArray], block: int, hold: int) -> Iterator[FloatArray]:
    pending: list[FloatArray] = []
    count = 0
    for chunk in chunks:
        pending.append(chunk)
        count += len(chunk)
        if count >= max(block, hold):
            hold = 0
            joined = np.concatenate(pending)
            whole = count - count % block
            for start in range(0, whole, block):
                yield joined[start : start + block]
            pending, count = [joined[whole:].copy()], count - whole
    for start in range(0, count, block):
        yield np.concatenate(pending)[start : start + block]


class Resampler:
    """soxr at its high quality; the result does not depend on how the input is cut."""

    def __init__(self, from_rate: int, to_rate: int) -> None:
        self._soxr: Any = None
        if from_rate != to_rate:
            import soxr

            self._soxr = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32")

    def push(self, mono: FloatArray, *, last: bool = False) -> FloatArray:
        if self._soxr is None:
            return mono
        return cast(FloatArray, self._soxr.resample_chunk(mono, last=last))

    def flush(self) -> FloatArray:
        return self.push(np.zeros(0, np.float32), last=True)


class _Gate:
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
            raise _empty(name)
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


def _header_of(source: Source, file: BinaryIO, name: str, limits: Limits) -> Header:
    size_bytes = size_of(file)
    check_bytes(size_bytes, name, limits.max_bytes)
    if size_bytes == 0:
        raise _empty(name)
    header = sniff(file, size_bytes)
    if header is None:
        file.seek(0)
        found = describe_foreign(file.read(HEAD_BYTES))
        raise AudioError(
            f"{name}: is not audio but {found}; {_FORMATS} allowed: give a recording",
            code="not_audio",
        )
    suffix = Path(name).suffix.lower() if isinstance(source, str | os.PathLike) else ""
    if suffix in KNOWN_SUFFIXES and suffix not in header.suffixes:
        raise AudioError(
            f"{name}: holds {header.kind} data under the suffix {suffix}; for it "
            f"{', '.join(sorted(header.suffixes))} are allowed: rename the file, and check how it "
            "was made",
            code="wrong_extension",
        )
    if header.is_empty:
        raise _empty(name)
    if header.channels is not None and header.sampling_rate is not None:
        _check_format(header.channels, header.sampling_rate, name, limits)
    elif header.channels is not None:
        _check_channels(header.channels, name, limits)
    if header.missing_bytes > SLACK_BYTES:
        raise _truncated(name, f"its {header.kind} header declares more bytes than the file has")
    return header


def _decoder(file: BinaryIO, header: Header, name: str, limits: Limits) -> Decoder:
    view = cast(BinaryIO, View(file, header.offset, header.patch))

    def check(channels: int, rate: int) -> None:
        _check_format(channels, rate, name, limits)

    if header.decoder == "soundfile":
        return SoundFileDecoder(view, check)
    return MediaDecoder(view, check, demuxer=header.demuxer, name=name, kind=header.kind)


def _check_whole(header: Header, rate: int, decoded: int, name: str) -> None:
    if not header.frames or not header.sampling_rate:
        return
    declared_s, decoded_s = header.frames / header.sampling_rate, decoded / rate
    # Encoders count their padding, and decoders drop it: up to three frames of MP3.
    if decoded_s < declared_s - 0.15:
        raise _truncated(name, f"it ends after {decoded_s:.2f} of {declared_s:.2f} s")


def _check_rate(rate: int, name: str, limits: Limits) -> None:
    if not limits.min_sampling_rate <= rate <= limits.max_sampling_rate:
        raise AudioError(
            f"{name}: a sampling rate of {rate} Hz is not supported; {limits.min_sampling_rate} "
            f"to {limits.max_sampling_rate} Hz is allowed: convert it to 16000 Hz",
            code="unsupported_rate",
        )


def _check_channels(channels: int, name: str, limits: Limits) -> None:
    if channels > limits.max_channels:
        raise AudioError(
            f"{name}: has {channels} channels; at most {limits.max_channels} are allowed: mix it "
            "down to mono",
            code="too_many_channels",
        )


def _check_format(channels: int, rate: int, name: str, limits: Limits) -> None:
    _check_channels(channels, name, limits)
    _check_rate(rate, name, limits)


def _empty(name: str) -> AudioError:
    return AudioError(
        f"{name}: holds no samples; a recording is needed: record or export it again",
        code="empty",
    )


def _too_long(name: str, limits: Limits) -> AudioError:
    return AudioError(
        f"{name}: lasts more than {limits.max_duration_s:g} s, the most allowed: cut it into parts",
        code="too_long",
    )


def _truncated(name: str, reason: str) -> AudioError:
    return AudioError(
        f"{name}: is cut off ({reason}); a whole recording is needed: copy or export it again",
        code="truncated",
    )


def _bad_range(name: str, start_s: float, end_s: float | None, reason: str) -> AudioError:
    return AudioError(
        f"{name}: can not be read from {start_s} s to {'its end' if end_s is None else end_s}; "
        f"{reason}: correct start_s or end_s",
        code="bad_range",
    )


def _not_samples(name: str, found: str) -> AudioError:
    return AudioError(
        f"{name}: is an array with {found}; (samples,), (samples, channels) or (channels, "
        "samples) of float, int8, int16, int32, uint8 or uint16 is allowed: convert it first",
        code="not_audio",
    )
