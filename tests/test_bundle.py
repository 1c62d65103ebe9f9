"""Bundles are written whole or not at all, and nothing damaged or foreign is ever loaded."""

from __future__ import annotations

import hashlib
import json
import pickletools
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ullim
from ullim import bundle
from ullim.errors import BundleError
from ullim.features.spectral import LogMel
from ullim.inference import models
from ullim.inference.predictor import Predictor
from ullim.types import LABELS, NO_SPEECH

SHIPPED = Path(ullim.__file__).parent / "data" / "models"
DEFAULT = SHIPPED / models.DEFAULT
MAX_DEFAULT_BYTES = 5 * 1024**2

needs_default = pytest.mark.skipif(
    not DEFAULT.is_dir(), reason=f"the default bundle is not in {DEFAULT}; train it first"
)

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def copy(toy_bundle: Path, tmp_path: Path) -> Path:
    """A bundle of one's own to damage."""
    return Path(shutil.copytree(toy_bundle, tmp_path / "mine"))


def parts_of(folder: Path) -> tuple[bundle.Manifest, dict[str, bytes], str]:
    """Return what ``bundle.write`` was given."""
    manifest = bundle.load(folder).manifest
    graphs = {graph.file: (folder / graph.file).read_bytes() for graph in manifest.graphs}
    return manifest, graphs, (folder / bundle.CARD).read_text(encoding="utf-8")


