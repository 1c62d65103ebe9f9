"""Mixtures of Gaussians: a density of each class, over vectors or over frames."""

from __future__ import annotations

import warnings
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import logsumexp, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from ullim.decision import item_means
from ullim.models import NEVER, Generative
from ullim.types import Ragged

Matrix = npt.NDArray[np.float64]
Count = Annotated[int, Field(ge=1, le=512)]
Prior = Literal["uniform", "training"]

_ROWS_AT_ONCE = 16_384


class Selection(BaseModel):
    """Forward selection of the columns of one feature, within whatever rows are fitted.

    Attributes:
        feature: Whose columns; those of the other features all stay.
        n_features: Columns kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    feature: str
    n_features: int = Field(15, ge=1)


class GaussianMixtures(Generative):
    """A mixture of Gaussians with diagonal covariances for each class.

    Over a feature with one vector per clip, a row is a clip. Over frames, a row is a frame, and a
    clip's score is the mean of its frames' log-likelihoods: their sum would grow with the length
    of the clip, and one temperature could not calibrate clips of all lengths. A row of soft labels
    counts for its largest.

    Attributes:
        n_components: Gaussians of each class, to choose from on inner folds of speakers.
        variance_floor: Added to every variance, so that none is smaller; columns are standardised.
        prior: ``uniform``, or the classes' shares of the training rows.
        selection: Columns to choose; None keeps all.
    """

    name: Literal["gmm"] = "gmm"
    n_components: tuple[Count, ...] = Field((1, 2, 4), min_length=1)
    variance_floor: float = Field(0.01, gt=0.0)
    prior: Prior = "uniform"
    selection: Selection | None = None

    def candidates(self) -> list[dict[str, Any]]:
        """Return one setting for each number of components."""
        return [{"n_components": n} for n in self.n_components]

    def build(self, setting: dict[str, Any], seed: int) -> MixtureDensity:
        """Return it unfitted; the seed places the first means."""
        return MixtureDensity(
            GaussianMixtureClassifier(
                **setting,
                variance_floor=self.variance_floor,
                prior=self.prior,
                random_state=seed,
            )
        )


class GaussianMixtureClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """One mixture of diagonal Gaussians per class, and Bayes' rule.

    Attributes:
        n_components: Gaussians of each class; fewer where it has fewer rows.
        variance_floor: Added to every variance.
        prior: ``uniform``, or the classes' shares of the training rows.
        max_iter: Most steps of expectation-maximisation.
        random_state: Places the first means.

    After ``fit``: ``classes_``; ``log_weights_`` (classes, components), -inf where a class has
    fewer; ``means_`` and ``variances_`` (classes, components, features); ``log_prior_`` (classes,);
    ``n_iter_``, most steps that a class took.

    >>> X, y = np.array([[0.0], [0.2], [5.0], [5.2]]), ["calm", "calm", "anger", "anger"]
    >>> GaussianMixtureClassifier().fit(X, y).predict([[0.1], [4.0]]).tolist()
    ['calm', 'anger']

    Reference: Reynolds & Rose, Robust text-independent speaker identification using Gaussian
    mixture speaker models, IEEE Transactions on Speech and Audio Processing 3(1), 1995.
    """

    def __init__(
        self,
        n_components: int = 1,
        variance_floor: float = 1e-2,
        prior: Prior = "uniform",
        max_iter: int = 50,
        random_state: Any = None,
    ) -> None:
        self.n_components = n_components
        self.variance_floor = variance_floor
        self.prior = prior
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Fit.

        Args:
            X: Shape (rows, features).
            y: A label per row.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        chance = check_random_state(self.random_state)
        self.n_iter_ = 0
        shape = len(self.classes_), self.n_components
        self.log_weights_ = np.full(shape, -np.inf)
        self.means_ = np.zeros((*shape, X.shape[1]))
        self.variances_ = np.ones((*shape, X.shape[1]))
        for place in range(len(self.classes_)):
            rows = X[codes == place]
            found = self._mixture(rows, chance)
            self.n_iter_ = max(self.n_iter_, found.n_iter_)
            n = found.n_components
            self.log_weights_[place, :n] = np.log(np.maximum(found.weights_, 1e-300))
            self.means_[place, :n] = found.means_
            self.variances_[place, :n] = found.covariances_
        share = np.bincount(codes) / len(codes)
        self.log_prior_ = np.log(share if self.prior == "training" else np.ones_like(share))
        self.log_prior_ -= logsumexp(self.log_prior_)
        return self

    def _mixture(self, rows: Matrix, chance: Any) -> GaussianMixture:
        mixture = GaussianMixture(
            min(self.n_components, len(np.unique(rows, axis=0))),
            covariance_type="diag",
            reg_covar=self.variance_floor,
            max_iter=self.max_iter,
            random_state=chance,
        )
        with warnings.catch_warnings():
            # Where it stands after `max_iter` steps is good enough, and is what was asked for.
            warnings.simplefilter("ignore", ConvergenceWarning)
            # scikit-learn wants two rows; twice the same one is a Gaussian of the floor's width.
            return mixture.fit(rows if len(rows) > 1 else np.repeat(rows, 2, axis=0))

    @property
    def terms_(self) -> tuple[Matrix, Matrix, Matrix]:
        """What multiplies x², x and 1 in the log-density of each Gaussian, weight included.

        Shapes (features, classes * components) twice, and (classes * components,).
        """
        precision = 1.0 / self.variances_
        constant = self.log_weights_ - 0.5 * (
            np.log(2 * np.pi * self.variances_) + self.means_**2 * precision
        ).sum(axis=2)
        n = constant.size
        return (
            -0.5 * precision.reshape(n, -1).T,
            (self.means_ * precision).reshape(n, -1).T,
            np.maximum(constant.ravel(), NEVER),
        )

    def log_likelihood(self, X: Any) -> Matrix:
        """Return the log-density of each row under each class, shape (rows, classes)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        square, linear, constant = self.terms_
        parts = []
        for start in range(0, len(X), _ROWS_AT_ONCE):
            rows = X[start : start + _ROWS_AT_ONCE]
            each = rows**2 @ square + rows @ linear + constant
            parts.append(logsumexp(each.reshape(len(rows), *self.log_weights_.shape), axis=2))
        return np.concatenate(parts)

    def predict_log_proba(self, X: Any) -> Matrix:
        """Return log-probabilities, shape (rows, classes)."""
        joint = self.log_likelihood(X) + self.log_prior_
        return np.asarray(joint - logsumexp(joint, axis=1, keepdims=True))

    def predict_proba(self, X: Any) -> Matrix:
        """Return probabilities, shape (rows, classes)."""
        return np.asarray(softmax(self.log_likelihood(X) + self.log_prior_, axis=1))

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the most probable label of each row."""
        likely = self.log_likelihood(X) + self.log_prior_
        return np.asarray(self.classes_[likely.argmax(axis=1)])


class MixtureDensity:
    """The classifier above over items of one or more rows: the mean of their log-likelihoods."""

    def __init__(self, classifier: GaussianMixtureClassifier) -> None:
        self.classifier = classifier

    def fit(self, items: Ragged, codes: npt.NDArray[np.int64], n_classes: int) -> Self:
        """Fit on items with the place of each one's class."""
        self.n_classes = n_classes
        self.classifier.fit(items.values, np.repeat(codes, items.lengths))
        return self

    def scores(self, items: Ragged) -> Matrix:
        """Return mean log-likelihood and prior of each item, shape (items, classes)."""
        each = self.classifier.log_likelihood(items.values) + self.classifier.log_prior_
        return spread(item_means(each, items.lengths), self.classifier.classes_, self.n_classes)


def spread(each: Matrix, places: npt.NDArray[Any], n: int) -> Matrix:
    """Return the columns at their places among ``n``, ``NEVER`` elsewhere."""
    wide = np.full((len(each), n), NEVER)
    wide[:, places] = each
    return wide
