"""From a file to decoded samples: libsndfile and FFmpeg are called here.

libsndfile (soundfile) reads the common formats, FFmpeg (PyAV) those that libsndfile does not. Both
give blocks of float32 ``(frames, channels)`` in [-1, 1] and read on until the file ends,
whatever length its header claims.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, Protocol

import numpy as np

from ullim.errors import AudioError, MissingExtraError, UllimError
from ullim.types import FloatArray

_BLOCK_VALUES = 1 << 18

Check = Callable[[int, int], None]
"""Called with channels and sampling rate before a decoder allocates for them; raises AudioError."""


class Decoder(Protocol):
    """A recording opened for decoding once, front to back."""

    sampling_rate: int

    def skip_to(self, frame: int) -> int:
        """Go to ``frame`` where that is cheap and exact; return where decoding will start."""

    def blocks(self) -> Iterator[FloatArray]:
        """Yield blocks ``(frames, channels)``."""

    def close(self) -> None:
        """Release what the decoder holds, not the file below it."""


@contextmanager
def decoder_errors(name: str, kind: str) -> Iterator[None]:
    """Turn whatever a decoder raises about hostile bytes into an :class:`AudioError`."""
    try:
        yield
    except UllimError:
        raise
    except MemoryError as error:
        if not hasattr(error, "errno"):  # Python itself has no more
            raise
        # FFmpeg was asked by a header for more than it may take, and has tidied up.
        raise AudioError(
            f"{name}: the {kind} data takes more memory to decode than there is; a whole recording "
            "is needed: copy or export it again",
            code="too_costly",
        ) from error
    # Decoders wrap C libraries: damaged input reaches Python as LibsndfileError, FFmpegError,
    # ValueError, OverflowError, UnicodeDecodeError and more, none of them documented.
    except Exception as error:
        reason = getattr(error, "error_string", None) or getattr(error, "strerror", None) or error
        raise AudioError(
            f"{name}: the {kind} data is damaged or cut ({str(reason).strip('. ')}); "
            "a whole recording is needed: copy or export it again",
            code="truncated",
        ) from error


class SoundFileDecoder:
    """libsndfile: PCM, FLAC, Vorbis, Opus, MP3."""

    def __init__(self, file: BinaryIO, check: Check) -> None:
        self._file = _sound_file_class()(file)
        self.sampling_rate: int = self._file.samplerate
        self._channels: int = self._file.channels
        try:
            check(self._channels, self.sampling_rate)
        except AudioError:
            self.close()
            raise

    def skip_to(self, frame: int) -> int:
        """Go to ``frame`` in PCM and FLAC; lossy codecs can not be entered at an exact sample."""
        is_exact = self._file.subtype.split("_")[0] in ("PCM", "FLOAT", "DOUBLE", "ULAW", "ALAW")
        if is_exact and self._file.format != "OGG" and 0 < frame < self._file.frames:
            return int(self._file.seek(frame))
        return 0

    def blocks(self) -> Iterator[FloatArray]:
        """Yield blocks ``(frames, channels)``."""
        frames = max(1, _BLOCK_VALUES // self._channels)
        while True:
            block = np.empty((frames, self._channels), np.float32)
            count = self._file.buffer_read_into(block, dtype="float32")
            if count <= 0:
                return
            yield block[:count]

    def close(self) -> None:
        """Release libsndfile's handle."""
        self._file.close()


def _sound_file_class() -> Any:
    import soundfile  # its shared library takes 30 ms to load

    class ForwardFile(soundfile.SoundFile):  # type: ignore[misc]
        # soundfile seeks to where it already is after every read of a seekable file. In MP3 that
        # restarts the decoder without its bit reservoir, and each block begins with an error.
        def seekable(self) -> bool:
            return False

    return ForwardFile


