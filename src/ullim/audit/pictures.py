"""Pictures of an audit; the one module of the room that needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ullim._fonts import use_korean_font
from ullim.audit.conditions import TINY
from ullim.audit.words import Lang, called, say
from ullim.errors import MissingExtraError

try:
    from matplotlib import rc_context
    from matplotlib.figure import Figure
except ImportError as error:
    raise MissingExtraError("drawing pictures", extra="train") from error

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _ACCENT, _SOFT = "#1c2430", "#1f5fbf", "#5b6675"
_N_COLUMNS = 4


def draw(folder: Path, audit: Mapping[str, Any], lang: Lang) -> list[str]:
    """Write ``robustness`` and ``groups`` as PNG and SVG, those that have something to show.

    Without a font that has Hangul, their words are English.

    Returns:
        Names of the files.
    """
    look: dict[Any, Any] = {
        "font.size": 9.0,
        "svg.hashsalt": "ullim",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": _SOFT,
        "text.color": _INK,
    }
    names = []
    with rc_context(look):
        if not use_korean_font():
            lang = "en"
        for name, picture in (
            ("robustness", _robustness(audit, lang)),
            ("groups", _groups(audit, lang)),
        ):
            if picture is None:
                continue
            picture.savefig(folder / f"{name}.png", dpi=150)
            picture.savefig(folder / f"{name}.svg", metadata={"Date": None})
            names += [f"{name}.png", f"{name}.svg"]
    return names


def _robustness(audit: Mapping[str, Any], lang: Lang) -> Figure | None:
    """Draw UA over the levels of each family, mild on the left, with clean clips as a line."""
    families: dict[str, list[Any]] = {}
    for found in audit["conditions"]:
        families.setdefault(found["family"], []).append(found)
    if not families:
        return None
    n_columns = min(_N_COLUMNS, len(families))
    n_rows = -(-len(families) // n_columns)
    figure = Figure(figsize=(2.9 * n_columns + 0.4, 2.5 * n_rows), layout="constrained")
    axes = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False)
    clean = audit["clean"]["unweighted_average_recall"]
    for axis, (family, levels) in zip(axes.flat, families.items(), strict=False):
        _line_of(axis, clean)
        axis.axhline(100 * audit["clean"]["chance"], color=_SOFT, linewidth=0.8, linestyle=":")
        _points(
            axis,
            range(len(levels)),
            [found["unweighted_average_recall"] for found in levels],
            joined=family != TINY and len(levels) > 2,
        )
        axis.set_title(called(family, lang), loc="left", fontsize=10)
        axis.set_xticks(range(len(levels)), [found["level"] for found in levels])
        if family == TINY:
            axis.tick_params(axis="x", rotation=60, labelsize=7)
        axis.set_xlim(-0.5, len(levels) - 0.5)
        axis.set_ylim(0, 102)
    for axis in axes.flat[len(families) :]:
        axis.axis("off")
    for axis in axes[:, 0]:
        axis.set_ylabel(say("axis_ua", lang))
    figure.supxlabel(say("legend", lang), fontsize=8, color=_SOFT)
    return figure


def _groups(audit: Mapping[str, Any], lang: Lang) -> Figure | None:
    """Draw UA of each group with its interval, and every speaker as a dot."""
    rows: list[tuple[str, Any]] = [
        (f"{called(group, lang)} ({figures['n_speakers']})", figures["unweighted_average_recall"])
        for kind, found in audit["groups"].items()
        if kind != "speaker"
        for group, figures in found["groups"].items()
    ]
    speakers = [
        figures["unweighted_average_recall"]["value"]
        for figures in audit["groups"]["speaker"]["groups"].values()
    ]
    if not rows and not speakers:
        return None
    figure = Figure(figsize=(6.5, 0.7 + 0.32 * (len(rows) + 1)), layout="constrained")
    axis = figure.subplots()
    _line_of(axis, audit["clean"]["unweighted_average_recall"], upright=True)
    for place, (_, score) in enumerate(rows):
        if score["low"] is not None:
            axis.plot([100 * score["low"], 100 * score["high"]], [place, place], color=_ACCENT)
        axis.plot(100 * score["value"], place, "o", color=_ACCENT, markersize=5)
    spread = 0.25 * np.sin(2.4 * np.arange(len(speakers)))
    axis.plot(
        100 * np.array(speakers), len(rows) + spread, "o", color=_SOFT, markersize=3, alpha=0.7
    )
    names = [*(name for name, _ in rows), f"{say('each_speaker', lang)} ({len(speakers)})"]
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.set_xlim(0, 102)
    axis.set_xlabel(say("axis_ua", lang))
    return figure


def _line_of(axis: Axes, score: Mapping[str, Any], *, upright: bool = False) -> None:
    """Draw the clean figure as a line, and its interval as a band."""
    line, band = (axis.axvline, axis.axvspan) if upright else (axis.axhline, axis.axhspan)
    if score["low"] is not None:
        band(100 * score["low"], 100 * score["high"], color=_SOFT, alpha=0.15, linewidth=0)
    line(100 * score["value"], color=_SOFT, linewidth=0.8, linestyle="--")


def _points(
    axis: Axes, places: Sequence[int], scores: Sequence[Mapping[str, Any]], *, joined: bool
) -> None:
    values = [100 * score["value"] for score in scores]
    for place, score in zip(places, scores, strict=True):
        if score["low"] is not None:
            axis.plot([place, place], [100 * score["low"], 100 * score["high"]], color=_ACCENT)
    axis.plot(
        places,
        values,
        "o",
        linestyle="-" if joined else "none",
        color=_ACCENT,
        markersize=4,
        linewidth=1,
    )