def change(folder: Path, edit: Change) -> Path:
    """Edit ``bundle.json`` by hand."""
    path = folder / bundle.MANIFEST
    data = json.loads(path.read_text(encoding="utf-8"))
    edit(data)
    path.write_text(json.dumps(data), encoding="utf-8")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class TestWrite:
    def test_round_trip(self, toy_bundle, tmp_path):
        manifest, graphs, card = parts_of(toy_bundle)
        folder = bundle.write(tmp_path / "again", manifest, graphs, card)
        loaded = bundle.load(folder)
        assert loaded.manifest == manifest
        assert loaded.folder == folder
        assert contents(folder) == contents(toy_bundle)

    def test_states_the_hash_of_every_other_file(self, toy_bundle):
        stated = bundle.load(toy_bundle).manifest.files
        found = contents(toy_bundle)
        del found[bundle.MANIFEST]
        assert stated == {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}
        assert bundle.CARD in stated

    def test_loads_the_features_it_was_written_with(self, toy_bundle):
        (feature,) = bundle.load(toy_bundle).features.values()
        assert feature == LogMel(n_mels=32, n_fft=512, win_length=512, hop_length=256)

    def test_emotions_leave_out_no_speech(self, toy_bundle):
        manifest = bundle.load(toy_bundle).manifest
        assert NO_SPEECH in manifest.labels
        assert manifest.emotions == tuple(x for x in manifest.labels if x != NO_SPEECH)

    def test_manifest_keeps_text_readable(self, make_bundle, tmp_path):
        folder = make_bundle(tmp_path / "toy", title="울림, 기쁨")
        assert "울림, 기쁨" in (folder / bundle.MANIFEST).read_text(encoding="utf-8")
        assert bundle.load(folder).manifest.title == "울림, 기쁨"

    def test_makes_missing_folders_above(self, toy_bundle, tmp_path):
        folder = bundle.write(tmp_path / "a" / "b" / "c", *parts_of(toy_bundle))
        assert bundle.load(folder)

    def test_may_be_read_by_others(self, copy, tmp_path):
        folder = bundle.write(tmp_path / "again", *parts_of(copy))
        assert folder.stat().st_mode & 0o755 == 0o755

    def test_refuses_to_overwrite(self, copy):
        before = contents(copy)
        with pytest.raises(BundleError, match=r"exists; give another folder, or --force") as caught:
            bundle.write(copy, *parts_of(copy))
        assert caught.value.code == "exists"
        assert str(copy) in str(caught.value)
        assert contents(copy) == before

    def test_replaces_when_told(self, copy):
        manifest, graphs, _ = parts_of(copy)
        changed = manifest.model_copy(update={"title": "the new one"})
        (copy / "left-over.txt").write_text("old", encoding="utf-8")
        bundle.write(copy, changed, graphs, "# new\n", replace=True)
        assert bundle.load(copy).manifest.title == "the new one"
        assert not (copy / "left-over.txt").exists()
        assert [path.name for path in copy.parent.iterdir()] == [copy.name]

    def test_never_replaces_what_is_no_bundle(self, toy_bundle, tmp_path):
        folder = tmp_path / "thesis"
        folder.mkdir()
        (folder / "chapter.txt").write_text("years of work", encoding="utf-8")
        with pytest.raises(BundleError, match="is not a bundle and is left alone") as caught:
            bundle.write(folder, *parts_of(toy_bundle), replace=True)
        assert caught.value.code == "exists"
        assert contents(folder) == {"chapter.txt": b"years of work"}

    def test_never_replaces_a_file(self, toy_bundle, tmp_path):
        file = tmp_path / "notes.txt"
        file.write_text("years of work", encoding="utf-8")
        with pytest.raises(BundleError, match=r"notes\.txt"):
            bundle.write(file, *parts_of(toy_bundle), replace=True)
        assert file.read_text(encoding="utf-8") == "years of work"

    @pytest.mark.parametrize("replace", [False, True])
    def test_what_cannot_be_loaded_is_not_written(self, replace, copy, tmp_path):
        manifest, graphs, card = parts_of(copy)
        wrong = manifest.model_copy(
            update={"inputs": (manifest.inputs[0].model_copy(update={"version": "v999"}),)}
        )
        before = contents(tmp_path)
        with pytest.raises(BundleError, match="v999"):
            bundle.write(
                copy if replace else tmp_path / "new", wrong, graphs, card, replace=replace
            )
        assert contents(tmp_path) == before
        assert [path.name for path in tmp_path.iterdir()] == [copy.name]

    def test_refuses_a_graph_that_is_not_given(self, copy, tmp_path):
        manifest, _, card = parts_of(copy)
        with pytest.raises(BundleError, match=r"member-0\.onnx"):
            bundle.write(tmp_path / "new", manifest, {}, card)
        assert not (tmp_path / "new").exists()

    @pytest.mark.parametrize("replace", [False, True])
    def test_a_full_disk_leaves_nothing_and_keeps_the_old_one(
        self, replace, copy, tmp_path, monkeypatch
    ):
        parts = parts_of(copy)
        before = contents(tmp_path)

        def write_text(self, *_args, **_kwargs):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "write_text", write_text)
        with pytest.raises(OSError, match="No space left"):
            bundle.write(copy if replace else tmp_path / "new", *parts, replace=replace)
        monkeypatch.undo()
        assert contents(tmp_path) == before
        assert [path.name for path in tmp_path.iterdir()] == [copy.name]

    def test_a_failing_last_step_keeps_the_old_one(self, copy, tmp_path, monkeypatch):
        parts = parts_of(copy)
        before = contents(copy)
        rename = Path.replace
        failures = []

        def replace(self, target):
            if Path(target) == copy and not failures:  # what mends it may rename again
                failures.append(self)
                raise OSError(5, "Input/output error")
            return rename(self, target)

        monkeypatch.setattr(Path, "replace", replace)
        with pytest.raises(OSError, match="Input/output error"):
            bundle.write(copy, *parts, replace=True)
        monkeypatch.undo()
        assert copy.is_dir(), "the old bundle is gone"
        assert contents(copy) == before
        assert [path.name for path in tmp_path.iterdir()] == [copy.name]

    @pytest.mark.parametrize("name", ["../outside.onnx", "sub/inside.onnx"])
    def test_graph_names_with_folders_are_refused_and_leave_nothing(self, name, copy, tmp_path):
        manifest, graphs, card = parts_of(copy)
        spec = manifest.graphs[0].model_copy(update={"file": name})
        wrong = manifest.model_copy(update={"graphs": (spec,)})
        with pytest.raises(BundleError, match="onnx"):
            bundle.write(tmp_path / "new", wrong, {name: graphs["member-0.onnx"]}, card)
        assert [path.name for path in tmp_path.iterdir()] == [copy.name]


def _set(key: str, value: Any) -> Change:
    def edit(data: dict[str, Any]) -> None:
        *parents, last = (int(part) if part.isdigit() else part for part in key.split("."))
        node: Any = data
        for part in parents:
            node = node[part]
        node[last] = value

    return edit


