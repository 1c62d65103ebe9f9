"""Classical models and fusions: right answers, inner choice, masks, graphs that agree."""

from __future__ import annotations

import sys
from typing import Any, ClassVar, Literal

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the training extra")

import onnxruntime
from onnx import helper
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression as Theirs
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from ullim import registry
from ullim.decision import fuse
from ullim.errors import MissingExtraError, NotFittedError, TrainingError
from ullim.models import Classical, Fragment
from ullim.models.dilated_cnn import DilatedCnn
from ullim.models.fusion import Fusion, Member
from ullim.models.linear import LinearSvm, LogisticRegression, MaskedLogisticRegression
from ullim.models.svm import PairwiseSvm
from ullim.models.trees import RandomForest, XGBoost
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
# What keeps a model's tests short: what is tested does not hang on these.
SMALL: dict[str, dict[str, Any]] = {
    "mlp": {"hidden": (16,)},
    "random-forest": {"n_trees": 10},
    "svm": {"C": (10.0,), "gamma": (1.0,)},
    "xgboost": {"n_trees": 10, "max_depth": 3, "learning_rate": 0.3},
}


def small(cls):
    return cls(**SMALL.get(registry.component_name(cls), {}))


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


@parametrize_with_checks(
    [PairwiseSvm()],
    expected_failed_checks=lambda _: {
        "check_sample_weight_equivalence_on_dense_data": "nor does SVC: its gamma counts rows"
    },
)
def test_pairwise_svm_keeps_scikit_learns_contract(estimator, check):
    check(estimator)


class TestPairwiseSvm:
    @pytest.mark.parametrize("n_classes", [2, 3, 5])
    def test_decides_by_the_mean_margin_over_the_others(self, n_classes):
        generator = np.random.default_rng(n_classes)
        y = generator.integers(0, n_classes, 80)
        X = generator.normal(size=(80, 4)) + y[:, None]
        ours, theirs = PairwiseSvm(C=2.0).fit(X, y), SVC(C=2.0, decision_function_shape="ovo")
        margins = theirs.fit(X, y).decision_function(X)
        if n_classes == 2:
            expected = margins
        else:
            pairs = iter(margins.T)
            expected = np.zeros((80, n_classes))
            for first in range(n_classes):
                for second in range(first + 1, n_classes):
                    margin = next(pairs) / (n_classes - 1)
                    expected[:, first] += margin
                    expected[:, second] -= margin
        np.testing.assert_allclose(ours.decision_function(X), expected, atol=1e-12)
        assert (ours.predict(X) == theirs.predict(X)).mean() > 0.9
        vectors, coef, intercept, gamma = ours.kernel_machine()
        distances = ((X[:, None] - vectors[None]) ** 2).sum(axis=2)
        folded = np.exp(-gamma * distances) @ coef + intercept
        np.testing.assert_allclose(folded.squeeze(), expected, atol=1e-9)


class TestTrees:
    def test_xgboost_that_is_not_installed_is_told_with_the_pip_line(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "xgboost", None)
        with pytest.raises(MissingExtraError, match=r'pip install "ullim\[train\]"'):
            XGBoost().build({}, 0)

    @pytest.mark.parametrize(
        ("model", "package"), [(RandomForest(n_trees=2), "skl2onnx"), (XGBoost(), "onnxmltools")]
    )
    def test_converters_likewise(self, model, package, monkeypatch):
        fitted = model.build({}, 0)
        fitted.n_features_in_ = 1
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(MissingExtraError, match=r'pip install "ullim\[train\]"'):
            model.fragment(fitted)

    @pytest.mark.parametrize("cls", [RandomForest, XGBoost])
    def test_values_on_thresholds_fall_on_the_same_side(self, cls):
        """Few values far from zero, where float32 is coarse: every one of them is a threshold."""
        generator = np.random.default_rng(0)
        values = np.float32(300.1) + np.arange(40, dtype=np.float32) * np.float32(3e-5)
        X = Ragged.from_items([generator.choice(values, (1, 5)) for _ in range(120)])
        y = [LABELS[i % 3] for i in range(120)]
        model = cls(n_trees=20, calibrate=False)
        estimator = ClassicalClassifier(model, LABELS).fit({"x": X}, y)
        (graph,) = estimator.graphs({"x": X})
        session = onnxruntime.InferenceSession(graph.data, providers=["CPUExecutionProvider"])
        (logits,) = session.run(["logits"], {"x": X.values[:, None]})
        found = softmax(logits)
        expected = estimator.predict_proba({"x": X})
        assert np.ptp(expected, axis=0).max() > 0.3
        np.testing.assert_allclose(found, expected, atol=1e-5)

    @pytest.mark.parametrize("cls", [RandomForest, XGBoost])
    def test_without_calibration_the_probabilities_are_their_own(self, cls):
        X, y, speakers = clips(windows=(1, 2))
        model = cls(n_trees=10, calibrate=False)
        estimator = ClassicalClassifier(model, LABELS).fit({"x": X}, y, speakers)
        own = estimator.fitted_.predict_proba(X.values)
        np.testing.assert_allclose(estimator.predict_proba({"x": X}), own, atol=1e-5)


