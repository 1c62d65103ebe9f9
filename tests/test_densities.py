"""Mixtures, hidden Markov models and selection: right numbers, inner choice, graphs that agree."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the training extra")

import onnxruntime
from pydantic import ValidationError
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.feature_selection import SequentialFeatureSelector
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GroupKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.utils.estimator_checks import check_estimator

from ullim import registry
from ullim.errors import NotFittedError, TrainingError
from ullim.models import NEVER, Generative
from ullim.models.hmm import HiddenMarkov, MarkovDensity
from ullim.models.likelihood import Density, LikelihoodFusion
from ullim.models.mixture import GaussianMixtureClassifier, GaussianMixtures, Selection
from ullim.models.selection import ForwardSelection
from ullim.training.classifier import softmax
from ullim.training.generative import GenerativeClassifier
from ullim.training.make import make_classifier
from ullim.training.rows import Rows
from ullim.training.speakers import HistogramEqualizer, SpeakerStandardizer
from ullim.types import Ragged
from ullim.window import Window

LABELS = ("neutral", "anger", "fear")
VECTORS, FRAMES = {"x": float("inf")}, {"x": 0.01}
SMALL = {
    "gmm": GaussianMixtures(n_components=(1, 2)),
    "hmm": HiddenMarkov(n_states=(2,), n_components=(1,), max_iter=2),
}
EVERY = pytest.mark.parametrize("model", SMALL.values(), ids=SMALL)


def clips(n=48, n_features=4, seed=0, frames=(3, 12)):
    """Return clips of frames that tell the labels apart by level, labels and speakers."""
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    centres = np.random.default_rng(99).normal(0, 1.5, (3, n_features))
    items = [
        (centres[label] + generator.normal(size=(generator.integers(*frames), n_features))).astype(
            np.float32
        )
        for label in labels
    ]
    return (
        Ragged.from_items(items),
        [LABELS[i] for i in labels],
        [f"s{i // 3 % 8}" for i in range(n)],
    )


@pytest.mark.parametrize(
    "estimator",
    [
        GaussianMixtureClassifier(),
        GaussianMixtureClassifier(2, prior="training"),
        ForwardSelection(),
        HistogramEqualizer(),
        SpeakerStandardizer(),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore")
def test_keeps_the_contract_of_scikit_learn(estimator):
    check_estimator(estimator)


class TestMixture:
    def data(self):
        generator = np.random.default_rng(4)
        X = np.concatenate([generator.normal(c, 1 + c / 3, (40, 3)) for c in range(3)])
        return X, np.repeat(["a", "b", "c"], 40)

    @pytest.mark.parametrize("n_components", [1, 3])
    def test_golden_scikit_learn(self, n_components):
        X, y = self.data()
        ours = GaussianMixtureClassifier(n_components, random_state=7, max_iter=100).fit(X, y)
        chance = np.random.RandomState(7)
        for place, label in enumerate("abc"):
            theirs = GaussianMixture(
                n_components, covariance_type="diag", reg_covar=0.01, random_state=chance
            ).fit(X[y == label])
            np.testing.assert_allclose(
                ours.log_likelihood(X)[:, place], theirs.score_samples(X), atol=1e-9
            )

    def test_golden_scipy(self):
        X, y = self.data()
        ours = GaussianMixtureClassifier(1, variance_floor=0.25).fit(X, y)
        rows = X[y == "b"]
        expected = multivariate_normal(rows.mean(axis=0), np.diag(rows.var(axis=0) + 0.25)).logpdf(
            X
        )
        np.testing.assert_allclose(ours.log_likelihood(X)[:, 1], expected, atol=1e-9)

    def test_no_variance_is_under_the_floor(self):
        X = np.repeat([[1.0, 2.0], [3.0, 4.0]], 5, axis=0)
        fitted = GaussianMixtureClassifier(2, variance_floor=0.3).fit(X, [0] * 5 + [1] * 5)
        assert fitted.variances_.min() >= 0.3
        assert fitted.predict(X).tolist() == [0] * 5 + [1] * 5

    def test_one_row_is_a_class(self):
        fitted = GaussianMixtureClassifier(4).fit([[0.0], [0.1], [9.0]], ["a", "a", "b"])
        assert fitted.predict([[8.0], [1.0]]).tolist() == ["b", "a"]
        assert np.isfinite(fitted.log_likelihood([[8.0]])).all()

    def test_prior(self):
        X = np.zeros((10, 1)) + np.arange(10)[:, None] * 1e-3
        y = ["often"] * 9 + ["seldom"]
        even = GaussianMixtureClassifier().fit(X, y)
        uneven = GaussianMixtureClassifier(prior="training").fit(X, y)
        np.testing.assert_allclose(np.exp(even.log_prior_), [0.5, 0.5])
        np.testing.assert_allclose(np.exp(uneven.log_prior_), [0.9, 0.1])
        np.testing.assert_allclose(
            uneven.predict_log_proba(X) - even.predict_log_proba(X),
            np.log(uneven.predict_proba(X) / even.predict_proba(X)),
            atol=1e-9,
        )


class TestSelection:
    def data(self, n_columns=12):
        generator = np.random.default_rng(2)
        # Every speaker says every class equally often, so that fold means are pooled means.
        codes, speakers = np.tile(np.arange(3), 40), np.repeat(np.arange(10), 12)
        X = generator.normal(size=(120, n_columns))
        X[:, 3] += codes
        X[:, 7] += codes == 1
        X[:, 9] += 0.5 * (codes == 2)
        return X, codes, speakers

    def test_golden_scikit_learn(self):
        X, y, speakers = self.data()
        ours = ForwardSelection(4, variance_floor=1e-9).fit(X, y, groups=speakers)
        folds = GroupKFold(5, shuffle=True, random_state=0).split(X, groups=speakers)
        theirs = SequentialFeatureSelector(
            GaussianNB(priors=np.full(3, 1 / 3), var_smoothing=1e-9),
            n_features_to_select=4,
            scoring="balanced_accuracy",
            cv=list(folds),
        ).fit(X, y)
        np.testing.assert_array_equal(ours.get_support(), theirs.get_support())

    def test_the_telling_columns_come_first(self):
        X, y, speakers = self.data()
        chosen = ForwardSelection(3).fit(X, y, groups=speakers)
        assert set(chosen.order_[:2]) == {3, 7}
        assert chosen.transform(X).shape == (120, 3)
        assert len(chosen.path_) == 3

    def test_never_more_than_there_are(self):
        X, y, _ = self.data(n_columns=10)
        assert sorted(ForwardSelection(99).fit(X, y).order_) == list(range(10))

    def test_held_out_clips_have_no_say(self):
        """On noise, columns chosen with the held-out rows in view would seem to tell."""
        generator = np.random.default_rng(0)
        X = Ragged.from_items(
            [row[None] for row in generator.normal(size=(60, 300)).astype(np.float32)]
        )
        y, speakers = [LABELS[i % 3] for i in range(60)], [f"s{i // 6}" for i in range(60)]
        model = GaussianMixtures(n_components=(1,), selection=Selection(feature="x", n_features=8))
        honest = GenerativeClassifier([Density(model=model)], VECTORS).fit({"x": X}, y, speakers)
        order = ForwardSelection(8).fit(X.values, y, groups=speakers).order_
        chosen = Ragged(X.values[:, order], X.offsets)
        peeking = GenerativeClassifier(
            [Density(model=GaussianMixtures(n_components=(1,)))], VECTORS
        ).fit({"x": chosen}, y, speakers)
        assert peeking.choices_[0][0] > 0.6
        assert honest.choices_[0][0] < 0.5

    def test_only_columns_of_its_feature_are_dropped(self):
        X, y, speakers = clips(frames=(1, 2))
        noise = np.random.default_rng(1).normal(size=(48, 20)).astype(np.float32)
        fed = {"x": X, "noise": Ragged(noise, X.offsets)}
        model = GaussianMixtures(selection=Selection(feature="noise", n_features=2))
        fitted = GenerativeClassifier(
            [Density(model=model)], {"x": np.inf, "noise": np.inf}, seed=1
        ).fit(fed, y, speakers)
        columns = fitted.fitted_[0].columns
        assert columns[:4].tolist() == [0, 1, 2, 3]
        assert len(columns) == 6
        assert sorted(4 + place for place in fitted.selected_[0]) == columns[4:].tolist()

    @pytest.mark.parametrize(
        ("selection", "hops", "message"),
        [
            (Selection(feature="y"), VECTORS, "columns of y are to be selected"),
            (Selection(feature="x"), FRAMES, "columns are selected of vectors"),
        ],
    )
    def test_refuses(self, selection, hops, message):
        X, y, speakers = clips(frames=(1, 2) if hops is VECTORS else (3, 9))
        density = Density(model=GaussianMixtures(selection=selection))
        with pytest.raises(TrainingError, match=message):
            GenerativeClassifier([density], hops).fit({"x": X}, y, speakers)


class TestFrames:
    """What densities are fed: the frames of several features, cut into windows."""

    WINDOW = Window(mode="crop", length_s=0.05, hop_s=0.03)

    def test_several_features_are_cut_alike(self):
        X, _, _ = clips(frames=(3, 16))
        left, right = X.values[:, :1].copy(), X.values[:, 1:].copy()
        features = {"left": Ragged(left, X.offsets), "right": Ragged(right, X.offsets)}
        rows = Rows.of_frames(features, self.WINDOW, dict.fromkeys(features, 0.01))
        starts = [self.WINDOW.starts(len(clip), 0.01) for clip in X]
        assert rows.counts.tolist() == [len(of_clip) for of_clip in starts]
        assert max(rows.counts) > 1
        windows = [clip[s : s + 5] for clip, of in zip(X, starts, strict=True) for s in of]
        for fed, window in zip(rows.batches({"left": 1, "right": 3}), windows, strict=True):
            np.testing.assert_array_equal(fed["left"], window[None, :, :1])
            np.testing.assert_array_equal(fed["right"], window[None, :, 1:])

    def test_what_cannot_be_cut_alike_is_refused(self):
        X, _, _ = clips()
        with pytest.raises(TrainingError, match="give hops="):
            Rows.of_frames({"x": X, "y": X}, self.WINDOW, {"x": 0.01, "y": 0.02})
        with pytest.raises(TrainingError, match="give hops="):
            Rows.of_frames({"x": X}, self.WINDOW, {})
        other = X.take(np.arange(len(X))[::-1])
        with pytest.raises(TrainingError, match="same frames"):
            Rows.of_frames({"x": X, "y": other}, self.WINDOW, {"x": 0.01, "y": 0.01})


class TestHiddenMarkov:
    def fitted(self, n_states=3):
        X, y, _ = clips(frames=(4, 7))
        codes = np.array([LABELS.index(label) for label in y])
        density = MarkovDensity(n_states, 1).fit(
            Ragged(X.values.astype(float), X.offsets), codes, 3
        )
        return density, X

    def test_golden_sum_over_all_paths(self):
        density, X = self.fitted()
        items = Ragged(X.values.astype(float), X.offsets)
        each = density._emissions(items).reshape(-1, 3, 3)
        steps = density.log_transitions_
        for item in (0, 1, 5):
            frames = each[X.offsets[item] : X.offsets[item + 1]]
            for place in range(3):
                paths = [
                    frames[0, place, 0]
                    + sum(
                        steps[place, a, b] + frames[t + 1, place, b]
                        for t, (a, b) in enumerate(pairwise(path))
                    )
                    for path in product(range(3), repeat=len(frames))
                    if path[0] == 0
                ]
                assert density.scores(items)[item, place] == pytest.approx(
                    logsumexp(paths) / len(frames), abs=1e-9
                )

    def test_transitions_are_probabilities_and_go_forward(self):
        density, _ = self.fitted()
        table = np.exp(density.log_transitions_)
        np.testing.assert_allclose(table.sum(axis=2), 1, atol=1e-9)
        assert (np.tril(table, -1) == 0).all()

    def test_hears_the_order_of_frames(self):
        generator = np.random.default_rng(5)
        rising = np.repeat([-1.0, 1.0], 8)[:, None]
        items = [
            (side * rising + generator.normal(0, 0.3, (16, 1))).astype(np.float32)
            for side in [1, -1] * 24
        ]
        X, y = {"x": Ragged.from_items(items)}, ["neutral", "anger"] * 24
        speakers = [f"s{i // 4}" for i in range(48)]

        def recall(model):
            fitted = GenerativeClassifier([Density(model=model)], FRAMES).fit(X, y, speakers)
            return fitted.choices_[0][0]

        assert recall(HiddenMarkov(n_states=(2,), n_components=(1,))) > 0.95
        assert recall(GaussianMixtures(n_components=(2,))) < 0.75

    def test_a_clip_shorter_than_the_states_has_a_likelihood(self):
        density, X = self.fitted()
        assert (density.scores(Ragged.from_items([X[0][:1].astype(float)])) > -1e3).all()

    def test_survives_json(self):
        assert HiddenMarkov.model_validate_json(HiddenMarkov().model_dump_json()) == HiddenMarkov()


def test_every_density_is_in_the_battery():
    known = registry.components("models").items()
    assert {name for name, model in known if issubclass(model, Generative)} == set(SMALL)


class TestEveryDensity:
    @EVERY
    @pytest.mark.parametrize("mode", ["whole", "crop"])
    def test_learns_and_its_graph_says_the_same(self, model, mode):
        X, y, speakers = clips()
        window = Window(mode=mode, length_s=0.06, hop_s=0.03)
        estimator = make_classifier(model, hops=FRAMES, classes=LABELS, window=window)
        estimator.fit({"x": X}, y, groups=speakers)
        test, truth, _ = clips(seed=1)
        probabilities = estimator.predict_proba({"x": test})
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
        assert (estimator.predict({"x": test}) == np.array(truth)).mean() > 0.9
        assert model.name in estimator.summary()
        (graph,) = estimator.graphs({"x": X})
        session = onnxruntime.InferenceSession(graph.data, providers=["CPUExecutionProvider"])
        for row in range(len(test)):
            n = len(test[row])
            length = window.length(n, 0.01)
            windows = np.stack([test[row][s : s + length] for s in window.starts(n, 0.01)])
            (logits,) = session.run(["logits"], {"x": windows})
            assert logits.dtype == np.float32
            answered = softmax(logits / graph.temperature).mean(axis=0)
            np.testing.assert_allclose(answered, probabilities[row], atol=1e-5)

    @EVERY
    def test_equal_seeds_give_equal_answers(self, model):
        X, y, speakers = clips()
        one, two = (
            make_classifier(model, hops=FRAMES, classes=LABELS, seed=5).fit({"x": X}, y, speakers)
            for _ in range(2)
        )
        np.testing.assert_array_equal(one.predict_proba({"x": X}), two.predict_proba({"x": X}))

    @EVERY
    def test_a_class_without_rows_is_never_answered(self, model):
        X, y, speakers = clips()
        rows = [i for i, label in enumerate(y) if label != "fear"]
        estimator = make_classifier(model, hops=FRAMES, classes=LABELS).fit(
            {"x": X.take(rows)}, [y[i] for i in rows], groups=[speakers[i] for i in rows]
        )
        assert estimator.predict_proba({"x": X})[:, 2].max() == 0
        (graph,) = estimator.graphs({"x": X})
        session = onnxruntime.InferenceSession(graph.data, providers=["CPUExecutionProvider"])
        (logits,) = session.run(["logits"], {"x": X[2][None]})
        assert logits[0, 2] < NEVER / 100

    @EVERY
    def test_the_length_of_a_clip_is_no_evidence(self, model):
        X, y, speakers = clips()
        estimator = make_classifier(
            model, hops=FRAMES, classes=LABELS, window=Window(mode="whole")
        ).fit({"x": X}, y, speakers)
        twice = Ragged.from_items([np.concatenate([X[0][-1:]] * n) for n in (3, 300)])
        short, long = np.log(estimator.predict_proba({"x": twice}) + 1e-300)
        assert np.abs(np.ptp(long) / np.ptp(short) - 1) < 0.6

    @EVERY
    def test_views_are_heard_in_training_alone(self, model):
        X, y, speakers = clips()
        other, _, _ = clips(seed=3)
        plain, more = (
            make_classifier(model, hops=FRAMES, classes=LABELS).fit({"x": X}, y, speakers, views)
            for views in ([], [{"x": other}])
        )
        assert plain.choices_ == more.choices_
        assert (plain.predict_proba({"x": X}) != more.predict_proba({"x": X})).any()

    @EVERY
    def test_fields_survive_json(self, model):
        assert type(model).model_validate_json(model.model_dump_json()) == model
        with pytest.raises(ValidationError, match="n_bananas"):
            type(model)(n_bananas=3)


class TestLikelihoodFusion:
    hops = {"vectors": float("inf"), "frames": 0.01}
    model = LikelihoodFusion(
        members=(
            Density(model=GaussianMixtures(n_components=(1,)), features=("vectors",)),
            Density(model=GaussianMixtures(n_components=(1,)), features=("frames",)),
        )
    )

    def features(self, seed=0, noise=1.0):
        frames, y, speakers = clips(seed=seed)
        vectors, _, _ = clips(seed=seed + 10, frames=(1, 2))
        values = vectors.values + np.random.default_rng(seed).normal(0, noise, vectors.values.shape)
        fed = {"vectors": Ragged(values.astype(np.float32), vectors.offsets), "frames": frames}
        return fed, y, speakers

    def make(self, **arguments):
        return make_classifier(
            self.model,
            hops=self.hops,
            classes=LABELS,
            window=Window(mode="whole"),
            **arguments,
        )

    def test_is_the_weighed_sum_of_scaled_likelihoods(self):
        X, y, speakers = self.features(noise=3.0)
        fused = self.make().fit(X, y, speakers)
        assert fused.weights_.sum() == pytest.approx(1)
        logits = 0.0
        for place, name in enumerate(X):
            alone = GenerativeClassifier(
                [Density(model=GaussianMixtures(n_components=(1,)))],
                {name: self.hops[name]},
                window=Window(mode="whole"),
            ).fit({name: X[name]}, y, speakers)
            # classes of the one alone are sorted
            order = [alone.classes_.tolist().index(label) for label in LABELS]
            weight = fused.weights_[place] / fused.scales_[place]
            logits = logits + weight * alone._logits({name: X[name]})[0][:, order]
        np.testing.assert_allclose(
            fused.predict_proba(X), softmax(logits / fused.temperature_), atol=1e-9
        )

    def test_noise_gets_no_weight(self):
        X, y, speakers = self.features(noise=300.0)
        fused = self.make().fit(X, y, speakers)
        assert fused.weights_[0] < 0.5 < fused.weights_[1]

    def test_one_graph_takes_both(self):
        X, y, speakers = self.features()
        fused = self.make().fit(X, y, speakers)
        (graph,) = fused.graphs(X)
        assert graph.inputs == ("vectors", "frames")
        session = onnxruntime.InferenceSession(graph.data, providers=["CPUExecutionProvider"])
        expected = fused.predict_proba(X)
        for row in range(len(y)):
            (logits,) = session.run(["logits"], {name: X[name][row][None] for name in X})
            np.testing.assert_allclose(
                softmax(logits / graph.temperature)[0], expected[row], atol=1e-5
            )

    def test_windows_that_differ_are_refused(self):
        X, y, speakers = self.features()
        window = Window(length_s=0.04, hop_s=0.01)
        fused = make_classifier(self.model, hops=self.hops, classes=LABELS, window=window)
        with pytest.raises(TrainingError, match="mode: whole"):
            fused.fit(X, y, speakers).predict_proba(X)

    def test_mistakes_are_named(self):
        with pytest.raises(ValidationError, match=r"no density is called 'svm'.*gmm, hmm"):
            LikelihoodFusion.model_validate({"members": [{"model": {"name": "svm"}}] * 2})
        X, y, speakers = self.features()
        with pytest.raises(TrainingError, match="a density takes vectors, and"):
            self.make().fit({"frames": X["frames"]}, y, speakers)
        both = GenerativeClassifier([Density(model=GaussianMixtures())], self.hops)
        with pytest.raises(TrainingError, match="some are these and some those"):
            both.fit(X, y, speakers)
        with pytest.raises(TrainingError, match="second speaker"):
            self.make().fit(X, y, ["s"] * len(y))
        with pytest.raises(NotFittedError):
            self.make().predict_proba(X)

    def test_survives_json(self):
        again = LikelihoodFusion.model_validate_json(self.model.model_dump_json())
        assert again == self.model


def test_a_density_of_no_known_kind_has_no_graph():
    class Odd(GaussianMixtures):
        def build(self, setting, seed):
            inner = super().build(setting, seed)

            class Own:
                def fit(self, items, codes, n_classes):
                    inner.fit(items, codes, n_classes)
                    self.n_classes = n_classes
                    return self

                def scores(self, items):
                    return inner.scores(items)

            return Own()

    X, y, speakers = clips()
    fitted = GenerativeClassifier([Density(model=Odd())], FRAMES).fit({"x": X}, y, speakers)
    with pytest.raises(TrainingError, match="cannot become a bundle") as caught:
        fitted.graphs({"x": X})
    assert caught.value.code == "no_export"
