"""From segments to a bundle: what training makes of pieces; that a predictor answers as a run does.

Label, shares of the votes and confidence are compared with what a run computes by the same network,
on clips with silence in them.
"""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import yaml

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("sklearn")

from sklearn.utils.class_weight import compute_class_weight  # noqa: E402

from ullim import bundle  # noqa: E402
from ullim.decision import RULES, Decision, item_means, vote_shares  # noqa: E402
from ullim.errors import RecipeError  # noqa: E402
from ullim.evaluation.predictions import FACTS, Predictions, from_columns  # noqa: E402
from ullim.features import Feature  # noqa: E402
from ullim.features.image import SpectrogramImages  # noqa: E402
from ullim.inference import timeline  # noqa: E402
from ullim.inference.predictor import Predictor  # noqa: E402
from ullim.models import OPSET  # noqa: E402
from ullim.models.park2018 import Park2018  # noqa: E402
from ullim.recipes.schema import load_recipe, parse_recipe  # noqa: E402
from ullim.training.estimator import NetworkClassifier  # noqa: E402
from ullim.training.network import Fitting  # noqa: E402
from ullim.training.options import Hardware, Training  # noqa: E402
from ullim.training.segments import pieces  # noqa: E402
from ullim.types import FloatArray, Ragged  # noqa: E402
from ullim.window import Window  # noqa: E402

