"""Fixtures shared by all tests: seeded chance, synthetic speech, toy corpora, real corpora."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import settings

from commands import Outcome, Run
from layouts import BUILDERS
from ullim.types import LABELS, NO_SPEECH, FloatArray

# The same examples every time, and a busy machine is no failure.
settings.register_profile("ullim", deadline=None, derandomize=True)
settings.load_profile("ullim")

SpeechMaker = Callable[..., FloatArray]
ToyCorpus = Callable[[str], Path]

# One short clip for every file of a toy corpus: the tables are read from names, not from sound.
_CLIP_S = 0.2
_RAVDESS_ACTORS = ("01", "02", "07")
_EMODB_SPEAKERS = ("03", "08", "10")
_EMOTIONTTS_SPEAKERS = {
    "plain-to-emotional": ("ema", "emf"),
    "emotional-to-emotional": ("nea", "nek"),
}


def speech(
    duration_s: float = 1.0,
    sampling_rate: int = 16_000,
    *,
    f0_hz: float = 140.0,
    tilt: float = 1.0,
    seed: int = 0,
) -> FloatArray:
    """Return a harmonic stack with a moving F0 under a syllable envelope, and a little noise."""
    generator = np.random.default_rng(seed)
    t = np.arange(round(duration_s * sampling_rate)) / sampling_rate
    moving_hz = f0_hz * (1 + 0.15 * np.sin(2 * np.pi * 0.8 * t + generator.uniform(0, 6)))
    phase = 2 * np.pi * np.cumsum(moving_hz) / sampling_rate
    top = int(0.45 * sampling_rate / (1.15 * f0_hz))
    voiced = sum(np.sin(k * phase) / k**tilt for k in range(1, min(top, 30) + 1))
    syllables = np.clip(np.sin(2 * np.pi * 4 * t + generator.uniform(0, 6)), 0, None) + 0.05
    breath = 0.01 * generator.standard_normal(len(t))
    signal = 0.1 * voiced * syllables + breath
    return np.asarray(signal, dtype=np.float32)


@pytest.fixture(scope="session", autouse=True)
def _cache_of_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep features of tests, and of commands that tests start, out of the user's cache."""
    os.environ["ULLIM_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def generator() -> np.random.Generator:
    """A generator that starts alike in every test."""
    return np.random.default_rng(20_240_501)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asks for colours, or for none."""
    for name in ("FORCE_COLOR", "NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run(plain: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process; an exception that would be a traceback fails the test."""
    from ullim.cli import main

    def call(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["ullim", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as ending:
            code = int(ending.code or 0)
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        assert "\x1b" not in out + err
        return Outcome(code, out, err)

    return call


@pytest.fixture(scope="session")
def make_speech() -> SpeechMaker:
    """The maker of speech-like signals: ``make_speech(duration_s, sampling_rate, f0_hz=...)``."""
    return speech


@pytest.fixture(scope="session")
def corpora_root() -> Path:
    """The folder of real corpora; tests that take it are marked ``corpora``."""
    named = os.environ.get("ULLIM_CORPORA")
    if not named:
        pytest.skip("ULLIM_CORPORA is unset: name the folder that holds ravdess/, emodb/, ...")
    root = Path(named)
    if not root.is_dir():
        pytest.skip(f"ULLIM_CORPORA names {root}, which is not a folder")
    return root


@pytest.fixture
def toy_corpus(tmp_path: Path) -> ToyCorpus:
    """Builds a small tree in the exact layout of a corpus: ``toy_corpus("ravdess")``."""

    def build(name: str) -> Path:
        if name not in _BUILDERS:
            pytest.fail(f"no toy tree of {name} is known; add its builder to tests/conftest.py")
        root = tmp_path / name
        if not root.exists():
            _BUILDERS[name](root)
        return root

    return build


@cache
def _clip(sampling_rate: int, seed: int) -> FloatArray:
    return speech(_CLIP_S, sampling_rate, seed=seed)


def _write(file: Path, sampling_rate: int, *, channels: int = 1, seed: int = 0) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    clip = _clip(sampling_rate, seed)
    soundfile.write(file, np.stack([clip] * channels, axis=1), sampling_rate, subtype="PCM_16")


def _ravdess(root: Path) -> None:
    for actor in _RAVDESS_ACTORS:
        for emotion in range(1, 9):
            for intensity in (1, 2)[: 1 if emotion == 1 else 2]:
                name = f"03-01-{emotion:02}-{intensity:02}-01-01-{actor}.wav"
                # Some files of the original are stereo.
                channels = 2 if (actor, emotion) == ("01", 2) else 1
                _write(root / f"Actor_{actor}" / name, 48_000, channels=channels, seed=emotion)
    # What lies beside speech in the owner's archives and is not this corpus.
    _write(root / "Actor_01" / "03-02-03-01-01-01-01.wav", 48_000)
    _write(root / "Actor_01" / "notes.wav", 48_000)


def _emodb(root: Path) -> None:
    for speaker in _EMODB_SPEAKERS:
        for number, letter in enumerate("WLEAFTN"):
            _write(root / "wav" / f"{speaker}a01{letter}a.wav", 16_000, seed=number)
    _write(root / "wav" / "03b10Wc.wav", 16_000)
    _write(root / "wav" / "99a01Wa.wav", 16_000)  # no such speaker


def _emotiontts_ko(root: Path) -> None:
    for half, speakers in _EMOTIONTTS_SPEAKERS.items():
        for speaker in speakers:
            for emotion in range(4):
                for sentence in (1, 2):
                    stem = f"{speaker}00{emotion}{sentence:02}"
                    _write(root / half / speaker / "wav" / f"{stem}.wav", 22_050, seed=emotion)
                    script = root / half / speaker / "script" / f"{stem}.txt"
                    script.parent.mkdir(parents=True, exist_ok=True)
                    # The owner's scripts begin with a byte order mark.
                    script.write_text(f"문장 {sentence}입니다.\n", encoding="utf-8-sig")


def _esc10(root: Path) -> None:
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for fold in (1, 2, 3):
        for target, category, in_esc10 in (
            (0, "dog", True),
            (20, "crying_baby", True),
            (42, "siren", False),
        ):
            name = f"{fold}-{1000 + target}-A-{target}.wav"
            lines.append(f"{name},{fold},{target},{category},{in_esc10},{1000 + target},A")
            _write(root / "audio" / name, 44_100, seed=target)
    # A row whose recording is not there, as where only a part was unpacked.
    lines.append("5-9999-A-0.wav,5,0,dog,True,9999,A")
    table = root / "meta" / "esc50.csv"
    table.parent.mkdir(parents=True)
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _esc50(root: Path) -> None:
    _esc10(root)


def _fsdkaggle2018(root: Path) -> None:
    rows = {
        "train_post_competition.csv": ["fname,label,manually_verified,freesound_id,license"],
        "test_post_competition_scoring_clips.csv": ["fname,label,usage,freesound_id,license"],
    }
    licence = "Creative Commons 0"
    for number, label in enumerate(("Cello", "Laughter", "Hi-hat", "Bus")):
        part, table = (("train", "test")[number % 2], list(rows)[number % 2])
        third = "1" if part == "train" else "Private"
        rows[table].append(f"000{number}.wav,{label},{third},{4000 + number},{licence}")
        _write(root / f"FSDKaggle2018.audio_{part}" / f"000{number}.wav", 44_100, seed=number)
    # A row whose recording is not there, as where only a part was unpacked.
    rows["train_post_competition.csv"].append("0009.wav,Cello,0,4009,Attribution")
    for table, lines in rows.items():
        file = root / "FSDKaggle2018.meta" / table
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _aihub_dialogue(root: Path) -> None:
    raters = [f"{n}번 감정,{n}번 감정세기" for n in range(1, 6)]
    header = ",".join(["wav_id,발화문,상황", *raters, "나이,성별"])
    # The labels' spelling differs between files, and one header lacks a space.
    files = {
        "4차년도.csv": (
            header.replace("4번 감정세기", "4번감정세기"),
            [("Sadness", "sad", 27, "male"), ("Angry", "anger", 33, "female")],
        ),
        "5차년도.csv": (
            header,
            [("Neutral", "neutral", 33, "female"), ("Fear", "fear", 48, "male")],
        ),
        "5차년도_2차.csv": (
            header,
            [("happiness", "happiness", 21, "male"), ("disgust", "disgust", 46, "female"),
             ("surprise", "surprise", 46, "female"), ("angry", "sadness", 46, "female")],
        ),
    }  # fmt: skip
    root.mkdir(parents=True)
    for number, (name, (columns, rows)) in enumerate(files.items()):
        lines = [columns]
        for row, (label, situation, age, sex) in enumerate(rows):
            identifier = f"5e258fd1305bcf3ad153{number}a{row:02}"
            neutral = "Neutral" if label[0].isupper() else "neutral"
            strength = 0 if label == neutral else 2
            # Three raters say the label, the fourth and fifth neutral.
            cells = [f"{label},{strength}"] * 3 + [f"{neutral},0"] * 2
            lines.append(
                f'{identifier},"네, 문장 {row}입니다.",{situation},{",".join(cells)},{age},{sex}'
            )
            _write(root / name.removesuffix(".csv") / f"{identifier}.wav", 16_000, seed=row)
        (root / name).write_bytes("\r\n".join([*lines, ""]).encode("cp949"))


def _recordings(root: Path) -> None:
    for content in (1, 2):
        for person in (1, 2, 3):
            for number, code in enumerate("NJSA"):
                _write(root / f"{content}_{person}_{code}.wav", 16_000, seed=number)


def _manifest(root: Path) -> None:
    lines = ["id,file,speaker,gender,label,text"]
    for number, label in enumerate((*LABELS, NO_SPEECH)):
        lines.append(f"row{number:02},wav/{number}.wav,s{number % 3},female,{label},문장")
        _write(root / "wav" / f"{number}.wav", 16_000, seed=number)
    (root / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _hf_audio(root: Path) -> None:
    for split in ("train", "test"):
        lines = ["file_name,label,speaker"]
        for number, label in enumerate((*LABELS, NO_SPEECH)):
            lines.append(f"clips/{number}.wav,{label},s{number % 3}")
            _write(root / split / "clips" / f"{number}.wav", 16_000, seed=number)
        (root / split / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _audformat(root: Path) -> None:
    header = [
        "name: toy", "source: here", "usage: research", "languages: [deu]",
        "schemes:", "  emotion: {dtype: str}",
        "  speaker:", "    dtype: int", "    labels:",
        "      1: {gender: male, age: 31}", "      2: {gender: female, age: 34}", "      3: {}",
        "tables:",
        "  emotion: {type: filewise, columns: {emotion: {scheme_id: emotion, rater_id: gold}}}",
        "  files: {type: filewise, columns: {speaker: {scheme_id: speaker}}}",
    ]  # fmt: skip
    emotions, files = ["file,emotion"], ["file,speaker"]
    for number, label in enumerate((*LABELS, NO_SPEECH)):
        emotions.append(f"clips/c{number}.wav,{label}")
        files.append(f"clips/c{number}.wav,{1 + number % 3}")
        _write(root / "clips" / f"c{number}.wav", 16_000, seed=number)
    (root / "db.yaml").write_text("\n".join(header) + "\n", encoding="utf-8")
    (root / "db.emotion.csv").write_text("\n".join(emotions) + "\n", encoding="utf-8")
    (root / "db.files.csv").write_text("\n".join(files) + "\n", encoding="utf-8")


_BUILDERS: dict[str, Callable[[Path], None]] = {
    "ravdess": _ravdess,
    "emodb": _emodb,
    "emotiontts_ko": _emotiontts_ko,
    "esc10": _esc10,
    "esc50": _esc50,
    "fsdkaggle2018": _fsdkaggle2018,
    "aihub_dialogue": _aihub_dialogue,
    "recordings": _recordings,
    "manifest": _manifest,
    "hf_audio": _hf_audio,
    "audformat": _audformat,
}
_BUILDERS |= BUILDERS


BundleMaker = Callable[..., Path]
TOY_LABELS = ("neutral", "happiness", "sadness", "anger", "no_speech")
_TOY_BANDS = 32


@pytest.fixture(scope="session")
def make_bundle() -> BundleMaker:
    """Writes a bundle without torch: ``make_bundle(folder, labels=..., weights=..., bias=...)``.

    Its logits are the mean over frames of a 32-band log-mel times ``weights``, plus ``bias``. By
    default the emotions follow the colour of the sound, whatever its level, and ``no_speech`` how
    much of it lies in the upper bands: high for noise, low for a voice. Without ``weights``, a
    ``bias`` alone fixes the answer. Other arguments are fields of the manifest.
    """
    onnx = pytest.importorskip("onnx")

    from ullim import bundle
    from ullim.decision import Decision
    from ullim.features.spectral import LogMel
    from ullim.window import Window

    feature = LogMel(n_mels=_TOY_BANDS, n_fft=512, win_length=512, hop_length=256)

    def graph(weights: FloatArray, bias: FloatArray) -> bytes:
        n_labels = len(bias)
        tensors = [
            onnx.numpy_helper.from_array(np.asarray(weights, np.float32), "weights"),
            onnx.numpy_helper.from_array(np.asarray(bias, np.float32), "bias"),
            onnx.numpy_helper.from_array(np.array([1], np.int64), "axes"),
        ]
        nodes = [
            onnx.helper.make_node("ReduceMean", ["logmel", "axes"], ["mean"], keepdims=0),
            onnx.helper.make_node("MatMul", ["mean", "weights"], ["product"]),
            onnx.helper.make_node("Add", ["product", "bias"], ["logits"]),
        ]
        kind = onnx.TensorProto.FLOAT
        inputs = [
            onnx.helper.make_tensor_value_info("logmel", kind, ["batch", "frames", _TOY_BANDS])
        ]
        outputs = [onnx.helper.make_tensor_value_info("logits", kind, ["batch", n_labels])]
        model = onnx.helper.make_model(
            onnx.helper.make_graph(nodes, "toy", inputs, outputs, tensors),
            opset_imports=[onnx.helper.make_opsetid("", 18)],
            ir_version=9,
        )
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())

    def make(
        folder: Path,
        *,
        labels: tuple[str, ...] = TOY_LABELS,
        weights: FloatArray | None = None,
        bias: FloatArray | list[float] | None = None,
        members: int = 1,
        **fields: object,
    ) -> Path:
        if bias is None:
            generator = np.random.default_rng(7)
            weights = generator.normal(0.0, 0.06, (_TOY_BANDS, len(labels)))
            weights -= weights.mean(axis=0)
            bias = np.zeros(len(labels))
            if "no_speech" in labels:
                column = labels.index("no_speech")
                half = _TOY_BANDS // 2
                weights[:, column] = np.repeat([-1.0, 1.0], half) * 2.0 / half
                bias[column] = 3.0
        if weights is None:
            weights = np.zeros((_TOY_BANDS, len(labels)))
        graphs = {f"member-{member}.onnx": graph(weights, bias) for member in range(members)}
        stated = {
            "schema_version": bundle.SCHEMA_VERSION,
            "name": folder.name,
            "title": "A toy",
            "labels": labels,
            "inputs": (bundle.InputSpec(**feature.identity()),),
            "graphs": tuple(
                bundle.GraphSpec(file=name, inputs=("logmel",), opset=18) for name in graphs
            ),
            "window": Window(mode="crop", length_s=2.0, hop_s=1.0),
            "decision": Decision(),
            "calibration": bundle.Calibration(temperature=1.0, fitted_on="nobody"),
            "reject_threshold": 0.0,
            "licence": "CC0 1.0",
            "trained_on": (),
        }
        manifest = bundle.Manifest(**(stated | fields))
        return bundle.write(folder, manifest, graphs, "# A toy\n")

    return make


@pytest.fixture(scope="session")
def toy_bundle(make_bundle: BundleMaker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose answers follow the sound; tests that damage it copy it first."""
    return make_bundle(tmp_path_factory.mktemp("bundles") / "toy")


RunMaker = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> RunMaker:
    """Writes a finished run folder of invented answers, without training anything.

    ``make_run("a", skill=0.6)``: the same items whatever the skill; ``corpus``, ``labels``,
    ``n_speakers``, ``seeds``, ``audio_hash``, ``prefix`` (of the ids) and ``drop`` (items left out)
    change what was tested; so does ``tested``, items that each seed draws of every speaker.
    """
    import json

    def make(
        name: str,
        *,
        skill: float = 0.6,
        corpus: str = "emodb",
        labels: tuple[str, ...] = ("neutral", "happiness", "sadness", "anger"),
        n_speakers: int = 8,
        each: int = 12,
        seeds: tuple[int, ...] = (0,),
        folds: int = 4,
        audio_hash: str = "same",
        prefix: str = "",
        drop: int = 0,
        genders: bool = True,
        tested: int | None = None,
        **recipe: object,
    ) -> Path:
        generator = np.random.default_rng([len(name), *map(ord, name)])
        columns = [f"p_{label}" for label in labels]
        lines = [",".join(["seed,fold,corpus,speaker,gender,group,id,label", *columns])]
        truths = np.random.default_rng(0).integers(0, len(labels), (n_speakers, each))
        for seed in seeds:
            drawn = np.random.default_rng(seed).permuted(
                np.tile(np.arange(each), (n_speakers, 1)), axis=1
            )
            for speaker, clips in enumerate(truths.tolist()):
                for number, truth in enumerate(clips[: each - drop]):
                    if tested is not None and number not in drawn[speaker, :tested]:
                        continue
                    sure = generator.uniform(0.3, 1.0)
                    right = generator.random() < skill
                    guess = truth if right else (truth + 1) % len(labels)
                    scores = np.full(len(labels), (1 - sure) / len(labels))
                    scores[guess] += sure
                    gender = ("female" if speaker % 2 else "male") if genders else ""
                    facts = f"{seed},{speaker % folds + 1},{corpus},{speaker:02},{gender},"
                    item = f"{prefix}{speaker:02}-{number:02}"
                    shown = ",".join(f"{score:.5f}" for score in scores)
                    lines.append(f"{facts},{item},{labels[truth]},{shown}")
        folder = tmp_path / name
        folder.mkdir()
        (folder / "predictions.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        details = {
            "recipe": name,
            "profile": "full",
            "protocol": {"name": "speaker-kfold" if tested is None else "random"},
            "speaker_independent": tested is None,
            "seeds": list(seeds),
            "rows": {corpus: n_speakers * each},
            "command": f"ullim run {name} --protocol speaker-kfold --out {name}",
            "audio_hash": audio_hash,
        }
        stated = {
            "name": name,
            "title": f"Invented <{name}>",
            "task": {"labels": list(labels), "corpora": [{"name": corpus}]},
            "feature": {"name": "logmel", "sampling_rate": 16_000},
            "model": {"name": "dilated-cnn"},
        } | recipe
        metrics = {
            "labels": list(labels),
            "corpora": {corpus: {"labels": list(labels)}},
            "leakage": {
                "speakers_on_both_sides": [],
                "share_of_test_rows_with_trained_sentence": 0.5,
                "test_rows_with_trained_recording": ["x1", "x2"],
                "test_rows_with_trained_near_duplicate": [
                    {"test": "x3", "train": "x4", "similarity": 0.9, "kind": "copy"}
                ],
                "text_overlap": 3,
            },
        }
        (folder / "run.json").write_text(json.dumps(details), encoding="utf-8")
        (folder / "recipe.yaml").write_text(json.dumps(stated), encoding="utf-8")
        (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
        return folder

    return make
