"""Metrics against scikit-learn, intervals, protocols over arbitrary tables, planted leaks."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from ullim.errors import RecipeError
from ullim.evaluation.leakage import audit
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
from ullim.evaluation.protocols import (
    PROTOCOLS,
    Emobox,
    Fold,
    LeaveOneCorpusOut,
    LeaveOneSpeakerOut,
    Protocol,
    RandomSplit,
    SpeakerKfold,
    speaker_keys,
)
from ullim.evaluation.statistics import speaker_interval
from ullim.types import Utterance, Vote

LABELS = ("neutral", "anger", "sadness")

columns = st.integers(0, 4)
answers = st.lists(st.tuples(columns, columns), min_size=1, max_size=60).map(
    lambda pairs: (np.array([t for t, _ in pairs]), np.array([g for _, g in pairs]))
)


def utterance(
    number: int, corpus: str = "ravdess", speaker: str | None = "01", **facts: object
) -> Utterance:
    return Utterance(
        id=f"{corpus}-{number}",
        file=Path(f"{number}.wav"),
        corpus=corpus,
        speaker=speaker,
        votes=(Vote("actor", "anger"),),
        **facts,
    )


def table(*speakers: str | None, corpus: str = "ravdess", each: int = 3) -> list[Utterance]:
    return [
        utterance(each * place + take, corpus, speaker)
        for place, speaker in enumerate(speakers)
        for take in range(each)
    ]


@st.composite
def tables(draw, max_corpora: int = 3) -> tuple[list[Utterance], list[str]]:
    """Rows of one to three corpora whose speakers carry the same numbers, in any order."""
    rows = []
    for corpus in ("ravdess", "emodb", "emotiontts_ko")[: draw(st.integers(1, max_corpora))]:
        for speaker in range(draw(st.integers(1, 7))):
            gender = draw(st.sampled_from(["female", "male", None]))
            rows += [
                utterance(len(rows) + take, corpus, f"{speaker:02}", gender=gender)
                for take in range(draw(st.integers(1, 4)))
            ]
    rows = draw(st.permutations(rows))
    return rows, draw(st.lists(st.sampled_from(LABELS), min_size=len(rows), max_size=len(rows)))


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


EVERY_PROTOCOL = pytest.mark.parametrize("cls", PROTOCOLS.values(), ids=PROTOCOLS)
ACTORS = [f"{actor:02}" for actor in range(1, 25)]


def suiting(cls: type) -> list[Utterance]:
    """Return rows that a protocol can split."""
    rows = table(*ACTORS)
    return rows if cls is Emobox else [*rows, *table("03", "08", "10", corpus="emodb")]


def halves(rows: list[Utterance]) -> list[str]:
    return [LABELS[place % len(LABELS)] for place in range(len(rows))]


class TestEveryProtocol:
    @EVERY_PROTOCOL
    def test_each_fold_holds_every_row_once(self, cls):
        rows = suiting(cls)
        folds = cls().folds(rows, halves(rows))
        assert len({fold.name for fold in folds}) == len(folds)
        for fold in folds:
            assert sorted([*fold.train, *fold.test]) == list(range(len(rows)))
            assert len(fold.train) > 0
            assert len(fold.test) > 0

    @EVERY_PROTOCOL
    def test_each_row_is_tested_once(self, cls):
        rows = suiting(cls)
        tested = Counter(int(row) for fold in cls().folds(rows, halves(rows)) for row in fold.test)
        if cls is RandomSplit:
            assert set(tested.values()) == {1}
        else:
            assert tested == dict.fromkeys(range(len(rows)), 1)

    @EVERY_PROTOCOL
    @given(data=tables(), seed=st.integers(0, 5))
    @settings(max_examples=40, deadline=None)
    def test_speakers_stay_apart_or_the_protocol_says_so(self, cls, data, seed):
        rows, labels = data
        protocol = cls(n_folds=2) if cls is SpeakerKfold else cls()
        try:
            folds = protocol.folds(rows, labels, seed)
        except RecipeError as refusal:
            assert refusal.code in {  # noqa: PT017 - small tables may be refused, by these codes
                "empty_fold",
                "wrong_corpus",
                "too_few_speakers",
                "too_few_corpora",
            }
            return
        keys = speaker_keys(rows)
        for fold in folds:
            assert set(fold.train) | set(fold.test) == set(range(len(rows)))
            assert not set(fold.train) & set(fold.test)
            if cls.speaker_independent:
                assert not set(keys[fold.train]) & set(keys[fold.test])
        if cls.speaker_independent:
            tested = sorted(int(row) for fold in folds for row in fold.test)
            assert tested == list(range(len(rows)))

    @EVERY_PROTOCOL
    def test_equal_seeds_give_equal_folds(self, cls):
        rows = suiting(cls)
        for one, other in zip(
            cls().folds(rows, halves(rows), 3), cls().folds(rows, halves(rows), 3), strict=True
        ):
            np.testing.assert_array_equal(one.test, other.test)

    @EVERY_PROTOCOL
    def test_no_rows_are_refused(self, cls):
        with pytest.raises(RecipeError, match=f"protocol {_name(cls)}|{_name(cls)} "):
            cls().folds([], [])

    @EVERY_PROTOCOL
    def test_one_speaker_is_refused_where_speakers_must_stay_apart(self, cls):
        rows = table("01", each=9)
        if not cls.speaker_independent:
            assert cls().folds(rows, halves(rows))
            return
        with pytest.raises(RecipeError, match=_name(cls)):
            cls().folds(rows, halves(rows))

    @EVERY_PROTOCOL
    def test_rows_without_speakers_are_refused_where_speakers_must_stay_apart(self, cls):
        rows = [*suiting(cls), utterance(999, speaker=None)]
        if not cls.speaker_independent:
            assert cls().folds(rows, halves(rows))
            return
        with pytest.raises(RecipeError, match="needs the speaker of every utterance") as caught:
            cls().folds(rows, halves(rows))
        assert caught.value.code == "no_speaker"

    @EVERY_PROTOCOL
    def test_found_by_name_in_a_recipe(self, cls):
        parsed = TypeAdapter(Protocol).validate_python({"name": _name(cls)})
        assert type(parsed) is cls
        assert cls.description.strip()

    def test_unknown_protocol_lists_those_there_are(self):
        with pytest.raises(ValidationError, match="leave-one-speaker-out"):
            TypeAdapter(Protocol).validate_python({"name": "hold-out"})


def _name(cls: type) -> str:
    return str(cls.model_fields["name"].default)


class TestEmobox:
    def test_published_actors(self):
        rows = table(*ACTORS)
        folds = Emobox().folds(rows, halves(rows))
        tested = [sorted({rows[row].speaker for row in fold.test}) for fold in folds]
        assert tested == [
            ["01", "11", "20", "21"],
            ["04", "10", "12", "14"],
            ["08", "09", "19", "23"],
            ["03", "05", "07", "24"],
            ["02", "15", "16", "18"],
            ["06", "13", "17", "22"],
        ]

    @pytest.mark.parametrize("others", [["emodb"], ["ravdess", "emodb"]], ids=str)
    def test_other_corpora_are_refused(self, others):
        rows = [row for corpus in others for row in table(*ACTORS, corpus=corpus)]
        with pytest.raises(RecipeError, match="defined for ravdess alone") as caught:
            Emobox().folds(rows, halves(rows))
        assert caught.value.code == "wrong_corpus"

    def test_missing_actors_are_refused(self):
        rows = table("01", "02", "03")
        with pytest.raises(RecipeError, match="leaves a fold without training or test rows"):
            Emobox().folds(rows, halves(rows))


class TestSpeakerKfold:
    def test_genders_and_corpora_are_spread(self):
        rows = [
            utterance(number, corpus, f"{number:02}", gender="female" if number % 2 else "male")
            for corpus in ("ravdess", "emodb")
            for number in range(10)
        ]
        for fold in SpeakerKfold(n_folds=5).folds(rows, halves(rows), seed=3):
            tested = [rows[row] for row in fold.test]
            assert Counter(row.corpus for row in tested) == {"ravdess": 2, "emodb": 2}
            assert Counter(row.gender for row in tested) == {"female": 2, "male": 2}

    def test_other_seeds_deal_otherwise(self):
        rows = table(*ACTORS)
        dealt = {tuple(SpeakerKfold().folds(rows, halves(rows), seed)[0].test) for seed in range(5)}
        assert len(dealt) > 1

    def test_too_few_speakers_are_refused(self):
        rows = table("01", "02", "03")
        with pytest.raises(RecipeError, match="5 folds needs as many speakers and there are 3"):
            SpeakerKfold().folds(rows, halves(rows))

    @pytest.mark.parametrize("n_folds", [1, 0, -2, "many"])
    def test_impossible_numbers_of_folds_are_refused(self, n_folds):
        with pytest.raises(ValidationError, match="n_folds"):
            SpeakerKfold(n_folds=n_folds)


class TestRandomSplit:
    def test_keeps_the_shares_of_labels(self):
        rows = table(*ACTORS, each=10)
        labels = ["neutral"] * 40 + ["anger"] * 200
        (fold,) = RandomSplit(test_share=0.25).folds(rows, labels, seed=1)
        assert Counter(labels[row] for row in fold.test) == {"neutral": 10, "anger": 50}

    def test_other_seeds_draw_others(self):
        rows = table(*ACTORS)
        drawn = {tuple(RandomSplit().folds(rows, halves(rows), s)[0].test) for s in range(4)}
        assert len(drawn) == 4

    @pytest.mark.parametrize("share", [0.0, 1.0, -0.3, 30])
    def test_impossible_shares_are_refused(self, share):
        with pytest.raises(ValidationError, match="test_share"):
            RandomSplit(test_share=share)

    def test_too_few_rows_are_refused(self):
        with pytest.raises(RecipeError, match="leaves a fold without training or test rows"):
            RandomSplit().folds(table("01", each=1), ["anger"])


class TestOneOut:
    def test_folds_are_named_after_who_is_tested(self):
        rows = [*table("01", "02"), *table("01", corpus="emodb")]
        names = [fold.name for fold in LeaveOneSpeakerOut().folds(rows, halves(rows))]
        assert names == ["emodb/01", "ravdess/01", "ravdess/02"]
        names = [fold.name for fold in LeaveOneCorpusOut().folds(rows, halves(rows))]
        assert names == ["emodb", "ravdess"]

    def test_one_corpus_is_refused(self):
        with pytest.raises(RecipeError, match="at least two corpora"):
            LeaveOneCorpusOut().folds(table("01", "02"), halves(table("01", "02")))


def test_equal_numbers_in_two_corpora_are_two_speakers():
    rows = [utterance(0, "ravdess", "03"), utterance(1, "emodb", "03")]
    assert speaker_keys(rows).tolist() == ["ravdess/03", "emodb/03"]


def test_a_protocol_that_lets_speakers_cross_is_stopped():
    class Broken(LeaveOneSpeakerOut):
        def _folds(self, utterances, labels, seed):
            return [Fold("1", np.array([0, 1, 2]), np.array([3, 4]))]

    rows = [*table("01", "02", each=2), utterance(9, speaker="01")]
    with pytest.raises(RecipeError, match="speakers on both sides: ravdess/01") as caught:
        Broken().folds(rows, halves(rows))
    assert caught.value.code == "speaker_overlap"


class TestLeakageAudit:
    rows = (
        utterance(0, speaker="01", sentence_id="a"),
        utterance(1, speaker="01", sentence_id="b"),
        utterance(2, speaker="02", sentence_id="a"),
        utterance(3, speaker="03", sentence_id="c"),
    )
    hashes = ("h0", "h1", "h2", "h3")

    def test_clean_folds_have_nothing_to_report(self):
        fold = Fold("1", np.array([0, 1, 2]), np.array([3]))
        assert audit(self.rows, self.hashes, [fold]) == {
            "speakers_on_both_sides": [],
            "share_of_test_rows_with_trained_sentence": 0.0,
            "test_rows_with_trained_recording": [],
        }

    def test_planted_speaker(self):
        found = audit(self.rows, self.hashes, [Fold("1", np.array([0, 2]), np.array([1, 3]))])
        assert found["speakers_on_both_sides"] == ["ravdess/01"]

    def test_planted_sentence(self):
        found = audit(self.rows, self.hashes, [Fold("1", np.array([0, 1]), np.array([2, 3]))])
        assert found["share_of_test_rows_with_trained_sentence"] == 0.5

    def test_planted_recording(self):
        hashes = ("h0", "h1", "h2", "h1")
        folds = [
            Fold("1", np.array([0, 1, 2]), np.array([3])),
            Fold("2", np.array([3]), np.array([0, 1, 2])),
        ]
        found = audit(self.rows, hashes, folds)
        assert found["test_rows_with_trained_recording"] == ["ravdess-1", "ravdess-3"]

    def test_same_words_in_two_corpora_are_two_sentences(self):
        rows = [utterance(0, "ravdess", sentence_id="01"), utterance(1, "emodb", sentence_id="01")]
        found = audit(rows, ("x", "y"), [Fold("1", np.array([0]), np.array([1]))])
        assert found["share_of_test_rows_with_trained_sentence"] == 0.0
        assert found["speakers_on_both_sides"] == []

    def test_rows_without_sentence_go_by_their_text_or_stand_alone(self):
        rows = [
            utterance(0, text="hello"),
            utterance(1, text="hello"),
            utterance(2),
            utterance(3),
        ]
        found = audit(rows, list("wxyz"), [Fold("1", np.array([0, 2]), np.array([1, 3]))])
        assert found["share_of_test_rows_with_trained_sentence"] == 0.5
