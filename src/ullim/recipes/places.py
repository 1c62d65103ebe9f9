"""Places in the file of a recipe: where a mistake stands, and where ``--set`` puts a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ullim.errors import RecipeError


def problems(error: ValidationError, data: Mapping[str, Any]) -> list[str]:
    """Return a line per mistake: its path as it stands in the file, and what is wrong."""
    found = error.errors()
    places = [problem["loc"] for problem in found]
    lines = []
    for problem, place in zip(found, places, strict=True):
        path = _path_in(place, data)
        below = any(other[: len(place)] == place and len(other) > len(place) for other in places)
        # A sequence with a wrong item is also told too short, which says nothing more.
        if problem["type"] == "too_short" and below:
            continue
        message = problem["msg"].removeprefix("Value error, ")
        lines.append(f"  {'.'.join(path) or '(top)'}: {message}")
    return lines


def _path_in(location: tuple[int | str, ...], data: Any) -> tuple[str, ...]:
    """Drop the parts that name an alternative of a union instead of a place in the file."""
    if location[:2] == ("features", 0) and "feature" in data:
        location = ("feature", *location[2:])
    path: list[str] = []
    node = data
    for place, part in enumerate(location):
        last = place == len(location) - 1
        if isinstance(node, Mapping) and part not in node and part == node.get("name"):
            continue
        if isinstance(node, Mapping) and (part in node or last):
            node = node.get(part)
        elif isinstance(node, list | tuple) and isinstance(part, int) and part < len(node):
            node = node[part]
        else:
            continue
        path.append(str(part))
    return tuple(path)


def put(data: dict[str, Any], key: str, value: Any) -> None:
    """Put a value at a dotted key.

    Raises:
        RecipeError: The key leads into a value.
    """
    *parents, last = key.split(".")
    node: Any = data
    for part in parents:
        if isinstance(node, list) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
            continue
        if not isinstance(node, dict):
            raise RecipeError(f"--set {key}: {part!r} lies inside a value", code="bad_override")
        if node.get(part) is None:
            node[part] = {}
        node = node[part]
    if isinstance(node, list) and last.isdigit() and int(last) < len(node):
        node[int(last)] = value
    elif isinstance(node, dict):
        node[last] = value
    else:
        raise RecipeError(f"--set {key}: {last!r} lies inside a value", code="bad_override")
