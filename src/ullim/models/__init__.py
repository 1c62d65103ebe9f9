"""Networks only: each model is a frozen parameter set whose ``build`` makes a torch module."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from torch import nn


class Model(BaseModel, ABC):
    """Parameters of a network over one frame-wise feature.

    The module that ``build`` returns is called as ``module(features, lengths)``: features float32
    (batch, frames, features), lengths int64 (batch,) or None where nothing is padded; it returns
    logits (batch, classes). A padded item must get the logits it gets alone.

    Attributes:
        name: Registry name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str

    @abstractmethod
    def build(self, n_features: int, n_classes: int) -> nn.Module:
        """Return the network with fresh weights drawn from torch's global generator."""
