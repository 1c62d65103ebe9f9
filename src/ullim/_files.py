"""Text files that are never half there."""

from __future__ import annotations

from pathlib import Path

from ullim.errors import RecipeError


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises:
        RecipeError: It cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise RecipeError(f"{path} cannot be written: {error}", code="not_written") from error
