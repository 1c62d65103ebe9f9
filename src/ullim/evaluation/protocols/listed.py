"""Protocols whose folds somebody wrote down: in a paper, or in a file."""

from __future__ import annotations

import csv
import json
from abc import ABC
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ullim._files import write_text
from ullim.errors import RecipeError
from ullim.evaluation.protocols.base import Fold, ProtocolBase, Rows
from ullim.types import Utterance

_SHOWN = 5


class _RavdessActors(ProtocolBase, ABC):
    """Folds of RAVDESS by their test actors."""

    test_speakers: ClassVar[tuple[str, ...]]

    def _folds(
        self, utterances: Sequence[Utterance], labels: Sequence[str], seed: int
    ) -> list[Fold]:
        if {u.corpus for u in utterances} != {"ravdess"}:
            raise self._refusal(
                "is defined for ravdess alone, whose actors it lists", "wrong_corpus", utterances
            )
        speakers = np.array([u.speaker for u in utterances])
        listed = " ".join(self.test_speakers).split()
        stray = sorted(set(speakers) - set(listed))
        if stray:
            raise self._refusal(
                f"lists the 24 actors of RAVDESS and there are others: {', '.join(stray)}",
                "unknown_speaker",
                utterances,
            )
        tests = [np.flatnonzero(np.isin(speakers, names.split())) for names in self.test_speakers]
        if not all(map(len, tests)):
            raise self._refusal(
                "leaves a fold without training or test rows: it needs actors "
                f"{', '.join(sorted(set(listed) - set(speakers)))}, which are not there",
                "empty_fold",
                utterances,
            )
        return [
            Fold.holding_out(str(number), test, len(utterances))
            for number, test in enumerate(tests, start=1)
        ]


class Emobox(_RavdessActors):
    """The speaker folds EmoBox publishes for RAVDESS.

    Reference: Ma et al., EmoBox, Interspeech 2024. Its folds for EMO-DB, TESS and CREMA-D share
    speakers between training and test and are therefore not offered.
    """

    description = "EmoBox's six RAVDESS folds, four test actors each"
    test_speakers = (
        "01 11 20 21",
        "04 10 12 14",
        "08 09 19 23",
        "03 05 07 24",
        "02 15 16 18",
        "06 13 17 22",
    )

    name: Literal["emobox"] = "emobox"
    speaker_independent: Literal[True] = Field(True, exclude=True)
    text_independent: Literal[False] = Field(False, exclude=True)


class RavdessActorKfold(_RavdessActors):
    """The five folds of actors that several papers on RAVDESS share.

    Reference: Luna-Jiménez et al., Multimodal emotion recognition on RAVDESS dataset using
    transfer learning, Sensors 21(22), 2021.
    """

    description = "the five RAVDESS folds by actor of several papers, four or five test actors each"
    test_speakers = (
        "02 05 14 15 16",
        "03 06 07 13 18",
        "10 11 12 19 20",
        "08 17 21 23 24",
        "01 04 09 22",
    )

    name: Literal["ravdess-actor-5fold"] = "ravdess-actor-5fold"
    speaker_independent: Literal[True] = Field(True, exclude=True)
    text_independent: Literal[False] = Field(False, exclude=True)


def _as_text(value: object) -> object:
    # YAML and JSON read a speaker "07" without quotes as the number 7: refuse to guess.
    if isinstance(value, int | float):
        raise ValueError(f"write {value!r} in quotes: names are texts")
    return value


_Name = Annotated[str, BeforeValidator(_as_text)]


class _ListedFold(BaseModel):
    """One fold of a file."""

    model_config = ConfigDict(extra="forbid")

    name: _Name | None = None
    test_ids: list[_Name] = []
    test_speakers: list[_Name] = []
    train_ids: list[_Name] | None = None
    train_speakers: list[_Name] | None = None


class _ListedFolds(BaseModel):
    model_config = ConfigDict(extra="forbid")

    folds: list[_ListedFold]


class FixedFolds(ProtocolBase):
    """Folds read from a file.

    JSON: ``{"folds": [{"name": "1", "test_ids": [...], "test_speakers": [...], "train_ids": [...],
    "train_speakers": [...]}]}``; all but one of the test lists may be left out, and without a
    train list all other rows are trained on. CSV: a header with ``fold`` and ``id`` or
    ``speaker``, and if wanted ``part`` (``test``, which it is without, or ``train``). An id or a
    speaker may be written ``corpus/name``, and must where two corpora have the name.

    Attributes:
        file: Path of the file.
        speaker_independent: Whether the lists claim to keep speakers apart; checked.
        text_independent: Whether the lists claim to keep sentences apart; checked.
        strict: Whether names that the rows do not have, and rows that are nowhere listed, are
            errors. Say false where the task leaves out labels that the list has.
    """

    description = "folds from a JSON or CSV file of utterances or speakers"

    name: Literal["fixed"] = "fixed"
    file: Path
    speaker_independent: bool = True
    text_independent: bool = False
    strict: bool = True

    def _folds(
        self, utterances: Sequence[Utterance], labels: Sequence[str], seed: int
    ) -> list[Fold]:
        listed = _read(self.file.expanduser())
        book = _Book(utterances)
        problems = [
            f"two folds are called {name}"
            for name, n in Counter(fold.name for fold in listed).items()
            if n > 1
        ]
        folds, tested, named = [], np.zeros(len(utterances), np.int64), np.zeros(0, np.int64)
        for fold in listed:
            where = f"fold {fold.name}"
            test = book.rows(fold.test_ids, fold.test_speakers, f"{where}, test")
            tested[test] += 1
            if fold.train_ids is None and fold.train_speakers is None:
                folds.append(Fold.holding_out(str(fold.name), test, len(utterances)))
                named = np.concatenate([named, test])
                continue
            train = book.rows(fold.train_ids or [], fold.train_speakers or [], f"{where}, train")
            both = np.intersect1d(train, test)
            if len(both):
                problems.append(
                    f"{where}: in train and test: {_some(map(book.name, both.tolist()))}"
                )
            folds.append(Fold(str(fold.name), train, test))
            named = np.concatenate([named, test, train])
        problems += book.twice + book.ambiguous
        again = np.flatnonzero(tested > 1)
        if len(again):
            problems.append(
                f"tested in more than one fold: {_some(map(book.name, again.tolist()))}"
            )
        if self.strict:
            problems += book.unknown
            nowhere = np.setdiff1d(np.arange(len(utterances)), named)
            one_without_train = len(listed) == 1 and listed[0].train_ids is None
            if len(nowhere) and not (one_without_train and listed[0].train_speakers is None):
                problems.append(f"listed nowhere: {_some(map(book.name, nowhere.tolist()))}")
        if problems:
            hint = (
                "; `strict: false` allows names that are not there and rows listed nowhere"
                if self.strict
                else ""
            )
            raise RecipeError(
                f"protocol fixed: {self.file} does not fit these {len(utterances)} utterances"
                f"{hint}:\n  " + "\n  ".join(problems),
                code="bad_folds",
            )
        return folds


