"""What a run leaves behind: predictions as a table, and the figures read off it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ullim.decision import Decision
from ullim.evaluation import summary
from ullim.evaluation.predictions import FACTS, PREDICTED, PROBABILITY, SHARE, from_columns
from ullim.recipes.table import Table


def predictions_frame(
    table: Table,
    rows: Sequence[int],
    probabilities: Any,
    *,
    seed: int,
    fold: str,
    shares: Any = None,
    decision: Decision = Decision(),  # noqa: B008 - frozen
) -> pd.DataFrame:
    """Return one line per tested utterance with its probabilities over all labels.

    Where its windows vote, their shares and the label that the rule gives stand beside them.
    """
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
    if shares is not None:
        # By the numbers as they are written, so that who reads the table finds the same label.
        votes = np.round(shares, 5)
        for column, name in enumerate(table.labels):
            frame[SHARE + name] = votes[:, column]
        scores = frame[[PROBABILITY + name for name in table.labels]].to_numpy()
        chosen_columns = decision.choose(scores, votes, table.labels.names)
        frame[PREDICTED] = [table.labels.names[column] for column in chosen_columns]
    return frame


def summarise(
    predictions: pd.DataFrame,
    table: Table,
    *,
    decision: Decision = Decision(),  # noqa: B008 - frozen
    draws: int = 2000,
) -> dict[str, Any]:
    """Compute the figures of a run; each corpus over the labels it offers."""
    labels = table.labels.names
    ballots = [SHARE + name for name in labels]
    offered = {
        utterance.corpus: [name for name, value in zip(labels, row, strict=True) if value == value]
        for utterance, row in zip(table.utterances, table.targets, strict=True)
    }
    answers = from_columns(
        labels,
        predictions[[PROBABILITY + name for name in labels]].to_numpy(dtype=float),
        np.array([labels.index(name) for name in predictions["label"]]),
        {name: _texts(predictions[name]) for name in FACTS},
        predictions[ballots].to_numpy(dtype=float) if ballots[0] in predictions else None,
        decision,
    )
    return summary.summarise(answers, offered, draws=draws)


def _texts(column: pd.Series) -> list[str]:
    """Return a column as text; a fact that no row states is read back as a column of NaN."""
    known = column.notna()
    return column.astype(object).where(known, "").astype(str).tolist()
