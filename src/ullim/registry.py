"""Finds corpora, features, augmentations and models: by folder, and by entry point.

A component of ours is a class in a module of ``ullim/<kind>/``; nobody keeps a list. Modules whose
name begins with an underscore hold parts, not components, and are left alone: they may load what
is heavy. A component that is not ours is announced by its own distribution::

    [project.entry-points."ullim.features"]
    my-feature = "my_package:MyFeature"
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Literal

from ullim.errors import UllimError

Kind = Literal["corpora", "features", "augment", "models"]

_NOUNS: dict[Kind, str] = {
    "corpora": "corpus",
    "features": "feature",
    "augment": "augmentation",
    "models": "model",
}

_BASES: dict[Kind, str] = {
    "corpora": "Corpus",
    "features": "Feature",
    "augment": "Augmentation",
    "models": "Model",
}


@cache
def components(kind: Kind) -> dict[str, type[Any]]:
    """Return every component of a kind by its name, sorted.

    >>> {"logmel", "mfcc"} <= components("features").keys()
    True
    """
    package = importlib.import_module(f"ullim.{kind}")
    base = getattr(package, _BASES[kind])
    found: dict[str, type[Any]] = {}
    for module in pkgutil.iter_modules(package.__path__, prefix=f"{package.__name__}."):
        if module.name.rpartition(".")[2].startswith("_"):
            continue
        for _, candidate in inspect.getmembers(
            importlib.import_module(module.name), inspect.isclass
        ):
            if (
                issubclass(candidate, base)
                and not inspect.isabstract(candidate)
                and candidate.__module__ == module.name
                and not candidate.__name__.startswith("_")
            ):
                found[component_name(candidate)] = candidate
    for entry in entry_points(group=f"ullim.{kind}"):
        found[entry.name] = entry.load()
    return dict(sorted(found.items()))


def component(kind: Kind, name: str) -> type[Any]:
    """Return one component by name.

    Raises:
        UllimError: No component of that kind has the name; the message lists those there are.
    """
    known = components(kind)
    if name not in known:
        raise UllimError(
            f"no {_NOUNS[kind]} is called {name!r}; there are: {', '.join(known)}",
            code="unknown_component",
        )
    return known[name]


def component_name(cls: type[Any]) -> str:
    """Return the registry name of a component class: its ``name`` attribute or field default."""
    fields = getattr(cls, "model_fields", {})
    return str(fields["name"].default if "name" in fields else cls.name)
