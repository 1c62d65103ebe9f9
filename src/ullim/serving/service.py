"""A running service: what it offers, who works for it, and whom it still lets in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

from starlette.datastructures import UploadFile

from ullim.errors import BundleError
from ullim.serving.catalogue import Offered, catalogue
from ullim.serving.observe import Observer
from ullim.serving.pool import Pool, WorkerDiedError, busy
from ullim.serving.problems import Problem
from ullim.serving.settings import MIB, Settings


class Service:
    """Holds the parts together.

    Attributes:
        settings: What it was told.
        models: What it offers, by name; the first is the default.
        pool: Who works for it.
        observer: Who counts.
        stopping: Whether it takes nothing more.
    """

    def __init__(self, settings: Settings) -> None:
        """Look up the bundles; nothing runs yet.

        Raises:
            BundleError: A bundle is missing or damaged.
        """
        self.settings = settings
        self.models = catalogue(settings.models)
        self.observer = Observer()
        self.stopping = False
        self._pending = 0
        self.pool = Pool(
            settings.workers,
            {
                "models": {name: str(one.folder) for name, one in self.models.items()},
                "limits": asdict(settings.audio_limits),
                "memory_bytes": settings.job_memory_bytes,
            },
            job_timeout_s=settings.job_timeout_s,
            queue_timeout_s=settings.queue_timeout_s,
            on_death=self.observer.death,
        )

    @property
    def default(self) -> str:
        """Name of the model that answers when none is asked for."""
        return next(iter(self.models))

    @property
    def ready(self) -> bool:
        """Whether a request sent now would be answered."""
        return not self.stopping and self.pool.n_alive > 0

    def model(self, name: str | None) -> Offered:
        """Return a model by name; None means the default.

        Raises:
            Problem: There is none.
        """
        found = self.models.get(name or self.default)
        if found is None:
            raise Problem(
                404,
                "unknown_model",
                f"there is no such model here; there is {', '.join(self.models)}",
            )
        return found

    async def start(self) -> None:
        """Start the workers.

        Raises:
            BundleError: None can be started.
        """
        try:
            await self.pool.start()
        except WorkerDiedError as error:
            raise BundleError(f"no worker starts: {error}", code="start") from error

    async def close(self) -> None:
        """Stop the workers."""
        self.stopping = True
        await self.pool.close()

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """Take a request, before a byte of its body is read, or send it away.

        Raises:
            Problem: 503 while stopping, 429 while as many wait as may.
        """
        if self.stopping:
            raise Problem(
                503,
                "stopping",
                "the service is being stopped; try again, and another will answer",
                {"Retry-After": "5", "Connection": "close"},
            )
        if self._pending >= self.settings.workers + self.settings.queue:
            raise busy(self.pool.retry_after_s)
        self._pending += 1
        self.observer.pending.set(self._pending)
        try:
            yield
        finally:
            self._pending -= 1
            self.observer.pending.set(self._pending)

    async def predict(
        self,
        model: Offered,
        file: UploadFile,
        *,
        labels: list[str] | None,
        include: list[str],
        lang: str,
        notes: dict[str, Any],
    ) -> dict[str, Any]:
        """Have one recording answered.

        Args:
            model: By which model.
            file: The recording.
            labels: Answer only among these.
            include: What to add.
            lang: Language of the words.
            notes: Where to add up what the log says of the request.

        Raises:
            Problem: It cannot be used, or nobody is free.
        """
        size = file.size or 0
        if size > self.settings.max_file_bytes:
            raise Problem(
                413,
                "too_large",
                f"the recording has {size / MIB:.1f} MiB and may have "
                f"{self.settings.max_file_bytes / MIB:g}; send a shorter one, or as FLAC",
            )
        job = {
            "model": model.name,
            "bytes": size,
            "labels": labels,
            "include": include,
            "lang": lang,
        }
        try:
            done = await self.pool.run(job, file)
        except Problem:
            self.observer.refused(model.name)
            raise
        duration_s = float(done.answer["duration_s"])
        notes["queue_ms"] = round(notes.get("queue_ms", 0.0) + done.waited_s * 1000, 1)
        notes["work_ms"] = round(notes.get("work_ms", 0.0) + done.work_s * 1000, 1)
        notes["duration_s"] = round(notes.get("duration_s", 0.0) + duration_s, 3)
        self.observer.recording(
            model.name,
            str(done.answer["status"]),
            waited_s=done.waited_s,
            work_s=done.work_s,
            duration_s=duration_s,
        )
        return done.answer
