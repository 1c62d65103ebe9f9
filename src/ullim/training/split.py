"""Which rows validate: whole speakers, taken from training, some of every corpus."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ullim.errors import TrainingError


def validation_rows(
    targets: npt.NDArray[np.float32],
    groups: Sequence[str] | None,
    share: float,
    seed: int,
    member: int = 0,
) -> npt.NDArray[np.int64]:
    """Return the rows to validate on.

    Speakers are drawn within each corpus (told apart by the classes it offers), at least one
    where a corpus has two or more. Members of one seed take turns, so that with enough of them
    every speaker is trained on. Without speakers, rows are drawn.

    Args:
        targets: Shape (rows, classes); NaN marks a class the row's corpus never offers.
        groups: Speaker of each row.
        share: Share of the speakers to hold out.
        seed: Decides the draw.
        member: Which turn.

    Raises:
        TrainingError: No speaker or row can be spared.
    """
    keys = np.arange(len(targets)) if groups is None else np.array(list(groups))
    _, corpus = np.unique(np.isnan(targets), axis=0, return_inverse=True)
    names, first = np.unique(keys, return_index=True)
    home = corpus.ravel()[first]  # a speaker of several corpora belongs to that of the first row
    held_out: list[npt.NDArray[np.generic]] = []
    for stratum in np.unique(home):
        speakers = names[home == stratum]
        if len(speakers) < 2:
            continue
        order = np.random.default_rng([seed, int(stratum)]).permutation(speakers)
        n = min(math.ceil(share * len(speakers)), len(speakers) - 1)
        held_out.append(np.roll(order, -member * n)[:n])
    if not held_out:
        raise TrainingError(
            "early stopping needs a second speaker to validate on, and training has only one; "
            "add recordings of another speaker"
        )
    return np.flatnonzero(np.isin(keys, np.concatenate(held_out)))
