"""Write docs/features.md from the features themselves.

Usage: python scripts/write_features.py [--check]

What a feature is, its unit, its parameters and its reference are read from the class and its
docstring; times are those kept in benchmarks/feature_times.csv, and a feature without one of its
version shows none. ``--check`` writes nothing and fails where the page is not up to date.
"""

from __future__ import annotations

import csv
import inspect
import re
import sys
from pathlib import Path
from typing import Any

from ullim.features import Feature
from ullim.registry import components

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "features.md"
TIMES = ROOT / "benchmarks" / "feature_times.csv"

HEAD = """# Features

<!-- Written by scripts/write_features.py from the code; edit the docstrings there. -->

Each is computed from mono samples at `sampling_rate`, gives float32 `(frames, values)`, and is
named in a recipe, in a bundle and on the command line by the name below:

    ullim features extract FILE --feature logmel --set n_mels=40 --out logmel.npy

A feature at level *frame* gives one row every hop; one at level *clip* gives a single row. Name,
version and parameters together are its identity: they key what is kept on disk
(`ullim features cache show`) and stand in every bundle. The version changes when the same
parameters would give other numbers. Times are of three seconds of speech with the defaults, on
{where}: `python benchmarks/feature_times.py --write`.
"""


def sections(cls: type[Any]) -> dict[str, str]:
    """Return the parts of a class's own docstring: text, attributes, reference, differs."""
    parts: dict[str, list[str]] = {"text": []}
    into = "text"
    for line in inspect.cleandoc(cls.__doc__ or "").splitlines():
        start = re.match(r"(Attributes|Reference|Differs):\s*(.*)", line)
        if start:
            into = start[1].lower()
            parts[into] = [start[2]] if start[2] else []
        elif line.startswith(">>>"):
            into = "example"
            parts.setdefault(into, []).append(line)
        else:
            parts.setdefault(into, []).append(line)
    return {name: "\n".join(lines).strip("\n") for name, lines in parts.items()}


def attributes(cls: type[Any]) -> dict[str, str]:
    """Return what each parameter is, also those of the classes it is made from."""
    known: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not issubclass(base, Feature):
            continue
        text = inspect.cleandoc(sections(base).get("attributes", ""))
        for entry in re.split(r"\n(?=\S)", text):
            name, colon, meaning = entry.partition(":")
            if colon:
                known[name.strip()] = " ".join(meaning.split())
    return known


def allowed(field: Any) -> str:
    """Return the values a parameter takes, in short."""
    words = []
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    for limit in field.metadata:
        for key, sign in signs.items():
            if hasattr(limit, key):
                words.append(f"{sign} {getattr(limit, key):g}")
    choices = re.findall(r"Literal\[([^\]]*)\]", str(field.annotation))
    if choices:
        words.append(choices[0].replace("'", "`").replace(", ", " "))
    return ", ".join(words)


def plain(value: Any) -> str:
    """Return a default as a recipe writes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(map(str, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def code(text: str) -> str:
    """Return docstring text as Markdown: its code marks and its tables."""

    def table(found: re.Match[str]) -> str:
        rows = [re.split(r"\s{2,}", line.strip()) for line in found[1].splitlines()]
        lines = [f"| {' | '.join(row)} |" for row in rows]
        return "\n".join(["|" + " |" * len(rows[0]), "|" + "---|" * len(rows[0]), *lines])

    text = re.sub(r"^=+ +=+[= ]*\n(.*?)\n=+ +=+[= ]*$", table, text, flags=re.M | re.S)
    return re.sub(r"``([^`]+)``", r"`\1`", text)


def shape(cls: type[Feature]) -> str:
    """Return what one row holds."""
    if cls.needs():
        return "as the weights say"
    feature = cls()
    inner = " x ".join(map(str, feature.item_shape))
    return inner if len(feature.item_shape) > 1 else str(feature.n_features)


def section(name: str, cls: type[Any]) -> str:
    """Return the text of one feature."""
    parts = sections(cls)
    lines = [f"## `{name}`", "", code(parts["text"]), ""]
    every = f", every {1000 * cls().hop_s:g} ms" if cls.level == "frame" else ""
    lines += [
        f"Version {cls.version}; level {cls.level}{every}; values in a row: "
        f"{shape(cls)}; unit: {cls.unit or 'not stated'}.",
        "",
        "| parameter | default | allowed | |",
        "|---|---|---|---|",
    ]
    meanings = attributes(cls)
    for field_name, field in cls.model_fields.items():
        if field_name == "name":
            continue
        meaning = code(meanings.get(field_name, ""))
        default = "required" if field.is_required() else f"`{plain(field.default)}`"
        lines.append(f"| `{field_name}` | {default} | {allowed(field)} | {meaning} |")
    for part in ("reference", "differs"):
        if part in parts:
            lines += ["", f"{part.capitalize()}: {code(' '.join(parts[part].split()))}"]
    return "\n".join(lines) + "\n"


def times() -> tuple[str, dict[tuple[str, str], str]]:
    """Return where the times were taken, and milliseconds by name and version."""
    where, *lines = TIMES.read_text(encoding="utf-8").splitlines()
    rows = csv.DictReader(lines)
    return where.lstrip("# "), {(r["name"], r["version"]): r["milliseconds"] for r in rows}


def page() -> str:
    """Return the whole page."""
    where, taken_ms = times()
    features = {
        name: cls
        for name, cls in components("features").items()
        if cls.__module__.startswith("ullim.")
    }
    table = ["| name | level | values | unit | ms per 3 s |", "|---|---|---|---|---|"]
    for name, cls in features.items():
        table.append(
            f"| [`{name}`](#{name}) | {cls.level} | {shape(cls)} | {cls.unit or 'not stated'} | "
            f"{taken_ms.get((name, cls.version), '')} |"
        )
    head = HEAD.replace("{where}", where)
    return "\n".join([head, *table, "", *(section(name, cls) for name, cls in features.items())])


def main() -> int:
    """Write the page, or say whether it is up to date."""
    text = page().rstrip("\n") + "\n"
    if "--check" in sys.argv[1:]:
        if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
            return 0
        print("docs/features.md is not up to date: python scripts/write_features.py")
        return 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