PARK = "park2018-spectrogram-cnn"
PICTURES = SpectrogramImages(segment_frames=16, range_db=80, colour_map="jet")
NET = Park2018(
    picture=(2, 3, 2),
    channels=(3, 4, 4),
    kernels=(3, 3, 3),
    strides=(1, 1, 1),
    hidden=16,
    dropout=0.0,
)
PLAIN = {
    "validation_share": 0.0, "optimiser": "sgd", "schedule": "constant", "learning_rate": 0.05,
    "mixup": 0.0, "label_smoothing": 0.0, "spec_augment": None, "average_decay": 0.0,
    "batch_size": 8, "epochs": 8,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def toy(n: int = 24, frames_each: int = 1):
    """Return clips of 2 to 9 pieces in which a class shows in one value, and their labels."""
    generator = np.random.default_rng(0)
    items, labels = [], []
    for row in range(n):
        label = ("neutral", "anger", "fear")[row % 3]
        clip = generator.normal(0, 0.3, (int(generator.integers(2, 10)) * frames_each, 12))
        clip[:, row % 3 :: 3] += 1.5
        items.append(clip.astype(np.float32))
        labels.append(label)
    return {"picture": Ragged.from_items(items)}, labels


def fitted(rule: str = "park2018", **changes) -> tuple[NetworkClassifier, dict[str, Ragged]]:
    X, y = toy()
    classifier = NetworkClassifier(
        NET,
        Training(**(PLAIN | changes)),
        Window(mode="segments", length_s=0.16),
        feature_hop_s=0.16,
        hardware=Hardware(accelerator="cpu"),
        decision=Decision(rule=rule),
    )
    return classifier.fit(X, y, groups=[str(n % 4) for n in range(len(y))]), X


class TestPieces:
    def test_hold_the_clip_in_order_without_its_tail(self):
        clips = [np.arange(n, dtype=np.float32)[:, None] for n in (7, 3, 2)]
        (cut,), counts = pieces(
            [Ragged.from_items(clips)], Window(mode="segments", length_s=0.3), 0.1
        )
        assert counts.tolist() == [2, 1, 1]
        assert [cut[k].ravel().tolist() for k in range(4)] == [
            [0, 1, 2],
            [3, 4, 5],
            [0, 1, 2],
            [0, 1],
        ]

    def test_a_rendering_of_another_length_keeps_the_rows(self):
        clean = Ragged.from_items([np.arange(6, dtype=np.float32)[:, None]])
        slow = Ragged.from_items([np.arange(8, dtype=np.float32)[:, None]])
        quick = Ragged.from_items([np.arange(4, dtype=np.float32)[:, None]])
        window = Window(mode="segments", length_s=2)
        (a, b, c), counts = pieces([clean, slow, quick], window, 1.0)
        assert counts.tolist() == [3]
        assert len(a) == len(b) == len(c) == 3
        assert [c[k].ravel().tolist() for k in range(3)] == [[0, 1], [2, 3], [2, 3]]


class TestEstimator:
    def test_class_weights_are_of_the_pieces(self, monkeypatch):
        seen = {}
        built = Fitting.__init__

        def spy(self, *given, **named):
            built(self, *given, **named)
            seen["weights"] = self.class_weights.numpy()
            seen["truth"] = self.targets.argmax(axis=1)

        monkeypatch.setattr(Fitting, "__init__", spy)
        _, X = fitted(epochs=1)
        counts = X["picture"].lengths
        assert len(seen["truth"]) == counts.sum()
        theirs = compute_class_weight("balanced", classes=np.arange(3), y=seen["truth"])
        np.testing.assert_allclose(seen["weights"], theirs, rtol=1e-5)

    def test_pieces_vote_and_the_label_follows_the_rule(self):
        classifier, X = fitted()
        each, counts = classifier.predict_windows(X)
        np.testing.assert_array_equal(counts, X["picture"].lengths)
        np.testing.assert_allclose(classifier.predict_proba(X), item_means(each, counts), atol=1e-7)
        shares = vote_shares(each, counts)
        columns = classifier.decision.choose(
            item_means(each, counts), shares, classifier.classes_.tolist()
        )
        np.testing.assert_array_equal(classifier.predict(X), classifier.classes_[columns])
        assert (classifier.predict(X) == toy()[1]).mean() > 0.9

    def test_speakers_are_kept_apart_for_validation(self):
        classifier, X = fitted(validation_share=0.3, epochs=1)
        speaker = np.repeat(np.arange(24) % 4, X["picture"].lengths)
        (held_out,) = classifier.validation_rows_
        assert len(held_out)
        others = np.setdiff1d(np.arange(len(speaker)), held_out)
        assert not set(speaker[held_out]) & set(speaker[others])

    def test_a_rule_changes_labels_and_no_probability(self):
        one, X = fitted("park2018", epochs=1)
        other, _ = fitted("mean_probability", epochs=1)
        np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
        most = other.predict_proba(X).argmax(axis=1)
        np.testing.assert_array_equal(other.predict(X), other.classes_[most])


class TestRecipe:
    def test_the_rule_is_part_of_what_a_run_is(self):
        recipe = load_recipe(PARK)
        assert recipe.identity()["decision"] == {"rule": "park2018", "vote_share": 0.3}
        assert "decision" not in load_recipe("cnn-emodb").identity()
        other = load_recipe(PARK, overrides=["decision.rule=mean_probability"])
        assert other.identity() != recipe.identity()
        assert other.counts_votes

    def test_a_vote_needs_a_network_and_park_needs_neutral(self):
        plain = yaml.safe_load(load_recipe("mfcc-svm-emodb").to_yaml())
        plain["decision"]["rule"] = "majority"
        with pytest.raises(RecipeError, match="one network vote"):
            parse_recipe(plain, "toy")
        park = yaml.safe_load(load_recipe(PARK).to_yaml())
        park["task"] = {"labels": ["anger", "fear"], "corpora": [{"name": "emodb"}]}
        with pytest.raises(RecipeError, match="falls back on neutral"):
            parse_recipe(park, "toy")


def with_silence(make_speech, seed: int) -> FloatArray:
    """Return a voice after silence, and again after more."""
    pauses = [np.zeros(round(16_000 * s), np.float32) for s in (0.6, 1.4 + 0.3 * seed, 1.1)]
    voices = [make_speech(0.9, f0_hz=90 + 70 * part, tilt=1 + part, seed=seed) for part in (0, 2)]
    return np.concatenate([pauses[0], voices[0], pauses[1], voices[1], pauses[2]])


def of_a_run(
    classifier: NetworkClassifier, feature: Feature, clips: list[FloatArray], decision: Decision
) -> Predictions:
    """Return what a run writes down of clips: the arithmetic of one of its folds."""
    items = {feature.name: Ragged.from_items([feature.extract(clip) for clip in clips])}
    each, counts = classifier.predict_windows(items)
    return from_columns(
        tuple(classifier.classes_.tolist()),
        item_means(each, counts),
        np.zeros(len(clips), np.int64),
        dict.fromkeys(FACTS, ["x"] * len(clips)),
        vote_shares(each, counts),
        decision,
    )


def assert_answers_as(
    run: Predictions, predictor: Predictor, clips: list[FloatArray], monkeypatch
) -> None:
    """Compare a predictor's answers with a run's, shares of the votes included."""
    answers = []
    decide = timeline.decide

    def spy(*given, **named):
        answers.append(decide(*given, **named))
        return answers[-1]

    monkeypatch.setattr(timeline, "decide", spy)
    assert predictor.labels == run.labels
    for row, clip in enumerate(clips):
        said = predictor.predict(clip, 16_000)
        assert said.label == run.labels[run.guess[row]]
        assert said.confidence == pytest.approx(run.confidence[row], abs=1e-4)
        assert list(said.scores.values()) == pytest.approx(run.probabilities[row], abs=1e-4)
        np.testing.assert_allclose(answers[-1].shares, run.shares[row], atol=1e-4)


@pytest.fixture(scope="module")
def classifier(make_speech) -> NetworkClassifier:
    """A small network that tells a low voice from a high one."""
    labels = ("neutral", "anger", "sadness") * 4
    voices = [
        make_speech(0.7, f0_hz=90 + 70 * (row % 3), tilt=1 + row % 3, seed=row)
        for row in range(len(labels))
    ]
    classifier = NetworkClassifier(
        NET.model_copy(update={"picture": (16, 256, 3), "strides": (4, 1, 1)}),
        Training(**(PLAIN | {"epochs": 3})),
        Window(mode="segments", length_s=0.16),
        feature_hop_s=PICTURES.hop_s,
        hardware=Hardware(accelerator="cpu"),
    )
    pictures = Ragged.from_items([PICTURES.extract(voice) for voice in voices])
    return classifier.fit({PICTURES.name: pictures}, labels)


@pytest.fixture(scope="module")
def served(classifier, make_speech, tmp_path_factory):
    """Makes a predictor of the classifier: ``served(decision)``."""
    pictures = PICTURES.extract(make_speech(1.0))
    graphs = classifier.graphs({PICTURES.name: Ragged.from_items([pictures])})

    def make(decision: Decision) -> Predictor:
        manifest = bundle.Manifest(
            schema_version=bundle.SCHEMA_VERSION,
            name="toy",
            title="A toy",
            labels=tuple(classifier.classes_.tolist()),
            inputs=(bundle.InputSpec(**PICTURES.identity()),),
            graphs=tuple(
                bundle.GraphSpec(file=f"{graph.name}.onnx", inputs=graph.inputs, opset=OPSET)
                for graph in graphs
            ),
            window=classifier.window,
            decision=decision,
            calibration=bundle.Calibration(temperature=1.0, fitted_on="nobody"),
            reject_threshold=0.0,
            licence="CC0 1.0",
            trained_on=(),
        )
        data = {f"{graph.name}.onnx": graph.data for graph in graphs}
        return Predictor.from_folder(
            bundle.write(tmp_path_factory.mktemp("served") / "toy", manifest, data, "# A toy\n")
        )

    return make


class TestAnswers:
    @pytest.mark.parametrize("rule", RULES)
    def test_count_the_pieces_in_pauses_as_a_run_does(
        self, rule, classifier, served, make_speech, monkeypatch
    ):
        decision = Decision(rule=rule)
        clips = [with_silence(make_speech, seed) for seed in range(4)]
        clips += [make_speech(1.0, seed=9), make_speech(2560 / 16_000 * 7.5, f0_hz=230)]
        run = of_a_run(classifier, PICTURES, clips, decision)
        assert_answers_as(run, served(decision), clips, monkeypatch)

    def test_keep_quiet_where_nobody_speaks(self, served, make_speech):
        predictor = served(Decision(rule="park2018"))
        click = np.zeros(32_000, np.float32)
        click[16_000] = 0.5
        silent = predictor.predict(click, 16_000)
        assert (silent.status, silent.label, silent.scores) == ("no_speech", None, {})
        segments = predictor.predict(with_silence(make_speech, 3), 16_000).segments
        assert any(segment.label is None for segment in segments)
        assert any(segment.label is not None for segment in segments)


@pytest.mark.slow
def test_a_run_scores_every_rule_and_a_bundle_answers_by_its_own(
    tmp_path, make_speech, monkeypatch
):
    """Recipe to run folder to bundle to predictor, in small, on speech-like sounds."""
    from ullim.recipes import ship
    from ullim.recipes.fold import fit
    from ullim.recipes.runner import run
    from ullim.recipes.ship import train

    root = tmp_path / "own"
    root.mkdir()
    letters = {"N": "neutral", "A": "anger", "S": "sadness"}
    for person in range(1, 5):
        for take in (1, 2):
            for number, letter in enumerate(letters):
                tone = make_speech(
                    0.5 + 0.17 * take, f0_hz=90 + 70 * number, tilt=1 + number, seed=person
                )
                soundfile.write(root / f"{take}_{person}_{letter}.wav", tone, 16_000)
    file = tmp_path / "toy.yaml"
    recipe = yaml.safe_load(load_recipe(PARK).to_yaml())
    recipe |= {
        "name": "toy",
        "task": {"labels": list(letters.values()), "corpora": [{"name": "recordings"}]},
        "protocols": [{"name": "speaker-kfold", "n_folds": 2}],
    }
    recipe["model"] |= {"channels": [6, 8, 8], "hidden": 16, "dropout": 0.0}
    recipe["training"] |= {"epochs": 3, "batch_size": 8}
    file.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    loaded = load_recipe(file)
    corpora = [f"recordings={root}"]

    def quiet(stage: str, done: int, total: int) -> None: ...

    metrics = run(
        loaded, corpora=corpora, protocol="speaker-kfold", seeds=[0], out=tmp_path / "run",
        command="ullim run toy", report=quiet,
    )  # fmt: skip
    figures = metrics["corpora"]["recordings"]
    assert set(figures["decision"]["by_rule"]) == {"mean_probability", "majority", "park2018"}
    assert (
        figures["decision"]["by_rule"]["park2018"]["weighted_accuracy"]["value"]
        == figures["weighted_accuracy"]["value"]
    )
    fits = []
    monkeypatch.setattr(ship, "fit", lambda *given: fits.append(fit(*given)) or fits[-1])
    folder = train(
        loaded, corpora=corpora, out=tmp_path / "bundle", runs=[tmp_path / "run"], figures=[],
        seed=0, command="ullim train toy", report=quiet,
    )  # fmt: skip
    predictor = Predictor.from_folder(folder)
    manifest = predictor.bundle.manifest
    assert manifest.decision.rule == "park2018"
    assert manifest.window.mode == "segments"
    # Nothing to warn of: an answer counts what the figures count.
    assert "in which somebody speaks" not in (folder / bundle.CARD).read_text(encoding="utf-8")
    (feature,) = predictor.bundle.features.values()
    clips = [soundfile.read(path, dtype="float32")[0] for path in sorted(root.glob("1_*.wav"))]
    clips += [with_silence(make_speech, seed) for seed in range(2)]
    assert_answers_as(
        of_a_run(fits[0], feature, clips, manifest.decision), predictor, clips, monkeypatch
    )
    for signal in clips:
        # Pieces are cut from the feature of the whole clip, as training cuts them.
        pictures = feature.extract(signal)
        starts, _, each = predictor._windows([signal])
        assert len(starts) == len(each) == len(pictures)
        assert starts.tolist() == [2560 * place for place in range(len(pictures))]
