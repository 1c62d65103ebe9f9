"""A worker: loads the bundles once, then answers one recording after another, until told to stop.

It is a process of its own, started by :mod:`ullim.serving.pool`. Broken recordings are its daily
bread, so it may use only so much memory and time, write no file, and leave no core dump; whoever
started it kills it when it overruns.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ullim.errors import UllimError
from ullim.serving.frames import LENGTH, packed, unpacked

if TYPE_CHECKING:
    from asyncio.subprocess import Process


def main() -> None:
    """Serve the process that started this one, by its pipes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the service decides when a worker ends
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a library prints is no reply
    requests = os.fdopen(0, "rb", closefd=False)
    start = _received(requests)
    if start is None:
        return
    try:
        predictors = _loaded(start["models"])
        from ullim import audio

        limits = audio.Limits(**start["limits"])
        _warm(predictors, limits)
    except Exception as error:
        replies.write(_failed("start", str(error)))
        return
    confine(start["memory_bytes"])
    replies.write(packed({"ready": True}))
    while (job := _received(requests)) is not None:
        recording = requests.read(job["bytes"])
        if len(recording) < job["bytes"]:
            return
        cpu_limit(job["cpu_s"])
        reply, sound = _answered(predictors, job, recording, limits)
        del recording
        replies.write(reply)
        if not sound:
            return  # memory ran out once: a fresh process is worth more than this one


def _loaded(folders: Mapping[str, str]) -> dict[str, Any]:
    from ullim.inference.predictor import Predictor

    return {name: Predictor.from_folder(folder) for name, folder in folders.items()}


def _warm(predictors: Mapping[str, Any], limits: Any) -> None:
    """Predict once with everything, so that libraries are loaded before the limits hold."""
    import ullim
    from ullim.serving.answer import PARTS, answer

    clip = Path(ullim.demo_clip()).read_bytes()
    for predictor in predictors.values():
        answer(predictor, clip, labels=None, include=PARTS, lang="en", limits=limits)
    with suppress(ImportError):
        import av  # noqa: F401 - its shared libraries are large


def _answered(
    predictors: Mapping[str, Any], job: Mapping[str, Any], recording: bytes, limits: Any
) -> tuple[bytes, bool]:
    """Return the reply's bytes, and whether this process may go on."""
    from ullim.serving.answer import answer

    started = time.perf_counter()
    try:
        given = answer(
            predictors[job["model"]],
            recording,
            labels=job["labels"],
            include=job["include"],
            lang=job["lang"],
            limits=limits,
        )
        work_s = round(time.perf_counter() - started, 4)
        return packed({"answer": given, "work_s": work_s}), True
    except UllimError as error:
        # Who met the limit once may be near it because of what came before.
        spent = error.code == "too_costly"
        return _failed(error.code, str(error), last=spent), not spent
    except MemoryError:
        said = "the recording takes more memory than one may; give a shorter one, or fewer channels"
        return _failed("too_costly", said, last=True), False
    except Exception as error:
        # The kind of error only: its message may quote the recording.
        return _failed("internal", f"a fault of the service: {type(error).__name__}"), True


def _failed(code: str, message: str, *, last: bool = False) -> bytes:
    """Return a reply that says so; ``last`` where no other will follow it."""
    return packed({"error": {"code": code, "message": message}, "last": last})


def _received(requests: BinaryIO) -> dict[str, Any] | None:
    head = requests.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    body = requests.read(length)
    return unpacked(body) if len(body) == length else None


def environment() -> dict[str, str]:
    """Return this process' environment for one that decodes: one thread, and no secret of ours."""
    kept = {name: value for name, value in os.environ.items() if name != "ULLIM_TOKEN"}
    package = str(Path(__file__).parents[2])
    path = os.pathsep.join(part for part in (package, os.environ.get("PYTHONPATH")) if part)
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return kept | threads | {"PYTHONPATH": path}


async def end_now(process: Process) -> None:
    """End a process that decodes, and wait until it has ended; nobody else may read from it."""
    if process.returncode is None:
        # Not by asyncio's own kill(): it may collect the exit code before the loop does, which then
        # never learns it.
        with suppress(ProcessLookupError):
            os.kill(process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    # asyncio tells of an end only when the pipes have ended too, and what fills one hides its end.
    for pipe in (process.stdout, process.stderr):
        while pipe is not None and await pipe.read(1 << 16):
            pass
    await process.wait()


def confine(memory_bytes: int) -> None:
    """Limit this process from here on; where the system knows no such limits, do nothing."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    statm = Path("/proc/self/statm")
    if statm.exists():
        pages = int(statm.read_text().split()[0])
        limit = pages * resource.getpagesize() + memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def cpu_limit(seconds: float) -> None:
    """Let the system end this process after so much more processor time."""
    try:
        import resource
    except ImportError:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime + seconds) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


if __name__ == "__main__":
    main()
    sys.stdout = None  # nothing is left to say, and the pipe may be gone
