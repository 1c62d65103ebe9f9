"""Recipes are data: one YAML file per system, read by the models in ``schema``."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def recipe_paths() -> dict[str, Path]:
    """Return the recipes that come with ullim, by name."""
    folder = Path(str(files("ullim.recipes")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
