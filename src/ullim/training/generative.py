"""The estimator around densities: choose, select, fit, fuse by likelihood, calibrate, export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin

from ullim.decision import item_means
from ullim.errors import NotFittedError, TrainingError
from ullim.models import NEVER, Generative
from ullim.models.likelihood import Density
from ullim.models.selection import ForwardSelection
from ullim.training.calibration import fit_temperature
from ullim.training.classifier import (
    Features,
    Graph,
    Matrix,
    softmax,
    target_matrix,
)
from ullim.training.export_density import Side, densities_to_onnx
from ullim.training.inner import inner_folds, masked_recall, speakers_of
from ullim.training.rows import Rows, Standard
from ullim.types import Ragged
from ullim.window import Window

_STEPS = 10
Places = npt.NDArray[np.int64]


class GenerativeClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Answers with the class under whose density a clip is likeliest.

    Several densities are fused by likelihood: the log-likelihoods of each are brought to unit
    deviation around their mean over the classes, on training clips that it was not fitted on, and
    added with the weights that give the best UA there. One deviation serves all classes: on inner
    folds, a mean and deviation for each class lost eight points, since they take away what one
    class is likelier by than another. One density is taken as it is. All of this,
    the choice of settings, the selection of columns, and the temperature are decided within the
    training rows, by inner folds that part speakers.

    It takes features by name and not a matrix, so scikit-learn's ``check_estimator`` does not
    apply; the classifiers and selections it is made of pass it.

    Attributes:
        densities: The densities.
        hops: Seconds from one frame to the next of each feature; infinite for one vector per clip.
        window: How clips of frames are cut.
        classes: Label of each target column; needed only where ``y`` is a matrix.
        seed: Decides the inner folds and where the first means lie.

    After ``fit``: ``classes_``; of each density, ``settings_`` (the chosen ones), ``choices_`` (UA
    of every setting on inner folds), ``weights_``, ``scales_``, ``selected_`` (columns in the order
    they were added; None where all are kept); ``temperature_``.

    Reference: Kim, Trans. KIEE 66(8), 2017 (fusion of pitch and cepstrum by likelihood or by
    parameters).
    """

    def __init__(
        self,
        densities: Sequence[Density],
        hops: Mapping[str, float],
        window: Window = Window(),  # noqa: B008 - frozen
        classes: Sequence[str] | None = None,
        seed: int = 0,
    ) -> None:
        self.densities = densities
        self.hops = hops
        self.window = window
        self.classes = classes
        self.seed = seed

    def fit(
        self,
        X: Features,
        y: Sequence[str] | Matrix,
        groups: Sequence[str] | None = None,
        views: Sequence[Features] = (),
    ) -> Self:
        """Choose settings on inner folds of speakers, then fit on every row.

        Args:
            X: Features by name, one item per row.
            y: A label per row, or a (rows, classes) matrix of shares in which NaN marks a class
                the row's corpus never offers.
            groups: Speaker of each row; inner folds part speakers.
            views: The same rows augmented.

        Raises:
            TrainingError: Rows, labels, groups and features do not fit together.
        """
        n_rows = len(next(iter(X.values())))
        self.classes_, targets = target_matrix(y, n_rows, self.classes)
        speakers = speakers_of(groups, n_rows)
        self.folds_ = inner_folds(speakers, self.seed)
        self.settings_, self.choices_, held_out, self.fitted_ = [], [], [], []
        for density in self.densities:
            parts = [self._rows(view, density) for view in (X, *views)]
            if any(part.n_items != n_rows for part in parts):
                raise TrainingError("every view must hold the same rows as X")
            widths = {name: items.values.shape[1] for name, items in _taken(X, density).items()}
            fitting = _Fitting(density.model, widths, parts, targets, speakers, self.seed)
            # The choice is made on clean clips alone, as that of a classical model.
            candidates = density.model.candidates()
            tried = [fitting.held_out(self.folds_, setting, parts[:1]) for setting in candidates]
            choice = [masked_recall(scores, targets) for scores in tried]
            best = int(np.argmax(choice))
            self.settings_.append(candidates[best])
            self.choices_.append(choice)
            held_out.append(
                fitting.held_out(self.folds_, candidates[best], parts) if views else tried[best]
            )
            self.fitted_.append(fitting.fit(candidates[best], np.arange(n_rows), parts))
        self._weigh(held_out, targets)
        logits = self._fused(held_out)
        self.temperature_ = fit_temperature(
            np.maximum(logits, NEVER).astype(np.float32), targets, most=100.0
        )
        self.selected_ = [fitted.order for fitted in self.fitted_]
        self.history_: list[list[dict[str, float]]] = []
        return self

    def _weigh(self, held_out: list[Matrix], targets: Matrix) -> None:
        """Decide scale and weight of each density from scores of rows it never heard."""
        self.scales_ = np.ones(len(held_out))
        self.weights_ = np.ones(len(held_out))
        if len(held_out) == 1:
            return
        for place, scores in enumerate(held_out):
            known = np.where(scores > NEVER / 2, scores, np.nan)
            spread = np.nanstd(known - np.nanmean(known, axis=1, keepdims=True))
            self.scales_[place] = max(float(spread), 1e-6)
        best = -1.0
        for weights in _weightings(len(held_out)):
            recall = masked_recall(self._fused(held_out, weights), targets)
            if recall > best:
                best, self.weights_ = recall, weights
        self.fused_choice_ = best

    def _fused(self, scores: Sequence[Matrix], weights: Matrix | None = None) -> Matrix:
        weights = self.weights_ if weights is None else weights
        return np.asarray(np.tensordot(weights / self.scales_, np.stack(scores), axes=1))

    def _rows(self, X: Features, density: Density) -> Rows:
        """Return the windows of all clips; a vector is a window of one frame."""
        taken = _taken(X, density)
        frames = [np.isfinite(self.hops.get(name, np.inf)) for name in taken]
        if all(frames):
            return Rows.of_frames(taken, self.window, self.hops)
        if any(frames):
            raise TrainingError(
                f"a density takes vectors or frames, and of {', '.join(taken)} some are these and "
                "some those; give each its own density"
            )
        rows = Rows.of_vectors(taken)
        return replace(rows, lengths=np.ones(len(rows.values), np.int64))

    def _logits(self, X: Features) -> tuple[Matrix, npt.NDArray[np.int64]]:
        """Return logits of every window, and how many windows each clip has."""
        parts = [self._rows(X, density) for density in self.densities]
        counts = parts[0].counts
        if any(not np.array_equal(counts, part.counts) for part in parts):
            raise TrainingError(
                "vectors and frames do not give the same windows here; fuse them with window "
                "{mode: whole}"
            )
        scores = [fitted.scores(part) for fitted, part in zip(self.fitted_, parts, strict=True)]
        return self._fused(scores), counts

    def predict_proba(self, X: Features) -> Matrix:
        """Return calibrated probabilities, shape (rows, classes): the mean over a clip's windows.

        Raises:
            NotFittedError: ``fit`` has not been called.
        """
        if not hasattr(self, "fitted_"):
            raise NotFittedError("this classifier is not fitted; call fit first")
        logits, counts = self._logits(X)
        return item_means(softmax(logits / self.temperature_), counts)

    def predict(self, X: Features) -> npt.NDArray[Any]:
        """Return the most probable label of each row."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])

    def summary(self) -> str:
        """Return one line for a log."""
        told = []
        for place, density in enumerate(self.densities):
            chosen = ", ".join(f"{key} {value}" for key, value in self.settings_[place].items())
            line = (
                f"{density.model.name} chose {chosen} (UA on inner folds "
                f"{np.round(self.choices_[place], 3).tolist()})"
            )
            if (order := self.selected_[place]) is not None:
                line += f", columns {', '.join(map(str, order))}"
            if len(self.densities) > 1:
                line += f", weight {self.weights_[place]:g}"
            told.append(line)
        return "; ".join(told) + f"; temperature {self.temperature_:.2f}"

    def graphs(self, examples: Features) -> list[Graph]:
        """Return the one ONNX graph, checked against this estimator on every window.

        Raises:
            TrainingError: They differ, or a density has no graph.
        """
        fed: list[dict[str, Any]] = [{} for _ in self._logits(examples)[0]]
        sides = []
        weights = self.weights_ / self.scales_
        for density, fitted, weight in zip(self.densities, self.fitted_, weights, strict=True):
            taken = _taken(examples, density)
            widths = {name: items.values.shape[1] for name, items in taken.items()}
            sides.append(
                Side(widths, fitted.standard, fitted.columns, fitted.density, float(weight))
            )
            rows = self._rows(examples, density)
            for window, batch in zip(fed, rows.batches(widths), strict=True):
                window.update(batch)
        return [
            Graph.checked(
                "-".join(dict.fromkeys(density.model.name for density in self.densities)),
                densities_to_onnx(sides),
                tuple(fed[0]),
                fed,
                self._logits(examples)[0],
                self.temperature_,
            )
        ]


def _taken(X: Features, density: Density) -> dict[str, Ragged]:
    """Return the features a density takes."""
    names = density.features or tuple(X)
    missing = [name for name in names if name not in X]
    if missing:
        raise TrainingError(
            f"a density takes {', '.join(missing)}, and the features given are {', '.join(X)}"
        )
    return {name: X[name] for name in names}


@dataclass(frozen=True, slots=True)
class _Fitted:
    """A density with what comes before it."""

    standard: Standard
    columns: Places
    order: list[int] | None
    density: Any

    def scores(self, rows: Rows) -> Matrix:
        items = rows.fed(self.standard)
        chosen = Ragged(items.values[:, self.columns], items.offsets)
        return np.asarray(self.density.scores(chosen))


@dataclass(frozen=True, slots=True)
class _Fitting:
    """Fits one model on some of the clips."""

    model: Generative
    widths: Mapping[str, int]
    views: list[Rows]
    targets: Matrix
    speakers: npt.NDArray[Any]
    seed: int

    def held_out(self, folds: Any, setting: dict[str, Any], views: list[Rows]) -> Matrix:
        """Return scores of every clip, each by a fit on the other inner folds."""
        scores = np.zeros(self.targets.shape)
        for train, validation in folds:
            fitted = self.fit(setting, train, views)
            asked = self.views[0].take(validation)
            scores[validation] = item_means(fitted.scores(asked), asked.counts)
        return scores

    def fit(self, setting: dict[str, Any], clips: Places, views: list[Rows]) -> _Fitted:
        parts = [view.take(clips) for view in views]
        standard = Standard.of(parts[0].values)
        items = Rows.joined(parts).fed(standard)
        truth = np.nan_to_num(self.targets[clips]).argmax(axis=1)
        codes = np.concatenate([np.repeat(truth, part.counts) for part in parts])
        speakers = np.concatenate([np.repeat(self.speakers[clips], part.counts) for part in parts])
        columns, order = np.arange(items.values.shape[1]), None
        if self.model.selection is not None:
            columns, order = self._select(items, codes, speakers)
        density = self.model.build(setting, self.seed)
        density.fit(Ragged(items.values[:, columns], items.offsets), codes, self.targets.shape[1])
        return _Fitted(standard, columns, order, density)

    def _select(
        self, items: Ragged, codes: Places, speakers: npt.NDArray[Any]
    ) -> tuple[Places, list[int]]:
        """Return the columns to keep, and those of the feature in the order they were added."""
        wanted = self.model.selection
        if wanted.feature not in self.widths:
            raise TrainingError(
                f"columns of {wanted.feature} are to be selected, and the density takes "
                f"{', '.join(self.widths)}"
            )
        if (items.lengths != 1).any():
            raise TrainingError(
                f"columns are selected of vectors, and {wanted.feature} gives frames; leave "
                "selection out, or take statistics of it"
            )
        names = list(self.widths)
        start = sum(self.widths[name] for name in names[: names.index(wanted.feature)])
        stop = start + self.widths[wanted.feature]
        selection = ForwardSelection(wanted.n_features, random_state=self.seed)
        order = selection.fit(items.values[:, start:stop], codes, groups=speakers).order_
        others = np.r_[0:start, stop : items.values.shape[1]]
        return np.sort(np.concatenate([others, start + order])), order.tolist()


def _weightings(n: int) -> Iterator[Matrix]:
    """Yield weights that sum to 1 in tenths, the most even first: what ties, stays even."""
    steps = [s for s in product(range(_STEPS + 1), repeat=n) if sum(s) == _STEPS]
    for step in sorted(steps, key=lambda s: sum(value**2 for value in s)):
        yield np.array(step) / _STEPS
