"""What every protocol is: named folds, and the promises that are checked before anybody trains."""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Sequence
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from ullim.errors import RecipeError
from ullim.types import Utterance

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Fold:
    """Row numbers to train on and to test on.

    A thousand folds of a hundred thousand rows would fill the memory with rows to train on, so
    a fold that trains on all it does not hold out keeps only the latter.

    Attributes:
        name: Unique within the protocol.
        test: Rows to test on.

    >>> fold = Fold.holding_out("1", np.array([1]), 3)
    >>> fold.train.tolist(), fold.test.tolist()
    ([0, 2], [1])
    """

    __slots__ = ("_held_out", "_n_rows", "_train", "name", "test")

    def __init__(self, name: str, train: Rows, test: Rows) -> None:
        self.name = name
        self.test = test
        self._train: Rows | None = train
        self._held_out = test
        self._n_rows = 0

    @classmethod
    def holding_out(cls, name: str, test: Rows, n_rows: int) -> Fold:
        """Return the fold that trains on every other row."""
        fold = cls(name, test, test)
        fold._train, fold._n_rows = None, n_rows
        return fold

    def testing(self, kept: Mask) -> Fold:
        """Return the same fold, tested on those of its rows that a mask over all rows keeps."""
        fold = Fold(self.name, self.test, self.test[kept[self.test]])
        fold._train, fold._n_rows, fold._held_out = self._train, self._n_rows, self._held_out
        return fold

    @property
    def train(self) -> Rows:
        """Rows to train on."""
        if self._train is not None:
            return self._train
        trained = np.ones(self._n_rows, dtype=bool)
        trained[self._held_out] = False
        return np.flatnonzero(trained)

    def __repr__(self) -> str:
        return f"Fold({self.name!r}, train={len(self.train)} rows, test={len(self.test)} rows)"


