"""Corpora whose labels stand in a table beside the recordings."""

from __future__ import annotations

from pathlib import Path

from ullim.corpora import Corpus
from ullim.corpora._rows import Audio
from ullim.corpora._tables import Problems


class TabledCorpus(Corpus):
    """A corpus whose rows may lack their recording.

    Attributes:
        audio: Rows whose recording is not there are refused, all of them at once (``required``),
            left out (``present``), or loaded all the same (``any``).
    """

    audio: Audio = "required"

    def _left_out(self, file: Path, problems: Problems, place: str) -> bool:
        """Return whether a row is to be left out, since its recording is not there."""
        if self.audio == "any" or file.is_file():
            return False
        if self.audio == "required":
            problems.add(
                "missing_audio",
                f"{file.name} is not in {file.parent}; get it, or read with audio: present",
                place=place,
            )
        return True
