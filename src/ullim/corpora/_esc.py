"""The table and folder that ESC-50 and its part ESC-10 share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path

from ullim.corpora import Corpus, Download, acted
from ullim.corpora._tables import Problems, read_table
from ullim.types import NO_SPEECH, Utterance

VOICED = ("breathing", "coughing", "crying_baby", "laughing", "sneezing", "snoring")
"""Categories that a human throat makes."""


class Esc(Corpus):
    """Environmental sounds in ESC-50's layout.

    Attributes:
        voices: Whether clips of a human voice that does not speak are kept.
    """

    languages = ("zxx",)
    labels = (NO_SPEECH,)
    citation = (
        "Piczak KJ (2015). ESC: Dataset for Environmental Sound Classification. ACM Multimedia "
        "2015, 1015-1018. https://doi.org/10.1145/2733373.2806390"
    )
    homepage = "https://github.com/karolpiczak/ESC-50"
    layout = "audio/1-100032-A-0.wav and meta/esc50.csv"
    # GitHub packs the archive anew for everybody, so there is neither a size nor a checksum.
    downloads = (
        Download(
            url="https://github.com/karolpiczak/ESC-50/archive/refs/heads/master.zip",
            file="ESC-50.zip",
        ),
    )
    expected_speakers = 5

    voices: bool = True

    @abstractmethod
    def _is_part(self, row: dict[str, str]) -> bool: ...

    def _scan(self, path: Path) -> Iterator[Utterance]:
        table = path / "meta" / "esc50.csv"
        if not table.is_file():
            return
        problems = Problems(self.title, table)
        columns = ("filename", "fold", "category", "esc10")
        for _, row in read_table(table, problems, required=columns):
            file = path / "audio" / row["filename"]
            if not self._is_part(row) or not file.is_file():
                continue
            if not self.voices and row["category"] in self.voiced_groups:
                continue
            yield Utterance(
                id=file.stem,
                file=file,
                corpus=self.name,
                speaker=f"fold-{row['fold']}",
                votes=acted(NO_SPEECH),
                group=row["category"],
                licence=self.licence,
            )
        problems.refuse()
