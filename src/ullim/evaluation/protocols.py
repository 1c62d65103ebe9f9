"""Protocols: who is trained on and who is tested on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from ullim.errors import RecipeError
from ullim.types import Utterance

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """Row numbers to train on and to test on."""

    name: str
    train: Rows
    test: Rows


class _Protocol(BaseModel, ABC):
    """A way to split; ``speaker_independent`` ones are checked to keep every speaker apart."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    speaker_independent: ClassVar[bool] = True
    description: ClassVar[str]

    name: str

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
            RecipeError: The rows do not allow the protocol, or speakers would cross.
        """
        if self.speaker_independent and any(u.speaker is None for u in utterances):
            raise RecipeError(
                f"protocol {self.name} needs the speaker of every utterance and some have none; "
                "use a corpus that states speakers, or protocol random and say so",
                code="no_speaker",
            )
        folds = self._folds(utterances, labels, seed)
        if not folds or any(len(fold.train) == 0 or len(fold.test) == 0 for fold in folds):
            raise RecipeError(
                f"protocol {self.name} leaves a fold without training or test rows on these "
                f"{len(utterances)} utterances; use more speakers or another protocol",
                code="empty_fold",
            )
        speakers = speaker_keys(utterances)
        for fold in folds:
            crossing = set(speakers[fold.train]) & set(speakers[fold.test])
            if self.speaker_independent and crossing:
                raise RecipeError(
                    f"protocol {self.name}, fold {fold.name}: speakers on both sides: "
                    f"{', '.join(sorted(crossing))}",
                    code="speaker_overlap",
                )
        return folds


class Emobox(_Protocol):
    """The speaker folds EmoBox publishes for RAVDESS.

    Reference: Ma et al., EmoBox, Interspeech 2024. Its folds for EMO-DB, TESS and CREMA-D share
    speakers between training and test and are therefore not offered.
    """

    description = "EmoBox's six RAVDESS folds, four test actors each"
    test_speakers: ClassVar[tuple[str, ...]] = (
        "01 11 20 21",
        "04 10 12 14",
        "08 09 19 23",
        "03 05 07 24",
        "02 15 16 18",
        "06 13 17 22",
    )

    name: Literal["emobox"] = "emobox"

    def _folds(
        self, utterances: Sequence[Utterance], labels: Sequence[str], seed: int
    ) -> list[Fold]:
        if {u.corpus for u in utterances} != {"ravdess"}:
            raise RecipeError(
                "protocol emobox is defined for ravdess alone; use speaker-kfold or "
                "leave-one-speaker-out for other corpora",
                code="wrong_corpus",
            )
        speakers = np.array([u.speaker for u in utterances])
        return [
            _fold(str(number), np.isin(speakers, names.split()))
            for number, names in enumerate(self.test_speakers, start=1)
        ]


class LeaveOneSpeakerOut(_Protocol):
    """Each speaker once the test."""

    description = "each speaker once the test, all others trained on"

    name: Literal["leave-one-speaker-out"] = "leave-one-speaker-out"

    def _folds(
        self, utterances: Sequence[Utterance], labels: Sequence[str], seed: int
    ) -> list[Fold]:
        keys = speaker_keys(utterances)
        return [_fold(speaker, keys == speaker) for speaker in np.unique(keys)]


class SpeakerKfold(_Protocol):
    """Speakers dealt into folds, corpora and genders spread evenly.

    Attributes:
        n_folds: Number of folds.
    """

    description = "speakers dealt into k folds, corpora and genders spread evenly"

    name: Literal["speaker-kfold"] = "speaker-kfold"
    n_folds: int = Field(5, ge=2)

    def _folds(
        self, utterances: Sequence[Utterance], labels: Sequence[str], seed: int
    ) -> list[Fold]:
        keys = speaker_keys(utterances)
        traits = {key: (u.corpus, u.gender or "") for key, u in zip(keys, utterances, strict=True)}
        if len(traits) < self.n_folds:
            raise RecipeError(
                f"speaker-kfold with {self.n_folds} folds needs as many speakers and there are "
                f"{len(traits)}; lower n_folds",
                code="too_few_speakers",
            )
        generator = np.random.default_rng(seed)
        shuffled = generator.permutation(sorted(traits))
        dealt = sorted(shuffled, key=lambda key: traits[key])
        fold_of = {key: place % self.n_folds for place, key in enumerate(dealt)}
        numbers = np.array([fold_of[key] for key in keys])
        return [_fold(str(number + 1), numbers == number) for number in range(self.n_folds)]


class RandomSplit(_Protocol):
    """Utterances drawn within each label; speakers are on both sides.

    Attributes:
        test_share: Share of the utterances that are tested on.
    """

    speaker_independent = False
    description = "utterances drawn at random: speakers and texts are on both sides"

    name: Literal["random"] = "random"
    test_share: float = Field(0.3, gt=0.0, lt=1.0)

    def _folds(
        self, utterances: Sequence[Utterance], labels: Sequence[str], seed: int
    ) -> list[Fold]:
        generator = np.random.default_rng(seed)
        kinds = np.array(list(labels))
        test = np.zeros(len(kinds), dtype=bool)
        for kind in np.unique(kinds):
            rows = generator.permutation(np.flatnonzero(kinds == kind))
            test[rows[: round(self.test_share * len(rows))]] = True
        return [_fold("1", test)]


class LeaveOneCorpusOut(_Protocol):
    """Each corpus once the test: other speakers, language, text and room."""

    description = "each corpus once the test, all others trained on"

    name: Literal["leave-one-corpus-out"] = "leave-one-corpus-out"

    def _folds(
        self, utterances: Sequence[Utterance], labels: Sequence[str], seed: int
    ) -> list[Fold]:
        corpora = np.array([u.corpus for u in utterances])
        if len(set(corpora)) < 2:
            raise RecipeError(
                "leave-one-corpus-out needs at least two corpora; name more with --corpus",
                code="too_few_corpora",
            )
        return [_fold(corpus, corpora == corpus) for corpus in np.unique(corpora)]


Protocol = Annotated[
    Emobox | LeaveOneSpeakerOut | SpeakerKfold | RandomSplit | LeaveOneCorpusOut,
    Field(discriminator="name"),
]

PROTOCOLS: dict[str, type[_Protocol]] = {
    str(protocol.model_fields["name"].default): protocol
    for protocol in (Emobox, LeaveOneSpeakerOut, SpeakerKfold, RandomSplit, LeaveOneCorpusOut)
}


def speaker_keys(utterances: Sequence[Utterance]) -> npt.NDArray[np.str_]:
    """Return ``corpus/speaker`` of each row; a row without a speaker is a speaker of its own."""
    return np.array([f"{u.corpus}/{u.speaker or '?' + u.id}" for u in utterances])


def _fold(name: str, test: npt.NDArray[np.bool_]) -> Fold:
    return Fold(name, np.flatnonzero(~test), np.flatnonzero(test))
