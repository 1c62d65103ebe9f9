"""One's own recordings, whose names say what was said, by whom and how."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from ullim.corpora import acted
from ullim.corpora._rows import AnyonesCorpus
from ullim.corpora._tables import Problems
from ullim.types import Gender, Utterance

_FIELDS = ("content", "person", "emotion", "take")
_PART = re.compile(r"\{([^{}]*)\}")


class Recordings(AnyonesCorpus):
    """A folder of acted recordings named by a pattern, as ``1_2_N.wav``.

    A field reaches to the next character of the pattern: in ``{content}_{person}_{emotion}.wav``
    no field may hold ``_``. With a ``/`` in the pattern, it is matched from the folder given;
    without one, in folders below as well.

    Attributes:
        pattern: Names with ``{emotion}``, ``{person}``, and perhaps ``{content}`` and ``{take}``.
        codes: What stands for ``{emotion}`` to a canonical label; None leaves such files out.
        genders: What stands for ``{person}`` to a gender, as far as known.
        sentences: What stands for ``{content}`` to the words that were said, as far as known.
        others: Whether sound files that the pattern does not fit are refused or passed over.
    """

    name = "recordings"
    title = "Own recordings"
    layout = "{content}_{person}_{emotion}.wav, or another pattern"

    pattern: str = "{content}_{person}_{emotion}.wav"
    codes: dict[str, str | None] = Field(
        default={"N": "neutral", "J": "happiness", "S": "sadness", "A": "anger"}, min_length=1
    )
    genders: dict[str, Gender] = {}
    sentences: dict[str, str] = {}
    others: Literal["refuse", "ignore"] = "refuse"

    @field_validator("pattern")
    @classmethod
    def _readable(cls, pattern: str) -> str:
        fields = _PART.findall(pattern)
        if unknown := sorted(set(fields) - set(_FIELDS)):
            raise ValueError(f"unknown fields {unknown}; there are: {', '.join(_FIELDS)}")
        if missing := sorted({"person", "emotion"} - set(fields)):
            raise ValueError(f"lacks {', '.join('{' + name + '}' for name in missing)}")
        if len(set(fields)) < len(fields):
            raise ValueError("names a field twice")
        if "}{" in pattern:
            raise ValueError("two fields touch; put a character between them")
        if not Path(pattern).suffix or "}" in Path(pattern).suffix:
            raise ValueError("ends without a suffix such as .wav")
        return pattern

    @model_validator(mode="after")
    def _codes(self) -> Recordings:
        self._canonical(self.codes)
        return self

    def offered(self, utterances: object) -> tuple[str, ...]:
        """Return ``offers``, or else what the codes stand for."""
        stated = set(self.offers or self.codes.values())
        return tuple(label for label in self.labels if label in stated)

    def _scan(self, path: Path) -> Iterator[Utterance]:
        problems = Problems(self.title, path)
        shape = self._shape()
        suffix = Path(self.pattern).suffix.lower()
        strangers, found = [], 0
        for file in sorted(path.rglob("*")):
            if file.suffix.lower() != suffix or not file.is_file():
                continue
            below = file.relative_to(path).as_posix() if "/" in self.pattern else file.name
            # A Mac writes Hangul names in pieces, and everybody else in syllables.
            below = unicodedata.normalize("NFC", below)
            match = shape.fullmatch(below)
            if match is None:
                strangers.append(below)
                continue
            found += 1
            part = match.groupdict()
            code = part["emotion"]
            if code not in self.codes:
                problems.add(
                    "unknown_label",
                    f"{code!r} is none of the codes {', '.join(self.codes)}; name it in codes",
                    place=below,
                )
                continue
            label = self.codes[code]
            if label is None:
                continue
            yield Utterance(
                id=below[: -len(suffix)],
                file=file,
                corpus=self.name,
                speaker=part["person"],
                votes=acted(label),
                session=part.get("take"),
                gender=self.genders.get(part["person"]),
                language=self.language,
                text=self.sentences.get(part.get("content") or ""),
                sentence_id=part.get("content"),
                licence=self.licence,
            )
        if found and self.others == "refuse":
            for name in strangers:
                problems.add(
                    "unmatched_name",
                    f"is not named {self.pattern}; rename it, move it away, or set others: ignore",
                    place=name,
                )
        problems.refuse()

    def _shape(self) -> re.Pattern[str]:
        """Return the pattern as a regular expression with a group for each field."""
        pieces = _PART.split(self.pattern)
        literals, fields = pieces[0::2], pieces[1::2]
        shape = re.escape(literals[0])
        for field, after in zip(fields, literals[1:], strict=True):
            shape += f"(?P<{field}>[^/{re.escape(after[0])}]+){re.escape(after)}"
        return re.compile(shape, re.IGNORECASE)
