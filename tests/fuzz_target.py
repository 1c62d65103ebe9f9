"""The process that is fuzzed: damages recordings, decodes them, and says what went wrong.

Started by ``fuzz_decoding.py``, which survives what this process does not. Each input is written
to a board of shared memory before it is decoded, so that one that ends the process is known.
"""

from __future__ import annotations

import asyncio
import base64
import faulthandler
import json
import mmap
import os
import struct
import sys
import time
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np

import damage

BOARD = struct.Struct("<QdI")  # inputs so far, when the last began, its bytes
MAX_BYTES = 1 << 18
DEADLY_S = 30.0
SLOW_S = 5.0  # of processor time

_GUIDED = (
    "ullim.audio", "ullim.audio.chunks", "ullim.audio.containers", "ullim.audio.header",
    "ullim.audio.limits", "ullim.audio.media", "ullim.audio.mpeg", "ullim.audio.reading",
    "ullim.audio.samples", "ullim.audio.sources", "ullim.serving.webm",
)  # fmt: skip
# What decoders wrap into "damaged" and only a fault of ours would raise.
_OURS = (
    IndexError, KeyError, TypeError, AttributeError, NameError, ZeroDivisionError, AssertionError,
    RecursionError, struct.error, Warning,
)  # fmt: skip
_CODES = {
    "empty", "too_short", "silent", "not_finite", "truncated", "wrong_extension", "not_audio",
    "too_large", "too_long", "too_many_channels", "unsupported_rate", "bad_range", "too_costly",
}  # fmt: skip


class FoundError(Exception):
    """Something that must not happen; ``args[0]`` tells findings apart."""


def refused(error: Exception) -> None:
    """Check an error that decoding may raise."""
    code, said = getattr(error, "code", None), str(error)
    if code not in _CODES:
        raise FoundError(f"error without a known code: {code}") from error
    if len(said) > 1000 or not said.isprintable():
        raise FoundError(f"a message that cannot be shown: {code}") from error
    if isinstance(error.__cause__, _OURS) and is_ours(error.__cause__):
        raise FoundError(f"hides {where(error.__cause__)}") from error
    if "annot allocate" in said:
        raise FoundError(f"memory: {code}") from error


def heard(samples: Any) -> None:
    """Check samples that decoding gave."""
    if samples.dtype != np.float32 or samples.ndim != 1:
        raise FoundError(f"samples of {samples.dtype} and shape of {samples.ndim} axes")
    if samples.size and not np.abs(samples).max() < 1e16:
        raise FoundError("samples that are not finite, or huge")


