"""``ullim corpora audit``: what corpora hold twice, and what a protocol would leak."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ullim.cli.console import StageProgress, note, print_json, print_table
from ullim.cli.corpora_options import Json, read_as
from ullim.errors import RecipeError

_SHOWN = 20


class Sound(StrEnum):
    """How far recordings are looked into."""

    fingerprint = "fingerprint"
    hash = "hash"
    none = "none"


def audit(
    corpus: Annotated[list[str], typer.Argument(help="NAME=PATH of each corpus.")],
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol", "-p", help="Also what crosses under it: a name, or fields as YAML."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of a protocol that draws.")] = 0,
    sound: Annotated[
        Sound,
        typer.Option(
            help="fingerprint decodes and finds copies in any form; hash compares files; none "
            "reads no audio."
        ),
    ] = Sound.fingerprint,
    write_folds: Annotated[
        Path | None, typer.Option(help="Write the folds down as a file for the protocol fixed.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            metavar="[NAME.]KEY=VALUE",
            help="How to read it; with several corpora, NAME says which; may be repeated.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Find shared speakers and texts, duplicate recordings and overlapping cuts."""
    from ullim.corpora.folders import corpus_folder
    from ullim.evaluation import leakage, protocols

    scheme = None if protocol is None else protocols.parse_protocol(protocol)
    if write_folds is not None and scheme is None:
        raise RecipeError("--write-folds needs a --protocol that makes them", code="bad_protocol")
    utterances = []
    folders = [corpus_folder(pair, option="an argument") for pair in corpus]
    options = _options(option or [], {name for name, _ in folders})
    for name, path in folders:
        utterances += read_as(name, options[name]).load(path)
    folds = (
        None
        if scheme is None
        else scheme.folds(utterances, [u.votes[0].label for u in utterances], seed)
    )
    heard = None
    if sound is not Sound.none:
        with StageProgress() as progress:
            heard = leakage.listen(
                utterances,
                decode=sound is Sound.fingerprint,
                progress=lambda *counts: progress("reading", *counts),
            )
    found: dict[str, Any] = {"corpora": leakage.survey(utterances, heard)}
    if scheme is not None and folds is not None:
        found["protocol"] = scheme.model_dump(mode="json") | {
            "speaker_independent": scheme.speaker_independent,
            "text_independent": scheme.text_independent,
            "folds": len(folds),
        }
        found["leakage"] = leakage.audit(
            utterances,
            heard.hashes if heard else None,
            folds,
            fingerprints=heard.fingerprints if heard else None,
        )
        if write_folds is not None:
            protocols.write_folds(write_folds, utterances, folds)
            note(f"folds written to {write_folds}")
    if json:
        print_json(found)
        return
    _print(found)


def _options(given: list[str], names: set[str]) -> dict[str, list[str]]:
    """Return the options of each corpus."""
    options: dict[str, list[str]] = {name: [] for name in names}
    for option in given:
        name, dot, _ = option.partition("=")[0].partition(".")
        if dot and name in names:
            options[name].append(option[len(name) + 1 :])
        elif len(names) == 1 and not dot:
            options[next(iter(names))].append(option)
        else:
            raise RecipeError(
                f"--option {option!r} does not say which corpus it is of; write NAME.KEY=VALUE "
                f"with one of: {', '.join(sorted(names))}",
                code="bad_option",
            )
    return options


def _print(found: dict[str, Any]) -> None:
    rows = []
    for part in ("corpora", "leakage"):
        for key, value in found.get(part, {}).items():
            if key != "problems":
                rows.append((part, key.replace("_", " "), _count(value)))
    print_table(None, ("", "what", "found"), rows)
    table, leaks = found["corpora"], found.get("leakage", {})
    _list("the same recording", table["duplicates"], " = ".join)
    _list("the same recording in another form", table["near_duplicates"], _pair)
    _list("overlapping stretches of one file", table["overlapping_stretches"], " and ".join)
    _list("speaker on both sides", leaks.get("speakers_on_both_sides"), str)
    _list("tested though trained on", leaks.get("test_rows_with_trained_recording"), str)
    _list(
        "tested though nearly trained on", leaks.get("test_rows_with_trained_near_duplicate"), _pair
    )
    _list("unreadable", table["problems"], lambda problem: f"{problem['id']}: {problem['message']}")


def _count(value: Any) -> str:
    if value is None:
        return "not looked for"
    if isinstance(value, float):
        return f"{value:.1%}"
    return str(len(value)) if isinstance(value, list) else str(value)


def _pair(found: dict[str, Any]) -> str:
    one, other = list(found.values())[:2]
    return (
        f"{one} ~ {other} ({found['kind']}, {found['similarity']:.0%} of the peaks, "
        f"{found['offset_s']:+.2f} s)"
    )


def _list(what: str, items: list[Any] | None, line: Any) -> None:
    for item in (items or [])[:_SHOWN]:
        note(f"{what}: {line(item)}")
    if items and len(items) > _SHOWN:
        note(f"{what}: {len(items) - _SHOWN} more; --json lists all")
