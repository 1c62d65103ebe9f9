"""``ullim run``: a recipe under a protocol."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ullim.cli.console import StageProgress, note, print_table
from ullim.errors import MissingExtraError, RecipeError

if TYPE_CHECKING:
    from ullim.recipes.schema import Recipe as ResolvedRecipe

Recipe = Annotated[str, typer.Argument(help="A name of `ullim recipes list`, or a YAML file.")]
Corpus = Annotated[
    list[str] | None, typer.Option("--corpus", "-c", help="NAME=PATH; once for each corpus.")
]
On = Annotated[
    list[str] | None,
    typer.Option(
        "--on",
        help="NAME=PATH of recordings to fit and test on instead of the recipe's corpora, with "
        "the labels they carry: recordings, manifest, hf_audio (a folder for each emotion), ...",
    ),
]
Reading = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="[NAME.]KEY=VALUE",
        help="How to read what --on names, such as columns={file: wav, label: mood} "
        "(`ullim corpora show NAME` lists them); may be repeated.",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="dotted.key=value over the recipe, e.g. training.epochs=5."),
]
Profile = Annotated[str, typer.Option(help="Profile of the recipe: full or cpu.")]
AllOf = Annotated[
    str | None,
    typer.Option("--all-of", help="Run every recipe with this tag, each into OUT/RECIPE_PROTOCOL."),
]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Folds fitted at the same time.")]
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Compute all features anew, and keep none.")
]


def parse_seeds(text: str) -> list[int]:
    """Read ``0``, ``0,1,2`` or ``0-4``.

    >>> parse_seeds("0-2,7")
    [0, 1, 2, 7]
    """
    seeds: list[int] = []
    try:
        for part in text.split(","):
            first, dash, last = part.partition("-")
            seeds.extend(range(int(first), int(last) + 1) if dash else [int(first)])
    except ValueError:
        seeds = []
    if not seeds or min(seeds) < 0 or len(set(seeds)) != len(seeds):
        raise RecipeError(
            f"--seeds takes different whole numbers such as 0, 0,1,2 or 0-4, and was given "
            f"{text!r}",
            code="bad_seeds",
        )
    return seeds


def require_training() -> None:
    """Raise the error that names the pip line where training cannot be imported."""
    try:
        import joblib  # noqa: F401
        import lightning  # noqa: F401
        import pandas  # noqa: F401
        import sklearn  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("training", extra="train") from error


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
    numbers = parse_seeds(seeds)
    if (recipe is None) == (all_of is None):
        raise RecipeError("give one recipe, or --all-of TAG", code="which_recipe")
    protocols = protocol or []
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


def resolve(
    recipe: str,
    corpora: Sequence[str] | None,
    on: Sequence[str] | None,
    options: Sequence[str] | None = None,
    *,
    overrides: Sequence[str] | None,
    profile: str,
) -> tuple[ResolvedRecipe, Sequence[str]]:
    """Return a recipe as the options make it, and ``NAME=PATH`` of the corpora it is fitted on.

    Raises:
        UllimError: There is no such recipe, it is wrong, both kinds of corpora are given, or the
            options are wrong or for corpora that the recipe names itself.
    """
    from ullim.cli.corpora_options import options_of
    from ullim.corpora.folders import corpus_folders
    from ullim.recipes.own import on_recordings
    from ullim.recipes.schema import load_recipe

    resolved = load_recipe(recipe, overrides=overrides or (), profile=profile)
    if not on:
        if options:
            raise RecipeError(
                "--option says how to read what --on names; a recipe's own corpora take "
                f"--set task.corpora.0.options.{options[0]}",
                code="which_corpora",
            )
        return resolved, corpora or ()
    if corpora:
        raise RecipeError(
            "--corpus gives the recipe its own corpora and --on others instead; give one of them",
            code="which_corpora",
        )
    fixed = ("task", "protocols", "bundle", "status", "reported", "measured")
    for override in overrides or ():
        key = override.partition("=")[0]
        if key.partition(".")[0] in fixed and not key.startswith("task.corpora."):
            raise RecipeError(
                f"--set {key} cannot stand beside --on, which takes labels and protocol from the "
                "recordings; for other ones copy the recipe (`ullim recipes show`) and name the "
                "corpus in it",
                code="bad_override",
            )
    reading = options_of(list(corpus_folders(on, option="--on")), options or ())
    return on_recordings(resolved, on, reading), on


def print_metrics(metrics: dict[str, Any]) -> None:
    """Write one line per corpus, and what a reader must know beside it."""

    def interval(figure: dict[str, float]) -> str:
        return f"{figure['value']:.1%} [{figure['low']:.1%}, {figure['high']:.1%}]"

    rows = []
    for corpus, figures in metrics["corpora"].items():
        rows.append(
            (
                corpus,
                figures["n"],
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
