"""The estimator of a fusion: each member fits alone, their probabilities become one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin

from ullim.decision import FusionRule, fuse
from ullim.errors import NotFittedError, TrainingError
from ullim.training.classifier import Classifier, Features, Graph, Matrix, answer


@dataclass(frozen=True, slots=True)
class Part:
    """One member.

    Attributes:
        estimator: Unfitted.
        features: Names of the features it takes; none stands for all.
        weight: Of its probabilities.
    """

    estimator: Classifier
    features: tuple[str, ...] = ()
    weight: float = 1.0

    def chosen(self, X: Features) -> Features:
        """Return the features this member takes.

        Raises:
            TrainingError: One of them is not there.
        """
        missing = [name for name in self.features if name not in X]
        if missing:
            raise TrainingError(
                f"a member of the fusion takes {', '.join(missing)}, and the features given are "
                f"{', '.join(X)}"
            )
        return {name: X[name] for name in self.features} if self.features else X


class FusionClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Answers with its members' calibrated probabilities, made one by a rule.

    Attributes:
        parts: The members; ``fit`` fits their estimators in place.
        rule: See :func:`ullim.decision.fuse`.
    """

    def __init__(self, parts: Sequence[Part], rule: FusionRule = "mean") -> None:
        self.parts = parts
        self.rule = rule

    def fit(
        self,
        X: Features,
        y: Sequence[str] | Matrix,
        groups: Sequence[str] | None = None,
        views: Sequence[Features] = (),
    ) -> Self:
        """Fit every member; the arguments are theirs."""
        for part in self.parts:
            part.estimator.fit(
                part.chosen(X), y, groups=groups, views=[part.chosen(view) for view in views]
            )
        self.classes_ = self.parts[0].estimator.classes_
        self.history_ = [run for part in self.parts for run in part.estimator.history_]
        sizes = [getattr(part.estimator, "n_parameters_", 0) for part in self.parts]
        self.n_parameters_ = sum(sizes) or None
        return self

    @property
    def transductive(self) -> bool:
        """Whether ``predict_proba`` is to be told the speakers."""
        return any(getattr(part.estimator, "transductive", False) for part in self.parts)

    def predict_proba(self, X: Features, groups: Sequence[str] | None = None) -> Matrix:
        """Return probabilities, shape (rows, classes).

        Args:
            X: Features by name, one item per clip.
            groups: Speaker of each clip, for members that normalise by speaker.

        Raises:
            NotFittedError: ``fit`` has not been called.
        """
        if not hasattr(self, "classes_"):
            raise NotFittedError("this classifier is not fitted; call fit first")
        weights = [part.weight for part in self.parts]
        answers = [answer(part.estimator, part.chosen(X), groups) for part in self.parts]
        return fuse(answers, weights, self.rule)

    def predict(self, X: Features) -> npt.NDArray[Any]:
        """Return the most probable label of each row."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])

    def summary(self) -> str:
        """Return one line for a log."""
        return "; ".join(part.estimator.summary() for part in self.parts)

    def graphs(self, examples: Features) -> list[Graph]:
        """Return the members' graphs; a member's weight is shared among its own."""
        graphs = []
        for place, part in enumerate(self.parts):
            own = part.estimator.graphs(part.chosen(examples))
            total = sum(graph.weight for graph in own)
            graphs += [
                replace(
                    graph,
                    name=f"{place}-{graph.name}",
                    member=place,
                    weight=part.weight * graph.weight / total,
                )
                for graph in own
            ]
        return graphs
