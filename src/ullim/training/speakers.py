"""Speakers made alike: each one's vectors are given the distribution of the training rows.

Where the speaker is one who is tested on, this takes all of that speaker's unlabelled clips at
once. It is transductive, and a figure of it is not that of a system that hears one clip.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from ullim.augment.equalization import equalise, quantiles

Matrix = npt.NDArray[np.float64]


class _BySpeaker(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Maps the rows of each speaker who has enough of them; others stay as they are."""

    min_rows: int

    def fit(self, X: Any, y: Any = None, groups: Any = None) -> Self:
        """Learn the distribution of all rows, and of each speaker among them.

        Args:
            X: Shape (rows, features).
            y: Ignored.
            groups: Speaker of each row; None knows no speaker.
        """
        X = validate_data(self, X, dtype=np.float64)
        self.reference_ = self._distribution(X)
        self.speakers_: dict[Any, Any] = {}
        self.untouched_: list[Any] = []
        if groups is not None:
            self.speakers_ = self._distributions(X, np.asarray(groups))
        return self

    def transform(self, X: Any, groups: Any = None) -> Matrix:
        """Return the rows with the distribution of the training rows.

        A speaker of ``fit`` is mapped as learned there; another by the rows given here, all of
        them at once. Speakers with fewer than ``min_rows`` rows stay as they are, and are named in
        ``untouched_`` of the last call; so does every row without ``groups``.

        Args:
            X: Shape (rows, features).
            groups: Speaker of each row.
        """
        check_is_fitted(self)
        X = np.array(validate_data(self, X, dtype=np.float64, reset=False))
        self.untouched_ = []
        if groups is None:
            return np.asarray(X)
        speakers = np.asarray(groups)
        check_consistent_length(X, speakers)
        new = np.array([speaker not in self.speakers_ for speaker in speakers.tolist()])
        known = self.speakers_ | (self._distributions(X[new], speakers[new]) if new.any() else {})
        for speaker in np.unique(speakers).tolist():
            if known[speaker] is None:
                self.untouched_.append(speaker)
                continue
            rows = speakers == speaker
            X[rows] = self._map(X[rows], known[speaker])
        return np.asarray(X)

    def _distributions(self, X: Matrix, speakers: npt.NDArray[Any]) -> dict[Any, Any]:
        found = {}
        for speaker in np.unique(speakers).tolist():
            rows = X[speakers == speaker]
            found[speaker] = self._distribution(rows) if len(rows) >= self.min_rows else None
        return found

    def _distribution(self, rows: Matrix) -> Any:
        raise NotImplementedError

    def _map(self, rows: Matrix, own: Any) -> Matrix:
        raise NotImplementedError


class HistogramEqualizer(_BySpeaker):
    """Map each feature of a speaker by x' = F_train⁻¹(F_speaker(x)).

    Attributes:
        n_quantiles: Of both distributions.
        min_rows: Rows a speaker must have; with fewer, the distribution is guesswork.

    >>> X, speakers = np.arange(20.0)[:, None], ["a"] * 10 + ["b"] * 10
    >>> equalizer = HistogramEqualizer(min_rows=10).fit(X, groups=speakers)
    >>> equalizer.transform([[0.0], [9.0]], groups=["a", "a"]).ravel().tolist()
    [0.0, 19.0]

    Reference: de la Torre et al., IEEE Transactions on Speech and Audio Processing 13(3), 2005.
    """

    def __init__(self, n_quantiles: int = 1000, min_rows: int = 20) -> None:
        self.n_quantiles = n_quantiles
        self.min_rows = min_rows

    def _distribution(self, rows: Matrix) -> Any:
        return quantiles(rows.astype(np.float32), self.n_quantiles)

    def _map(self, rows: Matrix, own: Any) -> Matrix:
        return np.asarray(equalise(rows.astype(np.float32), own, self.reference_), np.float64)


class SpeakerStandardizer(_BySpeaker):
    """Give each feature of a speaker the mean and deviation of the training rows (z-score).

    Attributes:
        min_rows: Rows a speaker must have.

    >>> X, speakers = np.array([[0.0], [2.0], [10.0], [14.0]]), ["a", "a", "b", "b"]
    >>> standardizer = SpeakerStandardizer(min_rows=2).fit(X, groups=speakers)
    >>> bool(np.isclose(standardizer.transform(X, groups=speakers)[:2].mean(), X.mean()))
    True
    """

    def __init__(self, min_rows: int = 20) -> None:
        self.min_rows = min_rows

    def _distribution(self, rows: Matrix) -> Any:
        spread = rows.std(axis=0)
        return rows.mean(axis=0), np.where(spread > 1e-8, spread, 1.0)

    def _map(self, rows: Matrix, own: Any) -> Matrix:
        (mean, spread), (wanted, wide) = own, self.reference_
        return np.asarray((rows - mean) / spread * wide + wanted)
