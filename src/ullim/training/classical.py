"""The estimator around a classical model: choose, standardise, fit, calibrate, export."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import GroupKFold

from ullim.errors import NotFittedError, TrainingError
from ullim.models import Classical
from ullim.training.calibration import fit_temperature
from ullim.training.classifier import (
    Features,
    Graph,
    Matrix,
    mean_of_windows,
    softmax,
    target_matrix,
)
from ullim.training.export import linear_to_onnx

_INNER_FOLDS = 5
_CLIP = 5.0


class ClassicalClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Fits a classical model on one vector per window of a clip.

    Vectors are standardised by the training rows and clipped at five standard deviations, so that
    one strange value in a user's recording cannot decide alone. Each window of a clip, and each
    augmented view of it, is a row with its share of the clip's weight.

    Attributes:
        model: Parameters.
        classes: Label of each target column; needed only where ``y`` is a matrix.
        seed: Decides the inner folds and whatever chance the model uses.

    After ``fit``: ``classes_``, ``setting_`` (the one chosen), ``choice_`` (UA of each on inner
    folds), ``temperature_``, ``mean_``, ``scale_``.
    """

    def __init__(
        self, model: Classical, classes: Sequence[str] | None = None, seed: int = 0
    ) -> None:
        self.model = model
        self.classes = classes
        self.seed = seed

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
            X: Features at level ``clip`` by name, one item per row.
            y: A label per row, or a (rows, classes) matrix of shares in which NaN marks a class
                the row's corpus never offers.
            groups: Speaker of each row; inner folds part speakers.
            views: The same rows augmented.

        Raises:
            TrainingError: Rows, labels and groups do not fit together.
        """
        clean = _Rows.stack(X)
        self.features_ = tuple(X)
        self.classes_, targets = target_matrix(y, clean.n_items, self.classes)
        augmented = [_Rows.stack(view) for view in views]
        if any(view.n_items != clean.n_items for view in augmented):
            raise TrainingError("every view must hold the same rows as X")
        speakers = np.arange(clean.n_items) if groups is None else np.array(list(groups))
        if len(speakers) != clean.n_items:
            raise TrainingError(
                f"{clean.n_items} rows were given with {len(speakers)} speakers; give one per row"
            )
        everyone = np.arange(clean.n_items)
        candidates = self.model.candidates()
        n_folds = min(_INNER_FOLDS, len(np.unique(speakers)))
        if n_folds < 2:
            raise TrainingError(
                "choosing and calibrating need a second speaker, and training has only one; add "
                "recordings of another speaker"
            )
        folds = list(
            GroupKFold(n_folds, shuffle=True, random_state=self.seed).split(
                everyone, groups=speakers
            )
        )
        held_out = [self._held_out([clean], targets, folds, setting) for setting in candidates]
        self.choice_ = [_masked_recall(logits, targets) for logits in held_out]
        best = int(np.argmax(self.choice_))
        self.setting_ = candidates[best]
        # The temperature is that of fits like the last one, which sees the views too.
        logits = (
            self._held_out([clean, *augmented], targets, folds, self.setting_)
            if augmented
            else held_out[best]
        )
        self.temperature_ = fit_temperature(logits.astype(np.float32), targets)
        standard = _Standard.fit(clean, everyone)
        self.mean_, self.scale_ = standard.mean, standard.scale
        self.fitted_ = self.model.build(self.setting_, self.seed).fit(
            *_training_rows(standard, [clean, *augmented], targets, everyone)
        )
        self.n_features_in_ = len(self.mean_)
        self.history_: list[list[dict[str, float]]] = []
        return self

    def _held_out(
        self, views: list[_Rows], targets: Matrix, folds: Any, setting: dict[str, Any]
    ) -> Matrix:
        """Return logits of every row, each by a fit on the other inner folds."""
        logits = np.zeros(targets.shape)
        for train, validation in folds:
            standard = _Standard.fit(views[0], train)
            fitted = self.model.build(setting, self.seed)
            fitted.fit(*_training_rows(standard, views, targets, train))
            asked = views[0].take(validation)
            logits[validation] = asked.mean(fitted.decision_function(standard(asked.values)))
        return logits

    def predict_proba(self, X: Features) -> Matrix:
        """Return calibrated probabilities, shape (rows, classes): the mean over a clip's windows.

        Raises:
            NotFittedError: ``fit`` has not been called.
        """
        if not hasattr(self, "fitted_"):
            raise NotFittedError("this classifier is not fitted; call fit first")
        rows = _Rows.stack({name: X[name] for name in self.features_})
        logits = self.fitted_.decision_function(_Standard(self.mean_, self.scale_)(rows.values))
        return mean_of_windows(softmax(logits / self.temperature_), rows.counts)

    def predict(self, X: Features) -> npt.NDArray[Any]:
        """Return the most probable label of each row."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])

    def summary(self) -> str:
        """Return one line for a log."""
        chosen = ", ".join(f"{key} {value}" for key, value in self.setting_.items())
        return (
            f"{self.model.name} chose {chosen} (UA on inner folds "
            f"{np.round(self.choice_, 3).tolist()}), temperature {self.temperature_:.2f}"
        )

    def graphs(self, examples: Features) -> list[Graph]:
        """Return the ONNX graph, checked against this estimator on examples."""
        graph = linear_to_onnx(
            {name: items.values.shape[1] for name, items in examples.items()},
            self.mean_,
            self.scale_,
            _CLIP,
            self.fitted_.coef_,
            self.fitted_.intercept_,
        )
        rows = _Rows.stack(examples)
        logits = self.fitted_.decision_function(_Standard(self.mean_, self.scale_)(rows.values))
        return [
            Graph.checked(
                self.model.name, graph, tuple(examples), examples, logits, self.temperature_
            )
        ]


