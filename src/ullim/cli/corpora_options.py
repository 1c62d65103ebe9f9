"""What the verbs of ``ullim corpora`` take in common, and how a corpus is read by options."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer

if TYPE_CHECKING:
    from ullim.corpora import Corpus

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="A name of `ullim corpora list`.")]
Place = Annotated[
    Path, typer.Argument(help="The folder the owner's archive unpacks to, or a table of your own.")
]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="KEY=VALUE",
        help="How to read it (`ullim corpora show NAME` lists them); may be repeated.",
    ),
]

_ENTRY = re.compile(r"    (?P<name>[a-z_]+): (?P<text>.+)")


def read_as(name: str, options: Sequence[str] | None = None) -> Corpus:
    """Return a corpus that is read by some options.

    Args:
        name: Of the corpus.
        options: ``KEY=VALUE`` each; the value is YAML.

    Raises:
        UllimError: There is no such corpus, or it has no such option.
    """
    from pydantic import ValidationError

    from ullim import registry
    from ullim.errors import UllimError

    cls = registry.component("corpora", name)
    try:
        corpus: Corpus = cls(**dict(map(_parsed, options or ())))
    except ValidationError as error:
        problems = "; ".join(_told(problem) for problem in error.errors())
        raise UllimError(
            f"options of {name}: {problems}; it has: {', '.join(cls.model_fields) or 'none'}",
            code="bad_option",
        ) from error
    return corpus


def options_of(names: Sequence[str], options: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return how some corpora are read, by name.

    Args:
        names: Of the corpora.
        options: ``KEY=VALUE`` each where there is one corpus, else ``NAME.KEY=VALUE``.

    Raises:
        UllimError: An option is for none of them, or the corpus has no such option.
    """
    from ullim.errors import UllimError

    said: dict[str, list[str]] = {}
    for option in options:
        name, dot, rest = option.partition("=")[0].partition(".")
        if not dot and len(names) == 1:
            said.setdefault(names[0], []).append(option)
        elif dot and rest and name in names:
            said.setdefault(name, []).append(option.removeprefix(f"{name}."))
        else:
            raise UllimError(
                f"--option {option}: say of which corpus, as NAME.KEY=VALUE with NAME one of: "
                f"{', '.join(names)}",
                code="bad_option",
            )
    return {
        name: read_as(name, given).model_dump(exclude_unset=True) for name, given in said.items()
    }


def described(cls: type[Corpus]) -> list[dict[str, Any]]:
    """Return the options of a corpus: ``name``, ``takes``, ``default`` and ``about``."""
    about: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        about |= _attributes(base.__dict__.get("__doc__") or "")
    return [
        {
            "name": name,
            "takes": _takes(field.annotation),
            "default": field.get_default(call_default_factory=True),
            "about": about.get(name, ""),
        }
        for name, field in cls.model_fields.items()
    ]


def as_yaml(value: Any) -> str:
    """Return a value as ``--option`` takes it.

    >>> as_yaml({"N": "neutral"}), as_yaml(None), as_yaml("any")
    ('{N: neutral}', 'null', 'any')
    """
    import yaml

    plain = list(value) if isinstance(value, tuple) else value
    text: str = yaml.safe_dump(
        plain, default_flow_style=True, allow_unicode=True, sort_keys=False, width=10**6
    )
    return text.removesuffix("\n").removesuffix("\n...")


def _parsed(option: str) -> tuple[str, Any]:
    import yaml

    from ullim.errors import UllimError

    key, equals, value = option.partition("=")
    if not equals or not key:
        raise UllimError(f"--option takes KEY=VALUE and was given {option!r}", code="bad_option")
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UllimError(f"--option {key}: {value!r} is no YAML", code="bad_option") from error


def _told(problem: Any) -> str:
    where = ".".join(map(str, problem["loc"])) or "together"
    if problem["type"] == "extra_forbidden":
        return f"{where} is none of them"
    return f"{where}: {problem['msg'].removeprefix('Value error, ')}"


def _attributes(doc: str) -> dict[str, str]:
    """Return what the ``Attributes`` of a docstring say, by name, in words of YAML."""
    found: dict[str, str] = {}
    name = None
    _, _, section = inspect.cleandoc(doc).partition("Attributes:\n")
    for line in section.splitlines():
        entry = _ENTRY.fullmatch(line)
        if entry:
            name = entry["name"]
            found[name] = entry["text"]
        elif name and line.startswith("        "):
            found[name] += f" {line.strip()}"
        else:
            break
    return {name: text.replace("``", "").replace("None", "null") for name, text in found.items()}


def _takes(annotation: Any) -> str:
    """Return what a field takes, in words of YAML."""
    if annotation is bool:
        return "true or false"
    if annotation is type(None):
        return "null"
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(map(str, inside))
    if annotation is dict or origin is dict:
        return "a mapping"
    if origin in (tuple, list):
        return "a list"
    if inside:
        return " or ".join(map(_takes, inside))
    return {str: "text", int: "a number", float: "a number"}.get(annotation, "text")
