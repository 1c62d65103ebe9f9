"""Recurrent layers over padded clips of different lengths."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def states_over(rnn: nn.LSTM | nn.RNN, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    """Run a recurrent layer over each clip as if it stood alone.

    A packed sequence says the same. On a CPU, torch walks step by step over one whose clips differ
    in length, which takes eight times as long as its kernel over the padded batch; so here the
    kernel reads the batch once forwards and, with each clip turned round in its place, once
    backwards.

    Args:
        rnn: With ``batch_first``; an ``nn.RNN`` of one direction.
        x: ``(batch, frames, values)``.
        lengths: Frames of each clip, ``(batch,)``; None where all are whole.

    Returns:
        The states of the last layer, ``(batch, frames, directions * units)``, zero after a clip's
        end; and those after its last frame and, backwards, before its first,
        ``(batch, directions * units)``.
    """
    directions = 2 if rnn.bidirectional else 1
    if lengths is None or x.is_cuda:
        # cuDNN knows packed sequences.
        given = (
            x
            if lengths is None
            else pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        )
        states, hidden = rnn(given)
        hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        if lengths is not None:
            states, _ = pad_packed_sequence(states, batch_first=True, total_length=x.shape[1])
        return states, torch.cat(tuple(hidden[-directions:]), dim=1)
    frames = torch.arange(x.shape[1], device=x.device)
    inside = frames < lengths[:, None]
    last = (torch.arange(len(x), device=x.device), lengths - 1)
    if directions == 1:
        states, _ = rnn(x)
        return states * inside[:, :, None], states[last]
    turned = torch.where(inside, lengths[:, None] - 1 - frames, frames)[:, :, None]
    forwards = backwards = x
    for layer in range(rnn.num_layers):
        if layer:
            x = functional.dropout(x, rnn.dropout, rnn.training)
        forwards = _one_way(rnn, x, f"l{layer}")
        backwards = _one_way(rnn, x.gather(1, turned.expand_as(x)), f"l{layer}_reverse")
        backwards = backwards.gather(1, turned.expand_as(backwards))
        x = torch.cat((forwards, backwards), dim=2)
    return x * inside[:, :, None], torch.cat((forwards[last], backwards[:, 0]), dim=1)


def _one_way(rnn: nn.LSTM | nn.RNN, x: Tensor, name: str) -> Tensor:
    """Return the states of one layer in one direction, all frames of all clips taken."""
    kinds = ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if rnn.bias else ()))
    weights = [getattr(rnn, f"{kind}_{name}") for kind in kinds]
    start = x.new_zeros(1, len(x), rnn.hidden_size)
    states, _, _ = torch.lstm(
        x, (start, start), weights, rnn.bias, 1, 0.0, rnn.training, False, True
    )
    return states
