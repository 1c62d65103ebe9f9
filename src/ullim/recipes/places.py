"""Places in the file of a recipe: where a mistake stands, and where ``--set`` puts a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from ullim.errors import RecipeError


def problems(error: ValidationError, data: Mapping[str, Any], kind: type[BaseModel]) -> list[str]:
    """Return a line per mistake: its path as it stands in the file, and what is wrong.

    Args:
        error: What pydantic found.
        data: The file.
        kind: What it was held against; a field that it has not is told those it has.
    """
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
        if problem["type"] == "extra_forbidden":
            message = _no_such_field(str(place[-1]), _fields_at(kind, place[:-1]))
        lines.append(f"  {'.'.join(path) or '(top)'}: {message}")
    return lines


def _no_such_field(name: str, fields: Sequence[str]) -> str:
    near = get_close_matches(name, fields, n=1)
    meant = f" Did you mean {near[0]}?" if near else ""
    return f"no such field; there are: {', '.join(fields)}.{meant}"


def _fields_at(kind: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Return the names a mapping there may hold, following alternatives by their names."""
    kinds = [kind]
    for part in location:
        below = [
            found
            for one in kinds
            if part in one.model_fields
            for found in _models_in(one.model_fields[str(part)].annotation)
        ]
        named = [
            one
            for one in kinds
            if "name" in one.model_fields and part == one.model_fields["name"].default
        ]
        kinds = below or named or kinds
    return sorted({name for one in kinds for name in one.model_fields})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for inner in get_args(annotation) for found in _models_in(inner)]


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
