"""How a comparison of runs is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ullim.evaluation.comparison import Board, Entry, Pair

SHORT = {
    "unweighted_average_recall": "UA",
    "weighted_accuracy": "WA",
    "macro_f1": "macro-F1",
    "weighted_f1": "weighted F1",
}


def to_markdown(
    boards: Sequence[Board], apart: Sequence[str], *, pairs: Literal["all", "best"] = "all"
) -> str:
    """Return the boards as a page.

    Args:
        boards: What to show.
        apart: Runs that stand on none, and why.
        pairs: ``best`` shows only the pairs of the first of a board with each other; corrected
            p-values are those of all pairs all the same.
    """
    lines = ["# Comparison", ""]
    for board in boards:
        lines += [
            f"## {board.corpus}: {board.n_items} items, {board.n_speakers} speakers",
            "",
            f"Labels: {', '.join(board.labels)}. 95 % intervals over speakers; ranked by "
            f"{SHORT[board.metric]}, with the ranks that 95 % of draws of speakers give.",
            "",
            f"| rank | run | protocol | seeds | {' | '.join(SHORT.values())} |",
            f"|{'---|' * (4 + len(SHORT))}",
        ]
        for entry in board.entries:
            shown = " | ".join(percent(entry.figures[name]) for name in SHORT)
            lines.append(
                f"| {ranks(entry)} | {entry.run} | {protocol(entry)} | {entry.seeds} | {shown} |"
            )
        lines.append("")
        if board.pairs:
            header = ("better", "worse", *tests(board))
            lines += [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
            shown_pairs = [
                pair
                for pair in board.pairs
                if pairs == "all" or board.entries[0].run in (pair.first, pair.second)
            ]
            lines += [f"| {' | '.join(cells(pair, board))} |" for pair in shown_pairs]
            lines.append("")
        lines += [f"- {note}" for note in board.notes]
        lines.append("")
    if apart:
        lines += ["## Not on one board", "", *(f"- {reason}" for reason in apart), ""]
    return "\n".join(lines).rstrip() + "\n"


def percent(figure: tuple[float, float, float]) -> str:
    """Return a figure with its interval, in percent."""
    value, low, high = figure
    return f"{value:.1%} ({low:.1%} to {high:.1%})"


def ranks(entry: Entry) -> str:
    """Return a rank and the range it may have."""
    low, high = entry.rank_range
    return f"{entry.rank} ({low} to {high})" if low < high else str(entry.rank)


def protocol(entry: Entry) -> str:
    """Return the protocol, and what makes a figure under it an easier one."""
    shared = "" if entry.speaker_independent else " (speakers shared)"
    return entry.protocol + shared + (" (transductive)" if entry.transductive else "")


def tests(board: Board) -> tuple[str, ...]:
    """Return the names of the columns of its pairs, after the two runs."""
    splits = ("p, splits",) if _has_splits(board) else ()
    common = ("p, sign flip", "p, Holm", "p, Benjamini-Hochberg", "p, McNemar")
    return (f"{SHORT[board.metric]} apart", *splits, *common)


def cells(pair: Pair, board: Board) -> list[str]:
    """Return a pair as text, one cell for each column of its table."""
    value, low, high = (100 * part for part in pair.difference)
    found = (pair.p, pair.p_holm, pair.p_benjamini_hochberg, pair.p_mcnemar)
    apart = f"{value:+.1f} ({low:+.1f} to {high:+.1f})"
    splits = [p_value(pair.p_splits)] if _has_splits(board) else []
    return [pair.first, pair.second, apart, *splits, *map(p_value, found)]


def p_value(p: float | None) -> str:
    """Return a p-value as text; empty for none."""
    if p is None:
        return ""
    return "<0.0001" if p < 1e-4 else f"{p:.4f}"


def _has_splits(board: Board) -> bool:
    return any(pair.p_splits is not None for pair in board.pairs)