class TestEveryClassical:
    @EVERY_CLASSICAL
    def test_learns_what_can_be_told_apart(self, cls):
        X, y, speakers = clips()
        test, truth, _ = clips(seed=1)
        model = small(cls)
        estimator = ClassicalClassifier(model, classes=LABELS).fit({"x": X}, y, groups=speakers)
        probabilities = estimator.predict_proba({"x": test})
        assert probabilities.shape == (60, 3)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
        assert (estimator.predict({"x": test}) == np.array(truth)).mean() > 0.8
        assert estimator.setting_ in model.candidates()
        assert len(estimator.choice_) == len(model.candidates())
        assert model.name in estimator.summary()

    def test_a_class_of_one_speaker_does_not_spoil_the_temperature(self):
        X, y, speakers = clips(windows=(1, 2))
        # Only s0 was ever heard afraid: the inner fold without s0 cannot know what fear is.
        rows = [i for i, label in enumerate(y) if label != "fear" or speakers[i] == "s0"]
        few = ClassicalClassifier(LinearSvm(), classes=LABELS).fit(
            {"x": X.take(rows)}, [y[i] for i in rows], groups=[speakers[i] for i in rows]
        )
        none = [i for i in rows if y[i] != "fear"]
        without = ClassicalClassifier(LinearSvm(), classes=LABELS).fit(
            {"x": X.take(none)}, [y[i] for i in none], groups=[speakers[i] for i in none]
        )
        assert few.temperature_ < 4 * without.temperature_

    def test_an_inner_fold_with_one_emotion_is_told(self):
        X, y, _ = clips(windows=(1, 2))
        speakers = [f"only-{label}" for label in y]
        two = [i for i, label in enumerate(y) if label != "fear"]
        with pytest.raises(TrainingError, match="holds one emotion only"):
            ClassicalClassifier(LinearSvm(), classes=LABELS).fit(
                {"x": X.take(two)}, [y[i] for i in two], groups=[speakers[i] for i in two]
            )

    @EVERY_CLASSICAL
    @pytest.mark.parametrize("absent", ["none", "fear"])
    def test_graph_says_the_same(self, cls, absent):
        X, y, speakers = clips()
        rows = [i for i, label in enumerate(y) if label != absent]
        estimator = ClassicalClassifier(small(cls), classes=LABELS).fit(
            {"x": X.take(rows)}, [y[i] for i in rows], groups=[speakers[i] for i in rows]
        )
        (graph,) = estimator.graphs({"x": X})
        session = onnxruntime.InferenceSession(graph.data, providers=["CPUExecutionProvider"])
        assert session.get_outputs()[0].shape == ["batch", 3]
        expected = estimator.predict_proba({"x": X})
        for row in range(len(X)):
            (logits,) = session.run(["logits"], {"x": X[row][:, None]})
            answered = softmax(logits / graph.temperature).mean(axis=0)
            np.testing.assert_allclose(answered, expected[row], atol=1e-4)

    @EVERY_CLASSICAL
    def test_equal_seeds_give_equal_answers(self, cls):
        X, y, speakers = clips()
        one, two = (
            ClassicalClassifier(small(cls), classes=LABELS, seed=5).fit(
                {"x": X}, y, groups=speakers
            )
            for _ in range(2)
        )
        np.testing.assert_array_equal(one.predict_proba({"x": X}), two.predict_proba({"x": X}))

    @EVERY_CLASSICAL
    def test_a_class_without_rows_is_never_answered(self, cls):
        X, y, speakers = clips()
        rows = [i for i, label in enumerate(y) if label != "fear"]
        estimator = ClassicalClassifier(small(cls), classes=LABELS).fit(
            {"x": X.take(rows)}, [y[i] for i in rows], groups=[speakers[i] for i in rows]
        )
        assert "fear" not in estimator.predict({"x": X})

    @EVERY_CLASSICAL
    def test_fields_survive_json(self, cls):
        assert cls.model_validate_json(cls().model_dump_json()) == cls()
        with pytest.raises(ValidationError, match="n_bananas"):
            cls(n_bananas=3)


