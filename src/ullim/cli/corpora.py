"""``ullim corpora``: what corpora ullim reads, and whether a copy is whole."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ullim.cli.console import StageProgress, note, print_json, print_table, print_text
from ullim.cli.corpora_audit import audit
from ullim.cli.corpora_options import Json, Name, Options, Place, as_yaml, described, read_as
from ullim.cli.corpora_raters import raters

if TYPE_CHECKING:
    from ullim.corpora import Corpus

app = typer.Typer(no_args_is_help=True, help="List, show and check speech corpora.")
app.command()(audit)
app.command()(raters)

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
        ("name", "languages", "utterances", "speakers", "labels", "licence"),
        [
            [_cell(row[column]) for column in ("name", "languages", "utterances", "speakers")]
            + [len(row["labels"]), row["licence"]]
            for row in rows
        ],
    )


@app.command()
def show(name: Name, json: Json = False) -> None:
    """Print what is known of a corpus: licence, citation, counts, options, defects."""
    corpus = read_as(name)
    facts: dict[str, Any] = {
        "name": corpus.name,
        "title": corpus.title,
        "languages": list(corpus.languages),
        "licence": corpus.licence,
        "citation": corpus.citation,
        "homepage": corpus.homepage,
        "labels": list(corpus.labels),
        "layout": corpus.layout,
        "expected_counts": corpus.expected_counts,
        "expected_speakers": corpus.expected_speakers,
        "how_to_get": corpus.how_to_get,
        "downloads": [asdict(download) for download in corpus.downloads],
        "options": described(type(corpus)),
        "known_defects": list(corpus.known_defects),
    }
    if json:
        print_json(facts)
        return
    downloads, options = facts.pop("downloads"), facts.pop("options")
    defects = facts.pop("known_defects")
    lines = [f"{key.replace('_', ' ')}: {_cell(value)}" for key, value in facts.items() if value]
    if downloads:
        lines.append("fetched by `ullim corpora download`:")
        lines += [f"  - {download['url']}" for download in downloads]
    if options:
        lines.append("options (--option KEY=VALUE, the value in YAML; in a recipe, beside name):")
        lines += [
            f"  - {option['name']}={as_yaml(option['default'])}"
            f" ({option['takes']}): {option['about']}"
            for option in options
        ]
    if defects:
        lines += ["known defects:", *(f"  - {defect}" for defect in defects)]
    print_text(lines)


@app.command()
def check(
    name: Name,
    path: Place,
    audio: Annotated[
        bool, typer.Option("--audio/--no-audio", help="Decode every recording, or only count.")
    ] = True,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Recordings decoded at the same time.")
    ] = 2,
    option: Options = None,
    json: Json = False,
) -> None:
    """Compare a copy with the published counts and recordings; exit 1 where it is not whole."""
    from ullim.corpora.check import check as compare

    corpus = read_as(name, option)
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
    expected: dict[str, int | None] = dict.fromkeys(
        label for label in (*corpus.labels, *findings["counts"]) if label in findings["counts"]
    )
    if findings["compared"]:
        expected |= corpus.expected_counts
    if findings["speakers"] or corpus.expected_speakers:
        expected["speakers"] = corpus.expected_speakers if findings["compared"] else None
    if any(n is not None for n in expected.values()):
        rows = [
            (what, _cell(n), found.get(what, 0), _difference(found.get(what, 0), n))
            for what, n in expected.items()
        ]
        print_table(corpus.title, ("", "published", "found", "difference"), rows)
    else:
        print_table(corpus.title, ("", "found"), [(what, found[what]) for what in expected])
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
    else:
        _print_hashes(corpus, findings["hashes"])
        note(f"{findings['read']} recordings read; problems: {summary}")
    if findings["compared"]:
        note("this copy is complete" if findings["complete"] else "this copy is not complete")
    elif not corpus.anyones:
        note("read by options, so the counts were not compared with the published ones")


def _print_hashes(corpus: Corpus, hashes: dict[str, int]) -> None:
    if hashes["same"] or hashes["changed"]:
        rest = f"; of {hashes['unknown']} they are not known" if hashes["unknown"] else ""
        note(
            f"{hashes['same']} recordings hold the published samples, {hashes['changed']} do not"
            f"{rest}"
        )
    elif not corpus.anyones:
        note("the published samples of this corpus are not known, so none were compared")


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return str(value)


def _difference(found: int, published: int | None) -> str:
    return "" if published is None or found == published else f"{found - published:+d}"
