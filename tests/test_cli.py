"""The command line: answers that parse back, clean streams, exit codes, and what goes wrong."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml

import ullim
from commands import Outcome, Run
from ullim import bundle
from ullim.cli import main
from ullim.cli.recipe_options import parse_seeds
from ullim.corpora.emodb import Emodb
from ullim.errors import BundleError, RecipeError
from ullim.inference import models
from ullim.types import LABELS_KO, STATUS_KO

RATE = 16_000
ANSWER_KEYS = [
    "file",
    "status",
    "label",
    "confidence",
    "scores",
    "duration_s",
    "segments",
    "error",
]
SEGMENT_KEYS = ["start_s", "end_s", "label", "confidence", "scores"]
DEFAULT = Path(ullim.__file__).parent / "data" / "models" / models.DEFAULT


@pytest.fixture(autouse=True)
def desk(plain: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and a user without models of his own."""
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(models, "user_folder", lambda: tmp_path / "user" / "models")
    return folder


@pytest.fixture
def predict(run: Run, toy_bundle: Path) -> Run:
    """Runs ``ullim predict`` with the toy bundle."""

    def call(*arguments: object) -> Outcome:
        return run("predict", "--model", toy_bundle, *arguments)

    return call


def spawn(*arguments: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a command as a user does, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", "from ullim.cli import main; main()", *map(str, arguments)],
        capture_output=True,
        timeout=120,
        check=False,
        **options,
    )


def wav(samples: Any, rate: int = RATE, **options: Any) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **({"format": "WAV", "subtype": "PCM_16"} | options))
    return file.getvalue()


@pytest.fixture(scope="module")
def recordings(make_speech: Any) -> dict[str, bytes]:
    """Three recordings of different voices and lengths, the longest first."""
    voices = {"a.wav": (6.0, 140.0), "b.wav": (1.0, 300.0), "c.wav": (2.0, 95.0)}
    return {
        name: wav(make_speech(duration_s, f0_hz=f0_hz))
        for name, (duration_s, f0_hz) in voices.items()
    }


@pytest.fixture
def clips(desk: Path, recordings: dict[str, bytes]) -> list[Path]:
    """The recordings, in the working folder."""
    for name, data in recordings.items():
        (desk / name).write_bytes(data)
    return [Path(name) for name in recordings]


def tree(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if not path.is_file() or os.access(path, os.R_OK)
    }


class TestPredict:
    def test_table_in_a_pipe_is_tab_separated(self, predict, clips):
        outcome = predict(*clips)
        assert outcome.code == 0
        assert outcome.err == ""
        assert outcome.rows[0] == ["file", "emotion", "confidence", "status", "length"]
        assert [row[0] for row in outcome.rows[1:]] == ["a.wav", "b.wav", "c.wav"]
        assert outcome.rows[1][1] == "sadness"
        assert outcome.rows[2][1] == "neutral"
        assert re.fullmatch(r"\d{1,3}%", outcome.rows[1][2])
        assert outcome.rows[1][3:] == ["ok", "6.0 s"]

    def test_json(self, predict, clips, toy_bundle):
        outcome = predict(*clips, "--format", "json")
        answers = json.loads(outcome.out)
        assert outcome.code == 0
        assert [answer["file"] for answer in answers] == ["a.wav", "b.wav", "c.wav"]
        emotions = bundle.load(toy_bundle).manifest.emotions
        for answer in answers:
            assert list(answer) == ANSWER_KEYS
            assert answer["error"] is None
            assert list(answer["scores"]) == list(emotions)
            assert sum(answer["scores"].values()) == pytest.approx(1.0, abs=1e-3)
            assert answer["segments"][0]["start_s"] == 0.0
            assert answer["segments"][-1]["end_s"] == answer["duration_s"]
            for segment in answer["segments"]:
                assert list(segment) == SEGMENT_KEYS

    def test_json_equals_the_library(self, predict, clips, toy_bundle):
        (answer,) = json.loads(predict(clips[0], "-f", "json").out)
        expected = ullim.load(toy_bundle).predict(clips[0]).to_dict()
        assert answer == {"file": "a.wav", **expected, "error": None}

    def test_jsonl_is_json_line_by_line(self, predict, clips):
        whole = json.loads(predict(*clips, "-f", "json").out)
        assert predict(*clips, "-f", "jsonl").lines == whole

    def test_csv(self, predict, clips):
        rows = list(csv.DictReader(io.StringIO(predict(*clips, "-f", "csv").out)))
        answers = json.loads(predict(*clips, "-f", "json").out)
        assert list(rows[0]) == [
            "file",
            "status",
            "label",
            "confidence",
            "duration_s",
            "error_code",
            "error",
        ]
        for row, answer in zip(rows, answers, strict=True):
            assert (row["file"], row["label"]) == (answer["file"], answer["label"])
            assert float(row["confidence"]) == answer["confidence"]
            assert row["error_code"] == row["error"] == ""

    def test_csv_with_timeline_has_a_row_per_segment(self, predict, desk, make_speech):
        two = [make_speech(4.0), make_speech(4.0, f0_hz=300.0, tilt=0.5)]
        (desk / "two.wav").write_bytes(wav(np.concatenate(two)))
        (answer,) = json.loads(predict("two.wav", "-f", "json").out)
        rows = list(csv.DictReader(io.StringIO(predict("two.wav", "-f", "csv", "-t").out)))
        assert len(rows) == len(answer["segments"]) > 1
        for row, segment in zip(rows, answer["segments"], strict=True):
            assert (float(row["start_s"]), float(row["end_s"])) == (
                segment["start_s"],
                segment["end_s"],
            )
            assert row["label"] == segment["label"]
            assert float(row["confidence"]) == segment["confidence"]

    def test_a_name_with_comma_quote_and_line_break_survives_csv(self, predict, clips, desk):
        name = 'a, "b"\nc.wav'
        try:
            shutil.copyfile(clips[1], desk / name)
        except OSError:
            pytest.skip("this file system does not allow such names")
        (row,) = csv.DictReader(io.StringIO(predict(name, "-f", "csv").out))
        assert row["file"] == name

    def test_timeline_in_the_table(self, predict, clips):
        outcome = predict(clips[0], "--timeline")
        assert outcome.code == 0
        assert [row[0] for row in outcome.rows[2:]] == ["  0:00.0 - 0:06.0"]
        assert outcome.rows[2][1] == "sadness"

    def test_korean_table(self, predict, clips, desk):
        (desk / "noise.wav").write_bytes(
            wav(0.1 * np.random.default_rng(0).standard_normal(2 * RATE))
        )
        english = predict(*clips, "noise.wav").rows
        korean = predict(*clips, "noise.wav", "--lang", "ko").rows
        assert korean[0] == ["파일", "감정", "신뢰도", "상태", "길이"]
        for row, translated in zip(english[1:], korean[1:], strict=True):
            assert translated[1] == LABELS_KO.get(row[1], row[1])
            assert translated[3] == STATUS_KO[row[3]]
        assert korean[1][1] == "슬픔"
        assert korean[4][1:4] == ["-", "-", "음성 없음"]

    def test_machine_formats_stay_english(self, predict, clips):
        for format in ("json", "jsonl", "csv"):
            plain = predict(clips[0], "-f", format).out
            assert predict(clips[0], "-f", format, "--lang", "ko").out == plain

    def test_labels(self, predict, clips):
        (answer,) = predict(clips[0], "-f", "jsonl", "--labels", "anger, neutral").lines
        assert set(answer["scores"]) == {"anger", "neutral"}
        assert sum(answer["scores"].values()) == pytest.approx(1.0, abs=1e-3)
        assert answer["label"] in answer["scores"]

    def test_reject_below(self, predict, clips):
        assert predict(clips[0], "-f", "jsonl").lines[0]["status"] == "ok"
        (answer,) = predict(clips[0], "-f", "jsonl", "--reject-below", "1").lines
        assert answer["status"] == "uncertain"
        assert answer["label"] == "sadness"

    def test_uncertain_is_no_failure(self, predict, clips):
        assert predict(clips[0], "--reject-below", "1").code == 0

    def test_a_folder_means_its_audio_files(self, predict, clips, desk):
        folder = desk / "folder"
        for name in ("z.WAV", "deep/er/y.wav", "x.wav"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(clips[1], folder / name)
        (folder / "notes.txt").write_text("no audio", encoding="utf-8")
        (folder / "empty.wav").mkdir()
        files = [Path(line["file"]) for line in predict("folder", "-f", "jsonl").lines]
        assert files == [Path("folder/deep/er/y.wav"), Path("folder/x.wav"), Path("folder/z.WAV")]

    def test_files_and_folders_keep_their_order(self, predict, clips, desk):
        (desk / "folder").mkdir()
        shutil.copyfile(clips[1], desk / "folder" / "x.wav")
        lines = predict("c.wav", "folder", "a.wav", "a.wav", "-f", "jsonl").lines
        assert [Path(line["file"]).name for line in lines] == ["c.wav", "x.wav", "a.wav", "a.wav"]

    @pytest.mark.parametrize("format", ["jsonl", "csv", "table", "json"])
    def test_jobs_keep_the_order_and_the_answers(self, format, predict, clips):
        files = [*clips, "missing.wav", *reversed(clips)] * 2
        one = predict(*files, "-f", format)
        two = predict(*files, "-f", format, "--jobs", "2")
        assert two.out == one.out
        assert two.code == one.code == 1

    def test_one_broken_file_never_stops_the_others(self, predict, clips, desk):
        (desk / "broken.wav").write_bytes(b"RIFF")
        outcome = predict(clips[0], "broken.wav", clips[1])
        assert outcome.code == 1
        assert [row[0] for row in outcome.rows[1:]] == ["a.wav", "broken.wav", "b.wav"]
        assert outcome.rows[2][1:] == ["-", "-", "error", "-"]
        assert outcome.err.startswith("error: broken.wav: ")
        assert outcome.err.count("error:") == 1

    def test_no_speech_is_no_failure(self, predict, desk):
        (desk / "noise.wav").write_bytes(
            wav(0.1 * np.random.default_rng(0).standard_normal(2 * RATE))
        )
        outcome = predict("noise.wav", "-f", "jsonl")
        (answer,) = outcome.lines
        assert outcome.code == 0
        assert (answer["status"], answer["label"], answer["scores"]) == ("no_speech", None, {})
        (row,) = csv.DictReader(io.StringIO(predict("noise.wav", "-f", "csv").out))
        assert (row["label"], row["confidence"]) == ("", "")

    def test_standard_input(self, predict, clips, monkeypatch):
        (expected,) = predict(clips[0], "-f", "jsonl").lines
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(clips[0].read_bytes())))
        (answer,) = predict("-", "-f", "jsonl").lines
        assert answer == expected | {"file": "-"}

    def test_a_model_by_name(self, run, clips, toy_bundle):
        models.add(toy_bundle, "mine")
        outcome = run("predict", clips[0], "--model", "mine")
        assert outcome.code == 0
        assert outcome.rows[1][1] == "sadness"

    def test_brackets_in_names_are_not_markup(self, predict):
        outcome = predict("[bold]x[/bold].wav")
        assert "[bold]x[/bold].wav: no such file" in outcome.said

    def test_writes_no_file(self, predict, clips, desk):
        before = tree(desk)
        predict(*clips, "-f", "json")
        assert tree(desk) == before

    def test_table_on_a_terminal_is_ruled(self, predict, clips, monkeypatch):
        monkeypatch.setattr(
            type(sys.stdout), "isatty", lambda self: self is sys.stdout, raising=False
        )
        monkeypatch.setenv("TERM", "dumb")
        monkeypatch.setenv("COLUMNS", "120")
        out = predict(clips[0]).out
        assert "─────" in out
        assert "\t" not in out
        assert "sadness" in out


