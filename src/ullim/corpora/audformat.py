"""A database in audEERING's audformat, read from its header and tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ullim.corpora._rows import OWNER, AnyonesCorpus, RowReader
from ullim.corpora._tables import Problems, decoded, read_table
from ullim.errors import CorpusError
from ullim.types import Utterance

_DURATION = re.compile(
    r"(?P<sign>-?)(?:(?P<days>\d+) days? )?\+?(?P<h>\d+):(?P<m>\d\d):(?P<s>\d\d(?:\.\d+)?)"
)


class Audformat(AnyonesCorpus):
    """A database folder in audformat: ``db.yaml`` and tables in CSV or Parquet.

    Differs: Read without the audformat library, which needs pandas; sessions and schemes that
    are misc tables are not followed.

    Attributes:
        table: Table that holds the emotions.
        column: Its column, or one column for each rater, which then gives one vote each.
        speakers: Table that holds a speaker column, where ``table`` has none; passed over where
            the database has no such table.
        speaker_column: Name of that column; its scheme may state gender and age.
        text_column: Column of either table that holds the words.
    """

    name = "audformat"
    title = "audformat"
    homepage = "https://audeering.github.io/audformat/"
    layout = "db.yaml and db.emotion.csv or .parquet"

    table: str = "emotion"
    column: str | tuple[str, ...] = "emotion"
    speakers: str = "files"
    speaker_column: str = "speaker"
    text_column: str = "transcription"

    def _scan(self, path: Path) -> Iterator[Utterance]:
        header_file = path / "db.yaml"
        if not header_file.is_file():
            return
        header = self._header(header_file)
        columns = (self.column,) if isinstance(self.column, str) else self.column
        stated = _mapping(_mapping(_mapping(header, "tables"), self.table), "columns")
        for column in columns:
            if column not in stated:
                raise CorpusError(
                    f"{self.title}: {header_file} has no column {column!r} in a table "
                    f"{self.table!r}; its tables: {_inventory(header)}; say which with the options "
                    "table and column",
                    code="missing_columns",
                )
        raters = [str(_mapping(stated, column).get("rater_id", column)) for column in columns]
        if len(set(raters)) < len(raters):
            raters = list(columns)
        file = self._table_file(path, self.table)
        problems = Problems(self.title, file)
        people = self._people(path, header, problems)
        facts = _mapping(_mapping(_mapping(header, "schemes"), self._scheme(header)), "labels")
        reader = RowReader(self, path, problems, rater=OWNER)
        language = (header.get("languages") or [None])[0]
        split = _mapping(_mapping(header, "tables"), self.table).get("split_id")
        for place, row in read_table(file, problems, required=("file", *columns)):
            labels = [row[column] for column in columns]
            if not any(labels):  # a table may hold rows nobody labelled
                continue
            cells = {"file": row["file"], "group": str(split or "")}
            for ours, theirs in (("start_s", "start"), ("end_s", "end")):
                if row.get(theirs):
                    cells[ours] = _seconds(row[theirs])
            if len(columns) == 1:
                cells["label"] = labels[0]
            else:
                cells["votes"] = ";".join(
                    f"{rater}:{label}" for rater, label in zip(raters, labels, strict=True) if label
                )
            about = people.get(row["file"], {}) | {k: v for k, v in row.items() if v}
            speaker = about.get(self.speaker_column, "")
            cells |= {"speaker": speaker, "text": about.get(self.text_column, "")}
            fact = _mapping(facts, speaker) or _mapping(facts, _number(speaker))
            cells |= {key: str(fact[key]) for key in ("gender", "age") if fact.get(key)}
            cells["language"] = str(fact.get("language") or language or "")
            cells["licence"] = str(header.get("license") or "")
            utterance = reader.read(place, cells)
            if utterance is not None:
                yield utterance
        problems.refuse()

    def _header(self, file: Path) -> dict[str, Any]:
        try:
            header = yaml.safe_load(decoded(file, self.title, ("utf-8-sig",)))
        except yaml.YAMLError as error:
            raise CorpusError(
                f"{self.title}: {file} is not readable YAML: {error}", code="bad_table"
            ) from error
        if not isinstance(header, dict) or not isinstance(header.get("tables"), dict):
            raise CorpusError(
                f"{self.title}: {file} names no tables; an audformat header does", code="bad_table"
            )
        return header

    def _people(
        self, path: Path, header: dict[str, Any], problems: Problems
    ) -> dict[str, dict[str, str]]:
        """Return speaker and words of each file, where a table of their own holds them."""
        known = _mapping(_mapping(header, "tables"), self.speakers)
        if self.speakers == self.table or not known:
            return {}
        wanted = ("file", self.speaker_column, self.text_column)
        rows = read_table(self._table_file(path, self.speakers), problems, columns=wanted)
        return {row.get("file", ""): {k: v for k, v in row.items() if v} for _, row in rows}

    def _scheme(self, header: dict[str, Any]) -> str:
        for table in (self.table, self.speakers):
            columns = _mapping(_mapping(_mapping(header, "tables"), table), "columns")
            scheme = _mapping(columns, self.speaker_column).get("scheme_id")
            if scheme:
                return str(scheme)
        return self.speaker_column

    def _table_file(self, path: Path, table: str) -> Path:
        found = [file for suffix in (".csv", ".parquet") if (file := path / f"db.{table}{suffix}")]
        there = [file for file in found if file.is_file()]
        if not there:
            raise CorpusError(
                f"{self.title}: neither {found[0]} nor {found[1].name} is there; save the database "
                "as CSV or Parquet",
                code="missing_table",
            )
        return there[0]


def _mapping(value: Any, key: Any) -> dict[Any, Any]:
    """Return the mapping under a key; an empty one where there is none."""
    found = value.get(key) if isinstance(value, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else {}


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"-?\d{1,18}", text) else None


def _inventory(header: dict[str, Any]) -> str:
    return "; ".join(
        f"{table} ({', '.join(map(str, _mapping(facts, 'columns')))})"
        for table, facts in header["tables"].items()
    )


def _seconds(text: str) -> str:
    """Return a pandas duration as seconds; any other text as it is.

    >>> _seconds("0 days 00:01:01.250000"), _seconds("1.5")
    ('61.25', '1.5')
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        return text
    hours = int(match["days"] or 0) * 24 + int(match["h"])
    seconds = hours * 3600 + int(match["m"]) * 60 + float(match["s"])
    return str(-seconds if match["sign"] else seconds)
