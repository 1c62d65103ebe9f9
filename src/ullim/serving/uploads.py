"""Reads a multipart body with its limits in force while it comes in.

What is over one mebibyte goes to an unnamed temporary file; it is gone when the request ends.
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from ullim.serving.problems import Problem
from ullim.serving.settings import MIB, Settings

_NAME_LENGTH = 120
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{1,70}")  # RFC 2046


@dataclass(frozen=True, slots=True)
class Form:
    """What a request brought.

    Attributes:
        files: Its recordings.
        fields: Its other fields, the last of each name.
    """

    files: list[UploadFile]
    fields: dict[str, str]


class _Parser(MultiPartParser):
    """Starlette's parser, with a limit on the headers of a part, that knows a whole form.

    Attributes:
        ended: Whether the closing boundary has come.
    """

    ended = False

    def on_end(self) -> None:
        super().on_end()
        self.ended = True

    def on_part_begin(self) -> None:
        super().on_part_begin()
        self._header_bytes = 0

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        super().on_header_field(data, start, end)

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        super().on_header_value(data, start, end)

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > self.max_part_size:
            raise MultiPartException("The headers of a part are too long.")


@asynccontextmanager
async def received(request: Request, settings: Settings) -> AsyncIterator[Form]:
    """Read a request's body; its files are closed, and so gone, at the end.

    Raises:
        Problem: It is no multipart body, or over a limit, or too slow.
    """
    boundary = check_headers(request, settings)

    async def body() -> AsyncGenerator[bytes, None]:
        async for chunk in _limited(request, settings):
            yield chunk
        if not parser.ended:
            raise MultiPartException("It ends before its closing boundary.")

    parser = _Parser(
        # Without the client's charset: Python knows some that are slow, or no text at all.
        Headers({"content-type": f'multipart/form-data; boundary="{boundary}"'}),
        body(),
        max_files=settings.max_files,
        max_fields=settings.max_fields,
        max_part_size=settings.max_field_bytes,
    )
    try:
        async with asyncio.timeout(settings.upload_timeout_s):
            form = await parser.parse()
    except MultiPartException as error:
        said = error.message.rstrip(".")
        full = "too many" in said.lower() or "maximum" in said.lower() or "too long" in said.lower()
        raise Problem(
            413 if full else 422,
            "too_many_parts" if full else "bad_multipart",
            f"the form cannot be read: {said}; send files=@recording as multipart/form-data, at "
            f"most {settings.max_files} files and {settings.max_fields} fields of "
            f"{settings.max_field_bytes} bytes",
        ) from error
    except TimeoutError:
        raise Problem(
            408,
            "too_slow",
            f"the body did not come within {settings.upload_timeout_s:g} s; send less at once",
            {"Connection": "close"},
        ) from None
    except OSError as error:  # the disk that holds what is too large for memory
        raise Problem(
            503,
            "no_space",
            "the service has no room for the request now; try again later, or send less at once",
            {"Retry-After": "10"},
        ) from error
    except ClientDisconnect:
        raise Problem(400, "gone", "the client left before its request was whole") from None
    try:
        files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
        strange = {name for name, part in form.multi_items() if isinstance(part, UploadFile)}
        if strange - {"files"}:
            raise Problem(
                422, "bad_field", "a recording belongs into the field files, once for each"
            )
        fields = {name: part for name, part in form.multi_items() if isinstance(part, str)}
        yield Form(files, fields)
    finally:
        await form.close()


def check_headers(request: Request, settings: Settings) -> str:
    """Refuse by its headers what need not be read at all; return the form's boundary.

    Raises:
        Problem: 413, 415 or 422.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data":
        raise Problem(
            415,
            "not_multipart",
            "the body is multipart/form-data with the recordings in the field files, for example "
            "curl -F files=@recording.wav",
        )
    claimed = request.headers.get("content-length", "0")
    if claimed.isdecimal() and int(claimed) > settings.max_request_bytes:
        raise too_large(settings)
    boundary = options.get(b"boundary", b"").decode("latin-1")
    if not _BOUNDARY.fullmatch(boundary):
        raise Problem(
            422,
            "bad_multipart",
            "the form cannot be read: its Content-Type names no boundary of 1 to 70 plain "
            "characters; let the HTTP library write this header",
        )
    return boundary


async def _limited(request: Request, settings: Settings) -> AsyncGenerator[bytes, None]:
    """Yield a body until its limit, whatever its header said."""
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > settings.max_request_bytes:
            raise too_large(settings)
        yield chunk


def too_large(settings: Settings) -> Problem:
    """Return the answer to a body over its limit."""
    return Problem(
        413,
        "too_large",
        f"the request is over {settings.max_request_bytes / MIB:g} MiB; send fewer or shorter "
        "recordings at once",
    )


def plain_name(name: str | None) -> str:
    r"""Return a client's name for a file, fit to be shown: no folders, no control characters.

    >>> plain_name("../../etc/pass\x00wd"), plain_name("C:\\a\\b.wav"), plain_name("..")
    ('passwd', 'b.wav', 'recording')
    """
    last = PurePosixPath(re.sub(r"[\\/]+", "/", name or "")).name
    shown = "".join(letter for letter in last if unicodedata.category(letter)[0] != "C").strip()
    return shown[:_NAME_LENGTH] if shown.strip(".") else "recording"
