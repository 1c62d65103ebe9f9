"""Votes become targets; agreement equals well-kept libraries and published examples."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ullim import registry
from ullim.corpora import ACTOR
from ullim.corpora._rows import OWNER
from ullim.corpora.agreement import (
    ceiling_confusion,
    fleiss_kappa,
    interval_alpha,
    nominal_alpha,
    summarise,
)
from ullim.corpora.votes import (
    intensity_shares,
    majority,
    soft_shares,
    tabulate,
    targets,
    tied,
)
from ullim.errors import CorpusError
from ullim.types import Utterance, Vote

LABELS = ("neutral", "happiness", "sadness", "anger")


def utterance(*votes: tuple[str, str] | tuple[str, str, float], **fields) -> Utterance:
    made = tuple(Vote(*vote) for vote in votes)
    return Utterance(fields.pop("id", "u"), Path("u.wav"), "toy", None, made, **fields)


def said(*labels: str, strengths: tuple[float, ...] | None = None) -> Utterance:
    """Return an utterance rated by r0, r1, ... in turn."""
    return utterance(
        *(
            (f"r{n}", label, math.nan if strengths is None else strengths[n])
            for n, label in enumerate(labels)
        )
    )


votes = st.lists(
    st.tuples(st.sampled_from(LABELS), st.sampled_from([0.0, 1.0, 2.0, math.nan])), max_size=7
)
items = st.lists(votes, min_size=1, max_size=12).map(
    lambda rows: [said(*(v[0] for v in row), strengths=tuple(v[1] for v in row)) for row in rows]
)


class TestTabulate:
    def test_intended_and_owners_labels_are_no_raters_votes(self):
        rows = [
            utterance((ACTOR, "anger"), ("a", "sadness"), ("b", "sadness")),
            utterance((OWNER, "anger"), ("a", "neutral")),
            utterance((ACTOR, "happiness")),
        ]
        table = tabulate(rows, LABELS)
        assert table.counts().tolist() == [[0, 0, 2, 0], [1, 0, 0, 0], [0, 1, 0, 0]]
        assert table.raters == ("a", "b", ACTOR)

    def test_votes_for_other_labels_count_as_none(self):
        table = tabulate([said("boredom", "anger")], LABELS)
        assert table.counts().tolist() == [[0, 0, 0, 1]]
        assert table.raters == ("r1",)

    def test_renaming_comes_first(self):
        table = tabulate([said("calm", "anger")], LABELS, rename={"calm": "neutral"}.get)
        assert table.counts().tolist() == [[1, 0, 0, 0]]

    def test_negative_intensity_is_refused(self):
        with pytest.raises(CorpusError, match="negative intensity") as caught:
            tabulate([said("anger", strengths=(-1.0,))], LABELS)
        assert caught.value.code == "negative_intensity"

    def test_nothing_at_all(self):
        assert len(tabulate([], LABELS)) == 0
        assert majority(tabulate([said()], LABELS)).tolist() == [-1]


class TestTargets:
    ROWS = (
        said("sadness", "anger", "anger", "sadness", "neutral"),
        said("neutral", "anger", "anger"),
        said("neutral", "anger", "sadness"),
    )

    def test_ties_go_to_the_earlier_vote_as_published(self):
        table = tabulate(self.ROWS, LABELS)
        published = [Counter(v.label for v in row.votes).most_common(1)[0][0] for row in self.ROWS]
        assert [LABELS[c] for c in majority(table)] == published == ["sadness", "anger", "neutral"]

    def test_ties_dropped_or_shared(self):
        table = tabulate(self.ROWS, LABELS)
        assert tied(table).tolist() == [True, False, True]
        assert majority(table, ties="drop").tolist() == [-1, 3, -1]
        assert np.isnan(targets(table, ties="drop")).all(axis=1).tolist() == [True, False, True]
        np.testing.assert_allclose(
            targets(table, ties="soft"),
            [[0, 0, 0.5, 0.5], [0, 0, 0, 1], [1 / 3, 0, 1 / 3, 1 / 3]],
        )
        with pytest.raises(ValueError, match="no one label"):
            majority(table, ties="soft")

    def test_soft_shares(self):
        shares = soft_shares(tabulate(self.ROWS[:1], LABELS))
        np.testing.assert_allclose(shares, [[0.2, 0, 0.4, 0.4]])

    def test_intensity_weighs_votes_and_neutral_is_one(self):
        row = said("sadness", "anger", "neutral", "neutral", strengths=(2, 1, 0, 0))
        shares = intensity_shares(tabulate([row], LABELS))
        np.testing.assert_allclose(shares, [[2 / 5, 0, 2 / 5, 1 / 5]])

    def test_no_weight_at_all_counts_votes_alike(self):
        row = said("sadness", "anger", "anger", strengths=(0, 0, 0))
        np.testing.assert_allclose(
            intensity_shares(tabulate([row], LABELS)), [[0, 0, 1 / 3, 2 / 3]]
        )

    @given(items)
    def test_shares_sum_to_one_where_anybody_voted(self, rows):
        table = tabulate(rows, LABELS)
        voted = np.array([bool(row.votes) for row in rows])
        for shares in (
            soft_shares(table),
            intensity_shares(table),
            targets(table),
            targets(table, ties="soft"),
        ):
            assert shares.shape == (len(rows), len(LABELS))
            np.testing.assert_allclose(shares[voted].sum(axis=1), 1)
            assert (shares[voted] >= 0).all()
            assert np.isnan(shares[~voted]).all()

    @given(items)
    def test_majority_is_that_of_counting_one_by_one(self, rows):
        found = majority(tabulate(rows, LABELS))
        for row, column in zip(rows, found, strict=True):
            counted = Counter(vote.label for vote in row.votes).most_common(1)
            assert (LABELS[column] if column >= 0 else None) == (counted[0][0] if counted else None)

    @given(items, st.permutations(LABELS))
    def test_order_of_labels_changes_nothing(self, rows, order):
        here, there = tabulate(rows, LABELS), tabulate(rows, order)
        columns = [order.index(label) for label in LABELS]
        for rule in (soft_shares, intensity_shares, targets):
            np.testing.assert_allclose(rule(there)[:, columns], rule(here))

    @given(items)
    def test_drop_leaves_out_ties_and_changes_nothing_else(self, rows):
        table = tabulate(rows, LABELS)
        kept = majority(table, ties="drop")
        np.testing.assert_array_equal(kept >= 0, (majority(table) >= 0) & ~tied(table))
        np.testing.assert_array_equal(kept[kept >= 0], majority(table)[kept >= 0])


# Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, section C to E: four observers,
# twelve units, with missing values. Published: nominal 0.743, interval 0.849.
NAN = math.nan
KRIPPENDORFF = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
).T
# Fleiss' worked example as Wikipedia prints it: fourteen raters, ten subjects; kappa 0.210.
FLEISS = np.array(
    [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]
)  # fmt: skip


def counted(values: np.ndarray) -> np.ndarray:
    return np.stack([(values == value).sum(axis=1) for value in range(1, 6)], axis=1)


class TestAgreement:
    def test_published_examples(self):
        assert nominal_alpha(counted(KRIPPENDORFF)) == pytest.approx(0.743, abs=5e-4)
        assert interval_alpha(KRIPPENDORFF) == pytest.approx(0.849, abs=5e-4)
        assert fleiss_kappa(FLEISS) == pytest.approx(0.210, abs=5e-4)

    @pytest.mark.parametrize("seed", range(4))
    def test_equals_krippendorff_with_missing_votes(self, seed):
        library = pytest.importorskip("krippendorff")
        generator = np.random.default_rng(seed)
        values = generator.integers(1, 6, (40, 5)).astype(float)
        values[:, 1] = values[:, 0]
        values[generator.random(values.shape) < 0.3] = np.nan
        for ours, level in ((nominal_alpha(counted(values)), "nominal"),
                            (interval_alpha(values + 1e4), "interval")):  # fmt: skip
            theirs = library.alpha(reliability_data=values.T, level_of_measurement=level)
            assert ours == pytest.approx(theirs, abs=1e-9)

    @pytest.mark.parametrize("seed", range(4))
    def test_equals_statsmodels(self, seed):
        library = pytest.importorskip("statsmodels.stats.inter_rater")
        counts = np.random.default_rng(seed).multinomial(5, [0.5, 0.2, 0.2, 0.1], 60)
        assert fleiss_kappa(counts) == pytest.approx(library.fleiss_kappa(counts), abs=1e-12)

    @pytest.mark.parametrize("counts", [[[3, 0], [4, 0]], [[1, 0], [0, 1]], np.zeros((0, 2))])
    def test_nothing_to_agree_on_is_nan(self, counts):
        assert math.isnan(nominal_alpha(counts))
        assert math.isnan(fleiss_kappa(counts))

    def test_numbers_without_spread_are_nan(self):
        assert math.isnan(interval_alpha([[0.1, 0.1, 0.1], [0.1, 0.1, NAN]]))
        assert math.isnan(interval_alpha([[1, NAN]]))

    @given(items)
    def test_never_above_one_and_one_is_full_agreement(self, rows):
        counts = tabulate(rows, LABELS).counts()
        alpha = nominal_alpha(counts)
        rated = counts[counts.sum(axis=1) >= 2]
        if not math.isnan(alpha):
            assert alpha <= 1 + 1e-12
            assert (alpha > 1 - 1e-12) == ((rated > 0).sum(axis=1) == 1).all()


class TestCeiling:
    def test_each_rater_against_the_others(self):
        # r0 is alone with neutral against anger, anger; r1 and r2 meet a tie of neutral and anger,
        # which goes to the earlier vote: r0's.
        table = tabulate([said("neutral", "anger", "anger")], ("neutral", "anger"))
        confusion = ceiling_confusion(table)
        assert confusion[0].tolist() == [[0, 0], [1, 0]]
        assert confusion[1].tolist() == confusion[2].tolist() == [[0, 1], [0, 0]]
        dropped = ceiling_confusion(table, ties="drop")
        assert dropped.sum(axis=(1, 2)).tolist() == [1, 0, 0]

    def test_lone_votes_have_nobody_to_be_held_against(self):
        assert ceiling_confusion(tabulate([said("anger")], LABELS)).sum() == 0

    def test_raters_that_come_and_go_are_told_by_name(self):
        rows = [
            utterance(("a", "anger"), ("b", "anger")),
            utterance(("c", "neutral"), ("a", "anger")),
        ]
        table = tabulate(rows, ("neutral", "anger"))
        assert table.raters == ("a", "b", "c")
        assert ceiling_confusion(table)[0].tolist() == [[0, 1], [0, 1]]

    def test_summary(self):
        rows = [
            utterance(("a", "anger", 2.0), ("b", "anger", 1.0), ("c", "neutral", 0.0),
                      group="anger"),
            utterance(("a", "neutral", 0.0), ("b", "neutral", 0.0), ("c", "neutral", 0.0),
                      group="sadness"),
            utterance(("a", "anger", 2.0), ("b", "neutral", 0.0), group="anger"),
        ]  # fmt: skip
        found = summarise(rows, ["neutral", "anger"])
        assert (found["items"], found["votes"], found["raters"]) == (3, 8, 3)
        assert found["votes_per_item"] == {"least": 2, "most": 3}
        assert found["unanimous"] == {"n": 1, "share": 0.3333}
        assert found["ties"] == {"n": 1, "share": 0.3333}
        assert found["differs"]["n"] == 1
        assert found["differs"]["by_group"] == {"anger": {"n": 0, "share": 0.0}}
        assert found["distribution"]["majority"] == {"neutral": 0.3333, "anger": 0.6667}
        assert found["distribution"]["majority-drop"] == {"neutral": 0.5, "anger": 0.5}
        assert found["ceiling"]["n"] == 8
        assert set(found["ceiling"]["by_rater"]) == {"a", "b", "c"}
        json.dumps(found, allow_nan=False)

    def test_acted_corpora_have_no_raters(self, toy_corpus):
        rows = registry.component("corpora", "emodb")().load(toy_corpus("emodb"))
        with pytest.raises(CorpusError, match="two raters") as caught:
            summarise(rows, ["anger"])
        assert caught.value.code == "one_vote"


class TestCommand:
    def run(self, *arguments):
        from typer.testing import CliRunner

        from ullim.cli import app

        return CliRunner().invoke(app, ["corpora", "raters", *map(str, arguments)])

    def test_json_and_parts(self, toy_corpus):
        outcome = self.run(
            "aihub_dialogue", toy_corpus("aihub_dialogue"), "--by", "session", "--json"
        )
        found = json.loads(outcome.stdout)
        assert outcome.exit_code == 0
        assert (found["items"], found["votes"]) == (8, 40)
        assert {part: figures["items"] for part, figures in found["by"].items()} == {
            "4차년도": 2, "5차년도": 2, "5차년도_2차": 4,
        }  # fmt: skip
        assert found["differs"]["n"] == 1

    def test_tables(self, toy_corpus):
        outcome = self.run("aihub_dialogue", toy_corpus("aihub_dialogue"), "--by", "session")
        lines = [line.split("\t") for line in outcome.stdout.splitlines()]
        assert lines[0] == ["figure", "all", "4차년도", "5차년도", "5차년도_2차"]
        assert ["recordings", "8", "2", "2", "4"] in lines
        assert ["label", "first", "majority", "majority-drop", "soft", "intensity"] in lines

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--by", "text"), "--by takes session"),
            (("--option", "audio"), "KEY=VALUE"),
            (("--option", "audio=loud"), "options of aihub_dialogue: audio"),
            (("--option", "sound=any"), "it has: audio, speaker"),
            (("--option", "audio=["), "is no YAML"),
        ],
    )
    def test_wrong_use_is_told(self, arguments, message, toy_corpus):
        outcome = self.run("aihub_dialogue", toy_corpus("aihub_dialogue"), *arguments)
        assert outcome.exit_code != 0
        assert message in str(outcome.exception)


class TestRecipes:
    @pytest.fixture
    def load(self, tmp_path):
        pytest.importorskip("torch")
        from ullim.recipes.schema import parse_recipe
        from ullim.recipes.table import load_table

        lines = ["id,file,speaker,votes"]
        rows = {
            "a": "x:anger:2;y:anger:1;z:neutral:0",
            "b": "x:calm;y:neutral;z:anger",
            "c": "x:disgust;y:disgust;z:anger",  # most say what the task does not have
            "d": "x:sadness;y:anger",  # tied
            "e": "x:sadness;y:sadness;z:disgust",
        }
        lines += [f"{name},{name}.wav,{name},{votes}" for name, votes in rows.items()]
        (tmp_path / "manifest.csv").write_text("\n".join(lines), encoding="utf-8")

        def load(rule, **part):
            data = {
                "name": "toy",
                "title": "A toy",
                "task": {
                    "labels": ["neutral", "sadness", "anger"],
                    "label_map": {"calm": "neutral"},
                    "votes": rule,
                    "corpora": [{"name": "manifest", "options": {"audio": "any"}, **part}],
                },
                "feature": {"name": "logmel"},
                "model": {"name": "dilated-cnn"},
                "protocols": [{"name": "random"}],
            }
            return load_table(parse_recipe(data, "toy"), {"manifest": tmp_path})

        return load

    @pytest.mark.parametrize(
        ("rule", "expected"),
        [
            ("first", {"a": [0, 0, 1], "b": [1, 0, 0], "d": [0, 1, 0], "e": [0, 1, 0]}),
            ("majority", {"a": [0, 0, 1], "b": [1, 0, 0], "d": [0, 1, 0], "e": [0, 1, 0]}),
            ("majority-drop", {"a": [0, 0, 1], "b": [1, 0, 0], "e": [0, 1, 0]}),
            ("soft", {"a": [1 / 3, 0, 2 / 3], "b": [2 / 3, 0, 1 / 3], "d": [0, 0.5, 0.5],
                      "e": [0, 1, 0]}),
            ("intensity", {"a": [1 / 4, 0, 3 / 4], "b": [2 / 3, 0, 1 / 3], "d": [0, 0.5, 0.5],
                           "e": [0, 1, 0]}),
        ],
    )  # fmt: skip
    def test_targets(self, rule, expected, load):
        table = load(rule)
        found = {u.id: row for u, row in zip(table.utterances, table.targets, strict=True)}
        assert found.keys() == expected.keys()
        for name, row in expected.items():
            np.testing.assert_allclose(found[name], row, rtol=1e-6)
        truth = dict(zip(found, table.names, strict=True))
        assert truth["a"] == "anger"
        assert truth.get("d", "sadness") == "sadness"  # the earlier rater's, whatever the shares

    def test_dropped_labels_still_outvote(self, load):
        table = load("soft", drop_labels=["anger"])
        assert [u.id for u in table.utterances] == ["b", "d", "e"]
        assert np.isnan(table.targets[:, 2]).all()
        np.testing.assert_allclose(table.targets[:, :2], [[1, 0], [0, 1], [0, 1]])


@pytest.mark.corpora
class TestRealVotes:
    def test_figures_on_the_page(self, corpora_root):
        folder = corpora_root / "text_ko" / "aihub_dialogue"
        if not folder.is_dir():
            pytest.skip("ULLIM_CORPORA has no folder text_ko/aihub_dialogue")
        corpus = registry.component("corpora", "aihub_dialogue")()
        rows = corpus.load(folder)
        sessions = Counter(row.session for row in rows)
        assert sessions == {"4차년도": 14_606, "5차년도": 10_011, "5차년도_2차": 19_374}
        found = summarise(rows, corpus.labels)
        assert found["agreement"]["krippendorff_alpha"] == pytest.approx(0.458, abs=5e-4)
        assert found["ties"]["n"] == 4788
        assert found["differs"]["n"] == 14_031
