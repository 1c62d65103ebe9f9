"""Classical models and fusions: right answers, inner choice, masks, graphs that agree."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the training extra")

import onnxruntime
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression as Theirs

from ullim import registry
from ullim.errors import NotFittedError, TrainingError
from ullim.models import Classical
from ullim.models.dilated_cnn import DilatedCnn
from ullim.models.fusion import Fusion, Member
from ullim.models.linear import LinearSvm, LogisticRegression, MaskedLogisticRegression
from ullim.training.classical import ClassicalClassifier
from ullim.training.classifier import softmax, target_matrix
from ullim.training.make import make_classifier
from ullim.training.options import Hardware, Training
from ullim.types import Ragged
from ullim.window import Window

CLASSICAL = {
    name: cls for name, cls in registry.components("models").items() if issubclass(cls, Classical)
}
EVERY_CLASSICAL = pytest.mark.parametrize("cls", CLASSICAL.values(), ids=CLASSICAL)
LABELS = ("neutral", "anger", "fear")


def clips(n=60, n_features=6, seed=0, windows=(1, 3)):
    """Return clips of one to two windows, their labels and speakers; labels can be told apart."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, n)
    centres = np.random.default_rng(99).normal(0, 2, (3, n_features))
    items = [
        (centres[label] + generator.normal(size=(generator.integers(*windows), n_features))).astype(
            np.float32
        )
        for label in labels
    ]
    speakers = [f"s{i % 6}" for i in range(n)]
    return Ragged.from_items(items), [LABELS[label] for label in labels], speakers


class TestMaskedLogisticRegression:
    def data(self):
        generator = np.random.default_rng(3)
        X = generator.normal(size=(90, 5))
        y = (X @ generator.normal(size=(5, 4)) + generator.normal(size=(90, 4))).argmax(axis=1)
        return X, y

    @pytest.mark.parametrize("C", [0.01, 1.0])
    @pytest.mark.parametrize("balanced", [False, True])
    def test_golden_scikit_learn(self, C, balanced):
        X, y = self.data()
        theirs = Theirs(C=C, class_weight="balanced" if balanced else None, tol=1e-8, max_iter=5000)
        theirs.fit(X, y)
        ours = MaskedLogisticRegression(C=C, balanced=balanced).fit(X, y)
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=2e-4)
        assert (ours.predict(X) == theirs.predict(X)).all()

    def test_soft_labels_equal_weighted_copies(self):
        X, y = self.data()
        shares = np.full((90, 4), 0.1)
        shares[np.arange(90), y] = 0.7
        copies = MaskedLogisticRegression(C=0.1, balanced=False).fit(
            np.repeat(X, 4, axis=0), np.tile(np.arange(4), 90), shares.ravel()
        )
        soft = MaskedLogisticRegression(C=0.1, balanced=False).fit(X, shares)
        np.testing.assert_allclose(soft.coef_, copies.coef_, atol=1e-3)

    def test_a_class_that_is_never_offered_is_not_learned_against(self):
        X, y = self.data()
        targets = np.eye(4)[y]
        seen = targets[y != 3].copy()
        masked = seen.copy()
        masked[:, 3] = np.nan
        among = MaskedLogisticRegression(C=1.0, balanced=False).fit(X[y != 3], masked)
        alone = MaskedLogisticRegression(C=1.0, balanced=False).fit(X[y != 3], seen[:, :3])
        np.testing.assert_allclose(among.coef_[:, :3], alone.coef_, atol=1e-3)
        assert np.abs(among.coef_[:, 3]).max() < 1e-6


