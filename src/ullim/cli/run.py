"""``ullim run``: a recipe under a protocol."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ullim.cli.console import StageProgress, note, print_table
from ullim.cli.recipe_options import (
    Corpus,
    Jobs,
    NoCache,
    On,
    Overrides,
    Profile,
    Reading,
    parse_seeds,
    require_training,
    resolve,
)
from ullim.errors import RecipeError

AllOf = Annotated[
    str | None,
    typer.Option("--all-of", help="Run every recipe with this tag, each into OUT/RECIPE_PROTOCOL."),
]


def run(
    recipe: Annotated[
        str | None, typer.Argument(help="A name of `ullim recipes list`, or a YAML file.")
    ] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            "--protocol",
            "-p",
            help="A protocol's name, as the recipe states it or with its defaults: emobox, "
            "ravdess-actor-5fold, leave-one-speaker-out, speaker-kfold, leave-one-session-out, "
            "leave-one-corpus-out, text-disjoint, fixed or random. With --all-of several, or none "
            "for each recipe's own.",
        ),
    ] = None,
    all_of: AllOf = None,
    corpus: Corpus = None,
    on: On = None,
    option: Reading = None,
    seeds: Annotated[str, typer.Option(help="One number, a list 0,1,2 or a range 0-4.")] = "0",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Run folder, runs/RECIPE_PROTOCOL by default; with --all-of the folder of them.",
        ),
    ] = None,
    overrides: Overrides = None,
    profile: Profile = "full",
    jobs: Jobs = 1,
    no_cache: NoCache = False,
) -> None:
    """Train and test a recipe under a protocol; a stopped run goes on when typed again."""
    from ullim.recipes import recipe_path

    numbers = parse_seeds(seeds)
    if (recipe is None) == (all_of is None):
        raise RecipeError("give one recipe, or --all-of TAG", code="which_recipe")
    protocols = protocol or []
    if recipe is not None:
        recipe_path(recipe)
    if recipe is not None and len(protocols) != 1:
        raise RecipeError(
            "give one --protocol: how a system is tested decides what its figure means "
            "(`ullim recipes list` shows those a recipe is meant for)",
            code="which_protocol",
        )
    require_training()
    from ullim.features.cache import FeatureStore

    store = None if no_cache else FeatureStore()
    if recipe is None:
        from ullim.cli.run_all import run_all

        run_all(
            str(all_of),
            protocols=protocols,
            corpora=corpus or (),
            on=on or (),
            options=option or (),
            seeds=numbers,
            out=out or Path("runs"),
            overrides=overrides or (),
            profile=profile,
            jobs=jobs,
            store=store,
        )
        return
    from ullim.recipes import runner

    resolved, pairs = resolve(recipe, corpus, on, option, overrides=overrides, profile=profile)
    folder = out or Path("runs") / runner.run_name(resolved, protocols[0], profile)
    with StageProgress() as progress:
        metrics = runner.run(
            resolved,
            corpora=pairs,
            protocol=protocols[0],
            seeds=numbers,
            out=folder,
            command=shlex.join(["ullim", *sys.argv[1:]]),
            profile=profile,
            jobs=jobs,
            store=store,
            report=progress,
        )
    print_metrics(metrics)
    if resolved.model.transductive:
        note("transductive: unlabelled clips of the tested speakers were used")
    note(f"written to {folder}")


def print_metrics(metrics: dict[str, Any]) -> None:
    """Write one line per corpus, and what a reader must know beside it."""

    def interval(figure: dict[str, float]) -> str:
        return f"{figure['value']:.1%} [{figure['low']:.1%}, {figure['high']:.1%}]"

    rows = []
    for corpus, figures in metrics["corpora"].items():
        rows.append(
            (
                corpus,
                figures["n_utterances"],
                figures["n_speakers"],
                interval(figures["unweighted_average_recall"]),
                interval(figures["weighted_accuracy"]),
                interval(figures["macro_f1"]),
                f"{figures['expected_calibration_error']:.3f}",
                f"{figures['baselines']['majority_weighted_accuracy']:.1%}",
            )
        )
        for remark in figures["notes"]:
            note(f"{corpus}: {remark}")
    columns = ("corpus", "n", "speakers", "UA", "WA", "macro-F1", "ECE", "majority WA")
    print_table("95 % intervals over speakers", columns, rows)
    leakage = metrics["leakage"]
    unknown = {
        what: f" (not told for {leakage[key]} rows)" if leakage.get(key) else ""
        for what, key in (("speaker", "rows_without_speaker"), ("text", "rows_without_text"))
    }
    note(
        f"leakage: {len(leakage['speakers_on_both_sides'])} speakers on both "
        f"sides{unknown['speaker']}; "
        f"{leakage['share_of_test_rows_with_trained_sentence']:.0%} of tested rows say a trained "
        f"sentence{unknown['text']}; "
        f"{len(leakage['test_rows_with_trained_recording'])} are trained recordings, "
        f"{len(leakage['test_rows_with_trained_near_duplicate'])} nearly"
    )
