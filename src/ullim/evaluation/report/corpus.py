"""What the report says about the answers on one corpus."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from ullim.evaluation import metrics as m
from ullim.evaluation.calibration import coverage_accuracy, reliability, threshold_over_folds
from ullim.evaluation.metrics import Floats
from ullim.evaluation.predictions import Predictions
from ullim.evaluation.report import charts
from ullim.evaluation.report.blocks import Block, Figures, Heading, Raw, Table, Text
from ullim.evaluation.report.words import Words
from ullim.evaluation.statistics import FEW_SPEAKERS
from ullim.evaluation.summary import INTERVALS

N_MISTAKES = 10
_LOSSES = ("log_loss", "brier_score")
_SINGLE = (
    "expected_calibration_error",
    "expected_calibration_error_equal_width",
    "area_under_roc",
    "area_under_risk_coverage",
)
FIGURES = (*INTERVALS, *_LOSSES, *_SINGLE)
"""The figures of a corpus; docs/report.md explains each."""


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A recording to be heard and seen.

    Attributes:
        audio: An encoded file.
        media_type: Of the file, for example ``audio/flac``.
        duration_s: In seconds.
        levels_db: A mel spectrogram, shape (frames, bands).
        top_hz: Upper end of its bands.
    """

    audio: bytes
    media_type: str
    duration_s: float
    levels_db: Floats
    top_hz: float


def section(
    corpus: str,
    part: Predictions,
    figures: Mapping[str, Any],
    clips: Mapping[str, Clip],
    over_all: Mapping[str, float] | None,
    t: Words,
    *,
    alone: bool,
) -> list[Block]:
    """Return the section of a corpus.

    Args:
        corpus: Registry name.
        part: The answers, over the labels the corpus offers.
        figures: What ``summary.score`` says of them.
        clips: Utterance id to recording, of those that may be heard.
        over_all: UA and WA where every label of the recipe may be answered; None where those are
            the same labels.
        t: The texts.
        alone: Whether the run has no other corpus.
    """
    n_speakers = figures["n_speakers"]
    baselines = figures["baselines"]
    shares = [
        (
            t(name),
            percent(figures[name]["value"]),
            t("ends", low=percent(figures[name]["low"]), high=percent(figures[name]["high"])),
            percent(baselines.get(f"majority_{name}")),
            percent(baselines.get(f"prior_{name}")),
        )
        for name in INTERVALS
    ]
    others = [
        (
            t(name),
            number(figures[name]["value"]),
            t("ends", low=number(figures[name]["low"]), high=number(figures[name]["high"])),
            number(baselines[f"prior_{name}"]),
        )
        for name in _LOSSES
    ]
    others += [(t(name), number(figures[name]), "", "") for name in _SINGLE]
    found: list[Block] = [Heading(t("figures") if alone else f"{t('figures')}: {corpus}")]
    if n_speakers < FEW_SPEAKERS:
        key = "one_speaker" if n_speakers == 1 else "few_speakers"
        found.append(Text(t(key, n=n_speakers, few=FEW_SPEAKERS), warning=True))
    found += [
        Table((t("figure"), t("value"), t("interval"), t("majority"), t("prior")), shares),
        Table((t("figure"), t("value"), t("interval"), t("prior")), others),
        Text(t("arrows")),
    ]
    if over_all:
        found.append(
            Text(
                t(
                    "all_labels",
                    ua=percent(over_all["unweighted_average_recall"]),
                    wa=percent(over_all["weighted_accuracy"]),
                )
            )
        )
    found += _by_class(part, figures, t)
    found += _confidence(part, t)
    found += _by_speaker(part, t)
    found.append(Heading(t("by_gender"), 3))
    if figures["unweighted_average_recall_by_gender"]:
        by_gender = figures["unweighted_average_recall_by_gender"]
        found.append(_by(by_gender, t("gender"), figures["absent_labels"], t))
    else:
        found.append(Text(t("no_gender", corpus=corpus)))
    for key, title in (("group", "by_group"), ("fold", "by_fold"), ("seed", "by_seed")):
        found += _by_part(figures, key, title, t)
    found += _mistakes(part, clips, t)
    return found


