"""Metrics against scikit-learn and audmetric, what they hold whatever comes, absent classes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ullim.evaluation import metrics as m
from ullim.evaluation.calibration import (
    coverage_accuracy,
    reliability,
    threshold_for_accuracy,
)
from ullim.evaluation.predictions import FACTS, Predictions

N_LABELS = 5

cells = st.integers(0, 30)
confusions = st.lists(
    st.lists(cells, min_size=N_LABELS, max_size=N_LABELS), min_size=N_LABELS, max_size=N_LABELS
).map(np.array)
rated = st.lists(st.tuples(st.sampled_from(np.linspace(0, 1, 21)), st.booleans()), min_size=1)
OF_CONFUSION = [m.unweighted_average_recall, m.weighted_accuracy, m.macro_f1, m.weighted_f1]


@pytest.fixture
def answers(generator):
    """Answers of four labels that are often right: truth, guess, probabilities."""
    truth = generator.integers(0, 4, 300)
    probabilities = generator.dirichlet(np.ones(4), 300) + np.eye(4)[truth] * 0.4
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return truth, probabilities.argmax(axis=1), probabilities


def items(confusion):
    """Return truth and guess of the items a confusion matrix counts."""
    truth, guess = np.nonzero(confusion)
    times = confusion[truth, guess]
    return np.repeat(truth, times), np.repeat(guess, times)


class TestAgainstReferences:
    def test_precision_and_f1_of_each_class(self, answers):
        sklearn = pytest.importorskip("sklearn.metrics")
        audmetric = pytest.importorskip("audmetric")
        truth, guess, _ = answers
        confusion = m.confusion_matrix(truth, guess, 4)
        for ours, kind in ((m.precisions, "precision"), (m.recalls, "recall"), (m.f1_scores, "f1")):
            theirs = getattr(sklearn, f"{kind}_score")(truth, guess, average=None)
            np.testing.assert_allclose(ours(confusion), theirs)
            name = "fscore" if kind == "f1" else kind
            theirs = getattr(audmetric, f"{name}_per_class")(truth, guess, labels=range(4))
            np.testing.assert_allclose(ours(confusion), list(theirs.values()))

    def test_means(self, answers):
        sklearn = pytest.importorskip("sklearn.metrics")
        audmetric = pytest.importorskip("audmetric")
        truth, guess, _ = answers
        confusion = m.confusion_matrix(truth, guess, 4)
        assert m.weighted_f1(confusion) == pytest.approx(
            sklearn.f1_score(truth, guess, average="weighted")
        )
        for ours, theirs in (
            (m.unweighted_average_recall, audmetric.unweighted_average_recall),
            (m.macro_f1, audmetric.unweighted_average_fscore),
            (m.weighted_accuracy, audmetric.accuracy),
        ):
            assert ours(confusion) == pytest.approx(theirs(truth, guess, labels=range(4)))

    def test_where_audmetric_differs_a_class_without_items_counts_as_nothing_found(self):
        audmetric = pytest.importorskip("audmetric")
        truth, guess = np.array([0, 0]), np.array([0, 1])
        assert audmetric.unweighted_average_recall(truth, guess) == 0.25
        assert m.unweighted_average_recall(m.confusion_matrix(truth, guess, 2)) == 0.5

    @pytest.mark.parametrize("decimals", [1, 6], ids=["with ties", "without ties"])
    def test_area_under_roc(self, answers, decimals):
        sklearn = pytest.importorskip("sklearn.metrics")
        truth, _, probabilities = answers
        scores = probabilities.round(decimals)
        theirs = [sklearn.roc_auc_score(truth == k, scores[:, k]) for k in range(4)]
        np.testing.assert_allclose(m.areas_under_roc(scores, truth), theirs)
        assert m.macro_area_under_roc(scores, truth) == pytest.approx(np.mean(theirs))

    def test_brier_and_log_loss(self, answers):
        sklearn = pytest.importorskip("sklearn.metrics")
        truth, _, probabilities = answers
        assert m.log_losses(probabilities, truth).mean() == pytest.approx(
            sklearn.log_loss(truth, probabilities)
        )
        # scikit-learn's binary form is half of Brier's own.
        two = np.stack([probabilities[:, 0], 1 - probabilities[:, 0]], axis=1)
        is_other = (truth != 0).astype(int)
        assert m.brier_scores(two, is_other).mean() == pytest.approx(
            2 * sklearn.brier_score_loss(is_other, two[:, 1])
        )

    def test_soft_labels(self, generator):
        distance = pytest.importorskip("scipy.spatial.distance")
        p, q = generator.dirichlet(np.ones(4), (2, 50))
        q[0] = [1, 0, 0, 0]
        theirs = np.mean(distance.jensenshannon(p, q, base=2, axis=1) ** 2)
        assert m.jensen_shannon(p, q) == pytest.approx(theirs)
        assert m.soft_cross_entropy(p, q) == pytest.approx(-(q * np.log(p)).sum() / 50)

    def test_dimensions(self, generator):
        audmetric = pytest.importorskip("audmetric")
        truth = generator.normal(3, 1, 80)
        guess = 0.5 * truth + generator.normal(0, 1, 80)
        assert m.concordance_correlation(truth, guess) == pytest.approx(
            audmetric.concordance_cc(truth, guess)
        )
        assert m.pearson_correlation(truth, guess) == pytest.approx(
            audmetric.pearson_cc(truth, guess)
        )
        assert m.root_mean_square_error(truth, guess) == pytest.approx(
            audmetric.mean_squared_error(truth, guess) ** 0.5
        )

    @pytest.mark.parametrize("guess", [[2.0, 2.0, 2.0], [1.0]], ids=["flat", "one item"])
    def test_dimensions_that_do_not_move(self, guess):
        audmetric = pytest.importorskip("audmetric")
        truth = np.array([1.0, 2.0, 4.0])[: len(guess)]
        guess = np.array(guess)
        assert np.isnan(m.pearson_correlation(truth, guess))
        np.testing.assert_equal(
            m.concordance_correlation(truth, guess), audmetric.concordance_cc(truth, guess)
        )


class TestWhateverComes:
    @given(confusions)
    @settings(max_examples=60, deadline=None)
    def test_between_zero_and_one_without_a_warning(self, confusion):
        for metric in OF_CONFUSION:
            assert 0.0 <= metric(confusion) <= 1.0
        for metric in (m.recalls, m.precisions, m.f1_scores):
            values = metric(confusion)
            assert np.all((values >= 0) & (values <= 1) | np.isnan(values))

    @given(confusions, st.permutations(range(N_LABELS)))
    @settings(max_examples=40, deadline=None)
    def test_the_order_of_labels_does_not_matter(self, confusion, order):
        for metric in OF_CONFUSION:
            assert metric(confusion[np.ix_(order, order)]) == pytest.approx(metric(confusion))

    @given(confusions)
    @settings(max_examples=40, deadline=None)
    def test_a_label_of_the_list_that_nobody_used_changes_nothing(self, confusion):
        longer = np.pad(confusion, ((0, 1), (0, 1)))
        for metric in OF_CONFUSION:
            assert metric(longer) == pytest.approx(metric(confusion))

    @given(confusions)
    @settings(max_examples=40, deadline=None)
    def test_counted_from_items_is_the_matrix(self, confusion):
        np.testing.assert_array_equal(m.confusion_matrix(*items(confusion), N_LABELS), confusion)

    @given(rated, st.integers(1, 20), st.sampled_from(["mass", "width"]), st.randoms())
    @settings(max_examples=60, deadline=None)
    def test_calibration_error_ignores_the_order_of_items(self, pairs, n_bins, binning, random):
        def error(rows):
            confidence, correct = (np.array(column) for column in zip(*rows, strict=True))
            return m.expected_calibration_error(confidence, correct, n_bins, binning)

        shuffled = list(pairs)
        random.shuffle(shuffled)
        assert error(shuffled) == pytest.approx(error(pairs))
        assert 0.0 <= error(pairs) <= 1.0

    @given(
        st.lists(st.integers(-1000, 1000), min_size=2, max_size=20),
        st.floats(0.1, 10),
        st.floats(-5, 5),
    )
    @settings(max_examples=60, deadline=None)
    def test_concordance_never_exceeds_correlation(self, values, scale, shift):
        truth = np.array(values, dtype=float)
        guess = scale * truth[::-1] + shift
        concordance = m.concordance_correlation(truth, guess)
        correlation = m.pearson_correlation(truth, guess)
        if not np.isnan(correlation):
            assert abs(concordance) <= abs(correlation) + 1e-9
            assert m.concordance_correlation(truth, truth) == pytest.approx(1.0)


class TestAbsentClasses:
    confusion = np.array([[2, 0, 1], [0, 1, 0], [0, 0, 0]])

    def test_named_by_no_number(self):
        np.testing.assert_allclose(m.f1_scores(self.confusion), [0.8, 1.0, np.nan])
        np.testing.assert_allclose(m.precisions(self.confusion), [1.0, 1.0, 0.0])

    def test_area_needs_items_on_both_sides(self):
        areas = m.areas_under_roc(np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]]), np.array([0, 1]))
        np.testing.assert_equal(areas, [1.0, 1.0, np.nan])
        assert np.isnan(m.macro_area_under_roc(np.array([[0.5, 0.5]]), np.array([0])))

    def test_baselines_share_among_the_classes_there_are(self):
        majority = m.majority_baseline(self.confusion)
        assert majority == pytest.approx(
            {"weighted_accuracy": 0.75, "unweighted_average_recall": 0.5, "macro_f1": 3 / 7}
        )
        prior = m.prior_baseline(self.confusion)
        assert prior["weighted_accuracy"] == pytest.approx(0.75**2 + 0.25**2)
        assert prior["unweighted_average_recall"] == prior["macro_f1"] == 0.5


def test_baselines_are_those_of_scikit_learns_dummies(generator):
    dummy = pytest.importorskip("sklearn.dummy")
    truth = generator.choice(4, 4000, p=[0.4, 0.3, 0.2, 0.1])
    nothing = np.zeros((len(truth), 1))
    confusion = m.confusion_matrix(truth, truth, 4)

    def scores(strategy):
        model = dummy.DummyClassifier(strategy=strategy, random_state=0).fit(nothing, truth)
        guessed = m.confusion_matrix(truth, model.predict(nothing), 4)
        shares = model.predict_proba(nothing)
        return {
            "weighted_accuracy": m.weighted_accuracy(guessed).item(),
            "unweighted_average_recall": m.unweighted_average_recall(guessed).item(),
            "macro_f1": m.macro_f1(guessed).item(),
        }, shares

    assert scores("most_frequent")[0] == pytest.approx(m.majority_baseline(confusion))
    prior = m.prior_baseline(confusion)
    _, shares = scores("prior")
    assert m.log_loss(shares, truth) == pytest.approx(prior.pop("log_loss"))
    assert m.brier_scores(shares, truth).mean() == pytest.approx(prior.pop("brier_score"))
    # Drawn answers scatter around what is expected of them.
    assert scores("stratified")[0] == pytest.approx(prior, abs=0.03)


class TestBins:
    def test_of_equal_width(self):
        confidence = np.array([0.0, 0.1, 0.2, 0.21, 1.0])
        assert m.confidence_bins(confidence, 5, "width").tolist() == [0, 0, 0, 1, 4]

    def test_width_and_mass_disagree_where_confidence_bunches(self):
        confidence = np.array([0.55, 0.6, 0.95, 1.0])
        correct = np.array([True, False, True, True])
        assert m.expected_calibration_error(confidence, correct, 2) == pytest.approx(0.05)
        assert m.expected_calibration_error(confidence, correct, 10, "width") == pytest.approx(
            # (0.5, 0.6] holds two, (0.9, 1] holds two.
            (abs(0.575 - 0.5) * 2 + abs(0.975 - 1) * 2) / 4
        )

    @given(rated, st.integers(1, 20), st.sampled_from(["mass", "width"]))
    @settings(max_examples=40, deadline=None)
    def test_the_diagram_holds_every_item_and_says_the_error(self, pairs, n_bins, binning):
        confidence, correct = (np.array(column) for column in zip(*pairs, strict=True))
        bins = reliability(confidence, correct, n_bins, binning)
        assert sum(b.n for b in bins) == len(pairs)
        assert len(bins) <= n_bins
        assert [b.confidence for b in bins] == sorted(b.confidence for b in bins)
        assert sum(b.n * abs(b.confidence - b.accuracy) for b in bins) / len(
            pairs
        ) == pytest.approx(m.expected_calibration_error(confidence, correct, n_bins, binning))


class TestCoverage:
    confidence = np.array([0.9, 0.8, 0.8, 0.3])
    correct = np.array([True, True, False, False])

    def test_by_hand(self):
        curve = coverage_accuracy(self.confidence, self.correct)
        np.testing.assert_allclose(curve.threshold, [0.9, 0.8, 0.3])
        np.testing.assert_allclose(curve.coverage, [0.25, 0.75, 1.0])
        np.testing.assert_allclose(curve.accuracy, [1.0, 2 / 3, 0.5])
        # One sure answer; then two of which half are right, in either order; then all four.
        assert curve.risk_area == pytest.approx((0 + 0.5 / 2 + 1 / 3 + 0.5) / 4)
        assert curve.least_risk_area == pytest.approx((0 + 0 + 1 / 3 + 0.5) / 4)
        assert curve.at_coverage(0.5) == pytest.approx(2 / 3)
        assert curve.at_coverage(1.0) == 0.5

    @given(rated, st.randoms())
    @settings(max_examples=60, deadline=None)
    def test_ends_at_the_accuracy_and_ignores_order(self, pairs, random):
        confidence, correct = (np.array(column) for column in zip(*pairs, strict=True))
        curve = coverage_accuracy(confidence, correct)
        assert curve.coverage[-1] == 1.0
        assert curve.accuracy[-1] == pytest.approx(correct.mean())
        assert np.all(np.diff(curve.coverage) > 0)
        assert curve.least_risk_area <= curve.risk_area + 1e-12 <= 1.0 + 1e-9
        order = list(range(len(pairs)))
        random.shuffle(order)
        again = coverage_accuracy(confidence[order], correct[order])
        assert again.risk_area == pytest.approx(curve.risk_area)

    @pytest.mark.parametrize(
        ("wanted", "least", "threshold"),
        [(1.0, 1, 0.9), (0.6, 1, 0.8), (0.5, 1, 0.3), (0.9, 2, None), (0.6, 4, None)],
    )
    def test_threshold(self, wanted, least, threshold):
        found = threshold_for_accuracy(self.confidence, self.correct, wanted, least_items=least)
        assert found == threshold

    @given(rated, st.floats(0.05, 1.0))
    @settings(max_examples=60, deadline=None)
    def test_a_threshold_keeps_its_word(self, pairs, wanted):
        confidence, correct = (np.array(column) for column in zip(*pairs, strict=True))
        threshold = threshold_for_accuracy(confidence, correct, wanted)
        kept = [correct[confidence >= t].mean() for t in np.unique(confidence)]
        if threshold is None:
            assert max(kept) < wanted
        else:
            assert correct[confidence >= threshold].mean() >= wanted - 1e-9

    @pytest.mark.parametrize("wanted", [0.0, 1.1])
    def test_impossible_accuracies_are_refused(self, wanted):
        with pytest.raises(ValueError, match="an accuracy lies in"):
            threshold_for_accuracy(self.confidence, self.correct, wanted)

    def test_nothing_at_all(self):
        nothing = np.array([]), np.array([], dtype=bool)
        assert threshold_for_accuracy(*nothing, 0.9) is None
        with pytest.raises(ValueError, match="at least one item"):
            coverage_accuracy(*nothing)


def test_classes_split_by_gender_are_added_up():
    nothing = np.full(2, "", dtype=str)
    split = Predictions(
        labels=("female-calm", "female-fear", "male-calm", "male-fear"),
        probabilities=np.array([[0.4, 0.3, 0.0, 0.3], [0.1, 0.3, 0.4, 0.2]]),
        truth=np.array([1, 2]),
        shares=np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 0.25, 0.25, 0.5]]),
        **dict.fromkeys(FACTS, nothing),
    )
    merged = split.without_gender()
    np.testing.assert_allclose(merged.shares, [[1.0, 0.0], [0.25, 0.75]])
    assert merged.labels == ("calm", "fear")
    np.testing.assert_allclose(merged.probabilities, [[0.4, 0.6], [0.5, 0.5]])
    assert merged.truth.tolist() == [1, 0]
    assert merged.without_gender() is None
