"""Speakers made alike: right mappings, no say of test rows, and runs that say what they used."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the training extra")

from scipy.stats import rankdata

from ullim.models import Classical
from ullim.models.fusion import Fusion, Member
from ullim.models.linear import LinearSvm, LogisticRegression
from ullim.training.classical import ClassicalClassifier
from ullim.training.make import make_classifier
from ullim.training.speakers import HistogramEqualizer, SpeakerStandardizer
from ullim.types import Ragged

EVERY = pytest.mark.parametrize(
    "make", [HistogramEqualizer, SpeakerStandardizer], ids=["histogram", "z-score"]
)
NORMALISATIONS = pytest.mark.parametrize("normalisation", ["z-score", "histogram"])


def of_speakers(n_each=30, n_speakers=4, seed=0):
    """Return rows, labels and speakers; each speaker is far from the others and as wide."""
    generator = np.random.default_rng(seed)
    speakers = np.repeat([f"s{i}" for i in range(n_speakers)], n_each)
    labels = np.tile(["anger", "neutral"], n_each * n_speakers // 2)
    X = generator.normal(0, 0.5, (len(labels), 3))
    X[:, 0] += labels == "anger"
    shift = generator.normal(0, 20, (n_speakers, 3))
    return X + np.repeat(shift, n_each, axis=0), labels, speakers


def ragged(X):
    return {"x": Ragged.from_items([row[None].astype(np.float32) for row in X])}


class TestHistogramEqualizer:
    def test_by_hand(self):
        # The speaker's 0, 1, 2 are the least, the middle and the greatest; so are 10, 20 and 90.
        equalizer = HistogramEqualizer(n_quantiles=3, min_rows=3)
        equalizer.fit([[10.0], [20.0], [90.0]])
        found = equalizer.transform([[2.0], [0.0], [1.0]], groups=["new"] * 3)
        assert found.ravel().tolist() == [90.0, 10.0, 20.0]

    def test_golden_ranks_of_scipy(self, generator):
        """With as many quantiles as rows, a row of rank r becomes the reference's r-th."""
        reference, rows = generator.exponential(size=(50, 2)), generator.normal(3, 9, (50, 2))
        equalizer = HistogramEqualizer(n_quantiles=50, min_rows=50).fit(reference)
        expected = np.take_along_axis(
            np.sort(reference, axis=0), rankdata(rows, axis=0).astype(int) - 1, axis=0
        )
        found = equalizer.transform(rows, groups=np.zeros(50))
        np.testing.assert_allclose(found, expected, rtol=1e-5)


class TestBySpeaker:
    def test_golden_z_score(self, generator):
        X, own = generator.normal(5, 2, (40, 3)), generator.normal(-9, 7, (25, 3))
        found = SpeakerStandardizer().fit(X).transform(own, groups=["a"] * 25)
        np.testing.assert_allclose(found.mean(axis=0), X.mean(axis=0))
        np.testing.assert_allclose(found.std(axis=0), X.std(axis=0))

    @EVERY
    def test_each_speaker_gets_the_distribution_of_all(self, make):
        X, _, speakers = of_speakers()
        fitted = make().fit(X, groups=speakers)
        found = fitted.transform(X, groups=speakers)
        for speaker in np.unique(speakers):
            rows = found[speakers == speaker]
            np.testing.assert_allclose(rows.mean(axis=0), X.mean(axis=0), atol=1.5)
        assert fitted.untouched_ == []

    @EVERY
    def test_few_rows_stay_as_they_are_and_are_named(self, make):
        X, _, speakers = of_speakers()
        fitted = make().fit(X, groups=speakers)
        rows = np.r_[X[:19] + 7, X[:20] + 3]
        found = fitted.transform(rows, groups=["few"] * 19 + ["enough"] * 20)
        assert fitted.untouched_ == ["few"]
        np.testing.assert_array_equal(found[:19], rows[:19])
        assert (found[19:] != rows[19:]).any()

    @EVERY
    def test_without_speakers_nothing_changes(self, make):
        X, _, speakers = of_speakers()
        np.testing.assert_array_equal(make().fit(X, groups=speakers).transform(X), X)

    @EVERY
    def test_a_speaker_of_training_is_mapped_as_learned(self, make):
        X, _, speakers = of_speakers()
        fitted = make().fit(X, groups=speakers)
        alone = fitted.transform(X[:1], groups=speakers[:1])
        np.testing.assert_allclose(alone, fitted.transform(X, groups=speakers)[:1])

    @EVERY
    def test_names_of_any_length_are_told_apart(self, make):
        X, _, _ = of_speakers(n_speakers=1)
        fitted = make().fit(X, groups=["s1-with-a-long-name"] * 30)
        found = fitted.transform(X + 100, groups=np.array(["s1"] * 30))
        assert np.abs(found.mean(axis=0) - X.mean(axis=0)).max() < 1


