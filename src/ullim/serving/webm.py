"""Decode a growing WebM recording: bytes in at one end, samples out at the other.

FFmpeg reads what a stranger sends, so it does that in a process of its own, one per stream: what
breaks it breaks nothing else, its memory and its processor time are bounded, its input and output
are pipes that make it wait, and it can be killed. :func:`main` is that process; :class:`Decoding`
is the server's hand on it.

The process writes ``{}`` once it can decode, then the rate, ``{"sampling_rate": 48000}``, then
mono samples as little-endian float32; should it fail, ``{"code": ..., "detail": ...}`` to stderr.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from ullim.audio.media import known_codec, samples_of
from ullim.errors import AudioError
from ullim.serving.worker import confine, cpu_limit, end_now, environment
from ullim.types import FloatArray

MAGIC = b"\x1aE\xdf\xa3"
"""How every WebM recording begins."""

_READ_BYTES = 1 << 16
_MEMORY_BYTES = 256 * 1024**2  # beside the libraries
_PROCESSOR_S = 600.0  # an hour of Opus takes about ten
_START_S = 30.0
_BUSY = "the service is too busy to start a decoder; try again later"
_READY = b"{}\n"
_OPTIONS = {"probesize": "4096", "analyzeduration": "0"}


class Decoding:
    """A recording being decoded; bytes may be fed while samples are read.

    Attributes:
        sampling_rate: Rate of the samples in Hz, known once the first have been read.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise ValueError("a decoder is reached by pipes")
        self._process = process
        self._input, self._output, self._errors = process.stdin, process.stdout, process.stderr
        self._rest = b""
        self.sampling_rate: int | None = None

    @classmethod
    async def begin(cls) -> Decoding:
        """Start the process, and wait until it can decode.

        Raises:
            AudioError: It cannot, or not in time.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "ullim.serving.webm"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,  # a Ctrl-C in the terminal reaches only the service
                env=environment(),
                limit=_READ_BYTES,
            )
        except OSError as error:  # too many processes or files
            raise AudioError(_BUSY, code="busy") from error
        decoding = cls(process)
        try:
            async with asyncio.timeout(_START_S):
                if await decoding._output.readline() != _READY:
                    await decoding._check()
        except TimeoutError:
            await decoding.kill()
            raise AudioError(_BUSY, code="busy") from None
        except BaseException:
            await decoding.kill()
            raise
        return decoding

    async def feed(self, data: bytes) -> None:
        """Pass on the next bytes; waits while the process has enough to do."""
        with suppress(BrokenPipeError, ConnectionResetError):  # its end tells why
            self._input.write(data)
            await self._input.drain()

    async def end(self) -> None:
        """Say that there are no more bytes."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._input.close()

    async def read(self) -> FloatArray | None:
        """Return the next samples, shape (samples,); None at the end.

        Raises:
            AudioError: What was fed cannot be decoded.
        """
        if self.sampling_rate is None:
            head = await self._output.readline()
            if not head:
                await self._check()
                return None
            self.sampling_rate = int(json.loads(head)["sampling_rate"])
        data = await self._output.read(_READ_BYTES)
        if not data:
            await self._check()
            return None
        data = self._rest + data
        whole = len(data) - len(data) % 4
        self._rest = data[whole:]
        return np.frombuffer(data[:whole], dtype="<f4").astype(np.float32)

    async def _check(self) -> None:
        said = await self._errors.read(_READ_BYTES)
        if await self._process.wait() == 0:
            return
        try:
            told: dict[str, Any] = json.loads(said.splitlines()[-1])
        except (ValueError, IndexError):  # killed by a limit, or by what it read
            told = {"code": "bad_audio", "detail": "the recording broke its decoder"}
        raise AudioError(str(told["detail"]), code=str(told["code"]))

    async def kill(self) -> None:
        """End the process now, whatever it does."""
        await end_now(self._process)


class _Input:
    """Standard input as a file that gives what there is, and cannot seek."""

    def read(self, size: int) -> bytes:
        return os.read(0, size)


def decoded(file: Any) -> Iterator[tuple[int, FloatArray]]:
    """Decode a WebM recording while it is still being written.

    Args:
        file: Has ``read(size)``, which gives what there is, and nothing at the end.

    Yields:
        The sampling rate in Hz, always the same, and mono samples, float32 ``(samples,)``.

    Raises:
        AudioError: It has no audio track, or its rate changes.
        Exception: It cannot be decoded; what FFmpeg says of hostile bytes reaches Python as many
            kinds of exception.
    """
    import av

    with av.open(file, mode="r", format="matroska", options=_OPTIONS) as container:
        if not container.streams.audio:
            raise AudioError("the WebM recording has no audio track", code="not_audio")
        track, rate = container.streams.audio[0], None
        known_codec(track, "the stream", "WebM")
        for frame in container.decode(track):
            rate = rate or frame.sample_rate
            if frame.sample_rate != rate:
                raise AudioError(
                    "the sampling rate changes within the WebM", code="unsupported_rate"
                )
            # Who listens refuses what is not finite.
            with np.errstate(invalid="ignore", over="ignore"):
                mono = samples_of(frame).mean(axis=1, dtype="<f4")
            yield rate, mono


def main() -> int:
    """Decode standard input to standard output."""
    try:
        import av  # noqa: F401 - its shared libraries are large, and loaded before the limits hold
    except ImportError:
        return _fail("missing_extra", 'WebM needs PyAV: pip install "ullim[media]"')
    confine(_MEMORY_BYTES)
    cpu_limit(_PROCESSOR_S)
    output = sys.stdout.buffer
    try:
        output.write(_READY)
        output.flush()
        told = False
        for rate, samples in decoded(_Input()):
            if not told:
                output.write(json.dumps({"sampling_rate": rate}).encode() + b"\n")
                told = True
            output.write(samples.tobytes())
            output.flush()
    except BrokenPipeError:  # the server has gone, or has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except AudioError as error:
        return _fail(error.code, str(error))
    except Exception as error:
        reason = str(getattr(error, "strerror", None) or error)
        return _fail("bad_audio", f"not a WebM recording that can be decoded ({reason[:200]})")
    return 0


def _fail(code: str, detail: str) -> int:
    sys.stderr.write(json.dumps({"code": code, "detail": detail}) + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
