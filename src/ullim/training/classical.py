"""The estimator around a classical model: choose, standardise, fit, calibrate, export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin

from ullim.decision import item_means
from ullim.errors import NotFittedError, TrainingError
from ullim.models import NEVER, Classical
from ullim.training.calibration import fit_temperature
from ullim.training.classifier import (
    Features,
    Graph,
    Matrix,
    softmax,
    target_matrix,
)
from ullim.training.export_classical import PROBABILITY_FLOOR, Frame, classical_to_onnx
from ullim.training.inner import inner_folds, masked_recall, speakers_of
from ullim.training.rows import Rows, Standard
from ullim.training.speakers import HistogramEqualizer, SpeakerStandardizer

_NORMALISERS = {"z-score": SpeakerStandardizer, "histogram": HistogramEqualizer}


class ClassicalClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Fits a classical model on one vector per window of a clip.

    Where the model wants it, vectors are standardised by the training rows. Each window of a clip,
    and each augmented view of it, is a row with its share of the clip's weight.

    Attributes:
        model: Parameters.
        classes: Label of each target column; needed only where ``y`` is a matrix.
        seed: Decides the inner folds and whatever chance the model uses.
        alone: Whether each clip is answered without the others of its speaker, as a bundle has to,
            where the model would normalise by speaker.

    After ``fit``: ``classes_``, ``setting_`` (the one chosen), ``choice_`` (UA of each on inner
    folds; empty where there was nothing to choose or calibrate), ``temperature_``,
    ``standard_`` (None where rows are taken as they are), ``normaliser_`` (None for none),
    ``fitted_``.

    >>> from ullim.models.linear import LogisticRegression
    >>> from ullim.types import Ragged
    >>> vectors = Ragged.from_items([np.full((1, 2), i % 2, np.float32) for i in range(12)])
    >>> labels, speakers = ["neutral", "anger"] * 6, [f"s{i // 4}" for i in range(12)]
    >>> classifier = ClassicalClassifier(LogisticRegression())
    >>> classifier.fit({"mine": vectors}, labels, groups=speakers).predict({"mine": vectors})[:2]
    array(['neutral', 'anger'], dtype='<U7')
    """

    def __init__(
        self,
        model: Classical,
        classes: Sequence[str] | None = None,
        seed: int = 0,
        alone: bool = False,
    ) -> None:
        self.model = model
        self.classes = classes
        self.seed = seed
        self.alone = alone

    def fit(
        self,
        X: Features,
        y: Sequence[str] | Matrix,
        groups: Sequence[str] | None = None,
        views: Sequence[Features] = (),
    ) -> Self:
        """Choose a setting on inner folds of speakers, then fit on every row.

        The choice is made on clean clips alone, which decide alike and take a fraction of the time.

        Args:
            X: Features by name, one item per clip, which holds a vector for each of its windows.
            y: A label per row, or a (rows, classes) matrix of shares in which NaN marks a class
                the row's corpus never offers.
            groups: Speaker of each row; inner folds part speakers.
            views: The same rows augmented.

        Raises:
            TrainingError: Rows, labels and groups do not fit together.
        """
        clean = Rows.of_vectors(X)
        self.features_ = tuple(X)
        self.classes_, targets = target_matrix(y, clean.n_items, self.classes)
        augmented = [Rows.of_vectors(view) for view in views]
        if any(view.n_items != clean.n_items for view in augmented):
            raise TrainingError("every view must hold the same rows as X")
        speakers = speakers_of(groups, clean.n_items)
        self.setting_, self.choice_, self.temperature_ = self._chosen(
            clean, augmented, targets, speakers
        )
        everyone = np.arange(clean.n_items)
        self.normaliser_ = self._normaliser_of(clean, speakers)
        clean, *augmented = [
            _alike(self.normaliser_, view, speakers) for view in (clean, *augmented)
        ]
        self.standard_ = self._standard_of(clean, everyone)
        self.fitted_ = self._fit_one(
            self.setting_, self.standard_, [clean, *augmented], targets, everyone
        )
        self.n_features_in_ = clean.values.shape[1]
        self.history_: list[list[dict[str, float]]] = []
        return self

    def _chosen(
        self, clean: Rows, augmented: list[Rows], targets: Matrix, speakers: npt.NDArray[Any]
    ) -> tuple[dict[str, Any], list[float], float]:
        """Return the setting, the UA of each on inner folds, and the temperature."""
        candidates = self.model.candidates()
        if len(candidates) == 1 and not self.model.calibrated:
            return candidates[0], [], 1.0
        folds = inner_folds(speakers, self.seed)
        held_out = [
            self._held_out([clean], targets, speakers, folds, setting) for setting in candidates
        ]
        choice = [masked_recall(logits, targets) for logits, _ in held_out]
        best = int(np.argmax(choice))
        if not self.model.calibrated:
            return candidates[best], choice, 1.0
        # The temperature is that of fits like the last one, which sees the views too.
        logits, heard = (
            self._held_out([clean, *augmented], targets, speakers, folds, candidates[best])
            if augmented
            else held_out[best]
        )
        # A class that an inner fold never heard has nothing there to calibrate.
        return (
            candidates[best],
            choice,
            fit_temperature(logits[heard].astype(np.float32), targets[heard]),
        )

    def _held_out(
        self,
        views: list[Rows],
        targets: Matrix,
        speakers: npt.NDArray[Any],
        folds: Any,
        setting: dict[str, Any],
    ) -> tuple[Matrix, npt.NDArray[np.bool_]]:
        """Return logits of every clip, each by a fit on the other inner folds.

        And whether that fit was on any clip of its class.
        """
        logits = np.zeros(targets.shape)
        heard = np.zeros(len(targets), dtype=np.bool_)
        truth = np.nan_to_num(targets).argmax(axis=1)
        for train, validation in folds:
            known = np.nansum(targets[train], axis=0) > 0
            if known.sum() < 2:
                raise TrainingError(
                    "an inner fold of training speakers holds one emotion only; every emotion "
                    "needs recordings of two speakers or more",
                    code="too_few_speakers",
                )
            heard[validation] = known[truth[validation]]
            normaliser = self._normaliser_of(views[0].take(train), speakers[train])
            alike = [_alike(normaliser, view, speakers) for view in views]
            standard = self._standard_of(alike[0], train)
            fitted = self._fit_one(setting, standard, alike, targets, train)
            asked = (views if self.alone else alike)[0].take(validation)
            logits[validation] = item_means(
                self._logits(fitted, standard, asked, targets.shape[1]), asked.counts
            )
        return logits, heard

    def _normaliser_of(self, rows: Rows, speakers: npt.NDArray[Any]) -> Any:
        """Return what makes speakers alike, fitted on training rows; None for nothing."""
        if self.model.normalisation == "none":
            return None
        normaliser = _NORMALISERS[self.model.normalisation]()
        return normaliser.fit(rows.values, groups=np.repeat(speakers, rows.counts))

    def _standard_of(self, rows: Rows, items: npt.NDArray[np.int64]) -> Standard | None:
        return Standard.of(rows.take(items).values) if self.model.standardised else None

    def _fit_one(
        self,
        setting: dict[str, Any],
        standard: Standard | None,
        views: list[Rows],
        targets: Matrix,
        items: npt.NDArray[np.int64],
    ) -> Any:
        parts = [view.take(items) for view in views]
        y = np.concatenate([np.repeat(targets[items], part.counts, axis=0) for part in parts])
        if self.model.targets == "labels":
            y = np.nan_to_num(y).argmax(axis=1)
        weights = [np.repeat(1.0 / (len(views) * part.counts), part.counts) for part in parts]
        fitted = self.model.build(setting, self.seed)
        fitted.fit(Rows.joined(parts).fed(standard), y, sample_weight=np.concatenate(weights))
        return fitted

    def _logits(self, fitted: Any, standard: Standard | None, rows: Rows, n_classes: int) -> Matrix:
        """Return logits of every row, shape (rows, classes)."""
        X = rows.fed(standard)
        if self.model.gives == "probabilities":
            scores = np.log(np.maximum(fitted.predict_proba(X), PROBABILITY_FLOOR))
        else:
            scores = fitted.decision_function(X)
        if self.model.targets == "shares":
            return np.asarray(scores)
        if scores.ndim == 1:  # scikit-learn's way with two classes
            scores = np.stack([-scores / 2, scores / 2], axis=1)
        logits = np.full((len(scores), n_classes), NEVER)
        logits[:, fitted.classes_] = scores
        return logits

    @property
    def transductive(self) -> bool:
        """Whether ``predict_proba`` is to be told the speakers."""
        return self.model.transductive and not self.alone

    def predict_proba(self, X: Features, groups: Sequence[str] | None = None) -> Matrix:
        """Return calibrated probabilities, shape (rows, classes): the mean over a clip's windows.

        Args:
            X: Features by name, one item per clip.
            groups: Speaker of each clip, where the model normalises by speaker; without them, or
                where a speaker has fewer than 20 rows, clips are taken as they are.

        Raises:
            NotFittedError: ``fit`` has not been called.
        """
        if not hasattr(self, "fitted_"):
            raise NotFittedError("this classifier is not fitted; call fit first")
        rows = Rows.of_vectors({name: X[name] for name in self.features_})
        if groups is not None and self.transductive:
            rows = _alike(self.normaliser_, rows, np.array(list(groups)))
        logits = self._logits(self.fitted_, self.standard_, rows, len(self.classes_))
        return item_means(softmax(logits / self.temperature_), rows.counts)

    def predict(self, X: Features) -> npt.NDArray[Any]:
        """Return the most probable label of each row."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])

    def summary(self) -> str:
        """Return one line for a log."""
        chosen = ", ".join(f"{key} {value}" for key, value in self.setting_.items())
        told = [
            *([f"chose {chosen}"] if chosen else []),
            *([f"UA on inner folds {np.round(self.choice_, 3).tolist()}"] if self.choice_ else []),
            f"temperature {self.temperature_:.2f}",
        ]
        if self.normaliser_ is not None and self.normaliser_.untouched_:
            few = ", ".join(map(str, self.normaliser_.untouched_))
            told.append(f"too few clips to normalise: {few}")
        return f"{self.model.name}: {', '.join(told)}"

    def graphs(self, examples: Features) -> list[Graph]:
        """Return the ONNX graph, checked against this estimator on examples."""
        n_classes = len(self.classes_)
        columns = None if self.model.targets == "shares" else np.asarray(self.fitted_.classes_)
        frame = Frame(
            widths={name: items.values.shape[1] for name, items in examples.items()},
            standard=self.standard_,
            gives=self.model.gives,
            columns=columns,
            n_classes=n_classes,
        )
        graph = classical_to_onnx(self.model.fragment(self.fitted_), frame)
        rows = Rows.of_vectors(examples)
        return [
            Graph.checked(
                self.model.name,
                graph,
                tuple(examples),
                rows.batches(frame.widths),
                self._logits(self.fitted_, self.standard_, rows, n_classes),
                self.temperature_,
            )
        ]


def _alike(normaliser: Any, rows: Rows, speakers: npt.NDArray[Any]) -> Rows:
    """Return the rows with every speaker normalised; as they are without a normaliser."""
    if normaliser is None:
        return rows
    groups = np.repeat(speakers, rows.counts)
    return replace(rows, values=normaliser.transform(rows.values, groups=groups))
