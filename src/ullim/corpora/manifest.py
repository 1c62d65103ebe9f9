"""A table of one's own: CSV, TSV or Parquet, one row for each stretch of a recording."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ullim.corpora._rows import COLUMNS, OWNER, AnyonesCorpus, RowReader
from ullim.corpora._tables import TABLE_SUFFIXES, Problems, Row, read_table
from ullim.errors import CorpusError
from ullim.types import Utterance


class Manifest(AnyonesCorpus):
    """Anybody's recordings, listed in a table.

    Columns: ``file`` and one of ``label`` and ``votes`` (``rater:label:intensity`` joined by ``;``,
    the intensity may be absent); and as far as known ``id, start_s, end_s, speaker, session,
    gender, age, language, text, sentence_id, group, valence, arousal, dominance, licence``. Others
    are not read. A path is relative to the table's folder. Where ``id`` is absent, the path and the
    times stand for it.

    Attributes:
        table: Name of the table, where a folder is given that holds more than one.
        columns: Our column to the table's own, for example ``{file: wav, label: emotion}``.
        encoding: Of a CSV file.
        rater: Who gave the ``label`` column; ``actor`` says that it was acted.
    """

    name = "manifest"
    title = "Manifest"
    file_suffixes = TABLE_SUFFIXES
    layout = (
        "manifest.csv (or .tsv, .parquet) with the columns file and label or votes; speaker, by "
        "which training and test are kept apart; and as far as known "
        + ", ".join(name for name in COLUMNS if name not in {"file", "label", "votes", "speaker"})
    )

    table: str | None = None
    columns: dict[str, str] = {}
    encoding: str = "utf-8-sig"
    rater: str = OWNER

    def _scan(self, path: Path) -> Iterator[Utterance]:
        table = self._table(path)
        if table is None:
            return
        problems = Problems(self.title, table)
        own = {self.columns.get(name, name): name for name in COLUMNS}
        named = list(self.columns.values())
        required = sorted({self.columns.get("file", "file"), *named})
        reader = RowReader(self, table.parent, problems, rater=self.rater)
        n = 0
        for place, row in self._rows(table, problems, required, tuple(own)):
            if n == 0 and not {own[column] for column in row} & {"label", "votes"}:
                raise CorpusError(
                    f"{self.title}: {table} lacks the column label or votes; it needs one of them. "
                    "Name its own in the option columns, such as {label: mood}",
                    code="missing_columns",
                )
            n += 1
            utterance = reader.read(place, {own[column]: cell for column, cell in row.items()})
            if utterance is not None:
                yield utterance
        problems.refuse()
        if n == 0:
            raise CorpusError(
                f"{self.title}: {table} has no rows; write one for each recording", code="empty"
            )

    def _rows(
        self, table: Path, problems: Problems, required: list[str], columns: tuple[str, ...]
    ) -> Iterator[Row]:
        try:
            yield from read_table(
                table, problems, required=required, columns=columns, encodings=(self.encoding,)
            )
        except CorpusError as error:
            if error.code != "missing_columns":
                raise
            raise CorpusError(
                f"{error}; name its own in the option columns, such as {{file: wav}}",
                code=error.code,
            ) from error

    def _table(self, path: Path) -> Path | None:
        if path.is_file():
            return path
        if self.table is not None:
            return path / self.table
        found = [
            file for suffix in TABLE_SUFFIXES if (file := path / f"manifest{suffix}").is_file()
        ]
        if len(found) > 1:
            raise CorpusError(
                f"{self.title}: {path} holds {' and '.join(file.name for file in found)}; "
                "say which with the option table",
                code="two_tables",
            )
        return found[0] if found else None
