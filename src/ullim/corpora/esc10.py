"""ESC-10, a part of ESC-50: environmental sounds, which a speech model must not answer."""

from __future__ import annotations

from ullim.corpora._esc import Esc
from ullim.types import NO_SPEECH


class Esc10(Esc):
    """ESC-10, the ten-class part of ESC-50 that is licensed CC BY.

    Its owner's five folds keep clips of one source recording together, so a fold stands where
    other corpora have a speaker. The kind of sound is the group.
    """

    name = "esc10"
    title = "ESC-10 (environmental sounds)"
    licence = "CC BY 3.0/4.0 per clip"
    how_to_get = (
        "Free at GitHub, as a part of ESC-50 (about 600 MB): download the repository. The other "
        "forty classes of ESC-50 are CC BY-NC."
    )
    expected_counts = {NO_SPEECH: 400}
    voiced_groups = ("crying_baby",)
    known_defects = (
        "crying_baby is a human voice: leave it out where the question is whether somebody speaks.",
        "Some clips are padded with digital silence.",
    )

    def _is_part(self, row: dict[str, str]) -> bool:
        return row["esc10"] == "True"
