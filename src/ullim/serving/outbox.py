"""What a client of a stream is told: events on their way to one connection, and why it ends."""

from __future__ import annotations

import asyncio
import json

POLICY, TOO_BIG, INTERNAL, RESTART, TRY_LATER = 1008, 1009, 1011, 1012, 1013
"""Close codes of WebSockets that a stream ends with, beside 1000."""


class StreamError(Exception):
    """A stream ends here, for a reason that its client is told.

    Attributes:
        code: Stable word for programs.
        close: Code that the connection is closed with.
    """

    def __init__(self, code: str, detail: str, close: int = POLICY) -> None:
        super().__init__(detail)
        self.code = code
        self.close = close

    def to_json(self) -> str:
        """Return the event that says so."""
        return json.dumps({"type": "error", "code": self.code, "detail": str(self)})


class Outbox:
    """Events on their way to one connection."""

    def __init__(self, size: int, first: list[str]) -> None:
        """Hold ``first``, and at most ``size`` events beside them."""
        self._waiting: asyncio.Queue[str | StreamError | None] = asyncio.Queue()
        self._size = size + len(first)
        self._broken: asyncio.Future[StreamError] = asyncio.get_running_loop().create_future()
        for text in first:
            self._waiting.put_nowait(text)

    def put(self, text: str) -> None:
        """Send an event; break the connection when too many wait."""
        if self._waiting.qsize() < self._size:
            self._waiting.put_nowait(text)
        else:
            self.break_off(too_slow())

    def close(self, reason: StreamError | None = None) -> None:
        """End the connection after what waits has been sent."""
        self._waiting.put_nowait(reason)

    def break_off(self, reason: StreamError) -> None:
        """End the connection now."""
        if not self._broken.done():
            self._broken.set_result(reason)

    async def get(self) -> str | StreamError | None:
        """Return the next event; at the end its reason, None where all has been said."""
        return await self._waiting.get()

    async def broken(self) -> StreamError:
        """Wait until the connection must end now; return why."""
        return await asyncio.shield(self._broken)


def too_slow() -> StreamError:
    """Return the error of a client that does not keep up."""
    said = "events are not taken as fast as they happen; come back with the session"
    return StreamError("slow_client", said, TRY_LATER)


def dropped() -> StreamError:
    """Return the error of a client whose session is no longer kept."""
    return StreamError("no_session", "the session is no longer kept; start another")
