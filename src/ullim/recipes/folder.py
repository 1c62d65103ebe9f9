"""The folder of a run: whose it is, and what it notes."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ullim._files import write_text
from ullim.errors import RecipeError
from ullim.recipes.schema import Recipe, load_recipe


def claim(out: Path, recipe: Recipe, facts: dict[str, Any]) -> None:
    """Take a folder for a run, or go on with the same run in it.

    Raises:
        RecipeError: It holds another run, or something else.
    """
    held, stated = out / "recipe.yaml", out / "plan.json"
    if held.is_file() and stated.is_file():
        same = load_recipe(held).identity() == recipe.identity()
        plan = json.loads(stated.read_text(encoding="utf-8"))
        for name in ("precision", *_HASHED):
            plan.pop(name, None)
        _check_versions(out, plan.pop("feature_versions", None), recipe)
        if not same or plan != json.loads(to_json(facts)):
            raise RecipeError(
                f"{out} holds a run with another recipe, protocol, seeds or corpora; give another "
                "--out, or remove that folder",
                code="other_run",
            )
        return
    if out.is_dir() and any(out.iterdir()):
        raise RecipeError(f"{out} is not empty and holds no run; give another --out")
    (out / "folds").mkdir(parents=True, exist_ok=True)
    write_text(stated, to_json(facts))
    write_text(held, recipe.to_yaml())


def feature_versions(recipe: Recipe) -> dict[str, str]:
    """Return the versions of what turns recordings into numbers, by name."""
    features = {feature.name: feature.version for feature in recipe.features}
    return features | {change.name: change.version for change in recipe.augmentation}


def _check_versions(out: Path, began: dict[str, str] | None, recipe: Recipe) -> None:
    now = feature_versions(recipe)
    if began in (None, now):
        return
    changed = [
        f"{name} {began.get(name)} -> {now[name]}" for name in now if began.get(name) != now[name]
    ]
    raise RecipeError(
        f"{out} was begun with other versions of its features ({', '.join(changed)}), whose folds "
        "do not mix; give another --out",
        code="other_versions",
    )


def claim_precision(out: Path, now: str | None) -> dict[str, str]:
    """Hold a folder to the precision its networks began in, so that folds of two never mix.

    Args:
        out: The run folder.
        now: Precision of the networks that are still to be fitted; None where none is.

    Returns:
        What the run says of it; nothing where no network was fitted or nobody wrote it down.

    Raises:
        RecipeError: It began with another.
    """
    stated, finished = out / "plan.json", out / "run.json"
    plan = json.loads(stated.read_text(encoding="utf-8"))
    began: str | None = plan.get("precision")
    if began is None and finished.is_file():
        # From before plans held it: it stands before the command where somebody set it.
        command = json.loads(finished.read_text(encoding="utf-8"))["command"]
        told = re.match(r"(?:ULLIM_\w+=\S+ )*?ULLIM_PRECISION=(\S+) ", command)
        began = told[1] if told else None
    if began and now and began != now:
        raise RecipeError(
            f"{out} was begun in precision {began} and would go on in {now}, whose folds do not "
            f"mix; set ULLIM_PRECISION={began}, or give another --out",
            code="other_precision",
        )
    precision = began or now
    if precision is None:
        return {}
    held = {"precision": precision}
    write_text(stated, to_json(plan | held))
    return held


_HASHED = {
    "audio_hash": (
        "other_recordings",
        "other recordings than those given now",
        "give the corpora it began with",
    ),
    "rows_hash": (
        "other_rows",
        "other labels, speakers or utterances than these recordings have now",
        "put back what was changed",
    ),
    "folds_hash": (
        "other_folds",
        "others to train and to test on than there are now",
        "put back what was changed",
    ),
}


def claim_rows(out: Path, hashes: dict[str, str], versions: dict[str, Any]) -> None:
    """Hold a folder to the rows it began with, so that folds of two corpora never mix.

    Args:
        out: The run folder.
        hashes: ``audio_hash`` of the recordings, ``rows_hash`` of their labels and speakers,
            ``folds_hash`` of who is trained and tested on.
        versions: Versions of the features, written down beside them.

    Raises:
        RecipeError: It began with others. What a folder did not write down yet is not asked for.
    """
    stated, finished = out / "plan.json", out / "run.json"
    plan = json.loads(stated.read_text(encoding="utf-8"))
    began = json.loads(finished.read_text(encoding="utf-8")) if finished.is_file() else {}
    began |= plan
    for name, now in hashes.items():
        then = began.get(name)
        if then not in (None, now):
            code, others, mend = _HASHED[name]
            raise RecipeError(
                f"{out} was begun with {others} (hash {then[:12]} there, {now[:12]} here); {mend}, "
                "or give another --out",
                code=code,
            )
    write_text(stated, to_json(plan | versions | hashes))


def log(out: Path, line: str) -> None:
    """Add a line to the log of a run, with the time."""
    with (out / "log.txt").open("a", encoding="utf-8") as file:
        file.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {line}\n")


def to_json(value: Any) -> str:
    """Return a value as the files of a run hold it."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
