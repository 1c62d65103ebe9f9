"""The estimator around densities: choose, select, fit, fuse by likelihood, calibrate, export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import GroupKFold

from ullim.errors import NotFittedError, TrainingError
from ullim.models import Generative
from ullim.models.likelihood import Density
from ullim.models.mixture import ABSENT
from ullim.models.selection import ForwardSelection
from ullim.training.calibration import fit_temperature
from ullim.training.classifier import (
    Features,
    Graph,
    Matrix,
    mean_of_windows,
    softmax,
    target_matrix,
)
from ullim.training.export_density import Side, densities_to_onnx
from ullim.types import Ragged
from ullim.window import Window

_INNER_FOLDS = 5
_CLIP = 5.0
_STEPS = 10
Rows = npt.NDArray[np.int64]


class GenerativeClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Answers with the class under whose density a clip is likeliest.

    Several densities are fused by likelihood: the log-likelihoods of each are brought, class by
    class, to zero mean and unit deviation over training clips that it was not fitted on, and
    added with the weights that give the best UA there. One density is taken as it is. All of this,
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
    of every setting on inner folds), ``weights_``, ``selected_`` (columns in the order they were
    added; None where all are kept); ``temperature_``.

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
        speakers = np.arange(n_rows) if groups is None else np.array(list(groups))
        if len(speakers) != n_rows:
            raise TrainingError(
                f"{n_rows} rows were given with {len(speakers)} speakers; give one per row"
            )
        n_folds = min(_INNER_FOLDS, len(np.unique(speakers)))
        if n_folds < 2:
            raise TrainingError(
                "choosing and calibrating need a second speaker, and training has only one; add "
                "recordings of another speaker"
            )
        self.folds_ = list(
            GroupKFold(n_folds, shuffle=True, random_state=self.seed).split(
                np.arange(n_rows), groups=speakers
            )
        )
        self.settings_, self.choices_, held_out, self.fitted_ = [], [], [], []
        for density in self.densities:
            parts = [self._windows(view, density) for view in (X, *views)]
            if any(part.n_clips != n_rows for part in parts):
                raise TrainingError("every view must hold the same rows as X")
            fitting = _Fitting(density.model, parts, targets, speakers, self.seed)
            # The choice is made on clean clips alone, as that of a classical model.
            candidates = density.model.candidates()
            tried = [fitting.held_out(self.folds_, setting, parts[:1]) for setting in candidates]
            choice = [_masked_recall(scores, targets) for scores in tried]
            best = int(np.argmax(choice))
            self.settings_.append(candidates[best])
            self.choices_.append(choice)
            held_out.append(
                fitting.held_out(self.folds_, candidates[best], parts) if views else tried[best]
            )
            self.fitted_.append(fitting.fit(candidates[best], np.arange(n_rows), parts))
        self._weigh(held_out, targets)
        logits = self._fused(held_out)
        # A class that an inner fold never heard has no likelihood there to calibrate.
        truth = np.nan_to_num(targets).argmax(axis=1)
        heard = logits[np.arange(n_rows), truth] > ABSENT / 1e6
        self.temperature_ = fit_temperature(
            np.maximum(logits[heard], ABSENT).astype(np.float32), targets[heard], most=1000.0
        )
        self.selected_ = [fitted.order for fitted in self.fitted_]
        self.history_: list[list[dict[str, float]]] = []
        return self

    def _weigh(self, held_out: list[Matrix], targets: Matrix) -> None:
        """Decide shift, scale and weight of each density from scores of rows it never heard."""
        n_classes = targets.shape[1]
        self.shifts_ = np.zeros((len(held_out), n_classes))
        self.scales_ = np.ones((len(held_out), n_classes))
        self.weights_ = np.ones(len(held_out))
        if len(held_out) == 1:
            return
        for place, scores in enumerate(held_out):
            for column in range(n_classes):
                known = scores[scores[:, column] > ABSENT / 2, column]
                if known.size:
                    self.shifts_[place, column] = known.mean()
                    self.scales_[place, column] = max(float(known.std()), 1e-6)
        best = -1.0
        for weights in _weightings(len(held_out)):
            recall = _masked_recall(self._fused(held_out, weights), targets)
            if recall > best:
                best, self.weights_ = recall, weights
        self.fused_choice_ = best

    def _fused(self, scores: Sequence[Matrix], weights: Matrix | None = None) -> Matrix:
        weights = self.weights_ if weights is None else weights
        parts = zip(scores, self.shifts_, self.scales_, weights, strict=True)
        return np.asarray(sum((each - shift) * (w / scale) for each, shift, scale, w in parts))

    def _windows(self, X: Features, density: Density) -> _Windows:
        names = density.features or tuple(X)
        missing = [name for name in names if name not in X]
        if missing:
            raise TrainingError(
                f"a density takes {', '.join(missing)}, and the features given are {', '.join(X)}"
            )
        return _Windows.cut({name: X[name] for name in names}, self.hops, self.window)

    def _logits(self, X: Features) -> tuple[Matrix, npt.NDArray[np.int64]]:
        """Return logits of every window, and how many windows each clip has."""
        parts = [self._windows(X, density) for density in self.densities]
        counts = parts[0].counts
        if any(not np.array_equal(counts, part.counts) for part in parts):
            raise TrainingError(
                "vectors and frames do not give the same windows here; fuse them with window "
                "{mode: whole}"
            )
        scores = [
            fitted.scores(part.items) for fitted, part in zip(self.fitted_, parts, strict=True)
        ]
        return self._fused(scores), counts

    def predict_proba(self, X: Features) -> Matrix:
        """Return calibrated probabilities, shape (rows, classes): the mean over a clip's windows.

        Raises:
            NotFittedError: ``fit`` has not been called.
        """
        if not hasattr(self, "fitted_"):
            raise NotFittedError("this classifier is not fitted; call fit first")
        logits, counts = self._logits(X)
        return mean_of_windows(softmax(logits / self.temperature_), counts)

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
        parts = [self._windows(examples, density) for density in self.densities]
        sides = [
            Side(
                part.widths, fitted.mean, fitted.scale, _CLIP, fitted.columns, fitted.density,
                shift, weight / scale,
            )
            for part, fitted, shift, scale, weight in zip(
                parts, self.fitted_, self.shifts_, self.scales_, self.weights_, strict=True
            )
        ]  # fmt: skip
        data = densities_to_onnx(sides)
        windows = {name: part.of(name) for part in parts for name in part.widths}
        logits, _ = self._logits(examples)
        name = "-".join(dict.fromkeys(density.model.name for density in self.densities))
        return [
            _checked(Graph(name, data, tuple(windows), self.temperature_), windows, logits)
        ]


@dataclass(frozen=True, slots=True)
class _Windows:
    """Every window of every clip as an item, several features side by side.

    Attributes:
        items: Windows, (frames, values); a vector per window is one frame.
        counts: Windows of each clip.
        widths: Values of each feature, by name.
    """

    items: Ragged
    counts: npt.NDArray[np.int64]
    widths: dict[str, int]

    @property
    def n_clips(self) -> int:
        return len(self.counts)

    @classmethod
    def cut(cls, X: Features, hops: Mapping[str, float], window: Window) -> _Windows:
        steps = {hops[name] for name in X}
        lengths = [items.lengths for items in X.values()]
        if len(steps) > 1 or any(not np.array_equal(lengths[0], other) for other in lengths[1:]):
            raise TrainingError(
                f"features {', '.join(X)} do not run side by side; one density takes features "
                "with one vector per clip, or frames at the same times"
            )
        values = np.concatenate([items.values for items in X.values()], axis=1)
        offsets = next(iter(X.values())).offsets
        widths = {name: items.values.shape[1] for name, items in X.items()}
        (step,) = steps
        if step == float("inf"):
            return cls(Ragged(values, np.arange(len(values) + 1)), lengths[0], widths)
        if window.mode == "whole":
            return cls(Ragged(values, offsets), np.ones_like(lengths[0]), widths)
        clips = Ragged(values, offsets)
        cuts = [
            [
                clips[row][start : start + window.length(n, step)]
                for start in window.starts(n, step)
            ]
            for row, n in enumerate(lengths[0].tolist())
        ]
        counts = np.array([len(windows) for windows in cuts])
        return cls(Ragged.from_items([item for row in cuts for item in row]), counts, widths)

    def take(self, clips: Rows) -> _Windows:
        first = np.cumsum([0, *self.counts])
        rows = np.concatenate([np.arange(first[clip], first[clip + 1]) for clip in clips])
        return _Windows(self.items.take(rows), self.counts[clips], self.widths)

    def of(self, name: str) -> Ragged:
        """Return the windows of one feature alone."""
        names = list(self.widths)
        start = sum(self.widths[other] for other in names[: names.index(name)])
        return Ragged(self.items.values[:, start : start + self.widths[name]], self.items.offsets)


@dataclass(frozen=True, slots=True)
class _Fitted:
    """A density with what comes before it."""

    mean: Matrix
    scale: Matrix
    columns: Rows
    order: list[int] | None
    density: Any

    def scores(self, items: Ragged) -> Matrix:
        rows = _standardised(items.values, self.mean, self.scale)
        return np.asarray(self.density.scores(Ragged(rows[:, self.columns], items.offsets)))


@dataclass(frozen=True, slots=True)
class _Fitting:
    """Fits one model on some of the clips."""

    model: Generative
    views: list[_Windows]
    targets: Matrix
    speakers: npt.NDArray[Any]
    seed: int

    def held_out(self, folds: Any, setting: dict[str, Any], views: list[_Windows]) -> Matrix:
        """Return scores of every clip, each by a fit on the other inner folds."""
        scores = np.zeros(self.targets.shape)
        for train, validation in folds:
            fitted = self.fit(setting, train, views)
            asked = self.views[0].take(validation)
            scores[validation] = mean_of_windows(fitted.scores(asked.items), asked.counts)
        return scores

    def fit(self, setting: dict[str, Any], clips: Rows, views: list[_Windows]) -> _Fitted:
        parts = [view.take(clips) for view in views]
        clean = parts[0].items.values.astype(np.float64)
        mean, spread = clean.mean(axis=0), clean.std(axis=0)
        scale = np.where(spread > 1e-8, spread, 1.0)
        rows = np.concatenate([_standardised(part.items.values, mean, scale) for part in parts])
        lengths = np.concatenate([part.items.lengths for part in parts])
        truth = np.nan_to_num(self.targets[clips]).argmax(axis=1)
        codes = np.concatenate([np.repeat(truth, part.counts) for part in parts])
        speakers = np.concatenate([np.repeat(self.speakers[clips], p.counts) for p in parts])
        columns, order = np.arange(rows.shape[1]), None
        if (wanted := self.model.selection) is not None:
            columns, order = self._select(wanted, parts[0].widths, rows, lengths, codes, speakers)
        items = Ragged(rows[:, columns], np.cumsum([0, *lengths]))
        density = self.model.build(setting, self.seed)
        return _Fitted(
            mean, scale, columns, order, density.fit(items, codes, self.targets.shape[1])
        )

    def _select(
        self,
        wanted: Any,
        widths: Mapping[str, int],
        rows: Matrix,
        lengths: Rows,
        codes: Rows,
        speakers: npt.NDArray[Any],
    ) -> tuple[Rows, list[int]]:
        """Return the columns to keep, and those of the feature in the order they were added."""
        if wanted.feature not in widths:
            raise TrainingError(
                f"columns of {wanted.feature} are to be selected, and the density takes "
                f"{', '.join(widths)}"
            )
        if (lengths != 1).any():
            raise TrainingError(
                f"columns are selected of vectors, and {wanted.feature} gives frames; leave "
                "selection out, or take statistics of it"
            )
        names = list(widths)
        start = sum(widths[name] for name in names[: names.index(wanted.feature)])
        stop = start + widths[wanted.feature]
        selection = ForwardSelection(wanted.n_features, random_state=self.seed)
        order = selection.fit(rows[:, start:stop], codes, groups=speakers).order_
        others = np.r_[0:start, stop : rows.shape[1]]
        return np.sort(np.concatenate([others, start + order])), order.tolist()


def _standardised(values: Matrix, mean: Matrix, scale: Matrix) -> Matrix:
    return np.clip((values - mean) / scale, -_CLIP, _CLIP)


def _weightings(n: int) -> Iterator[Matrix]:
    """Yield weights that sum to 1 in tenths, the most even first: what ties, stays even."""
    steps = [s for s in product(range(_STEPS + 1), repeat=n) if sum(s) == _STEPS]
    for step in sorted(steps, key=lambda s: sum(value**2 for value in s)):
        yield np.array(step) / _STEPS


def _masked_recall(scores: Matrix, targets: Matrix) -> float:
    """Return the UA when each row may only be given a class its corpus offers."""
    guess = np.where(np.isnan(targets), -np.inf, scores).argmax(axis=1)
    truth = np.nan_to_num(targets).argmax(axis=1)
    return float(np.mean([(guess[truth == c] == c).mean() for c in np.unique(truth)]))


def _checked(graph: Graph, windows: Mapping[str, Ragged], logits: Matrix) -> Graph:
    """Return the graph, having compared its answer for every window with the estimator's."""
    import onnxruntime

    session = onnxruntime.InferenceSession(graph.data, providers=["CPUExecutionProvider"])
    answered = np.concatenate(
        [
            session.run(
                ["logits"], {name: np.ascontiguousarray(windows[name][row][None]) for name in windows}
            )[0]
            for row in range(len(logits))
        ]
    )
    there, here = (softmax(each / graph.temperature) for each in (answered, logits))
    worst = float(np.abs(there - here).max())
    if worst > 1e-4 or (there.argmax(axis=1) != here.argmax(axis=1)).any():
        raise TrainingError(
            f"the exported graph differs from the classifier by {worst:.2g} in a probability, "
            "more than 1e-4; this is a defect of the export, please report it",
            code="export_differs",
        )
    return graph
