"""Named tasks hold what papers used; a task is split, drawn and counted as it says."""

from __future__ import annotations

import copy
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from ullim import registry
from ullim.errors import CorpusError, RecipeError
from ullim.recipes import task_fields, task_paths

pytest.importorskip("torch")

from ullim.corpora.emodb import Emodb
from ullim.corpora.ravdess import Ravdess
from ullim.recipes.schema import Recipe, load_recipe, parse_recipe
from ullim.recipes.table import Table, load_table

NAMES = list(task_paths())
# What the papers state, or what follows from their tables.
COUNTS = {
    "emodb-5": 300,
    "emodb-6-466": 466,
    "emodb-6-noboredom": 454,
    "emodb-7": 535,
    "iemocap-4-4490": 4490,
    "iemocap-4-5531": 5531,
    "iemocap-6": 5571,
    "ravdess-5": 960,
    "ravdess-5x2": 960,
    "ravdess-8": 1440,
    "savee-4": 300,
    "savee-7": 480,
}


def recipe(task: Any) -> Recipe:
    return parse_recipe(
        {
            "name": "toy",
            "title": "A toy",
            "task": task,
            "feature": {"name": "logmel"},
            "model": {"name": "dilated-cnn"},
            "protocols": [{"name": "random"}],
        },
        "toy",
    )


def known(name: str) -> dict[str, Any]:
    """Return a named task, or skip where its corpus has no loader."""
    fields = task_fields(name)
    for part in fields["corpora"]:
        if part["name"] not in registry.components("corpora"):
            pytest.skip(f"there is no loader for {part['name']} yet")
    return fields


def own(**fields: Any) -> dict[str, Any]:
    return {"labels": ["neutral", "anger"], "corpora": [{"name": "ravdess"}]} | fields


def load(task: Any, root: Path) -> Table:
    resolved = recipe(task)
    return load_table(resolved, {part.name: root for part in resolved.task.corpora})


class TestNamedTasks:
    def test_there_are_those_papers_use(self):
        assert {name: task_fields(name)["expected_count"] for name in NAMES} == COUNTS

    @pytest.mark.parametrize("name", NAMES)
    def test_parses_under_its_name(self, name):
        known(name)
        task = recipe(name).task
        assert task.name == name
        assert task.title

    @pytest.mark.parametrize("name", NAMES)
    def test_expected_count_follows_from_what_the_corpora_hold(self, name):
        known(name)
        task = recipe(name).task
        counts: Counter[str] = Counter()
        for part in task.corpora:
            for label, n in part.loader().expected_counts.items():
                counts[task.label_map.get(label, label)] += n
        held = [min(counts[label], task.at_most_per_label or 10**9) for label in task.emotions]
        assert all(held)
        assert sum(held) == task.expected_count

    def test_a_recipe_names_one(self, tmp_path):
        file = tmp_path / "toy.yaml"
        data = {**recipe("ravdess-5").model_dump(mode="json"), "task": "ravdess-5"}
        file.write_text(yaml.safe_dump(data), encoding="utf-8")
        assert load_recipe(file) == recipe("ravdess-5")
        assert load_recipe(file, overrides=["task.corpora.0.groups=[strong]"]).task.corpora[
            0
        ].groups == ("strong",)
        # What is kept beside a run needs no file of ours to be read again.
        assert parse_recipe(yaml.safe_load(load_recipe(file).to_yaml()), "kept") == load_recipe(
            file
        )

    def test_unknown_name_lists_those_there_are(self):
        with pytest.raises(RecipeError, match=r"task: no task is called 'ravdess-9'.*ravdess-8"):
            recipe("ravdess-9")

    def test_names_and_expected_counts_do_not_decide_numbers(self):
        plain = {"labels", "label_map", "corpora"}
        fields = {key: value for key, value in task_fields("ravdess-5").items() if key in plain}
        assert recipe(fields).identity() == recipe("ravdess-5").identity()
        assert recipe("ravdess-8").identity() != recipe("ravdess-5").identity()