def _png(_: Any) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\rIHDR" + bytes(2000)


def _zip(_: Any) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.txt", "hello" * 500)
    return file.getvalue()


def _claims_too_much(speech: Any) -> bytes:
    data = bytearray(wav(speech))
    data[4:8] = data[40:44] = (0xFFFFFF0).to_bytes(4, "little")
    return bytes(data)


def _with_nan(speech: Any) -> bytes:
    samples = np.array(speech)
    samples[-5] = np.nan
    return wav(samples, subtype="FLOAT")


# Name, content (None: no such file), code of the error, and the next step it must name.
BROKEN: dict[str, tuple[str, Callable[[Any], bytes] | None, str, str]] = {
    "no bytes": ("x.wav", lambda speech: b"", "empty", "record or export"),
    "text": ("x.wav", lambda speech: b"hello " * 500, "not_audio", "give a recording"),
    "picture": ("x.wav", _png, "not_audio", "PNG.*give a recording"),
    "archive": ("x.wav", _zip, "not_audio", "ZIP.*give a recording"),
    "chance": (
        "x.wav",
        lambda speech: np.random.default_rng(3).bytes(5000),
        "not_audio",
        "give a recording",
    ),
    "cut WAV": ("x.wav", lambda speech: wav(speech)[:20_000], "truncated", "copy or export"),
    "cut FLAC": (
        "x.flac",
        lambda speech: wav(speech, format="FLAC")[:8_000],
        "truncated",
        "copy or export",
    ),
    "only a header": ("x.wav", lambda speech: wav(speech)[:44], "truncated|empty", "export"),
    "no samples": ("x.wav", lambda speech: wav(speech[:0]), "empty", "record or export"),
    "NaN": ("x.wav", _with_nan, "not_finite", "export the recording again"),
    "silent": ("x.wav", lambda speech: wav(0 * speech), "silent", "check the microphone"),
    "too short": ("x.wav", lambda speech: wav(speech[:800]), "too_short", "give a longer"),
    "FLAC as WAV": (
        "x.wav",
        lambda speech: wav(speech, format="FLAC"),
        "wrong_extension",
        "rename the file",
    ),
    "no such file": ("x.wav", None, "not_found", "check the path"),
    "header that claims 256 MB": ("x.wav", _claims_too_much, "truncated", "copy or export"),
    "rate of 1 kHz": ("x.wav", lambda speech: wav(speech, 1000), "unsupported_rate", "convert"),
    "40 channels": (
        "x.wav",
        lambda speech: wav(np.stack([speech[:8000]] * 40, axis=1)),
        "too_many_channels",
        "mix it down",
    ),
    "name that is too long": ("x" * 300 + ".wav", None, "not_found", "check the path"),
    "name with a zero byte": ("x\0.wav", None, "not_found", "check the path"),
}


