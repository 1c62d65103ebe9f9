"""``ullim predict``: recordings in, emotions out."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ullim.cli.console import StageProgress, read_by_others
from ullim.errors import UllimError
from ullim.types import LABELS_KO, STATUS_KO


class Format(StrEnum):
    """How answers are written."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


class Language(StrEnum):
    """Language of labels and headings in a table."""

    EN = "en"
    KO = "ko"


def predict(
    paths: Annotated[
        list[str], typer.Argument(help="Audio files, folders of them, or - for standard input.")
    ],
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Name or folder of a bundle; see `ullim models list`."),
    ] = None,
    format: Annotated[
        Format, typer.Option("--format", "-f", help="table, json, jsonl or csv.")
    ] = Format.TABLE,
    timeline: Annotated[
        bool, typer.Option("--timeline", "-t", help="Show how the answer changes over time.")
    ] = False,
    lang: Annotated[Language, typer.Option(help="Language of the table.")] = Language.EN,
    labels: Annotated[
        str | None, typer.Option(help="Answer only among these, separated by commas.")
    ] = None,
    reject_below: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Call answers under this confidence uncertain."),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Files at the same time.")] = 1,
) -> None:
    """Predict the emotion of recordings; a folder means the audio files in it."""
    import ullim

    # The runtime and the audio decoder are loaded once here, not once for each file.
    predictor = ullim.load(model)
    chosen = None if labels is None else [name.strip() for name in labels.split(",")]
    predictor.columns(chosen)  # a wrong label is a wrong command, not a wrong file

    def answer(source: str) -> dict[str, Any]:
        try:
            given = sys.stdin.buffer if source == "-" else source
            prediction = predictor.predict(given, labels=chosen, reject_below=reject_below)
        except (UllimError, OSError) as error:
            return _failed(source, error)
        return {"file": source, **prediction.to_dict(), "error": None}

    sources = expand(paths)
    failed = False
    writer = _WRITERS[format](timeline, lang)
    with read_by_others(), ThreadPoolExecutor(jobs) as pool, ExitStack() as stack:
        # A bar on stderr, where somebody watches and the answers come only at the end.
        watched = len(sources) > 1 and sys.stderr.isatty() and not writer.immediate
        progress = stack.enter_context(StageProgress()) if watched else None
        for done, result in enumerate(pool.map(answer, sources), start=1):
            failed = failed or result["status"] == "error"
            writer.add(result)
            if progress is not None:
                progress("predicting", done, len(sources))
        stack.close()
        writer.close()
    if failed:
        raise typer.Exit(1)


def _failed(source: str, error: Exception) -> dict[str, Any]:
    code = error.code if isinstance(error, UllimError) else "unreadable"
    return {
        "file": source,
        "status": "error",
        "label": None,
        "confidence": None,
        "scores": {},
        "duration_s": None,
        "segments": [],
        "error": {"code": code, "message": str(error)},
    }


def expand(paths: Sequence[str]) -> list[str]:
    """Return the files behind the arguments; a folder stands for its audio files, sorted.

    Raises:
        UllimError: A folder holds no audio, or standard input is named twice.
    """
    from ullim.audio import AUDIO_SUFFIXES

    if paths.count("-") > 1:
        raise UllimError("standard input (-) can be read once; name it once", code="bad_paths")
    found: list[str] = []
    for path in paths:
        # os.path, because it answers False where Path raises: for a name too long to be one.
        if path == "-" or not os.path.isdir(path):  # noqa: PTH112
            found.append(path)
            continue
        files = sorted(
            str(file)
            for file in Path(path).rglob("*")
            if file.suffix.lower() in AUDIO_SUFFIXES and file.is_file()
        )
        if not files:
            raise UllimError(
                f"the folder {path} holds no audio file ({', '.join(sorted(AUDIO_SUFFIXES))})",
                code="no_audio",
            )
        found.extend(files)
    return found


class _Writer(ABC):
    immediate = False  # whether each answer is written as soon as it is known

    def __init__(self, timeline: bool, lang: Language) -> None:
        self.timeline = timeline
        self.lang = lang

    @abstractmethod
    def add(self, result: dict[str, Any]) -> None: ...

    def close(self) -> None:  # noqa: B027 - most have nothing left to write
        """Write what is left."""

    def label(self, name: str | None) -> str:
        if name is None:
            return "-"
        return LABELS_KO.get(name, name) if self.lang is Language.KO else name


class _JsonLines(_Writer):
    immediate = True

    def add(self, result: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(result, ensure_ascii=False) + "\n")
        sys.stdout.flush()


class _Json(_Writer):
    def __init__(self, timeline: bool, lang: Language) -> None:
        super().__init__(timeline, lang)
        self.results: list[dict[str, Any]] = []

    def add(self, result: dict[str, Any]) -> None:
        self.results.append(result)

    def close(self) -> None:
        sys.stdout.write(json.dumps(self.results, ensure_ascii=False, indent=2) + "\n")


class _Csv(_Writer):
    """One line per file, or with ``--timeline`` one per segment."""

    immediate = True

    def __init__(self, timeline: bool, lang: Language) -> None:
        super().__init__(timeline, lang)
        self._started = False

    def add(self, result: dict[str, Any]) -> None:
        columns = ["file", "status", "label", "confidence", "duration_s"]
        columns += ["start_s", "end_s"] if self.timeline else []
        columns += ["error_code", "error"]
        error = result["error"] or {"code": "", "message": ""}
        rows = result["segments"] if self.timeline and result["segments"] else [{}]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not self._started:
            writer.writerow(columns)
            self._started = True
        for segment in rows:
            merged = {
                **result,
                **segment,
                "error_code": error["code"],
                "error": error["message"],
            }
            writer.writerow(
                ["" if merged.get(column) is None else merged[column] for column in columns]
            )
        sys.stdout.write(text.getvalue())
        sys.stdout.flush()


_HEADINGS = {
    Language.EN: ("file", "emotion", "confidence", "status", "length"),
    Language.KO: ("파일", "감정", "신뢰도", "상태", "길이"),
}


class _Table(_Writer):
    """On a terminal a ruled table; in a pipe tab-separated lines."""

    def __init__(self, timeline: bool, lang: Language) -> None:
        super().__init__(timeline, lang)
        self.rows: list[tuple[str, ...]] = []

    def add(self, result: dict[str, Any]) -> None:
        korean = self.lang is Language.KO
        status = STATUS_KO[result["status"]] if korean else result["status"]
        if result["error"]:
            from ullim.cli.console import complain

            complain(result["error"]["message"])
            self.rows.append((result["file"], "-", "-", status, "-"))
            return
        length = f"{result['duration_s']:.1f} s"
        self.rows.append(
            (result["file"], self.label(result["label"]), _share(result), status, length)
        )
        if not self.timeline:
            return
        for segment in result["segments"]:
            span = f"  {_clock(segment['start_s'])} - {_clock(segment['end_s'])}"
            self.rows.append((span, self.label(segment["label"]), _share(segment), "", ""))

    def close(self) -> None:
        from ullim.cli.console import print_table

        print_table(None, _HEADINGS[self.lang], self.rows)


def _share(part: dict[str, Any]) -> str:
    return "-" if part["confidence"] is None else f"{part['confidence']:.0%}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{int(minutes)}:{rest:04.1f}"


_WRITERS: dict[Format, type[_Writer]] = {
    Format.TABLE: _Table,
    Format.JSON: _Json,
    Format.JSONL: _JsonLines,
    Format.CSV: _Csv,
}
