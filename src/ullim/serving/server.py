"""Runs the application under uvicorn, and ends it without dropping what it took."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from ullim.serving import observe
from ullim.serving.app import create_app
from ullim.serving.service import Service
from ullim.serving.settings import MIB, Settings

_MAX_CONNECTIONS = 512  # with pipes and temporary files, under the usual limit of 1,024 files
_SILENT_S = 10.0
_GOODBYE_S = 2.0  # for clients of streams to answer the close


class _Server(uvicorn.Server):
    """Stops taking predictions at the first signal, and closes when the last is answered."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app
        self._service: Service = app.state.service
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started:
            settings = self._service.settings
            port = self.servers[0].sockets[0].getsockname()[1]
            observe.write(
                "started",
                url=f"http://{settings.host}:{port}/",
                models=list(self._service.models),
                workers=settings.workers,
                queue=settings.queue,
                token=settings.token is not None,
            )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:  # whoever asks twice, by whatever signal, does not want to wait
            self.force_exit = True
        super().handle_exit(sig, frame)
        self._service.stopping = True
        if self._loop is not None:
            # Not from here: a signal may come while a line is being written, and lines cannot nest.
            self._loop.call_soon_threadsafe(partial(observe.write, "stopping", signal=sig))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # A stream that waits for its turn does not hear that its connection is closed.
        self._app.state.sessions.stop()
        # A connection that is closed under what its client sends is reset, and the last words,
        # which tell why, with it.
        with suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                while self._streams() and not self.force_exit:
                    await asyncio.sleep(0.01)
        for stream in self._streams():  # uvicorn would wait until they have taken what waits
            stream.transport.abort()
        await super().shutdown(sockets)

    def _streams(self) -> list[Any]:
        return [c for c in self.server_state.connections if not isinstance(c, H11Protocol)]


class _Connection(H11Protocol):
    """Counts among so many from its first byte, and ends where nothing is asked or taken for long.

    uvicorn's own limit counts only who has asked something, and its time for silence begins with
    the first answer. Who takes nothing of what is sent would be waited for without end, and keep
    its place, even when the connection has been closed.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > _MAX_CONNECTIONS:
            transport.abort()
        else:
            self.loop.call_later(_SILENT_S, self._look, None, 0)

    def _look(self, before: object, waited: int) -> None:
        """End the connection when since the last look no request has come, or nothing was taken.

        Args:
            before: What it was at rest behind then.
            waited: How many bytes waited to be taken then.
        """
        waiting = self.transport.get_write_buffer_size()
        if waiting and waiting == waited:
            self.transport.abort()
        if self.transport.is_closing() and not waiting:
            return
        # A WebSocket by now is among the connections as another object, with limits of its own.
        asks = self in self.connections
        at_rest = asks and (self.cycle is None or self.cycle.response_complete)
        if at_rest and self.cycle is before:
            self.transport.close()
        self.loop.call_later(_SILENT_S, self._look, self.cycle if at_rest else self, waiting)


class _Lines(logging.Formatter):
    """One JSON object a line, whoever speaks."""

    def format(self, record: logging.LogRecord) -> str:
        if record.name == observe.LOG.name:
            return record.getMessage()
        trace = self.formatException(record.exc_info) if record.exc_info else None
        said = {"level": record.levelname, "message": record.getMessage(), "trace": trace}
        return observe.line("server", **said)


def serve(settings: Settings) -> None:
    """Serve until a signal; lines of JSON go to stderr.

    Raises:
        UllimError: A bundle is missing or damaged.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.captureWarnings(True)
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # its warnings are a client's faults
    observe.LOG.setLevel(logging.INFO)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        http=_Connection,
        ws="websockets-sansio",  # waits for clients that are slow, and for their answer to a close
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,  # the edge writes its own, without paths
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MAX_CONNECTIONS,
        ws_max_size=MIB,
        # Who sends faster than the stream is heard has to wait, and cannot answer a ping meanwhile;
        # who is gone is noticed by the stream's own limits.
        ws_ping_interval=None,
        ws_per_message_deflate=False,  # a small message could become a thousand times as large
        timeout_keep_alive=5,
        timeout_graceful_shutdown=settings.shutdown_timeout_s,
    )
    _Server(config, app).run()