class TestBrokenFiles:
    @pytest.mark.parametrize(("name", "content", "code", "advice"), BROKEN.values(), ids=BROKEN)
    def test_is_told_and_passed_over(
        self, name, content, code, advice, predict, clips, desk, make_speech
    ):
        if content is not None:
            (desk / name).write_bytes(content(make_speech(2.0)))
        before = tree(desk)
        outcome = predict(clips[1], name, clips[2], "-f", "jsonl")
        assert outcome.code == 1
        first, broken, last = outcome.lines
        assert list(broken) == ANSWER_KEYS
        assert re.fullmatch(code, broken["error"]["code"])
        assert list(broken["error"]) == ["code", "message"]
        assert broken["error"]["message"].startswith(name)
        assert re.search(advice, broken["error"]["message"])
        assert (broken["status"], broken["label"], broken["confidence"]) == ("error", None, None)
        assert (broken["scores"], broken["segments"], broken["duration_s"]) == ({}, [], None)
        assert [first["status"], last["status"]] == ["ok", "ok"]

        as_table = predict(name)
        assert as_table.code == 1
        assert re.search(advice, as_table.said)
        assert len(as_table.rows) == 2
        assert tree(desk) == before

    @pytest.mark.skipif(
        hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may read every file"
    )
    def test_unreadable(self, predict, clips):
        clips[0].chmod(0)
        outcome = predict(*clips, "-f", "jsonl")
        assert outcome.code == 1
        assert outcome.lines[0]["error"]["code"] == "permission"
        assert "change its permissions" in outcome.lines[0]["error"]["message"]

    @pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux alone")
    @pytest.mark.parametrize("format", ["table", "json", "jsonl", "csv"])
    def test_name_that_is_no_unicode(self, format, predict, clips, desk):
        name = os.fsdecode(b"\xff.wav")
        shutil.copyfile(clips[1], desk / name)
        outcome = predict(name, clips[2], "-f", format)
        assert outcome.code == 0
        assert "c.wav" in outcome.out


@dataclass(frozen=True)
class Kit:
    """What the makers of arguments may use."""

    desk: Path
    bundle: Path
    emodb: Callable[[], Path]

    def text(self, name: str, text: str) -> str:
        (self.desk / name).write_text(text, encoding="utf-8")
        return name

    def damaged(self) -> Path:
        folder = Path(shutil.copytree(self.bundle, self.desk / "damaged"))
        with (folder / "member-0.onnx").open("ab") as file:
            file.write(b"!")
        return folder

    def folder(self, name: str) -> Path:
        (self.desk / name).mkdir()
        return Path(name)


Arguments = Callable[[Kit], list[object]]


def _emodb(kit: Kit, *arguments: object) -> list[object]:
    """Arguments that name the toy EMO-DB."""
    return [*arguments, "--corpus", f"emodb={kit.emodb()}", "--set", "views=0"]


# What is typed, and what stderr must say; all exit with 2 and leave nothing behind.
WRONG: dict[str, tuple[Arguments, str]] = {
    "unknown command": (lambda kit: ["bogus"], "No such command 'bogus'.*|-h"),
    "unknown option": (lambda kit: ["predict", "a.wav", "--bogus"], "No such option: --bogus"),
    "nothing to predict": (lambda kit: ["predict"], "Missing argument.*paths"),
    "unknown format": (
        lambda kit: ["predict", "a.wav", "-f", "xml"],
        "table.*json.*jsonl.*csv",
    ),
    "unknown language": (lambda kit: ["predict", "a.wav", "--lang", "tlh"], "en.*ko"),
    "unknown model": (
        lambda kit: ["predict", "a.wav", "-m", "nobody"],
        "no model 'nobody': give the folder of a bundle, or one of the names",
    ),
    "damaged model": (
        lambda kit: ["predict", "a.wav", "-m", kit.damaged()],
        "SHA-256 differs.*copy the whole folder again",
    ),
    "folder that is no model": (
        lambda kit: ["predict", "a.wav", "-m", kit.folder("empty")],
        "no model 'empty': give the folder of a bundle",
    ),
    "unknown label": (
        lambda kit: ["predict", "a.wav", "-m", kit.bundle, "--labels", "anger,glee"],
        "two or more of neutral, happiness, sadness, anger, and were anger, glee",
    ),
    "one label": (
        lambda kit: ["predict", "a.wav", "-m", kit.bundle, "--labels", "anger"],
        "two or more of neutral",
    ),
    "no label": (
        lambda kit: ["predict", "a.wav", "-m", kit.bundle, "--labels", ""],
        "two or more of neutral",
    ),
    "reject below 2": (
        lambda kit: ["predict", "a.wav", "--reject-below", "2"],
        "--reject-below.*1",
    ),
    "reject below -1": (
        lambda kit: ["predict", "a.wav", "--reject-below", "-1"],
        "--reject-below.*0",
    ),
    "reject below a word": (
        lambda kit: ["predict", "a.wav", "--reject-below", "half"],
        "--reject-below.*number|--reject-below.*float",
    ),
    "reject below NaN": (
        lambda kit: ["predict", "a.wav", "--reject-below", "nan"],
        "[-_]below.*(1|probability)",
    ),
    "no jobs": (lambda kit: ["predict", "a.wav", "--jobs", "0"], "--jobs.*1"),
    "standard input twice": (
        lambda kit: ["predict", "-", "-", "-m", kit.bundle],
        "can be read once; name it once",
    ),
    "folder without audio": (
        lambda kit: ["predict", kit.folder("empty"), "-m", kit.bundle],
        r"folder empty holds no audio file \(.*\.wav",
    ),
    "show no such model": (lambda kit: ["models", "show", "nobody"], "give the folder of a bundle"),
    "add what is no model": (
        lambda kit: ["models", "add", kit.folder("empty")],
        "is not a bundle: it holds no bundle.json",
    ),
    "add under a bad name": (
        lambda kit: ["models", "add", kit.bundle, "--name", "../x"],
        "cannot name a model: use letters, digits",
    ),
    "remove no such model": (lambda kit: ["models", "remove", "nobody"], "there is no model"),
    "show no such recipe": (lambda kit: ["recipes", "show", "nobody"], "ullim recipes list"),
    "show what is no recipe": (
        lambda kit: ["recipes", "show", kit.bundle / "member-0.onnx"],
        r"member-0\.onnx.*YAML",
    ),
    "show no such corpus": (
        lambda kit: ["corpora", "show", "nobody"],
        "is called 'nobody'; there are: .*emodb, ",
    ),
    "check no such folder": (
        lambda kit: ["corpora", "check", "emodb", "nowhere"],
        "nowhere is not a folder; give the folder that holds wav/",
    ),
    "check an empty folder": (
        lambda kit: ["corpora", "check", "emodb", kit.folder("empty")],
        "nothing under empty is laid out as",
    ),
    "run without protocol": (lambda kit: ["run", "cnn-emodb"], "give one --protocol"),
}

