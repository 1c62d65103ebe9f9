"""ESC-10, a part of ESC-50: environmental sounds, which a speech model must not answer."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from ullim.corpora import Corpus, Download, acted
from ullim.errors import CorpusError
from ullim.types import NO_SPEECH, Utterance


class Esc10(Corpus):
    """ESC-10, the ten-class part of ESC-50 that is licensed CC BY.

    Its owner's five folds keep clips of one source recording together, so a fold stands where
    other corpora have a speaker. The kind of sound is the group.
    """

    name = "esc10"
    title = "ESC-10 (environmental sounds)"
    languages = ("zxx",)
    labels = (NO_SPEECH,)
    licence = "CC BY 3.0/4.0 per clip"
    citation = (
        "Piczak KJ (2015). ESC: Dataset for Environmental Sound Classification. ACM Multimedia "
        "2015, 1015-1018. https://doi.org/10.1145/2733373.2806390"
    )
    homepage = "https://github.com/karolpiczak/ESC-50"
    layout = "audio/1-100032-A-0.wav and meta/esc50.csv"
    downloads = (
        Download(
            url="https://github.com/karolpiczak/ESC-50/archive/refs/heads/master.zip",
            file="ESC-50.zip",
        ),
    )
    how_to_get = (
        "Free at GitHub, as a part of ESC-50 (about 600 MB): download the repository. The other "
        "forty classes of ESC-50 are CC BY-NC."
    )
    expected_counts = {NO_SPEECH: 400}
    expected_speakers = 5
    known_defects = (
        "crying_baby is a human voice: leave it out where the question is whether somebody speaks.",
        "Some clips are padded with digital silence.",
    )

    def _scan(self, path: Path) -> Iterator[Utterance]:
        table = path / "meta" / "esc50.csv"
        if not table.is_file():
            return
        with table.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
        if not rows or not {"filename", "fold", "category", "esc10"} <= rows[0].keys():
            raise CorpusError(
                f"{self.title}: {table} lacks the columns filename, fold, category, esc10; "
                f"get it again from {self.homepage}"
            )
        for row in rows:
            file = path / "audio" / row["filename"]
            if row["esc10"] == "True" and file.is_file():
                yield Utterance(
                    id=file.stem,
                    file=file,
                    corpus=self.name,
                    speaker=f"fold-{row['fold']}",
                    votes=acted(NO_SPEECH),
                    group=row["category"],
                    licence=self.licence,
                )
