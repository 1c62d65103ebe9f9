"""Losses over soft targets in which NaN marks a class the item's corpus never offers."""

from __future__ import annotations

import torch
from torch import Tensor

from ullim.models import NEVER


def masked_log_softmax(logits: Tensor, offered: Tensor) -> Tensor:
    """Return log-probabilities over the offered classes; the others get ``NEVER``.

    Args:
        logits: float32 (batch, classes).
        offered: bool (batch, classes).
    """
    return torch.log_softmax(logits.masked_fill(~offered, NEVER), dim=1)


def soft_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    *,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return the weighted mean cross-entropy.

    Args:
        logits: float32 (batch, classes).
        targets: float32 (batch, classes); a row sums to 1 over its classes that are not NaN.
        class_weights: float32 (classes,); an item weighs the mean of its targets' weights.
        label_smoothing: Share of each target spread evenly over the offered classes.

    >>> loss = soft_cross_entropy(torch.zeros(1, 3), torch.tensor([[1.0, 0.0, torch.nan]]))
    >>> round(loss.item(), 4)  # log 2: the third class is not offered
    0.6931
    """
    offered = ~targets.isnan()
    hard = targets.nan_to_num(0.0)
    spread = offered / offered.sum(dim=1, keepdim=True)
    smooth = (1 - label_smoothing) * hard + label_smoothing * spread
    item = -(smooth * masked_log_softmax(logits, offered)).sum(dim=1)
    if class_weights is None:
        return item.mean()
    weight = hard @ class_weights
    return (item * weight).sum() / weight.sum()
