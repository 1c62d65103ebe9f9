"""Inner folds of training speakers: where settings are chosen and temperatures fitted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import GroupKFold

from ullim.errors import TrainingError
from ullim.training.classifier import Matrix

_N_FOLDS = 5


def speakers_of(groups: Sequence[str] | None, n_rows: int) -> npt.NDArray[Any]:
    """Return the speaker of each row, shape (rows,); without groups each row is its own.

    Raises:
        TrainingError: There are not as many as rows.
    """
    speakers = np.arange(n_rows) if groups is None else np.array(list(groups))
    if len(speakers) != n_rows:
        raise TrainingError(
            f"{n_rows} rows were given with {len(speakers)} speakers; give one per row"
        )
    return speakers


def inner_folds(
    speakers: npt.NDArray[Any], seed: int
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Return rows to fit on and rows to validate on, five times, no speaker on both sides.

    Raises:
        TrainingError: There is only one speaker.
    """
    n_folds = min(_N_FOLDS, len(np.unique(speakers)))
    if n_folds < 2:
        raise TrainingError(
            "choosing and calibrating need a second speaker, and training has only one; add "
            "recordings of another speaker"
        )
    folds = GroupKFold(n_folds, shuffle=True, random_state=seed)
    return list(folds.split(speakers, groups=speakers))


def masked_recall(logits: Matrix, targets: Matrix) -> float:
    """Return the UA when each row may only be given a class its corpus offers."""
    guess = np.where(np.isnan(targets), -np.inf, logits).argmax(axis=1)
    truth = np.nan_to_num(targets).argmax(axis=1)
    return float(np.mean([(guess[truth == c] == c).mean() for c in np.unique(truth)]))
