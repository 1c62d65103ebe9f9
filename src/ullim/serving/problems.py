"""Errors as clients see them: RFC 9457's ``application/problem+json``, each with a ``code``."""

from __future__ import annotations

import http
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from ullim.errors import UllimError

MEDIA_TYPE = "application/problem+json"

_STATUS: dict[str, int] = {
    "not_audio": 415,
    "wrong_extension": 415,
    "too_large": 413,
    "too_long": 413,
    "too_many_channels": 413,
    "too_costly": 413,
    "internal": 500,
    "missing_extra": 415,
}
"""HTTP status of an error's code; every other fault of what was sent is 422."""


class Problem(Exception):  # noqa: N818 - RFC 9457's word
    """A request ends here, with a status and a reason.

    Attributes:
        status: HTTP status.
        code: Stable word for programs.
        detail: For people: what was given, what is allowed, what to do next.
        headers: To send with it.
    """

    def __init__(
        self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})

    @classmethod
    def of(cls, code: str, detail: str) -> Problem:
        """Return the problem that an error of ullim is to a client."""
        return cls(_STATUS.get(code, 422), code, detail)

    def to_dict(self) -> dict[str, Any]:
        """Return the members of the body."""
        return {
            "type": "about:blank",
            "title": http.HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }

    def response(self) -> Response:
        """Return the answer to send."""
        return JSONResponse(self.to_dict(), self.status, {**self.headers}, media_type=MEDIA_TYPE)


_CODES = {404: "no_route", 405: "bad_method"}


def install(app: FastAPI) -> None:
    """Make every error of an app a problem."""

    def send(request: Request, problem: Problem) -> Response:
        request.scope.setdefault("ullim", {})["code"] = problem.code
        return problem.response()

    async def on_problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return send(request, error)

    async def on_ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, UllimError)
        return send(request, Problem.of(error.code, str(error)))

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        status = error.status_code
        code = _CODES.get(status, http.HTTPStatus(status).phrase.lower().replace(" ", "_"))
        return send(request, Problem(status, code, str(error.detail), error.headers))

    async def on_invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        said = "; ".join(
            f"{'.'.join(str(place) for place in one['loc'])}: {one['msg']}"
            for one in error.errors()
        )
        return send(request, Problem(422, "invalid", said))

    async def on_bug(request: Request, error: Exception) -> Response:
        return send(request, Problem(500, "internal", "a fault of the service; its log tells more"))

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(UllimError, on_ours)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(Exception, on_bug)
