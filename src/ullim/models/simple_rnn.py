"""One recurrent layer whose last state is classified."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ullim.models import Network
from ullim.models._recurrence import states_over


class SimpleRnn(Network):
    """Elman's recurrent network (tanh); the state after the last frame decides.

    Attributes:
        units: Of each layer.
        layers: One upon the other.

    Reference: Elman, Finding structure in time, Cognitive Science 14, 1990. A Korean system over
    MFCC for six emotions is known by a summary that says "simple RNN" only.
    Differs: every size is a default of ours.
    """

    name: Literal["simple-rnn"] = "simple-rnn"
    units: int = Field(128, ge=1)
    layers: int = Field(1, ge=1)

    def build(self, n_features: int, n_classes: int) -> nn.Module:
        """Return the network with fresh weights drawn from torch's global generator."""
        return _Module(self, n_features, n_classes)


class _Module(nn.Module):
    def __init__(self, config: SimpleRnn, n_features: int, n_classes: int) -> None:
        super().__init__()
        self.rnn = nn.RNN(n_features, config.units, config.layers, batch_first=True)
        self.head = nn.Linear(config.units, n_classes)

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        _, last = states_over(self.rnn, features, lengths)
        return torch.as_tensor(self.head(last))