class TestClassicalClassifier:
    def test_a_minority_vote_for_a_class_nobody_was_given(self):
        """Some raters heard fear, the majority never: no score for it, and none to calibrate."""
        X, labels, speakers = clips()
        targets = np.array([[1.0, 0.0, 0.0] if label == "neutral" else [0.1, 0.6, 0.3]
                            for label in labels], dtype=np.float32)  # fmt: skip
        estimator = ClassicalClassifier(LinearSvm(), classes=LABELS)
        estimator.fit({"f": X}, targets, groups=speakers)
        assert estimator.temperature_ < 5

    def test_one_strange_value_cannot_decide(self):
        X, y, speakers = clips(windows=(1, 2))
        estimator = ClassicalClassifier(LogisticRegression(), classes=LABELS)
        estimator.fit({"x": X}, y, groups=speakers)
        wild = X.values[:1].copy()
        wild[0, 0] = 1e12
        far = wild.copy()
        far[0, 0] = estimator.standard_.mean[0] + 5 * estimator.standard_.scale[0]
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


class _Hard(Classical):
    """scikit-learn's own classifier, which knows hard labels and says probabilities."""

    targets: ClassVar[Literal["shares", "labels"]] = "labels"
    gives: ClassVar[Literal["logits", "probabilities"]] = "probabilities"
    standardised: ClassVar[bool] = False

    name: Literal["hard"] = "hard"
    calibrate: bool = True

    @property
    def calibrated(self) -> bool:
        return self.calibrate

    def build(self, setting, seed):
        return Theirs(C=1e-2)

    def fragment(self, fitted):
        coef, intercept = fitted.coef_.T, fitted.intercept_
        if len(fitted.classes_) == 2:
            coef, intercept = np.hstack([-coef / 2, coef / 2]), np.tile(intercept / 2, 2) * [-1, 1]
        return Fragment(
            [
                helper.make_node("Gemm", [Fragment.input, "coef", "intercept"], ["logit"]),
                helper.make_node("Softmax", ["logit"], [Fragment.output], axis=1),
            ],
            {"coef": coef, "intercept": intercept},
        )


class _HardLogits(_Hard):
    """The same by its logits, one column where there are two classes."""

    gives: ClassVar[Literal["logits", "probabilities"]] = "logits"

    def fragment(self, fitted):
        given = super().fragment(fitted)
        node = helper.make_node("Gemm", [Fragment.input, "coef", "intercept"], [Fragment.output])
        return Fragment([node], given.constants)


