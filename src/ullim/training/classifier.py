"""What every classifier of ullim offers, so that one loop trains, scores and ships them all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from ullim.errors import TrainingError
from ullim.types import Ragged

Features = Mapping[str, Ragged]
"""One feature by name, one item per row: (frames, features), or (windows, features) at level
``clip``."""
Matrix = npt.NDArray[Any]

TOLERANCE = 1e-4


class Classifier(Protocol):
    """A scikit-learn classifier over named features that can become a bundle."""

    classes_: npt.NDArray[Any]
    history_: list[list[dict[str, float]]]

    def fit(
        self,
        X: Features,
        y: Sequence[str] | Matrix,
        groups: Sequence[str] | None = None,
        views: Sequence[Features] = (),
    ) -> Self:
        """Fit on rows, their speakers and their augmented views."""

    def predict_proba(self, X: Features) -> Matrix:
        """Return calibrated probabilities, shape (rows, classes)."""

    def summary(self) -> str:
        """Return one line for a log."""

    def graphs(self, examples: Features) -> list[Graph]:
        """Return what a bundle holds of it, checked on examples."""


@dataclass(frozen=True, slots=True)
class Graph:
    """One ONNX graph of a classifier.

    Attributes:
        name: Stem of its file.
        data: The file.
        inputs: Names of the features it takes.
        temperature: Its logits are divided by this before the softmax.
        weight: Of its probabilities.
        member: Graphs with the same number are parts of one classifier.
    """

    name: str
    data: bytes
    inputs: tuple[str, ...]
    temperature: float
    weight: float = 1.0
    member: int = 0

    @classmethod
    def checked(
        cls,
        name: str,
        data: bytes,
        inputs: tuple[str, ...],
        batches: Iterable[Mapping[str, Matrix]],
        logits: Matrix,
        temperature: float,
    ) -> Graph:
        """Return the graph, having compared its answer for every window with the estimator's.

        Args:
            name: Stem of the file.
            data: The file.
            inputs: Names of the features it takes.
            batches: Windows of real clips as the graph takes them, (batch, frames, features) each.
            logits: What the estimator answers to all of them, shape (windows, classes).
            temperature: As above.

        Raises:
            TrainingError: They differ by more than 1e-4 in a probability.
        """
        import onnxruntime

        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        answered = np.concatenate([session.run(["logits"], dict(fed))[0] for fed in batches])
        worst = float(np.abs(softmax(answered) - softmax(logits)).max())
        if worst > TOLERANCE:
            raise TrainingError(
                f"the exported graph differs from the classifier by {worst:.2g} in a probability, "
                f"more than {TOLERANCE:g}; this is a defect of the export, please report it",
                code="export_differs",
            )
        return cls(name, data, inputs, temperature)


def answer(estimator: Classifier, X: Features, groups: Sequence[str] | None) -> Matrix:
    """Return probabilities, telling the speakers to an estimator that makes use of them."""
    if groups is not None and getattr(estimator, "transductive", False):
        transductive: Any = estimator
        return np.asarray(transductive.predict_proba(X, groups=groups))
    return estimator.predict_proba(X)


def target_matrix(
    y: Sequence[str] | Matrix, n_rows: int, classes: Sequence[str] | None
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32]]:
    """Return the class names and a (rows, classes) matrix of shares from either form of ``y``.

    Raises:
        TrainingError: ``y`` does not fit the rows or the classes, or holds fewer than two labels.
    """
    if isinstance(y, np.ndarray) and y.ndim == 2:
        if classes is None or len(classes) != y.shape[1]:
            raise TrainingError(
                f"y has {y.shape[1]} columns; give their labels as classes=, in that order"
            )
        names = np.array(list(classes))
        targets = y.astype(np.float32)
    else:
        labels = np.asarray(y)
        names = np.array(list(classes)) if classes else np.unique(labels)
        targets = (labels[:, None] == names).astype(np.float32)
        if not targets.any(axis=1).all():
            unknown = sorted(set(labels.tolist()) - set(names.tolist()))
            raise TrainingError(f"labels {unknown} are not among the classes {names.tolist()}")
    if len(targets) != n_rows:
        raise TrainingError(f"{n_rows} rows were given with {len(targets)} labels")
    total = np.nansum(targets, axis=1)
    wrong = np.flatnonzero((np.abs(total - 1) > 1e-3) | (np.nan_to_num(targets) < 0).any(axis=1))
    if wrong.size:
        raise TrainingError(
            f"row {wrong[0]} of y holds {targets[wrong[0]].tolist()}; shares must lie in "
            "[0, 1] and sum to 1 over the classes that are not NaN"
        )
    if np.nansum(targets, axis=0).astype(bool).sum() < 2:
        raise TrainingError("the training rows hold fewer than two labels; give more labels")
    return names, targets


def softmax(logits: Matrix) -> Matrix:
    """Return probabilities along the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))
