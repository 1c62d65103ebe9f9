"""Where corpora lie, as users type it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ullim.errors import CorpusError


def corpus_folder(pair: str, *, option: str = "--corpus") -> tuple[str, Path]:
    """Read a ``NAME=PATH`` text; a path may begin with ``~``.

    Raises:
        CorpusError: It is not of that form; the message names the option.

    >>> corpus_folder("emodb=data/emodb")[0]
    'emodb'
    """
    name, _, path = pair.partition("=")
    if not name or not path:
        raise CorpusError(
            f"{option} takes NAME=PATH, for example ravdess=~/corpora/ravdess, and was given "
            f"{pair!r}",
            code="bad_corpus",
        )
    return name, Path(path).expanduser()


def corpus_folders(pairs: Sequence[str], *, option: str = "--corpus") -> dict[str, Path]:
    """Read several ``NAME=PATH`` texts.

    Raises:
        CorpusError: One is not of that form, or a name is given twice.
    """
    found: dict[str, Path] = {}
    for pair in pairs:
        name, folder = corpus_folder(pair, option=option)
        if found.setdefault(name, folder) != folder:
            raise CorpusError(
                f"{option} names {name} twice, as {found[name]} and as {folder}; give each corpus "
                "once",
                code="bad_corpus",
            )
    return found
