"""What networks reach beside the figures their papers print, by split."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from ullim.evaluation.predictions import Run, read_run

METRIC = "weighted_accuracy"


def beside_papers(results: Path) -> list[str]:
    """Return the section of the page, as lines; empty where no recipe's paper prints accuracy."""
    found: dict[tuple[str, str], list[Run]] = {}
    papers: dict[tuple[str, str], list[str]] = {}
    every = [read_run(path.parent) for path in sorted(results.glob("*/metrics.json"))]
    for run in every:
        told = _printed(run)
        if not run.details.get("n_parameters") or told is None:
            continue
        found.setdefault((run.details["recipe"], run.details["profile"]), []).append(run)
        systems = papers.setdefault((told["protocol"], told["source"]), [])
        if run.details["recipe"] not in systems:
            systems.append(run.details["recipe"])
    rows = [_row(recipe, profile, runs) for (recipe, profile), runs in found.items()]
    if not rows:
        return []
    on_cpu = [run.details for run in every if run.details["profile"] == "cpu"]
    hours = sum(details["fit_seconds"] for details in on_cpu) / 3600
    return [
        "## Networks beside their papers",
        "",
        "Accuracy in percent, since that is what the papers print. On random splits speakers are "
        "on both sides, as in the papers; the figure is the mean over seeds, each another split, "
        "with its standard deviation and the least and the largest. The last columns are what is "
        "left on speakers nobody heard, with a 95 % interval over them. Layers that a paper does "
        "not state are ours, as each recipe says: a gap may be theirs. The command of each figure "
        "stands in the section of its run below.",
        "",
        "| system | profile | epochs | numbers | parameters | the paper | random splits, mean (sd) "
        "| least to largest | seeds | minutes | unheard speakers | protocol |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
        *rows,
        "",
        "The papers' figures are of:",
        "",
        *(
            f"- {', '.join(systems)}: {protocol} ({source.rstrip('.')})."
            for (protocol, source), systems in papers.items()
        ),
        "",
        "Where classes tell genders apart, accuracy is that of the emotions alone. Numbers are "
        "those of the training: bfloat16 where the processor multiplies, or float32 throughout; "
        "where two are named, the first is of the random splits and the second of the unheard "
        "speakers. Minutes are of the run over random splits. All runs in the profile cpu, of "
        f"networks without a row here too, took {hours:.1f} hours together.",
        "",
    ]


def _printed(run: Run) -> dict[str, str] | None:
    told = [one for one in run.recipe.get("reported") or () if one["metric"] == METRIC]
    return told[0] if told else None


def _row(recipe: str, profile: str, runs: list[Run]) -> str:
    random = next((run for run in runs if run.details["protocol"]["name"] == "random"), None)
    apart = next((run for run in runs if run.details.get("speaker_independent")), None)
    any_run = random or apart
    assert any_run is not None
    told = _printed(any_run)
    assert told is not None
    cells = [
        recipe,
        profile,
        str(any_run.recipe["training"]["epochs"]),
        ", ".join(dict.fromkeys(numbers(run.details) for run in (random, apart) if run)),
        f"{any_run.details['n_parameters']:,}",
        f"{told['value']:.1f}",
        *(_spread(random) if random else [""] * 4),
        _value(apart) if apart else "",
        apart.details["protocol"]["name"] if apart else "",
    ]
    return f"| {' | '.join(cells)} |"


def numbers(details: dict[str, Any]) -> str:
    """Return what a run was trained in; the first ones say so only in their command."""
    return "bfloat16" if "bf16" in (details.get("precision") or details["command"]) else "float32"


def _spread(run: Run) -> list[str]:
    (corpus,) = run.metrics["corpora"]
    answers = run.of(corpus)
    answers = answers.without_gender() or answers
    each = [
        100 * float(answers.correct[answers.seed == str(s)].mean()) for s in run.details["seeds"]
    ]
    middle = statistics.mean(each)
    deviation = f" ({statistics.stdev(each):.1f})" if len(each) > 1 else ""
    minutes = run.details["fit_seconds"] / 60
    return [
        f"{middle:.1f}{deviation}",
        f"{min(each):.1f} to {max(each):.1f}",
        str(len(each)),
        f"{minutes:.0f}",
    ]


def _value(run: Run) -> str:
    (corpus,) = run.metrics["corpora"]
    figures = run.metrics["corpora"][corpus]
    value = figures.get("without_gender", figures)[METRIC]
    low, high = 100 * value["low"], 100 * value["high"]
    return f"{100 * value['value']:.1f} ({low:.1f} to {high:.1f})"
