"""``ullim run --all-of TAG``: many recipes, one folder each, going on where it stopped."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from ullim.cli.console import StageProgress, note, print_table
from ullim.cli.recipe_options import resolve
from ullim.errors import RecipeError, UllimError
from ullim.features.cache import FeatureStore


@dataclass(frozen=True, slots=True)
class _Outcome:
    name: str
    state: str
    figures: str = ""


def run_all(
    tag: str,
    *,
    protocols: Sequence[str],
    corpora: Sequence[str],
    on: Sequence[str],
    options: Sequence[str],
    seeds: Sequence[int],
    out: Path,
    overrides: Sequence[str],
    profile: str,
    jobs: int,
    store: FeatureStore | None,
) -> None:
    """Run every recipe with a tag under the protocols given, or its own.

    A recipe is passed over, and said so, where a corpus of its is not given. A run that cannot be
    done is told, the others go on, and the command ends with status 1.

    Raises:
        RecipeError: No recipe has the tag, or none can be run with these corpora.
    """
    from ullim.corpora.folders import corpus_folders
    from ullim.recipes import recipe_fields, runner

    given = corpus_folders([*corpora, *on])
    outcomes: list[_Outcome] = []
    work = []
    for name in recipe_fields(tag):
        try:
            recipe, _ = resolve(name, corpora, on, options, overrides=overrides, profile=profile)
        except UllimError as error:
            outcomes.append(_Outcome(name, f"failed: {str(error).splitlines()[0]}"))
            continue
        wanted = [part.name for part in recipe.task.corpora]
        missing = [corpus for corpus in wanted if corpus not in given]
        if missing:
            outcomes.append(_Outcome(name, f"passed over: needs --corpus {missing[0]}=PATH"))
            continue
        own = [protocol.name for protocol in recipe.protocols]
        work += [(name, recipe, wanted, protocol) for protocol in protocols or own]
    if not work:
        names: dict[str, list[str]] = {}
        for outcome in outcomes:
            names.setdefault(outcome.state, []).append(outcome.name)
        lines = "; ".join(f"{', '.join(those)}: {state}" for state, those in names.items())
        raise RecipeError(f"nothing tagged {tag!r} can be run: {lines}", code="nothing_to_run")
    with StageProgress() as progress:
        for done, (name, recipe, wanted, protocol) in enumerate(work):
            progress("runs", done, len(work))
            folder = out / runner.run_name(recipe, protocol, profile)
            pairs = [f"{corpus}={given[corpus]}" for corpus in wanted]
            try:
                metrics = runner.run(
                    recipe,
                    corpora=pairs,
                    protocol=protocol,
                    seeds=seeds,
                    out=folder,
                    command=_command(
                        name,
                        protocol,
                        pairs,
                        bool(on),
                        options,
                        seeds,
                        folder,
                        overrides,
                        profile,
                        jobs,
                    ),
                    profile=profile,
                    jobs=jobs,
                    store=store,
                    report=progress,
                )
            except UllimError as error:
                outcomes.append(_Outcome(folder.name, f"failed: {str(error).splitlines()[0]}"))
                note(f"{folder.name}: {error}")
                continue
            figures = ", ".join(
                f"{corpus} {part['unweighted_average_recall']['value']:.1%}"
                for corpus, part in metrics["corpora"].items()
            )
            outcomes.append(_Outcome(folder.name, "done", figures))
            note(f"{folder.name}: UA {figures}")
        progress("runs", len(work), len(work))
    rows = [(outcome.name, outcome.figures, outcome.state) for outcome in outcomes]
    print_table(f"recipes tagged {tag}", ("run", "UA", "state"), rows)
    if any(outcome.state.startswith("failed") for outcome in outcomes):
        raise typer.Exit(1)


def _command(
    recipe: str,
    protocol: str,
    pairs: Sequence[str],
    instead: bool,
    options: Sequence[str],
    seeds: Sequence[int],
    folder: Path,
    overrides: Sequence[str],
    profile: str,
    jobs: int,
) -> str:
    """Return what does one of the runs alone: that is what a reader repeats."""
    words = ["ullim", "run", recipe, "--protocol", protocol]
    words += [word for pair in pairs for word in ("--on" if instead else "--corpus", pair)]
    words += [word for option in options for word in ("--option", option)]
    words += ["--seeds", ",".join(map(str, seeds))] if list(seeds) != [0] else []
    words += [word for override in overrides for word in ("--set", override)]
    words += ["--profile", profile] if profile != "full" else []
    words += ["--jobs", str(jobs)] if jobs > 1 else []
    return shlex.join([*words, "--out", str(folder)])
