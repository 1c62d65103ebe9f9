"""A small convolutional network with attentive statistics pooling, ullim's own default."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, PositiveInt, field_validator
from torch import Tensor, nn
from torch.nn import functional

from ullim.models import Network


class DilatedCnn(Network):
    """Two-dimensional stem, dilated depthwise-separable blocks, attentive statistics pooling.

    The stem sees each clip twice: relative to its loudest value, which keeps the spectral tilt,
    and with each band's mean removed, which keeps only what changes. Neither depends on the
    recording level.

    Attributes:
        channels: Width of the residual blocks.
        stem_channels: Width of the two-dimensional stem.
        dilations: One residual block for each, in stem frames (four input frames).
        kernel_size: Length of the depthwise kernels.
        attention_channels: Hidden width of the attention.
        dropout: Before the classifier.
        range_db: Values further under the clip's loudest are cut off.

    Reference: attentive statistics pooling, Okabe, Koshinaka & Shinoda, Interspeech 2018, eqs. 3-6.
    Depthwise-separable dilated convolution over time, Kriman et al. (QuartzNet), ICASSP 2020.
    """

    name: Literal["dilated-cnn"] = "dilated-cnn"
    channels: int = Field(128, ge=4)
    stem_channels: int = Field(16, ge=2)
    dilations: tuple[PositiveInt, ...] = (1, 2, 4, 1, 2, 4)
    kernel_size: int = Field(5, ge=1)
    attention_channels: int = Field(64, ge=1)
    dropout: float = Field(0.3, ge=0.0, lt=1.0)
    range_db: float = Field(70.0, gt=0.0)

    @field_validator("kernel_size")
    @classmethod
    def _check_odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(f"an even kernel of {value} has no centre; give an odd one")
        return value

    def build(self, n_features: int, n_classes: int) -> nn.Module:
        """Return the network with fresh weights drawn from torch's global generator."""
        return _Module(self, n_features, n_classes)


class _Module(nn.Module):
    def __init__(self, config: DilatedCnn, n_features: int, n_classes: int) -> None:
        super().__init__()
        self.range_db = config.range_db
        stem, channels = config.stem_channels, config.channels
        self.stem_1 = nn.Sequential(
            nn.Conv2d(2, stem, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(),
        )
        self.stem_2 = nn.Sequential(
            nn.Conv2d(stem, stem, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(),
        )
        bands = ((n_features + 1) // 2 + 1) // 2
        self.project = nn.Sequential(
            nn.Conv1d(stem * bands, channels, 1, bias=False), nn.BatchNorm1d(channels), nn.ReLU()
        )
        self.blocks = nn.ModuleList(
            _Block(channels, config.kernel_size, dilation) for dilation in config.dilations
        )
        self.attention = nn.Sequential(
            nn.Conv1d(channels, config.attention_channels, 1),
            nn.Tanh(),
            nn.Conv1d(config.attention_channels, channels, 1),
        )
        self.head = nn.Sequential(
            nn.BatchNorm1d(2 * channels),
            nn.Dropout(config.dropout),
            nn.Linear(2 * channels, n_classes),
        )

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        mask = None
        if lengths is not None:
            mask = torch.arange(features.shape[1], device=features.device) < lengths[:, None]
        x = self._normalise(features, mask)
        x = self.stem_1(x)
        if mask is not None:
            mask = mask[:, ::2]
            x = x * mask[:, None, :, None]
        x = self.stem_2(x)
        mask = None if mask is None else mask[:, ::2]
        # (batch, stem, frames, bands) -> (batch, stem * bands, frames)
        x = self.project(x.transpose(2, 3).flatten(1, 2))
        for block in self.blocks:
            x = block(x if mask is None else x * mask[:, None])
        return torch.as_tensor(self.head(self._pool(x, mask)))

    def _normalise(self, features: Tensor, mask: Tensor | None) -> Tensor:
        """Return the two views of a clip, shape (batch, 2, frames, bands), zero where padded."""
        if mask is None:
            loudest = features.amax(dim=(1, 2), keepdim=True)
            level = torch.maximum(features - loudest, features.new_tensor(-self.range_db))
            change = level - level.mean(dim=1, keepdim=True)
            return torch.stack((level / self.range_db + 0.5, change / 20.0), dim=1)
        keep = mask[:, :, None]
        loudest = features.masked_fill(~keep, -torch.inf).amax(dim=(1, 2), keepdim=True)
        level = torch.maximum(features - loudest, features.new_tensor(-self.range_db))
        mean = (level * keep).sum(dim=1, keepdim=True) / keep.sum(dim=1, keepdim=True)
        views = torch.stack((level / self.range_db + 0.5, (level - mean) / 20.0), dim=1)
        return views * keep[:, None]

    def _pool(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Return attention-weighted mean and standard deviation, shape (batch, 2 * channels)."""
        energy = self.attention(x)
        if mask is not None:
            energy = energy.masked_fill(~mask[:, None], -torch.inf)
        weight = functional.softmax(energy, dim=2)
        mean = (weight * x).sum(dim=2)
        variance = (weight * x.square()).sum(dim=2) - mean.square()
        return torch.cat((mean, variance.clamp_min(1e-5).sqrt()), dim=1)


class _Block(nn.Module):
    def __init__(self, channels: int, kernel_size: int, dilation: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(
                channels,
                channels,
                kernel_size,
                padding=dilation * (kernel_size - 1) // 2,
                dilation=dilation,
                groups=channels,
                bias=False,
            ),
            nn.BatchNorm1d(channels),
            nn.Conv1d(channels, channels, 1, bias=False),
            nn.BatchNorm1d(channels),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.as_tensor(self.layers(x))
