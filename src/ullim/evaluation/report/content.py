"""What the report says about a run, block by block."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np

from ullim._version import __version__
from ullim.evaluation import metrics as m
from ullim.evaluation.calibration import coverage_accuracy, reliability, threshold_over_folds
from ullim.evaluation.metrics import Floats
from ullim.evaluation.predictions import Predictions, Run
from ullim.evaluation.report import charts
from ullim.evaluation.report.blocks import (
    Block,
    Bullets,
    Cards,
    Code,
    Figures,
    Heading,
    Raw,
    Table,
    Text,
)
from ullim.evaluation.report.words import Words
from ullim.evaluation.statistics import FEW_SPEAKERS
from ullim.evaluation.summary import INTERVALS, score

N_MISTAKES = 10


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


@dataclass(frozen=True, slots=True)
class Facts:
    """What only the corpora themselves know.

    Attributes:
        genders: Corpus to utterance id to gender.
        clips: Corpus to utterance id to recording.
    """

    genders: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    clips: Mapping[str, Mapping[str, Clip]] = field(default_factory=dict)


def blocks(run: Run, words: Words, facts: Facts, *, draws: int = 2000) -> list[Block]:
    """Return the report of a run."""
    t = words
    parts = {
        corpus: _with_gender(run.of(corpus), facts, corpus) for corpus in run.metrics["corpora"]
    }
    figures = {corpus: score(part, draws=draws) for corpus, part in parts.items()}
    page: list[Block] = [
        Heading(
            t("title", recipe=run.details["recipe"], protocol=run.details["protocol"]["name"]), 1
        )
    ]
    if run.recipe.get("title"):
        page.append(Text(str(run.recipe["title"])))
    page.append(
        Cards(
            [
                (
                    corpus,
                    _percent(f["unweighted_average_recall"]["value"]),
                    t("against", **_ends(f), chance=_chance(f)),
                )
                for corpus, f in figures.items()
            ]
        )
    )
    independent = bool(run.details.get("speaker_independent"))
    page.append(Text(t("independent" if independent else "shared"), warning=not independent))
    status = str(run.recipe.get("status", "measured"))
    if status != "measured":
        page.append(Text(t.known(status), warning=True))
    page += _what(run, t)
    page += _whom(parts, figures, run, t)
    page += _leakage(run.metrics["leakage"], t)
    for corpus, part in parts.items():
        page += _corpus(corpus, part, figures[corpus], facts, run, t, alone=len(parts) == 1)
    page += _curves(run, t)
    page += [
        Heading(t("repeat")),
        Code(str(run.details["command"])),
        Heading(t("how")),
        Text(t("how_text", draws=f"{draws:,}")),
        Text(t("acted")),
        Text(t("made", version=__version__)),
    ]
    return page


def most_confident_mistakes(part: Predictions, n: int = N_MISTAKES) -> Predictions:
    """Return the surest wrong answers, surest first, each clip once."""
    wrong = part.take(~part.correct)
    order = np.argsort(-wrong.confidence, kind="stable")
    _, first = np.unique(wrong.id[order], return_index=True)
    return wrong.take(order[np.sort(first)][:n])


def _what(run: Run, t: Words) -> list[Block]:
    details, recipe = run.details, run.recipe
    protocol = dict(details["protocol"])
    name = str(protocol.pop("name"))
    options = ", ".join(f"{key} {value}" for key, value in protocol.items())
    feature, model = recipe.get("feature") or {}, recipe.get("model") or {}
    versions = ", ".join(f"{key} {value}" for key, value in details.get("versions", {}).items())
    rows = [
        (t("recipe"), str(details["recipe"])),
        (t("protocol"), name + (f" ({options})" if options else "")),
        (t("profile"), str(details.get("profile", "full"))),
        (t("seeds"), ", ".join(map(str, details["seeds"]))),
        (t("labels"), t.labels(run.metrics["labels"])),
        (t("feature"), str(feature.get("name", ""))),
        (t("model"), str(model.get("name", ""))),
        (t("finished"), str(details.get("finished", ""))),
        (t("machine"), str(details.get("machine", ""))),
        (t("versions"), versions),
        (t("commit"), str(details.get("git_commit") or "")),
        (t("audio_hash"), str(details.get("audio_hash") or "")),
    ]
    found: list[Block] = [Heading(t("what"))]
    if str(recipe.get("description", "")).strip():
        found.append(Text(" ".join(str(recipe["description"]).split())))
    found.append(Table((), [row for row in rows if row[1]], words=(0, 1)))
    if recipe.get("reported"):
        found += [
            Heading(t("reported"), 3),
            Bullets([t("reported_row", **figure) for figure in recipe["reported"]]),
        ]
    return found


def _whom(
    parts: Mapping[str, Predictions], figures: Mapping[str, Any], run: Run, t: Words
) -> list[Block]:
    found: list[Block] = [Heading(t("whom"))]
    for corpus, part in parts.items():
        seeds = len(np.unique(part.seed))
        once = part.take(np.unique(part.id, return_index=True)[1])
        found += [
            Heading(corpus, 3),
            Text(
                t(
                    "whom_row",
                    n=f"{len(once):,}",
                    speakers=figures[corpus]["n_speakers"],
                    seeds=t("times_seeds", k=seeds) if seeds > 1 else "",
                )
            ),
        ]
        counts = np.bincount(once.truth, minlength=len(part.labels))
        row = [f"{t.label(name)} {n:,}" for name, n in zip(part.labels, counts, strict=True) if n]
        items = [f"{t('labels')}: {', '.join(row)}"]
        genders = [
            f"{t.known(gender)} {len(np.unique(once.speaker[once.gender == gender]))}"
            for gender in np.unique(once.gender).tolist()
            if gender
        ]
        if genders:
            items.append(f"{t('gender')} ({t('speakers')}): {', '.join(genders)}")
        found.append(Bullets(items))
        if figures[corpus]["absent_labels"]:
            found.append(Text(t("absent", labels=t.labels(figures[corpus]["absent_labels"]))))
    return found


def _leakage(leakage: Mapping[str, Any], t: Words) -> list[Block]:
    left = dict(leakage)
    items = []
    for key, text in (
        ("speakers_on_both_sides", "leak_speakers"),
        ("test_rows_with_trained_recording", "leak_audio"),
    ):
        if key in left:
            names = list(map(str, left.pop(key)))
            told = f" ({', '.join(names[:10])}{', …' if len(names) > 10 else ''})" if names else ""
            items.append(t(text, n=len(names), names=told))
    share = left.pop("share_of_test_rows_with_trained_sentence", None)
    if share is not None:
        items.insert(1, t("leak_sentences", share=_percent(share)))
    for key, value in left.items():
        told = f"{len(value)}" if isinstance(value, list | dict) else str(value)
        items.append(f"{key.replace('_', ' ')}: {told}")
    return [Heading(t("leakage")), Bullets(items)]


def _corpus(
    corpus: str,
    part: Predictions,
    figures: Mapping[str, Any],
    facts: Facts,
    run: Run,
    t: Words,
    *,
    alone: bool,
) -> list[Block]:
    n_speakers = figures["n_speakers"]
    baselines = figures["baselines"]
    shares = [
        (
            t(name),
            _percent(figures[name]["value"]),
            t("ends", low=_percent(figures[name]["low"]), high=_percent(figures[name]["high"])),
            _percent(baselines.get(f"majority_{name}")),
            _percent(baselines.get(f"prior_{name}")),
        )
        for name in INTERVALS
    ]
    others = [
        (
            t(name),
            _number(figures[name]["value"]),
            t("ends", low=_number(figures[name]["low"]), high=_number(figures[name]["high"])),
            _number(baselines[f"prior_{name}"]),
        )
        for name in ("log_loss", "brier_score")
    ]
    others += [
        (t(name), _number(figures[name]), "", "")
        for name in (
            "expected_calibration_error",
            "expected_calibration_error_equal_width",
            "area_under_roc",
            "area_under_risk_coverage",
        )
    ]
    found: list[Block] = [Heading(t("figures") if alone else f"{t('figures')}: {corpus}")]
    if n_speakers < FEW_SPEAKERS:
        key = "one_speaker" if n_speakers == 1 else "few_speakers"
        found.append(Text(t(key, n=n_speakers, few=FEW_SPEAKERS), warning=True))
    found += [
        Table((t("figure"), t("value"), t("interval"), t("majority"), t("prior")), shares),
        Table((t("figure"), t("value"), t("interval"), t("prior")), others),
        Text(t("arrows")),
    ]
    over_all = run.metrics["corpora"][corpus].get("over_all_labels")
    if over_all and len(part.labels) < len(run.metrics["labels"]):
        found.append(
            Text(
                t(
                    "all_labels",
                    ua=_percent(over_all["unweighted_average_recall"]),
                    wa=_percent(over_all["weighted_accuracy"]),
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
    found += _mistakes(part, facts.clips.get(corpus, {}), t)
    return found


def _by_class(part: Predictions, figures: Mapping[str, Any], t: Words) -> list[Block]:
    matrix = np.array(figures["confusion_matrix"], dtype=float)
    names = [t.label(name) for name in part.labels]
    rows = [
        (
            t.label(name),
            f"{int(matrix[row].sum()):,}",
            *(_percent(figures[key][name]) for key in ("recall", "precision", "f1")),
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
            rows.append((_percent(wanted), "", t("not_reached"), ""))
        else:
            threshold, coverage, accuracy = found
            rows.append(
                (_percent(wanted), _number(threshold), _percent(coverage), _percent(accuracy))
            )
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
            (name, wa, f"{name} {gender}: {_percent(wa)}, n = {n}")
            for name, gender, n, wa, _ in shown
        ],
        middle=float(part.correct.mean()),
        title=t("accuracy"),
    )
    table = [
        (name, gender, f"{n:,}", _percent(wa), _percent(ua)) for name, gender, n, wa, ua in rows
    ]
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
            Text(t("spread", mean=_percent(spread["mean"]), sd=_percent(spread["sd"]), n=several))
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
                _percent(part["value"]),
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
                _percent(float(wrong.confidence[place])),
                t.label(truth),
                _percent(float(wrong.probabilities[place, wrong.truth[place]])),
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


def _curves(run: Run, t: Words) -> list[Block]:
    members = [member for fold in run.history.values() for member in fold if member]
    shown = []
    for key in ("train_loss", "validation_loss", "validation_unweighted_average_recall"):
        curves = [member[key] for member in members if member.get(key)]
        if not curves:
            continue
        longest = max(map(len, curves))
        # The mean stops where the first curve does, or it would jump as curves end.
        shortest = min(map(len, curves))
        mean = np.mean([curve[:shortest] for curve in curves], axis=0).tolist()
        share = key.endswith("recall")
        top = 1.0 if share else float(np.quantile(np.concatenate(curves), 0.99)) * 1.1 or 1.0
        series = [
            ([(k + 1.0, min(v, top)) for k, v in enumerate(curve)], kind)
            for curve, kind in [*((c, "thin") for c in curves), (mean, "line")]
        ]
        chart = charts.lines(
            series,
            x_title=t("epoch"),
            y_title=t(key),
            x_range=(1.0, max(float(longest), 2.0)),
            y_range=(0.0, top),
            x_tick=lambda x: f"{x:.0f}",
            y_tick=charts.percent if share else lambda y: f"{y:g}",
        )
        shown.append((chart, t(key)))
    if not shown:
        return []
    return [Heading(t("curves")), Text(t("curves_text")), Figures(shown)]


def _with_gender(part: Predictions, facts: Facts, corpus: str) -> Predictions:
    known = facts.genders.get(corpus)
    if not known:
        return part
    told = [known.get(name, old) for name, old in zip(part.id.tolist(), part.gender, strict=True)]
    return part.with_gender(told)


def _ends(figures: Mapping[str, Any]) -> dict[str, str]:
    recall = figures["unweighted_average_recall"]
    return {"low": _percent(recall["low"]), "high": _percent(recall["high"])}


def _chance(figures: Mapping[str, Any]) -> str:
    return _percent(figures["baselines"]["prior_unweighted_average_recall"])


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}%"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def media_wanted(run: Run) -> dict[str, Sequence[str]]:
    """Return corpus to the ids of the clips whose recordings the report would show."""
    return {
        corpus: most_confident_mistakes(run.of(corpus)).id.tolist()
        for corpus in run.metrics["corpora"]
    }
