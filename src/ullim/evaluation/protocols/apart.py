"""Protocols that keep speakers, sessions, corpora or sentences apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from ullim.evaluation.protocols.base import (
    Fold,
    ProtocolBase,
    one_fold_each,
    speaker_keys,
    text_key,
    text_keys,
)
from ullim.types import Utterance


class LeaveOneSpeakerOut(ProtocolBase):
    """Each speaker once the test."""

    description = "each speaker once the test, all others trained on"

    name: Literal["leave-one-speaker-out"] = "leave-one-speaker-out"
    speaker_independent: Literal[True] = Field(True, exclude=True)
    text_independent: Literal[False] = Field(False, exclude=True)

    def _folds(
        self, utterances: Sequence[Utterance], labels: Sequence[str], seed: int
    ) -> list[Fold]:
        return one_fold_each(speaker_keys(utterances))


class SpeakerKfold(ProtocolBase):
    """Speakers dealt into folds, corpora and genders spread evenly; rows may come in any order.

    Attributes:
        n_folds: Number of folds.
    """

    description = "speakers dealt into k folds, corpora and genders spread evenly"

    name: Literal["speaker-kfold"] = "speaker-kfold"
    speaker_independent: Literal[True] = Field(True, exclude=True)
    text_independent: Literal[False] = Field(False, exclude=True)
    n_folds: int = Field(5, ge=2)

    def _folds(
        self, utterances: Sequence[Utterance], labels: Sequence[str], seed: int
    ) -> list[Fold]:
        keys = speaker_keys(utterances)
        names, first, codes = np.unique(keys, return_index=True, return_inverse=True)
        if len(names) < self.n_folds:
            raise self._refusal(
                f"with {self.n_folds} folds needs as many speakers and there are {len(names)}; "
                "lower n_folds",
                "too_few_speakers",
                utterances,
            )
        # A corpus that contradicts itself on a speaker's gender must not make the order of rows
        # matter: the last of the genders in the alphabet stands.
        genders = [""] * len(names)
        for code, utterance in zip(codes.tolist(), utterances, strict=True):
            genders[code] = max(genders[code], utterance.gender or "")
        traits = [(utterances[row].corpus, genders[code]) for code, row in enumerate(first)]
        shuffled = np.random.default_rng(seed).permutation(len(names))
        dealt = sorted(shuffled.tolist(), key=lambda code: traits[code])
        fold_of = np.empty(len(names), dtype=np.int64)
        fold_of[dealt] = np.arange(len(names)) % self.n_folds
        return one_fold_each(fold_of[codes] + 1)


class LeaveOneSessionOut(ProtocolBase):
    """Each session once the test, as is the custom where a session has its own speakers.

    Attributes:
        speaker_independent: Whether sessions must not share speakers. Say false to ask how a
            model does on another day of speakers it knows.
    """

    description = "each session once the test; sessions must not share speakers unless told"

    name: Literal["leave-one-session-out"] = "leave-one-session-out"
    text_independent: Literal[False] = Field(False, exclude=True)
    speaker_independent: bool = True

    def _folds(
        self, utterances: Sequence[Utterance], labels: Sequence[str], seed: int
    ) -> list[Fold]:
        self._require(utterances, "session", "the session", "no_session")
        keys = np.array([f"{u.corpus}/{u.session}" for u in utterances])
        if (keys == keys[0]).all():
            raise self._refusal(
                "needs at least two sessions and there is one", "too_few_sessions", utterances
            )
        return one_fold_each(keys)


class LeaveOneCorpusOut(ProtocolBase):
    """Each corpus once the test: other speakers, language, text and room."""

    description = "each corpus once the test, all others trained on"

    name: Literal["leave-one-corpus-out"] = "leave-one-corpus-out"
    speaker_independent: Literal[True] = Field(True, exclude=True)
    text_independent: Literal[False] = Field(False, exclude=True)

    def _folds(
        self, utterances: Sequence[Utterance], labels: Sequence[str], seed: int
    ) -> list[Fold]:
        corpora = np.array([u.corpus for u in utterances])
        if len(set(corpora)) < 2:
            raise self._refusal(
                "needs at least two corpora and there is one (name more with --corpus)",
                "too_few_corpora",
                utterances,
            )
        return one_fold_each(corpora)


class TextDisjoint(ProtocolBase):
    """Sentences dealt into folds of about equal size, so that no words are trained and tested.

    Speakers are on both sides. Rows may come in any order.

    Attributes:
        n_folds: Number of folds.
    """

    description = "sentences dealt into k folds: new words, by speakers that are on both sides"

    name: Literal["text-disjoint"] = "text-disjoint"
    speaker_independent: Literal[False] = Field(False, exclude=True)
    text_independent: Literal[True] = Field(True, exclude=True)
    n_folds: int = Field(2, ge=2)

    def _folds(
        self, utterances: Sequence[Utterance], labels: Sequence[str], seed: int
    ) -> list[Fold]:
        wordless = [u.id for u in utterances if text_key(u) is None]
        if wordless:
            raise self._refusal(
                f"needs the sentence or text of every utterance and {len(wordless)} of "
                f"{len(utterances)} have neither (first: {wordless[0]})",
                "no_text",
                utterances,
            )
        names, codes = np.unique(text_keys(utterances), return_inverse=True)
        if len(names) < self.n_folds:
            raise self._refusal(
                f"with {self.n_folds} folds needs as many sentences and there are {len(names)}; "
                "lower n_folds",
                "too_few_texts",
                utterances,
            )
        sizes = np.bincount(codes)
        shuffled = np.random.default_rng(seed).permutation(len(names))
        # The largest sentence first, each to the fold that has the fewest rows so far.
        fold_of, held = np.empty(len(names), dtype=np.int64), np.zeros(self.n_folds, np.int64)
        for code in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
            fold_of[code] = held.argmin()
            held[held.argmin()] += sizes[code]
        return one_fold_each(fold_of[codes] + 1)
