"""Fixtures shared by all tests: seeded chance, synthetic speech, toy corpora, real corpora."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ullim.types import FloatArray

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


_BUILDERS: dict[str, Callable[[Path], None]] = {
    "ravdess": _ravdess,
    "emodb": _emodb,
    "emotiontts_ko": _emotiontts_ko,
    "esc10": _esc10,
}


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
