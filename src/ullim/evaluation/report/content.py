"""What the report says about a run, block by block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ullim._version import __version__
from ullim.evaluation.predictions import Predictions, Run
from ullim.evaluation.report import charts
from ullim.evaluation.report.blocks import (
    Block,
    Bullets,
    Cards,
    Code,
    Figures,
    Heading,
    Table,
    Text,
)
from ullim.evaluation.report.corpus import Clip, most_confident_mistakes, percent, section
from ullim.evaluation.report.words import Words
from ullim.evaluation.summary import score


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
                    percent(f["unweighted_average_recall"]["value"]),
                    t("against", **_ends(f), chance=_chance(f)),
                )
                for corpus, f in figures.items()
            ]
        )
    )
    independent = bool(run.details.get("speaker_independent"))
    page.append(Text(t("independent" if independent else "shared"), warning=not independent))
    if run.details.get("transductive"):
        page.append(Text(t("transductive"), warning=True))
    status = str(run.recipe.get("status", "measured"))
    if status != "measured":
        page.append(Text(t.known(status), warning=True))
    page += _what(run, t)
    page += _whom(parts, figures, run, t)
    page += _leakage(run.metrics["leakage"], t)
    for corpus, part in parts.items():
        fewer = len(part.labels) < len(run.metrics["labels"])
        page += section(
            corpus,
            part,
            figures[corpus],
            facts.clips.get(corpus, {}),
            run.metrics["corpora"][corpus].get("over_all_labels") if fewer else None,
            t,
            alone=len(parts) == 1,
        )
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


def _what(run: Run, t: Words) -> list[Block]:
    details, recipe = run.details, run.recipe
    protocol = dict(details["protocol"])
    name = str(protocol.pop("name"))
    options = ", ".join(f"{key} {value}" for key, value in protocol.items())
    model = recipe.get("model") or {}
    members = [str(member["model"].get("name", "")) for member in model.get("members", ())]
    versions = ", ".join(f"{key} {value}" for key, value in details.get("versions", {}).items())
    rows = [
        (t("recipe"), str(details["recipe"])),
        (t("protocol"), name + (f" ({options})" if options else "")),
        (t("profile"), str(details.get("profile", "full"))),
        (t("seeds"), ", ".join(map(str, details["seeds"]))),
        (t("labels"), t.labels(run.metrics["labels"])),
        (t("feature"), ", ".join(str(feature.get("name", "")) for feature in run.features)),
        (t("model"), str(model.get("name", "")) + (f" ({', '.join(members)})" if members else "")),
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
            Bullets(
                [
                    t("reported_row", **{**figure, "metric": t.known(figure["metric"])})
                    for figure in recipe["reported"]
                ]
            ),
        ]
    return found


def _whom(
    parts: Mapping[str, Predictions], figures: Mapping[str, Any], run: Run, t: Words
) -> list[Block]:
    found: list[Block] = [Heading(t("whom"))]
    for corpus, part in parts.items():
        seeds = len(np.unique(part.seed))
        once = part.take(np.unique(part.id, return_index=True)[1])
        # A protocol that draws its split anew for each seed need not test every clip each time.
        each = "times_seeds" if len(part) == seeds * len(once) else "answers_seeds"
        found += [
            Heading(corpus, 3),
            Text(
                t(
                    "whom_row",
                    n=f"{len(once):,}",
                    speakers=figures[corpus]["n_speakers"],
                    seeds=t(each, k=seeds, answers=f"{len(part):,}") if seeds > 1 else "",
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
        ("test_rows_with_trained_near_duplicate", "leak_copies"),
        ("test_rows_overlapping_a_trained_stretch", "leak_stretches"),
    ):
        found = left.pop(key, None)
        if found is not None:
            names = [_pair(one) if isinstance(one, Mapping) else str(one) for one in found]
            told = f" ({', '.join(names[:10])}{', …' if len(names) > 10 else ''})" if names else ""
            items.append(t(text, n=len(names), names=told))
    share = left.pop("share_of_test_rows_with_trained_sentence", None)
    if share is not None:
        items.insert(1, t("leak_sentences", share=percent(share)))
    for key, text in (
        ("rows_too_short_for_a_fingerprint", "leak_short"),
        ("rows_without_speaker", "leak_no_speaker"),
        ("rows_without_text", "leak_no_text"),
    ):
        n = left.pop(key, None)
        if n:
            items.append(t(text, n=n))
    for key, value in left.items():
        if value is None:
            continue
        told = f"{len(value)}" if isinstance(value, list | dict) else str(value)
        items.append(f"{key.replace('_', ' ')}: {told}")
    return [Heading(t("leakage")), Bullets(items)]


def _pair(copy: Mapping[str, Any]) -> str:
    """Return a tested clip and the trained one it is a copy of."""
    return f"{copy['test']} ~ {copy['train']}"


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
    return {"low": percent(recall["low"]), "high": percent(recall["high"])}


def _chance(figures: Mapping[str, Any]) -> str:
    return percent(figures["baselines"]["prior_unweighted_average_recall"])


def media_wanted(run: Run) -> dict[str, Sequence[str]]:
    """Return corpus to the ids of the clips whose recordings the report would show."""
    return {
        corpus: most_confident_mistakes(run.of(corpus)).id.tolist()
        for corpus in run.metrics["corpora"]
    }