def _rename_graph(name: str) -> Change:
    """Point a graph, and its hash, at another place."""

    def edit(data: dict[str, Any]) -> None:
        data["files"][name] = data["files"].pop(data["graphs"][0]["file"])
        data["graphs"][0]["file"] = name

    return edit


def _list(name: str) -> Change:
    """List one file more than there is."""

    def edit(data: dict[str, Any]) -> None:
        data["files"][name] = "0" * 64

    return edit


def _without(key: str) -> Change:
    def edit(data: dict[str, Any]) -> None:
        del data[key]

    return edit


def _unlist_graph(data: dict[str, Any]) -> None:
    data["files"].pop(data["graphs"][0]["file"])


# What is changed in bundle.json, the code of the error, what its message says, and what it advises.
EDITS: dict[str, tuple[Change, str, str, str]] = {
    "later schema": (
        _set("schema_version", bundle.SCHEMA_VERSION + 1),
        "schema_version",
        rf"schema {bundle.SCHEMA_VERSION + 1} and this ullim reads {bundle.SCHEMA_VERSION}",
        r"install the ullim|train it anew",
    ),
    "no schema": (_without("schema_version"), "schema_version", "schema None", "install the ullim"),
    "schema as text": (_set("schema_version", "1"), "schema_version", "schema '1'", "install"),
    "unknown key": (_set("colour", "red"), "damaged", "colour", "Extra inputs are not permitted"),
    "unknown key inside": (_set("window.colour", 1), "damaged", r"window\.colour", "not permitted"),
    "missing key": (_without("window"), "damaged", "window", "Field required"),
    "wrong type": (_set("reject_threshold", "high"), "damaged", "reject_threshold", "number"),
    "threshold over 1": (_set("reject_threshold", 2), "damaged", "reject_threshold", "less than"),
    "temperature 0": (_set("calibration.temperature", 0), "damaged", "temperature", "greater than"),
    "one label": (_set("labels", ["anger"]), "damaged", "labels", "at least 2"),
    "no graphs": (_set("graphs", []), "damaged", "graphs", "at least 1"),
    "unknown mode": (_set("window.mode", "sometimes"), "damaged", r"window\.mode", "whole"),
    "unknown rule": (_set("combine.rule", "duel"), "damaged", r"combine\.rule", "mean"),
    "unknown feature": (
        _set("inputs.0.name", "telepathy"),
        "unknown_feature",
        "needs the feature 'telepathy'",
        "there are: .*logmel",
    ),
    "other feature version": (
        _set("inputs.0.version", "v0"),
        "feature_version",
        "trained on logmel-v0 and this ullim computes logmel-v1",
        "install the ullim|train it anew",
    ),
    "impossible parameter": (
        _set("inputs.0.parameters.n_mels", 0),
        "damaged",
        "parameters of logmel are wrong",
        "n_mels",
    ),
    "unknown parameter": (
        _set("inputs.0.parameters.colour", 1),
        "damaged",
        "parameters of logmel are wrong",
        "colour",
    ),
    "graph above": (_rename_graph("../member-0.onnx"), "damaged", r"\.\./member-0", "copy"),
    "graph far above": (_rename_graph("../../x.onnx"), "damaged", r"\.\./\.\./x", "copy"),
    "graph below": (_rename_graph("sub/member-0.onnx"), "damaged", "sub/member-0", "copy"),
    "absolute graph": (_rename_graph("/etc/hostname"), "damaged", "/etc/hostname", "copy"),
    "folder as file": (_list(".."), "damaged", r"lacks its file \.\.", "copy the whole folder"),
    "graph without hash": (
        _unlist_graph,
        "damaged",
        r"member-0\.onnx is needed but has no hash",
        "copy|train",
    ),
    "listed file that is not there": (
        _list("member-9.onnx"),
        "damaged",
        r"lacks its file member-9\.onnx",
        "copy the whole folder again",
    ),
}


