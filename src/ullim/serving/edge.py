"""What every request passes, before and after: who may ask, what goes out with it, what is noted.

Pure ASGI, for HTTP and WebSockets alike.
"""

from __future__ import annotations

import hmac
import time
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ullim.serving.observe import Observer
from ullim.serving.problems import Problem
from ullim.serving.settings import Settings, is_loopback

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; worker-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What a page of the service may load: nothing from elsewhere, no script within the HTML."""

_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
}


_BODILESS = {"GET", "HEAD", "OPTIONS"}

_OPEN = {
    "/healthz",
    "/readyz",
}  # asked by machines, by whatever address they know; they tell little


def require_token(connection: HTTPConnection) -> None:
    """Refuse whoever does not show the token: a dependency of every route but the open ones.

    Raises:
        Problem: 401.
    """
    settings: Settings = connection.app.state.service.settings
    scheme, _, shown = connection.headers.get("authorization", "").partition(" ")
    if not allowed(settings, shown.strip() if scheme.lower() == "bearer" else None):
        raise Problem(
            401,
            "unauthorized",
            "this service needs its token: send the header Authorization: Bearer TOKEN",
            {"WWW-Authenticate": "Bearer"},
        )


def allowed(settings: Settings, shown: str | None) -> bool:
    """Return whether a token is the service's, in a time that does not tell how near it is.

    >>> allowed(Settings(token="0123456789abcdef"), "0123456789abcdeF")
    False
    """
    if settings.token is None:
        return True
    wanted = settings.token.get_secret_value()
    return hmac.compare_digest((shown or "").encode(), wanted.encode())


class Edge:
    """Checks where a request comes from, and notes how it ended."""

    def __init__(self, app: ASGIApp, settings: Settings, observer: Observer) -> None:
        self._app = app
        self._settings = settings
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        notes: dict[str, Any] = scope.setdefault("ullim", {})
        seen = {"status": 500, "bytes_in": 0, "bytes_out": 0}
        whole = scope["type"] != "http" or scope["method"] in _BODILESS

        async def counting_receive() -> Message:
            nonlocal whole
            message = await receive()
            whole = whole or not message.get("more_body", False)
            seen["bytes_in"] += _size(message)
            return message

        async def counting_send(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                seen["status"] = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
                # A short rest is read and dropped, so that the client sees the answer. What may
                # be endless is cut off.
                if not whole and not self._short(Headers(scope=scope)):
                    headers["Connection"] = "close"
            elif message["type"] == "websocket.accept":
                seen["status"] = 101
            seen["bytes_out"] += _size(message)
            await send(message)

        try:
            problem = None if scope["path"] in _OPEN else self._refused(Headers(scope=scope))
            if problem is None:
                await self._app(scope, counting_receive, counting_send)
            elif scope["type"] == "websocket":
                seen["status"] = problem.status
                notes["code"] = problem.code
                await send({"type": "websocket.close", "code": 1008, "reason": problem.code})
            else:
                notes["code"] = problem.code
                await problem.response()(scope, receive, counting_send)
        finally:
            self._observer.request(scope, notes, seen, time.perf_counter() - started)

    def _short(self, headers: Headers) -> bool:
        claimed = headers.get("content-length", "")
        return claimed.isdecimal() and int(claimed) <= self._settings.max_request_bytes

    def _refused(self, headers: Headers) -> Problem | None:
        """Return why a request may not come from where it does.

        A page of anybody's can send a browser's requests to this machine's own address, and a name
        of anybody's can point to it: neither may use the service through a visitor's browser.
        """
        host = headers.get("host", "")
        name = urlsplit(f"//{host}").hostname or "" if _plain(host) else ""
        settings = self._settings
        known = is_loopback(name) or name in settings.allowed_hosts
        if not known and (settings.allowed_hosts or settings.token is None):
            return Problem(
                403,
                "foreign_host",
                "this service does not answer by that name: start it with --allow-host NAME",
            )
        origin = headers.get("origin")
        if origin is not None and _netloc(origin) != host.lower():
            return Problem(403, "foreign_origin", "pages of other sites may not use this service")
        return None


def _size(message: Message) -> int:
    text = message.get("text") or ""
    return len(message.get("body") or message.get("bytes") or text.encode())


def _plain(host: str) -> bool:
    try:
        urlsplit(f"//{host}")
    except ValueError:
        return False
    return True


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
