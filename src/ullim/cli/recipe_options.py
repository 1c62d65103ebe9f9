"""What the commands that take a recipe share: their options, and the recipe these make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

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
Profile = Annotated[
    str,
    typer.Option(
        help="A profile of the recipe (`ullim recipes show NAME`); full is the recipe as it stands."
    ),
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
