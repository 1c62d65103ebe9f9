"""``ullim corpora download``: a corpus from its owner, or how to ask for it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ullim.cli.console import StageProgress, note, print_text
from ullim.cli.corpora_options import Name, read_as
from ullim.errors import CorpusError


def download(
    name: Name,
    folder: Annotated[Path, typer.Argument(help="Empty or new folder to unpack it to.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Agree to the licence.")] = False,
    keep: Annotated[bool, typer.Option("--keep-archive", help="Keep the archive too.")] = False,
) -> None:
    """Fetch a corpus from its owner, or say how to ask for it; goes on where it stopped."""
    from ullim.corpora.download import fetch, how_to_get

    corpus = read_as(name)
    if not corpus.downloads:
        print_text([how_to_get(corpus)])
        raise typer.Exit(1)
    for file in corpus.downloads:
        size = "size unknown" if file.size_bytes is None else f"{file.size_bytes / 1e6:,.0f} MB"
        note(f"{file.url} ({size})")
    note(f"{corpus.title}, licence: {corpus.licence}")
    note(f"cite: {corpus.citation}")
    if corpus.how_to_get:
        note(corpus.how_to_get)
    if not yes:
        if not sys.stdin.isatty():
            raise CorpusError(
                f"nobody is there to agree to the licence of {corpus.title}; give --yes if you do",
                code="not_agreed",
            )
        typer.confirm("Do you agree to this licence?", abort=True, err=True)
    with StageProgress() as progress:

        def show(done: int, total: int | None) -> None:
            progress("megabytes", done // 1_000_000, (total or 0) // 1_000_000 or None)

        fetched = fetch(corpus, folder, keep_archives=keep, progress=show)
    for item in fetched:
        told = "as its owner publishes" if item.verified else "compared with nothing"
        note(f"{item.file}: sha256 {item.sha256} ({told})")
    note(f"unpacked to {folder}; see whether it is whole: ullim corpora check {name} {folder}")
