"""The section of a bundle's card that repeats its audit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ullim
from ullim import bundle
from ullim.audit import text
from ullim.audit.words import say
from ullim.errors import BundleError

HEADING = "## Audit"

_SECTION = re.compile(rf"^{HEADING}[ \t]*\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)


def section(audit: Mapping[str, Any]) -> str:
    """Return the section as Markdown, in English as cards are."""
    parts = [
        HEADING,
        *text.first_lines(audit, "en"),
        text.clean_line(audit, "en"),
        text.tally(audit, "en"),
        text.markdown(text.verdict_table(audit, "en")),
        say("narrow_note", "en"),
        "\n".join(
            f"- {line}"
            for line in [
                *text.gap_lines(audit, "en"),
                *text.asked_lines(audit, "en"),
                f"ullim {audit['ullim']}, {audit['date']}",
            ]
        ),
    ]
    return "\n\n".join(parts) + "\n"


def put(card: str, section: str) -> str:
    r"""Return a card with its section on the audit replaced, or appended.

    >>> put("# A\n\n## Audit\n\nold\n\n## B\n", "## Audit\n\nnew\n")
    '# A\n\n## Audit\n\nnew\n\n## B\n'
    """
    if _SECTION.search(card) is None:
        return f"{card.rstrip()}\n\n{section}"
    found = _SECTION.sub(lambda _: section + "\n", card, count=1)
    return found.rstrip() + "\n"


def check_writable(folder: Path, *, force: bool) -> None:
    """Refuse a bundle whose card must not be rewritten.

    Raises:
        BundleError: It lies inside the installed package and ``force`` is not given, or its folder
            holds files that are not its own.
    """
    package = Path(ullim.__file__).resolve().parent
    if not force and folder.resolve().is_relative_to(package):
        raise BundleError(
            f"{folder} comes with ullim, and its card is not rewritten: copy it with `ullim "
            "models add FOLDER --name NAME` and audit that, or give --force",
            code="shipped",
        )
    own = {bundle.MANIFEST, *bundle.load(folder).manifest.files}
    strange = sorted(path.name for path in folder.iterdir() if path.name not in own)
    if strange:
        raise BundleError(
            f"{folder} holds {', '.join(strange[:5])}, which rewriting the bundle would lose; move "
            "them away first",
            code="strange_files",
        )


def write(folder: Path, audit: Mapping[str, Any], *, force: bool = False) -> None:
    """Put the section on a bundle's card: the whole bundle is written anew, or nothing.

    Raises:
        BundleError: As :func:`check_writable`.
    """
    check_writable(folder, force=force)
    manifest = bundle.load(folder).manifest
    files = {name: (folder / name).read_bytes() for name in manifest.files}
    card = files.pop(bundle.CARD).decode()
    # Resolved, so that a link goes on pointing to the bundle.
    bundle.write(folder.resolve(), manifest, files, put(card, section(audit)), replace=True)
