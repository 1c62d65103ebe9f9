"""What a finished run may say on the card of a bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ullim import bundle
from ullim.errors import RecipeError
from ullim.recipes.card import SHARED
from ullim.recipes.folder import feature_versions
from ullim.recipes.schema import Recipe, load_recipe
from ullim.registry import component


def check_finished(folder: Path, recipe: Recipe) -> None:
    """Refuse a run that is not at its end, or whose figures no card may state.

    Args:
        folder: The run folder.
        recipe: What is to be shipped.

    Raises:
        RecipeError: It lacks a file, shares speakers where the recipe's own protocol does not, or
            used the other clips of tested speakers.
    """
    needed = ("run.json", "recipe.yaml", "metrics.json", "predictions.csv")
    if not all((folder / name).is_file() for name in needed):
        raise RecipeError(
            f"{folder} is no finished run folder; finish it with `ullim run` first",
            code="not_found",
        )
    details = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    own = recipe.protocols[0].name
    # Where a recipe's own protocol shares speakers, the card says so beside the figure.
    if not details["speaker_independent"] and details["protocol"]["name"] != own:
        raise RecipeError(
            f"{folder} was run under {details['protocol']['name']}, which shares speakers between "
            "training and test; a card states only speaker-independent figures",
            code="speaker_overlap",
        )
    _check_alone(details, folder)


def _check_alone(details: dict[str, Any], folder: Path) -> None:
    if details.get("transductive"):
        raise RecipeError(
            f"{folder} is transductive: it used the unlabelled clips of tested speakers, and a "
            "bundle answers one clip. Leave it out, and `ullim train` runs the recipe without them",
            code="transductive",
        )


def check_run(folder: Path, recipe: Recipe, audio_hash: str, rows_hash: str) -> None:
    """Refuse a run that is not of this recipe on these recordings.

    Args:
        folder: The run folder.
        recipe: What is to be shipped.
        audio_hash: Hash of the recordings it is fitted on.
        rows_hash: Hash of their labels and speakers; runs from before it was kept are taken.

    Raises:
        RecipeError: Its recipe, versions of features, recordings or their labels are others.
    """
    details = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    if load_recipe(folder / "recipe.yaml").identity() != recipe.identity():
        raise RecipeError(
            f"{folder} was run with another recipe than {recipe.name}; its figures would not be "
            "this bundle's. Run it again, or give it as --figures",
            code="other_run",
        )
    if details.get("feature_versions") not in (None, feature_versions(recipe)):
        raise RecipeError(
            f"{folder} was run with other versions of its features; run it again", code="other_run"
        )
    if details["audio_hash"] != audio_hash:
        raise RecipeError(
            f"{folder} was run on other recordings than those given now; run it again",
            code="other_run",
        )
    if details.get("rows_hash") not in (None, rows_hash):
        raise RecipeError(
            f"{folder} was run with other labels, speakers or utterances than these recordings "
            "have now; run it again",
            code="other_run",
        )


def figures_of(folder: Path) -> list[bundle.Figure]:
    """Return the figures of a run as a bundle states them."""
    details = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    found = []
    for name, figures in metrics["corpora"].items():
        common = {
            "corpus": name,
            "protocol": details["protocol"]["name"]
            + ("" if details["speaker_independent"] else SHARED),
            "n": figures.get("n_utterances", figures["n"]),
            "n_speakers": figures["n_speakers"],
            "labels": [
                label for label in figures["labels"] if label not in figures["absent_labels"]
            ],
            "command": details["command"],
        }
        parts = [
            {"metric": metric} | figures[metric]
            for metric in ("unweighted_average_recall", "weighted_accuracy")
        ]
        # Where the words of a part give the label away, the rest is the figure to trust.
        revealing = component("corpora", name).revealing_groups
        parts += [
            {"corpus": f"{name}, only {group}", "metric": "unweighted_average_recall"}
            | {key: value for key, value in part.items() if key != "absent_labels"}
            | {"labels": [x for x in figures["labels"] if x not in part["absent_labels"]]}
            for group, part in figures["unweighted_average_recall_by_group"].items()
            if revealing and group not in revealing
        ]
        found += [bundle.Figure.model_validate(common | part) for part in parts]
    return found
