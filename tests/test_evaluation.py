"""Metrics against scikit-learn, and intervals."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ullim.evaluation.metrics import (
    confusion_matrix,
    coverage_curve,
    expected_calibration_error,
    log_loss,
    macro_f1,
    recalls,
    unweighted_average_recall,
    weighted_accuracy,
)
from ullim.evaluation.statistics import speaker_interval

columns = st.integers(0, 4)
answers = st.lists(st.tuples(columns, columns), min_size=1, max_size=60).map(
    lambda pairs: (np.array([t for t, _ in pairs]), np.array([g for _, g in pairs]))
)


class TestMetricsAgainstScikitLearn:
    @given(answers)
    @settings(max_examples=60, deadline=None)
    def test_confusion_and_accuracy(self, pair):
        metrics = pytest.importorskip("sklearn.metrics")
        truth, guess = pair
        ours = confusion_matrix(truth, guess, 5)
        np.testing.assert_array_equal(ours, metrics.confusion_matrix(truth, guess, labels=range(5)))
        assert weighted_accuracy(ours).item() == pytest.approx(metrics.accuracy_score(truth, guess))

    @given(answers)
    @settings(max_examples=60, deadline=None)
    def test_unweighted_average_recall_is_balanced_accuracy(self, pair):
        metrics = pytest.importorskip("sklearn.metrics")
        truth, guess = pair
        with warnings.catch_warnings():
            # Both leave a class that nobody acted out of the mean; scikit-learn says so aloud.
            warnings.filterwarnings("ignore", message="y_pred contains classes not in y_true")
            warnings.filterwarnings("ignore", message="A single label was found")
            theirs = metrics.balanced_accuracy_score(truth, guess)
        ours = unweighted_average_recall(confusion_matrix(truth, guess, 5)).item()
        assert ours == pytest.approx(theirs)

    @given(answers)
    @settings(max_examples=60, deadline=None)
    def test_macro_f1_over_the_classes_that_have_items(self, pair):
        metrics = pytest.importorskip("sklearn.metrics")
        truth, guess = pair
        theirs = metrics.f1_score(
            truth, guess, labels=np.unique(truth), average="macro", zero_division=0.0
        )
        assert macro_f1(confusion_matrix(truth, guess, 5)).item() == pytest.approx(theirs)

    def test_recalls_per_class(self, generator):
        metrics = pytest.importorskip("sklearn.metrics")
        truth, guess = generator.integers(0, 4, (2, 200))
        np.testing.assert_allclose(
            recalls(confusion_matrix(truth, guess, 4)),
            metrics.recall_score(truth, guess, labels=range(4), average=None),
        )

    def test_log_loss(self, generator):
        metrics = pytest.importorskip("sklearn.metrics")
        probabilities = generator.dirichlet(np.ones(4), size=100)
        truth = generator.integers(0, 4, 100)
        assert log_loss(probabilities, truth) == pytest.approx(
            metrics.log_loss(truth, probabilities, labels=range(4))
        )


class TestAbsentClasses:
    """Two of three classes have items; the third is guessed once."""

    confusion = confusion_matrix(np.array([0, 0, 0, 1]), np.array([0, 0, 2, 1]), 3)

    def test_recall_of_an_absent_class_is_no_number(self):
        np.testing.assert_allclose(recalls(self.confusion), [2 / 3, 1.0, np.nan])

    def test_means_leave_it_out(self):
        assert unweighted_average_recall(self.confusion).item() == pytest.approx(5 / 6)
        assert macro_f1(self.confusion).item() == pytest.approx((0.8 + 1.0) / 2)

    def test_a_class_nobody_guessed_counts_as_zero(self):
        confusion = confusion_matrix(np.array([0, 1]), np.array([0, 0]), 2)
        assert unweighted_average_recall(confusion).item() == 0.5
        assert macro_f1(confusion).item() == pytest.approx((2 / 3 + 0) / 2)

    def test_a_stack_of_matrices_is_measured_one_by_one(self, generator):
        stack = generator.integers(0, 9, (7, 4, 4))
        stack[3, 2] = 0
        for metric in (recalls, unweighted_average_recall, weighted_accuracy, macro_f1):
            np.testing.assert_allclose(metric(stack), [metric(matrix) for matrix in stack])

    def test_nothing_at_all_is_zero_and_not_a_warning(self):
        nothing = np.zeros((3, 3), dtype=np.int64)
        assert unweighted_average_recall(nothing).item() == 0.0
        assert weighted_accuracy(nothing).item() == 0.0
        assert macro_f1(nothing).item() == 0.0


class TestLogLoss:
    def test_certain_and_wrong_is_large_but_finite(self):
        assert log_loss(np.array([[1.0, 0.0]]), np.array([1])) == pytest.approx(-np.log(1e-12))


class TestExpectedCalibrationError:
    @pytest.mark.parametrize(
        ("confidence", "correct", "n_bins", "expected"),
        [
            ([1.0, 1.0], [True, True], 15, 0.0),
            ([1.0, 1.0], [False, False], 15, 1.0),
            ([0.75, 0.75, 0.75, 0.75], [True, True, True, False], 1, 0.0),
            # Bins {0.5, 0.6} and {0.9, 1.0}: gaps |0.55 - 0.5| and |0.95 - 1|, half the items each.
            ([0.9, 0.5, 1.0, 0.6], [True, False, True, True], 2, 0.05),
            # Bins {0.2, 0.4} and {0.8}: gaps 0.3 over two items and 0.2 over one.
            ([0.8, 0.2, 0.4], [True, False, False], 2, (0.3 * 2 + 0.2) / 3),
            # More bins than items: each item is a bin.
            ([0.7, 0.3], [True, False], 15, 0.3),
        ],
    )
    def test_by_hand(self, confidence, correct, n_bins, expected):
        error = expected_calibration_error(np.array(confidence), np.array(correct), n_bins)
        assert error == pytest.approx(expected)

    @given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50))
    @settings(max_examples=50, deadline=None)
    def test_lies_between_the_overall_gap_and_one(self, items):
        confidence = np.array([c for c, _ in items])
        correct = np.array([b for _, b in items])
        error = expected_calibration_error(confidence, correct)
        assert abs(confidence.mean() - correct.mean()) - 1e-9 <= error <= 1.0


class TestCoverageCurve:
    def test_by_hand(self):
        curve = coverage_curve(np.array([0.3, 0.62, 0.8]), np.array([False, True, True]))
        assert curve[0] == {"threshold": 0.0, "coverage": 1.0, "accuracy": 0.6667}
        at = {point["threshold"]: point for point in curve}
        assert at[0.6] == {"threshold": 0.6, "coverage": 0.6667, "accuracy": 1.0}
        assert max(at) == 0.8, "thresholds that keep nobody are not on the curve"

    def test_coverage_never_rises(self, generator):
        curve = coverage_curve(generator.random(200), generator.random(200) < 0.5)
        covered = [point["coverage"] for point in curve]
        assert covered == sorted(covered, reverse=True)


class TestSpeakerInterval:
    @staticmethod
    def answers(
        generator: np.random.Generator, n_speakers: int, each: int = 20
    ) -> tuple[np.ndarray, np.ndarray, list[str]]:
        truth = generator.integers(0, 3, n_speakers * each)
        skill = np.repeat(generator.uniform(0.2, 0.9, n_speakers), each)
        guess = np.where(generator.random(truth.size) < skill, truth, (truth + 1) % 3)
        return truth, guess, [f"s{i:03}" for i in np.repeat(np.arange(n_speakers), each)]

    @pytest.mark.parametrize("statistic", [unweighted_average_recall, weighted_accuracy, macro_f1])
    def test_brackets_the_point_estimate(self, statistic, generator):
        truth, guess, speakers = self.answers(generator, 20)
        low, high = speaker_interval(statistic, truth, guess, speakers, 3)
        point = statistic(confusion_matrix(truth, guess, 3)).item()
        assert 0.0 <= low < point < high <= 1.0

    def test_equal_seeds_give_equal_intervals(self, generator):
        data = self.answers(generator, 8)
        first = speaker_interval(weighted_accuracy, *data, 3, seed=4, draws=200)
        assert speaker_interval(weighted_accuracy, *data, 3, seed=4, draws=200) == first
        assert speaker_interval(weighted_accuracy, *data, 3, seed=5, draws=200) != first

    def test_fewer_speakers_make_it_wider(self, generator):
        truth, guess, speakers = self.answers(generator, 4)
        low, high = speaker_interval(weighted_accuracy, truth, guess, speakers, 3)
        # Sixteen times as many people who answer alike: a quarter of the width.
        more = [f"{name}-{copy}" for copy in range(16) for name in speakers]
        narrow_low, narrow_high = speaker_interval(
            weighted_accuracy, np.tile(truth, 16), np.tile(guess, 16), more, 3
        )
        assert high - low > 2.5 * (narrow_high - narrow_low) > 0

    def test_higher_level_makes_it_wider(self, generator):
        data = self.answers(generator, 12)
        low_90, high_90 = speaker_interval(weighted_accuracy, *data, 3, level=0.90)
        low_99, high_99 = speaker_interval(weighted_accuracy, *data, 3, level=0.99)
        assert low_99 < low_90 < high_90 < high_99

    def test_one_speaker_has_no_spread(self, generator):
        truth, guess, speakers = self.answers(generator, 1)
        low, high = speaker_interval(weighted_accuracy, truth, guess, speakers, 3)
        assert low == high == pytest.approx(np.mean(truth == guess))

    def test_order_of_rows_does_not_matter(self, generator):
        truth, guess, speakers = self.answers(generator, 6)
        order = generator.permutation(len(truth))
        shuffled = [speakers[i] for i in order]
        assert speaker_interval(
            weighted_accuracy, truth[order], guess[order], shuffled, 3
        ) == pytest.approx(speaker_interval(weighted_accuracy, truth, guess, speakers, 3))
