"""An audit in words: the lines that come first, the tables, the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ullim.audit.marks import MARKS, Mark
from ullim.audit.words import Lang, called, say
from ullim.evaluation.statistics import FEW_SPEAKERS


class Table(NamedTuple):
    """Column names and rows."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def first_lines(audit: Mapping[str, Any], lang: Lang) -> list[str]:
    """Return what a reader must know before any figure."""
    corpora = audit["corpora"]
    heard = [c["title"] for c in corpora.values() if c["trained_on"]]
    unheard = [c["title"] for c in corpora.values() if not c["trained_on"]]
    lines = []
    if not audit["model"]["trained_on"]:
        lines.append(say("unstated", lang))
    else:
        if heard:
            lines.append(say("trained", lang, corpora=", ".join(heard)))
        if unheard:
            lines.append(say("unheard", lang, corpora=", ".join(unheard)))
    n = sum(c["n"] for c in corpora.values())
    available = sum(c["available"] for c in corpora.values())
    if n < available:
        lines.append(say("part", lang, n=n, available=available))
    n_speakers = sum(c["n_speakers"] for c in corpora.values())
    if n_speakers < FEW_SPEAKERS:
        lines.append(say("few", lang, n=n_speakers, limit=FEW_SPEAKERS))
    return lines


def tally(audit: Mapping[str, Any], lang: Lang) -> str:
    """Return how many marks passed."""
    verdicts = [mark["verdict"] for mark in audit["marks"]]
    passed, failed = verdicts.count("pass"), verdicts.count("fail")
    unmeasured = len(verdicts) - passed - failed
    return say("tally", lang, passed=passed, judged=passed + failed, unmeasured=unmeasured)


def verdict_table(audit: Mapping[str, Any], lang: Lang) -> Table:
    """Return one row for each mark."""
    found = {verdict["key"]: verdict for verdict in audit["marks"]}
    columns = ("mark", "measured", "limit", "verdict", "where", "why")
    rows = []
    for mark in MARKS:
        verdict = found[mark.key]
        word = say(verdict["verdict"], lang)
        if verdict["certain"] is False:
            word = say("narrow", lang, verdict=word)
        why = mark.why[lang == "ko"]
        reason = verdict["reason"]
        rows.append(
            (
                say(mark.key, lang),
                _measured(mark, verdict["value"]),
                limit(mark, lang),
                word,
                called(verdict["where"] or "", lang),
                why if reason is None else say(reason, lang),
            )
        )
    return Table([say(column, lang) for column in columns], rows)


def limit(mark: Mark, lang: Lang) -> str:
    """Return what is measured and what passes, in one phrase."""
    measure = "gap_limit" if mark.measure == "gap" else mark.measure
    return say(measure, lang, limit=_measured(mark, mark.limit))


def condition_table(audit: Mapping[str, Any], lang: Lang) -> Table:
    """Return one row for the clean clips and one for each condition."""
    columns = ("condition", "level", "UA", "lost", "same", "moved", "silent", "ECE", "over")
    rows = []
    for found in [audit["clean"], *audit["conditions"]]:
        changed = "loss" in found
        rows.append(
            (
                called(found["family"], lang) if changed else say("clean_line", lang),
                found["level"] if changed else "",
                _interval(found["unweighted_average_recall"]),
                _interval(found["loss"], points=True) if changed else "",
                _percent(found["agreement"]) if changed else "",
                f"{found['confidence_change']:.3f}" if changed else "",
                _percent(found["not_answered"]),
                _number(found["expected_calibration_error"]),
                _points(found["overconfidence"]),
            )
        )
    return Table([c if c in {"UA", "ECE"} else say(c, lang) for c in columns], rows)


def corpus_table(audit: Mapping[str, Any], lang: Lang) -> Table:
    """Return one row for each corpus."""
    by_corpus = audit["clean"]["unweighted_average_recall_by_corpus"]
    rows = [
        (
            corpus["title"],
            f"{corpus['n']} / {corpus['available']}",
            str(corpus["n_speakers"]),
            _percent(by_corpus.get(name)),
        )
        for name, corpus in audit["corpora"].items()
    ]
    return Table((say("corpus", lang), say("clips", lang), say("speakers", lang), "UA"), rows)