class TestClassical:
    @NORMALISATIONS
    def test_helps_where_speakers_are_apart(self, normalisation):
        X, y, speakers = of_speakers(n_speakers=6)
        train = speakers != "s5"
        model = LogisticRegression(normalisation=normalisation)
        fitted = ClassicalClassifier(model, seed=1).fit(
            ragged(X[train]), y[train], groups=speakers[train]
        )
        test = ragged(X[~train])
        right = (
            fitted.classes_[fitted.predict_proba(test, groups=speakers[~train]).argmax(axis=1)]
            == y[~train]
        )
        assert right.mean() > 0.75
        alone = (fitted.predict(test) == y[~train]).mean()
        assert alone < 0.7
        assert fitted.transductive

    @NORMALISATIONS
    def test_test_rows_have_no_say_but_in_their_own_mapping(self, normalisation):
        X, y, speakers = of_speakers(n_speakers=6)
        train = speakers != "s5"
        model = LinearSvm(normalisation=normalisation, C=(0.01,))
        fitted = ClassicalClassifier(model).fit(ragged(X[train]), y[train], speakers[train])
        before = fitted.fitted_.coef_.copy(), fitted.standard_.mean.copy(), fitted.temperature_
        fitted.predict_proba(ragged(X[~train] * 50), groups=speakers[~train])
        np.testing.assert_array_equal(fitted.fitted_.coef_, before[0])
        np.testing.assert_array_equal(fitted.standard_.mean, before[1])
        # A speaker's own mean and scale are taken away, so that moving all the rows does nothing.
        one, two = (
            fitted.predict_proba(ragged(rows), groups=speakers[~train])
            for rows in (X[~train], X[~train] * 3 + 10)
        )
        np.testing.assert_allclose(one, two, atol=1e-3)

    @NORMALISATIONS
    def test_inner_folds_treat_validation_speakers_as_test_speakers(self, normalisation):
        X, y, speakers = of_speakers(n_speakers=6)
        model = LogisticRegression(normalisation=normalisation, C=(0.1,))
        helped, alone = (
            ClassicalClassifier(model, alone=alone).fit(ragged(X), y, speakers)
            for alone in (False, True)
        )
        assert helped.choice_[0] > 0.75 > alone.choice_[0]
        assert not alone.transductive
        # Told the speakers or not, a classifier for a bundle answers each clip by itself.
        np.testing.assert_array_equal(
            alone.predict_proba(ragged(X), groups=speakers), alone.predict_proba(ragged(X))
        )

    @NORMALISATIONS
    def test_the_graph_answers_a_clip_by_itself(self, normalisation):
        X, y, speakers = of_speakers()
        model = LogisticRegression(normalisation=normalisation)
        fitted = ClassicalClassifier(model).fit(ragged(X), y, speakers)
        (graph,) = fitted.graphs(ragged(X))
        assert graph.inputs == ("x",)

    def test_speakers_with_few_clips_are_named_in_the_log(self):
        X, y, speakers = of_speakers()
        model = LinearSvm(normalisation="histogram", C=(0.01,))
        fitted = ClassicalClassifier(model).fit(ragged(X), y, speakers)
        assert "too few" not in fitted.summary()
        fitted.predict_proba(ragged(X[:5]), groups=["stranger"] * 5)
        assert "too few clips to normalise: stranger" in fitted.summary()

    def test_a_fusion_tells_the_speakers_to_who_wants_them(self):
        X, y, speakers = of_speakers(n_speakers=5)
        train = speakers != "s4"
        members = [LogisticRegression(normalisation="z-score"), LogisticRegression()]
        model = Fusion(members=tuple(Member(model=member) for member in members))
        assert model.transductive
        made = [
            make_classifier(each, hops={"x": float("inf")}, classes=("anger", "neutral")).fit(
                ragged(X[train]), y[train], speakers[train]
            )
            for each in (model, *members)
        ]
        asked, groups = ragged(X[~train]), speakers[~train].tolist()
        fused = made[0].predict_proba(asked, groups=groups)
        parts = [made[1].predict_proba(asked, groups=groups), made[2].predict_proba(asked)]
        np.testing.assert_allclose(fused, np.mean(parts, axis=0))

    def test_only_who_normalises_is_transductive(self):
        assert not LinearSvm().transductive
        assert LinearSvm(normalisation="z-score").transductive
        assert issubclass(LinearSvm, Classical)


