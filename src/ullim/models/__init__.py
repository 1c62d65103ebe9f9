"""Models: each is a frozen parameter set; what fits it is in ``ullim.training``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from torch import nn


class Model(BaseModel, ABC):
    """Parameters of a classifier.

    Attributes:
        name: Registry name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str


class Network(Model):
    """Parameters of a network over one frame-wise feature.

    The module that ``build`` returns is called as ``module(features, lengths)``: features float32
    (batch, frames, features), lengths int64 (batch,) or None where nothing is padded; it returns
    logits (batch, classes). A padded item must get the logits it gets alone.
    """

    @abstractmethod
    def build(self, n_features: int, n_classes: int) -> nn.Module:
        """Return the network with fresh weights drawn from torch's global generator."""


class Classical(Model):
    """Parameters of a scikit-learn classifier over one vector per clip.

    Where ``candidates`` returns several, the one with the best UA on inner folds of training
    speakers is taken; the test speakers have no say.
    """

    @abstractmethod
    def candidates(self) -> list[dict[str, Any]]:
        """Return the settings to choose from; one for no choice."""

    @abstractmethod
    def build(self, setting: dict[str, Any], seed: int) -> Any:
        """Return an unfitted classifier with ``fit(X, y)`` and ``decision_function(X)``.

        Args:
            setting: One of ``candidates``.
            seed: Of whatever chance it uses.
        """


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
