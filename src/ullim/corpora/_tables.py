"""Tables on disk: rows of text with their place, and all that is wrong with a table at once."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ullim.errors import CorpusError, MissingExtraError

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
_TOLD = 20


class Problems:
    """What is wrong with one file: the first twenty in words, all of them counted.

    Args:
        title: The corpus' title.
        file: The file.
        code: Of the error where several kinds of problem come together.
    """

    def __init__(self, title: str, file: Path, *, code: str = "several") -> None:
        self.title, self.file, self.code = title, file, code
        self._told: list[str] = []
        self._counts: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, code: str, message: str, *, place: str | None = None) -> None:
        """Note one problem; the row it is in is left out of what is loaded."""
        self._counts[code] += 1
        if len(self._told) < _TOLD:
            self._told.append(f"  {f'{place}: ' if place else ''}{message} [{code}]")

    def refuse(self) -> None:
        """Raise what was noted, if anything was.

        Raises:
            CorpusError: Its ``code`` is the problem's, where there is one kind only.
        """
        if not self._counts:
            return
        n = self._counts.total()
        rest = f"\n  and {n - _TOLD} more" if n > _TOLD else ""
        kinds = ", ".join(f"{count} {code}" for code, count in sorted(self._counts.items()))
        raise CorpusError(
            f"{self.title}: {self.file} has {n} problem(s) ({kinds}); mend them all:\n"
            + "\n".join(self._told)
            + rest,
            code=next(iter(self._counts)) if len(self._counts) == 1 else self.code,
        )


Row = tuple[str, dict[str, str]]
"""Where a row stands (``line 7``), and its cells by column, stripped; empty means absent."""


def read_table(
    file: Path,
    problems: Problems,
    *,
    required: Sequence[str] = (),
    columns: Sequence[str] | None = None,
    encodings: Sequence[str] = ("utf-8-sig",),
    tidy: Callable[[str], str] = str.strip,
) -> Iterator[Row]:
    """Yield the rows of a CSV, TSV or Parquet file as text.

    Args:
        file: The table.
        problems: Told of rows that are wider or narrower than the header, and skipped.
        required: Columns the table must have.
        columns: Columns to read; None for all.
        encodings: Tried in this order; a Parquet file needs none.
        tidy: What to make of a column's name in a CSV file.

    Raises:
        CorpusError: The table as a whole cannot be read, or lacks a required column.
        MissingExtraError: It is Parquet and pyarrow is not installed.
    """
    if file.suffix.lower() == ".parquet":
        yield from _parquet(file, problems, required, columns)
    else:
        yield from _csv(file, problems, required, columns, encodings, tidy)


def decoded(file: Path, title: str, encodings: Sequence[str]) -> str:
    """Return the text of a file in the first encoding that fits.

    Raises:
        CorpusError: None fits, or the file cannot be opened.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise CorpusError(
            f"{title}: {file} cannot be opened: {error.strerror}; check that it is there and that "
            "you may read it",
            code="unreadable",
        ) from error
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise CorpusError(
        f"{title}: {file} is not text in {' or '.join(encodings)}; save it again in "
        f"{encodings[0].removesuffix('-sig').upper()}",
        code="bad_encoding",
    )


def _csv(
    file: Path,
    problems: Problems,
    required: Sequence[str],
    columns: Sequence[str] | None,
    encodings: Sequence[str],
    tidy: Callable[[str], str],
) -> Iterator[Row]:
    text = decoded(file, problems.title, encodings)
    delimiter = "\t" if file.suffix.lower() == ".tsv" else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        header = [tidy(name) for name in next(reader, [])]
        _check_header(file, problems.title, header, required)
        kept = [(i, name) for i, name in enumerate(header) if columns is None or name in columns]
        for cells in reader:
            if len(cells) == len(header):
                yield (
                    f"line {reader.line_num}",
                    {name: cells[i].strip() for i, name in kept},
                )
            elif any(cell.strip() for cell in cells):
                problems.add(
                    "wrong_width",
                    f"{len(cells)} cells under {len(header)} columns; quote cells that hold "
                    "a separator",
                    place=f"line {reader.line_num}",
                )
    except csv.Error as error:
        raise CorpusError(
            f"{problems.title}: {file}, line {reader.line_num}: {error}; look for a quotation mark "
            "that is never closed",
            code="bad_table",
        ) from error


def _parquet(
    file: Path, problems: Problems, required: Sequence[str], columns: Sequence[str] | None
) -> Iterator[Row]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("reading Parquet tables", extra="parquet") from error
    try:
        with pyarrow.parquet.ParquetFile(file) as table:
            header = list(table.schema_arrow.names)
            _check_header(file, problems.title, header, required)
            kept = [name for name in header if columns is None or name in columns]
            n = 0
            for batch in table.iter_batches(batch_size=8192, columns=kept):
                for cells in zip(*(_texts(batch[name]) for name in kept), strict=True):
                    n += 1
                    yield f"row {n}", dict(zip(kept, cells, strict=True))
    except (OSError, pyarrow.ArrowException) as error:
        raise CorpusError(
            f"{problems.title}: {file} is not readable Parquet: {str(error).splitlines()[0]}; "
            "write it again",
            code="bad_table",
        ) from error


def _texts(column: Any) -> list[str]:
    import pyarrow

    per_second = 1
    if pyarrow.types.is_duration(column.type):
        per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[column.type.unit]
        column = column.cast(pyarrow.int64())
    return [
        "" if value is None else str(value / per_second if per_second > 1 else value).strip()
        for value in column.to_pylist()
    ]


def _check_header(file: Path, title: str, header: list[str], required: Sequence[str]) -> None:
    missing = [name for name in required if name not in header]
    repeated = [name for name, n in Counter(header).items() if n > 1 and name]
    if missing:
        raise CorpusError(
            f"{title}: {file} lacks the column(s) {', '.join(missing)}; it has: "
            f"{', '.join(header) or 'none'}",
            code="missing_columns",
        )
    if repeated:
        raise CorpusError(
            f"{title}: {file} has more than one column called {', '.join(repeated)}; keep one",
            code="repeated_columns",
        )
