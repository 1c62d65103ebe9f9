"""Boards: equal items only, seeds, ranks, significance; and the command."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ullim.errors import RecipeError
from ullim.evaluation.comparison import compare
from ullim.evaluation.metrics import confusion_matrix, unweighted_average_recall
from ullim.evaluation.predictions import read_predictions, read_run
from ullim.evaluation.report.boards import to_markdown
from ullim.evaluation.significance import corrected_resampled_t_test
from ullim.evaluation.summary import refresh


def boards_of(*folders, **options):
    return compare([read_run(folder) for folder in folders], draws=300, **options)


class TestBoard:
    def test_ranked_by_the_metric_with_pairs_below(self, make_run):
        low, high, middle = (
            make_run(name, skill=skill)
            for name, skill in (("low", 0.3), ("high", 0.9), ("middle", 0.6))
        )
        (board,), apart = boards_of(low, high, middle)
        assert apart == []
        assert [entry.run for entry in board.entries] == ["high", "middle", "low"]
        assert [entry.rank for entry in board.entries] == [1, 2, 3]
        assert (board.n_items, board.n_speakers) == (96, 8)
        assert [(pair.first, pair.second) for pair in board.pairs] == [
            ("high", "middle"),
            ("high", "low"),
            ("middle", "low"),
        ]
        for pair in board.pairs:
            difference, at_least, at_most = pair.difference
            assert difference > 0
            assert at_least < difference < at_most
            assert pair.p <= pair.p_benjamini_hochberg <= pair.p_holm <= 1
        # Eight speakers: 2 / 2^8 is the least there is, times three pairs.
        assert board.pairs[1].p == 2 / 2**8
        assert board.pairs[1].p_holm == pytest.approx(3 * 2 / 2**8)

    def test_figures_are_those_of_the_run_alone(self, make_run):
        first, second = make_run("a"), make_run("b", skill=0.5)
        (board,), _ = boards_of(first, second)
        for folder in (first, second):
            run = read_run(folder)
            part = run.of("emodb")
            matrix = confusion_matrix(part.truth, part.guess, 4)
            (entry,) = (entry for entry in board.entries if entry.run == folder.name)
            value, low, high = entry.figures["unweighted_average_recall"]
            assert value == pytest.approx(unweighted_average_recall(matrix).item())
            assert low < value < high

    def test_the_same_answers_share_a_rank_and_do_not_differ(self, make_run, tmp_path):
        first = make_run("a")
        second = tmp_path / "b"
        second.mkdir()
        for file in first.iterdir():
            (second / file.name).write_bytes(file.read_bytes())
        (board,), _ = boards_of(first, second)
        assert [entry.rank for entry in board.entries] == [1, 1]
        (pair,) = board.pairs
        assert pair.difference == (0.0, 0.0, 0.0)
        assert pair.p == pair.p_mcnemar == 1.0

    def test_seeds_count_each_item_once(self, make_run):
        once, thrice = make_run("a"), make_run("b", seeds=(0, 1, 2))
        (board,), _ = boards_of(once, thrice)
        assert {entry.run: entry.seeds for entry in board.entries} == {"a": 1, "b": 3}
        assert board.n_items == 96
        assert any("first seed" in note for note in board.notes)

    def test_under_some_seeds_it_is_the_run_of_these(self, make_run):
        five = read_run(make_run("a", seeds=(0, 1, 2, 3, 4)))
        (board,), _ = compare([five.under([1, 3]), read_run(make_run("b", seeds=(1, 3)))])
        (entry,) = [entry for entry in board.entries if entry.run == "a"]
        assert entry.seeds == 2
        right = [five.of("emodb").correct[five.of("emodb").seed == seed].mean() for seed in "13"]
        assert entry.figures["weighted_accuracy"][0] == pytest.approx(np.mean(right))

    def test_a_seed_that_was_not_run(self, make_run):
        with pytest.raises(RecipeError, match="no seed 7, 9, only 0, 1") as refused:
            read_run(make_run("a", seeds=(0, 1))).under([0, 9, 7])
        assert refused.value.code == "no_seed"

    def test_no_speech_that_nobody_tests_is_no_difference(self, make_run):
        labels = ("neutral", "happiness", "sadness", "anger")
        plain = make_run("a", labels=labels)
        more = make_run("b", labels=labels)
        # The same items; the recipe may also answer no_speech.
        table = (more / "predictions.csv").read_text(encoding="utf-8").splitlines()
        wider = [table[0] + ",p_no_speech", *(line + ",0.5" for line in table[1:])]
        (more / "predictions.csv").write_text("\n".join(wider) + "\n", encoding="utf-8")
        metrics = json.loads((more / "metrics.json").read_text(encoding="utf-8"))
        metrics["labels"].append("no_speech")
        metrics["corpora"]["emodb"]["labels"].append("no_speech")
        (more / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
        (board,), _ = boards_of(plain, more)
        assert board.labels == labels

    def test_under_ten_speakers_a_reader_is_told(self, make_run):
        (board,), _ = boards_of(make_run("a"), make_run("b"))
        assert "no p-value of the sign-flip test can be under 0.00781" in board.notes[0]
        (board,), _ = boards_of(make_run("c", n_speakers=12), make_run("d", n_speakers=12))
        assert board.notes == ()


class TestRandomSplits:
    """Each seed tests another part of the items."""

    SEEDS = (0, 1, 2, 3)

    def split_run(self, make_run, name, **options):
        return make_run(name, seeds=self.SEEDS, tested=4, **options)

    def test_a_figure_is_that_of_the_run_alone(self, make_run, tmp_path):
        (board,), _ = boards_of(self.split_run(make_run, "a"), self.split_run(make_run, "b"))
        answers = read_run(self.split_run(make_run, "c")).of("emodb")
        assert len(np.unique(answers.id)) < len(answers), "some items are tested more than once"
        for entry in board.entries:
            alone = read_run(tmp_path / entry.run).of("emodb")
            assert entry.figures["weighted_accuracy"][0] == pytest.approx(alone.correct.mean())

    def test_a_difference_is_tested_over_splits_too(self, make_run):
        low = self.split_run(make_run, "low", skill=0.3)
        high = self.split_run(make_run, "high", skill=0.9)
        (board,), _ = boards_of(low, high)
        (pair,) = board.pairs

        def recall(folder, seed):
            answers = read_run(folder).of("emodb")
            part = answers.take(answers.seed == str(seed))
            return float(unweighted_average_recall(confusion_matrix(part.truth, part.guess, 4)))

        differences = [recall(high, seed) - recall(low, seed) for seed in self.SEEDS]
        # 32 of 96 items are tested, 64 trained on.
        assert pair.p_splits == pytest.approx(corrected_resampled_t_test(differences, 0.5))
        page = to_markdown([board], [])
        assert "| UA apart | p, splits | p, sign flip |" in page
        assert "corrected resampled t-test" in page

    def test_seeds_that_test_every_item_are_no_splits(self, make_run):
        (board,), _ = boards_of(make_run("a", seeds=(0, 1)), make_run("b", seeds=(0, 1)))
        assert board.pairs[0].p_splits is None
        assert "p, splits" not in to_markdown([board], [])

    def test_other_splits_of_the_same_items_are_not_compared(self, make_run):
        # Together the splits of one test every item, as the other does.
        first, second = (
            make_run("a", tested=12, seeds=(0,)),
            make_run("b", tested=8, seeds=tuple(range(12))),
        )
        answers = read_run(second).of("emodb")
        assert len(np.unique(answers.id)) == 96
        with pytest.raises(
            RecipeError, match=r"items are tested under more of the seeds \(both ha"
        ):
            boards_of(first, second)

    def test_a_board_of_both_kinds_says_so(self, make_run):
        (board,), _ = boards_of(make_run("a", tested=12), make_run("b"))
        assert any("no difference between systems" in note for note in board.notes)


class TestTies:
    def test_the_answer_of_a_tie_is_that_of_the_recipe(self, make_run):
        folder = make_run("a", labels=("anger", "neutral", "happiness", "sadness"))
        lines = (folder / "predictions.csv").read_text(encoding="utf-8").splitlines()
        level = [
            ",".join([*line.split(",")[:-4], "0.25", "0.25", "0.25", "0.25"]) for line in lines[1:]
        ]
        (folder / "predictions.csv").write_text("\n".join([lines[0], *level]), encoding="utf-8")
        (board,), _ = boards_of(
            folder, make_run("b", labels=("anger", "neutral", "happiness", "sadness"))
        )
        angry = read_run(folder).of("emodb")
        assert (angry.guess == angry.labels.index("anger")).all()
        (entry,) = [entry for entry in board.entries if entry.run == "a"]
        assert entry.figures["weighted_accuracy"][0] == pytest.approx(angry.correct.mean())
        assert angry.correct.mean() != (angry.truth == angry.labels.index("neutral")).mean()


class TestApart:
    @pytest.mark.parametrize(
        ("other", "reason"),
        [
            ({"drop": 1}, "96 and 88 items|88 and 96 items"),
            ({"prefix": "x"}, "96 and 96 the other lacks"),
            ({"labels": ("neutral", "happiness", "sadness", "fear")}, "labels neutral"),
            ({"audio_hash": "another"}, "the recordings themselves"),
        ],
        ids=["fewer items", "other ids", "other labels", "other recordings"],
    )
    def test_what_differs_is_told(self, other, reason, make_run):
        first, second, odd = make_run("a"), make_run("b"), make_run("odd", **other)
        boards, (line,) = boards_of(first, odd, second)
        assert [[entry.run for entry in board.entries] for board in boards] in (
            [["a", "b"], ["odd"]],
            [["b", "a"], ["odd"]],
        )
        assert line.startswith("emodb: odd differs from a: ")
        import re

        assert re.search(reason, line)

        with pytest.raises(RecipeError, match=f"(?s)answered the same items.*({reason})") as caught:
            boards_of(first, odd)
        assert caught.value.code == "not_comparable"

    def test_other_labels_of_the_same_items(self, make_run):
        first, second = make_run("a"), make_run("b")
        table = (second / "predictions.csv").read_text(encoding="utf-8")
        lines = table.splitlines()
        changed = lines[1].replace(",neutral,", ",X,").replace(",anger,", ",neutral,")
        changed = changed.replace(",sadness,", ",neutral,").replace(",happiness,", ",neutral,")
        lines[1] = changed.replace(",X,", ",anger,")
        (second / "predictions.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        with pytest.raises(RecipeError, match="1 items have another label or speaker"):
            boards_of(first, second)

    def test_no_corpus_in_common(self, make_run):
        with pytest.raises(RecipeError, match="no corpus in common"):
            boards_of(make_run("a"), make_run("b", corpus="ravdess"))

    def test_recordings_that_cannot_be_told_are_marked(self, make_run):
        other = {"feature": {"name": "logmel", "sampling_rate": 8000}}
        (board,), _ = boards_of(make_run("a"), make_run("b", audio_hash="b", **other))
        assert any("cannot be told" in note for note in board.notes)

    @pytest.mark.parametrize(("count", "code"), [(1, "too_few_runs"), (2, "repeated")])
    def test_one_run_or_the_same_twice(self, count, code, make_run):
        with pytest.raises(RecipeError) as caught:
            boards_of(*[make_run("a")] * count)
        assert caught.value.code == code

    def test_unknown_metric(self, make_run):
        with pytest.raises(RecipeError, match="macro_f1"):
            boards_of(make_run("a"), make_run("b"), metric="accuracy")


class TestReading:
    def test_not_a_run(self, tmp_path):
        with pytest.raises(RecipeError, match=r"no finished run: run\.json, metrics\.json"):
            read_run(tmp_path)

    @pytest.mark.parametrize(
        ("file", "text"),
        [("run.json", "{"), ("run.json", "[]"), ("metrics.json", "{}"), ("metrics.json", "3")],
    )
    def test_damaged(self, file, text, make_run):
        folder = make_run("a")
        (folder / file).write_text(text, encoding="utf-8")
        with pytest.raises(RecipeError, match="is damaged"):
            read_run(folder)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda t: t.replace("p_anger", "p_angry"), "without p_anger"),
            (lambda t: t.splitlines()[0], "without rows"),
            (lambda t: t.replace(",neutral,", ",neutrall,"), "is damaged"),
            (lambda t: t + "0,1,emodb\n", "is damaged"),
            (lambda t: t.replace(",0.", ",-0."), "negative"),
            (lambda t: t.replace("0.", "x.", 1), "is damaged"),
            (lambda t: "", "no table"),
        ],
    )
    def test_damaged_predictions(self, change, message, make_run):
        path = make_run("a") / "predictions.csv"
        path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
        with pytest.raises(RecipeError, match=message) as caught:
            read_predictions(path, ["neutral", "happiness", "sadness", "anger"])
        assert caught.value.code == "bad_predictions"

    def test_masked_labels_are_renormalised(self, make_run):
        part = read_run(make_run("a")).of("emodb")
        rows = part.take(part.truth < 2).over(["happiness", "neutral"])
        np.testing.assert_allclose(rows.probabilities.sum(axis=1), 1)
        assert rows.labels[rows.truth[0]] == part.labels[part.take(part.truth < 2).truth[0]]
        with pytest.raises(ValueError, match="anger, happiness, sadness, which may not"):
            part.over(["neutral"])

    def test_rows_without_speaker_are_speakers_of_their_own(self, make_run):
        path = make_run("a", n_speakers=2, each=3) / "predictions.csv"
        path.write_text(path.read_text(encoding="utf-8").replace(",00,", ",,"), encoding="utf-8")
        table = read_predictions(path, ["neutral", "happiness", "sadness", "anger"])
        assert set(table.speaker) == {"01", "?00-00", "?00-01", "?00-02"}

    def test_refresh_writes_the_figures_again(self, make_run):
        folder = make_run("a")
        before = read_run(folder)
        refresh(before, draws=200)
        after = read_run(folder)
        assert after.metrics["leakage"] == before.metrics["leakage"]
        assert after.metrics["corpora"]["emodb"]["n"] == 96
        assert not (folder / "metrics.json.part").exists()


class TestCommand:
    @pytest.fixture
    def call(self, run):
        def compare(*arguments):
            outcome = run("compare", *arguments)
            return outcome.code, outcome.out, outcome.said

        return compare

    def test_tables_and_a_page(self, call, make_run, tmp_path):
        folders = make_run("a"), make_run("b", skill=0.9), make_run("odd", drop=1)
        code, out, err = call(*folders, "--out", tmp_path / "page.md", "--draws", "200")
        assert code == 0
        assert out.splitlines()[2].split("\t")[1] == "b"
        assert "not on one board: emodb: odd differs from a" in err
        page = (tmp_path / "page.md").read_text(encoding="utf-8")
        assert "| 1 | b | speaker-kfold | 1 |" in page
        assert "## Not on one board" in page

    def test_json(self, call, make_run):
        code, out, _ = call(make_run("a"), make_run("b"), "--json", "--draws", "200")
        assert code == 0
        (board,) = json.loads(out)["boards"]
        assert {entry["run"] for entry in board["entries"]} == {"a", "b"}
        assert 0 < board["pairs"][0]["p"] <= 1

    def test_seeds_that_all_have(self, call, make_run):
        folders = make_run("a", seeds=(0, 1)), make_run("b", seeds=(1, 2))
        code, out, _ = call(*folders, "--seeds", "1", "--json", "--draws", "200")
        assert code == 0
        assert [entry["seeds"] for entry in json.loads(out)["boards"][0]["entries"]] == [1, 1]
        code, _, err = call(*folders, "--seeds", "0-1")
        assert (code, "has no seed 0, only 1, 2" in err) == (2, True)

    def test_refusal_is_one_line(self, call, make_run):
        code, out, err = call(make_run("a"), make_run("b", prefix="x"))
        assert (code, out) == (2, "")
        assert err.startswith("error: no two of these runs answered the same items: emodb: b")


def test_names_that_repeat_are_told_apart_by_their_folder(make_run, tmp_path):
    first, second = make_run("a"), make_run("b")
    (tmp_path / "x").mkdir()
    second = second.rename(tmp_path / "x" / "a")
    (board,), apart = boards_of(first, second)
    assert {entry.run for entry in board.entries} == {"a", "x/a"}
    assert "| x/a |" in to_markdown([board], apart)
