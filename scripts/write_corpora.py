"""Write docs/corpora.md from what the loaders state of themselves.

Usage: python scripts/write_corpora.py [--check]

``--check`` writes nothing and fails where the page is not up to date.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ullim import registry
from ullim.corpora import Corpus
from ullim.corpora.check import known_digests
from ullim.recipes import task_fields, task_paths

PAGE = Path(__file__).resolve().parent.parent / "docs" / "corpora.md"

HEAD = """# Corpora

Written by `python scripts/write_corpora.py` from the loaders in `src/ullim/corpora/`; do not edit.

None of these recordings come with ullim. Where the owner lets everybody fetch a corpus,
`ullim corpora download NAME FOLDER` does so; `ullim corpora check NAME FOLDER` compares a copy with
what the owner publishes, and `ullim corpora stats NAME FOLDER` counts what it holds. A recipe names
a subset that papers use as `task: NAME`; `ullim recipes tasks` lists them.

A model learned from a corpus carries the corpus' licence.
"""


def main() -> int:
    """Write or check the page."""
    text = page()
    if "--check" in sys.argv[1:]:
        stale = not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text
        if stale:
            print("docs/corpora.md is stale: run python scripts/write_corpora.py")
        return int(stale)
    PAGE.write_text(text, encoding="utf-8")
    return 0


def page() -> str:
    """Return the whole page."""
    corpora = ours()
    rows = [
        "| name | corpus | languages | utterances | speakers | licence |",
        "|---|---|---|---|---|---|",
        *(
            f"| [{corpus.name}](#{corpus.name}) | {corpus.title} | {', '.join(corpus.languages)} | "
            f"{_number(corpus, sum(corpus.expected_counts.values()))} | "
            f"{_number(corpus, corpus.expected_speakers)} | "
            f"{corpus.licence} |"
            for corpus in corpora
        ),
    ]
    return "\n".join([HEAD, *rows, "", *(section(corpus) for corpus in corpora)])


def ours() -> list[type[Corpus]]:
    """Return the loaders of this distribution, not those an installed plug-in brings."""
    found = registry.components("corpora").values()
    return [cls for cls in found if cls.__module__.startswith("ullim.")]


def section(corpus: type[Corpus]) -> str:
    """Return what is known of one corpus."""
    counts = ", ".join(f"{label} {n:,}" for label, n in corpus.expected_counts.items())
    speakers = _number(corpus, corpus.expected_speakers)
    total = _number(corpus, sum(corpus.expected_counts.values()))
    if counts:
        total += f" ({counts})"
    lines = [
        f"## {corpus.name}",
        "",
        f"{corpus.title}. <{corpus.homepage}>",
        "",
        f"- Languages: {', '.join(corpus.languages)}. Speakers: {speakers}.",
        f"- Utterances: {total}.",
        f"- Licence: {corpus.licence}.",
        f"- Cite: {corpus.citation}",
        f"- Layout: the folder holds {corpus.layout}.",
    ]
    if corpus.how_to_get:
        lines.append(f"- How to get it: {corpus.how_to_get}")
    for download in corpus.downloads:
        size = "" if download.size_bytes is None else f", {download.size_bytes:,} bytes"
        checksum = download.checksum or "no checksum known"
        lines.append(f"- `ullim corpora download` fetches <{download.url}>{size}, {checksum}.")
    known = len(known_digests(corpus.name))
    if known:
        lines.append(f"- `ullim corpora check` knows the samples of {known:,} recordings.")
    if corpus.model_fields:
        options = ", ".join(f"`{name}`" for name in corpus.model_fields)
        lines.append(f"- Options of reading: {options}.")
    tasks = [task for task in map(task_fields, task_paths()) if corpus.name in parts(task)]
    if tasks:
        lines += ["- Tasks:"]
        lines += [f"  - `{t['name']}` ({t['expected_count']:,}): {t['title']}." for t in tasks]
    if corpus.known_defects:
        lines += ["- Know before trusting a figure on it:"]
        lines += [f"  - {defect}" for defect in corpus.known_defects]
    return "\n".join(lines) + "\n"


def _number(corpus: type[Corpus], number: int | None) -> str:
    if number:
        return f"{number:,}"
    return "as given" if corpus.anyones else "not told"


def parts(task: dict[str, list[dict[str, str]]]) -> set[str]:
    """Return the names of a task's corpora."""
    return {part["name"] for part in task["corpora"]}


if __name__ == "__main__":
    sys.exit(main())
