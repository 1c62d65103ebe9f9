"""The figures of a run, read off its predictions: what ``metrics.json`` holds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ullim._files import write_text
from ullim.decision import RULES
from ullim.evaluation import metrics
from ullim.evaluation.calibration import coverage_accuracy
from ullim.evaluation.predictions import Predictions, Run
from ullim.evaluation.statistics import (
    FEW_SPEAKERS,
    Statistic,
    confusion_per_speaker,
    drawn_sums,
    interval,
    mean_interval,
    speaker_draws,
    spread,
)

INTERVALS: dict[str, Statistic] = {
    "unweighted_average_recall": metrics.unweighted_average_recall,
    "weighted_accuracy": metrics.weighted_accuracy,
    "macro_f1": metrics.macro_f1,
    "weighted_f1": metrics.weighted_f1,
}
"""Figures of the confusion matrix that are given with an interval."""


def summarise(
    predictions: Predictions, offered: Mapping[str, Sequence[str]], *, draws: int = 2000
) -> dict[str, Any]:
    """Compute the figures of a run.

    Each corpus is scored over the labels it offers, with the scores of other labels masked and
    the rest renormalised, as ``--labels`` does when predicting; ``over_all_labels`` is the same
    without the mask. Where labels are split by gender, ``without_gender`` adds the genders up.

    Args:
        predictions: Over all labels of the recipe.
        offered: Corpus to the labels it offers, in the order of ``predictions.labels``.
        draws: Bootstrap samples.
    """
    figures: dict[str, Any] = {"labels": list(predictions.labels), "corpora": {}}
    for corpus in np.unique(predictions.corpus).tolist():
        part = predictions.take(predictions.corpus == corpus)
        figures["corpora"][corpus] = score(part.over(offered[corpus]), draws=draws) | {
            "over_all_labels": _over_all_labels(part)
        }
        merged = part.without_gender()
        if merged is not None:
            figures["corpora"][corpus]["without_gender"] = score(merged, draws=draws)
    return figures


def refresh(run: Run, *, draws: int = 2000) -> None:
    """Write ``metrics.json`` of a run folder again, from its predictions; leakage stays."""
    offered = {name: part["labels"] for name, part in run.metrics["corpora"].items()}
    figures = summarise(run.predictions, offered, draws=draws)
    figures["leakage"] = run.metrics["leakage"]
    text = json.dumps(figures, indent=2, ensure_ascii=False) + "\n"
    write_text(run.folder / "metrics.json", text)


def score(predictions: Predictions, *, draws: int = 2000) -> dict[str, Any]:
    """Compute the figures of one corpus, all of it and by seed, fold, group and gender."""
    labels = predictions.labels
    each = confusion_per_speaker(
        predictions.truth, predictions.guess, predictions.speaker.tolist(), len(labels)
    )
    n_speakers = len(each)
    drawn = drawn_sums(each, speaker_draws(n_speakers, draws, seed=0))
    confusion = each.sum(axis=0)

    def with_interval(statistic: Statistic) -> dict[str, float | None]:
        value = float(statistic(confusion))
        return _figure(value, interval(value, statistic(drawn), n_speakers))

    def mean_of(values: metrics.Floats) -> dict[str, float | None]:
        ends = mean_interval(values, predictions.speaker.tolist(), draws=draws)
        return _figure(float(values.mean()), ends)

    by_seed = _by(predictions, "seed")
    by_fold = _by(predictions, "fold")
    seeds = [part["value"] for part in by_seed.values()]
    confidence, correct = predictions.confidence, predictions.correct
    curve = coverage_accuracy(confidence, correct)
    majority = metrics.majority_baseline(confusion)
    prior = metrics.prior_baseline(confusion)
    counts = confusion.sum(axis=1)
    return {
        "n": len(predictions),
        "n_utterances": len(np.unique(predictions.id)),
        "n_speakers": n_speakers,
        "labels": list(labels),
        "absent_labels": [name for name, n in zip(labels, counts, strict=True) if n == 0],
        **{name: with_interval(statistic) for name, statistic in INTERVALS.items()},
        "unweighted_average_recall_by_seed": _spread(seeds)
        | {"values": seeds, "seeds": list(by_seed)},
        "unweighted_average_recall_over_folds": _spread([f["value"] for f in by_fold.values()]),
        "unweighted_average_recall_by_fold": by_fold,
        "unweighted_average_recall_by_group": _by(predictions, "group"),
        "unweighted_average_recall_by_gender": _by(predictions, "gender"),
        "recall": _per_class(labels, metrics.recalls(confusion)),
        "precision": _per_class(labels, metrics.precisions(confusion)),
        "f1": _per_class(labels, metrics.f1_scores(confusion)),
        "confusion_matrix": confusion.astype(int).tolist(),
        "area_under_roc": _rounded(
            metrics.macro_area_under_roc(predictions.probabilities, predictions.truth)
        ),
        "log_loss": mean_of(metrics.log_losses(predictions.probabilities, predictions.truth)),
        "brier_score": mean_of(metrics.brier_scores(predictions.probabilities, predictions.truth)),
        "expected_calibration_error": round(
            metrics.expected_calibration_error(confidence, correct), 4
        ),
        "expected_calibration_error_equal_width": round(
            metrics.expected_calibration_error(confidence, correct, binning="width"), 4
        ),
        "coverage_curve": metrics.coverage_curve(confidence, correct),
        "area_under_risk_coverage": round(curve.risk_area, 4),
        "baselines": {f"majority_{name}": round(value, 4) for name, value in majority.items()}
        | {f"prior_{name}": round(value, 4) for name, value in prior.items()},
        "notes": _notes(n_speakers),
    } | _by_rule(predictions)


def _by_rule(predictions: Predictions) -> dict[str, Any]:
    """Return what each rule makes of the same networks' votes; nothing where they do not vote."""
    if predictions.shares is None:
        return {}
    figures: dict[str, Any] = {}
    for rule in RULES:
        answers = predictions.under(predictions.decision.model_copy(update={"rule": rule}))
        parts = [answers, *(answers.take(answers.seed == seed) for seed in np.unique(answers.seed))]
        matrices: metrics.Floats = np.stack(
            [metrics.confusion_matrix(p.truth, p.guess, len(p.labels)) * 1.0 for p in parts]
        )
        figures[rule] = {
            name: {"value": _rounded(values[0])} | _spread(values[1:].tolist())
            for name, values in (
                (name, statistic(matrices)) for name, statistic in INTERVALS.items()
            )
        } | {"recall": _per_class(answers.labels, metrics.recalls(matrices[0]))}
    return {"decision": {"rule": predictions.decision.rule, "by_rule": figures}}