# The same of commands that need the training extra.
WRONG_TRAINING: dict[str, tuple[Arguments, str]] = {
    "unknown recipe": (
        lambda kit: _emodb(kit, "run", "nobody", "-p", "random"),
        r"no recipe 'nobody': `ullim recipes list` shows",
    ),
    "recipe that is no YAML": (
        lambda kit: ["run", kit.text("r.yaml", "a: [1"), "-p", "random"],
        "r.yaml is not readable YAML",
    ),
    "recipe that is a list": (
        lambda kit: ["run", kit.text("r.yaml", "[1, 2]"), "-p", "random"],
        "r.yaml holds no mapping",
    ),
    "recipe with mistakes": (
        lambda kit: ["run", kit.text("r.yaml", "title: t\ncolour: red\n"), "-p", "random"],
        r"mistake\(s\):.*task: Field required.*colour: no such field; there are: .*training",
    ),
    "recipe that is a folder": (
        lambda kit: ["run", kit.folder("empty"), "-p", "random"],
        "no recipe 'empty'",
    ),
    "--set without value": (
        lambda kit: ["run", "cnn-emodb", "-p", "random", "--set", "training.epochs"],
        "--set takes dotted.key=value and was given 'training.epochs'",
    ),
    "--set of no field": (
        lambda kit: ["run", "cnn-emodb", "-p", "random", "--set", "training.speed=9"],
        "training.speed: no such field; there are: .*epochs",
    ),
    "--set of a wrong type": (
        lambda kit: ["run", "cnn-emodb", "-p", "random", "--set", "training.epochs=many"],
        "training.epochs: Input should be a valid integer",
    ),
    "--set inside a value": (
        lambda kit: ["run", "cnn-emodb", "-p", "random", "--set", "title.x=1"],
        "--set title.x: .* lies inside a value",
    ),
    "--set of no YAML": (
        lambda kit: ["run", "cnn-emodb", "-p", "random", "--set", "title=[1"],
        "--set title: '\\[1' is not a YAML value",
    ),
    "unknown profile": (
        lambda kit: ["run", "cnn-emodb", "-p", "random", "--profile", "huge"],
        "no profile 'huge'; there are: full, cpu",
    ),
    "unknown protocol": (
        lambda kit: _emodb(kit, "run", "cnn-emodb", "-p", "magic"),
        "no protocol is called 'magic'; there are: emobox",
    ),
    "no corpus": (
        lambda kit: ["run", "cnn-emodb", "-p", "random"],
        "uses emodb: give --corpus emodb=PATH",
    ),
    "corpus without name": (
        lambda kit: ["run", "cnn-emodb", "-p", "random", "-c", "somewhere"],
        "--corpus takes NAME=PATH, for example ravdess=",
    ),
    "corpus without path": (
        lambda kit: ["run", "cnn-emodb", "-p", "random", "-c", "emodb="],
        "--corpus takes NAME=PATH",
    ),
    "corpus of another recipe": (
        lambda kit: [*_emodb(kit, "run", "cnn-emodb", "-p", "random"), "-c", "tess=x"],
        "uses emodb: leave out tess",
    ),
    "corpus that is not there": (
        lambda kit: ["run", "cnn-emodb", "-p", "random", "-c", "emodb=nowhere"],
        "nowhere is not a folder; give the folder that holds",
    ),
    "corpus that is empty": (
        lambda kit: ["run", "cnn-emodb", "-p", "random", "-c", f"emodb={kit.folder('empty')}"],
        "nothing under empty is laid out as wav/",
    ),
    "other corpus than the protocol's": (
        lambda kit: _emodb(kit, "run", "cnn-emodb", "-p", "emobox"),
        "defined for ravdess alone.*these rows allow: leave-one-speaker-out",
    ),
    "fewer speakers than folds": (
        lambda kit: _emodb(kit, "run", "cnn-emodb", "-p", "speaker-kfold"),
        "with 5 folds needs as many speakers and there are 3; lower n_folds",
    ),
    "run folder in use": (
        lambda kit: [
            *_emodb(kit, "run", "cnn-emodb", "-p", "random"),
            "--out",
            Path(kit.text("thesis.txt", "x")).absolute().parent,
        ],
        "is not empty and holds no run; give another --out",
    ),
    "run without jobs": (
        lambda kit: _emodb(kit, "run", "cnn-emodb", "-p", "random", "--jobs", "0"),
        "--jobs.*1",
    ),
    "train without out": (
        lambda kit: _emodb(kit, "train", "cnn-emodb"),
        "Missing option.*--out",
    ),
    "train over something": (
        lambda kit: _emodb(kit, "train", "cnn-emodb", "-o", kit.folder("taken")),
        "taken exists; give another folder, or --force",
    ),
    "train by no run": (
        lambda kit: _emodb(kit, "train", "cnn-emodb", "-o", "new", "--run", kit.folder("empty")),
        "empty is no finished run folder; finish it with `ullim run` first",
    ),
    "train with a negative seed": (
        lambda kit: _emodb(kit, "train", "cnn-emodb", "-o", "new", "--seed", "-1"),
        "--seed.*0",
    ),
    **{
        f"--seeds {text or 'empty'}": (
            lambda kit, text=text: ["run", "cnn-emodb", "-p", "random", f"--seeds={text}"],
            "--seeds takes different whole numbers such as 0, 0,1,2 or 0-4",
        )
        for text in ("", "a", "-1", "2-1", "0,0", "1,,2", "0.5")
    },
}


@pytest.fixture
def kit(desk: Path, toy_bundle: Path, tmp_path: Path, make_speech: Any) -> Kit:
    def emodb() -> Path:
        root = tmp_path / "emodb"
        if not root.exists():
            (root / "wav").mkdir(parents=True)
            for number, letter in enumerate("WLEAFTN"):
                for speaker in ("03", "08", "10"):
                    file = root / "wav" / f"{speaker}a01{letter}a.wav"
                    file.write_bytes(wav(make_speech(0.3, seed=100 * int(speaker) + number)))
        return root

    return Kit(desk, toy_bundle, emodb)


