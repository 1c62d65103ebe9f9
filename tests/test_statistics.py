"""Intervals over speakers, paired tests, corrections: references, properties, simulations."""

from __future__ import annotations

import time

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ullim.evaluation import significance as s
from ullim.evaluation.metrics import (
    log_losses,
    macro_f1,
    unweighted_average_recall,
    weighted_accuracy,
)
from ullim.evaluation.statistics import (
    confusion_per_speaker,
    drawn_sums,
    interval,
    interval_of,
    mean_interval,
    speaker_draws,
    speaker_interval,
    spread,
    student_t_quantile,
)

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def answers(generator, n_speakers, each=20, skill=0.6, sd=0.0):
    """Return truth, guess and speakers of people who are right about ``skill`` of the time."""
    truth = generator.integers(0, 3, n_speakers * each)
    skills = np.clip(generator.normal(skill, sd, n_speakers), 0.02, 0.98)
    right = generator.random(truth.size) < np.repeat(skills, each)
    names = [f"s{number:03}" for number in np.repeat(np.arange(n_speakers), each)]
    return truth, np.where(right, truth, (truth + 1) % 3), names


class TestStudent:
    @pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 9, 10, 23, 90, 1000])
    @pytest.mark.parametrize("probability", [0.6, 0.9, 0.975, 0.9999, 0.025])
    def test_quantiles_are_those_of_scipy(self, probability, freedom):
        stats = pytest.importorskip("scipy.stats")
        assert student_t_quantile(probability, freedom) == pytest.approx(
            stats.t.ppf(probability, freedom), rel=1e-9
        )

    @pytest.mark.parametrize(("probability", "freedom"), [(0.0, 3), (1.0, 3), (0.9, 0)])
    def test_there_is_none_at_the_ends(self, probability, freedom):
        with pytest.raises(ValueError, match="no quantile"):
            student_t_quantile(probability, freedom)


class TestInterval:
    def test_general_and_fast_ways_agree(self, generator):
        truth, guess, speakers = answers(generator, 12, sd=0.2)
        fast = speaker_interval(weighted_accuracy, truth, guess, speakers, 3, draws=300)
        right = truth == guess
        slow = interval_of(lambda r: float(right[r].mean()), speakers, draws=300, scale="logit")
        assert slow == pytest.approx(fast)

    def test_of_a_mean(self, generator):
        _, _, speakers = answers(generator, 12)
        values = generator.exponential(1.0, len(speakers))
        fast = mean_interval(values, speakers, draws=300)
        slow = interval_of(lambda rows: float(values[rows].mean()), speakers, draws=300)
        assert slow == pytest.approx(fast)
        assert fast[0] < values.mean() < fast[1]

    def test_draws_without_a_figure_are_left_out(self):
        kept = interval(0.5, np.array([0.4, np.nan, 0.6]), 5)
        assert kept == interval(0.5, np.array([0.4, 0.6]), 5)

    @pytest.mark.parametrize("value", [0.0, 1.0])
    def test_at_the_ends_there_is_no_spread(self, value):
        assert interval(value, np.full(9, value), 6) == (value, value)

    @given(st.floats(0.01, 0.99), st.floats(0.001, 0.5), st.integers(2, 40), st.floats(0.5, 0.99))
    @settings(max_examples=60, deadline=None)
    def test_holds_the_figure_and_stays_a_share(self, value, sd, n_speakers, level):
        drawn = value + sd * np.linspace(-1, 1, 11)
        low, high = interval(value, drawn, n_speakers, level=level)
        assert 0.0 <= low < value < high <= 1.0

    def test_counts_each_speaker(self, generator):
        truth, guess, speakers = answers(generator, 4, each=7)
        each = confusion_per_speaker(truth, guess, speakers, 3)
        assert each.shape == (4, 3, 3)
        assert each.sum(axis=(1, 2)).tolist() == [7] * 4
        weights = speaker_draws(4, 50, seed=1)
        assert weights.sum(axis=1).tolist() == [4] * 50
        sums = drawn_sums(each, weights)
        np.testing.assert_allclose(
            sums[7], sum(w * e for w, e in zip(weights[7], each, strict=True))
        )

    def test_ten_thousand_predictions_in_well_under_a_second(self, generator):
        truth, guess, speakers = answers(generator, 100, each=100)
        started = time.perf_counter()
        speaker_interval(macro_f1, truth, guess, speakers, 3, draws=2000)
        assert time.perf_counter() - started < 0.5

    @pytest.mark.parametrize("n_speakers", [6, 20])
    def test_holds_the_truth_about_as_often_as_it_says(self, n_speakers, generator):
        """A small form of benchmarks/intervals.py: 300 corpora of speakers who differ."""
        held = 0
        for replicate in range(300):
            truth, guess, speakers = answers(generator, n_speakers, skill=0.6, sd=0.12)
            low, high = speaker_interval(
                unweighted_average_recall, truth, guess, speakers, 3, draws=200, seed=replicate
            )
            held += low <= 0.6 <= high
        assert 0.91 <= held / 300 <= 0.985

    def test_spread(self):
        assert spread([0.5]) == {"mean": 0.5, "sd": None, "n": 1}
        assert spread([0.4, 0.5, 0.6])["sd"] == pytest.approx(0.1)


