"""``ullim corpora stats``: what a copy of a corpus holds, as tables and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ullim.cli.console import StageProgress, note, print_json, print_lines, print_table
from ullim.cli.corpora_options import Json, Name, Options, Place, read_as

_TOLD = 5


def stats(
    name: Name,
    path: Place,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder to draw pictures into (PNG).")
    ] = None,
    option: Options = None,
    korean: Annotated[bool, typer.Option("--ko", help="Korean labels in the pictures.")] = False,
    json: Json = False,
) -> None:
    """Count labels by speaker and gender, durations, formats and repeated texts."""
    from ullim.corpora.stats import statistics

    corpus = read_as(name, option)
    if out is not None:
        from ullim.corpora import _pictures

        _pictures.require()
    with StageProgress() as progress:
        figures = statistics(corpus, path, progress=lambda *n: progress("headers", *n))
    if json:
        print_json({key: value for key, value in figures.items() if key != "durations_s"})
    else:
        _print(figures)
    unreadable = figures["unreadable"]
    for message in unreadable[:_TOLD]:
        note(f"unreadable: {message}")
    if len(unreadable) > _TOLD:
        note(f"unreadable: and {len(unreadable) - _TOLD} more; --json lists all")
    if out is not None:
        for file in _pictures.draw(figures, out, korean=korean):
            note(f"drawn: {file}")


def _print(figures: dict[str, Any]) -> None:
    print_table(figures["title"], ("what", "found"), _facts(figures))
    lengths = [
        (label, *(f"{points[key]:.2f}" for key in ("shortest", "p5", "median", "p95", "longest")))
        for label, points in figures["duration_s"]["by_label"].items()
        if points
    ]
    if lengths:
        print_lines([""])
        columns = ("label", "shortest", "5 %", "median", "95 %", "longest")
        print_table("Durations in seconds", columns, lengths)
    for title, key in (("gender", "labels_by_gender"), ("speaker", "labels_by_speaker")):
        if _is_told(figures[key]):
            print_lines([""])
            rows = [
                (who, *counts.values(), sum(counts.values()))
                for who, counts in figures[key].items()
            ]
            print_table(f"Labels by {title}", (title, *figures["labels"], "all"), rows)


def _facts(figures: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return what is known, a line each; what the corpus does not tell has none."""
    texts, ages = figures["texts"], figures["ages"]
    genders = figures["speakers_by_gender"]
    sexes = f" ({_counts(genders)})" if _is_told(genders) else ""
    facts = [
        ("utterances", figures["utterances"]),
        ("speakers", f"{figures['speakers']}{sexes}" if figures["speakers"] else "not named"),
    ]
    if ages:
        facts.append(("ages", f"{ages['youngest']:g} to {ages['oldest']:g}"))
    if figures["sampling_rates"]:
        facts += [
            ("duration", _length(figures["duration_s"]["total"])),
            ("sampling rates (Hz)", _counts(figures["sampling_rates"])),
            ("channels", _counts(figures["channels"])),
        ]
    if figures["unreadable"]:
        facts.append(("recordings that can not be read", len(figures["unreadable"])))
    facts += [
        (key, _counts(figures[key])) for key in ("languages", "groups") if _is_told(figures[key])
    ]
    facts.append(("sentences", texts["sentences"] or "not told"))
    if texts["sentences"] and texts["utterances_without"]:
        facts.append(("utterances without text", texts["utterances_without"]))
    if texts["utterances_of_repeated_sentences"]:
        facts += [
            ("utterances of a repeated sentence", texts["utterances_of_repeated_sentences"]),
            ("utterances of one sentence, at most", texts["most_repeated"]),
            (
                "labels of these guessed from the sentence alone",
                f"{texts['share_guessed_from_sentence']:.1%} "
                f"(without it {texts['share_guessed_without']:.1%})",
            ),
        ]
    return facts


def _is_told(by_name: dict[str, Any]) -> bool:
    """Return whether the corpus tells this of some utterance at least."""
    from ullim.corpora.stats import UNKNOWN

    return bool(by_name.keys() - {UNKNOWN})


def _length(seconds: float) -> str:
    """Return a duration in the unit one would say it in.

    >>> _length(15.1), _length(600), _length(5328)
    ('15 s', '10 min', '1.48 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.2f} h"


def _counts(counts: dict[str, int]) -> str:
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{name}: {n}" for name, n in counts.items())
