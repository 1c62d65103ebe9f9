"""From bytes to samples, block by block: what the package offers is here."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from typing import BinaryIO, cast

import numpy as np

from ullim.audio.containers import check_whole, header_of
from ullim.audio.header import Header
from ullim.audio.limits import DEFAULT_LIMITS, Limits, check_format, check_rate, too_long
from ullim.audio.media import Decoder, MediaDecoder, SoundFileDecoder, decoder_errors
from ullim.audio.samples import Gate, Resampler
from ullim.audio.sources import Source, View, name_of, opened
from ullim.errors import AudioError
from ullim.types import FloatArray

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


def read(
    source: Source,
    sampling_rate: int = 16_000,
    *,
    start_s: float = 0.0,
    end_s: float | None = None,
    limits: Limits = DEFAULT_LIMITS,
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
    limits: Limits = DEFAULT_LIMITS,
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
    limits: Limits = DEFAULT_LIMITS,
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


def _samples(
    source: Source, sampling_rate: int, start_s: float, end_s: float | None, limits: Limits
) -> Iterator[FloatArray]:
    """Yield the checked, resampled samples between two times; the one road for all sources."""
    check_rate(sampling_rate, name_of(source), limits)
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
        file = opened(source, name, limits, stack)
        header = header_of(source, file, name, limits)
        with decoder_errors(name, header.kind):
            decoder = _decoder(file, header, name, limits)
        stack.callback(decoder.close)
        rate = decoder.sampling_rate
        gate = Gate(name, limits, rate)
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
                raise too_long(name, limits)
            if len(block):
                yield rate, block, gate.passed(block)
        if position < stop:
            check_whole(header, rate, position, name)
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


def _decoder(file: BinaryIO, header: Header, name: str, limits: Limits) -> Decoder:
    view = cast(BinaryIO, View(file, header.offset, header.patch))

    def check(channels: int, rate: int) -> None:
        check_format(channels, rate, name, limits)

    if header.decoder == "soundfile":
        return SoundFileDecoder(view, check)
    return MediaDecoder(view, check, demuxer=header.demuxer, name=name, kind=header.kind)


def _bad_range(name: str, start_s: float, end_s: float | None, reason: str) -> AudioError:
    return AudioError(
        f"{name}: can not be read from {start_s} s to {'its end' if end_s is None else end_s}; "
        f"{reason}: correct start_s or end_s",
        code="bad_range",
    )