class TestSplitByGender:
    FIELDS = own(
        labels=["female-neutral", "female-anger", "male-neutral", "male-anger"],
        split_by="gender",
        label_map={"calm": "neutral"},
    )

    def test_rows_stand_under_gender_and_emotion(self, toy_corpus):
        table = load(self.FIELDS, toy_corpus("ravdess"))
        assert set(table.names) == set(self.FIELDS["labels"])
        for utterance, name in zip(table.utterances, table.names, strict=True):
            assert name.startswith(f"{utterance.gender}-")
        assert not any(value != value for value in table.targets.ravel())

    def test_labels_the_corpus_never_offers_are_masked(self, toy_corpus):
        fields = copy.deepcopy(self.FIELDS)
        fields["labels"] += ["female-boredom"]
        table = load(fields, toy_corpus("ravdess"))
        assert all(row[4] != row[4] for row in table.targets)

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            (own(labels=["female-anger", "male-anger"]), "unknown labels.*female-anger"),
            (own(split_by="gender"), "unknown labels.*with split_by: gender, female-neutral"),
            (own(labels=["female-anger", "other-anger"], split_by="gender"), "'other-anger'"),
            (own(labels=["female-angry", "male-anger"], split_by="gender"), "'female-angry'"),
            (own(labels=["female-no_speech", "male-anger"], split_by="gender"), "no_speech"),
            (own(labels=["anger-female", "male-anger"], split_by="gender"), "anger-female"),
            (own(split_by="age"), r"split_by.*'gender'"),
        ],
    )
    def test_only_that_form_is_allowed(self, fields, message):
        with pytest.raises(RecipeError, match=message):
            recipe(fields)

    def test_corpus_without_genders_is_refused(self, toy_corpus, monkeypatch):
        whole = Ravdess.load

        def nameless(self, path):
            return [type(u)(u.id, u.file, u.corpus, u.speaker, u.votes) for u in whole(self, path)]

        monkeypatch.setattr(Ravdess, "load", nameless)
        with pytest.raises(CorpusError, match="does not tell the gender") as caught:
            load(self.FIELDS, toy_corpus("ravdess"))
        assert caught.value.code == "no_gender"


class TestAtMostPerLabel:
    def test_as_many_as_asked_for_of_each(self, toy_corpus):
        everything = load(own(), toy_corpus("ravdess"))
        table = load(own(at_most_per_label=4), toy_corpus("ravdess"))
        assert Counter(everything.names) == {"neutral": 3, "anger": 6}
        assert Counter(table.names) == {"neutral": 3, "anger": 4}
        assert table.targets.shape == (7, 2)
        assert len(table.tested) == 7
        ids = [u.id for u in table.utterances]
        assert ids == sorted(ids)

    def test_the_seed_decides_which(self, toy_corpus):
        root = toy_corpus("ravdess")

        def drawn(seed: int) -> list[str]:
            rows = load(own(at_most_per_label=2, draw_seed=seed), root).utterances
            return [u.id for u in rows]

        assert drawn(0) == drawn(0)
        assert len({tuple(drawn(seed)) for seed in range(8)}) > 1

    def test_a_lacking_recording_moves_no_other(self, toy_corpus):
        root = toy_corpus("ravdess")
        before = {u.id for u in load(own(at_most_per_label=3), root).utterances}
        lost = sorted(before)[-1]
        next(root.rglob(f"{lost}.wav")).unlink()
        after = {u.id for u in load(own(at_most_per_label=3), root).utterances}
        assert before - after == {lost}


class TestExpectedCount:
    def test_short_copy_is_noted(self, toy_corpus):
        (note,) = load("emodb-7", toy_corpus("emodb")).notes
        assert note == ("task emodb-7: 22 of 535 utterances; this copy of emodb holds 22 of 535")

    def test_whole_copy_with_another_count_is_an_error(self, toy_corpus, monkeypatch):
        monkeypatch.setattr(Emodb, "expected_counts", {"anger": 22})
        with pytest.raises(CorpusError, match="22 of 535 utterances, though") as caught:
            load("emodb-7", toy_corpus("emodb"))
        assert caught.value.code == "wrong_count"

    def test_right_count_and_no_count_need_no_note(self, toy_corpus):
        root = toy_corpus("ravdess")
        assert load(own(expected_count=9), root).notes == ()
        assert load(own(), root).notes == ()

    def test_a_run_tells_it(self, toy_corpus, tmp_path, monkeypatch):
        from ullim.recipes import runner

        class StopError(Exception):
            pass

        def stop(*_: Any, **__: Any) -> None:
            raise StopError

        monkeypatch.setattr(runner, "prepare", stop)
        with pytest.raises(StopError):
            runner.run(
                recipe("ravdess-5"),
                corpora=[f"ravdess={toy_corpus('ravdess')}"],
                protocol="random",
                seeds=[0],
                out=tmp_path / "run",
                command="ullim run",
                report=lambda *_: None,
            )
        plan = yaml.safe_load((tmp_path / "run" / "plan.json").read_text(encoding="utf-8"))
        assert plan["notes"] == [
            "task ravdess-5: 30 of 960 utterances; this copy of ravdess holds 45 of 1440"
        ]


@pytest.mark.corpora
@pytest.mark.parametrize("name", [name for name in NAMES if "ravdess" in name])
def test_the_whole_corpus_gives_the_published_count(name, corpora_root):
    if not (corpora_root / "ravdess").is_dir():
        pytest.skip("ULLIM_CORPORA has no folder ravdess")
    table = load(name, corpora_root / "ravdess")
    assert len(table.utterances) == COUNTS[name]
    assert len(set(Counter(table.names).values())) <= 2
    assert table.notes == ()


@pytest.mark.corpora
def test_a_part_of_emodb_says_so(corpora_root):
    if not (corpora_root / "emodb").is_dir():
        pytest.skip("ULLIM_CORPORA has no folder emodb")
    whole = len(list((corpora_root / "emodb").rglob("*.wav"))) == 535
    table = load("emodb-5", corpora_root / "emodb")
    assert max(Counter(table.names).values()) == 60
    assert bool(table.notes) is not whole
