"""Support vector machine with a Gaussian kernel over one vector per clip."""

from __future__ import annotations

from itertools import combinations
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.svm import SVC
from sklearn.utils.validation import check_is_fitted, validate_data

from ullim.models import Classical, Fragment

Strength = Annotated[float, Field(gt=0.0)]
Matrix = npt.NDArray[np.float64]


class Svm(Classical):
    """Support vector machine with a Gaussian kernel, one class against one.

    It has no probabilities of its own, and scikit-learn's ``SVC(probability=True)``, which invents
    them on folds that know nothing of speakers, is on its way out: here the margins are logits and
    the temperature that makes them probabilities is fitted on inner folds of speakers.

    Attributes:
        C: Inverse strengths of the penalty to choose from.
        gamma: Inverse squared widths of the kernel to choose from, as multiples of scikit-learn's
            ``scale``: one over the number of features times their variance.
    """

    targets: ClassVar[Literal["shares", "labels"]] = "labels"

    name: Literal["svm"] = "svm"
    C: tuple[Strength, ...] = Field((1.0, 10.0, 100.0), min_length=1)
    gamma: tuple[Strength, ...] = Field((0.1, 0.3, 1.0), min_length=1)

    def candidates(self) -> list[dict[str, Any]]:
        """Return one setting for each strength and width."""
        return [{"C": strength, "gamma": width} for strength in self.C for width in self.gamma]

    def build(self, setting: dict[str, Any], seed: int) -> Any:
        """Return it unfitted; nothing in it is drawn."""
        return PairwiseSvm(**setting)

    def fragment(self, fitted: PairwiseSvm) -> Fragment:
        """Return it as plain matrix operations.

        ONNX' own ``SVMClassifier`` counts the votes of the pairs, and a margin that rounding moves
        over zero would change the answer by a whole vote.
        """
        from onnx import helper

        vectors, coef, intercept, gamma = fitted.kernel_machine()
        if len(fitted.classes_) == 2:
            coef, intercept = np.hstack([-coef / 2, coef / 2]), np.array([-1, 1]) * intercept / 2
        steps = [
            ("Mul", [Fragment.input, Fragment.input], "squares"),
            ("ReduceSum", ["squares", "axes"], "length"),
            ("MatMul", [Fragment.input, "minus twice vectors"], "products"),
            ("Add", ["products", "length"], "less"),
            ("Add", ["less", "lengths"], "distances"),
            ("Mul", ["distances", "minus gamma"], "exponents"),
            ("Exp", ["exponents"], "kernel"),
            ("MatMul", ["kernel", "coef"], "weighed"),
            ("Add", ["weighed", "intercept"], Fragment.output),
        ]
        return Fragment(
            [helper.make_node(kind, inputs, [output]) for kind, inputs, output in steps],
            {
                "axes": np.array([1], dtype=np.int64),
                "minus twice vectors": -2 * vectors.T,
                "lengths": (vectors**2).sum(axis=1),
                "minus gamma": np.array(-gamma),
                "coef": coef,
                "intercept": intercept,
            },
        )


class PairwiseSvm(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """scikit-learn's ``SVC``, whose decision is each class' mean margin over the others.

    These are the logits whose differences come nearest, in least squares, to the margins of all
    pairs. Unlike the votes that ``SVC`` counts they are continuous, so they can be calibrated and
    exported.

    Attributes:
        C: Inverse strength of the penalty.
        gamma: Inverse squared width of the kernel, as a multiple of ``SVC``'s ``scale``.

    After ``fit``: ``classes_``, ``svc_``.

    Differs: ``predict`` takes the largest mean margin; ``SVC`` the most votes, which is the same
    class for most rows.
    """

    def __init__(self, C: float = 10.0, gamma: float = 1.0) -> None:
        self.C = C
        self.gamma = gamma

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit.

        Args:
            X: Shape (rows, features), standardised.
            y: A label per row.
            sample_weight: Shape (rows,).
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        scale = 1.0 / (X.shape[1] * (X.var() or 1.0))
        self.svc_ = SVC(C=self.C, gamma=self.gamma * scale, decision_function_shape="ovo")
        self.svc_.fit(X, y, sample_weight)
        self.classes_ = self.svc_.classes_
        return self

    def decision_function(self, X: Any) -> Matrix:
        """Return logits, shape (rows, classes); (rows,), for the second, where there are two."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        margins = self.svc_.decision_function(X)
        if len(self.classes_) == 2:
            return np.asarray(margins)
        return np.asarray(margins @ _means(len(self.classes_)))

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the label of the largest logit of each row."""
        logits = self.decision_function(X)
        best = (logits > 0).astype(int) if logits.ndim == 1 else logits.argmax(axis=1)
        return np.asarray(self.classes_[best])

    def kernel_machine(self) -> tuple[Matrix, Matrix, Matrix, float]:
        """Return what ``decision_function`` computes with, all pairs folded into one.

        Returns:
            Support vectors (vectors, features), coefficients (vectors, outputs), intercepts
            (outputs,) and gamma: ``exp(-gamma · squared distances) @ coefficients + intercepts``.
        """
        machine, n_classes = self.svc_, len(self.classes_)
        gamma = float(machine.gamma)
        if n_classes == 2:
            return machine.support_vectors_, machine.dual_coef_.T, machine.intercept_, gamma
        # A vector of class i stands in row j - 1 of the coefficients for the pair (i, j) and one of
        # class j in row i.
        owner = np.repeat(np.arange(n_classes), machine.n_support_)
        pairs = [
            np.where(owner == i, machine.dual_coef_[j - 1], 0.0)
            + np.where(owner == j, machine.dual_coef_[i], 0.0)
            for i, j in combinations(range(n_classes), 2)
        ]
        means = _means(n_classes)
        coef, intercept = np.stack(pairs, axis=1) @ means, machine.intercept_ @ means
        return machine.support_vectors_, coef, intercept, gamma


def _means(n_classes: int) -> Matrix:
    """Return what turns the margins of all pairs into each class' mean, shape (pairs, classes)."""
    pairs = list(combinations(range(n_classes), 2))
    means = np.zeros((len(pairs), n_classes))
    for row, (first, second) in zip(means, pairs, strict=True):
        row[[first, second]] = [1.0, -1.0]
    return means / (n_classes - 1)
