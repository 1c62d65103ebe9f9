"""Where the command line writes: answers to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

# The least room that a column of sentences is left.
_TEXT_WIDTH = 12
_NUMBER = re.compile(r"[-+]?[\d.,]*( ?%)?")

# rich is imported where it is used: an answer in JSON, or to a pipe, needs none of it.


@cache
def stderr() -> Console:
    """Return the console for everything that is not an answer."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def complain(message: str) -> None:
    """Write an error to stderr."""
    from rich.markup import escape

    stderr().print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)


def note(message: str) -> None:
    """Write a remark to stderr."""
    stderr().print(message, style="dim", markup=False, soft_wrap=True)


def print_lines(lines: Sequence[str]) -> None:
    """Write lines to stdout as they are."""
    sys.stdout.writelines(f"{line}\n" for line in lines)


def print_text(lines: Sequence[str]) -> None:
    """Write lines to stdout: broken between words on a terminal, as they are in a pipe."""
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        lines = [
            textwrap.fill(
                line,
                width,
                subsequent_indent="    " if line.startswith("  ") else "  ",
                break_long_words=False,
                break_on_hyphens=False,
            )
            for line in lines
        ]
    print_lines(lines)


def print_table(title: str | None, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a table to stdout: ruled on a terminal, tab-separated in a pipe."""
    if not sys.stdout.isatty():
        print_lines(["\t".join(str(cell) for cell in row) for row in [columns, *rows]])
        return
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(
        header_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    cells = [[str(cell) for cell in row] for row in rows]
    below = [[row[place] for row in cells] for place in range(len(columns))]
    # Names and numbers are not broken as long as that leaves the sentences room.
    whole = [not any(" " in cell for cell in column) for column in below]
    widths = [
        max(len(cell) if keep else _TEXT_WIDTH for cell in (name, *column)) + 2
        for name, column, keep in zip(columns, below, whole, strict=True)
    ]
    fits = sum(widths) <= console.width + 2
    for name, column, keep in zip(columns, below, whole, strict=True):
        number = any(column) and all(_NUMBER.fullmatch(cell) for cell in column)
        table.add_column(
            escape(name),
            overflow="fold",
            no_wrap=fits and keep,
            justify="right" if number else "left",
        )
    for row in cells:
        table.add_row(*map(escape, row))
    if title:
        # Above it and not its own, which would be broken to the table's width.
        console.print(title, style="italic", markup=False, soft_wrap=True)
    console.print(table)


def print_json(value: Any) -> None:
    """Write JSON to stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


@contextmanager
def read_by_others() -> Iterator[None]:
    """End quietly and well when whoever reads our stdout has had enough, as ``head`` does."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes once more at exit, and must not find the closed pipe again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None


class StageProgress:
    """Progress bars on stderr, one for each stage of a long job."""

    def __init__(self) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=stderr(),
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> StageProgress:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Show how many of a stage's steps are done."""
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=total)
        self._progress.update(self._tasks[stage], completed=done, total=total)