class MediaDecoder:
    """FFmpeg: WebM, MP4, AAC, AMR, WMA and the rest."""

    def __init__(self, file: BinaryIO, check: Check, *, demuxer: str, name: str, kind: str) -> None:
        try:
            import av
        except ImportError as error:
            raise MissingExtraError(f"reading {name} ({kind})", extra="media") from error
        self._name, self._check, self._channels = name, check, 0
        # A named demuxer: probing could pick one that opens other files (playlists, concat).
        self._container: Any = av.open(file, mode="r", format=demuxer, metadata_errors="ignore")
        try:
            if not self._container.streams.audio:
                raise AudioError(
                    f"{name}: the {kind} file has no audio track; give a recording with sound",
                    code="not_audio",
                )
            stream = self._container.streams.audio[0]
            context = known_codec(stream, name, kind)
            if context.sample_rate and context.layout.nb_channels:
                check(context.layout.nb_channels, context.sample_rate)
            self._frames = self._container.decode(stream)
            # AAC declares half its rate in the header; only a decoded frame tells the truth.
            self._first = next(self._frames, None)
            if self._first is None and not context.sample_rate:
                raise AudioError(
                    f"{name}: nothing in the {kind} file can be decoded; a whole recording is "
                    "needed: copy or export it again",
                    code="truncated",
                )
            self.sampling_rate: int = context.sample_rate
            if self._first is not None:
                self.sampling_rate = self._first.sample_rate
                self._channels = self._first.layout.nb_channels
                check(self._channels, self.sampling_rate)
        except BaseException:
            self.close()
            raise

    def skip_to(self, frame: int) -> int:
        """Return 0: compressed streams are decoded from their start."""
        return 0

    def blocks(self) -> Iterator[FloatArray]:
        """Yield blocks ``(frames, channels)``."""
        frame, values = self._first, 0
        parts: list[FloatArray] = []
        while frame is not None:
            if frame.sample_rate != self.sampling_rate:
                raise AudioError(
                    f"{self._name}: the sampling rate changes within the recording, from "
                    f"{self.sampling_rate} to {frame.sample_rate} Hz; one rate is allowed: "
                    "convert it to WAV first",
                    code="unsupported_rate",
                )
            if (channels := frame.layout.nb_channels) != self._channels:
                self._check(channels, self.sampling_rate)
                self._channels = channels
            part = samples_of(frame)
            if parts and part.shape[1] != parts[0].shape[1]:
                yield np.concatenate(parts)
                parts, values = [], 0
            parts.append(part)
            values += part.size
            # A hostile header can make every frame one sample: joined, they cost little each.
            if values >= _BLOCK_VALUES:
                yield np.concatenate(parts)
                parts, values = [], 0
            frame = next(self._frames, None)
        if parts:
            yield np.concatenate(parts)

    def close(self) -> None:
        """Release FFmpeg's handles."""
        with suppress(Exception):
            self._container.close()


def known_codec(stream: Any, name: str, kind: str) -> Any:
    """Return what decodes a track.

    Raises:
        AudioError: Nothing does.
    """
    if stream.codec_context is None:
        raise AudioError(
            f"{name}: the {kind} file's sound is in a codec that is not known; WAV, FLAC, Opus, "
            "MP3 and AAC are: export it again as one of these",
            code="not_audio",
        )
    return stream.codec_context


def samples_of(frame: Any) -> FloatArray:
    """Return what PyAV decoded as float32 ``(samples, channels)``.

    PyAV's own ``to_ndarray`` counts the planes of a frame up to a null pointer, which none of eight
    or more channels has: it reads on, and the process dies.
    """
    from av.audio.plane import AudioPlane

    plane: Any = AudioPlane  # its stub does not say that it is a buffer
    channels, count = frame.layout.nb_channels, frame.samples
    dtype = _DTYPES[frame.format.name.removesuffix("p")]
    if not frame.format.is_planar:
        values = np.frombuffer(plane(frame, 0), dtype, count * channels)
        return scaled(values.reshape(count, channels))
    planes = [np.frombuffer(plane(frame, at), dtype, count) for at in range(channels)]
    return scaled(np.stack(planes, axis=1))


_DTYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}


def scaled(values: np.ndarray[Any, np.dtype[Any]]) -> FloatArray:
    """Return floats as float32, and integers scaled so that full scale is 1.

    >>> scaled(np.array([-32768, 16384], np.int16)).tolist()
    [-1.0, 0.5]
    """
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return values.astype(np.float32, copy=False)
    half = float(2 ** (8 * values.dtype.itemsize - 1))
    centre = half if values.dtype.kind == "u" else 0.0
    return ((values.astype(np.float64) - centre) / half).astype(np.float32)
