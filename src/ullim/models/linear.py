"""Linear classifiers over one vector per clip."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.optimize import minimize
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.svm import LinearSVC

from ullim.models import Classical

Strength = Annotated[float, Field(gt=0.0)]
Matrix = npt.NDArray[np.float64]


class LogisticRegression(Classical):
    """Multinomial logistic regression whose loss masks the classes a row's corpus never offers.

    Takes soft labels and several corpora with different labels, which scikit-learn's does not.

    Attributes:
        C: Inverse strengths of the squared penalty to choose from, as in scikit-learn.
    """

    name: Literal["logistic"] = "logistic"
    C: tuple[Strength, ...] = Field((0.001, 0.003, 0.01, 0.03, 0.1), min_length=1)

    def candidates(self) -> list[dict[str, Any]]:
        """Return one setting for each strength."""
        return [{"C": strength} for strength in self.C]

    def build(self, setting: dict[str, Any], seed: int) -> Any:
        """Return it unfitted; nothing in it is drawn."""
        return MaskedLogisticRegression(**setting)


class LinearSvm(Classical):
    """Linear support vector machine, one class against the rest, classes weighed equally.

    A row of soft labels counts for its largest; a class that a row's corpus never offers counts as
    another class, since this loss cannot be masked.

    Attributes:
        C: Inverse strengths of the penalty to choose from.
    """

    targets: ClassVar[Literal["shares", "labels"]] = "labels"

    name: Literal["linear-svm"] = "linear-svm"
    C: tuple[Strength, ...] = Field((1e-5, 1e-4, 1e-3, 1e-2), min_length=1)

    def candidates(self) -> list[dict[str, Any]]:
        """Return one setting for each strength."""
        return [{"C": strength} for strength in self.C]

    def build(self, setting: dict[str, Any], seed: int) -> Any:
        """Return it unfitted; the seed is liblinear's."""
        return _HardLinearSvm(**setting, random_state=seed)


class MaskedLogisticRegression(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Multinomial logistic regression on soft labels with classes masked row by row.

    Minimises ``0.5 |W|² + C Σ weight · cross-entropy`` by L-BFGS; the intercept is not penalised.

    Attributes:
        C: Inverse strength of the penalty.
        balanced: Whether each class weighs the same however rare it is.

    After ``fit``: ``coef_`` (features, classes), ``intercept_`` (classes,), ``classes_``.
    """

    def __init__(self, C: float = 0.01, balanced: bool = True) -> None:
        self.C = C
        self.balanced = balanced

    def fit(self, X: Matrix, y: Any, sample_weight: Any = None) -> Self:
        """Fit.

        Args:
            X: Shape (rows, features), standardised.
            y: A label per row, or shares (rows, classes) with NaN where a class is not offered.
            sample_weight: Shape (rows,).
        """
        X = np.asarray(X, dtype=np.float64)
        y = np.asarray(y)
        if y.ndim == 1:
            self.classes_ = np.unique(y)
            y = (y[:, None] == self.classes_).astype(np.float64)
        else:
            self.classes_ = np.arange(y.shape[1])
        weights = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, float)
        offered = ~np.isnan(y)
        truth = np.nan_to_num(y)
        if self.balanced:
            mass = (truth * weights[:, None]).sum(axis=0)
            share = np.where(mass > 0, mass.sum() / np.maximum(mass, 1e-12) / (mass > 0).sum(), 0.0)
            weights = weights * (truth * share).sum(axis=1)
        n_features, n_classes = X.shape[1], y.shape[1]
        blocked = np.where(offered, 0.0, -np.inf)

        def loss(flat: Matrix) -> tuple[float, Matrix]:
            coef = flat[:-n_classes].reshape(n_features, n_classes)
            logits = X @ coef + flat[-n_classes:] + blocked
            top = logits.max(axis=1, keepdims=True)
            exponentials = np.exp(logits - top)
            total = exponentials.sum(axis=1, keepdims=True)
            log_probability = np.where(offered, logits - top - np.log(total), 0.0)
            value = -(weights[:, None] * truth * log_probability).sum()
            slope = self.C * weights[:, None] * (exponentials / total - truth)
            gradient = np.concatenate([(X.T @ slope + coef).ravel(), slope.sum(axis=0)])
            return float(self.C * value + 0.5 * (coef**2).sum()), gradient

        start = np.zeros(n_features * n_classes + n_classes)
        found = minimize(
            loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500, "gtol": 1e-4}
        )
        self.coef_ = found.x[:-n_classes].reshape(n_features, n_classes)
        self.intercept_ = found.x[-n_classes:]
        self.n_features_in_ = n_features
        return self

    def decision_function(self, X: Matrix) -> Matrix:
        """Return logits, shape (rows, classes)."""
        return np.asarray(np.asarray(X, np.float64) @ self.coef_ + self.intercept_)

    def predict_proba(self, X: Matrix) -> Matrix:
        """Return probabilities, shape (rows, classes)."""
        logits = self.decision_function(X)
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))

    def predict(self, X: Matrix) -> npt.NDArray[Any]:
        """Return the most probable label of each row."""
        return np.asarray(self.classes_[self.decision_function(X).argmax(axis=1)])


class _HardLinearSvm:
    """scikit-learn's ``LinearSVC`` with the face of the class above.

    The answer lies in the span of the rows, so that more features than rows are first turned into
    that span: the same machine, found in seconds where liblinear's coordinate descent on 6,373
    columns takes minutes.
    """

    def __init__(self, C: float, random_state: int) -> None:
        self._svm = LinearSVC(
            C=C, class_weight="balanced", dual=False, max_iter=20_000, random_state=random_state
        )

    def fit(self, X: Matrix, y: npt.NDArray[np.int64], sample_weight: Any = None) -> Self:
        turn = _row_space(X) if X.shape[1] > X.shape[0] else None
        self._svm.fit(X if turn is None else X @ turn, y, sample_weight)
        self.classes_ = self._svm.classes_
        coef = self._svm.coef_ if turn is None else self._svm.coef_ @ turn.T
        self.coef_, self.intercept_ = coef.T, self._svm.intercept_
        if len(self.classes_) == 2:
            self.coef_ = np.hstack([-self.coef_, self.coef_])
            self.intercept_ = np.concatenate([-self.intercept_, self.intercept_])
        return self

    def decision_function(self, X: Matrix) -> Matrix:
        return np.asarray(X @ self.coef_ + self.intercept_)


def _row_space(X: Matrix) -> Matrix:
    """Return an orthonormal basis of the span of the rows, shape (features, rank)."""
    power, directions = np.linalg.eigh(X @ X.T)
    kept = power > power[-1] * 1e-12
    return np.asarray(X.T @ (directions[:, kept] / np.sqrt(power[kept])))