class TestWrongArguments:
    @pytest.mark.parametrize(("arguments", "says"), WRONG.values(), ids=WRONG)
    def test_exits_2_and_says_what_to_do(self, arguments, says, run, kit, desk):
        self.check(run, arguments(kit), says, desk)

    @pytest.mark.parametrize(("arguments", "says"), WRONG_TRAINING.values(), ids=WRONG_TRAINING)
    def test_of_training_exits_2_and_says_what_to_do(self, arguments, says, run, kit, desk):
        pytest.importorskip("torch")
        pytest.importorskip("lightning")
        self.check(run, arguments(kit), says, desk)

    @staticmethod
    def check(run: Run, arguments: list[object], says: str, desk: Path) -> None:
        before = tree(desk)
        outcome = run(*arguments)
        assert outcome.code == 2
        assert re.search(says, outcome.said), outcome.said
        assert outcome.out == ""
        assert tree(desk) == before, "something was left behind"

    def test_recordings_that_cannot_be_used_are_named(self, run, toy_corpus):
        pytest.importorskip("torch")
        pytest.importorskip("lightning")
        root = toy_corpus("emodb")  # its clips are too short to be used
        outcome = run("run", "cnn-emodb", "-p", "random", "-c", f"emodb={root}")
        assert outcome.code == 2
        assert re.search(
            r"corpus emodb: .*\.wav: lasts 0\.200 s.*`ullim corpora check` lists", outcome.said
        )

    def test_debug_shows_the_traceback(self, monkeypatch):
        monkeypatch.setattr(sys, "argv", ["ullim", "--debug", "predict", "a.wav", "-m", "nobody"])
        with pytest.raises(BundleError, match="nobody"):
            main()

    def test_seeds(self):
        assert parse_seeds("0") == [0]
        assert parse_seeds("3,1,2") == [3, 1, 2]
        assert parse_seeds("0-4") == [0, 1, 2, 3, 4]
        assert parse_seeds("0-1, 5 ,7-8") == [0, 1, 5, 7, 8]
        with pytest.raises(RecipeError, match="was given '1-1,1'") as caught:
            parse_seeds("1-1,1")
        assert caught.value.code == "bad_seeds"


