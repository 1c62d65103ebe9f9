"""Anybody's recordings: rows of text become utterances, and every mistake in them is noted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal

from pydantic import field_validator

from ullim.corpora import Corpus
from ullim.corpora._tables import Problems
from ullim.types import LABELS, LABELS_KO, NO_SPEECH, Gender, Utterance, Vote

OWNER = "owner"
"""Rater of a label whose table does not say who gave it."""

COLUMNS = (
    "id", "file", "start_s", "end_s", "speaker", "session", "gender", "age", "language", "text",
    "sentence_id", "group", "label", "votes", "valence", "arousal", "dominance", "licence",
)  # fmt: skip
_DIMENSIONS = ("valence", "arousal", "dominance")
_GENDERS: dict[str, Gender] = {
    **dict.fromkeys(("female", "f", "woman", "w", "여", "여성"), "female"),
    **dict.fromkeys(("male", "m", "man", "남", "남성"), "male"),
    **dict.fromkeys(("other", "o", "x"), "other"),
}
_SPELLINGS: dict[str, str] = {
    **{name: name for name in (*LABELS, NO_SPEECH)},
    **{korean: name for name, korean in LABELS_KO.items()},
    "happy": "happiness",
    "joy": "happiness",
    "행복": "happiness",
    "sad": "sadness",
    "angry": "anger",
    "분노": "anger",
    "fearful": "fear",
    "disgusted": "disgust",
    "surprised": "surprise",
    "bored": "boredom",
}
_OLDEST = 130.0

Audio = Literal["required", "present", "any"]
"""What to do with rows whose recording is not there: refuse, leave out, or load all the same."""


class AnyonesCorpus(Corpus):
    """A layout for anybody's recordings.

    Labels may be canonical names, common English adjectives (``angry``), or Korean names; anything
    else needs ``label_map``.

    Attributes:
        label_map: The owner's spelling to a canonical label; None leaves recordings so called out.
        offers: Labels a recording could have had; empty for those that occur.
        language: BCP 47 code of rows that state none.
        audio: Rows whose recording is not there are refused, left out (``present``), or loaded all
            the same (``any``).
    """

    anyones = True
    languages = ("und",)
    labels = (*LABELS, NO_SPEECH)
    licence = "as the owner of the recordings states"
    citation = "as the owner of the recordings asks"
    homepage = "https://github.com/ullim/ullim"
    expected_counts: ClassVar[dict[str, int]] = {}
    expected_speakers = None

    label_map: dict[str, str | None] = {}
    offers: tuple[str, ...] = ()
    language: str | None = None
    audio: Audio = "required"

    @field_validator("label_map", "offers")
    @classmethod
    def _canonical(
        cls, given: Mapping[str, str | None] | Sequence[str]
    ) -> Mapping[str, str | None] | Sequence[str]:
        named = given.values() if isinstance(given, Mapping) else given
        unknown = sorted({label for label in named if label is not None} - set(cls.labels))
        if unknown:
            raise ValueError(f"unknown labels {unknown}; there are: {', '.join(cls.labels)}")
        return given

    def offered(self, utterances: Sequence[Utterance]) -> tuple[str, ...]:
        """Return ``offers``, or else the labels that occur, in canonical order."""
        if self.offers:
            return self.offers
        found = {vote.label for utterance in utterances for vote in utterance.votes}
        return tuple(label for label in self.labels if label in found)

    def canonical(self, spelling: str) -> str | None:
        """Return the canonical label of a spelling; None where it is to be left out.

        Raises:
            KeyError: Nothing is known of the spelling.
        """
        if spelling in self.label_map:
            return self.label_map[spelling]
        return _SPELLINGS[spelling.lower()]


class RowReader:
    """Turns the rows of one table into utterances.

    Args:
        corpus: Whose options decide how labels and missing recordings are taken.
        base: The folder that relative paths start from.
        problems: Told of all that is wrong.
        rater: Of the ``label`` column.
    """

    def __init__(
        self, corpus: AnyonesCorpus, base: Path, problems: Problems, *, rater: str = OWNER
    ) -> None:
        self.corpus, self.base, self.problems, self.rater = corpus, base, problems, rater
        self._place, self._n_problems = "", 0
        self._seen: dict[str, str] = {}
        # Rows repeat speakers, groups and votes by the thousand; one object each keeps them small.
        self._texts: dict[str, str] = {}
        self._votes: dict[tuple[str, str], tuple[Vote, ...] | None] = {}

    def read(self, place: str, row: Mapping[str, str]) -> Utterance | None:
        """Return a row's utterance; None where it is wrong or to be left out."""
        self._place = place
        self._n_problems = 0
        file = self._file(row.get("file", ""))
        start_s = self._time("start_s", row) or 0.0
        end_s = self._time("end_s", row)
        if end_s is not None and end_s <= start_s:
            self._wrong("end_before_start", f"end_s {end_s} does not lie after start_s {start_s}")
        votes = self._all_votes(row.get("label", ""), row.get("votes", ""))
        gender = row.get("gender", "")
        if gender and gender.lower() not in _GENDERS:
            self._wrong("unknown_gender", f"gender {gender!r} is none of female, male, other")
        age = self._number("age", row)
        if age is not None and not 0 <= age <= _OLDEST:
            self._wrong("bad_age", f"age {age} does not lie in 0-{_OLDEST:.0f}")
        dimensions = {
            name: value
            for name in _DIMENSIONS
            if name in row and (value := self._number(name, row)) is not None
        }
        identifier = row.get("id", "") or _identifier(row)
        first = self._seen.setdefault(identifier, place)
        if first != place:
            self._wrong("repeated", f"id {identifier!r} is also that of {first}")
        if self._n_problems or votes is None or file is None:
            return None
        return Utterance(
            id=identifier,
            file=file,
            corpus=self.corpus.name,
            speaker=self._text("speaker", row),
            votes=votes,
            start_s=start_s,
            end_s=end_s,
            session=self._text("session", row),
            gender=_GENDERS[gender.lower()] if gender else None,
            age=age,
            language=self._text("language", row) or self.corpus.language,
            text=row.get("text") or None,
            sentence_id=self._text("sentence_id", row),
            group=self._text("group", row),
            dimensions=dimensions,
            licence=self._text("licence", row) or self.corpus.licence,
        )

    def _wrong(self, code: str, message: str) -> None:
        self._n_problems += 1
        self.problems.add(code, message, place=self._place)

    def _text(self, column: str, row: Mapping[str, str]) -> str | None:
        value = row.get(column, "")
        return self._texts.setdefault(value, value) if value else None

    def _number(self, column: str, row: Mapping[str, str]) -> float | None:
        text = row.get(column, "")
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            self._wrong("not_a_number", f"{column} {text!r} is not a number")
            return None
        if not math.isfinite(value):
            self._wrong("not_finite", f"{column} is {text}; leave the cell empty where unknown")
            return None
        return value

    def _time(self, column: str, row: Mapping[str, str]) -> float | None:
        value = self._number(column, row)
        if value is not None and value < 0:
            self._wrong("negative_time", f"{column} {value} lies before the recording")
        return value

    def _file(self, text: str) -> Path | None:
        if not text:
            self._wrong("missing_file", "file is empty")
            return None
        file = self.base / text
        if self.corpus.audio == "any" or is_file(file):
            return file
        if self.corpus.audio == "required":
            self._wrong("missing_file", f"there is no file {text!r} beside the table")
        return None

    def _all_votes(self, label: str, votes: str) -> tuple[Vote, ...] | None:
        """Return a row's votes, the label's first; None where all are to be left out."""
        key = label, votes
        if key in self._votes:
            return self._votes[key]
        before = self._n_problems
        found = []
        if label:
            found.append(self._vote(self.rater, label, ""))
        for part in filter(None, (part.strip() for part in votes.split(";"))):
            rater, *rest = (cell.strip() for cell in part.split(":"))
            if not rater or not rest or not rest[0] or len(rest) > 2:
                self._wrong("bad_votes", f"vote {part!r} is not rater:label or rater:label:number")
                continue
            found.append(self._vote(rater, rest[0], rest[1] if len(rest) == 2 else ""))
        kept = tuple(vote for vote in found if vote is not None)
        raters = [vote.rater for vote in kept]
        if len(set(raters)) < len(raters):
            self._wrong("repeated_rater", f"votes {votes!r} name a rater twice")
        if not found and self._n_problems == before:
            self._wrong("no_label", "label and votes are both empty")
        # A label that leaves the row out does so whatever raters said of it.
        left_out = not kept or (label and found[0] is None)
        if self._n_problems > before:
            return None
        self._votes[key] = None if left_out else kept
        return self._votes[key]

    def _vote(self, rater: str, label: str, intensity: str) -> Vote | None:
        value = self._number("intensity", {"intensity": intensity})
        if value is not None and value < 0:
            self._wrong("negative_intensity", f"intensity {value} of rater {rater!r} is negative")
        try:
            canonical = self.corpus.canonical(label)
        except KeyError:
            self._wrong(
                "unknown_label",
                f"label {label!r} is none of {', '.join(self.corpus.labels)}; name it in label_map",
            )
            return None
        if canonical is None:
            return None
        return Vote(rater, canonical, math.nan if value is None else value)


def is_file(file: Path) -> bool:
    """Return whether there is such a file; a name that no file can have is not there."""
    try:
        return file.is_file()
    except (OSError, ValueError):
        return False


def _identifier(row: Mapping[str, str]) -> str:
    """Return an id for a row without one: its file, and where in it."""
    file = row.get("file", "").replace("\\", "/")
    times = [row[column] for column in ("start_s", "end_s") if row.get(column)]
    return "#".join([file.removesuffix(PurePosixPath(file).suffix), *times])