class TestCorrectedResampledT:
    @given(
        st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=20),
        st.floats(0.01, 2.0),
    )
    def test_against_the_formula_by_scipy(self, differences, ratio):
        deviation = np.std(differences, ddof=1)
        assume(deviation > 1e-6)
        n = len(differences)
        t = np.mean(differences) / (deviation * np.sqrt(1 / n + ratio))
        expected = 2 * scipy.stats.t.sf(abs(t), n - 1)
        assert s.corrected_resampled_t_test(differences, ratio) == pytest.approx(expected, abs=1e-9)

    def test_overlap_makes_it_more_careful_than_the_plain_test(self):
        differences = [-0.090, -0.042, -0.035, -0.056, 0.003, 0.021, -0.069, 0.056, -0.042, -0.104]
        plain = scipy.stats.ttest_1samp(differences, 0).pvalue
        assert s.corrected_resampled_t_test(differences, 0.0) == pytest.approx(plain)
        assert s.corrected_resampled_t_test(differences, 288 / 672) > 0.3 > 0.05 > plain

    def test_differences_that_do_not_vary(self):
        assert s.corrected_resampled_t_test([0.0, 0.0], 0.4) == 1.0
        assert s.corrected_resampled_t_test([0.1, 0.1, 0.1], 0.4) == 0.0

    def test_one_split(self):
        with pytest.raises(ValueError, match="give at least two"):
            s.corrected_resampled_t_test([0.1], 0.4)


