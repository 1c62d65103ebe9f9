"""ESC-50: environmental sounds of fifty kinds, which a speech model must not answer."""

from __future__ import annotations

from ullim.corpora._esc import VOICED, Esc
from ullim.types import NO_SPEECH


class Esc50(Esc):
    """ESC-50, forty clips of each of fifty kinds of sound.

    As in ESC-10, a fold stands for the speaker and the kind of sound is the group. Do not use both:
    ESC-10 is a part of this.
    """

    name = "esc50"
    title = "ESC-50 (environmental sounds)"
    licence = "CC BY-NC 3.0; the part ESC-10 CC BY"
    how_to_get = (
        "Free at GitHub (about 600 MB): download the repository. Not for commercial use, but for "
        "the ten classes of esc10."
    )
    expected_counts = {NO_SPEECH: 2000}
    voiced_groups = VOICED
    known_defects = (
        f"{', '.join(VOICED)} come from a human throat (option voices: false leaves them out).",
        "Some clips are padded with digital silence.",
    )

    def _is_part(self, row: dict[str, str]) -> bool:
        return True