def group_table(audit: Mapping[str, Any], lang: Lang) -> Table:
    """Return one row for each group of at least one speaker; speakers are left to the JSON."""
    rows = []
    for kind, found in audit["groups"].items():
        if kind == "speaker":
            continue
        for group, figures in found["groups"].items():
            rows.append(
                (
                    say(kind, lang),
                    called(group, lang),
                    str(figures["n"]),
                    str(figures["n_speakers"]),
                    _interval(figures["unweighted_average_recall"]),
                    _interval(figures["weighted_accuracy"]),
                )
            )
    names = ("", say("group", lang), say("clips", lang), say("speakers", lang), "UA", "WA")
    return Table(names, rows)


def gap_lines(audit: Mapping[str, Any], lang: Lang) -> list[str]:
    """Return how large the gaps are, and how large chance makes them."""
    reasons = {mark["key"]: mark["reason"] for mark in audit["marks"]}
    lines = []
    for kind, found in audit["groups"].items():
        if found["gap"] is None:
            continue
        facts = {"kind": say(kind, lang), "gap": _points(found["gap"])}
        if found["p"] is None:
            reason = say(reasons[f"{kind}-gap"] or "few_speakers", lang)
            lines.append(say("gap_untold", lang, **facts, reason=reason))
            continue
        facts |= {"p": f"{found['p']:.3f}", "chance": _points(found["chance_gap"])}
        lines.append(say("speaker_gap" if kind == "speaker" else "gap", lang, **facts))
        if kind != "speaker" and not found["within_corpus"]:
            lines.append(say("across", lang, kind=say(kind, lang)))
    return lines


def clean_line(audit: Mapping[str, Any], lang: Lang) -> str:
    """Return the figures of the clips as they are."""
    clean = audit["clean"]
    return say(
        "clean_note",
        lang,
        ua=_interval(clean["unweighted_average_recall"]),
        wa=_interval(clean["weighted_accuracy"]),
        chance=_percent(clean["chance"]),
    )


def asked_lines(audit: Mapping[str, Any], lang: Lang) -> list[str]:
    """Return what was left out, mapped and typed."""
    lines = []
    for corpus in audit["corpora"].values():
        if corpus["left_out"]:
            labels = ", ".join(f"{label} {n}" for label, n in corpus["left_out"].items())
            lines.append(f"{corpus['title']}: {say('left_out_labels', lang, labels=labels)}")
    if audit["label_map"]:
        labels = ", ".join(f"{given} → {label}" for given, label in audit["label_map"].items())
        lines.append(say("mapped", lang, labels=labels))
    if audit["unreadable"]:
        counts = ", ".join(f"{n} {code}" for code, n in audit["unreadable"].items())
        lines.append(say("unreadable", lang, counts=counts))
    if audit["command"]:
        lines.append(f"{say('command', lang)}: `{audit['command']}`")
    return lines


def page(audit: Mapping[str, Any], lang: Lang, pictures: Sequence[str] = ()) -> str:
    """Return the whole audit as Markdown; ``pictures`` are files that lie beside it."""
    model = audit["model"]
    shown = {name.partition(".")[0]: f"![{name}]({name})" for name in pictures}
    parts = [
        "# " + say("title", lang, name=model["name"], title=model["title"]),
        *first_lines(audit, lang),
        "## " + say("verdicts", lang),
        tally(audit, lang),
        markdown(verdict_table(audit, lang)),
        say("narrow_note", lang),
        "## " + say("clean", lang),
        markdown(corpus_table(audit, lang)),
        clean_line(audit, lang),
        "## " + say("robustness", lang),
        shown.get("robustness", ""),
        markdown(condition_table(audit, lang)),
        "## " + say("groups", lang),
        shown.get("groups", ""),
        markdown(group_table(audit, lang)),
        _listed(gap_lines(audit, lang)),
        "## " + say("asked", lang),
        _listed([*asked_lines(audit, lang), f"ullim {audit['ullim']}, {audit['date']}"]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def markdown(table: Table) -> str:
    """Return a table as Markdown; empty where it has no rows."""
    if not table.rows:
        return ""
    lines = [table.columns, ("---",) * len(table.columns), *table.rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in lines)


def _listed(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _points(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _measured(mark: Mark, value: float | None) -> str:
    if value is None:
        return ""
    if mark.measure == "confidence_change":
        return _number(value)
    return _percent(value) if mark.measure in {"agreement", "not_answered"} else _points(value)


def _interval(figure: Mapping[str, float | None], *, points: bool = False) -> str:
    show = _points if points else _percent
    if figure["low"] is None:
        return show(figure["value"])
    return f"{show(figure['value'])} [{show(figure['low'])}, {show(figure['high'])}]"