def _by_class(part: Predictions, figures: Mapping[str, Any], t: Words) -> list[Block]:
    matrix = np.array(figures["confusion_matrix"], dtype=float)
    names = [t.label(name) for name in part.labels]
    rows = [
        (
            t.label(name),
            f"{int(matrix[row].sum()):,}",
            *(percent(figures[key][name]) for key in ("recall", "precision", "f1")),
        )
        for row, name in enumerate(part.labels)
    ]
    head = (t("label"), t("clips"), t("recall"), t("precision"), t("f1"))
    chart = charts.confusion(matrix, names, rows=t("true"), columns=t("answered"))
    return [
        Heading(t("by_class"), 3),
        Figures([(chart, t("confusion"))]),
        Table(head, rows),
    ]


def _confidence(part: Predictions, t: Words) -> list[Block]:
    confidence, correct = part.confidence, part.correct
    points = [(b.confidence, b.accuracy) for b in reliability(confidence, correct)]
    diagonal = ([(0.0, 0.0), (1.0, 1.0)], "dash")
    sure = charts.lines(
        [diagonal, (points, "line")],
        dots=points,
        x_title=t("sure"),
        y_title=t("accuracy"),
    )
    curve = coverage_accuracy(confidence, correct)
    pairs = list(zip(curve.coverage.tolist(), curve.accuracy.tolist(), strict=True))
    low = float(np.floor(10 * min(curve.accuracy.min(), 0.9)) / 10)
    answered = charts.lines(
        [(pairs, "line")],
        x_title=t("coverage"),
        y_title=t("accuracy"),
        y_range=(low, 1.0),
    )
    rows = []
    for wanted in (0.8, 0.9, 0.95):
        if wanted <= float(correct.mean()):
            continue
        found = threshold_over_folds(confidence, correct, part.fold.tolist(), wanted)
        if found is None:
            rows.append((percent(wanted), "", t("not_reached"), ""))
        else:
            threshold, coverage, accuracy = found
            rows.append((percent(wanted), number(threshold), percent(coverage), percent(accuracy)))
    told: list[Block] = [
        Heading(t("confidence"), 3),
        Figures([(sure, t("reliability")), (answered, t("coverage_figure"))]),
    ]
    if rows and len(np.unique(part.fold)) > 1:
        head = (t("wanted"), t("threshold"), t("coverage"), t("got"))
        told += [Text(t("thresholds")), Table(head, rows, words=())]
    return told


def _by_speaker(part: Predictions, t: Words) -> list[Block]:
    rows = []
    for speaker in np.unique(part.speaker).tolist():
        own = part.take(part.speaker == speaker)
        matrix = m.confusion_matrix(own.truth, own.guess, len(own.labels))
        gender = own.gender[0].item()
        ua = float(m.unweighted_average_recall(matrix))
        rows.append(
            (speaker, t.known(gender) if gender else "", len(own), float(own.correct.mean()), ua)
        )
    rows.sort(key=lambda row: row[3])
    shown = rows if len(rows) <= 120 else rows[:60] + rows[-60:]
    chart = charts.ranked(
        [
            (name, wa, f"{name} {gender}: {percent(wa)}, n = {n}")
            for name, gender, n, wa, _ in shown
        ],
        middle=float(part.correct.mean()),
        title=t("accuracy"),
    )
    table = [(name, gender, f"{n:,}", percent(wa), percent(ua)) for name, gender, n, wa, ua in rows]
    return [
        Heading(t("by_speaker"), 3),
        Figures([(chart, t("by_speaker_plot"))]),
        Table(
            (t("speaker"), t("gender"), t("clips"), "WA", "UA"),
            table,
            words=(0, 1),
            folded=t("by_speaker_table", n=len(rows)),
        ),
    ]


