"""``ullim audit``: a model under noise, on the telephone, and for whom it works less well."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ullim.cli.console import StageProgress, note, print_json, print_lines, print_table
from ullim.cli.predict import Language
from ullim.errors import CorpusError


def audit(
    model: Annotated[
        str, typer.Argument(help="Name or folder of a bundle; see `ullim models list`.")
    ],
    corpus: Annotated[
        list[str] | None, typer.Option("--corpus", "-c", help="NAME=PATH; once for each corpus.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for audit.json, audit.md and pictures."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="Only this condition or family of them; may be repeated."),
    ] = None,
    max_items: Annotated[
        int | None,
        typer.Option(min=2, help="At most so many clips, spread over speakers and emotions."),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of the noise and the choice of clips.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    lang: Annotated[Language, typer.Option(help="Language of tables and page.")] = Language.EN,
    write_card: Annotated[
        bool, typer.Option("--write-card", help="Put the verdicts on the model's card.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Write the card even of a model that ships with ullim.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 where a mark is failed.")
    ] = False,
) -> None:
    """Measure what noise, rooms, telephones and codecs cost, and gaps between groups."""
    from ullim.audit import card, output, run
    from ullim.audit.conditions import choose
    from ullim.corpora.folders import corpus_folders
    from ullim.inference import models

    folder = models.find(model)
    if not corpus:
        raise CorpusError(
            "an audit asks about the clips of a corpus: give --corpus NAME=PATH, for example "
            "--corpus emodb=~/corpora/emodb",
            code="no_corpus",
        )
    folders = corpus_folders(corpus)
    conditions = choose(only or ())
    # What would fail after a long wait fails before it.
    if out is not None:
        output.check_target(out)
    if write_card:
        card.check_writable(folder, force=force)
    with StageProgress() as progress:
        found = run.audit(
            folder,
            folders,
            conditions=conditions,
            max_items=max_items,
            jobs=jobs,
            seed=seed,
            command=shlex.join(["ullim", *sys.argv[1:]]),
            report=progress,
        )
    if out is not None and not output.write(out, found, "ko" if lang is Language.KO else "en"):
        note('no pictures: they need matplotlib, pip install "ullim[train]"')
    if write_card:
        card.write(folder, found, force=force)
    if json:
        print_json(found)
    else:
        _print(found, lang)
    if out is not None:
        note(f"written to {out}")
    if write_card:
        note(f"written to the card of {folder}")
    if strict and any(mark["verdict"] == "fail" for mark in found["marks"]):
        raise typer.Exit(1)


def _print(found: dict[str, Any], lang: Language) -> None:
    from ullim.audit import text
    from ullim.audit.words import Lang, say

    words: Lang = "ko" if lang is Language.KO else "en"
    print_lines([line.replace("**", "") for line in text.first_lines(found, words)])
    for heading, table in (
        ("robustness", text.condition_table(found, words)),
        ("groups", text.group_table(found, words)),
        ("verdicts", text.verdict_table(found, words)),
    ):
        print_table(say(heading, words), *table)
    print_lines([*text.gap_lines(found, words), text.tally(found, words)])
