"""Worker processes, and the order in which recordings reach them.

One task tends each place in the pool: it starts a worker, waits for its end whatever the cause, and
starts the next. A request takes an idle worker, and gives it back by the answer.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ullim.serving.frames import LENGTH, MAX_MESSAGE, packed, unpacked
from ullim.serving.problems import Problem
from ullim.serving.worker import end_now, environment

_CHUNK = 256 * 1024
_ATTEMPTS = 2
_START_S = 120.0
_CALM_S = 5.0  # a worker that lived less than this may be ill from birth: the next waits a little
_MAX_WAIT_S = 10.0


class Payload(Protocol):
    """What a recording is read from; starlette's ``UploadFile`` is one."""

    async def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""

    async def seek(self, offset: int) -> None:
        """Go to a place."""


@dataclass(frozen=True, slots=True)
class Done:
    """A worker's answer.

    Attributes:
        answer: What :func:`ullim.serving.answer.answer` returned.
        waited_s: Time until a worker was free.
        work_s: Time it took.
    """

    answer: dict[str, Any]
    waited_s: float
    work_s: float


class WorkerDiedError(Exception):
    """The process ended before its answer."""


class Worker:
    """One process, and the pipes to it.

    Attributes:
        process: The process.
        overran: Whether it was killed because it took too long.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.overran = False

    @classmethod
    async def start(cls, hello: Mapping[str, Any]) -> Worker:
        """Start a process and wait until its bundles are loaded.

        Raises:
            WorkerDiedError: It ended, or said what is wrong.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # nothing in the folder the service was started from can stand for a module
            "-m",
            "ullim.serving.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C in the terminal reaches only the service
            env=environment(),
        )
        worker = cls(process)
        try:
            async with asyncio.timeout(_START_S):
                await worker._send(packed(dict(hello)))
                reply = await worker._reply()
        except TimeoutError:
            await worker.kill()
            raise WorkerDiedError(f"it did not start within {_START_S:g} s") from None
        except BaseException:
            await worker.kill()
            raise
        if "ready" not in reply:
            await worker.kill()
            raise WorkerDiedError(str(reply.get("error", {}).get("message", "it said nothing")))
        return worker

    @property
    def alive(self) -> bool:
        """Whether the process still runs, as far as is known."""
        return self.process.returncode is None

    async def ask(
        self, job: Mapping[str, Any], payload: Payload, timeout_s: float
    ) -> dict[str, Any]:
        """Send a recording and return the reply.

        Raises:
            WorkerDiedError: The process ended first.
            TimeoutError: It took too long, and was killed.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await payload.seek(0)
                await self._send(packed(dict(job)))
                while chunk := await payload.read(_CHUNK):
                    await self._send(chunk)
                return await self._reply()
        except BaseException as error:
            self.overran = isinstance(error, TimeoutError)
            # Whatever broke off, the pipes now hold half a message: this worker is of no more use.
            await self.kill()
            raise

    async def kill(self) -> None:
        """End the process now."""
        await end_now(self.process)

    async def stop(self) -> None:
        """Let the process end by itself, or end it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            async with asyncio.timeout(2.0):
                await self.process.wait()
        except TimeoutError:
            await self.kill()

    async def _send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(data)
            await self.process.stdin.drain()
        except (ConnectionError, RuntimeError) as error:
            raise WorkerDiedError("its pipe is closed") from error

    async def _reply(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        try:
            (length,) = LENGTH.unpack(await self.process.stdout.readexactly(LENGTH.size))
            if length > MAX_MESSAGE:
                raise WorkerDiedError("its reply is too long")
            return unpacked(await self.process.stdout.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError, ValueError) as error:
            raise WorkerDiedError("it ended before its reply") from error


class Pool:
    """A fixed number of workers, replaced as they end."""

    def __init__(
        self,
        n_workers: int,
        hello: Mapping[str, Any],
        *,
        job_timeout_s: float,
        queue_timeout_s: float,
        on_death: Callable[[str], None] = lambda reason: None,
    ) -> None:
        """Start nothing yet.

        Args:
            n_workers: How many.
            hello: What each is told when it starts.
            job_timeout_s: How long one recording may keep a worker.
            queue_timeout_s: How long one may wait for a worker.
            on_death: Called with the reason when a worker ends although nobody stopped it.
        """
        self._n = n_workers
        self._hello = dict(hello)
        self._job_timeout_s = job_timeout_s
        self._queue_timeout_s = queue_timeout_s
        self._on_death = on_death
        self._idle: asyncio.Queue[Worker] = asyncio.Queue()
        self._workers: set[Worker] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._work_s = 0.05  # running mean, for Retry-After
        self._waiting = 0

    @property
    def n_alive(self) -> int:
        """Workers that are loaded."""
        return len(self._workers)

    @property
    def pids(self) -> list[int]:
        """Their process ids."""
        return [worker.process.pid for worker in self._workers]

    @property
    def retry_after_s(self) -> int:
        """In how many seconds those who wait now will have been answered, at least 1."""
        return max(1, round(self._waiting * self._work_s / self._n + 0.5))

    async def start(self) -> None:
        """Start the workers; return when the first is ready.

        Raises:
            WorkerDiedError: It cannot be started at all.
        """
        first = await Worker.start(self._hello)
        self._tasks = [
            asyncio.create_task(self._tend(first if place == 0 else None))
            for place in range(self._n)
        ]
        await asyncio.sleep(0)

    async def close(self) -> None:
        """Stop the workers."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(worker.stop() for worker in self._workers))
        self._workers.clear()

    async def run(self, job: Mapping[str, Any], payload: Payload) -> Done:
        """Have a recording answered.

        A worker that ends by itself costs one more attempt with another; one that overruns its
        time does not, for the next would too.

        Raises:
            Problem: The recording cannot be used, or no worker was free in time.
        """
        waited_s = 0.0
        for _ in range(_ATTEMPTS):
            started = time.perf_counter()
            worker = await self._free()
            waited_s += time.perf_counter() - started
            started = time.perf_counter()
            try:
                reply = await worker.ask(
                    {**job, "cpu_s": self._job_timeout_s}, payload, self._job_timeout_s
                )
            except WorkerDiedError:
                continue
            except TimeoutError:
                raise Problem(
                    413,
                    "too_costly",
                    f"the recording took more than {self._job_timeout_s:g} s to read and predict; "
                    "give a shorter one, or another format such as FLAC",
                ) from None
            if not reply.get("last"):
                self._idle.put_nowait(worker)
            self._work_s += 0.1 * (time.perf_counter() - started - self._work_s)
            error = reply.get("error")
            if error:
                raise Problem.of(str(error["code"]), str(error["message"]))
            return Done(reply["answer"], waited_s, float(reply["work_s"]))
        raise Problem(
            422,
            "decoder_died",
            f"the process that reads the recording ended {_ATTEMPTS} times before its answer; the "
            "file is probably damaged: give another one",
        )

    async def _free(self) -> Worker:
        """Return a worker that nobody uses.

        Raises:
            Problem: None was free in time.
        """
        self._waiting += 1
        try:
            async with asyncio.timeout(self._queue_timeout_s):
                while True:
                    worker = await self._idle.get()
                    if worker.alive:
                        return worker
        except TimeoutError:
            raise busy(self.retry_after_s) from None
        finally:
            self._waiting -= 1

    async def _tend(self, worker: Worker | None) -> None:
        """Keep one place in the pool filled."""
        wait_s = 0.0
        while True:
            born = time.perf_counter()
            if worker is None:
                try:
                    worker = await Worker.start(self._hello)
                except (WorkerDiedError, OSError):  # as where no process can be added
                    self._on_death("start")
                    wait_s = min(_MAX_WAIT_S, wait_s * 2 + 0.1)
                    await asyncio.sleep(wait_s)
                    continue
            self._workers.add(worker)
            self._idle.put_nowait(worker)
            code = await worker.process.wait()
            self._workers.discard(worker)
            how = f"signal {-code}" if code < 0 else f"exit {code}"
            self._on_death("time" if worker.overran else how)
            wait_s = wait_s * 2 + 0.1 if time.perf_counter() - born < _CALM_S else 0.0
            await asyncio.sleep(min(_MAX_WAIT_S, wait_s))
            worker = None


def busy(retry_after_s: int) -> Problem:
    """Return the answer to those who come while the queue is full."""
    return Problem(
        429,
        "busy",
        f"more requests wait than the service can answer soon; try again in {retry_after_s} s",
        {"Retry-After": str(retry_after_s)},
    )
