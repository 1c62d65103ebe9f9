"""What a run leaves behind: predictions as a table, and the figures read off it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ullim.evaluation import summary
from ullim.evaluation.predictions import FACTS, PROBABILITY, from_columns
from ullim.recipes.data import Table


def predictions_frame(
    table: Table, rows: Sequence[int], probabilities: Any, *, seed: int, fold: str
) -> pd.DataFrame:
    """Return one line per tested utterance with its probabilities over all labels."""
    chosen = [table.utterances[row] for row in rows]
    names = table.names
    frame = pd.DataFrame(
        {
            "seed": seed,
            "fold": fold,
            "corpus": [u.corpus for u in chosen],
            "speaker": [u.speaker for u in chosen],
            "gender": [u.gender for u in chosen],
            "group": [u.group for u in chosen],
            "id": [u.id for u in chosen],
            "label": [names[row] for row in rows],
        }
    )
    for column, name in enumerate(table.labels):
        frame[PROBABILITY + name] = np.round(np.asarray(probabilities)[:, column], 5)
    return frame


def summarise(predictions: pd.DataFrame, table: Table, *, draws: int = 2000) -> dict[str, Any]:
    """Compute the figures of a run; each corpus over the labels it offers."""
    labels = table.labels.names
    offered = {
        utterance.corpus: [name for name, value in zip(labels, row, strict=True) if value == value]
        for utterance, row in zip(table.utterances, table.targets, strict=True)
    }
    answers = from_columns(
        labels,
        predictions[[PROBABILITY + name for name in labels]].to_numpy(dtype=float),
        np.array([labels.index(name) for name in predictions["label"]]),
        {name: _texts(predictions[name]) for name in FACTS},
    )
    return summary.summarise(answers, offered, draws=draws)


def _texts(column: pd.Series) -> list[str]:
    """Return a column as text; a fact that no row states is read back as a column of NaN."""
    known = column.notna()
    return column.astype(object).where(known, "").astype(str).tolist()
