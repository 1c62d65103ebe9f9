"""All streams of a service: how many there may be, and how long each waits for its client."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Literal

from ullim.errors import UllimError
from ullim.inference.predictor import Predictor
from ullim.serving.outbox import POLICY, RESTART, TRY_LATER, Outbox, StreamError, dropped
from ullim.serving.problems import Problem
from ullim.serving.service import Service
from ullim.serving.session import Session
from ullim.serving.webm import Decoding


class Sessions:
    """All sessions of a process."""

    def __init__(self, service: Service) -> None:
        """Hold no session yet; models are loaded when a stream asks for them."""
        self.limits = service.settings.stream
        self.observer = service.observer
        self._service = service
        self._loading = asyncio.Lock()
        self._predictors: dict[str, Predictor] = {}
        self._sessions: dict[str, Session] = {}
        self._taken = (
            0  # places, by sessions and by those that begin: each may have a decoder already
        )
        self._expiry: dict[str, asyncio.TimerHandle] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1), "ullim-stream")
        self.observer.streams.labels("open").set_function(
            lambda: sum(session.is_attached for session in self._sessions.values())
        )
        self.observer.streams.labels("resumable").set_function(lambda: len(self._expiry))

    def __len__(self) -> int:
        return len(self._sessions)

    async def begin(
        self,
        *,
        model: str | None,
        labels: list[str] | None,
        format: Literal["pcm16", "webm"],
        sampling_rate: int,
    ) -> Session:
        """Begin a session.

        Raises:
            StreamError: There are too many, or what is asked for there is not.
        """
        self._take_place()
        async with AsyncExitStack() as undoing:
            undoing.callback(self._give_place)
            try:
                name = self._service.model(model).name
                predictor = await self._predictor(name)
                predictor.columns(labels)
                # Before the client is told that it may begin, so that its first words do not wait.
                decoding = await Decoding.begin() if format == "webm" else None
            except (Problem, UllimError) as error:
                close = TRY_LATER if error.code == "busy" else POLICY
                raise StreamError(error.code, str(error), close) from error
            if decoding is not None:
                undoing.push_async_callback(decoding.kill)
            self._check_open()  # loading takes a while
            session = Session(
                name,
                predictor,
                labels=labels,
                format=format,
                sampling_rate=sampling_rate,
                limits=self.limits,
                pool=self._pool,
                observer=self.observer,
                decoding=decoding,
            )
            undoing.pop_all()
        self._sessions[session.id] = session
        return session

    def find(self, identifier: str) -> Session:
        """Return a session whose client comes back.

        Raises:
            StreamError: There is none, or no longer.
        """
        self._check_open()
        session = self._sessions.get(identifier)
        if session is None:
            said = (
                "no such session, or no longer: it waits "
                f"{self.limits.resume_s:g} s for its client; start another"
            )
            raise StreamError("no_session", said)
        self._stay(session)
        return session

    async def attach(
        self, session: Session, *, last_segment: int | None, received_s: float | None
    ) -> Outbox:
        """Begin a connection; see ``Session.attach``.

        Raises:
            StreamError: The session was dropped meanwhile.
        """
        outbox = await session.attach(last_segment, received_s)
        if session.id not in self._sessions and not session.is_over:  # it made room for another
            session.detach(outbox)
            raise dropped()
        self._stay(session)  # the connection before this one has left only now
        return outbox

    def leave(self, session: Session, outbox: Outbox) -> None:
        """End a connection; its session waits a while for the next one, unless it is over."""
        is_told = session.is_over and session.is_attached
        session.detach(outbox)
        if session.is_attached or session.id not in self._sessions:
            return
        if is_told:
            self._drop(session)
        elif session.id not in self._expiry:
            loop = asyncio.get_running_loop()
            self._expiry[session.id] = loop.call_later(self.limits.resume_s, self._drop, session)

    def stop(self) -> None:
        """Break every connection off; each tells its client why."""
        for session in self._sessions.values():
            session.break_off(StreamError("stopping", "the service is being stopped", RESTART))

    async def close(self) -> None:
        """Break every connection off, and drop all sessions."""
        self.stop()
        for session in list(self._sessions.values()):
            self._drop(session)
        await asyncio.gather(*self._closing)
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _predictor(self, name: str) -> Predictor:
        async with self._loading:
            if name not in self._predictors:
                folder = self._service.models[name].folder
                self._predictors[name] = await asyncio.get_running_loop().run_in_executor(
                    self._pool, Predictor.from_folder, folder
                )
            return self._predictors[name]

    def _check_open(self) -> None:
        if self._service.stopping:
            raise StreamError("stopping", "the service is being stopped; try again", TRY_LATER)

    def _take_place(self) -> None:
        self._check_open()
        if self._taken >= self.limits.max_sessions:
            # Who has been away for longest is the least likely to come back.
            if not self._expiry:
                said = f"all {self.limits.max_sessions} streams are taken; try again later"
                raise StreamError("busy", said, TRY_LATER)
            self._drop(self._sessions[next(iter(self._expiry))])
        self._taken += 1

    def _give_place(self) -> None:
        self._taken -= 1

    def _stay(self, session: Session) -> None:
        if (timer := self._expiry.pop(session.id, None)) is not None:
            timer.cancel()

    def _drop(self, session: Session) -> None:
        self._stay(session)
        if self._sessions.pop(session.id, None) is not None:
            self._give_place()
            task = asyncio.get_running_loop().create_task(session.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