# Notices of Lightning about small data, which a toy cannot avoid.
@pytest.mark.filterwarnings("ignore::UserWarning:lightning.*", "ignore::DeprecationWarning")
class TestRun:
    """Eight clips of each of three voices by four toy speakers, run and shipped."""

    @pytest.fixture(scope="class")
    def recipe(self):
        pytest.importorskip("torch")
        from ullim.recipes.schema import load_recipe

        return load_recipe(
            "histogram-equalization-emodb",
            profile="z-score",
            overrides=[
                "task.labels=[neutral, sadness, anger]",
                "features.0.n_mfcc=6",
                "model.C=[0.01]",
                "protocols=[{name: speaker-kfold, n_folds: 2}]",
            ],
        )

    @pytest.fixture(scope="class")
    def emodb(self, tmp_path_factory, make_speech):
        soundfile = pytest.importorskip("soundfile")
        root = tmp_path_factory.mktemp("corpora") / "emodb"
        (root / "wav").mkdir(parents=True)
        for number, speaker in enumerate(("03", "08", "09", "10")):
            for letter, f0_hz in {"N": 130.0, "T": 95.0, "W": 300.0}.items():
                for take in range(8):
                    samples = make_speech(
                        0.4, f0_hz=f0_hz * (1 + 0.04 * number), seed=take + 10 * number
                    )
                    name = f"{speaker}a{take + 1:02}{letter}a.wav"
                    soundfile.write(root / "wav" / name, samples, 16_000)
        return root

    def run(self, recipe, emodb, out, **arguments):
        import json

        from ullim.recipes import runner

        runner.run(
            recipe,
            corpora=[f"emodb={emodb}"],
            protocol="speaker-kfold",
            seeds=[0],
            out=out,
            command="ullim run toy",
            report=lambda stage, done, total: None,
            **arguments,
        )
        details = json.loads((out / "run.json").read_text(encoding="utf-8"))
        return details, (out / "predictions.csv").read_text(encoding="utf-8")

    def test_says_whether_it_is_transductive(self, recipe, emodb, tmp_path):
        helped, answers = self.run(recipe, emodb, tmp_path / "helped")
        alone, others = self.run(recipe, emodb, tmp_path / "alone", alone=True)
        plain = recipe.model_copy(update={"model": LinearSvm(C=(0.01,))})
        without, _ = self.run(plain, emodb, tmp_path / "plain")
        assert helped["transductive"] is True
        assert alone["transductive"] is False
        assert "transductive" not in without
        assert answers != others

    def test_a_bundle_states_figures_of_clips_answered_alone(self, recipe, emodb, tmp_path):
        import json

        from ullim import bundle
        from ullim.errors import RecipeError
        from ullim.inference.predictor import Predictor
        from ullim.recipes import ship

        def train(**arguments):
            return ship.train(
                recipe,
                corpora=[f"emodb={emodb}"],
                out=tmp_path / "bundle",
                figures=[],
                seed=0,
                command="ullim train toy",
                report=lambda stage, done, total: None,
                **arguments,
            )

        self.run(recipe, emodb, tmp_path / "helped")
        with pytest.raises(RecipeError, match="transductive") as caught:
            train(runs=[tmp_path / "helped"])
        assert caught.value.code == "transductive"
        folder = train(runs=[])
        own = json.loads((tmp_path / "bundle.run" / "run.json").read_text(encoding="utf-8"))
        assert own["transductive"] is False
        assert bundle.load(folder).manifest.figures
        answer = Predictor(bundle.load(folder)).predict(emodb / "wav" / "03a01Wa.wav")
        assert answer.status in {"ok", "uncertain", "ambiguous", "no_speech"}
