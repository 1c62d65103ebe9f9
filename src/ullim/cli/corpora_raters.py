"""``ullim corpora raters``: how far the raters of a corpus agree, and what their votes make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from ullim.cli.console import note, print_json, print_table
from ullim.cli.corpora_options import Json, Name, Options, Place, read_as

_BY = ("session", "group", "gender", "language", "speaker")


def raters(
    name: Name,
    path: Place,
    by: Annotated[
        str | None, typer.Option("--by", help=f"Also for each part: {', '.join(_BY)}.")
    ] = None,
    option: Options = None,
    json: Json = False,
) -> None:
    """Print how far raters agree, what one reaches against the others, and what votes make.

    The ceiling scores each rater's votes against the majority of the other raters.
    """
    from ullim.corpora.agreement import summarise
    from ullim.errors import UllimError

    if by is not None and by not in _BY:
        raise UllimError(f"--by takes {', '.join(_BY)}, and was given {by!r}", code="bad_option")
    corpus = read_as(name, option)
    utterances = corpus.load(path)
    labels = [label for label in corpus.labels if label in corpus.offered(utterances)]
    found = {"corpus": corpus.name, "labels": labels} | summarise(utterances, labels)
    if by is not None:
        parts: dict[str, list[Any]] = {}
        for utterance in utterances:
            parts.setdefault(str(getattr(utterance, by)), []).append(utterance)
        found["by"] = {part: summarise(rows, labels) for part, rows in sorted(parts.items())}
    if json:
        print_json(found)
        return
    _print(corpus.title, found)


def _print(title: str, found: dict[str, Any]) -> None:
    votes = found["votes_per_item"]
    note(
        f"{title}: {found['items']} recordings, {found['votes']} votes ({votes['least']} to "
        f"{votes['most']} each) by {found['raters']} raters"
    )
    parts = {"all": found} | found.get("by", {})
    columns = [_figures(part, found["labels"]) for part in parts.values()]
    print_table(
        title,
        ("figure", *parts),
        [(figure, *(column[figure] for column in columns)) for figure in columns[0]],
    )
    print_table(
        f"{title}: share of each label by aggregation",
        ("label", *found["distribution"]),
        [
            (label, *(_percent(shares[label]) for shares in found["distribution"].values()))
            for label in found["labels"]
        ],
    )


def _figures(found: dict[str, Any], labels: Sequence[str]) -> dict[str, str]:
    ceiling, agreement = found["ceiling"], found["agreement"]
    differs = found["differs"]
    return {
        "recordings": str(found["items"]),
        "Krippendorff's alpha": _figure(agreement["krippendorff_alpha"]),
        "Fleiss' kappa": _figure(agreement["fleiss_kappa"]),
        "alpha of intensity": _figure(agreement["krippendorff_alpha_of_intensity"]),
        "all agree": _counted(found["unanimous"]),
        "tied majority": _counted(found["ties"]),
        "majority differs from the group": "-" if differs is None else _counted(differs),
        "ceiling, UA": _percent(ceiling["unweighted_average_recall"]),
        "ceiling, WA": _percent(ceiling["weighted_accuracy"]),
        "ceiling, UA where the others do not tie": _percent(
            ceiling["without_ties"]["unweighted_average_recall"]
        ),
        **{f"ceiling, {label}": _percent(ceiling["recall"][label]) for label in labels},
    }


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _counted(found: dict[str, Any]) -> str:
    return f"{found['n']} ({_percent(found['share'])})"
