"""Runs the application under uvicorn, and ends it without dropping what it took."""

from __future__ import annotations

import logging
import socket
import sys
from types import FrameType

import uvicorn

from ullim.serving import observe
from ullim.serving.app import create_app
from ullim.serving.service import Service
from ullim.serving.settings import MIB, Settings

_MAX_CONNECTIONS = 512  # with pipes and temporary files, under the usual limit of 1,024 files


class _Server(uvicorn.Server):
    """Stops taking predictions at the first signal, and closes when the last is answered."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
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
        self._service.stopping = True
        observe.write("stopping", signal=sig)
        super().handle_exit(sig, frame)


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
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,  # the edge writes its own, without paths
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MAX_CONNECTIONS,
        ws_max_size=MIB,
        ws_max_queue=4,  # who sends faster than the stream is heard has to wait
        timeout_keep_alive=5,
        timeout_graceful_shutdown=settings.shutdown_timeout_s,
    )
    _Server(config, app.state.service).run()