def _notes(n_speakers: int) -> list[str]:
    if n_speakers == 1:
        return ["1 speaker: no interval can be given"]
    if n_speakers < FEW_SPEAKERS:
        return [
            f"{n_speakers} speakers: with fewer than {FEW_SPEAKERS}, figures and intervals hang on "
            "who they happen to be"
        ]
    return []


def _by(predictions: Predictions, fact: str) -> dict[str, dict[str, Any]]:
    """Return UA of the rows that share a fact; rows without it are left out."""
    words = getattr(predictions, fact)
    figures = {}
    # Seeds and folds that are numbers go in their order.
    for word in sorted(set(words.tolist()), key=lambda w: (int(w) if w.isdecimal() else -1, w)):
        if not word:
            continue
        part = predictions.take(words == word)
        matrix = metrics.confusion_matrix(part.truth, part.guess, len(part.labels))
        absent = matrix.sum(axis=1) == 0
        figures[word] = {
            "value": _rounded(float(metrics.unweighted_average_recall(matrix))),
            "n": len(part),
            "n_speakers": len(np.unique(part.speaker)),
            "absent_labels": [n for n, gone in zip(part.labels, absent, strict=True) if gone],
        }
    return figures


def _over_all_labels(part: Predictions) -> dict[str, float | None]:
    """Return UA and WA when every label of the task may be answered."""
    confusion = metrics.confusion_matrix(part.truth, part.guess, len(part.labels))
    return {
        "unweighted_average_recall": _rounded(float(metrics.unweighted_average_recall(confusion))),
        "weighted_accuracy": _rounded(float(metrics.weighted_accuracy(confusion))),
    }


def _figure(value: float, ends: tuple[float, float]) -> dict[str, float | None]:
    low, high = ends
    return {"value": _rounded(value), "low": _rounded(low), "high": _rounded(high)}


def _per_class(labels: Sequence[str], values: metrics.Floats) -> dict[str, float | None]:
    return {name: _rounded(float(value)) for name, value in zip(labels, values, strict=True)}


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    found = spread(values)
    return {name: _rounded(found[name]) for name in ("mean", "sd")}


def _rounded(value: float | None) -> float | None:
    # Six digits, so that who prints a tenth of a percent does not round what was rounded.
    return None if value is None or np.isnan(value) else round(float(value), 6)
