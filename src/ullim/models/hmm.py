"""Hidden Markov models: the baseline that hears the order of a clip's frames."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.special import logsumexp

from ullim.models import NEVER, Generative
from ullim.models.mixture import Count, GaussianMixtureClassifier, Matrix, spread
from ullim.types import Ragged


class HiddenMarkov(Generative):
    """A left-to-right hidden Markov model for each class, with mixtures of Gaussians in its states.

    A clip begins in the first state and stays or goes on to the next with every frame. Its score
    is the log-likelihood over all paths, by frame, so that it does not grow with the clip's
    length. One state is a mixture of Gaussians.

    Attributes:
        n_states: States of each class, to choose from on inner folds of speakers.
        n_components: Gaussians of each state, likewise.
        variance_floor: Added to every variance; columns are standardised.
        max_iter: Most times that frames are put anew into states.

    Reference: Nogueiras, Moreno, Bonafonte & Mariño, Speech emotion recognition using hidden
    Markov models, Eurospeech 2001; Juang & Rabiner, The segmental K-means algorithm for estimating
    parameters of hidden Markov models, IEEE TASSP 38(9), 1990.
    Differs: a clip may end in any state, so that one shorter than the states still has a path.
    """

    name: Literal["hmm"] = "hmm"
    n_states: tuple[Count, ...] = Field((3, 5), min_length=1)
    n_components: tuple[Count, ...] = Field((4,), min_length=1)
    variance_floor: float = Field(0.01, gt=0.0)
    max_iter: int = Field(4, ge=1)

    def candidates(self) -> list[dict[str, Any]]:
        """Return one setting for each pair of numbers."""
        return [
            {"n_states": states, "n_components": components}
            for states in self.n_states
            for components in self.n_components
        ]

    def build(self, setting: dict[str, Any], seed: int) -> MarkovDensity:
        """Return it unfitted; the seed places the first means."""
        return MarkovDensity(
            **setting,
            variance_floor=self.variance_floor,
            max_iter=self.max_iter,
            random_state=seed,
        )


class MarkovDensity:
    """Left-to-right models of all classes, fitted by Viterbi alignment.

    After ``fit``: ``emission_``, the mixtures, whose class ``c * n_states + s`` is state ``s`` of
    class ``c``; ``log_stay_`` and ``log_move_`` (classes, states).
    """

    def __init__(
        self,
        n_states: int = 3,
        n_components: int = 1,
        variance_floor: float = 1e-2,
        max_iter: int = 4,
        random_state: int = 0,
    ) -> None:
        self.n_states = n_states
        self.n_components = n_components
        self.variance_floor = variance_floor
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, items: Ragged, codes: npt.NDArray[np.int64], n_classes: int) -> Self:
        """Fit on items with the place of each one's class."""
        self.n_classes = n_classes
        owner = np.repeat(codes, items.lengths)
        # At first every clip is cut into equal parts.
        states = np.concatenate(
            [np.arange(length) * self.n_states // length for length in items.lengths]
        )
        for _ in range(self.max_iter):
            self.emission_ = GaussianMixtureClassifier(
                self.n_components,
                self.variance_floor,
                max_iter=20,
                random_state=self.random_state,
            ).fit(items.values, owner * self.n_states + states)
            self._fit_transitions(states, items, codes)
            each = self._emissions(items).reshape(-1, n_classes, self.n_states)
            found = _align(
                each[np.arange(len(each)), owner],
                items.lengths,
                self.log_stay_[codes],
                self.log_move_[codes],
            )
            settled = (found == states).mean() > 0.99
            states = found
            if settled:
                break
        return self

    def _fit_transitions(
        self, states: npt.NDArray[np.int64], items: Ragged, codes: npt.NDArray[np.int64]
    ) -> None:
        # One stay and one move more than were counted, so that neither is ever impossible.
        stays, moves = np.ones((2, self.n_classes, self.n_states))
        inside = np.ones(len(states), dtype=bool)
        inside[items.offsets[1:] - 1] = False
        at = np.flatnonzero(inside)
        moved = states[at + 1] > states[at]
        owner = np.repeat(codes, items.lengths)[at]
        np.add.at(moves, (owner[moved], states[at][moved]), 1.0)
        np.add.at(stays, (owner[~moved], states[at][~moved]), 1.0)
        self.log_stay_ = np.log(stays / (stays + moves))
        self.log_move_ = np.log(moves / (stays + moves))
        self.log_stay_[:, -1] = 0.0

    def _emissions(self, items: Ragged) -> Matrix:
        """Return the log-density of every frame in every state, (frames, classes * states)."""
        return spread(
            self.emission_.log_likelihood(items.values),
            self.emission_.classes_,
            self.n_classes * self.n_states,
        )

    @property
    def log_transitions_(self) -> Matrix:
        """Log-probabilities from state to state, shape (classes, states, states)."""
        table = np.full((self.n_classes, self.n_states, self.n_states), NEVER)
        here = np.arange(self.n_states)
        table[:, here, here] = self.log_stay_
        table[:, here[:-1], here[1:]] = self.log_move_[:, :-1]
        return table

    def scores(self, items: Ragged) -> Matrix:
        """Return the log-likelihood of each item by frame, shape (items, classes)."""
        each = self._emissions(items).reshape(-1, self.n_classes, self.n_states)
        lengths = items.lengths
        order = np.argsort(-lengths, kind="stable")
        first = items.offsets[:-1][order]
        forward = np.full((len(order), self.n_classes, self.n_states), NEVER)
        forward[:, :, 0] = each[first, :, 0]
        for frame in range(1, int(lengths.max())):
            # The longest come first: those that go on are the head of the order.
            n = int((lengths > frame).sum())
            stay = forward[:n] + self.log_stay_
            come = np.full_like(stay, NEVER)
            come[:, :, 1:] = forward[:n, :, :-1] + self.log_move_[:, :-1]
            forward[:n] = np.logaddexp(stay, come) + each[first[:n] + frame]
        total = np.empty((len(order), self.n_classes))
        total[order] = logsumexp(forward, axis=2)
        return np.maximum(total / lengths[:, None], NEVER)


def _align(
    each: Matrix, lengths: npt.NDArray[np.int64], log_stay: Matrix, log_move: Matrix
) -> npt.NDArray[np.int64]:
    """Return the state of every frame on each item's best path.

    Args:
        each: Log-density of every frame in the states of its own class, (frames, states).
        lengths: Frames of each item.
        log_stay: Of each item's class, (items, states).
        log_move: Likewise.
    """
    n_states = each.shape[1]
    offsets = np.cumsum([0, *lengths])
    order = np.argsort(-lengths, kind="stable")
    first, stays, moves = offsets[:-1][order], log_stay[order], log_move[order]
    best = np.full((len(order), n_states), NEVER)
    best[:, 0] = each[first, 0]
    came = np.zeros(each.shape, dtype=bool)
    for frame in range(1, int(lengths.max())):
        n = int((lengths > frame).sum())
        stay = best[:n] + stays[:n]
        come = np.full_like(stay, NEVER)
        come[:, 1:] = best[:n, :-1] + moves[:n, :-1]
        at = first[:n] + frame
        came[at] = come > stay
        best[:n] = np.maximum(stay, come) + each[at]
    states = np.empty(len(each), dtype=np.int64)
    here = best.argmax(axis=1)
    for frame in range(int(lengths.max()) - 1, -1, -1):
        n = int((lengths > frame).sum())
        at = first[:n] + frame
        states[at] = here[:n]
        here[:n] -= came[at, here[:n]]
    return states