class Targets:
    """What is fuzzed; each takes bytes, and raises what it finds."""

    def __init__(self, scratch: Path) -> None:
        from ullim import audio
        from ullim.errors import AudioError
        from ullim.serving.settings import Settings

        self._audio, self._error = audio, AudioError
        self._limits = Settings().audio_limits
        self._scratch = scratch
        self._predictor: Any = None

    def load(self) -> None:
        """Load what answers, as a worker does before limits hold."""
        import ullim

        self._predictor = ullim.load()
        self._answer(Path(ullim.demo_clip()).read_bytes())

    def bytes(self, data: bytes) -> None:
        """Decode as a worker of the service does, and hold the ways of reading together."""
        audio, chance = self._audio, zlib.crc32(data)
        try:
            samples = audio.read(data, limits=self._limits)
        except self._error as error:
            refused(error)
            if chance % 4 == 0:
                self._range(data)
            return
        heard(samples)
        if chance % 4 == 0:
            pieces = list(audio.stream(data, block_s=0.37, limits=self._limits))
            if not np.array_equal(np.concatenate(pieces), samples):
                raise FoundError("stream() and read() differ")
            self._range(data)
            held = [(rate, len(block)) for rate, block in audio.blocks(data, limits=self._limits)]
            rate, frames = held[0][0], sum(count for _, count in held)
            if abs(len(samples) - frames * 16_000 / rate) > 2:
                raise FoundError("another duration than the samples have")
        if chance % 16 == 1 and self._predictor is not None:
            self._answer(data)

    def _range(self, data: bytes) -> None:
        start_s, end_s = (zlib.crc32(data) >> 4) % 64 / 100, (zlib.crc32(data) >> 10) % 64 / 100
        try:
            some = self._audio.read(data, start_s=start_s, end_s=end_s, limits=self._limits)
        except self._error as error:
            return refused(error)
        heard(some)
        if len(some) > (end_s - start_s) * 16_000 + 2:
            raise FoundError("more than the range that was asked for")

    def _answer(self, data: bytes) -> None:
        from ullim.serving.answer import PARTS, answer
        from ullim.serving.frames import packed

        given = answer(
            self._predictor, data, labels=None, include=PARTS, lang="en", limits=self._limits
        )
        packed({"answer": given})

    def file(self, data: bytes) -> None:
        """Decode a file, with the limits of the command, under a suffix that may be wrong."""
        from ullim.audio.header import KNOWN_SUFFIXES

        suffixes = ["", ".bin", ".한글", *sorted(KNOWN_SUFFIXES)]
        path = self._scratch / f"f{suffixes[zlib.crc32(data) % len(suffixes)]}"
        path.write_bytes(data)
        try:
            for block in self._audio.stream(path, block_s=1.0):
                heard(block)
        except self._error as error:
            refused(error)
        finally:
            path.unlink()

    def webm(self, data: bytes) -> None:
        """Decode as a stream's process does, of pieces of every size."""
        from ullim.serving.webm import decoded

        file, rates = _Pieces(data), set()
        try:
            for rate, samples in decoded(file):
                rates.add(rate)
                if samples.dtype != np.float32 or samples.ndim != 1:
                    raise FoundError(f"samples of {samples.dtype} and {samples.ndim} axes")
        except self._error:
            pass
        except (FoundError, MemoryError, *_OURS):
            raise
        except Exception:
            pass  # the process says bad_audio
        if len(rates) > 1 or not all(isinstance(rate, int) and rate > 0 for rate in rates):
            raise FoundError("a rate that is none, or changes")

    def process(self, data: bytes) -> None:
        """Decode in a stream's process itself, and hear it out."""
        asyncio.run(self._process(data))

    async def _process(self, data: bytes) -> None:
        from ullim.serving.webm import Decoding

        decoding = await Decoding.begin()

        async def feed() -> None:
            file = _Pieces(data)
            while piece := file.read(1 << 16):
                await decoding.feed(piece)
            await decoding.end()

        feeding = asyncio.create_task(feed())
        try:
            async with asyncio.timeout(20):
                while (samples := await decoding.read()) is not None:
                    if samples.dtype != np.float32:
                        raise FoundError(f"samples of {samples.dtype}")
        except self._error as error:
            if str(error).endswith("broke its decoder"):
                raise FoundError("the stream's process died") from error
        except TimeoutError:
            raise FoundError("the stream's process hangs") from None
        finally:
            await decoding.kill()
            await asyncio.wait_for(feeding, 5)


class _Pieces:
    """A file that gives what there is, which is seldom what was asked for."""

    def __init__(self, data: bytes) -> None:
        self._file = BytesIO(data)
        self._chance = np.random.default_rng(zlib.crc32(data))

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, int(2 ** self._chance.uniform(0, 13))))


class _Ear(StringIO):
    def fileno(self) -> int:
        return 2


def is_ours(error: BaseException) -> bool:
    """Return whether a line of ours raised an error, and no decoder's."""
    return "/ullim/" in traceback.extract_tb(error.__traceback__)[-1].filename


def where(error: BaseException) -> str:
    """Return the kind of an error and the last line of ours that it came through."""
    ours = [
        f"{Path(frame.filename).name}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if "/ullim/" in frame.filename
    ]
    return f"{type(error).__name__} in {ours[-1] if ours else 'no line of ours'}"


