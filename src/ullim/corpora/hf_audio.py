"""A folder in the layout of Hugging Face's AudioFolder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ullim.audio import AUDIO_SUFFIXES
from ullim.corpora._rows import COLUMNS, OWNER, AnyonesCorpus, RowReader
from ullim.corpora._tables import Problems, Row, decoded, read_table
from ullim.errors import CorpusError
from ullim.types import Utterance

_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}


class HfAudio(AnyonesCorpus):
    """Recordings as Hugging Face's AudioFolder takes them.

    Either ``metadata.csv`` (``.jsonl``, ``.parquet``) with ``file_name`` and a label beside the
    recordings, or one folder for each label; both may lie in folders of splits (``train``,
    ``validation``, ``test``). The split becomes the group, unless metadata state a group.

    Attributes:
        columns: Our column (of the manifest) to the metadata's own, for example
            ``{label: emotion, speaker: speaker_id}``.
        rater: Who gave the label; ``actor`` says that it was acted.
    """

    name = "hf_audio"
    title = "Hugging Face AudioFolder"
    homepage = "https://huggingface.co/docs/datasets/audio_dataset"
    layout = "metadata.csv with file_name and label, or one folder for each label: anger/1.wav"

    columns: dict[str, str] = {}
    rater: str = OWNER

    def _scan(self, path: Path) -> Iterator[Utterance]:
        places = [path, *(path / name for name in sorted({"data", *_SPLITS}))]
        tables = [file for p in places for name in _METADATA if (file := p / name).is_file()]
        if tables:
            for table in tables:
                yield from self._from_table(path, table)
            return
        shards = [file for file in path.rglob("*.parquet") if "-of-" in file.stem]
        if shards:
            raise CorpusError(
                f"{self.title}: {path} keeps its sound inside {len(shards)} Parquet files; write "
                "it out as files with metadata.csv (datasets.load_dataset, then soundfile.write)",
                code="embedded_audio",
            )
        yield from self._from_folders(path)

    def _from_table(self, path: Path, table: Path) -> Iterator[Utterance]:
        problems = Problems(self.title, table)
        own = {self.columns.get(name, name): name for name in COLUMNS}
        own[self.columns.get("file", "file_name")] = "file"
        where = table.parent.relative_to(path)
        reader = RowReader(self, table.parent, problems, rater=self.rater)
        required = sorted({self.columns.get("file", "file_name"), *self.columns.values()})
        rows = (
            _json_lines(table, problems, required)
            if table.suffix == ".jsonl"
            else read_table(table, problems, required=required, columns=tuple(own))
        )
        for place, row in rows:
            cells = {own[column]: cell for column, cell in row.items() if column in own}
            split = _split(where / cells.get("file", ""))
            cells["group"] = cells.get("group") or split or ""
            # File names repeat over splits; the place below the folder does not.
            cells["id"] = cells.get("id") or (where / cells.get("file", "")).as_posix()
            utterance = reader.read(place, cells)
            if utterance is not None:
                yield utterance
        problems.refuse()

    def _from_folders(self, path: Path) -> Iterator[Utterance]:
        problems = Problems(self.title, path)
        files = [f for f in sorted(path.rglob("*")) if f.suffix.lower() in AUDIO_SUFFIXES]
        known = [file for file in files if self._is_label(file.parent.name)]
        if not known:  # another corpus
            return
        reader = RowReader(self, path, problems, rater=self.rater)
        for file in files:
            below = file.relative_to(path)
            place = below.as_posix()
            if strange := sorted(set(below.parts[:-2]) - {"data", *_SPLITS}):
                problems.add(
                    "unknown_folder",
                    f"{', '.join(strange)} is no split; above the folders of labels there may be "
                    "train, validation and test",
                    place=place,
                )
                continue
            cells = {
                "file": place,
                "id": place,
                "label": below.parent.name,
                "group": _split(below) or "",
            }
            utterance = reader.read(place, cells)
            if utterance is not None:
                yield utterance
        problems.refuse()

    def _is_label(self, name: str) -> bool:
        try:
            self.canonical(name)
        except KeyError:
            return False
        return True


def _split(below: Path) -> str | None:
    return next((_SPLITS[part] for part in below.parts[:-1] if part in _SPLITS), None)


def _json_lines(table: Path, problems: Problems, required: list[str]) -> Iterator[Row]:
    lines = decoded(table, problems.title, ("utf-8-sig",)).split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = f"line {number}"
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict):
            problems.add("bad_table", "is not a JSON object", place=place)
            continue
        missing = [name for name in required if name not in values]
        if missing:
            problems.add("missing_columns", f"lacks {', '.join(missing)}", place=place)
            continue
        yield place, {key: _text(value) for key, value in values.items()}


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()
