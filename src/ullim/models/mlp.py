"""A multilayer perceptron over one vector per clip."""

from __future__ import annotations

import warnings
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.utils.validation import check_is_fitted, validate_data

from ullim.models import Classical, Fragment

Width = Annotated[int, Field(ge=1, le=8192)]


class Mlp(Classical):
    """scikit-learn's multilayer perceptron: rectified layers, trained by Adam.

    A row of soft labels counts for its largest; a class that a row's corpus never offers counts as
    another class, since this loss cannot be masked.

    Attributes:
        hidden: Width of each hidden layer.
        max_iter: Most passes over the training rows; fewer where the loss no longer falls.
        alpha: Strength of the squared penalty.
        standardise: Whether vectors are standardised by the training rows and clipped.
        calibrate: Whether a temperature is fitted on inner folds, which takes five fits more.

    >>> Mlp(hidden=(8,)).build({}, seed=0).hidden_layer_sizes
    (8,)
    """

    targets: ClassVar[Literal["shares", "labels"]] = "labels"

    name: Literal["mlp"] = "mlp"
    hidden: tuple[Width, ...] = Field((128, 128), min_length=1)
    max_iter: int = Field(1000, ge=1)
    alpha: float = Field(1e-4, ge=0.0)
    standardise: bool = True
    calibrate: bool = True

    @property
    def standardised(self) -> bool:  # type: ignore[override]
        """As ``standardise`` says."""
        return self.standardise

    @property
    def calibrated(self) -> bool:
        """As ``calibrate`` says."""
        return self.calibrate

    def build(self, setting: dict[str, Any], seed: int) -> Any:
        """Return it unfitted; the seed draws the first weights and the batches."""
        return LogitMlp(
            hidden_layer_sizes=self.hidden,
            max_iter=self.max_iter,
            alpha=self.alpha,
            random_state=seed,
        )

    def fragment(self, fitted: Any) -> Fragment:
        """Return its layers: products, sums, and rectifiers between them."""
        from onnx import helper

        weights, biases = list(fitted.coefs_), list(fitted.intercepts_)
        if weights[-1].shape[1] == 1:  # scikit-learn's way with two classes
            weights[-1] = np.hstack([-weights[-1] / 2, weights[-1] / 2])
            biases[-1] = np.concatenate([-biases[-1] / 2, biases[-1] / 2])
        nodes: list[Any] = []
        constants: dict[str, npt.NDArray[Any]] = {}
        last = len(weights) - 1
        values = Fragment.input
        for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            constants |= {f"weight{layer}": weight, f"bias{layer}": bias}
            summed = Fragment.output if layer == last else f"summed{layer}"
            nodes += [
                helper.make_node("MatMul", [values, f"weight{layer}"], [f"weighed{layer}"]),
                helper.make_node("Add", [f"weighed{layer}", f"bias{layer}"], [summed]),
            ]
            if layer < last:
                values = f"hidden{layer}"
                nodes.append(helper.make_node("Relu", [summed], [values]))
        return Fragment(nodes, constants)


class LogitMlp(MLPClassifier):  # type: ignore[misc]
    """scikit-learn's, which also says what it thinks before the softmax."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit; reaching ``max_iter`` is an end like another."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            super().fit(X, y, sample_weight)
        return self

    def decision_function(self, X: Any) -> npt.NDArray[np.floating[Any]]:
        """Return logits, shape (rows, classes), or (rows,) of the second of two classes."""
        check_is_fitted(self)
        values = validate_data(self, X, accept_sparse=("csr", "csc"), reset=False)
        last = len(self.coefs_) - 1
        for layer, (weight, bias) in enumerate(zip(self.coefs_, self.intercepts_, strict=True)):
            values = values @ weight + bias
            if layer < last:
                values = np.maximum(values, 0)
        return np.asarray(values.ravel() if values.shape[1] == 1 else values)
