"""Decode a growing WebM recording: bytes in at one end, samples out at the other.

FFmpeg reads what a stranger sends, so it does that in a process of its own, one per stream: what
breaks it breaks nothing else, its memory and its processor time are bounded, its input and output
are pipes that make it wait, and it can be killed. :func:`main` is that process; :class:`Decoding`
is the server's hand on it.

The process writes a line of JSON, ``{"sampling_rate": 48000}``, then mono samples as
little-endian float32; should it fail, a line of JSON on stderr, ``{"code": ..., "detail": ...}``.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import suppress
from typing import Any

import numpy as np

from ullim._media import scaled
from ullim.errors import AudioError
from ullim.serving.worker import confine, cpu_limit, environment
from ullim.types import FloatArray

MAGIC = b"\x1aE\xdf\xa3"
"""How every WebM recording begins."""

_READ_BYTES = 1 << 16
_MEMORY_BYTES = 256 * 1024**2  # beside the libraries
_PROCESSOR_S = 600.0  # an hour of Opus takes about ten
_OPTIONS = {"fflags": "nobuffer", "probesize": "4096", "analyzeduration": "0"}


class Decoding:
    """A recording being decoded; bytes may be fed while samples are read.

    Attributes:
        sampling_rate: Rate of the samples in Hz, known once the first have been read.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._rest = b""
        self.sampling_rate: int | None = None

    @classmethod
    async def begin(cls) -> Decoding:
        """Start the process."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "ullim.serving.webm"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C in the terminal reaches only the service
            env=environment(),
            limit=_READ_BYTES,
        )
        return cls(process)

    async def feed(self, data: bytes) -> None:
        """Pass on the next bytes; waits while the process has enough to do."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError, ConnectionResetError):  # its end tells why
            self._process.stdin.write(data)
            await self._process.stdin.drain()

    async def end(self) -> None:
        """Say that there are no more bytes."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError, ConnectionResetError):
            self._process.stdin.close()

    async def read(self) -> FloatArray | None:
        """Return the next samples, shape (samples,); None at the end.

        Raises:
            AudioError: What was fed cannot be decoded.
        """
        output = self._process.stdout
        assert output is not None
        if self.sampling_rate is None:
            head = await output.readline()
            if not head:
                await self._check()
                return None
            self.sampling_rate = int(json.loads(head)["sampling_rate"])
        data = await output.read(_READ_BYTES)
        if not data:
            await self._check()
            return None
        data = self._rest + data
        whole = len(data) - len(data) % 4
        self._rest = data[whole:]
        return np.frombuffer(data[:whole], dtype="<f4").astype(np.float32)

    async def _check(self) -> None:
        assert self._process.stderr is not None
        said = await self._process.stderr.read(_READ_BYTES)
        if await self._process.wait() == 0:
            return
        try:
            told: dict[str, Any] = json.loads(said.splitlines()[-1])
        except (ValueError, IndexError):  # killed by a limit, or by what it read
            told = {"code": "bad_audio", "detail": "the recording broke its decoder"}
        raise AudioError(str(told["detail"]), code=str(told["code"]))

    async def kill(self) -> None:
        """End the process now, whatever it does."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


class _Input:
    """Standard input as a file that gives what there is, and cannot seek."""

    def read(self, size: int) -> bytes:
        return os.read(0, size)


def main() -> int:
    """Decode standard input to standard output."""
    try:
        import av
    except ImportError:
        return _fail("missing_extra", 'WebM needs PyAV: pip install "ullim[media]"')
    confine(_MEMORY_BYTES)
    cpu_limit(_PROCESSOR_S)
    output = sys.stdout.buffer
    try:
        with av.open(_Input(), mode="r", format="matroska", options=_OPTIONS) as container:
            if not container.streams.audio:
                return _fail("not_audio", "the WebM recording has no audio track")
            rate = None
            for frame in container.decode(container.streams.audio[0]):
                if rate is None:
                    rate = frame.sample_rate
                    output.write(json.dumps({"sampling_rate": rate}).encode() + b"\n")
                elif frame.sample_rate != rate:
                    return _fail("unsupported_rate", "the sampling rate changes within the WebM")
                values = frame.to_ndarray()
                if not frame.format.is_planar:
                    values = values.reshape(-1, frame.layout.nb_channels).T
                output.write(scaled(values).mean(axis=0, dtype="<f4").tobytes())
                output.flush()
    except BrokenPipeError:  # the server has gone, or has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    # What FFmpeg says of hostile bytes reaches Python as many kinds of exception.
    except Exception as error:
        reason = str(getattr(error, "strerror", None) or error)
        return _fail("bad_audio", f"not a WebM recording that can be decoded ({reason[:200]})")
    return 0


def _fail(code: str, detail: str) -> int:
    sys.stderr.write(json.dumps({"code": code, "detail": detail}) + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
