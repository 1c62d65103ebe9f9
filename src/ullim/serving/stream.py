"""``/v1/stream``: sound in, events out, over one WebSocket; docs/streaming.md is the protocol."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any, Literal

from fastapi import APIRouter, WebSocket
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.websockets import WebSocketDisconnect

from ullim.serving.edge import allowed
from ullim.serving.outbox import TOO_BIG, Outbox, StreamError, too_slow
from ullim.serving.session import Session
from ullim.serving.sessions import Sessions
from ullim.serving.settings import Settings

SUBPROTOCOL = "ullim"
"""What a client may name as the protocol of the socket."""

TOKEN_PREFIX = "ullim.token."
"""With the token behind it, a second protocol: browsers can send no other header."""

_GOODBYE_S = 2.0  # for a client to take its last event, and the close


class Start(BaseModel):
    """A client's first message.

    Attributes:
        format: ``pcm16``: little-endian 16-bit samples of one channel; ``webm``: a recording in
            pieces, as browsers' MediaRecorder gives them.
        sampling_rate: Of ``pcm16``, in Hz.
        model: Name of the model; None means the default.
        labels: Answer only among these.
        session: Of an earlier connection, to go on with.
        last_segment: Number of the last final event that was received in it.
        received_s: Or where that event ended.
        token: Of the service, where it asks for one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    type: Literal["start"]
    format: Literal["pcm16", "webm"] = "pcm16"
    sampling_rate: int = Field(16_000, ge=8_000, le=192_000)
    model: str | None = Field(None, max_length=200)
    labels: list[str] | None = Field(None, max_length=100)
    session: str | None = Field(None, max_length=100)
    last_segment: int | None = None
    received_s: float | None = None
    token: str | None = Field(None, max_length=1000)


async def converse(socket: WebSocket, sessions: Sessions, settings: Settings) -> None:
    """Serve one connection from its first message to its close."""
    notes: dict[str, Any] = socket.scope.setdefault("ullim", {})
    notes["code"] = "gone"  # as long as the service has not ended it
    try:
        try:
            reason = await _conversation(socket, sessions, settings, notes)
        except StreamError as refused:
            reason = refused
        except WebSocketDisconnect:
            return
        notes["code"] = reason.code if reason else "end"
        notes["close"] = reason.close if reason else 1000
        await _close(socket, reason)
    finally:
        sessions.observer.stream_ended(notes["code"])


async def _conversation(
    socket: WebSocket, sessions: Sessions, settings: Settings, notes: dict[str, Any]
) -> StreamError | None:
    """Begin or go on with a session, until one side ends; return why, None where all is said."""
    offered = socket.scope.get("subprotocols") or []
    await socket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
    start = await _first_message(socket, sessions.limits.start_s)
    if not allowed(settings, start.token or _shown(socket)):
        raise StreamError("unauthorized", "this service needs its token")
    if start.session is not None:
        session = sessions.find(start.session)
    else:
        session = await sessions.begin(
            model=start.model,
            labels=start.labels,
            format=start.format,
            sampling_rate=start.sampling_rate,
        )
    notes.update(model=session.model, format=session.format)
    outbox = await sessions.attach(
        session, last_segment=start.last_segment, received_s=start.received_s
    )
    try:
        return await _exchange(socket, sessions, session, outbox)
    finally:
        sessions.leave(session, outbox)


async def _exchange(
    socket: WebSocket, sessions: Sessions, session: Session, outbox: Outbox
) -> StreamError | None:
    """Send and receive until one side ends; return why, None where all is said."""
    limits = sessions.limits
    sending = asyncio.create_task(_send(socket, outbox, limits.send_s))
    breaking = asyncio.create_task(outbox.broken())
    receiving = asyncio.create_task(
        _receive(socket, session, limits.idle_s, limits.max_message_bytes)
    )
    tasks = (sending, breaking, receiving)
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if sending in done:
            return sending.result()
        if breaking in done:
            return breaking.result()
        return receiving.result()  # it never returns: a client leaves or errs
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _send(socket: WebSocket, outbox: Outbox, limit_s: float) -> StreamError | None:
    while isinstance(text := await outbox.get(), str):
        try:
            # Not wait_for, which before Python 3.12 may lose that the task is cancelled.
            async with asyncio.timeout(limit_s):
                await socket.send_text(text)
        except TimeoutError:
            raise too_slow() from None
    return text


async def _receive(
    socket: WebSocket, session: Session, idle_s: float, max_bytes: int
) -> StreamError:
    """Take in messages; after ``stop`` there is only the client's leaving to notice."""
    stopped = False
    while True:
        try:
            async with asyncio.timeout(None if stopped else idle_s):
                message = await _message(socket)
        except TimeoutError:
            said = f"nothing came for {idle_s:g} s; come back with the session"
            raise StreamError("idle", said) from None
        if stopped:
            continue
        if len(message) > max_bytes:
            said = f"a message has {len(message)} bytes; {max_bytes} are allowed: send smaller ones"
            raise StreamError("too_large", said, TOO_BIG)
        if isinstance(message, bytes):
            await session.put(message)
        elif _parsed(message) == {"type": "stop"}:
            stopped = True
            await session.stop()
        else:
            raise StreamError(
                "bad_message", 'after the start, send binary sound or {"type": "stop"}'
            )


async def _message(socket: WebSocket) -> bytes | str:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005))
    data: bytes | None = message.get("bytes")
    return data if data is not None else str(message.get("text", ""))


async def _first_message(socket: WebSocket, limit_s: float) -> Start:
    try:
        async with asyncio.timeout(limit_s):
            message = await _message(socket)
    except TimeoutError:
        raise StreamError("no_start", f"no start message came within {limit_s:g} s") from None
    try:
        return Start.model_validate(_parsed(message) if isinstance(message, str) else None)
    except ValidationError as error:
        said = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'message'}: {one['msg']}" for one in error.errors()
        )
        raise StreamError(
            "bad_start", f"the first message must be a start in JSON: {said}"
        ) from None


def _parsed(text: str) -> Any:
    try:
        return json.loads(text) if len(text) < 65_536 else None
    except (ValueError, RecursionError):
        return None


async def _close(socket: WebSocket, reason: StreamError | None) -> None:
    """Say goodbye, to a client that may no longer listen."""
    # Starlette and the server below it each have their own error for a socket that has gone.
    with suppress(Exception):
        async with asyncio.timeout(_GOODBYE_S):
            if reason is not None and reason.code != "slow_client":
                await socket.send_text(reason.to_json())
            await socket.close(reason.close if reason else 1000, reason.code if reason else None)


def _shown(socket: WebSocket) -> str | None:
    """Return the token that came with the request for the socket."""
    scheme, _, token = socket.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    for protocol in socket.scope.get("subprotocols") or []:
        if protocol.startswith(TOKEN_PREFIX):
            return str(protocol.removeprefix(TOKEN_PREFIX))
    return None


def router(settings: Settings) -> APIRouter:
    """Return the route; ``app.state.sessions`` holds the streams."""
    routes = APIRouter()

    @routes.websocket("/v1/stream")
    async def stream(socket: WebSocket) -> None:
        await converse(socket, socket.app.state.sessions, settings)

    return routes