class TestLoad:
    @pytest.mark.parametrize(("edit", "code", "says", "advises"), EDITS.values(), ids=EDITS)
    def test_wrong_manifest(self, edit, code, says, advises, copy):
        change(copy, edit)
        with pytest.raises(BundleError, match=says) as caught:
            bundle.load(copy)
        assert caught.value.code == code
        assert str(copy) in str(caught.value), "the message names the bundle"
        with pytest.raises(BundleError, match=advises):
            bundle.load(copy)

    def test_all_mistakes_are_told_at_once(self, copy):
        change(copy, _set("window.mode", "sometimes"))
        change(copy, _set("reject_threshold", 7))
        with pytest.raises(BundleError, match=r"window\.mode.*reject_threshold|reject.*window"):
            bundle.load(copy)

    @pytest.mark.parametrize("name", ["member-0.onnx", bundle.CARD])
    def test_one_changed_byte(self, name, copy):
        file = copy / name
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        with pytest.raises(BundleError, match=r"SHA-256 differs\); copy the whole") as caught:
            bundle.load(copy)
        assert caught.value.code == "damaged"
        assert str(file) in str(caught.value)

    @pytest.mark.parametrize("name", ["member-0.onnx", bundle.CARD])
    def test_missing_file(self, name, copy):
        (copy / name).unlink()
        with pytest.raises(BundleError, match=f"lacks its file {name}; copy the whole") as caught:
            bundle.load(copy)
        assert caught.value.code == "damaged"

    def test_missing_manifest(self, copy):
        (copy / bundle.MANIFEST).unlink()
        with pytest.raises(BundleError, match=r"holds no bundle\.json.*models list") as caught:
            bundle.load(copy)
        assert caught.value.code == "not_found"
        assert str(copy) in str(caught.value)

    def test_missing_folder(self, tmp_path):
        with pytest.raises(BundleError, match="nowhere is not a bundle") as caught:
            bundle.load(tmp_path / "nowhere")
        assert caught.value.code == "not_found"

    @pytest.mark.parametrize(
        "text",
        [b"", b"{", b"\xff\xfe\x00", b"not JSON", b'{"schema_version": 1,}', b"[" * 100_000],
        ids=["empty", "cut off", "not UTF-8", "prose", "stray comma", "too deep"],
    )
    def test_broken_json(self, text, copy):
        (copy / bundle.MANIFEST).write_bytes(text)
        with pytest.raises(BundleError, match=r"bundle\.json is not readable JSON") as caught:
            bundle.load(copy)
        assert caught.value.code == "damaged"
        assert str(copy) in str(caught.value)

    @pytest.mark.parametrize("text", ["[]", "null", "1", '"bundle"', "{}"])
    def test_json_that_is_no_manifest(self, text, copy):
        (copy / bundle.MANIFEST).write_text(text, encoding="utf-8")
        with pytest.raises(BundleError, match="has bundle schema None") as caught:
            bundle.load(copy)
        assert caught.value.code == "schema_version"

    def test_graph_that_is_no_onnx_is_told_when_opened(self, copy):
        (copy / "member-0.onnx").write_bytes(b"not a graph")
        digest = hashlib.sha256(b"not a graph").hexdigest()
        change(copy, lambda data: data["files"].update({"member-0.onnx": digest}))
        bundle.load(copy)
        with pytest.raises(BundleError, match=r"a graph cannot be opened .* copy") as caught:
            Predictor.from_folder(copy)
        assert caught.value.code == "damaged"
        assert str(copy) in str(caught.value)

    @pytest.mark.parametrize(
        "edit",
        [
            _set("graphs.0.inputs", ["mfcc"]),
            _set("graphs.0.output", "scores"),
            _set("inputs.0.parameters.n_mels", 40),
            _set("labels", ["neutral", "happiness", "sadness"]),
            _set("labels", ["neutral", "happiness", "sadness", "anger", "fear", "disgust"]),
            _set("labels", ["neutral", "neutral", "sadness", "anger", "no_speech"]),
        ],
        ids=[
            "another input",
            "another output",
            "more bands than the graph takes",
            "fewer labels than the graph gives",
            "more labels than the graph gives",
            "a label twice",
        ],
    )
    def test_graph_that_does_not_fit_its_manifest(self, edit, copy, make_speech):
        change(copy, edit)
        with pytest.raises(BundleError, match=re.escape(str(copy))) as caught:
            Predictor.from_folder(copy).predict(make_speech(1.0), 16_000)
        assert caught.value.code == "damaged"


