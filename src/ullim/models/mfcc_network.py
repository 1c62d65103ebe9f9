"""Nine networks over cepstra that were compared on one corpus, as one model with two switches."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional

from ullim.models import Network
from ullim.models._recurrence import states_over


class MfccNetwork(Network):
    """A front of convolutions, or none; then a recurrent layer, or none; then the classes.

    Without either it is fully connected over the whole map. All but the recurrent networks without
    a front take maps of ``frames`` frames: zeros follow a shorter clip, which are the training mean
    where inputs are standardised.

    Attributes:
        front: ``cnn1d`` convolves over time, ``cnn2d`` over time and coefficients; each layer is
            a convolution, batch normalisation, ReLU, maximum over pairs and dropout.
        recurrent: What reads the frames that are left; its last state is classified.
        frames: Longest clip, in frames of the feature.
        channels_1d: Of each layer of ``cnn1d``.
        kernel_1d: Its length, in frames.
        channels_2d: Of each layer of ``cnn2d``.
        kernel_2d: Its length, in coefficients and in frames.
        hidden: Values between a front and the classes where nothing is recurrent.
        dense: Layers of the fully connected network.
        units: Of a recurrent layer, in each direction.
        recurrent_layers: How many.
        dropout: After every layer.

    Reference: Eom & Bang, JICCE 19(3), 2021, who name the nine and their inputs. Four layers of 32
    channels at 4 by 10 with these parts, and 64 values before the classes, are those of notebooks
    that were widely copied for this corpus.
    Differs: the paper's layers are not public to us; sizes here are ours or the notebooks', so
    nothing here is the paper's architecture.
    """

    name: Literal["mfcc-network"] = "mfcc-network"
    front: Literal["none", "cnn1d", "cnn2d"] = "cnn2d"
    recurrent: Literal["none", "lstm", "bilstm"] = "none"
    frames: int = Field(216, ge=1)
    channels_1d: tuple[PositiveInt, ...] = Field((128, 128, 256, 256), min_length=1)
    kernel_1d: int = Field(5, ge=1)
    channels_2d: tuple[PositiveInt, ...] = Field((32, 32, 32, 32), min_length=1)
    kernel_2d: tuple[PositiveInt, PositiveInt] = (4, 10)
    hidden: int = Field(64, ge=1)
    dense: tuple[PositiveInt, ...] = Field((512, 256, 128), min_length=1)
    units: int = Field(128, ge=1)
    recurrent_layers: int = Field(1, ge=1)
    dropout: float = Field(0.2, ge=0.0, lt=1.0)

    @property
    def max_frames(self) -> int | None:
        """Longest clip, in frames; None for any."""
        return None if self.front == "none" and self.recurrent != "none" else self.frames

    @model_validator(mode="after")
    def _check_frames(self) -> MfccNetwork:
        layers = {"none": (), "cnn1d": self.channels_1d, "cnn2d": self.channels_2d}[self.front]
        if self.frames < 2 ** len(layers):
            raise ValueError(
                f"{self.frames} frames are halved to nothing by {len(layers)} layers; give at "
                f"least {2 ** len(layers)}"
            )
        return self

    def build(self, n_features: int, n_classes: int) -> nn.Module:
        """Return the network with fresh weights drawn from torch's global generator."""
        return _Module(self, n_features, n_classes)


class _Module(nn.Module):
    def __init__(self, config: MfccNetwork, n_features: int, n_classes: int) -> None:
        super().__init__()
        self.max_frames = config.max_frames
        frames, width = config.frames, n_features
        self.front: nn.Module = nn.Identity()
        if config.front == "cnn1d":
            layers = [n_features, *config.channels_1d]
            self.front = nn.Sequential(
                *(
                    _Layer(before, after, (config.kernel_1d, 1), (2, 1), config.dropout)
                    for before, after in pairwise(layers)
                )
            )
            frames, width = frames >> (len(layers) - 1), layers[-1]
        elif config.front == "cnn2d":
            coefficients, time = config.kernel_2d
            stack, before, bands = [], 1, n_features
            for after in config.channels_2d:
                # A single coefficient that is left has no partner.
                halve = 2 if bands > 1 else 1
                stack.append(
                    _Layer(before, after, (time, coefficients), (2, halve), config.dropout)
                )
                before, bands = after, bands // halve
            self.front = nn.Sequential(*stack)
            frames, width = frames >> len(stack), before * bands
        self.folded = config.front == "cnn1d"
        self.recurrent: nn.LSTM | None = None
        if config.recurrent != "none":
            both = config.recurrent == "bilstm"
            self.recurrent = nn.LSTM(
                width,
                config.units,
                config.recurrent_layers,
                batch_first=True,
                bidirectional=both,
                dropout=config.dropout if config.recurrent_layers > 1 else 0.0,
            )
            width = config.units * (2 if both else 1)
            self.head = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(width, n_classes))
        elif config.front == "none":
            sizes = [frames * n_features, *config.dense]
            self.head = nn.Sequential(
                *(
                    nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Dropout(config.dropout))
                    for a, b in pairwise(sizes)
                ),
                nn.Linear(sizes[-1], n_classes),
            )
        else:
            self.head = nn.Sequential(
                nn.Linear(frames * width, config.hidden, bias=False),
                nn.BatchNorm1d(config.hidden),
                nn.ReLU(),
                nn.Dropout(config.dropout),
                nn.Linear(config.hidden, n_classes),
            )

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        if self.max_frames is None:
            assert self.recurrent is not None
            return torch.as_tensor(self.head(states_over(self.recurrent, features, lengths)[1]))
        x = self._map(features, lengths, self.max_frames)
        if not isinstance(self.front, nn.Identity):
            # (batch, channels, frames, bands)
            x = x.transpose(1, 2).unsqueeze(3) if self.folded else x.unsqueeze(1)
            # A CPU convolves a fifth sooner with the channels next to each other in memory.
            x = x.contiguous(memory_format=torch.channels_last)
            x = self.front(x).transpose(1, 2).flatten(2)
        x = x.flatten(1) if self.recurrent is None else states_over(self.recurrent, x, None)[1]
        return torch.as_tensor(self.head(x))

    @staticmethod
    def _map(features: Tensor, lengths: Tensor | None, frames: int) -> Tensor:
        """Return clips of exactly so many frames, zero where there is no clip."""
        if lengths is not None:
            inside = torch.arange(features.shape[1], device=features.device) < lengths[:, None]
            features = features.masked_fill(~inside[:, :, None], 0.0)
        rest = features.new_zeros(features.shape[0], frames, features.shape[2])
        return torch.cat((features, rest), dim=1)[:, :frames]


class _Layer(nn.Module):
    """Convolution that keeps the size, normalisation, ReLU, maximum over pairs, dropout."""

    def __init__(
        self,
        before: int,
        after: int,
        kernel: tuple[int, int],
        pool: tuple[int, int],
        dropout: float,
    ) -> None:
        super().__init__()
        # An even kernel has no centre; the odd zero goes to the end.
        (low, high), (left, right) = (
            (math.floor((size - 1) / 2), math.ceil((size - 1) / 2)) for size in kernel
        )
        self.padding = (left, right, low, high)
        self.layers = nn.Sequential(
            nn.Conv2d(before, after, kernel, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.MaxPool2d(pool),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.layers(functional.pad(x, self.padding)))
