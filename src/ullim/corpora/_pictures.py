"""Draws the statistics of a corpus; matplotlib is of ``ullim[train]``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ullim._fonts import use_korean_font
from ullim.errors import CorpusError, MissingExtraError
from ullim.types import LABELS, LABELS_KO

# One colour for each label, the same in every picture and corpus; readable without red and green.
_COLOURS = (
    "#8c8c8c", "#e9b000", "#3b6fb6", "#c8352b", "#7b4fa3", "#4f8a4b", "#ec7f2e", "#a9825f",
    "#74b8c9", "#d86fa4",
)  # fmt: skip
_OTHER = "#444444"
# A table of more speakers than this is drawn as counts per label, one point for each speaker.
_MOST_ROWS = 60


def require() -> None:
    """Raise the error that names the pip line where nothing can be drawn."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("drawing", extra="train") from error


def draw(figures: dict[str, Any], folder: Path, *, korean: bool = False) -> list[Path]:
    """Draw labels by speaker, labels by gender, and durations, as PNG files.

    Args:
        figures: What :func:`ullim.corpora.stats.statistics` returns.
        folder: Where to; it is made.
        korean: Korean label names, where a font for them is installed.

    Raises:
        CorpusError: The folder can not be written to.
        MissingExtraError: matplotlib is not installed.
    """
    require()
    from matplotlib import rc_context

    with rc_context():
        return _draw(figures, folder, korean)


def _draw(figures: dict[str, Any], folder: Path, korean: bool) -> list[Path]:
    # The canvas is named outright, so that no screen is looked for.
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    names = _names(figures["labels"], korean)
    drawn = {
        "labels_by_speaker": _labels_by_speaker(figures, names),
        "labels_by_gender": _labels_by_gender(figures, names),
        "durations": _durations(figures, names),
    }
    files = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in drawn.items():
            file = folder / f"{figures['corpus']}_{name}.png"
            part = file.with_name(f"{file.name}.part")
            FigureCanvasAgg(figure)
            figure.savefig(part, format="png")
            part.replace(file)
            files.append(file)
    except OSError as error:
        raise CorpusError(
            f"{folder} can not be written to ({error.strerror}); give --out a folder of yours",
            code="not_writable",
        ) from error
    return files


def _names(labels: list[str], korean: bool) -> dict[str, str]:
    """Return how labels are written, having told matplotlib of a font with Hangul."""
    use_korean = use_korean_font() and korean
    return {label: LABELS_KO.get(label, label) if use_korean else label for label in labels}


def _colour(label: str) -> str:
    return _COLOURS[LABELS.index(label)] if label in LABELS else _OTHER


def _figure(figures: dict[str, Any], what: str, width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    _title(figure, figures, what)
    axes.tick_params(labelsize=8)
    return figure, axes


def _title(figure: Any, figures: dict[str, Any], what: str) -> None:
    figure.suptitle(f"{figures['title']}\n{what}", fontsize=9, x=0.01, ha="left")


def _labels_by_speaker(figures: dict[str, Any], names: dict[str, str]) -> Any:
    counts = figures["labels_by_speaker"]
    labels = figures["labels"]
    table = np.array([[row[label] for label in labels] for row in counts.values()])
    if len(table) > _MOST_ROWS:
        figure, axes = _figure(figures, "utterances of each speaker, by label", 7, 4)
        axes.boxplot(list(table.T), tick_labels=[names[label] for label in labels])
        axes.set_ylabel("utterances of a speaker", fontsize=8)
        return figure
    width, height = 1.8 + 0.75 * len(labels), 1.3 + 0.24 * len(table)
    figure, axes = _figure(figures, "utterances by speaker and label", max(width, 5.0), height)
    axes.imshow(table, cmap="Blues", aspect="auto", vmin=0, vmax=max(1, table.max()) * 1.25)
    axes.set_xticks(range(len(labels)), [names[label] for label in labels])
    axes.xaxis.tick_bottom()
    axes.set_yticks(range(len(table)), list(counts))
    axes.set_ylabel("speaker", fontsize=8)
    for row, column in np.ndindex(*table.shape):
        dark = table[row, column] > 0.75 * max(1, table.max())
        axes.text(
            column, row, str(table[row, column]) if table[row, column] else "-",
            ha="center", va="center", fontsize=7, color="white" if dark else "#222222",
        )  # fmt: skip
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0)
    return figure


def _labels_by_gender(figures: dict[str, Any], names: dict[str, str]) -> Any:
    counts, labels = figures["labels_by_gender"], figures["labels"]
    figure, axes = _figure(figures, "utterances by label and gender", 6.5, 1.2 + 0.34 * len(labels))
    left = np.zeros(len(labels))
    shades = {"female": 1.0, "male": 0.5}
    for gender, row in counts.items():
        values = np.array([row[label] for label in labels])
        bars = axes.barh(
            range(len(labels)), values, left=left, edgecolor="white", height=0.75,
            color=[_colour(label) for label in labels], alpha=shades.get(gender, 0.35),
        )  # fmt: skip
        words = [f"{gender} {n}" if n > 0.12 * _widest(counts) else "" for n in values]
        ink = "white" if gender == "female" else "#222222"
        axes.bar_label(bars, words, label_type="center", fontsize=7, color=ink)
        left += values
    for place, total in enumerate(left):
        axes.text(total, place, f" {total:.0f}", va="center", fontsize=8)
    axes.set_yticks(range(len(labels)), [names[label] for label in labels])
    axes.invert_yaxis()
    axes.margins(x=0.08)
    axes.set_xlabel("utterances", fontsize=8)
    _plain(axes)
    return figure


def _widest(counts: dict[str, dict[str, int]]) -> int:
    totals: dict[str, int] = {}
    for row in counts.values():
        for label, n in row.items():
            totals[label] = totals.get(label, 0) + n
    return max(totals.values())


def _durations(figures: dict[str, Any], names: dict[str, str]) -> Any:
    from matplotlib.figure import Figure

    by_label = {label: figures["durations_s"][label] for label in figures["labels"]}
    by_label = {label: values for label, values in by_label.items() if values}
    figure = Figure(figsize=(6.5, 1.1 + 0.6 * len(by_label)), dpi=150, layout="constrained")
    _title(figure, figures, "durations by label")
    everything = np.concatenate([*by_label.values()]) if by_label else np.array([0.0, 1.0])
    # A few very long recordings would press all others into one bar.
    longest = float(min(everything.max(), 1.5 * np.percentile(everything, 99)))
    shortest = float(everything.min())
    if longest - shortest < 0.5:
        shortest, longest = max(0.0, shortest - 0.5), longest + 0.5
    edges = np.linspace(shortest, longest, 41)
    rows = figure.subplots(max(1, len(by_label)), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (label, values) in zip(rows, by_label.items(), strict=False):
        axes.hist(np.minimum(values, longest), edges, color=_colour(label))
        median = float(np.median(values))
        axes.axvline(median, color="#222222", linewidth=1)
        axes.text(
            0.995, 0.9, f"{names[label]}: median {median:.2f} s, n {len(values)}",
            transform=axes.transAxes, ha="right", va="top", fontsize=8,
        )  # fmt: skip
        axes.set_yticks([])
        axes.tick_params(labelsize=8)
        _plain(axes)
        axes.spines["left"].set_visible(False)
    rows[-1].set_xlabel("seconds", fontsize=8)
    return figure


def _plain(axes: Any) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