class _Rows:
    """Windows of all items end to end, several features side by side."""

    def __init__(self, values: npt.NDArray[np.float64], counts: npt.NDArray[np.int64]) -> None:
        self.values, self.counts = values, counts
        self.n_items = len(counts)

    @classmethod
    def stack(cls, X: Features) -> _Rows:
        counts = [items.lengths for items in X.values()]
        if not counts or any(not np.array_equal(counts[0], other) for other in counts[1:]):
            raise TrainingError(
                f"features {', '.join(X) or '(none)'} do not give the same windows; a classical "
                "model takes features with one vector per clip, side by side"
            )
        values = np.concatenate([items.values for items in X.values()], axis=1)
        return cls(values.astype(np.float64), counts[0])

    def take(self, items: npt.NDArray[np.int64]) -> _Rows:
        first = np.cumsum([0, *self.counts])
        rows = np.concatenate([np.arange(first[item], first[item + 1]) for item in items])
        return _Rows(self.values[rows], self.counts[items])

    def mean(self, per_window: Any) -> Any:
        return mean_of_windows(np.asarray(per_window), self.counts)


class _Standard:
    """Standardises by training rows, and clips."""

    def __init__(self, mean: Any, scale: Any) -> None:
        self.mean, self.scale = mean, scale

    @classmethod
    def fit(cls, rows: _Rows, items: npt.NDArray[np.int64]) -> _Standard:
        values = rows.take(items).values
        scale = values.std(axis=0)
        return cls(values.mean(axis=0), np.where(scale > 1e-8, scale, 1.0))

    def __call__(self, values: Any) -> Any:
        return np.clip((values - self.mean) / self.scale, -_CLIP, _CLIP)


def _training_rows(
    standard: _Standard, views: list[_Rows], targets: Matrix, items: npt.NDArray[np.int64]
) -> tuple[Any, Any, Any]:
    parts = [view.take(items) for view in views]
    return (
        np.concatenate([standard(part.values) for part in parts]),
        np.concatenate([np.repeat(targets[items], part.counts, axis=0) for part in parts]),
        np.concatenate(
            [np.repeat(1.0 / (len(views) * part.counts), part.counts) for part in parts]
        ),
    )


def _masked_recall(logits: Any, targets: Matrix) -> float:
    """Return the UA when each row may only be given a class its corpus offers."""
    guess = np.where(np.isnan(targets), -np.inf, logits).argmax(axis=1)
    truth = np.nan_to_num(targets).argmax(axis=1)
    return float(np.mean([(guess[truth == c] == c).mean() for c in np.unique(truth)]))
