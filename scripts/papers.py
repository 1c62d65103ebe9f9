"""What networks reach beside the figures their papers print, by split."""

from __future__ import annotations

import statistics
from pathlib import Path

from ullim.evaluation.predictions import Run, read_run

METRIC = "weighted_accuracy"


def beside_papers(results: Path) -> list[str]:
    """Return the section of the page, as lines; empty where no recipe's paper prints accuracy."""
    found: dict[tuple[str, str], list[Run]] = {}
    for path in sorted(results.glob("*/metrics.json")):
        run = read_run(path.parent)
        if run.details.get("n_parameters") and _printed(run) is not None:
            found.setdefault((run.details["recipe"], run.details["profile"]), []).append(run)
    rows = [_row(recipe, profile, runs) for (recipe, profile), runs in found.items()]
    if not rows:
        return []
    return [
        "## Networks beside their papers",
        "",
        "Accuracy in percent, since that is what the papers print. On random splits speakers are "
        "on both sides, as in the papers; the figure is the mean over seeds, each another split, "
        "with its standard deviation and the least and the largest. A paper's figure is of one "
        "split. The last columns are what is left on speakers nobody heard. Layers that a paper "
        "does not state are ours, as each recipe says line by line: a gap may be theirs.",
        "",
        "| system | profile | epochs | parameters | the paper | random splits, mean (sd) "
        "| least to largest | seeds | minutes | unheard speakers | protocol |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *rows,
        "",
        "Minutes are of the whole run over random splits on one core of a machine with two, both "
        "of them busy.",
        "",
    ]


def _printed(run: Run) -> float | None:
    told = [one for one in run.recipe.get("reported") or () if one["metric"] == METRIC]
    return float(told[0]["value"]) if told else None


def _row(recipe: str, profile: str, runs: list[Run]) -> str:
    random = next((run for run in runs if run.details["protocol"]["name"] == "random"), None)
    apart = next((run for run in runs if run.details.get("speaker_independent")), None)
    any_run = random or apart
    assert any_run is not None
    cells = [
        recipe,
        profile,
        str(any_run.recipe["training"]["epochs"]),
        f"{any_run.details['n_parameters']:,}",
        f"{_printed(any_run):.1f}",
        *(_spread(random) if random else [""] * 4),
        f"{_value(apart):.1f}" if apart else "",
        apart.details["protocol"]["name"] if apart else "",
    ]
    return f"| {' | '.join(cells)} |"


def _spread(run: Run) -> list[str]:
    (corpus,) = run.metrics["corpora"]
    answers = run.of(corpus)
    each = [
        100 * float(answers.correct[answers.seed == str(s)].mean()) for s in run.details["seeds"]
    ]
    middle = statistics.mean(each)
    deviation = f" ({statistics.stdev(each):.1f})" if len(each) > 1 else ""
    minutes = run.details["seconds_this_time"] / 60
    return [
        f"{middle:.1f}{deviation}",
        f"{min(each):.1f} to {max(each):.1f}",
        str(len(each)),
        f"{minutes:.0f}",
    ]


def _value(run: Run) -> float:
    (corpus,) = run.metrics["corpora"]
    return 100 * float(run.metrics["corpora"][corpus][METRIC]["value"])