class TestAnyScikitLearnClassifier:
    @pytest.mark.parametrize("cls", [_Hard, _HardLogits])
    @pytest.mark.parametrize("absent", ["none", "fear"])
    def test_needs_no_more_than_a_fragment(self, cls, absent):
        X, y, speakers = clips()
        rows = [i for i, label in enumerate(y) if label != absent]
        X, y, speakers = X.take(rows), [y[i] for i in rows], [speakers[i] for i in rows]
        estimator = ClassicalClassifier(cls(calibrate=False), LABELS).fit({"x": X}, y, speakers)
        assert (estimator.choice_, estimator.temperature_, estimator.standard_) == ([], 1.0, None)
        first = np.cumsum([0, *X.lengths[:-1]])
        columns = [LABELS.index(label) for label in LABELS if label != absent]
        theirs = estimator.fitted_.predict_proba(X.values.astype(np.float64))
        mean = np.add.reduceat(theirs, first, axis=0) / X.lengths[:, None]
        found = estimator.predict_proba({"x": X})
        np.testing.assert_allclose(found[:, columns], mean, atol=1e-5)
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-9)
        (graph,) = estimator.graphs({"x": X})
        session = onnxruntime.InferenceSession(graph.data, providers=["CPUExecutionProvider"])
        (logits,) = session.run(["logits"], {"x": X.values[:, None]})
        np.testing.assert_allclose(softmax(logits)[:, columns], theirs, atol=1e-5)

    def test_one_speaker_will_do_where_nothing_is_chosen(self):
        X, y, _ = clips()
        with pytest.raises(TrainingError, match="second speaker"):
            ClassicalClassifier(_Hard(), LABELS).fit({"x": X}, y, ["a"] * 60)
        ClassicalClassifier(_Hard(calibrate=False), LABELS).fit({"x": X}, y, ["a"] * 60)

    def test_is_calibrated_on_inner_speakers(self):
        X, y, speakers = clips()
        estimator = ClassicalClassifier(_Hard(), LABELS).fit({"x": X}, y, speakers)
        assert estimator.temperature_ != 1.0
        assert len(estimator.choice_) == 1


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

    @pytest.mark.parametrize("rule", ["mean", "literal", "over_classifiers"])
    def test_rule_is_the_estimator_s_too(self, rule):
        X, y, speakers = self.features()
        model = self.model(2.0).model_copy(update={"rule": rule})
        fusion = make_classifier(model, hops=dict.fromkeys(X, float("inf")), classes=LABELS)
        fusion.fit(X, y, groups=speakers)
        each = [part.estimator.predict_proba(part.chosen(X)) for part in fusion.parts]
        np.testing.assert_array_equal(fusion.predict_proba(X), fuse(each, [1.0, 2.0], rule))
        assert [graph.member for graph in fusion.graphs(X)] == [0, 1]

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


class TestFuse:
    # Of p = (0.8, 0.2) and q = (0.4, 0.6), worked out by hand.
    P, Q = np.array([[0.8, 0.2]]), np.array([[0.4, 0.6]])

    @pytest.mark.parametrize(
        ("rule", "weights", "scores"),
        [
            ("mean", (1, 1), (0.6, 0.4)),
            ("mean", (3, 1), (0.7, 0.3)),
            ("literal", (1, 1), (0.64 + 0.16, 0.04 + 0.36)),
            ("literal", (3, 1), (3 * 0.64 + 0.16, 3 * 0.04 + 0.36)),
            ("over_classifiers", (1, 1), (0.80 / 1.2, 0.40 / 0.8)),
            ("over_classifiers", (3, 1), ((3 * 0.64 + 0.16) / 2.8, (3 * 0.04 + 0.36) / 1.2)),
        ],
    )
    def test_by_hand(self, rule, weights, scores):
        expected = np.array([scores]) / sum(scores)
        np.testing.assert_allclose(fuse([self.P, self.Q], weights, rule), expected, atol=1e-12)

    def test_rules_may_disagree(self):
        """One that is sure outweighs two that lean the other way, but not by the mean."""
        each = [np.array([p]) for p in ([0.9, 0.1, 0.0], [0.2, 0.6, 0.2], [0.2, 0.65, 0.15])]
        best = {
            rule: fuse(each, [1, 1, 1], rule).argmax()
            for rule in ("mean", "literal", "over_classifiers")
        }
        assert best == {"mean": 1, "literal": 0, "over_classifiers": 0}

    @pytest.mark.parametrize("rule", ["literal", "over_classifiers"])
    def test_parts_of_one_member_are_averaged_first(self, rule):
        parts = [self.P, 0.5 * self.P + 0.5 * self.Q, self.Q]
        whole = [0.25 * parts[0] + 0.75 * parts[1], self.Q]
        found = fuse(parts, [0.5, 1.5, 1.0], rule, members=[0, 0, 4])
        np.testing.assert_allclose(found, fuse(whole, [2.0, 1.0], rule), atol=1e-12)

    @pytest.mark.parametrize("rule", ["mean", "literal", "over_classifiers"])
    def test_a_class_nobody_believes_in_is_no_trouble(self, rule):
        each = [np.array([[1.0, 0.0, 0.0]]), np.array([[0.5, 0.5, 0.0]])]
        found = fuse(each, [1, 1], rule)
        assert found[0, 2] == 0.0
        assert found.sum() == pytest.approx(1.0)


class TestTargetMatrix:
    def test_names_and_matrix_say_the_same(self):
        names, matrix = target_matrix(["a", "b", "a"], 3, None)
        assert names.tolist() == ["a", "b"]
        again, same = target_matrix(matrix, 3, ["a", "b"])
        assert again.tolist() == ["a", "b"]
        np.testing.assert_array_equal(matrix, same)
