"""``ullim corpora``: what corpora ullim reads, and whether a copy is whole."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ullim.cli.console import StageProgress, note, print_json, print_lines, print_table
from ullim.cli.corpora_audit import audit

if TYPE_CHECKING:
    from ullim.corpora import Corpus

app = typer.Typer(no_args_is_help=True, help="List, show and check speech corpora.")
app.command("audit")(audit)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="A name of `ullim corpora list`.")]


@app.command("list")
def list_corpora(json: Json = False) -> None:
    """List the corpora ullim reads."""
    from ullim import registry

    rows = [
        {
            "name": name,
            "title": corpus.title,
            "languages": list(corpus.languages),
            "utterances": sum(corpus.expected_counts.values()),
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
    path: Annotated[Path, typer.Argument(help="The folder the owner's archive unpacks to.")],
    json: Json = False,
) -> None:
    """Compare a copy with the published counts and try to read every recording."""
    from ullim.corpora.check import check as compare

    corpus = _corpus(name)
    with StageProgress() as progress:
        findings = compare(corpus, path, progress=lambda *counts: progress("reading", *counts))
    if json:
        print_json(findings)
    else:
        found, speakers = findings["counts"], findings["speakers"]
        rows = [
            (label, expected, found.get(label, 0), _difference(found.get(label, 0) - expected))
            for label, expected in corpus.expected_counts.items()
        ]
        rows.append(
            (
                "speakers",
                corpus.expected_speakers,
                speakers,
                _difference(speakers - corpus.expected_speakers),
            )
        )
        print_table(corpus.title, ("", "published", "found", "difference"), rows)
        kinds = Counter(problem["code"] for problem in findings["problems"])
        for problem in findings["problems"]:
            note(f"{problem['code']}: {problem['message']}")
        summary = ", ".join(f"{n} {code}" for code, n in sorted(kinds.items())) or "none"
        note(f"{findings['read']} recordings read; problems: {summary}")
    if not findings["complete"]:
        raise typer.Exit(1)


def _corpus(name: str) -> Corpus:
    from ullim import registry

    corpus: Corpus = registry.component("corpora", name)()
    return corpus


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return str(value)


def _difference(difference: int) -> str:
    return "" if difference == 0 else f"{difference:+d}"