class _Book:
    """Finds rows by name, and keeps account of what it could not find."""

    def __init__(self, utterances: Sequence[Utterance]) -> None:
        self._utterances = utterances
        self._ids: dict[str, list[int]] = {}
        self._speakers: dict[str, dict[str, list[int]]] = {}
        for row, u in enumerate(utterances):
            self._ids.setdefault(u.id, []).append(row)
            self._ids.setdefault(f"{u.corpus}/{u.id}", []).append(row)
            if u.speaker is not None:
                for name in (u.speaker, f"{u.corpus}/{u.speaker}"):
                    self._speakers.setdefault(name, {}).setdefault(u.corpus, []).append(row)
        self.unknown: list[str] = []
        self.twice: list[str] = []
        self.ambiguous: list[str] = []

    def name(self, row: int) -> str:
        utterance = self._utterances[row]
        return f"{utterance.corpus}/{utterance.id}"

    def rows(self, ids: Sequence[str], speakers: Sequence[str], where: str) -> Rows:
        found: list[int] = []
        unknown = [f"id {name}" for name in ids if name not in self._ids]
        unknown += [f"speaker {name}" for name in speakers if name not in self._speakers]
        ambiguous = [f"id {name}" for name in ids if len(self._ids.get(name, [])) > 1]
        ambiguous += [f"speaker {n}" for n in speakers if len(self._speakers.get(n, {})) > 1]
        for name in ids:
            found += self._ids.get(name, [])
        for name in speakers:
            for spoken in self._speakers.get(name, {}).values():
                found += spoken
        rows, times = np.unique(np.array(found, dtype=np.int64), return_counts=True)
        if unknown:
            self.unknown.append(f"{where}: unknown: {_some(unknown)}")
        if ambiguous:
            self.ambiguous.append(
                f"{where}: in several corpora, write corpus/name: {_some(ambiguous)}"
            )
        if (times > 1).any():
            self.twice.append(
                f"{where}: listed twice: {_some(map(self.name, rows[times > 1].tolist()))}"
            )
        return rows


def _some(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return ", ".join(every[:_SHOWN]) + more


def _read(file: Path) -> list[_ListedFold]:
    try:
        text = file.read_text(encoding="utf-8-sig")
        stated = json.loads(text) if file.suffix.lower() == ".json" else _from_csv(text)
        folds = _ListedFolds.model_validate(stated).folds
    except (OSError, ValueError) as error:
        why = str(error)
        if isinstance(error, ValidationError):
            why = "; ".join(
                f"{'.'.join(map(str, p['loc']))}: {p['msg'].removeprefix('Value error, ')}"
                for p in error.errors()[:_SHOWN]
            )
        raise RecipeError(
            f"protocol fixed cannot read {file}: {why}; it takes JSON with folds, or CSV with the "
            "columns fold and id or speaker",
            code="bad_folds",
        ) from error
    for number, fold in enumerate(folds, start=1):
        fold.name = fold.name or str(number)
    return folds


def _from_csv(text: str) -> dict[str, Any]:
    reader = csv.DictReader(text.splitlines())
    columns = set(reader.fieldnames or ())
    if "fold" not in columns or not columns & {"id", "speaker"}:
        raise ValueError(f"its columns are {', '.join(sorted(columns)) or 'none'}")
    folds: dict[str, dict[str, Any]] = {}
    for line in reader:
        part, fold = (line.get("part") or "test").strip(), (line["fold"] or "").strip()
        if part not in {"test", "train"} or not fold:
            raise ValueError(f"line {reader.line_num}: fold is {fold!r} and part {part!r}")
        held = folds.setdefault(fold, {"name": fold})
        for column in ("id", "speaker"):
            if line.get(column):
                held.setdefault(f"{part}_{column}s", []).append(line[column].strip())
    return {"folds": list(folds.values())}


def write_folds(file: Path, utterances: Sequence[Utterance], folds: Sequence[Fold]) -> None:
    """Write folds as a JSON file that the protocol ``fixed`` reads."""

    def names(rows: Iterable[int]) -> list[str]:
        return [f"{utterances[row].corpus}/{utterances[row].id}" for row in rows]

    stated = [
        {"name": fold.name, "test_ids": names(fold.test), "train_ids": names(fold.train)}
        for fold in folds
    ]
    write_text(file, json.dumps({"folds": stated}, indent=1, ensure_ascii=False) + "\n")
