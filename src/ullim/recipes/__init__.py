"""Recipes are data: one YAML file per system, read by the models in ``schema``."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

from ullim.errors import RecipeError


def recipe_paths() -> dict[str, Path]:
    """Return the recipes that come with ullim, by name."""
    folder = Path(str(files("ullim.recipes")))
    return dict(sorted((path.stem, path) for path in folder.glob("*.yaml")))


def recipe_path(source: str | Path) -> Path:
    """Return the file of a recipe: one that comes with ullim, by name, or one's own, by path.

    Raises:
        RecipeError: There is none; the message names those whose names are near.
    """
    known = recipe_paths()
    path = known.get(str(source), Path(source))
    if not path.is_file():
        near = get_close_matches(str(source), known, n=3)
        meant = f"did you mean {' or '.join(near)}? " if near else ""
        raise RecipeError(
            f"no recipe {str(source)!r}: {meant}`ullim recipes list` shows those there are; a YAML "
            "file of one's own is given by its path",
            code="not_found",
        )
    return path


def recipe_fields(tag: str | None = None) -> dict[str, dict[str, Any]]:
    """Return the recipes that come with ullim as they are written, by name.

    Args:
        tag: Only those that carry it; None for all.

    Raises:
        RecipeError: None carries it.

    >>> "default" in recipe_fields()
    True
    """
    import yaml

    every = {
        name: yaml.safe_load(path.read_text(encoding="utf-8"))
        for name, path in recipe_paths().items()
    }
    if tag is None:
        return every
    chosen = {name: fields for name, fields in every.items() if tag in fields.get("tags", ())}
    if not chosen:
        tags = sorted({one for fields in every.values() for one in fields.get("tags", ())})
        raise RecipeError(
            f"no recipe is tagged {tag!r}; there are: {', '.join(tags)}", code="unknown_tag"
        )
    return chosen


def task_paths() -> dict[str, Path]:
    """Return the named tasks that come with ullim: the subsets of corpora that papers use."""
    folder = Path(str(files("ullim.recipes") / "tasks"))
    return dict(sorted((path.stem, path) for path in folder.glob("*.yaml")))


def task_fields(task: Any) -> Any:
    """Return the fields of a task that is given by name; anything else as it is.

    Raises:
        RecipeError: No task has the name.

    >>> task_fields("ravdess-5")["expected_count"]
    960
    """
    if not isinstance(task, str):
        return task
    known = task_paths()
    if task not in known:
        raise RecipeError(
            f"no task is called {task!r}; there are: {', '.join(known)}", code="unknown_task"
        )
    import yaml

    return {"name": task} | yaml.safe_load(known[task].read_text(encoding="utf-8"))
