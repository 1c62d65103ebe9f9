"""``ullim corpora``: what corpora ullim reads, and whether a copy is whole."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ullim.cli.console import StageProgress, note, print_json, print_lines, print_table
from ullim.cli.corpora_audit import audit
from ullim.cli.corpora_raters import raters

if TYPE_CHECKING:
    from ullim.corpora import Corpus

app = typer.Typer(no_args_is_help=True, help="List, show and check speech corpora.")
app.command()(audit)
app.command()(raters)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="A name of `ullim corpora list`.")]
Folder = Annotated[Path, typer.Argument(help="The folder the owner's archive unpacks to.")]

_TOLD_OF_A_KIND = 5


@app.command("list")
def list_corpora(json: Json = False) -> None:
    """List the corpora ullim reads."""
    from ullim import registry

    rows = [
        {
            "name": name,
            "title": corpus.title,
            "languages": list(corpus.languages),
            "utterances": sum(corpus.expected_counts.values()) or None,
            "speakers": corpus.expected_speakers,
            "labels": list(corpus.labels),
            "licence": corpus.licence,
        }
        for name, corpus in registry.components("corpora").items()
    ]
    if json:
        print_json(rows)
        return
    print_table(
        None,
        ("name", "title", "languages", "utterances", "speakers", "labels", "licence"),
        [[_cell(value) for value in row.values()] for row in rows],
    )


@app.command()
def show(name: Name, json: Json = False) -> None:
    """Print what is known of a corpus: licence, citation, counts, defects."""
    corpus = _corpus(name)
    facts: dict[str, Any] = {
        "name": corpus.name,
        "title": corpus.title,
        "languages": list(corpus.languages),
        "licence": corpus.licence,
        "citation": corpus.citation,
        "homepage": corpus.homepage,
        "layout": corpus.layout,
        "expected_counts": corpus.expected_counts,
        "expected_speakers": corpus.expected_speakers,
        "how_to_get": corpus.how_to_get,
        "known_defects": list(corpus.known_defects),
    }
    if json:
        print_json(facts)
        return
    defects = facts.pop("known_defects")
    lines = [f"{key}: {_cell(value)}" for key, value in facts.items()]
    print_lines([*lines, "known defects:", *(f"  - {defect}" for defect in defects)])


@app.command()
def check(
    name: Name,
    path: Folder,
    audio: Annotated[
        bool, typer.Option("--audio/--no-audio", help="Decode every recording, or only count.")
    ] = True,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Recordings decoded at the same time.")
    ] = 2,
    json: Json = False,
) -> None:
    """Compare a copy with the published counts and recordings; exit 1 where it is not whole."""
    from ullim.corpora.check import check as compare

    corpus = _corpus(name)
    with StageProgress() as progress:
        findings = compare(
            corpus,
            path,
            decode=audio,
            jobs=jobs,
            progress=lambda *counts: progress("reading", *counts),
        )
    if json:
        print_json(findings)
    else:
        _print_findings(corpus, findings)
    if not findings["complete"]:
        raise typer.Exit(1)


def _print_findings(corpus: Corpus, findings: dict[str, Any]) -> None:
    found = findings["counts"] | {"speakers": findings["speakers"]}
    expected: dict[str, int | None] = {**corpus.expected_counts}
    if corpus.anyones:
        expected = dict.fromkeys(findings["counts"])
    expected["speakers"] = corpus.expected_speakers
    rows = [
        (
            what,
            _cell(n),
            found.get(what, 0),
            "" if n is None else _difference(found.get(what, 0) - n),
        )
        for what, n in expected.items()
    ]
    print_table(corpus.title, ("", "published", "found", "difference"), rows)
    kinds = Counter(problem["code"] for problem in findings["problems"])
    told: Counter[str] = Counter()
    for problem in findings["problems"]:
        code = problem["code"]
        told[code] += 1
        if told[code] <= _TOLD_OF_A_KIND:
            note(f"{code}: {problem['message']}")
        elif told[code] == kinds[code]:
            note(f"{code}: and {kinds[code] - _TOLD_OF_A_KIND} more; --json lists all")
    summary = ", ".join(f"{n} {code}" for code, n in sorted(kinds.items())) or "none"
    if findings["read"] is None:
        note(f"no recording was decoded; problems: {summary}")
        return
    hashes = findings["hashes"]
    if hashes["same"] or hashes["changed"]:
        note(
            f"{hashes['same']} recordings hold the published samples, {hashes['changed']} do not, "
            f"of {hashes['unknown']} they are not known"
        )
    else:
        note("the published samples of this corpus are not known, so none were compared")
    note(f"{findings['read']} recordings read; problems: {summary}")


def _corpus(name: str) -> Corpus:
    from ullim import registry

    corpus: Corpus = registry.component("corpora", name)()
    return corpus


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return str(value)


def _difference(difference: int) -> str:
    return "" if difference == 0 else f"{difference:+d}"