class TestNoPickle:
    def test_nothing_in_a_bundle_is_a_pickle(self, toy_bundle):
        for name, data in contents(toy_bundle).items():
            assert Path(name).suffix in {".json", ".onnx", ".md"}
            assert not _is_pickle(data), name

    def test_the_check_knows_a_pickle(self):
        # A protocol 2 pickle of None, byte by byte: nothing here imports pickle.
        assert _is_pickle(b"\x80\x02N.")

    def test_no_source_file_imports_pickle(self):
        source = Path(ullim.__file__).parent
        for file in source.rglob("*.py"):
            for line in file.read_text(encoding="utf-8").splitlines():
                words = line.split()
                if words[:1] in (["import"], ["from"]):
                    assert words[1].split(".")[0] not in {"pickle", "dill", "cloudpickle"}, file


def _is_pickle(data: bytes) -> bool:
    try:
        return any(opcode.name == "STOP" for opcode, _, _ in pickletools.genops(data))
    except ValueError:
        return False


class TestShipped:
    def test_every_bundle_that_comes_with_ullim_verifies(self):
        if not SHIPPED.is_dir():
            pytest.skip(f"no bundles are in {SHIPPED}; train them first")
        folders = [path for path in SHIPPED.iterdir() if path.is_dir()]
        assert folders
        for folder in folders:
            loaded = bundle.load(folder)
            assert loaded.manifest.name == folder.name
            assert set(contents(folder)) == {bundle.MANIFEST, *loaded.manifest.files}
            assert set(loaded.manifest.emotions) <= set(LABELS)
            assert not any(_is_pickle(data) for data in contents(folder).values())

    def test_no_bundle_carries_the_folders_of_the_machine_that_trained_it(self):
        for file in SHIPPED.rglob("*.onnx"):
            assert b"site-packages" not in file.read_bytes(), file
            assert b"stack_trace" not in file.read_bytes(), file

    def test_every_card_says_what_a_user_must_know(self):
        if not SHIPPED.is_dir():
            pytest.skip(f"no bundles are in {SHIPPED}; train them first")
        for folder in (path for path in SHIPPED.iterdir() if path.is_dir()):
            manifest = bundle.load(folder).manifest
            card = (folder / bundle.CARD).read_text(encoding="utf-8")
            for heading in ("For and not for", "Data", "Licence of the weights", "Figures"):
                assert f"## {heading}" in card, folder.name
            assert manifest.licence in card
            for corpus in manifest.trained_on:
                assert corpus.title in card
                assert corpus.licence in card
            assert manifest.figures, "a card without figures"
            for figure in manifest.figures:
                assert figure.protocol != "random"
                assert figure.command in card
                assert 0.0 < figure.value < 1.0

    @needs_default
    def test_default_is_small(self):
        size_bytes = sum(len(data) for data in contents(DEFAULT).values())
        assert size_bytes < MAX_DEFAULT_BYTES

    @needs_default
    def test_default_tells_seven_emotions_and_silence(self):
        manifest = bundle.load(DEFAULT).manifest
        assert set(manifest.labels) == {
            "neutral",
            "happiness",
            "sadness",
            "anger",
            "fear",
            "disgust",
            "surprise",
            NO_SPEECH,
        }
        assert "licence" in (DEFAULT / bundle.CARD).read_text(encoding="utf-8").lower()

    @needs_default
    def test_load_without_a_name_is_the_default(self, monkeypatch, tmp_path):
        monkeypatch.setattr(models, "user_folder", lambda: tmp_path)
        predictor = ullim.load()
        assert predictor.bundle.folder == DEFAULT
        assert predictor.labels == bundle.load(DEFAULT).manifest.emotions

    @needs_default
    def test_demo_clip_is_answered(self, monkeypatch, tmp_path):
        monkeypatch.setattr(models, "user_folder", lambda: tmp_path)
        prediction = ullim.load().predict(ullim.demo_clip())
        assert prediction.status in {"ok", "uncertain", "ambiguous"}
        assert prediction.label in LABELS
        assert np.isclose(sum(prediction.scores.values()), 1.0, atol=1e-5)
        assert prediction.segments[0].start_s == 0.0
        assert prediction.segments[-1].end_s == pytest.approx(prediction.duration_s)
        for left, right in zip(prediction.segments, prediction.segments[1:], strict=False):
            assert left.end_s == right.start_s

    @needs_default
    def test_predict_loads_the_default_once(self, monkeypatch):
        monkeypatch.setattr(ullim, "_default", None)
        first = ullim.predict(ullim.demo_clip())
        loaded = ullim._default
        assert ullim.predict(ullim.demo_clip()) == first
        assert ullim._default is loaded is not None
