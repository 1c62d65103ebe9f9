"""Forward selection of columns by how well a Gaussian per class tells the rows apart."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.model_selection import GroupKFold
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data


class ForwardSelection(SelectorMixin, BaseEstimator):  # type: ignore[misc]
    """Add one column at a time, each time the one that helps most on inner folds.

    What helps is the UA, pooled over folds that part the groups, of a diagonal Gaussian per class.
    Its log-likelihood is a sum over columns, so each fold is fitted once and thousands of sets of
    columns are compared by adding; mixtures of several Gaussians would have to be fitted anew for
    each set.

    Attributes:
        n_features: Columns kept; all where there are fewer.
        n_folds: Inner folds; as many as there are groups where these are fewer.
        variance_floor: Added to every variance; columns should be standardised.
        random_state: Decides the folds.

    After ``fit``: ``order_``, columns in the order they were added; ``path_``, the UA after each.

    >>> X = np.array([[0.3, 0.0], [0.1, 0.2], [0.2, 5.0], [0.4, 5.2]])
    >>> ForwardSelection(1).fit(X, ["calm", "calm", "anger", "anger"]).order_.tolist()
    [1]

    Reference: Whitney, A direct method of nonparametric measurement selection, IEEE Transactions
    on Computers C-20(9), 1971.
    """

    def __init__(
        self,
        n_features: int = 15,
        n_folds: int = 5,
        variance_floor: float = 1e-2,
        random_state: int | None = 0,
    ) -> None:
        self.n_features = n_features
        self.n_folds = n_folds
        self.variance_floor = variance_floor
        self.random_state = random_state

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Choose.

        Args:
            X: Shape (rows, columns).
            y: A label per row.
            groups: Speaker of each row; None takes each row for one of its own.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
        keys = np.arange(len(X)) if groups is None else np.asarray(groups)
        n_folds = min(self.n_folds, len(np.unique(keys)))
        likely = np.zeros((len(X), len(classes), X.shape[1]))
        if n_folds > 1:
            folds = GroupKFold(n_folds, shuffle=True, random_state=self.random_state)
            for train, held_out in folds.split(X, groups=keys):
                likely[held_out] = self._log_likelihood(X[train], codes[train], X[held_out], likely)
        self.order_, self.path_ = _greedy(likely, codes, min(self.n_features, X.shape[1]))
        return self

    def _log_likelihood(self, X: Any, codes: Any, asked: Any, like: Any) -> Any:
        """Return log-densities of each value by itself, shape (rows, classes, columns)."""
        found = np.full((len(asked), *like.shape[1:]), -np.inf)
        for code in np.unique(codes):
            rows = X[codes == code]
            variance = rows.var(axis=0) + self.variance_floor
            squares = (asked - rows.mean(axis=0)) ** 2 / variance
            found[:, code] = -0.5 * (squares + np.log(2 * np.pi * variance))
        return found

    def _get_support_mask(self) -> npt.NDArray[np.bool_]:
        check_is_fitted(self)
        mask = np.zeros(self.n_features_in_, dtype=bool)
        mask[self.order_] = True
        return mask


def _greedy(
    likely: npt.NDArray[np.float64], codes: npt.NDArray[np.int64], n: int
) -> tuple[npt.NDArray[np.int64], list[float]]:
    """Return the columns in the order they are added, and the UA after each."""
    total = np.zeros(likely.shape[:2])
    left = list(range(likely.shape[2]))
    order: list[int] = []
    path: list[float] = []
    share = 1.0 / np.bincount(codes)[codes] / len(np.unique(codes))
    while len(order) < n:
        guess = (total[:, :, None] + likely[:, :, left]).argmax(axis=1)
        recall = share @ (guess == codes[:, None])
        best = int(recall.argmax())
        path.append(float(recall[best]))
        order.append(left.pop(best))
        total += likely[:, :, order[-1]]
    return np.array(order, dtype=np.int64), path
