"""What a run leaves behind: predictions as a table, and the figures read off it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ullim.evaluation.metrics import (
    confusion_matrix,
    coverage_curve,
    expected_calibration_error,
    log_loss,
    macro_f1,
    recalls,
    unweighted_average_recall,
    weighted_accuracy,
)
from ullim.evaluation.statistics import FEW_SPEAKERS, speaker_interval
from ullim.recipes.data import Table

PROBABILITY = "p_"


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
    """Compute the figures of a run.

    Each corpus is scored over the labels it offers, with the scores of other labels masked and
    the rest renormalised, as ``--labels`` does when predicting; ``over_all_labels`` is the same
    without the mask.
    """
    figures: dict[str, Any] = {"labels": list(table.labels), "corpora": {}}
    offered = {
        utterance.corpus: ~np.isnan(row)
        for utterance, row in zip(table.utterances, table.targets, strict=True)
    }
    for corpus, frame in predictions.groupby("corpus", sort=True):
        mask = offered[str(corpus)]
        labels = [name for name, keep in zip(table.labels, mask, strict=True) if keep]
        figures["corpora"][str(corpus)] = _score(frame, labels, draws) | {
            "over_all_labels": _accuracy_over(frame, list(table.labels), labels)
        }
    return figures


def _score(frame: pd.DataFrame, labels: list[str], draws: int) -> dict[str, Any]:
    probabilities = _probabilities(frame, labels)
    truth = _columns(frame, labels)
    guess = probabilities.argmax(axis=1)
    speakers = frame["speaker"].astype(str).tolist()
    confidence = probabilities.max(axis=1)
    confusion = confusion_matrix(truth, guess, len(labels))
    n_speakers = len(set(speakers))
    absent = [name for name, n in zip(labels, confusion.sum(axis=1), strict=True) if n == 0]
    by_seed = [
        float(unweighted_average_recall(confusion_matrix(truth[r], guess[r], len(labels))))
        for r in (np.flatnonzero(frame["seed"] == seed) for seed in sorted(set(frame["seed"])))
    ]

    def by(column: str) -> dict[str, dict[str, float]]:
        parts = frame.reset_index(drop=True).groupby(column).indices
        figures = {}
        for part, rows in parts.items():
            matrix = confusion_matrix(truth[rows], guess[rows], len(labels))
            value = round(float(unweighted_average_recall(matrix)), 4)
            heard = {speakers[row] for row in rows}
            figures[str(part)] = {"value": value, "n": len(rows), "n_speakers": len(heard)}
        return figures

    majority = float(confusion.sum(axis=1).max() / confusion.sum())
    return {
        "n": int(confusion.sum()),
        "n_speakers": n_speakers,
        "labels": labels,
        "absent_labels": absent,
        "unweighted_average_recall": _with_interval(
            unweighted_average_recall, truth, guess, speakers, len(labels), draws
        ),
        "weighted_accuracy": _with_interval(
            weighted_accuracy, truth, guess, speakers, len(labels), draws
        ),
        "macro_f1": _with_interval(macro_f1, truth, guess, speakers, len(labels), draws),
        "unweighted_average_recall_by_seed": {
            "mean": round(float(np.mean(by_seed)), 4),
            "sd": round(float(np.std(by_seed, ddof=1)), 4) if len(by_seed) > 1 else None,
            "values": [round(value, 4) for value in by_seed],
        },
        "unweighted_average_recall_by_fold": by("fold"),
        "unweighted_average_recall_by_group": by("group"),
        "recall": {
            name: None if np.isnan(value) else round(float(value), 4)
            for name, value in zip(labels, recalls(confusion), strict=True)
        },
        "confusion_matrix": confusion.tolist(),
        "log_loss": round(log_loss(probabilities, truth), 4),
        "expected_calibration_error": round(
            expected_calibration_error(confidence, guess == truth), 4
        ),
        "coverage_curve": coverage_curve(confidence, guess == truth),
        "baselines": {
            "majority_weighted_accuracy": round(majority, 4),
            "majority_unweighted_average_recall": round(1 / (len(labels) - len(absent)), 4),
        },
        "notes": [
            f"{n_speakers} speakers: intervals bootstrapped over fewer than {FEW_SPEAKERS} are "
            "too narrow"
        ]
        if n_speakers < FEW_SPEAKERS
        else [],
    }


def _with_interval(
    statistic: Any, truth: Any, guess: Any, speakers: list[str], n_labels: int, draws: int
) -> dict[str, float]:
    value = float(statistic(confusion_matrix(truth, guess, n_labels)))
    low, high = speaker_interval(statistic, truth, guess, speakers, n_labels, draws=draws)
    return {"value": round(value, 4), "low": round(low, 4), "high": round(high, 4)}


def _accuracy_over(
    frame: pd.DataFrame, all_labels: list[str], offered: list[str]
) -> dict[str, float]:
    """Return UA and WA when every label of the task may be answered."""
    guess = _probabilities(frame, all_labels).argmax(axis=1)
    confusion = confusion_matrix(_columns(frame, all_labels), guess, len(all_labels))
    rows = [all_labels.index(name) for name in offered]
    return {
        "unweighted_average_recall": round(float(np.nanmean(recalls(confusion)[rows])), 4),
        "weighted_accuracy": round(float(weighted_accuracy(confusion)), 4),
    }


def _probabilities(frame: pd.DataFrame, labels: list[str]) -> Any:
    values = frame[[PROBABILITY + name for name in labels]].to_numpy(dtype=float)
    return values / np.maximum(values.sum(axis=1, keepdims=True), 1e-12)


def _columns(frame: pd.DataFrame, labels: list[str]) -> Any:
    return np.array([labels.index(name) for name in frame["label"]])