class TestSignFlip:
    def two(self, generator, n_speakers, better=0.0):
        truth, first, speakers = answers(generator, n_speakers, skill=0.5 + better)
        right = generator.random(len(truth)) < 0.5
        second = np.where(right, truth, (truth + 1) % 3)
        return tuple(confusion_per_speaker(truth, g, speakers, 3) for g in (first, second))

    @pytest.mark.parametrize("n_speakers", [5, 20])
    def test_accuracy_is_the_permutation_test_of_scipy(self, n_speakers, generator):
        stats = pytest.importorskip("scipy.stats")
        first, second = self.two(generator, n_speakers, better=0.1)
        apart = np.trace(first - second, axis1=1, axis2=2)
        theirs = stats.permutation_test(
            (apart,),
            lambda x, axis: x.mean(axis=axis),
            permutation_type="samples",
            n_resamples=20_000,
            rng=np.random.default_rng(0),
        ).pvalue
        ours = s.sign_flip_test(weighted_accuracy, first, second)
        assert ours == pytest.approx(theirs, abs=1e-9 if n_speakers == 5 else 0.02)

    def test_same_answers_do_not_differ(self, generator):
        first, _ = self.two(generator, 6)
        assert s.sign_flip_test(unweighted_average_recall, first, first) == 1.0

    def test_symmetric(self, generator):
        pair = self.two(generator, 7, better=0.2)
        assert s.sign_flip_test(macro_f1, *pair) == s.sign_flip_test(macro_f1, *pair[::-1])

    @pytest.mark.parametrize(("n_speakers", "least"), [(1, 1.0), (4, 0.125), (9, 2 / 2**9)])
    def test_least_possible_p_value(self, n_speakers, least):
        perfect = np.tile(np.eye(3) * 5, (n_speakers, 1, 1))
        hopeless = np.tile(np.roll(np.eye(3), 1, axis=1) * 5, (n_speakers, 1, 1))
        assert s.sign_flip_test(weighted_accuracy, perfect, hopeless) == least

    def test_drawn_swaps_never_say_zero(self):
        perfect = np.tile(np.eye(3) * 5, (30, 1, 1))
        hopeless = np.tile(np.roll(np.eye(3), 1, axis=1) * 5, (30, 1, 1))
        found = s.sign_flip_test(weighted_accuracy, perfect, hopeless, draws=999)
        assert found == pytest.approx(0.001)

    def test_alarms_falsely_as_seldom_as_it_says(self, generator):
        found = [
            s.sign_flip_test(unweighted_average_recall, *self.two(generator, 8)) for _ in range(400)
        ]
        assert 0.02 <= np.mean(np.array(found) <= 0.05) <= 0.085

    def test_difference_interval(self, generator):
        first, second = self.two(generator, 24, better=0.3)
        low, high = s.difference_interval(weighted_accuracy, first, second)
        assert 0.1 < low < 0.3 < high < 0.5
        mirrored = s.difference_interval(weighted_accuracy, second, first)
        assert mirrored == pytest.approx((-high, -low))


class TestMcNemar:
    @pytest.mark.parametrize(("b", "c"), [(0, 0), (5, 0), (3, 9), (9, 3), (40, 60), (7, 7)])
    def test_exact_is_the_binomial_test_and_mid_is_less(self, b, c):
        stats = pytest.importorskip("scipy.stats")
        first = np.array([True] * b + [False] * c + [True] * 4 + [False] * 4)
        second = np.array([False] * b + [True] * c + [True] * 4 + [False] * 4)
        exact = s.mcnemar(first, second, mid=False)
        mid = s.mcnemar(first, second)
        if b + c:
            assert exact == pytest.approx(stats.binomtest(b, b + c).pvalue)
            expected = min(1.0, 2 * stats.binom.cdf(min(b, c), b + c, 0.5)) if b != c else 1.0
            less = stats.binom.pmf(min(b, c), b + c, 0.5) if b != c else 0.0
            assert mid == pytest.approx(expected - less)
        else:
            assert exact == mid == 1.0

    def test_ten_thousand_items(self, generator):
        first, second = generator.random((2, 10_000)) < [[0.60], [0.55]]
        assert 0.0 <= s.mcnemar(first, second) < 1e-6


class TestCorrections:
    @given(p_values)
    @settings(max_examples=60, deadline=None)
    def test_never_below_the_p_value_nor_above_one(self, found):
        holm, hochberg = s.holm(found), s.benjamini_hochberg(found)
        for p, strict, lenient in zip(found, holm, hochberg, strict=True):
            assert p - 1e-12 <= lenient <= strict + 1e-12 <= 1 + 1e-9
        order = np.argsort(found, kind="stable")
        assert np.all(np.diff(np.array(holm)[order]) >= -1e-12)

    @given(p_values)
    @settings(max_examples=40, deadline=None)
    def test_benjamini_hochberg_is_that_of_scipy(self, found):
        stats = pytest.importorskip("scipy.stats")
        np.testing.assert_allclose(
            s.benjamini_hochberg(found), stats.false_discovery_control(found), atol=1e-12
        )

    def test_one_comparison_needs_none(self):
        assert s.holm([0.03]) == s.benjamini_hochberg([0.03]) == [0.03]

    def test_log_losses_feed_means(self):
        assert log_losses(np.array([[0.5, 0.5]]), np.array([1])).tolist() == [np.log(2)]