class TestWithoutTraining:
    @pytest.mark.parametrize("hidden", ["torch", "lightning", "sklearn", "pandas", "joblib"])
    @pytest.mark.parametrize(
        "arguments",
        [
            ["run", "cnn-emodb", "-p", "random", "-c", "emodb=x"],
            ["train", "cnn-emodb", "-o", "new", "-c", "emodb=x"],
            ["recipes", "show", "cnn-emodb", "--resolved"],
        ],
        ids=["run", "train", "show"],
    )
    def test_names_the_exact_pip_line(self, arguments, hidden, run, desk, monkeypatch):
        monkeypatch.setitem(sys.modules, hidden, None)
        outcome = run(*arguments)
        assert outcome.code == 2
        assert outcome.err.endswith(
            'training needs packages that are not installed: pip install "ullim[train]"\n'
        )
        assert tree(desk) == {}

    def test_predicting_needs_none_of_it(self, toy_bundle, clips):
        hidden = [
            "torch",
            "lightning",
            "sklearn",
            "pandas",
            "joblib",
            "scipy",
            "matplotlib",
            "onnx",
            "librosa",
            "av",
        ]
        program = (
            "import sys\n"
            f"sys.modules.update(dict.fromkeys({hidden!r}))\n"
            "from ullim.cli import main\n"
            "main()\n"
        )
        ended = subprocess.run(
            [sys.executable, "-c", program, "predict", "a.wav", "-m", str(toy_bundle)],
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (0, b"")
        assert b"sadness" in ended.stdout


class TestModels:
    def test_list_show_add_remove(self, run, toy_bundle, tmp_path):
        outcome = run("models", "add", toy_bundle, "--name", "mine")
        assert (outcome.code, outcome.out) == (0, "")
        assert "try: ullim predict FILE --model mine" in outcome.said
        assert (tmp_path / "user" / "models" / "mine" / bundle.MANIFEST).is_file()

        rows = run("models", "list").rows
        assert rows[0] == ["name", "title", "emotions", "licence of the weights"]
        assert ["mine", "A toy", "neutral, happiness, sadness, anger", "CC0 1.0"] in rows

        assert run("models", "show", "mine").out == (toy_bundle / bundle.CARD).read_text()
        manifest = json.loads(run("models", "show", "mine", "--json").out)
        assert bundle.Manifest.model_validate(manifest) == bundle.load(toy_bundle).manifest

        assert run("models", "remove", "mine").code == 0
        assert not (tmp_path / "user" / "models" / "mine").exists()
        assert all(row[0] != "mine" for row in run("models", "list").rows)

    def test_list_as_json(self, run, toy_bundle, tmp_path):
        models.add(toy_bundle, "mine")
        (row,) = (
            row for row in json.loads(run("models", "list", "--json").out) if row["name"] == "mine"
        )
        assert row == {
            "name": "mine",
            "title": "A toy",
            "emotions": ["neutral", "happiness", "sadness", "anger"],
            "licence": "CC0 1.0",
            "folder": str(tmp_path / "user" / "models" / "mine"),
        }

    def test_a_damaged_one_does_not_hide_the_others(self, run, toy_bundle, tmp_path):
        models.add(toy_bundle, "fine")
        (models.add(toy_bundle, "worn") / "member-0.onnx").unlink()
        outcome = run("models", "list")
        assert outcome.code == 0
        assert "fine" in [row[0] for row in outcome.rows]
        assert "worn" not in [row[0] for row in outcome.rows]
        assert "worn: " in outcome.said
        assert "lacks its file member-0.onnx" in outcome.said

    def test_show_without_a_card(self, run, toy_bundle, desk):
        folder = Path(shutil.copytree(toy_bundle, desk / "bare"))
        path = folder / bundle.MANIFEST
        data = json.loads(path.read_text(encoding="utf-8"))
        del data["files"][bundle.CARD]
        path.write_text(json.dumps(data), encoding="utf-8")
        (folder / bundle.CARD).unlink()
        outcome = run("models", "show", folder)
        assert outcome.code == 2
        assert "card.md" in outcome.said


class TestRecipes:
    def test_list(self, run):
        rows = run("recipes", "list").rows
        assert rows[0] == ["name", "title", "corpora", "protocols", "UA measured, %"]
        names = [row[0] for row in rows[1:]]
        assert names == sorted(names)
        assert {"default", "cnn-emodb"} <= set(names)
        assert all(len(row) == 5 and all(row[:4]) for row in rows[1:])
        measured = {row[0]: row[4] for row in rows[1:]}
        assert measured["fusion-ravdess"] == "68.4 (emobox)"
        assert "(ravdess, leave-one-corpus-out)" in measured["fusion-four-emotions"]

    def test_list_of_a_tag(self, run):
        outcome = run("recipes", "list", "--tag", "eom2021")
        rows = outcome.rows[1:]
        assert len(rows) == 10
        assert all(row[0].startswith("eom2021-") for row in rows)
        assert "random: speakers are on both sides" in outcome.said
        facts = json.loads(run("recipes", "list", "--tag", "eom2021", "--json").out)
        assert [fact["name"] for fact in facts] == [row[0] for row in rows]
        refused = run("recipes", "list", "--tag", "nobody")
        assert refused.code == 2
        assert "there are: baseline" in refused.said

    def test_tasks(self, run):
        rows = run("recipes", "tasks").rows
        assert rows[0] == ["name", "title", "corpora", "utterances", "labels"]
        facts = json.loads(run("recipes", "tasks", "--json").out)
        assert [row[0] for row in rows[1:]] == [fact["name"] for fact in facts]
        emodb = next(fact for fact in facts if fact["name"] == "emodb-6-466")
        assert emodb["expected_count"] == 466
        assert "boredom" in emodb["labels"]
        assert "fear" not in emodb["labels"]

    def test_show_prints_the_file(self, run):
        outcome = run("recipes", "show", "cnn-emodb")
        source = Path(ullim.__file__).parent / "recipes" / "cnn-emodb.yaml"
        assert outcome.out == source.read_text(encoding="utf-8")

    def test_show_prints_a_file_of_one_s_own(self, run, kit):
        assert run("recipes", "show", kit.text("mine.yaml", "title: 나의 것\n")).out == (
            "title: 나의 것\n"
        )

    def test_show_resolved_writes_every_default_out(self, run, desk):
        pytest.importorskip("torch")
        pytest.importorskip("lightning")
        outcome = run("recipes", "show", "cnn-emodb", "--set", "training.epochs=7")
        data = yaml.safe_load(outcome.out)
        assert data["training"]["epochs"] == 7
        assert data["decision"]["ambiguity_margin"] == 0.02
        (desk / "copy.yaml").write_text(outcome.out, encoding="utf-8")
        assert run("recipes", "show", "copy.yaml", "--resolved").out == outcome.out


class TestCorpora:
    def test_list(self, run):
        rows = run("corpora", "list").rows
        facts = json.loads(run("corpora", "list", "--json").out)
        assert [row[0] for row in rows[1:]] == [fact["name"] for fact in facts]
        emodb = next(fact for fact in facts if fact["name"] == "emodb")
        assert (emodb["utterances"], emodb["speakers"], emodb["languages"]) == (535, 10, ["de"])

    def test_show(self, run):
        text = run("corpora", "show", "emodb").out
        facts = json.loads(run("corpora", "show", "emodb", "--json").out)
        assert facts["licence"] in text
        assert facts["known_defects"]
        for defect in facts["known_defects"]:
            assert f"  - {defect}\n" in text

    @pytest.fixture(autouse=True)
    def _toy_samples(self, monkeypatch):
        """The recordings of the kit are not the published ones."""
        monkeypatch.setattr("ullim.corpora.check.known_digests", lambda name: {})

    def test_check_of_a_part_exits_1(self, run, kit):
        outcome = run("corpora", "check", "emodb", kit.emodb())
        assert outcome.code == 1
        assert ["anger", "127", "3", "-124"] in outcome.rows
        assert ["speakers", "10", "3", "-7"] in outcome.rows
        assert "21 recordings read; problems: none" in outcome.said

    def test_check_of_a_whole_copy_exits_0(self, run, kit, monkeypatch):
        monkeypatch.setattr(Emodb, "expected_counts", dict.fromkeys(Emodb.labels, 3))
        monkeypatch.setattr(Emodb, "expected_speakers", 3)
        outcome = run("corpora", "check", "emodb", kit.emodb(), "--json")
        findings = json.loads(outcome.out)
        assert outcome.code == 0
        assert findings["complete"] is True
        assert findings["counts"] == dict.fromkeys(Emodb.labels, 3)
        assert (findings["read"], findings["speakers"], findings["problems"]) == (21, 3, [])

    def test_check_names_what_is_broken(self, run, kit):
        root = kit.emodb()
        (root / "wav" / "03a01Wa.wav").write_bytes(b"")
        shutil.copyfile(root / "wav" / "08a01Wa.wav", root / "wav" / "10a01Wa.wav")
        outcome = run("corpora", "check", "emodb", root, "--json")
        problems = {
            problem["code"]: problem["message"] for problem in json.loads(outcome.out)["problems"]
        }
        assert outcome.code == 1
        assert set(problems) == {"empty", "duplicate"}
        assert "03a01Wa.wav" in problems["empty"]
        assert problems["duplicate"] == "10a01Wa is the same recording as 08a01Wa"

    def test_show_tells_options(self, run):
        text = run("corpora", "show", "recordings").out
        assert "  - codes={N: neutral, J: happiness, S: sadness, A: anger} (a mapping): " in text
        assert "  - others=refuse (refuse, ignore): " in text
        assert "how to get" not in text
        told = json.loads(run("corpora", "show", "manifest", "--json").out)["options"]
        assert {key: told[4][key] for key in ("name", "takes", "default")} == {
            "name": "table",
            "takes": "text or null",
            "default": None,
        }

    def test_every_option_is_told(self):
        from ullim import registry
        from ullim.cli.corpora_options import as_yaml, described

        for cls in registry.components("corpora").values():
            for option in described(cls):
                assert option["about"], (cls.name, option["name"])
                if option["default"] is not None:
                    cls(**{option["name"]: yaml.safe_load(as_yaml(option["default"]))})

    @pytest.fixture
    def table(self, kit, desk):
        """A table beside the kit's recordings whose columns have names of their own."""
        files = sorted(kit.emodb().rglob("*.wav"))
        lines = [f"{file},{('anger', 'fear')[n % 2]},{n % 3}" for n, file in enumerate(files)]
        (desk / "own.csv").write_text("\n".join(["wav,emotion,speaker", *lines]) + "\n")
        return "own.csv", "--option", "columns={file: wav, label: emotion}"

    def test_options_of_reading(self, run, table):
        outcome = run("corpora", "check", "manifest", *table)
        assert (outcome.code, outcome.rows[0]) == (0, ["", "found"])
        assert ["anger", "11"] in outcome.rows
        assert ["speakers", "3"] in outcome.rows
        assert ["utterances", "21"] in run("corpora", "stats", "manifest", *table).rows
        path, *option = table
        audited = run("corpora", "audit", f"manifest={path}", *option, "--sound", "none")
        assert ["corpora", "rows", "21"] in audited.rows

    def test_table_with_other_columns_points_to_the_option(self, run, table):
        outcome = run("corpora", "stats", "manifest", table[0])
        assert outcome.code == 2
        assert "name its own in the option columns" in outcome.said

    def test_options_of_one_of_several(self, run, kit, table):
        path, _, option = table
        places = ("corpora", "audit", f"manifest={path}", f"emodb={kit.emodb()}", "--sound", "none")
        assert ["corpora", "rows", "42"] in run(*places, "--option", f"manifest.{option}").rows
        outcome = run(*places, "--option", option)
        assert outcome.code == 2
        assert "write NAME.KEY=VALUE with one of: emodb, manifest" in outcome.said

    def test_part_chosen_by_options_is_not_called_incomplete(self, run, tmp_path):
        root = tmp_path / "esc"
        (root / "meta").mkdir(parents=True)
        (root / "audio").mkdir()
        lines = ["filename,fold,category,esc10"]
        for number, kind in enumerate(("dog", "crying_baby")):
            samples = 0.1 * np.sin(np.arange(16_000) / (3 + number))
            soundfile.write(root / "audio" / f"{number}.wav", samples, 16_000)
            lines.append(f"{number}.wav,1,{kind},True")
        (root / "meta" / "esc50.csv").write_text("\n".join(lines) + "\n")
        outcome = run("corpora", "check", "esc10", root, "--option", "voices=false")
        assert outcome.code == 0
        assert ["no_speech", "1"] in outcome.rows
        assert "were not compared" in outcome.said
        assert "extra" not in outcome.said
        whole = run("corpora", "check", "esc10", root)
        assert whole.code == 1
        assert ["no_speech", "400", "2", "-398"] in whole.rows
        assert "this copy is not complete" in whole.said

    def test_wrong_options_are_told_together(self, run, table):
        outcome = run(
            "corpora", "check", "manifest", *table, "--option", "audio=loud", "--option", "x=1"
        )
        assert outcome.code == 2
        assert "audio: Input should be" in outcome.said
        assert "x is none of them; it has: label_map" in outcome.said

    def test_stats_leave_out_what_is_not_told(self, run, table):
        out = run("corpora", "stats", "manifest", *table).out
        assert "unknown" not in out
        assert "gender" not in out
        assert "sentences\tnot told\n" in out

    def test_stats_without_recordings(self, run, kit):
        for file in (root := kit.emodb()).rglob("*.wav"):
            file.write_bytes(b"")
        outcome = run("corpora", "stats", "emodb", root)
        assert ["recordings that can not be read", "21"] in outcome.rows
        assert "duration" not in outcome.out.lower()
        assert outcome.said.count("unreadable: ") == 6
        assert "and 16 more" in outcome.said

    def test_tables_keep_names_and_numbers_whole_on_a_narrow_terminal(self, capsys, monkeypatch):
        from ullim.cli.console import print_table, print_text

        monkeypatch.setattr(
            type(sys.stdout), "isatty", lambda self: self is sys.stdout, raising=False
        )
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "40")
        print_table(
            None, ("name", "utterances", "licence"), [("emotiontts_ko", 43991, "a b " * 20)]
        )
        print_text(["how to get: " + "word " * 20])
        lines = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).splitlines()
        assert max(map(len, lines)) <= 40
        assert lines[2].startswith("emotiontts_ko       43991  a b")

    def test_download_of_a_layout_says_there_is_nothing(self, run):
        outcome = run("corpora", "download", "manifest", "new")
        assert outcome.code == 1
        assert "there is nothing to fetch" in outcome.out

    def test_check_of_names_alone(self, run, kit):
        outcome = run("corpora", "check", "emodb", kit.emodb(), "--no-audio")
        assert outcome.code == 1
        assert "no recording was decoded; problems: none" in outcome.said

    def test_check_tells_a_few_of_each_kind(self, run, kit, monkeypatch):
        ids = [f"lost{n}" for n in range(9)]
        monkeypatch.setattr("ullim.corpora.check.known_digests", lambda name: dict.fromkeys(ids))
        outcome = run("corpora", "check", "emodb", kit.emodb())
        assert outcome.said.count("is not in this copy") == 5
        assert "missing: and 4 more; --json lists all" in outcome.said
        assert "problems: 9 missing" in outcome.said

    def test_stats(self, run, kit, desk):
        pytest.importorskip("matplotlib")
        outcome = run("corpora", "stats", "emodb", kit.emodb(), "--out", "pictures")
        assert outcome.code == 0
        assert ["speakers", "3 (female: 1, male: 2)"] in outcome.rows
        assert ["03", *["1"] * 7, "7"] in outcome.rows
        assert len(list((desk / "pictures").glob("emodb_*.png"))) == 3
        figures = json.loads(run("corpora", "stats", "emodb", kit.emodb(), "--json").out)
        assert figures["utterances"] == 21
        assert "durations_s" not in figures

    def test_download_wants_the_licence_agreed(self, run, desk):
        outcome = run("corpora", "download", "ravdess", "new")
        assert outcome.code == 2
        assert "208 MB" in outcome.said
        assert "CC BY-NC-SA 4.0" in outcome.said
        assert "give --yes" in outcome.said
        assert not (desk / "new").exists()

    def test_download_of_what_must_be_asked_for_says_how(self, run, monkeypatch):
        monkeypatch.setattr(Emodb, "downloads", ())
        outcome = run("corpora", "download", "emodb", "new")
        assert outcome.code == 1
        assert "is not fetched by a program" in outcome.out

    def test_download_unpacks(self, run, desk, monkeypatch):
        from ullim.corpora import download
        from ullim.corpora.download import Fetched

        told = []

        def fetch(corpus, folder, *, keep_archives, progress):
            told.append((corpus.name, folder, keep_archives))
            progress(2_000_000, 40_000_000)
            progress(3_000_000, None)
            return [Fetched("emodb.zip", "abc", False)]

        monkeypatch.setattr(download, "fetch", fetch)
        outcome = run("corpora", "download", "emodb", "new", "--yes")
        assert outcome.code == 0
        assert told == [("emodb", Path("new"), False)]
        assert "sha256 abc (compared with nothing)" in outcome.said
        assert "ullim corpora check emodb new" in outcome.said


