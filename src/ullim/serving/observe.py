"""What a service says of itself: counters for Prometheus, and a line of JSON for each request.

Neither holds audio, a file's name, a text, or an emotion that was found.
"""

from __future__ import annotations

import datetime
import json
import logging
from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

LOG = logging.getLogger("ullim.serving")
"""Every record's message is one JSON object."""

METRICS_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Observer:
    """Counts and logs.

    Attributes:
        pending: Requests that were taken and are not answered yet.
        alive: Workers that are loaded.
        streams: Those that have a connection (``open``) and those that wait for one
            (``resumable``).
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        registry = self._registry
        self._requests = Counter(
            "ullim_requests", "Requests answered.", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "ullim_request_seconds",
            "From a request's first byte to the end of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._waited = Histogram(
            "ullim_queue_seconds",
            "A recording's wait for a worker.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._worked = Histogram(
            "ullim_work_seconds",
            "A recording's time in its worker.",
            ["model"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._recordings = Counter(
            "ullim_recordings", "Recordings, by how they ended.", ["model", "status"],
            registry=registry,
        )  # fmt: skip
        self._audio = Counter(
            "ullim_audio_seconds", "Length of the recordings predicted.", ["model"],
            registry=registry,
        )  # fmt: skip
        self._deaths = Counter(
            "ullim_worker_deaths", "Workers that ended unasked.", ["reason"], registry=registry
        )
        self._segments = Counter(
            "ullim_stream_segments", "Phrases answered.", ["model", "status"], registry=registry
        )
        self._stream_audio = Counter(
            "ullim_stream_audio_seconds", "Length of the sound that streams heard.", ["model"],
            registry=registry,
        )  # fmt: skip
        self._stream_bytes = Counter(
            "ullim_stream_bytes", "Sound that streams took in, as sent.", ["model", "format"],
            registry=registry,
        )  # fmt: skip
        self._stream_ends = Counter(
            "ullim_stream_ends", "Connections of streams, by how they ended.", ["code"],
            registry=registry,
        )  # fmt: skip
        self.streams = Gauge("ullim_streams", "Streams there are.", ["state"], registry=registry)
        self.pending = Gauge("ullim_pending", "Requests being answered.", registry=registry)
        self.alive = Gauge("ullim_workers", "Workers that are loaded.", registry=registry)

    def request(
        self,
        scope: Mapping[str, Any],
        notes: Mapping[str, Any],
        seen: Mapping[str, int],
        seconds: float,
    ) -> None:
        """Note a request that was answered."""
        # The route's pattern, never the path: a path may hold anything.
        route = getattr(scope.get("route"), "path", None) or "other"
        method = scope.get("method", "WEBSOCKET")
        if method not in _METHODS:
            method = "other"
        self._requests.labels(method, route, str(seen["status"])).inc()
        self._seconds.labels(route).observe(seconds)
        write(
            "request",
            method=method,
            route=route,
            status=seen["status"],
            ms=round(seconds * 1000, 1),
            bytes_in=seen["bytes_in"],
            bytes_out=seen["bytes_out"],
            **notes,
        )

    def recording(
        self, model: str, status: str, *, waited_s: float, work_s: float, duration_s: float
    ) -> None:
        """Note a recording that was predicted."""
        self._recordings.labels(model, status).inc()
        self._audio.labels(model).inc(duration_s)
        self._waited.observe(waited_s)
        self._worked.labels(model).observe(work_s)

    def refused(self, model: str) -> None:
        """Note a recording that could not be used."""
        self._recordings.labels(model, "error").inc()

    def taken(self, model: str, format: str, n_bytes: int) -> None:
        """Note sound that a stream took in."""
        self._stream_bytes.labels(model, format).inc(n_bytes)

    def heard(self, model: str, duration_s: float) -> None:
        """Note sound that a stream heard."""
        self._stream_audio.labels(model).inc(duration_s)

    def segment(self, model: str, status: str) -> None:
        """Note a phrase that was answered."""
        self._segments.labels(model, status).inc()

    def stream_ended(self, code: str) -> None:
        """Note how the connection of a stream ended."""
        self._stream_ends.labels(code).inc()

    def death(self, reason: str) -> None:
        """Note a worker that ended unasked."""
        self._deaths.labels(reason).inc()
        write("worker_ended", level=logging.WARNING, reason=reason)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)


_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WEBSOCKET"}


def write(event: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Log one event as one line of JSON."""
    if not LOG.isEnabledFor(level):
        return
    LOG.log(level, "%s", line(event, **fields))


def line(event: str, **fields: Any) -> str:
    """Return one event as one line of JSON."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    return json.dumps({"time": now, "event": event, **fields}, ensure_ascii=False)
