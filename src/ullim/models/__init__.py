"""Models: each is a frozen parameter set; what fits it is in ``ullim.training``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from torch import nn

OPSET = 18
ML_OPSET = 3
"""Of ``ai.onnx.ml``, in which ONNX has trees."""
NEVER = -1e30
"""Logit or log-likelihood of a class that is never the answer: under any likelihood of many values,
and finite in float32 where several are added."""


class Model(BaseModel, ABC):
    """Parameters of a classifier.

    Attributes:
        name: Registry name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str

    @property
    def transductive(self) -> bool:
        """Whether it answers a clip by the help of other clips of its speaker, tested ones too."""
        return False


class Network(Model):
    """Parameters of a network over one frame-wise feature.

    The module that ``build`` returns is called as ``module(features, lengths)``: features float32
    (batch, frames, features), lengths int64 (batch,) or None where nothing is padded; it returns
    logits (batch, classes). A padded item must get the logits it gets alone.
    """

    @property
    def max_frames(self) -> int | None:
        """Longest clip the network takes, in frames; None for any."""
        return None

    @abstractmethod
    def build(self, n_features: int, n_classes: int) -> nn.Module:
        """Return the network with fresh weights drawn from torch's global generator."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """The part of an ONNX graph that is one classifier's own.

    It goes from ``input``, the rows as the classifier was fitted on them, float32 (rows, features),
    to ``output``, float32 (rows, classes it was fitted on). Everything around it is written once,
    by ``ullim.training.export_classical``.

    Attributes:
        nodes: ``onnx.NodeProto`` each, of the operator sets ``OPSET`` and ``ML_OPSET``.
        constants: By name; float64 becomes float32, unless ``double``.
        double: Whether all is computed in float64, ``input`` and ``output`` too: for sums in which
            large terms cancel.
    """

    input: ClassVar[str] = "input"
    output: ClassVar[str] = "output"

    nodes: Sequence[Any]
    constants: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    double: bool = False


class Classical(Model):
    """Parameters of a scikit-learn classifier over one vector per clip.

    Where ``candidates`` returns several, the one with the best UA on inner folds of training
    speakers is taken; the test speakers have no say.

    A row is one window of a clip, or of an augmented view of it. What ``build`` returns is any
    scikit-learn classifier over rows; the class attributes say how it is fed and what it answers.

    Attributes:
        standardised: Whether ``X``, float64 (rows, features), is standardised by the training rows
            and clipped at five deviations; otherwise it is the feature as it was computed.
        targets: ``shares``: ``y`` is (rows, classes), with NaN where a row's corpus never offers
            the class, and all classes are answered for. ``labels``: ``y`` is the column of the
            largest share, int64 (rows,); the classifier's own ``classes_`` says which it answers
            for, and one without a row is never the answer.
        gives: ``logits``: it has ``decision_function``, whose softmax is a probability after
            division by a temperature. ``probabilities``: it has ``predict_proba``, whose logarithm
            is taken, of 1e-6 where it is less.
        normalisation: What makes the vectors of each speaker with 20 of them or more alike:
            ``z-score`` gives them the mean and deviation of the training rows, ``histogram`` their
            distribution. A tested speaker's unlabelled clips are all used for it, so such figures
            are transductive; a bundle answers one clip, and leaves it out.
    """

    normalisation: Literal["none", "z-score", "histogram"] = "none"

    standardised: ClassVar[bool] = True
    targets: ClassVar[Literal["shares", "labels"]] = "shares"
    gives: ClassVar[Literal["logits", "probabilities"]] = "logits"

    @property
    def transductive(self) -> bool:
        """Whether vectors are normalised by speaker."""
        return self.normalisation != "none"

    @property
    def calibrated(self) -> bool:
        """Whether a temperature is fitted on inner folds; without it, it is 1."""
        return True

    def candidates(self) -> list[dict[str, Any]]:
        """Return the settings to choose from; one for no choice."""
        return [{}]

    @abstractmethod
    def build(self, setting: dict[str, Any], seed: int) -> Any:
        """Return an unfitted classifier with ``fit(X, y, sample_weight)``.

        Args:
            setting: One of ``candidates``.
            seed: Of whatever chance it uses.
        """

    def fragment(self, fitted: Any) -> Fragment:
        """Return what ``build`` returned, once fitted, as a piece of an ONNX graph.

        Args:
            fitted: As it stands, that of a linear classifier: ``coef_`` (features, classes) and
                ``intercept_`` (classes,).
        """
        from onnx import helper

        return Fragment(
            [
                helper.make_node("MatMul", [Fragment.input, "coef"], ["weighed"]),
                helper.make_node("Add", ["weighed", "intercept"], [Fragment.output]),
            ],
            {"coef": np.asarray(fitted.coef_), "intercept": np.asarray(fitted.intercept_)},
        )


class Generative(Model):
    """Parameters of a density of each class, over clips' vectors or over their frames.

    Attributes:
        selection: Columns to choose before the fit; None keeps all.
    """

    selection: Any = None

    @abstractmethod
    def candidates(self) -> list[dict[str, Any]]:
        """Return the settings to choose from, as of a :class:`Classical`."""

    @abstractmethod
    def build(self, setting: dict[str, Any], seed: int) -> Any:
        """Return an unfitted density: ``fit(items, codes, n_classes)`` and ``scores(items)``.

        Items are a :class:`ullim.types.Ragged`; scores are log-likelihoods (items, classes) that
        do not grow with an item's length.
        """
