"""Segments and the rules by which they vote: how a clip is cut, counted and answered."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ullim.decision import RULES, Decision, vote_shares
from ullim.evaluation.predictions import FACTS, from_columns, read_predictions
from ullim.evaluation.summary import summarise
from ullim.inference.windows import stretches
from ullim.window import Window

LABELS = ("neutral", "happiness", "sadness", "anger", "fear")
PARK = Decision(rule="park2018")
MAJORITY = Decision(rule="majority")
SEGMENTS = Window(mode="segments", length_s=0.16)


def chosen(rule: Decision, *shares: float, scores: tuple[float, ...] | None = None) -> str:
    """Return the label of one recording by its votes, in the order of LABELS."""
    votes = np.array([[*shares, *[0.0] * (len(LABELS) - len(shares))]])
    means = votes if scores is None else np.array([scores])
    return LABELS[rule.choose(means, votes, LABELS)[0]]


class TestPark2018:
    def test_an_emotion_with_three_tenths_beats_neutral_with_six(self):
        assert chosen(PARK, 0.6, 0.0, 0.0, 0.31, 0.09) == "anger"
        assert chosen(MAJORITY, 0.6, 0.0, 0.0, 0.31, 0.09) == "neutral"

    @pytest.mark.parametrize("n", [10, 20, 30, 70, 1000])
    def test_exactly_three_tenths_is_enough(self, n):
        votes = np.zeros((n, 5))
        votes[:, 0] = 1.0
        votes[: 3 * n // 10] = np.eye(5)[4]
        shares = vote_shares(votes, np.array([n]))
        assert PARK.choose(shares, shares, LABELS)[0] == 4
        votes[0] = np.eye(5)[0]
        shares = vote_shares(votes, np.array([n]))
        assert PARK.choose(shares, shares, LABELS)[0] == 0

    def test_of_several_emotions_the_one_with_most_votes(self):
        assert chosen(PARK, 0.0, 0.31, 0.32, 0.37) == "anger"

    def test_a_tie_goes_to_the_higher_mean_probability(self):
        assert chosen(PARK, 0.2, 0.4, 0.0, 0.4, scores=(0.5, 0.2, 0.0, 0.3, 0.0)) == "anger"
        assert chosen(MAJORITY, 0.0, 0.5, 0.0, 0.5, scores=(0.5, 0.3, 0.0, 0.2, 0.0)) == "happiness"

    def test_without_one_over_the_bound_it_is_neutral_however_few_say_so(self):
        assert chosen(PARK, 0.0, 0.25, 0.25, 0.25, 0.25) == "neutral"
        assert chosen(PARK, 0.12, 0.29, 0.29, 0.15, 0.15) == "neutral"

    @given(st.lists(st.integers(0, 40), min_size=5, max_size=5).filter(any))
    @settings(max_examples=200, deadline=None)
    def test_the_clause_of_one_half_changes_nothing(self, counts):
        # The paper: also neutral when neutral has half and no other emotion 30 %.
        shares = np.array([counts]) / sum(counts)
        answer = PARK.choose(shares, shares, LABELS)[0]
        others = shares[0, 1:]
        literal = 0 if others.max() < 0.3 - 1e-9 else 1 + int(others.argmax())
        assert answer == literal

    def test_where_neutral_may_not_be_answered_most_votes_decide(self):
        shares = np.array([[0.25, 0.2, 0.28, 0.27]])
        assert PARK.choose(shares, shares, LABELS[1:])[0] == 2

    def test_the_bound_is_a_field(self):
        assert chosen(Decision(rule="park2018", vote_share=0.5), 0.5, 0.0, 0.0, 0.4) == "neutral"


@given(seed=st.integers(0, 500), n=st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_every_rule_answers_with_a_label_that_somebody_voted_for_or_neutral(seed, n):
    generator = np.random.default_rng(seed)
    counts = generator.integers(1, 30, n)
    each = generator.dirichlet(np.full(5, 0.3), counts.sum())
    shares = vote_shares(each, counts)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    scores = np.add.reduceat(each, np.cumsum([0, *counts[:-1]])) / counts[:, None]
    assert (Decision().choose(scores, shares, LABELS) == scores.argmax(axis=1)).all()
    for rule in ("majority", "park2018"):
        columns = Decision(rule=rule).choose(scores, shares, LABELS)
        assert all(shares[row, c] > 0 or c == 0 for row, c in enumerate(columns))
    most = MAJORITY.choose(scores, shares, LABELS)
    assert (shares[np.arange(n), most] == shares.max(axis=1)).all()


class TestWindow:
    @given(n=st.integers(1, 400), length=st.integers(1, 60))
    @settings(max_examples=80, deadline=None)
    def test_pieces_follow_one_another_and_the_tail_is_dropped(self, n, length):
        window = Window(mode="segments", length_s=length * 0.01)
        starts = window.starts(n, 0.01)
        assert starts[0] == 0
        assert (np.diff(starts) == length).all()
        if n >= length:
            assert window.length(n, 0.01) == length
            assert 0 <= n - (starts[-1] + length) < length
        else:
            assert len(starts) == 1

    def test_hop_is_the_timelines_alone(self):
        assert len(Window(mode="segments", length_s=1, hop_s=0.1).starts(100, 0.1)) == 10

    def test_a_shorter_clip_is_said_again(self):
        signal = np.arange(1000, dtype=np.float32)
        filled = SEGMENTS.fill(signal, 16_000)
        assert filled.size == 2560
        np.testing.assert_array_equal(filled[1000:2000], signal)
        assert SEGMENTS.fill(np.zeros(9000, np.float32), 16_000).size == 9000
        assert Window().fill(signal, 16_000) is signal

    @pytest.mark.parametrize("length_s", [0.16, 1.0, 7.0, 45.0])
    def test_a_stretch_holds_whole_pieces(self, length_s):
        window = Window(mode="segments", length_s=length_s)
        samples = window.stretch(16_000)
        assert samples % round(length_s * 16_000) == 0
        assert samples <= max(30.0, length_s) * 16_000


@given(
    blocks=st.lists(st.integers(0, 50), max_size=6),
    length=st.integers(1, 40),
    least=st.integers(1, 40),
)
@settings(max_examples=80, deadline=None)
def test_stretches_are_the_signal_without_a_short_rest(blocks, length, least):
    least = min(least, length)
    signal = np.arange(sum(blocks), dtype=np.float32)
    cut = np.split(signal, np.cumsum(blocks)[:-1]) if blocks else []
    found = list(stretches(cut, length, least))
    joined = np.concatenate([part for _, part in found])
    np.testing.assert_array_equal(joined, signal[: len(joined)])
    assert [start for start, _ in found] == [length * k for k in range(len(found))]
    rest = len(signal) - len(joined)
    assert rest < least or rest == 0


def predictions(rule: Decision):
    """Return four recordings of two seeds whose votes and probabilities disagree."""
    scores = np.array([[0.5, 0.0, 0.0, 0.4, 0.1]] * 4)
    shares = np.array([[0.6, 0.0, 0.0, 0.4, 0.0]] * 2 + [[0.8, 0.0, 0.0, 0.2, 0.0]] * 2)
    facts = {name: ["a", "b", "c", "d"] for name in FACTS} | {
        "seed": ["0", "0", "1", "1"],
        "corpus": ["toy"] * 4,
    }
    return from_columns(LABELS, scores, np.array([3, 3, 3, 0]), facts, shares, rule)


class TestFigures:
    def test_labels_follow_the_rule_and_confidence_the_label(self):
        answers = predictions(PARK)
        assert answers.guess.tolist() == [3, 3, 0, 0]
        np.testing.assert_allclose(answers.confidence, [0.4, 0.4, 0.5, 0.5])
        assert answers.correct.tolist() == [True, True, False, True]
        assert predictions(MAJORITY).guess.tolist() == [0] * 4

    def test_rows_and_labels_may_be_chosen(self):
        answers = predictions(PARK).take(np.array([0, 3])).over(("anger", "neutral"))
        assert answers.guess.tolist() == [0, 1]
        np.testing.assert_allclose(answers.shares.sum(axis=1), 1.0)

    def test_every_rule_is_scored_on_the_same_votes(self):
        figures = summarise(predictions(PARK), {"toy": list(LABELS)}, draws=20)["corpora"]["toy"]
        assert figures["weighted_accuracy"]["value"] == 0.75
        assert figures["decision"]["rule"] == "park2018"
        by_rule = figures["decision"]["by_rule"]
        assert set(by_rule) == set(RULES)
        assert by_rule["park2018"]["weighted_accuracy"] == {
            "value": 0.75, "mean": 0.75, "sd": pytest.approx(0.3536, abs=1e-4)
        }  # fmt: skip
        assert by_rule["majority"]["weighted_accuracy"]["value"] == 0.25
        assert by_rule["park2018"]["recall"]["anger"] == pytest.approx(0.6667, abs=1e-4)

    def test_without_votes_there_is_nothing_to_compare(self):
        plain = from_columns(LABELS, np.eye(5), np.arange(5), {n: ["x"] * 5 for n in FACTS})
        assert "decision" not in summarise(plain, {"x": list(LABELS)}, draws=20)["corpora"]["x"]

    def test_the_table_is_read_with_its_votes(self, tmp_path):
        table = tmp_path / "predictions.csv"
        columns = [f"p_{n}" for n in LABELS] + [f"v_{n}" for n in LABELS]
        header = ",".join(["corpus", "speaker", "id", "label", *columns, "predicted"])
        row = "toy,s,1,anger,0.5,0,0,0.4,0.1,0.6,0,0,0.4,0,anger"
        table.write_text(f"{header}\n{row}\n", encoding="utf-8")
        assert read_predictions(table, LABELS, PARK).guess.tolist() == [3]
        assert read_predictions(table, LABELS).guess.tolist() == [0]


@pytest.mark.parametrize("fields", [{"rule": "seed"}, {"vote_share": 0.0}, {"vote_share": 1.5}])
def test_impossible_rules_are_refused(fields):
    with pytest.raises(ValidationError, match=next(iter(fields))):
        Decision(**fields)