class ProtocolBase(BaseModel, ABC):
    """A way to split, and what it promises.

    Validation is not the protocol's: a network takes whole speakers out of the rows to train on,
    under every protocol. Where speakers are shared with the test, early stopping is therefore
    still judged by strangers, though the test is not.

    Attributes:
        name: Registry name.
        speaker_independent: Whether no speaker is on both sides; checked on every fold.
        text_independent: Whether no sentence is on both sides; checked on every fold.
        description: One line.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    description: ClassVar[str]

    name: str
    # Left out when written: what a protocol of this name promises needs no repeating.
    speaker_independent: bool = Field(True, exclude=True)
    text_independent: bool = Field(False, exclude=True)

    @abstractmethod
    def _folds(
        self, utterances: Sequence[Utterance], labels: Sequence[str], seed: int
    ) -> list[Fold]: ...

    def folds(
        self, utterances: Sequence[Utterance], labels: Sequence[str], seed: int = 0
    ) -> list[Fold]:
        """Split the rows.

        Args:
            utterances: The rows.
            labels: Label of each row, for protocols that keep its shares.
            seed: Used by protocols that draw.

        Raises:
            RecipeError: The rows do not allow the protocol, or what it promises would not hold;
                the message says which protocols these rows allow.
        """
        if not utterances:
            raise RecipeError(
                f"protocol {self.name} was given no rows to split; load a corpus first",
                code="empty_fold",
            )
        if self.speaker_independent:
            self._require(utterances, "speaker", "the speaker", "no_speaker")
        folds = self._folds(utterances, labels, seed)
        if not folds or any(len(fold.test) == 0 or len(fold.train) == 0 for fold in folds):
            raise self._refusal(
                f"leaves a fold without training or test rows on these {len(utterances)} "
                "utterances",
                "empty_fold",
                utterances,
            )
        if self.speaker_independent:
            self._check(folds, utterances, speaker_keys(utterances), "speakers", "speaker_overlap")
        if self.text_independent:
            self._check(folds, utterances, text_keys(utterances), "sentences", "text_overlap")
        return folds

    def _check(
        self,
        folds: Sequence[Fold],
        utterances: Sequence[Utterance],
        keys: npt.NDArray[np.str_],
        what: str,
        code: str,
    ) -> None:
        names, codes = codes_of(keys.tolist())
        for fold in folds:
            trained, tested = np.zeros((2, len(names)), dtype=bool)
            trained[codes[fold.train]] = True
            tested[codes[fold.test]] = True
            crossing = np.flatnonzero(trained & tested).tolist()
            if crossing:
                shown = ", ".join(names[key] for key in crossing[:10])
                raise self._refusal(
                    f"(fold {fold.name}) has {what} on both sides: {shown}"
                    f"{' …' if len(crossing) > 10 else ''}",
                    code,
                    utterances,
                )
            if what == "speakers" and trained.sum() < 2:
                raise self._refusal(
                    f"(fold {fold.name}) trains on one speaker, which leaves nobody to validate "
                    "on; it needs at least two beside those it tests on",
                    "too_few_speakers",
                    utterances,
                )

    def _require(self, utterances: Sequence[Utterance], field: str, what: str, code: str) -> None:
        lacking = [u.id for u in utterances if not getattr(u, field)]
        if lacking:
            raise self._refusal(
                f"needs {what} of every utterance and {len(lacking)} of {len(utterances)} have "
                f"none (first: {lacking[0]})",
                code,
                utterances,
            )

    def _refusal(self, why: str, code: str, utterances: Sequence[Utterance]) -> RecipeError:
        return RecipeError(f"protocol {self.name} {why}; {workable(utterances)}", code=code)


def workable(utterances: Sequence[Utterance]) -> str:
    """Say which protocols some rows allow.

    >>> workable([])
    'no protocol splits these rows'
    """
    speakers = _different(f"{u.corpus}/{u.speaker}" if u.speaker else None for u in utterances)
    sessions = _different(f"{u.corpus}/{u.session}" if u.session else None for u in utterances)
    corpora = len({u.corpus for u in utterances})
    texts = 0 if any(text_key(u) is None for u in utterances) else len(set(text_keys(utterances)))
    offers = []
    if speakers >= 3:
        fewest = 2 if speakers > 3 else 3  # two speakers are left to train on
        offers += ["leave-one-speaker-out", f"speaker-kfold (n_folds {fewest} to {speakers})"]
    if corpora >= 2:
        offers.append("leave-one-corpus-out")
    if sessions >= 2:
        offers.append("leave-one-session-out (unless sessions share speakers)")
    if texts >= 2:
        offers.append(f"text-disjoint (n_folds 2 to {texts})")
    if len(utterances) >= 2:
        offers.append("random (speakers and texts are shared)")
    return "these rows allow: " + ", ".join(offers) if offers else "no protocol splits these rows"


def _different(keys: Iterable[str | None]) -> int:
    """Return how many there are; 0 where some are not known."""
    found = set(keys)
    return 0 if None in found else len(found)


def speaker_keys(utterances: Sequence[Utterance]) -> npt.NDArray[np.str_]:
    """Return ``corpus/speaker`` of each row; a row without a speaker is a speaker of its own."""
    return np.array([f"{u.corpus}/{u.speaker or '?' + u.id}" for u in utterances], dtype=np.str_)


def text_key(utterance: Utterance) -> str | None:
    """Return what two rows share that say the same words; None where the words are not known.

    It is the sentence's number within the corpus, or else the text without case, punctuation and
    spaces, whatever the corpus.

    >>> from pathlib import Path
    >>> text_key(Utterance("1", Path("1.wav"), "own", "a", (), text="Hello, World!"))
    '=helloworld'
    """
    if utterance.sentence_id:
        return f"{utterance.corpus}/{utterance.sentence_id}"
    if utterance.text:
        return _spoken(utterance.text)
    return None


# Many rows say the same, and every audit asks again.
@lru_cache(maxsize=1 << 16)
def _spoken(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text).casefold()
    return f"={''.join(filter(str.isalnum, plain)) or text.strip()}"


def text_keys(utterances: Sequence[Utterance]) -> npt.NDArray[np.str_]:
    """Return the :func:`text_key` of each row; a row without words has a text of its own."""
    return np.array([text_key(u) or f"{u.corpus}/?{u.id}" for u in utterances], dtype=np.str_)


def codes_of(keys: Iterable[Hashable]) -> tuple[list[Any], Rows]:
    """Return the different keys in order of appearance, and for each row which one it has.

    >>> names, codes = codes_of("abba")
    >>> names, codes.tolist()
    (['a', 'b'], [0, 1, 1, 0])
    """
    numbers: dict[Hashable, int] = {}
    codes = np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)
    return list(numbers), codes


def on_both_sides(codes: Rows, n_codes: int, fold: Fold) -> Mask:
    """Return which codes occur among the rows to train on and among those to test on."""
    trained, tested = np.zeros(n_codes, dtype=bool), np.zeros(n_codes, dtype=bool)
    trained[codes[fold.train]] = True
    tested[codes[fold.test]] = True
    return trained & tested


def one_fold_each(keys: npt.NDArray[Any]) -> list[Fold]:
    """Return a fold for each different key, in their order, that holds out its rows."""
    names, codes = np.unique(keys, return_inverse=True)
    rows = np.argsort(codes, kind="stable")
    parts = np.split(rows, np.cumsum(np.bincount(codes, minlength=len(names)))[:-1])
    return [
        Fold.holding_out(str(name), part, len(keys))
        for name, part in zip(names, parts, strict=True)
    ]