class TestTop:
    def test_version(self, run):
        assert run("--version") == Outcome(0, f"ullim {ullim.__version__}\n", "")

    @pytest.mark.parametrize("flag", ["--help", "-h"])
    def test_help_names_every_command(self, flag, run):
        outcome = run(flag)
        assert outcome.code == 0
        for name in ("predict", "run", "train", "models", "recipes", "corpora"):
            assert re.search(rf"\b{name}\b", outcome.out)

    @pytest.mark.parametrize("command", ["predict", "run", "train", "models", "recipes", "corpora"])
    def test_every_command_has_help(self, command, run):
        outcome = run(command, "--help")
        assert outcome.code == 0
        assert "Usage:" in outcome.out
        assert command in outcome.out

    def test_stopping_is_quiet(self, run, monkeypatch):
        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(ullim, "load", stop)
        outcome = run("predict", "a.wav")
        assert outcome.code == 130
        assert len(outcome.err.splitlines()) <= 1


class TestProcess:
    """What only a process of its own shows: real streams, pipes and exit codes."""

    def test_streams_and_exit_codes(self, toy_bundle, clips):
        fine = spawn("predict", clips[0], "-m", toy_bundle)
        assert (fine.returncode, fine.stderr) == (0, b"")
        assert b"\x1b" not in fine.stdout
        assert fine.stdout.decode().splitlines()[1].split("\t")[:2] == ["a.wav", "sadness"]

        partly = spawn("predict", clips[0], "missing.wav", "-m", toy_bundle)
        assert partly.returncode == 1
        assert len(partly.stdout.splitlines()) == 3
        assert partly.stderr.startswith(b"error: missing.wav: ")
        assert b"\x1b" not in partly.stdout + partly.stderr

        wrong = spawn("predict", clips[0], "-m", "nobody")
        assert (wrong.returncode, wrong.stdout) == (2, b"")
        assert wrong.stderr.startswith(b"error: no model 'nobody'")
        assert wrong.stderr.count(b"\n") == 1

    def test_standard_input_from_a_pipe(self, toy_bundle, clips):
        ended = spawn("predict", "-", "-f", "jsonl", "-m", toy_bundle, input=clips[0].read_bytes())
        assert (ended.returncode, ended.stderr) == (0, b"")
        answer = json.loads(ended.stdout)
        assert (answer["file"], answer["label"], answer["duration_s"]) == ("-", "sadness", 6.0)

    def test_a_reader_that_leaves_early_is_no_error(self, toy_bundle, clips):
        with subprocess.Popen(
            [
                *(sys.executable, "-c", "from ullim.cli import main; main()"),
                *("predict", "-m", str(toy_bundle), "-f", "jsonl"),
                *([str(clips[1])] * 40),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            first = process.stdout.readline()
            process.stdout.close()
            complaints = process.stderr.read()
            code = process.wait(timeout=60)
        assert json.loads(first)["status"] == "ok"
        assert complaints == b""
        assert code == 0, "1 would mean that some file failed"

    def test_korean_on_a_terminal_without_korean(self, toy_bundle, clips):
        ended = spawn(
            *("predict", clips[0], "-m", toy_bundle, "--lang", "ko"),
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
        )
        assert ended.returncode == 0
        assert b"Traceback" not in ended.stderr
        assert b"a.wav" in ended.stdout

    @pytest.mark.skipif(
        not DEFAULT.is_dir(), reason=f"the default bundle is not in {DEFAULT}; train it first"
    )
    def test_default_bundle_answers_the_demo_clip(self):
        ended = spawn("predict", ullim.demo_clip(), "-f", "jsonl")
        assert (ended.returncode, ended.stderr) == (0, b"")
        answer = json.loads(ended.stdout)
        assert answer["status"] in {"ok", "uncertain", "ambiguous"}
        assert answer["label"] in LABELS_KO
        assert answer["segments"][-1]["end_s"] == answer["duration_s"]


def loaded(path: str | Path) -> dict[str, Any]:
    """Return the arrays of a file by name; the one of an .npy has none."""
    found = np.load(path)
    if isinstance(found, np.ndarray):
        return {"": found}
    with found:
        return dict(found)


class TestFeatures:
    @pytest.fixture(autouse=True)
    def _own_cache(self, tmp_path, monkeypatch):
        monkeypatch.setenv("ULLIM_CACHE", str(tmp_path / "cache"))

    def test_list_names_every_feature_with_its_defaults(self, run):
        rows = json.loads(run("features", "list", "--json").out)
        assert {"logmel", "mfcc", "chroma", "descriptors"} <= {row["name"] for row in rows}
        (logmel,) = [row for row in rows if row["name"] == "logmel"]
        assert (logmel["version"], logmel["level"], logmel["values"]) == ("v1", "frame", 64)
        assert logmel["every_s"] == 0.01
        assert logmel["parameters"]["n_mels"] == 64
        assert len(run("features", "list").rows) == len(rows) + 1

    @pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv"])
    def test_extract_writes_what_the_library_computes(self, run, clips, suffix):
        from ullim.audio import read
        from ullim.features.spectral import LogMel

        expected = LogMel(n_mels=20).extract(read(clips[1]))
        out = Path(f"out{suffix}")
        ended = run(
            "features", "extract", clips[1], "-f", "logmel", "--set", "n_mels=20", "-o", out
        )
        assert ended.code == 0
        if suffix == ".csv":
            rows = list(csv.reader(io.StringIO(out.read_text(encoding="utf-8"))))
            assert rows[0][:3] == ["file", "time_s", "logmel_0"]
            assert [row[1] for row in rows[1:3]] == ["0", "0.01"]
            values = np.array([row[2:] for row in rows[1:]], dtype=np.float64)
            np.testing.assert_allclose(values, expected, rtol=1e-6)
        else:
            found = loaded(out)
            np.testing.assert_array_equal(
                found[""] if suffix == ".npy" else found["b.wav"], expected
            )
        assert not list(Path().glob(".*"))

    def test_extract_of_a_folder(self, run, clips):
        ended = run("features", "extract", ".", "-f", "mean-mel-128", "-j", "2", "-o", "all.npz")
        assert ended.code == 0
        assert sorted(loaded("all.npz")) == ["a.wav", "b.wav", "c.wav"]
        shown = run("features", "extract", ".", "-f", "mean-mel-128")
        assert [row[:3] for row in shown.rows[1:]] == [[f"{n}.wav", "1", "128"] for n in "abc"]

    def test_a_bad_file_is_told_and_the_others_are_written(self, run, clips):
        Path("bad.wav").write_bytes(b"no audio")
        ended = run("features", "extract", clips[0], "bad.wav", "-f", "mfcc", "-o", "x.npz")
        assert ended.code == 1
        assert "bad.wav" in ended.err
        assert list(loaded("x.npz")) == ["a.wav"]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["-f", "nonsense"], "no feature is called 'nonsense'"),
            (["-f", "logmel", "--set", "n_mels"], "key=value"),
            (["-f", "logmel", "--set", "n_mels=many"], "n_mels"),
            (["-f", "logmel", "--set", "n_mells=3"], "it takes sampling_rate"),
            (["-f", "logmel", "-o", "x.txt"], ".npy, .npz, .csv"),
            (["-f", "logmel", "-o", "nowhere/x.npz"], "no folder nowhere"),
            (["-f", "logmel", "-o", "x.npy"], "there are 2 files"),
        ],
        ids=lambda value: " ".join(value[-1:]) if isinstance(value, list) else "",
    )
    def test_wrong_use_is_one_line(self, run, clips, arguments, message):
        ended = run("features", "extract", clips[0], clips[1], *arguments)
        assert ended.code == 2
        assert message in " ".join(ended.err.split())

    def test_cache_show_verify_and_clear(self, run, clips, tmp_path):
        run("features", "extract", *clips, "-f", "logmel")
        run("features", "extract", clips[0], "-f", "mfcc")
        run("features", "extract", clips[0], "-f", "chroma", "--no-cache")
        shown = json.loads(run("features", "cache", "show", "--json").out)
        assert shown["folder"].startswith(str(tmp_path / "cache"))
        assert [(row["feature"], row["items"]) for row in shown["features"]] == [
            ("logmel-v1", 3),
            ("mfcc-v1", 1),
        ]
        assert [row[:2] for row in run("features", "cache", "show").rows[1:]] == [
            ["logmel-v1", "3"],
            ["mfcc-v1", "1"],
        ]
        assert json.loads(run("features", "cache", "verify", "--json").out)["whole"] == 4
        assert "3 items removed" in run("features", "cache", "clear", "-f", "logmel").err
        assert "1 items removed" in run("features", "cache", "clear").err
        assert json.loads(run("features", "cache", "show", "--json").out)["features"] == []

    @pytest.mark.parametrize(
        ("suffix", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")]
    )
    def test_plot(self, run, clips, suffix, magic):
        pytest.importorskip("matplotlib")
        ended = run("features", "plot", clips[1], "-o", f"picture{suffix}")
        assert ended.code == 0
        assert Path(f"picture{suffix}").read_bytes().startswith(magic)
        assert not list(Path().glob(".*"))

    def test_plot_stands_beside_by_default_and_says_what_is_wrong(self, run, clips):
        pytest.importorskip("matplotlib")
        assert run("features", "plot", clips[1]).code == 0
        assert Path("b.png").is_file()
        for arguments, message in (
            (["absent.wav"], "absent.wav"),
            ([clips[1], "-o", "x.gif"], ".png, .svg, .pdf"),
            ([clips[1], "-o", "nowhere/x.png"], "no folder nowhere"),
        ):
            ended = run("features", "plot", *arguments)
            assert ended.code == 2
            assert message in " ".join(ended.err.split())