class TestEveryClassical:
    @EVERY_CLASSICAL
    def test_learns_what_can_be_told_apart(self, cls):
        X, y, speakers = clips()
        test, truth, _ = clips(seed=1)
        estimator = ClassicalClassifier(cls(), classes=LABELS).fit({"x": X}, y, groups=speakers)
        probabilities = estimator.predict_proba({"x": test})
        assert probabilities.shape == (60, 3)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
        assert (estimator.predict({"x": test}) == np.array(truth)).mean() > 0.8
        assert estimator.setting_ in cls().candidates()
        assert len(estimator.choice_) == len(cls().candidates())
        assert cls().name in estimator.summary()

    @EVERY_CLASSICAL
    def test_graph_says_the_same(self, cls):
        X, y, speakers = clips()
        estimator = ClassicalClassifier(cls(), classes=LABELS).fit({"x": X}, y, groups=speakers)
        (graph,) = estimator.graphs({"x": X})
        session = onnxruntime.InferenceSession(graph.data, providers=["CPUExecutionProvider"])
        (logits,) = session.run(["logits"], {"x": X.values[:, None]})
        each = softmax(logits / graph.temperature)
        expected = estimator.predict_proba({"x": X})
        first = np.cumsum([0, *X.lengths[:-1]])
        answered = np.add.reduceat(each, first, axis=0) / X.lengths[:, None]
        np.testing.assert_allclose(answered, expected, atol=1e-4)

    @EVERY_CLASSICAL
    def test_equal_seeds_give_equal_answers(self, cls):
        X, y, speakers = clips()
        one, two = (
            ClassicalClassifier(cls(), classes=LABELS, seed=5).fit({"x": X}, y, groups=speakers)
            for _ in range(2)
        )
        np.testing.assert_array_equal(one.predict_proba({"x": X}), two.predict_proba({"x": X}))

    @EVERY_CLASSICAL
    def test_a_class_without_rows_is_never_answered(self, cls):
        X, y, speakers = clips()
        rows = [i for i, label in enumerate(y) if label != "fear"]
        estimator = ClassicalClassifier(cls(), classes=LABELS).fit(
            {"x": X.take(rows)}, [y[i] for i in rows], groups=[speakers[i] for i in rows]
        )
        assert "fear" not in estimator.predict({"x": X})

    @EVERY_CLASSICAL
    def test_fields_survive_json(self, cls):
        assert cls.model_validate_json(cls().model_dump_json()) == cls()
        with pytest.raises(ValidationError, match="n_bananas"):
            cls(n_bananas=3)


class TestClassicalClassifier:
    def test_one_strange_value_cannot_decide(self):
        X, y, speakers = clips(windows=(1, 2))
        estimator = ClassicalClassifier(LogisticRegression(), classes=LABELS)
        estimator.fit({"x": X}, y, groups=speakers)
        wild = X.values[:1].copy()
        wild[0, 0] = 1e12
        far = wild.copy()
        far[0, 0] = estimator.mean_[0] + 5 * estimator.scale_[0]
        np.testing.assert_allclose(
            estimator.predict_proba({"x": Ragged.from_items([wild])}),
            estimator.predict_proba({"x": Ragged.from_items([far])}),
            atol=1e-6,
        )

    def test_test_rows_have_no_say_in_the_standardisation(self):
        X, y, speakers = clips()
        estimator = ClassicalClassifier(LogisticRegression(), classes=LABELS)
        estimator.fit({"x": X}, y, groups=speakers)
        one = estimator.predict_proba({"x": X.take([0])})
        np.testing.assert_allclose(estimator.predict_proba({"x": X})[:1], one, atol=1e-9)

    def test_a_constant_feature_is_harmless(self):
        X, y, speakers = clips()
        wider = Ragged(np.concatenate([X.values, np.ones((len(X.values), 1))], axis=1), X.offsets)
        estimator = ClassicalClassifier(LogisticRegression(), classes=LABELS)
        assert np.isfinite(
            estimator.fit({"x": wider}, y, groups=speakers).predict_proba({"x": wider})
        ).all()

    def test_features_stand_side_by_side(self):
        X, y, speakers = clips()
        parts = {
            "left": Ragged(X.values[:, :2].copy(), X.offsets),
            "right": Ragged(X.values[:, 2:].copy(), X.offsets),
        }
        whole = ClassicalClassifier(LogisticRegression(), classes=LABELS)
        whole.fit({"x": X}, y, groups=speakers)
        joined = ClassicalClassifier(LogisticRegression(), classes=LABELS)
        joined.fit(parts, y, groups=speakers)
        np.testing.assert_allclose(
            joined.predict_proba(parts), whole.predict_proba({"x": X}), atol=1e-9
        )
        (graph,) = joined.graphs(parts)
        assert graph.inputs == ("left", "right")

    def test_views_count_as_much_as_the_clip_itself(self):
        X, y, speakers = clips()
        once = ClassicalClassifier(LogisticRegression(), classes=LABELS)
        once.fit({"x": X}, y, groups=speakers)
        twice = ClassicalClassifier(LogisticRegression(), classes=LABELS)
        twice.fit({"x": X}, y, groups=speakers, views=[{"x": X}])
        np.testing.assert_allclose(
            once.predict_proba({"x": X}), twice.predict_proba({"x": X}), atol=1e-3
        )

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"groups": ["a"]}, "one per row"),
            ({"groups": ["a"] * 60}, "second speaker"),
            ({"y": ["neutral"] * 60}, "fewer than two labels"),
            ({"y": ["joy"] * 60}, "not among the classes"),
            ({"y": ["neutral", "anger"]}, "60 rows were given with 2 labels"),
        ],
    )
    def test_refuses(self, change, message):
        X, y, speakers = clips()
        arguments = {"y": y, "groups": speakers} | change
        with pytest.raises(TrainingError, match=message):
            ClassicalClassifier(LinearSvm(), classes=LABELS).fit({"x": X}, **arguments)

    def test_refuses_features_that_do_not_match(self):
        X, y, speakers = clips()
        other = Ragged.from_items([np.ones((1, 2), np.float32)] * 60)
        with pytest.raises(TrainingError, match="same windows"):
            ClassicalClassifier(LinearSvm(), classes=LABELS).fit(
                {"x": X, "other": other}, y, groups=speakers
            )

    def test_answers_only_once_fitted(self):
        with pytest.raises(NotFittedError):
            ClassicalClassifier(LinearSvm()).predict_proba({"x": clips()[0]})