class Loop:
    """Runs inputs through a target until the time is over, and reports."""

    def __init__(self, target: Callable[[bytes], None], board: Path, seconds: float) -> None:
        from ullim.audio.containers import sniff

        self._target, self._sniff = target, sniff
        with board.open("r+b") as file:
            self._board = mmap.mmap(file.fileno(), 0)
        self._ends = time.monotonic() + seconds
        self._replies = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        self._inputs, self._kinds, self._told = 0, Counter(), time.monotonic()
        self._rss: list[tuple[int, int]] = []
        sys.stderr = _Ear()  # callbacks out of C can only print what they raise

    def __call__(self, data: bytes) -> str | None:
        """Run one input; return what was found."""
        data = bytes(data[:MAX_BYTES])
        self._board[BOARD.size : BOARD.size + len(data)] = data
        self._inputs += 1
        BOARD.pack_into(self._board, 0, self._inputs, time.time(), len(data))
        self._kinds[self._kind(data)] += 1
        before_s = time.process_time()
        try:
            self._target(data)
            if printed := sys.stderr.getvalue():
                raise FoundError(f"printed {printed.splitlines()[-1][:100]}", printed)
            if time.process_time() - before_s > SLOW_S:
                raise FoundError("slow")
            what = None
        except Exception as error:
            what = error.args[0] if isinstance(error, FoundError) else where(error)
            self._say(found=what, text=traceback.format_exc(), data=_text(data))
        sys.stderr = _Ear()
        if time.monotonic() - self._told > 1:
            self._tell()
        if time.monotonic() > self._ends:
            self.end()
        return what

    def _kind(self, data: bytes) -> str:
        try:
            header = self._sniff(BytesIO(data), len(data))
        except Exception:
            return "broken"  # the target will say how
        return header.kind if header else "no audio"

    def _tell(self) -> None:
        self._told = time.monotonic()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self._say(kinds=self._kinds, rss=[self._inputs, pages * mmap.PAGESIZE])
        self._kinds = Counter()

    def _say(self, **what: Any) -> None:
        self._replies.write(json.dumps(what) + "\n")

    def end(self) -> None:
        """Report, and end the process at once."""
        BOARD.pack_into(self._board, 0, self._inputs, 0.0, 0)
        self._tell()
        self._replies.flush()
        os._exit(0)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def main() -> None:
    """Do what the one argument says, a JSON object."""
    import resource

    given = json.loads(sys.argv[1])
    faulthandler.enable()
    engine = None
    if given["guided"]:
        import atheris as engine

        with engine.instrument_imports(include=[*_GUIDED]):
            import ullim.audio
            import ullim.serving.webm  # noqa: F401
    import av  # noqa: F401 - before limits hold
    import soundfile  # noqa: F401
    import soxr  # noqa: F401

    from ullim.serving import webm
    from ullim.serving.settings import Settings
    from ullim.serving.worker import confine

    files = sorted(Path(given["seeds"]).iterdir())
    pool = [file.read_bytes() for file in files]
    targets = Targets(Path(given["scratch"]))
    if given["target"] == "bytes":
        targets.load()
    warnings.simplefilter("error")
    loop = Loop(getattr(targets, given["target"]), Path(given["board"]), given["seconds"])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if given["target"] in ("bytes", "webm"):
        # The very limits that hold where these are decoded.
        confine(webm._MEMORY_BYTES if given["target"] == "webm" else Settings().job_memory_bytes)
    else:
        limit = 6 * 1024**3  # the command has none; this protects the machine
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    if given.get("replay"):
        loop(Path(given["replay"]).read_bytes())
        loop.end()
    if given.get("shrink"):
        shrink(loop, Path(given["shrink"]).read_bytes())
    seed = given["seed"]
    chance = np.random.default_rng(seed)
    if given["target"] in ("webm", "process"):
        pool = [data for data in pool if data[:4] == webm.MAGIC] * 8 + pool
    if given["sweep"]:
        sweep(loop, pool, chance)

    def mutated(data: bytes, max_bytes: int, seed: int) -> bytes:
        chance = np.random.default_rng(seed)
        # Only what our own parsers tell apart is found by coverage: decoders need each seed.
        if not data or chance.random() < 0.5:
            data = pool[int(chance.integers(len(pool)))]
        elif chance.random() < 0.1:
            data = engine.Mutate(bytes(data), max_bytes)
        return damage.damaged(bytes(data), chance, pool, max_bytes=max_bytes)

    if engine is None:
        while True:
            data = pool[int(chance.integers(len(pool)))]
            loop(damage.damaged(data, chance, pool, max_bytes=MAX_BYTES))
    options = {
        "seed": seed or 1,
        "max_len": MAX_BYTES,
        "rss_limit_mb": 0,
        "timeout": 86_400,  # ours is on the board
        "artifact_prefix": given["scratch"] + "/",
    }
    options |= {f"handle_{name}": 0 for name in ("segv", "bus", "abrt", "ill", "fpe", "xfsz")}
    engine.Setup(
        [sys.argv[0], *(f"-{name}={value}" for name, value in options.items())],
        loop,
        custom_mutator=mutated,
    )
    engine.Fuzz()


def shrink(loop: Loop, data: bytes) -> None:
    """Leave out ever smaller pieces of an input, as long as it does what it did."""
    what, step = loop(data), max(1, len(data) // 2)
    while step:
        at, before = 0, len(data)
        while at < len(data):
            less = data[:at] + data[at + step :]
            # What ends the process is known to the other by the board.
            if less and loop(less) == what and what is not None:
                data = less
            else:
                at += step
        if len(data) == before:
            step //= 2
    loop.end()


def sweep(loop: Loop, pool: list[bytes], chance: np.random.Generator) -> None:
    """Run every lie about every length, and then the other numbers' by chance."""
    for data in pool:
        loop(data)
        for lied in damage.size_lies(data):
            loop(lied)
    lies = [
        (data, field, value) for data in pool for field, value in damage.number_lies(data)
    ]  # fmt: skip
    for place in chance.permutation(len(lies)):
        data, field, value = lies[place]
        loop(damage.sealed(field.told(data, value)))
    loop.end()


if __name__ == "__main__":
    main()
