"""``ullim corpora stats``: what a copy of a corpus holds, as tables and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ullim.cli.console import StageProgress, note, print_json, print_lines, print_table
from ullim.cli.corpora import Folder, Json, Name


def stats(
    name: Name,
    path: Folder,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder to draw pictures into (PNG).")
    ] = None,
    korean: Annotated[bool, typer.Option("--ko", help="Korean labels in the pictures.")] = False,
    json: Json = False,
) -> None:
    """Count labels by speaker and gender, durations, formats and repeated texts."""
    from ullim import registry
    from ullim.corpora.stats import statistics

    corpus = registry.component("corpora", name)()
    if out is not None:
        from ullim.corpora import _pictures

        _pictures.require()
    with StageProgress() as progress:
        figures = statistics(corpus, path, progress=lambda *n: progress("headers", *n))
    if json:
        print_json({key: value for key, value in figures.items() if key != "durations_s"})
    else:
        _print(figures)
    for message in figures["unreadable"]:
        note(f"unreadable: {message}")
    if out is not None:
        for file in _pictures.draw(figures, out, korean=korean):
            note(f"drawn: {file}")


def _print(figures: dict[str, Any]) -> None:
    texts, hours = figures["texts"], figures["duration_s"]["total"] / 3600
    facts = [
        ("utterances", figures["utterances"]),
        ("speakers", f"{figures['speakers']} ({_counts(figures['speakers_by_gender'])})"),
        ("duration", f"{hours:.2f} h"),
        ("sampling rates (Hz)", _counts(figures["sampling_rates"])),
        ("channels", _counts(figures["channels"])),
        ("languages", _counts(figures["languages"])),
        ("groups", _counts(figures["groups"])),
        ("sentences", texts["sentences"]),
        ("utterances of a repeated sentence", texts["utterances_of_repeated_sentences"]),
        ("utterances of one sentence, at most", texts["most_repeated"]),
    ]
    if figures["ages"]:
        ages = figures["ages"]
        facts.insert(2, ("ages", f"{ages['youngest']:g} to {ages['oldest']:g}"))
    if texts["utterances_without"]:
        facts.append(("utterances without text", texts["utterances_without"]))
    if texts["share_guessed_from_sentence"] is not None:
        facts.append(
            (
                "labels of these guessed from the sentence alone",
                f"{texts['share_guessed_from_sentence']:.1%} "
                f"(without it {texts['share_guessed_without']:.1%})",
            )
        )
    print_table(figures["title"], ("what", "found"), facts)
    print_lines([""])
    lengths = [
        (label, *(f"{points[key]:.2f}" for key in ("shortest", "p5", "median", "p95", "longest")))
        for label, points in figures["duration_s"]["by_label"].items()
        if points
    ]
    print_table(
        "Durations in seconds", ("label", "shortest", "5 %", "median", "95 %", "longest"), lengths
    )
    for title, key in (("gender", "labels_by_gender"), ("speaker", "labels_by_speaker")):
        print_lines([""])
        rows = [
            (who, *counts.values(), sum(counts.values())) for who, counts in figures[key].items()
        ]
        print_table(f"Labels by {title}", (title, *figures["labels"], "all"), rows)


def _counts(counts: dict[str, int]) -> str:
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{name}: {n}" for name, n in counts.items())
