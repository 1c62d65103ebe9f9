"""``ullim serve``: predictions over HTTP."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from ullim.errors import MissingExtraError, UllimError


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but this machine's own needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on.")] = 8000,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model", "-m", help="Name or folder of a bundle; the first is the default. [all]"
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help="File whose first line is the token; else the variable ULLIM_TOKEN."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="A name the service is called by from outside, as behind a proxy; needs a token."
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that predict. [one a core, up to 4]")
    ] = None,
    queue: Annotated[
        int | None, typer.Option(min=0, help="Requests that may wait; more are answered 429. [32]")
    ] = None,
    max_mb: Annotated[
        int | None,
        typer.Option(min=1, help="Largest recording in MiB; a request may be twice it. [32]"),
    ] = None,
    max_duration_s: Annotated[
        float | None, typer.Option(min=1.0, help="Longest recording in seconds. [600]")
    ] = None,
    max_streams: Annotated[
        int | None, typer.Option(min=1, help="Live streams at the same time. [16]")
    ] = None,
) -> None:
    """Serve predictions over HTTP, with a page for the browser.

    By default only this machine reaches it. See docs/serving.md before others do.
    """
    try:
        from pydantic import ValidationError

        from ullim.serving.server import serve as run
        from ullim.serving.settings import MIB, Settings, StreamLimits
    except ImportError as error:
        if isinstance(error, UllimError):
            raise
        raise MissingExtraError("serving", extra="serve") from error
    given: dict[str, Any] = {
        "workers": workers,
        "queue": queue,
        "max_duration_s": max_duration_s,
        "max_file_bytes": None if max_mb is None else max_mb * MIB,
        "stream": None if max_streams is None else StreamLimits(max_sessions=max_streams),
        "max_request_bytes": None if max_mb is None else 2 * max_mb * MIB,
    }
    try:
        settings = Settings(
            host=host,
            port=port,
            token=_token(token_file),
            models=tuple(model or ()),
            allowed_hosts=tuple(name.lower() for name in allow_host or ()),
            **{name: value for name, value in given.items() if value is not None},
        )
    except ValidationError as error:
        problems = "; ".join(map(_told, error.errors()))
        raise UllimError(f"{problems}; see: ullim serve --help", code="bad_option") from error
    run(settings)


def _told(problem: Any) -> str:
    name = ".".join(map(str, problem["loc"])).replace("_", "-")
    said = problem["msg"][:1].lower() + problem["msg"][1:]
    return f"--{name} {problem['input']}: {said}"


def _token(file: Path | None) -> Any:
    """Return the token; never from an argument, which every user of the machine can read."""
    if file is None:
        return os.environ.get("ULLIM_TOKEN") or None
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UllimError(
            f"the token cannot be read from {file}: {error}", code="bad_token"
        ) from error
    token = text.strip().partition("\n")[0].strip()
    if not token:
        raise UllimError(f"{file} is empty; its first line is the token", code="bad_token")
    return token
