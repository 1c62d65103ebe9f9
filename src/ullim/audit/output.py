"""Writes an audit's folder: ``audit.json``, ``audit.md`` and pictures, whole or not at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ullim.audit import text
from ullim.audit.words import Lang
from ullim.bundle import swap
from ullim.errors import MissingExtraError, UllimError

PAGE = "audit.md"
DATA = "audit.json"
_PICTURES = tuple(f"{name}.{kind}" for name in ("robustness", "groups") for kind in ("png", "svg"))


def check_target(folder: Path) -> None:
    """Refuse a folder that holds anything but an earlier audit.

    Raises:
        UllimError: It does.
    """
    if not folder.exists():
        return
    own = {PAGE, DATA, *_PICTURES}
    if not folder.is_dir() or any(path.name not in own for path in folder.iterdir()):
        raise UllimError(
            f"{folder} holds other things than an audit and is left alone; give another --out",
            code="exists",
        )


def write(folder: Path, audit: Mapping[str, Any], lang: Lang) -> list[str]:
    """Write the folder; an earlier audit there is replaced.

    Returns:
        Names of the pictures; empty where matplotlib is not installed.

    Raises:
        UllimError: As :func:`check_target`.
    """
    check_target(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        # A temporary folder is private; an audit is to be read like any other file.
        part.chmod(0o755)
        data = json.dumps(audit, indent=2, ensure_ascii=False)
        (part / DATA).write_text(data + "\n", encoding="utf-8")
        pictures = _draw(part, audit, lang)
        shown = [name for name in pictures if name.endswith(".svg")]
        (part / PAGE).write_text(text.page(audit, lang, shown), encoding="utf-8")
        swap(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return pictures


def _draw(folder: Path, audit: Mapping[str, Any], lang: Lang) -> list[str]:
    try:
        from ullim.audit import pictures
    except MissingExtraError:
        return []
    return pictures.draw(folder, audit, lang)
