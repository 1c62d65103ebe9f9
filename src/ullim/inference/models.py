"""Named bundles: those that come with ullim, and those in the user's own folder."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from platformdirs import user_data_path

from ullim import bundle
from ullim.errors import BundleError

DEFAULT = "default"
_SHIPPED = Path(__file__).parent.parent / "data" / "models"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def user_folder() -> Path:
    """Return the folder ``ullim models add`` copies to."""
    return user_data_path("ullim", appauthor=False) / "models"


def names() -> dict[str, Path]:
    """Return the folder of every named bundle; a user's own hides a shipped one of its name."""
    found: dict[str, Path] = {}
    for root in (_SHIPPED, user_folder()):
        if root.is_dir():
            found |= {
                path.name: path
                for path in sorted(root.iterdir())
                if not path.name.startswith(".") and (path / bundle.MANIFEST).is_file()
            }
    return found


def find(model: str | Path | None) -> Path:
    """Return a bundle's folder by name or path; None means the default bundle.

    Raises:
        BundleError: There is neither such a name nor such a folder.
    """
    wanted = DEFAULT if model is None else model
    known = names()
    if str(wanted) in known:
        return known[str(wanted)]
    path = Path(wanted).expanduser()
    if (path / bundle.MANIFEST).is_file():
        return path
    raise BundleError(
        f"no model {str(wanted)!r}: give the folder of a bundle, or one of the names "
        f"{', '.join(known) or '(none installed)'}",
        code="not_found",
    )


def add(folder: Path, name: str | None = None) -> Path:
    """Copy a bundle into the user's folder under a name, after checking it.

    Raises:
        BundleError: It is no sound bundle, or the name is taken or unusable.
    """
    checked = bundle.load(folder)
    name = name or folder.resolve().name
    if not _NAME.fullmatch(name):
        raise BundleError(
            f"{name!r} cannot name a model: use letters, digits, dot, dash and underscore",
            code="bad_name",
        )
    target = user_folder() / name
    if target.exists():
        raise BundleError(
            f"there is a model {name!r} already; `ullim models remove {name}` removes it, or give "
            "--name",
            code="exists",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        for file in (bundle.MANIFEST, *checked.manifest.files):
            shutil.copyfile(folder / file, part / file)
        part.replace(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return target


def remove(name: str) -> Path:
    """Remove a bundle of the user's own.

    Raises:
        BundleError: The user has none of that name; shipped ones cannot be removed.
    """
    target = user_folder() / name
    if not _NAME.fullmatch(name) or not (target / bundle.MANIFEST).is_file():
        shipped = name in names()
        raise BundleError(
            f"{name!r} comes with ullim and stays"
            if shipped
            else f"there is no model {name!r} in {user_folder()}",
            code="not_found",
        )
    shutil.rmtree(target)
    return target
