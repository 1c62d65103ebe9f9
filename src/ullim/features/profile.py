"""What in a voice differs from neutral speech: the cues of one recording against those of others.

The speaker's own neutral recordings are the better measure. Where there are none, the reference is
``neutral_speech.json``: means and spreads of neutral recordings over the speakers of corpora, by
gender, as ``scripts/write_neutral_speech.py`` wrote them. Then what differs between persons is
mixed with what differs between moods.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import numpy as np

from ullim.errors import FeatureError
from ullim.features.cues import MEASURES, VERSION, Cue, Cues, Measure

Degree = Literal["alike", "slight", "clear", "strong"]
Against = Literal["speaker", "reference"]
Who = Literal["any", "female", "male"]

THRESHOLDS: dict[Degree, float] = {"slight": 1.0, "clear": 2.0, "strong": 3.5}
"""From how many spreads on a difference is called slight, clear or strong."""

FEW = 5
"""With fewer neutral recordings than this, their mean is itself uncertain, and the profile says so.
"""


@dataclass(frozen=True, slots=True)
class Difference:
    """One measure of a recording, held against neutral speech.

    Attributes:
        measure: Name of the measure, an attribute of :class:`~ullim.features.cues.Cues`.
        cue: The cue it stands for.
        value: Of the recording.
        neutral: Mean of neutral speech; None where there is nothing to compare with.
        z: Difference in spreads of neutral speech; None where there is nothing to compare with.
        degree: How ``THRESHOLDS`` call the size of ``z``; None where it is None.
    """

    measure: str
    cue: Cue
    value: float
    neutral: float | None
    z: float | None
    degree: Degree | None


@dataclass(frozen=True, slots=True)
class Profile:
    """All measures of a recording against neutral speech.

    Attributes:
        cues: Of the recording.
        differences: One for each measure, in the order of ``MEASURES``.
        against: ``speaker`` for the speaker's own neutral recordings, ``reference`` for the table.
        n_neutral: Recordings, or for the table speakers, that neutral speech is the mean of.
        who: Whose row of the table was used, also as the least spread.
    """

    cues: Cues
    differences: tuple[Difference, ...]
    against: Against
    n_neutral: int
    who: Who

    @property
    def few(self) -> bool:
        """Whether neutral speech is known from so few recordings that its mean is uncertain."""
        return self.against == "speaker" and self.n_neutral < FEW

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "version": VERSION,
            "against": self.against,
            "n_neutral": self.n_neutral,
            "few_neutral": self.few,
            "reference_of": self.who,
            "voiced_s": round(self.cues.voiced_s, 3),
            "differences": [
                {
                    key: round(value, 4) if isinstance(value, float) else value
                    for key, value in asdict(difference).items()
                }
                for difference in self.differences
            ],
        }


@cache
def reference() -> dict[str, Any]:
    """Return the table of neutral speech: how it was made, and statistics by gender and measure.

    >>> reference()["speakers"]["any"]["f0_median_hz"].keys()
    dict_keys(['mean', 'between', 'within'])
    """
    text = files("ullim.features").joinpath("neutral_speech.json").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    if table["version"] != VERSION:
        raise FeatureError(
            f"the table of neutral speech is of version {table['version']} of the measures and "
            f"they are of version {VERSION}: run scripts/write_neutral_speech.py"
        )
    return table


def compare(cues: Cues, neutral: Sequence[Cues] = (), *, who: Who = "any") -> Profile:
    """Hold the cues of a recording against neutral speech.

    With ``n`` neutral recordings of the speaker, ``z`` is the difference from their mean over
    ``s * sqrt(1 + 1/n)``, what a further neutral recording would differ by: ``s`` is their standard
    deviation, and never under the one that speakers of the reference table have among their own
    neutral recordings, for a few alike by chance would make everything a difference. Without, it is
    the difference from the table's mean over the spread between and within its speakers; intensity
    is then left out, because the microphone and its distance decide it.

    Args:
        cues: Of the recording.
        neutral: Of neutral recordings of the same speaker, by the same microphone.
        who: Row of the reference table; ``any`` takes both genders together.

    Raises:
        FeatureError: There is no such row.
    """
    rows = reference()["speakers"]
    if who not in rows:
        raise FeatureError(
            f"neutral speech is known of {', '.join(rows)}, and not of {who!r}", code="bad_gender"
        )
    row = rows[who]
    return Profile(
        cues=cues,
        differences=tuple(
            _against_speaker(measure, cues, neutral, row[measure.name])
            if neutral
            else _against_table(measure, cues, row[measure.name])
            for measure in MEASURES
        ),
        against="speaker" if neutral else "reference",
        n_neutral=len(neutral) or int(reference()["n_speakers"][who]),
        who=who,
    )


def degree(z: float) -> Degree:
    """Return what ``THRESHOLDS`` call a difference.

    >>> degree(0.3), degree(-2.1), degree(9.0)
    ('alike', 'clear', 'strong')
    """
    found: Degree = "alike"
    for name, least in THRESHOLDS.items():
        if abs(z) >= least:
            found = name
    return found


def _against_speaker(
    measure: Measure, cues: Cues, neutral: Sequence[Cues], row: dict[str, float]
) -> Difference:
    values = np.array([measure.of(one) for one in neutral])
    own = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    spread = max(own, row["within"]) * (1.0 + 1.0 / len(values)) ** 0.5
    return _difference(measure, cues, float(values.mean()), spread)


def _against_table(measure: Measure, cues: Cues, row: dict[str, float]) -> Difference:
    if measure.personal:
        value = float(getattr(cues, measure.name))
        return Difference(measure.name, measure.cue, value, None, None, None)
    return _difference(measure, cues, row["mean"], float(np.hypot(row["between"], row["within"])))


def _difference(measure: Measure, cues: Cues, mean: float, spread: float) -> Difference:
    z = (measure.of(cues) - mean) / spread
    value = float(getattr(cues, measure.name))
    return Difference(measure.name, measure.cue, value, measure.unscale(mean), z, degree(z))
