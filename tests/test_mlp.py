"""The perceptron, and the two published systems made of it: right answers, graphs, recipes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("lightning", reason="needs the training extra")

import onnxruntime
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

import ullim
from ullim import bundle
from ullim.corpora.recordings import Recordings
from ullim.errors import MissingExtraError
from ullim.evaluation.legacy import any_overlap_share
from ullim.features import opensmile as opensmile_module
from ullim.features.opensmile import OpenSmile
from ullim.features.spectral import MeanMel128
from ullim.inference.predictor import Predictor
from ullim.models.mlp import LogitMlp, Mlp
from ullim.recipes import recipe_paths, runner
from ullim.recipes.schema import load_recipe
from ullim.training.classical import ClassicalClassifier
from ullim.training.classifier import softmax
from ullim.types import Ragged

LABELS = ("sadness", "neutral", "happiness", "anger")
SOURCE = Path(ullim.__file__).parent


def unit_vectors(n=80, n_labels=4, width=16, seed=0):
    """Return vectors of length 1 whose label can be told, their labels, and speakers."""
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % n_labels
    centres = np.random.default_rng(9).uniform(0, 1, (n_labels, width))
    values = centres[labels] + generator.uniform(0, 0.2, (n, width))
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    X = Ragged.from_items([row[None].astype(np.float32) for row in values])
    return X, [LABELS[label] for label in labels], [f"s{i // 20}" for i in range(n)]


@pytest.mark.slow
@parametrize_with_checks([LogitMlp(hidden_layer_sizes=(64,), max_iter=150, random_state=0)])
def test_scikit_learns_contract(estimator, check):
    check(estimator)


class TestMlp:
    def test_published_arm_is_scikit_learns_on_the_vectors_as_they_are(self):
        X, y, speakers = unit_vectors()
        model = Mlp(standardise=False, calibrate=False, max_iter=40)
        ours = ClassicalClassifier(model, LABELS, seed=3).fit({"x": X}, y, groups=speakers)
        theirs = MLPClassifier((128, 128), max_iter=40, random_state=3)
        with pytest.warns(ConvergenceWarning):
            theirs.fit(X.values.astype(np.float64), [LABELS.index(label) for label in y])
        asked, _, _ = unit_vectors(seed=1)
        np.testing.assert_allclose(
            ours.predict_proba({"x": asked}),
            theirs.predict_proba(asked.values.astype(np.float64)),
            atol=1e-12,
        )

    @pytest.mark.parametrize("n_labels", [2, 4])
    @pytest.mark.parametrize("hidden", [(8,), (16, 8, 8)], ids=str)
    @pytest.mark.parametrize("standardise", [False, True])
    def test_graph_says_the_same(self, n_labels, hidden, standardise):
        X, y, speakers = unit_vectors(n_labels=n_labels)
        model = Mlp(hidden=hidden, standardise=standardise, max_iter=60)
        estimator = ClassicalClassifier(model, LABELS[:n_labels]).fit({"x": X}, y, groups=speakers)
        (graph,) = estimator.graphs({"x": X})
        session = onnxruntime.InferenceSession(graph.data, providers=["CPUExecutionProvider"])
        asked, _, _ = unit_vectors(seed=1, n_labels=n_labels)
        (logits,) = session.run(["logits"], {"x": asked.values[:, None]})
        expected = estimator.predict_proba({"x": asked})
        np.testing.assert_allclose(softmax(logits / graph.temperature), expected, atol=1e-5)

    def test_logits_and_probabilities_agree(self):
        X, y, _ = unit_vectors()
        fitted = LogitMlp((8,), max_iter=50, random_state=0).fit(X.values, y)
        logits = fitted.decision_function(X.values)
        np.testing.assert_allclose(softmax(logits), fitted.predict_proba(X.values), atol=1e-6)

    def test_soft_labels_count_for_the_largest(self):
        X, y, speakers = unit_vectors()
        columns = np.array([LABELS.index(label) for label in y])
        shares = np.full((len(y), 4), 0.1)
        shares[np.arange(len(y)), columns] = 0.7
        answers = [
            ClassicalClassifier(Mlp(hidden=(8,), max_iter=30, calibrate=False), LABELS)
            .fit({"x": X}, given, groups=speakers)
            .predict_proba({"x": X})
            for given in (y, shares)
        ]
        np.testing.assert_array_equal(*answers)

    def test_windows_of_a_clip_share_its_weight(self):
        X, y, speakers = unit_vectors()
        once = ClassicalClassifier(Mlp(hidden=(16,), max_iter=200, calibrate=False), LABELS)
        once.fit({"x": X}, y, groups=speakers)
        twice = Ragged.from_items([np.repeat(X[i], 1 + i % 2, axis=0) for i in range(len(X))])
        cut = ClassicalClassifier(Mlp(hidden=(16,), max_iter=200, calibrate=False), LABELS)
        cut.fit({"x": twice}, y, groups=speakers)
        assert (cut.predict({"x": X}) == once.predict({"x": X})).mean() > 0.95

    @pytest.mark.parametrize(
        "fields", [{"hidden": ()}, {"hidden": (0,)}, {"max_iter": 0}, {"alpha": -1.0}], ids=str
    )
    def test_refuses(self, fields):
        with pytest.raises(ValidationError, match=next(iter(fields))):
            Mlp(**fields)


BINARY = arrays(
    np.int8, st.tuples(st.integers(1, 12), st.integers(1, 5)), elements=st.integers(0, 1)
)


class TestLegacyValidation:
    def test_counts_a_guess_of_everything_as_right_and_of_nothing_as_wrong(self):
        truth = np.eye(4)[[0, 1, 2, 3]]
        assert any_overlap_share(truth, np.ones((4, 4))) == 1.0
        assert any_overlap_share(truth, np.zeros((4, 4))) == 0.0

    def test_is_the_accuracy_where_each_has_one_label(self, generator):
        truth, guess = generator.integers(0, 4, (2, 50))
        share = any_overlap_share(np.eye(4)[truth], np.eye(4)[guess])
        assert share == pytest.approx((truth == guess).mean())

    @given(truth=BINARY)
    @settings(max_examples=50, deadline=None)
    def test_is_the_formula_as_printed(self, truth):
        guess = np.random.default_rng(truth.size).integers(0, 2, truth.shape)
        printed = np.sum(np.sum(truth.astype(int) & guess, axis=1) > 0) / truth.shape[0]
        assert any_overlap_share(truth, guess) == pytest.approx(printed)

    @pytest.mark.parametrize(
        ("truth", "guess", "message"),
        [
            ([0, 1], [0, 1], "items, labels"),
            ([[1, 0]], [[1, 0, 0]], "items, labels"),
            (np.zeros((0, 4)), np.zeros((0, 4)), "items, labels"),
            ([[2, 0]], [[1, 0]], "0 and 1 only"),
            ([[1, 0]], [[0.5, 0.5]], "0 and 1 only"),
        ],
    )
    def test_refuses(self, truth, guess, message):
        with pytest.raises(ValueError, match=message):
            any_overlap_share(truth, guess)

    def test_is_reported_nowhere(self):
        texts = [path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py")]
        assert not any("evaluation.legacy" in text for text in texts)


def quiet(stage: str, done: int, total: int) -> None:
    """Report to nobody."""


def run_recipe(
    name: str, protocol: str, root: Path, out: Path, *overrides: str, **more: Any
) -> Any:
    recipe = load_recipe(name, overrides=overrides, **more)
    corpus = recipe.task.corpora[0].name
    return runner.run(
        recipe,
        corpora=[f"{corpus}={root}"],
        protocol=protocol,
        seeds=[0],
        out=out,
        command="ullim run toy",
        report=quiet,
    )


SMALL = ("model.hidden=[8]", "model.max_iter=20")


@pytest.fixture
def spoken(toy_corpus, make_speech) -> Callable[[str], Path]:
    """A toy corpus whose recordings are long enough to train on."""

    def build(name: str) -> Path:
        root: Path = toy_corpus(name)
        for seed, file in enumerate(sorted(root.rglob("*.wav"))):
            soundfile.write(file, make_speech(0.3, 16_000, seed=seed), 16_000)
        return root

    return build


class TestMelMeanMlp:
    @pytest.mark.parametrize("name", [n for n in recipe_paths() if n.startswith("mel-mean-mlp")])
    def test_arms_differ_from_the_published_one_as_they_say(self, name):
        recipe = load_recipe(name)
        (feature,) = recipe.features
        assert recipe.model == Mlp(standardise="-log-" in name)
        assert feature == MeanMel128(log="-log-" in name)
        assert recipe.model.hidden == (128, 128)
        assert recipe.model.max_iter == 1000

    @pytest.mark.parametrize("protocol", ["leave-one-speaker-out", "text-disjoint", "random"])
    def test_own_recordings(self, protocol, spoken, tmp_path):
        metrics = run_recipe(
            "mel-mean-mlp-recordings", protocol, spoken("recordings"), tmp_path / "out", *SMALL
        )
        figures = metrics["corpora"]["recordings"]
        assert figures["n"] == (6 if protocol == "random" else 24)
        assert not {"training", "legacy", "overlap"} & set(json.dumps(metrics).split('"'))

    def test_who_speaks_may_come_first_in_the_name(self, spoken):
        override = 'task.corpora.0.options.pattern="{person}_{content}_{emotion}.wav"'
        part = load_recipe("mel-mean-mlp-recordings", overrides=[override]).task.corpora[0]
        root = spoken("recordings")
        speakers = {
            order: {u.speaker for u in loader.load(root)}
            for order, loader in (("content first", Recordings()), ("person first", part.loader()))
        }
        assert speakers == {"content first": {"1", "2", "3"}, "person first": {"1", "2"}}

    def test_too_few_persons_are_sent_to_other_words(self, spoken, tmp_path):
        root = spoken("recordings")
        for file in root.glob("*_[23]_*.wav"):
            file.unlink()
        with pytest.raises(ullim.errors.RecipeError, match="these rows allow: text-disjoint"):
            run_recipe("mel-mean-mlp-recordings", "leave-one-speaker-out", root, tmp_path / "a")
        run_recipe(
            "mel-mean-mlp-recordings",
            "text-disjoint",
            root,
            tmp_path / "b",
            *SMALL,
            "model.calibrate=false",
        )


class TestWav2vecVsIs10:
    @pytest.fixture
    def weights(self, tmp_path) -> Path:
        pytest.importorskip("safetensors", reason='needs pip install "ullim[ssl]"')
        import torch

        from ullim.features import _wav2vec as networks

        torch.manual_seed(0)
        shape = networks.Shape(
            encoder=((8, 10, 5), (8, 8, 4), (8, 4, 4)), aggregator=((8, 2, 1), (8, 3, 1))
        )
        path = tmp_path / "tiny.safetensors"
        networks.save(networks.Wav2VecNetwork(shape), path)
        return path

    @pytest.mark.parametrize("corpus", ["emodb", "emotiontts-ko"])
    def test_arms_share_task_and_protocols(self, corpus):
        arms = [load_recipe(f"is10-{model}-{corpus}") for model in ("svm", "mlp")]
        arms += [
            load_recipe(f"wav2vec-{corpus}", profile=profile)
            for profile in ("full", "mlp", "both", "both-mlp")
        ]
        assert len({repr((arm.task, arm.protocols)) for arm in arms}) == 1
        told = [([f.name for f in arm.features], arm.model.name) for arm in arms]
        assert told == [
            (["opensmile"], "linear-svm"),
            (["opensmile"], "mlp"),
            (["wav2vec"], "linear-svm"),
            (["wav2vec"], "mlp"),
            (["wav2vec", "opensmile"], "linear-svm"),
            (["wav2vec", "opensmile"], "mlp"),
        ]
        assert [arm.status for arm in arms] == ["method-only"] * 2 + ["needs-weights"] * 4

    @pytest.mark.parametrize("profile", ["full", "mlp", "both-mlp"])
    def test_runs_with_a_local_checkpoint(self, profile, weights, spoken, tmp_path):
        if profile.startswith("both"):
            pytest.importorskip("opensmile", reason="needs the opensmile extra")
        small = SMALL if "mlp" in profile else ("model.C=[0.01]",)
        metrics = run_recipe(
            "wav2vec-emodb",
            "random",
            spoken("emodb"),
            tmp_path / "out",
            f"features.0.path={weights}",
            *small,
            profile=profile,
        )
        assert metrics["corpora"]["emodb"]["n"] > 0

    def test_missing_weights_say_where_to_get_them(self, spoken, tmp_path, monkeypatch, run):
        root = spoken("emodb")
        monkeypatch.chdir(tmp_path)
        line = ["run", "wav2vec-emodb", "--protocol", "random", "--corpus", f"emodb={root}"]
        outcome = run(*line, "--no-cache")
        assert outcome.code != 0
        for word in ("wav2vec_large.pt", "fairseq", "--set features.0.path=FILE"):
            assert word in outcome.said


class TestBundleOfOpenSmile:
    @pytest.fixture
    def folder(self, tmp_path) -> Path:
        """A bundle over IS10, with an untrained perceptron."""
        feature = OpenSmile(set="is10")
        X = Ragged.from_items(
            list(np.random.default_rng(0).normal(size=(12, 1, 1582)).astype(np.float32))
        )
        estimator = ClassicalClassifier(Mlp(hidden=(4,), max_iter=2, calibrate=False), LABELS)
        estimator.fit({"opensmile": X}, list(LABELS) * 3, groups=[f"s{i // 4}" for i in range(12)])
        (graph,) = estimator.graphs({"opensmile": X})
        manifest = bundle.Manifest(
            schema_version=bundle.SCHEMA_VERSION,
            name="is10",
            title="A toy",
            labels=LABELS,
            inputs=(bundle.InputSpec(**feature.identity()),),
            graphs=(bundle.GraphSpec(file="mlp.onnx", inputs=("opensmile",), opset=18),),
            window=load_recipe("is10-mlp-emodb").window,
            decision=load_recipe("is10-mlp-emodb").decision,
            calibration=bundle.Calibration(temperature=1.0, fitted_on="nobody"),
            reject_threshold=0.0,
            licence="CC0 1.0",
            trained_on=(),
        )
        return bundle.write(tmp_path / "is10", manifest, {"mlp.onnx": graph.data}, "# A toy\n")

    def test_answers(self, folder, make_speech):
        pytest.importorskip("opensmile", reason="needs the opensmile extra")
        answer = Predictor.from_folder(folder).predict(make_speech(1.0), 16_000)
        assert set(answer.scores) == set(LABELS)

    def test_without_the_library_the_extra_is_named(self, folder, make_speech, monkeypatch, run):
        monkeypatch.setitem(sys.modules, "opensmile", None)
        opensmile_module._smile.cache_clear()
        with pytest.raises(MissingExtraError, match=r'pip install "ullim\[opensmile\]"'):
            Predictor.from_folder(folder).predict(make_speech(1.0), 16_000)
        outcome = run("predict", ullim.demo_clip(), "--model", folder)
        assert outcome.code != 0
        assert 'pip install "ullim[opensmile]"' in " ".join([*outcome.out.split(), outcome.said])
