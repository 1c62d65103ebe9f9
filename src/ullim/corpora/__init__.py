"""Corpora: each module turns one owner's layout into a table of utterances."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from ullim.errors import CorpusError
from ullim.types import Utterance, Vote

ACTOR = "actor"
"""Rater of an acted corpus: the label is what the speaker was asked to act."""


@dataclass(frozen=True, slots=True)
class Download:
    """One file that the owner lets everybody fetch.

    Attributes:
        url: Where the owner keeps it.
        file: Name it is kept under; a ``.zip`` is unpacked.
        size_bytes: Its size; None where the owner makes it anew for everybody.
        checksum: ``md5:...`` or ``sha256:...`` as the owner publishes it; None where there is none,
            or we know none.
        folder: Folder below the corpus' own that a ``.zip`` is unpacked to; empty for that itself.
    """

    url: str
    file: str
    size_bytes: int | None = None
    checksum: str | None = None
    folder: str = ""


class Corpus(BaseModel, ABC):
    """One corpus in the layout its owner publishes.

    A subclass states the facts below and writes ``_scan``. Its pydantic fields, if it has any, are
    options of reading (a name pattern, a column); a recipe gives them beside the corpus' name.

    Attributes:
        name: Registry name.
        title: Name in the literature.
        languages: BCP 47 codes.
        labels: Canonical labels the corpus offers.
        licence: Licence as the owner states it.
        citation: How to cite it.
        homepage: Where its owner publishes it.
        expected_counts: Utterances per label (of the first vote) in the complete corpus.
        expected_speakers: Speakers in the complete corpus; None where its owner does not tell.
        known_defects: What a user must know before trusting a figure on it.
        revealing_groups: Groups whose words alone give the label away.
        voiced_groups: Groups in which a human voice is heard although nobody speaks.
        anyones: Whether this is a layout for anybody's recordings and not one published corpus;
            then nothing can be expected of counts, speakers, licence or citation.
        file_suffixes: Suffixes of files that ``load`` takes in place of a folder.
        layout: A path or two, as the owner's archive unpacks.
        downloads: What ``ullim corpora download`` may fetch; empty where the owner wants to be
            asked first.
        how_to_get: Steps for a person: what to fetch or whom to ask, and what else to know; empty
            for a layout for anybody's recordings.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    title: ClassVar[str]
    languages: ClassVar[tuple[str, ...]]
    labels: ClassVar[tuple[str, ...]]
    licence: ClassVar[str]
    citation: ClassVar[str]
    homepage: ClassVar[str]
    expected_counts: ClassVar[dict[str, int]]
    expected_speakers: ClassVar[int | None]
    known_defects: ClassVar[tuple[str, ...]] = ()
    revealing_groups: ClassVar[tuple[str, ...]] = ()
    voiced_groups: ClassVar[tuple[str, ...]] = ()
    anyones: ClassVar[bool] = False
    file_suffixes: ClassVar[tuple[str, ...]] = ()
    layout: ClassVar[str]
    downloads: ClassVar[tuple[Download, ...]] = ()
    how_to_get: ClassVar[str] = ""

    @abstractmethod
    def _scan(self, path: Path) -> Iterable[Utterance]: ...

    def offered(self, utterances: Sequence[Utterance]) -> tuple[str, ...]:
        """Return the labels a recording of this corpus could have had.

        Args:
            utterances: What was loaded; a published corpus does not need to look.
        """
        return self.labels

    def load(self, path: str | Path) -> list[Utterance]:
        """Return the utterances found under a folder, sorted by id.

        Args:
            path: The folder the owner's archive unpacks to.

        Raises:
            CorpusError: There is no such folder, or nothing of this corpus in it.
        """
        path = Path(path).expanduser()
        if not path.is_dir() and not (path.is_file() and path.suffix.lower() in self.file_suffixes):
            files = ", ".join(self.file_suffixes)
            wanted = f"a folder or a file {files}" if files else "a folder"
            raise CorpusError(
                f"{self.title}: {path} is not {wanted}; give the folder that holds {self.layout} "
                f"({self._source()})",
                code="not_found",
            )
        utterances = sorted(self._scan(path), key=lambda utterance: utterance.id)
        if not utterances:
            raise CorpusError(
                f"{self.title}: nothing under {path} is laid out as {self.layout}; give the folder "
                f"that is, as the archive unpacks ({self._source()})",
                code="empty",
            )
        repeated = [i for i, n in Counter(u.id for u in utterances).items() if n > 1]
        if repeated:
            raise CorpusError(
                f"{self.title}: the same recording lies twice under {path}: "
                f"{', '.join(repeated[:5])}; keep one copy",
                code="repeated",
            )
        return utterances

    def _source(self) -> str:
        """Return where an error sends whoever gave another folder."""
        if self.anyones:
            return f"other names are options of reading: ullim corpora show {self.name}"
        return f"get the corpus from {self.homepage}"


def acted(label: str) -> tuple[Vote, ...]:
    """Return the one vote of an acted utterance.

    >>> acted("anger")[0].label
    'anger'
    """
    return (Vote(ACTOR, label),)