class TestFusion:
    def model(self, weight=1.0):
        return Fusion(
            members=(
                Member(model=LogisticRegression(), features=("left",)),
                Member(model=LinearSvm(), features=("right",), weight=weight),
            )
        )

    def features(self, seed=0):
        X, y, speakers = clips(seed=seed)
        return (
            {
                "left": Ragged(X.values[:, :3].copy(), X.offsets),
                "right": Ragged(X.values[:, 3:].copy(), X.offsets),
            },
            y,
            speakers,
        )

    @pytest.mark.parametrize("weight", [1.0, 3.0])
    def test_is_the_weighted_mean_of_its_members(self, weight):
        X, y, speakers = self.features()
        hops = dict.fromkeys(X, float("inf"))
        fusion = make_classifier(self.model(weight), hops=hops, classes=LABELS)
        fusion.fit(X, y, groups=speakers)
        left = ClassicalClassifier(LogisticRegression(), LABELS).fit(
            {"left": X["left"]}, y, groups=speakers
        )
        right = ClassicalClassifier(LinearSvm(), LABELS).fit(
            {"right": X["right"]}, y, groups=speakers
        )
        expected = (left.predict_proba(X) + weight * right.predict_proba(X)) / (1 + weight)
        np.testing.assert_allclose(fusion.predict_proba(X), expected, atol=1e-9)

    def test_weights_of_the_graphs_are_the_members(self):
        X, y, speakers = self.features()
        hops = dict.fromkeys(X, float("inf"))
        fusion = make_classifier(self.model(3.0), hops=hops, classes=LABELS)
        graphs = fusion.fit(X, y, groups=speakers).graphs(X)
        assert [(g.name, g.inputs, g.weight) for g in graphs] == [
            ("0-logistic", ("left",), 1.0),
            ("1-linear-svm", ("right",), 3.0),
        ]

    def test_a_network_and_a_linear_model_answer_together(self):
        generator = np.random.default_rng(0)
        vectors, y, speakers = clips(n=36)
        frames = Ragged.from_items(
            [generator.normal(size=(20, 8)).astype(np.float32) - 40 for _ in range(36)]
        )
        X = {"logmel": frames, "functionals": vectors}
        model = Fusion(
            members=(
                Member(
                    model=DilatedCnn(channels=8, stem_channels=2, dilations=(1,)),
                    features=("logmel",),
                ),
                Member(model=LogisticRegression(), features=("functionals",)),
            )
        )
        fusion = make_classifier(
            model,
            hops={"logmel": 0.016, "functionals": float("inf")},
            classes=LABELS,
            training=Training(epochs=1, members=2),
            window=Window(mode="whole"),
            hardware=Hardware(accelerator="cpu"),
        )
        fusion.fit(X, y, groups=speakers)
        assert fusion.predict_proba(X).shape == (36, 3)
        assert len(fusion.history_) == 2
        assert "dilated-cnn" in fusion.summary()
        assert "logistic" in fusion.summary()

    def test_unknown_members_and_features_are_named(self):
        with pytest.raises(ValidationError, match="no member is called 'oracle'"):
            Fusion.model_validate({"members": [{"model": {"name": "oracle"}}] * 2})
        with pytest.raises(ValidationError, match="no member is called 'fusion'"):
            Fusion.model_validate({"members": [{"model": {"name": "fusion"}}] * 2})
        with pytest.raises(TrainingError, match="takes one feature"):
            make_classifier(DilatedCnn(), hops={"a": 0.01, "b": 0.01}, classes=LABELS)

    def test_survives_json(self):
        model = self.model(2.0)
        assert Fusion.model_validate_json(model.model_dump_json()) == model


class TestTargetMatrix:
    def test_names_and_matrix_say_the_same(self):
        names, matrix = target_matrix(["a", "b", "a"], 3, None)
        assert names.tolist() == ["a", "b"]
        again, same = target_matrix(matrix, 3, ["a", "b"])
        assert again.tolist() == ["a", "b"]
        np.testing.assert_array_equal(matrix, same)
