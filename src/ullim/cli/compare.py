"""``ullim compare``: which of several runs is better, and whether that is more than luck."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ullim.cli.console import note, print_json, print_lines, print_table
from ullim.cli.recipe_options import parse_seeds


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders that `ullim run` has written.")],
    metric: Annotated[
        str,
        typer.Option(
            help="What ranks them: unweighted_average_recall, weighted_accuracy, macro_f1 or "
            "weighted_f1."
        ),
    ] = "unweighted_average_recall",
    seeds: Annotated[
        str | None,
        typer.Option(
            help="Compare under these only: 0, 0,1,2 or 0-4; a random split tests other items "
            "under each."
        ),
    ] = None,
    draws: Annotated[int, typer.Option(min=100, help="Draws of speakers.")] = 2000,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Also write the boards to a Markdown file.")
    ] = None,
) -> None:
    """Rank runs that answered the same items, with intervals and corrected paired tests."""
    from ullim.evaluation import comparison
    from ullim.evaluation.predictions import read_run
    from ullim.evaluation.report import boards as page

    found = [read_run(folder) for folder in runs]
    if seeds is not None:
        chosen = parse_seeds(seeds)
        found = [run.under(chosen) for run in found]
    boards, apart = comparison.compare(found, metric=metric, draws=draws)
    if out is not None:
        from ullim._files import write_text

        write_text(out, page.to_markdown(boards, apart))
        note(f"written to {out}")
    if json:
        print_json({"boards": [board.to_dict() for board in boards], "apart": apart})
        return
    for board in boards:
        print_lines([f"{board.corpus}: {board.n_items} items, {board.n_speakers} speakers"])
        print_table(
            None,
            ("rank", "run", "protocol", "seeds", *page.SHORT.values()),
            [
                (
                    page.ranks(entry),
                    entry.run,
                    page.protocol(entry),
                    entry.seeds,
                    *(page.percent(entry.figures[name]) for name in page.SHORT),
                )
                for entry in board.entries
            ],
        )
        if board.pairs:
            print_table(
                None,
                ("better", "worse", *page.tests(board)),
                [page.cells(pair, board) for pair in board.pairs],
            )
        for remark in board.notes:
            note(f"{board.corpus}: {remark}")
    for reason in apart:
        note(f"not on one board: {reason}")