def _by_part(figures: Mapping[str, Any], key: str, title: str, t: Words) -> list[Block]:
    found = figures[f"unweighted_average_recall_by_{key}"]
    if key == "seed":
        found = {name: {"value": found["values"][k]} for k, name in enumerate(found["seeds"])}
    if len(found) < 2:
        return []
    told: list[Block] = [Heading(t(title), 3)]
    if key in {"fold", "seed"}:
        spread = figures[
            f"unweighted_average_recall_{'over_folds' if key == 'fold' else 'by_seed'}"
        ]
        several = t(f"n_{key}s", n=len(found))
        told.append(
            Text(t("spread", mean=percent(spread["mean"]), sd=percent(spread["sd"]), n=several))
        )
    return [*told, _by(found, t(key), figures["absent_labels"], t)]


def _by(found: Mapping[str, Any], title: str, never: Sequence[str], t: Words) -> Table:
    rows = []
    for name, part in found.items():
        absent = [name for name in part.get("absent_labels", []) if name not in never]
        rows.append(
            (
                t.known(name),
                f"{part['n']:,}" if "n" in part else "",
                str(part.get("n_speakers", "")),
                percent(part["value"]),
                t("lacks", labels=t.labels(absent)) if absent else "",
            )
        )
    head = (title, t("clips"), t("speakers"), "UA", t("remark"))
    columns = 5 if any(row[4] for row in rows) else 4
    return Table(
        head[:columns],
        [row[:columns] for row in rows],
        words=(0, 4),
        folded=t("all_rows", n=len(rows)) if len(rows) > 12 else "",
    )


def _mistakes(part: Predictions, clips: Mapping[str, Clip], t: Words) -> list[Block]:
    wrong = most_confident_mistakes(part)
    if not len(wrong):
        return [Heading(t("mistakes"), 3), Text(t("no_mistakes"))]
    rows, shown = [], []
    for place in range(len(wrong)):
        guess, truth = wrong.labels[wrong.guess[place]], wrong.labels[wrong.truth[place]]
        name = wrong.id[place].item()
        rows.append(
            (
                t.label(guess),
                percent(float(wrong.confidence[place])),
                t.label(truth),
                percent(float(wrong.probabilities[place, wrong.truth[place]])),
                wrong.speaker[place].item(),
                name,
            )
        )
        if name in clips:
            shown.append(_player(clips[name], f"{name}: {t.label(truth)} → {t.label(guess)}", t))
    head = (
        t("answered"),
        t("sure"),
        t("true"),
        t("truth_had"),
        t("speaker"),
        t("id"),
    )
    found: list[Block] = [Heading(t("mistakes"), 3), Table(head, rows, words=(0, 2, 4, 5))]
    if shown:
        found += [Text(t("listen")), Figures(shown)]
    return found


def _player(clip: Clip, caption: str, t: Words) -> tuple[Raw, str]:
    sound = base64.b64encode(clip.audio).decode("ascii")
    axis = t("mel_axis", seconds=f"{clip.duration_s:.1f}", top=f"{clip.top_hz / 1000:g}")
    return (
        Raw(
            f'<img alt="{escape(caption)}" src="{charts.spectrogram(clip.levels_db)}">'
            f'<audio controls preload="none" src="data:{escape(clip.media_type)};base64,{sound}">'
            "</audio>"
        ),
        f"{caption} ({axis})",
    )


def most_confident_mistakes(part: Predictions, n: int = N_MISTAKES) -> Predictions:
    """Return the surest wrong answers, surest first, each clip once."""
    wrong = part.take(~part.correct)
    order = np.argsort(-wrong.confidence, kind="stable")
    _, first = np.unique(wrong.id[order], return_index=True)
    return wrong.take(order[np.sort(first)][:n])


def percent(value: float | None) -> str:
    """Return a share in percent; nothing for None."""
    return "" if value is None else f"{100 * value:.1f}%"


def number(value: float | None) -> str:
    """Return a number with three decimals; nothing for None."""
    return "" if value is None else f"{value:.3f}"
