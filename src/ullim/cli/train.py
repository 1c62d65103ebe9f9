"""``ullim train``: a recipe and corpora in, a bundle out."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from ullim.cli.console import StageProgress, note
from ullim.cli.recipe_options import (
    Corpus,
    Jobs,
    NoCache,
    On,
    Overrides,
    Profile,
    Reading,
    Recipe,
    require_training,
    resolve,
)


def train(
    recipe: Recipe,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the bundle.")],
    corpus: Corpus = None,
    on: On = None,
    option: Reading = None,
    runs: Annotated[
        list[Path] | None,
        typer.Option(
            "--run",
            help="Finished run folder of this recipe to take figures and the threshold from; "
            "without one, the recipe's first protocol is run first.",
        ),
    ] = None,
    figures: Annotated[
        list[Path] | None,
        typer.Option("--figures", help="Run folder of another recipe whose figures the card adds."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the weights.")] = 0,
    overrides: Overrides = None,
    profile: Profile = "full",
    jobs: Jobs = 1,
    no_cache: NoCache = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing bundle.")] = False,
) -> None:
    """Measure a recipe on held-out speakers, fit it on everything, and write a bundle."""
    require_training()
    from ullim.features.cache import FeatureStore
    from ullim.recipes import ship

    resolved, pairs = resolve(recipe, corpus, on, option, overrides=overrides, profile=profile)
    with StageProgress() as progress:
        folder = ship.train(
            resolved,
            corpora=pairs,
            out=out,
            runs=runs or (),
            figures=figures or (),
            seed=seed,
            command=shlex.join(["ullim", *sys.argv[1:]]),
            profile=profile,
            jobs=jobs,
            store=None if no_cache else FeatureStore(),
            force=force,
            report=progress,
        )
    note(f"bundle written to {folder}; try: ullim predict FILE --model {folder}")
