"""Three convolutions over pictures of short stretches of a spectrogram, and two wide layers."""

from __future__ import annotations

import math
from typing import Literal, Self

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional

from ullim.errors import TrainingError
from ullim.models import Network

Size = tuple[PositiveInt, PositiveInt]


class Park2018(Network):
    """An AlexNet in small over colour pictures of 16 frames by 256 frequencies.

    Each row of the feature is one picture (``spectrogram-images``); over several rows the logits
    are the mean. With the window cut into segments of one row, the network sees one picture at a
    time, and the decision rule makes one answer of the votes.

    Attributes:
        picture: Time, frequency and colours of a row.
        channels: Kernels of the three convolutions.
        kernels: Their sizes, square.
        strides: Their strides, along time and frequency alike.
        pool: Window of the pooling after the first convolution, along time and frequency.
        pool_stride: Its stride.
        hidden: Units of the two layers before the last.
        dropout: After each of these.

    Reference: Park, Kim, Kwon & Park, KIEE Information and Control Symposium, 2018, pp. 240-241:
    kernels, their numbers, the pooling's size, the layers of 4096, ReLU and softmax.
    Differs: the paper does not say how far the first convolution moves, how borders are padded,
    or whether anything is dropped out; 4, zeros (TensorFlow's SAME) and 0.5 are defaults of ours.
    Moving by 1 would make 1.6 thousand million parameters, more than the card they trained on
    holds.
    """

    name: Literal["park2018"] = "park2018"
    picture: tuple[PositiveInt, PositiveInt, PositiveInt] = (16, 256, 3)
    channels: tuple[PositiveInt, PositiveInt, PositiveInt] = (120, 256, 384)
    kernels: tuple[PositiveInt, PositiveInt, PositiveInt] = (11, 7, 5)
    strides: tuple[PositiveInt, PositiveInt, PositiveInt] = (4, 1, 1)
    pool: Size = (3, 1)
    pool_stride: Size = (2, 2)
    hidden: int = Field(4096, ge=1)
    dropout: float = Field(0.5, ge=0.0, lt=1.0)

    @model_validator(mode="after")
    def _check_size(self) -> Self:
        # 2 thousand million values are 8 GB before the gradients, and more than an ONNX file holds.
        if (n := self.flattened * self.hidden) > 2_000_000_000:
            raise ValueError(
                f"the first wide layer would have {n:,} weights; take longer strides or fewer units"
            )
        return self

    @property
    def flattened(self) -> int:
        """Values that the convolutions leave of a picture."""
        time, frequency, _ = self.picture
        first, second, third = self.strides
        for down, across in ((first, first), self.pool_stride, (second, second), (third, third)):
            time, frequency = math.ceil(time / down), math.ceil(frequency / across)
        return time * frequency * self.channels[2]

    def build(self, n_features: int, n_classes: int) -> nn.Module:
        """Return the network with fresh weights drawn from torch's global generator.

        Raises:
            TrainingError: The feature's rows are not pictures of this size.
        """
        if n_features != math.prod(self.picture):
            shape = " by ".join(map(str, self.picture))
            raise TrainingError(
                f"park2018 takes pictures of {shape} ({math.prod(self.picture)} values a row), and "
                f"the feature has {n_features}; set model.picture to its item_shape",
                code="wrong_picture",
            )
        return _Module(self, n_classes)


class _Module(nn.Module):
    def __init__(self, config: Park2018, n_classes: int) -> None:
        super().__init__()
        self.picture = config.picture
        sizes = (config.picture[2], *config.channels)
        convolutions = [
            _Same(sizes[i], sizes[i + 1], config.kernels[i], config.strides[i]) for i in range(3)
        ]
        self.first, self.second, self.third = convolutions
        self.pool, self.pool_stride = config.pool, config.pool_stride
        self.wide = nn.Sequential(
            nn.Linear(config.flattened, config.hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, config.hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
        )
        self.last = nn.Linear(config.hidden, n_classes)
        for part in self.modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                # As TensorFlow's layers begin.
                nn.init.xavier_uniform_(part.weight)
                nn.init.zeros_(part.bias)  # type: ignore[arg-type]
        # Pictures come with their colours next to each other; a CPU convolves them so.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        batch, rows, _ = features.shape
        # (batch, rows, values) -> (batch * rows, colours, time, frequency)
        x = features.reshape(-1, *self.picture).permute(0, 3, 1, 2)
        x = functional.relu(self.first(x))
        # After ReLU nothing is under zero, so zeros around the picture are never the largest.
        x = functional.max_pool2d(self._padded(x), self.pool, self.pool_stride)
        x = functional.relu(self.third(functional.relu(self.second(x))))
        logits = self.last(self.wide(x.flatten(1))).reshape(batch, rows, -1)
        if lengths is None:
            return torch.as_tensor(logits.mean(dim=1))
        kept = (torch.arange(rows, device=features.device) < lengths[:, None])[:, :, None]
        return torch.as_tensor((logits * kept).sum(dim=1) / lengths[:, None])

    def _padded(self, x: Tensor) -> Tensor:
        margins: list[int] = []
        for n, size, step in zip(x.shape[2:], self.pool, self.pool_stride, strict=True):
            margins = [*_zeros(n, size, step), *margins]
        return functional.pad(x, margins)


class _Same(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME: one value a stride, more zeros at the end."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int) -> None:
        super().__init__(n_in, n_out, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        # Of a kernel longer than what it moves over, the ends meet nothing but zeros: here 2 of 5
        # rows and 4 of 7. The sums are the same without them, in two thirds of the time.
        margins: list[int] = []
        reach: list[slice] = []
        for n, size, step in zip(x.shape[2:], self.kernel_size, self.stride, strict=True):
            before, after = _zeros(n, size, step)
            last = (math.ceil(n / step) - 1) * step
            first, end = max(before - last, 0), min(n + before, size)
            margins = [before - first, after - (size - end), *margins]
            reach.append(slice(first, end))
        weight = self.weight[:, :, reach[0], reach[1]]
        return functional.conv2d(functional.pad(x, margins), weight, self.bias, self.stride)


def _zeros(n: int, size: int, step: int) -> tuple[int, int]:
    """Return how many zeros go before and after n values."""
    missing = max((math.ceil(n / step) - 1) * step + size - n, 0)
    return missing // 2, missing - missing // 2
