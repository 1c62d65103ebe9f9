"""Convolution, a recurrent layer and attention over it, each of which can be left out."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, Self

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional

from ullim.errors import TrainingError
from ullim.models import Network
from ullim.models._recurrence import states_over

# Samples the learned filters move by, and how many of their values make a frame.
_STEP = 20


class EndToEnd(Network):
    """Convolution blocks, a bidirectional LSTM and attention, by switches.

    ``cnn`` alone is CNN, ``cnn`` and ``rnn`` CNN+BiLSTM, ``rnn`` and ``attention``
    BiLSTM+Attention, all three CNN+BiLSTM+Attention. Without attention a recurrent layer answers
    with its last state in each direction, a convolution with its mean.

    Attributes:
        cnn: Blocks of convolution, batch normalisation, ReLU and pooling over time and bands.
        rnn: A bidirectional LSTM over time.
        attention: Weights frames by softmax(uᵀ tanh(W h)) instead of taking the last or the mean.
        channels: Kernels of each block, 3 by 3; each halves time and bands.
        units: Of the LSTM, in each direction.
        dropout: Before the last layer.
        filters: For frames of raw samples (the feature ``waveform``): so many filters are learned
            over the samples, whose rectified, averaged and compressed outputs are the bands. 0 for
            features that are bands already.
        filter_length: Of each of these, in samples.

    Reference: four Korean end-to-end systems of these names, known by a summary that gives the
    names only; the attention is Yang et al., NAACL 2016, eqs. 5-7. Learned filters: Sainath et
    al., Learning the speech front-end with raw waveform CLDNNs, Interspeech 2015.
    Differs: every size is a default of ours.

    Bands are taken as they come: let ``training.standardise`` bring them to one scale.

    A padded clip is answered like the clip alone, but while training, batch normalisation counts
    the zeros of the padding: batches of like lengths (the trainer makes them) keep these few.
    """

    name: Literal["endtoend"] = "endtoend"
    cnn: bool = True
    rnn: bool = True
    attention: bool = True
    channels: tuple[PositiveInt, ...] = Field((32, 64, 128, 128), min_length=1)
    units: int = Field(128, ge=1)
    dropout: float = Field(0.3, ge=0.0, lt=1.0)
    filters: int = Field(0, ge=0)
    filter_length: int = Field(400, ge=_STEP)

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        if not (self.cnn or self.rnn):
            raise ValueError("nothing is left without cnn and rnn; switch one on")
        return self

    def build(self, n_features: int, n_classes: int) -> nn.Module:
        """Return the network with fresh weights drawn from torch's global generator.

        Raises:
            TrainingError: ``filters`` is set and the feature's frames are not of whole steps.
        """
        if self.filters and n_features % _STEP:
            raise TrainingError(
                f"learned filters move by {_STEP} samples and take frames of a multiple of that, "
                f"not of {n_features} values; give the feature `waveform`, or set filters to 0"
            )
        return _Module(self, n_features, n_classes)


class _Module(nn.Module):
    def __init__(self, config: EndToEnd, n_features: int, n_classes: int) -> None:
        super().__init__()
        width = config.filters or n_features
        self.front = _LearnedFilters(n_features, config) if config.filters else None
        self.blocks = nn.ModuleList()
        if config.cnn:
            sizes = (1, *config.channels)
            for n_in, n_out in pairwise(sizes):
                self.blocks.append(_block(n_in, n_out))
                width = (width + 1) // 2
            width = width * config.channels[-1] if config.rnn or config.attention else sizes[-1]
        # With neither, the mean is over time and bands.
        self.over_bands = not (config.rnn or config.attention)
        self.rnn = None
        if config.rnn:
            self.rnn = nn.LSTM(width, config.units, batch_first=True, bidirectional=True)
            width = 2 * config.units
        self.attention = _Attention(width) if config.attention else None
        self.head = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(width, n_classes))

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        x = features if self.front is None else self.front(features, _mask(features, lengths))
        x = _kept(x[:, None], lengths)
        for block in self.blocks:
            # A CPU pools twice as fast with the channels next to each other in memory.
            x = block(x.contiguous(memory_format=torch.channels_last))
            # Zeros where a clip is over, as convolution and pooling find them around a clip alone.
            x = _kept(x, lengths)
            x = functional.max_pool2d(x, 2, ceil_mode=True)
            lengths = None if lengths is None else (lengths + 1) // 2
        # (batch, channels, frames, bands) -> (batch, frames, channels * bands)
        x = x.transpose(1, 2).flatten(2) if not self.over_bands else x.mean(dim=3).transpose(1, 2)
        last = None
        if self.rnn is not None:
            x, last = states_over(self.rnn, x, lengths)
        if self.attention is not None:
            pooled = self.attention(x, _mask(x, lengths))
        elif last is not None:
            pooled = last
        elif lengths is None:
            pooled = x.mean(dim=1)
        else:
            pooled = x.sum(dim=1) / lengths[:, None]
        return torch.as_tensor(self.head(pooled))


def _block(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(),
    )


class _LearnedFilters(nn.Module):
    """From frames of samples to frames of as many bands as there are filters."""

    def __init__(self, frame_length: int, config: EndToEnd) -> None:
        super().__init__()
        self.frame_length = frame_length
        before = (config.filter_length - _STEP) // 2
        self.margins = (before, config.filter_length - _STEP - before)
        self.filters = nn.Conv1d(1, config.filters, config.filter_length, _STEP, bias=False)
        self.norm = nn.BatchNorm1d(config.filters)

    def forward(self, features: Tensor, mask: Tensor | None) -> Tensor:
        samples = features if mask is None else features * mask[:, :, None]
        heard = self.filters(functional.pad(samples.flatten(1)[:, None], self.margins))
        each = self.frame_length // _STEP
        power = functional.avg_pool1d(heard.square(), each)
        level = torch.log(power + 1e-6).transpose(1, 2)
        if mask is None:
            return torch.as_tensor(self.norm(level.transpose(1, 2)).transpose(1, 2))
        # What pads a clip has no say in mean and deviation.
        scaled = torch.zeros_like(level)
        scaled[mask] = self.norm(level[mask])
        return scaled


class _Attention(nn.Module):
    """The mean of frames, weighted by softmax(uᵀ tanh(W h))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, width)
        self.context = nn.Linear(width, 1, bias=False)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        energy = self.context(torch.tanh(self.project(x)))
        if mask is not None:
            energy = energy.masked_fill(~mask[:, :, None], -torch.inf)
        return (functional.softmax(energy, dim=1) * x).sum(dim=1)


def _mask(x: Tensor, lengths: Tensor | None) -> Tensor | None:
    """Return which frames of (batch, frames, values) are real, shape (batch, frames)."""
    if lengths is None:
        return None
    return torch.arange(x.shape[1], device=x.device) < lengths[:, None]


def _kept(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Return (batch, channels, frames, bands) with zeros where a clip is over."""
    mask = _mask(x[:, 0], lengths)
    return x if mask is None else x * mask[:, None, :, None].to(x.dtype)
