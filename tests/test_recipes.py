"""Every recipe that comes with ullim parses; a wrong one is told all its mistakes at once."""

from __future__ import annotations

import copy
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

# Recipes name networks, and the networks are torch modules.
pytest.importorskip("torch")

from ullim import registry
from ullim.errors import RecipeError
from ullim.recipes import recipe_paths
from ullim.recipes.schema import load_recipe, parse_recipe
from ullim.types import LABELS, NO_SPEECH

SHIPPED = recipe_paths()
EVERY_RECIPE = pytest.mark.parametrize("name", SHIPPED)

MINIMAL: dict[str, Any] = {
    "name": "toy",
    "title": "A toy",
    "task": {
        "labels": ["neutral", "anger"],
        "label_map": {"calm": "neutral"},
        "corpora": [{"name": "ravdess"}, {"name": "emodb", "drop_labels": ["boredom"]}],
    },
    "feature": {"name": "logmel", "n_mels": 40},
    "augmentation": [{"name": "speed"}, {"name": "noise", "min_snr_db": 10}],
    "views": 2,
    "model": {"name": "dilated-cnn", "channels": 16},
    "training": {"epochs": 3},
    "protocols": [{"name": "speaker-kfold", "n_folds": 4}, {"name": "random"}],
    "profiles": {"cpu": {"training.epochs": 1, "model.channels": 8}},
}


def changed(**by_path: Any) -> dict[str, Any]:
    """Return the minimal recipe with values set at ``a__b__0`` paths."""
    data = copy.deepcopy(MINIMAL)
    for path, value in by_path.items():
        *parents, last = (int(part) if part.isdigit() else part for part in path.split("__"))
        node = data
        for part in parents:
            node = node.setdefault(part, {}) if isinstance(node, dict) else node[part]
        node[last] = value
    return data


def write(folder: Path, data: Any, name: str = "toy") -> Path:
    file = folder / f"{name}.yaml"
    text = data if isinstance(data, str) else yaml.safe_dump(data, allow_unicode=True)
    file.write_text(text, encoding="utf-8")
    return file


class TestShipped:
    @EVERY_RECIPE
    def test_parses_under_its_own_name(self, name):
        recipe = load_recipe(name)
        assert recipe.name == name == SHIPPED[name].stem
        assert recipe.title.strip()
        assert recipe.description.strip()

    @EVERY_RECIPE
    def test_names_how_it_is_evaluated(self, name):
        protocols = load_recipe(name).protocols
        assert len({protocol.name for protocol in protocols}) == len(protocols) >= 1
        assert any(protocol.speaker_independent for protocol in protocols)

    @EVERY_RECIPE
    def test_every_profile_parses(self, name):
        recipe = load_recipe(name)
        assert "cpu" in recipe.profiles, "say what two cores can finish"
        for profile in recipe.profiles:
            shrunk = load_recipe(name, profile=profile)
            assert shrunk.task.labels == recipe.task.labels
            assert shrunk.protocols == recipe.protocols

    @EVERY_RECIPE
    def test_survives_writing_and_reading(self, name):
        recipe = load_recipe(name)
        assert parse_recipe(yaml.safe_load(recipe.to_yaml()), "written") == recipe

    @EVERY_RECIPE
    def test_every_label_comes_from_a_corpus(self, name):
        task = load_recipe(name).task
        offered: set[str] = set()
        for part in task.corpora:
            labels = set(registry.component("corpora", part.name).labels)
            assert set(part.drop_labels) <= labels, f"{part.name} has no such label to drop"
            offered |= {task.label_map.get(x, x) for x in labels - set(part.drop_labels)}
        assert set(task.emotions) <= offered

    @EVERY_RECIPE
    def test_figures_say_where_they_are_from(self, name):
        recipe = load_recipe(name)
        for figure in recipe.reported:
            assert 0 < figure.value <= 100
            assert figure.source.strip()
            assert figure.protocol.strip()
        for figure in recipe.measured:
            assert 0 < figure.value <= 100
            assert re.match(r"(ULLIM_\w+=\S+ )*ullim run ", figure.command)

    def test_the_nine_of_one_paper_differ_in_their_network_alone(self):
        recipes = [load_recipe(name) for name in SHIPPED if name.startswith("eom2021-")]
        assert len({recipe.model for recipe in recipes}) == 9
        parts = [recipe.identity() | {"model": None, "task": None} for recipe in recipes]
        assert all(part == parts[0] for part in parts)
        assert len(recipes) == 10
        for recipe in recipes:
            signal = np.zeros(3 * recipe.sampling_rate, np.float32)
            heard = recipe.window.excerpt(signal, recipe.sampling_rate)
            assert recipe.features[0].extract(heard).shape == (216, 50)
            assert recipe.model.max_frames in (None, 216)

    def test_there_are_some(self):
        assert SHIPPED
        assert "default" in SHIPPED


class TestDefaults:
    def test_minimal_recipe(self):
        recipe = parse_recipe(MINIMAL, "toy")
        assert recipe.task.labels == ("neutral", "anger")
        assert recipe.features[0].n_mels == 40
        assert (
            recipe.features[0].hop_length == registry.component("features", "logmel")().hop_length
        )
        assert [step.name for step in recipe.augmentation] == ["speed", "noise"]
        assert recipe.training.epochs == 3
        assert recipe.protocols[0].n_folds == 4

    def test_written_out_with_every_default(self):
        written = yaml.safe_load(parse_recipe(MINIMAL, "toy").to_yaml())
        assert written["features"][0]["hop_length"] == 160
        assert written["training"]["batch_size"] == 32
        assert parse_recipe(written, "written") == parse_recipe(MINIMAL, "toy")

    def test_korean_stays_readable(self):
        data = changed(title="감정 인식")
        assert "감정 인식" in parse_recipe(data, "toy").to_yaml()

    def test_identity_holds_what_decides_the_numbers(self):
        base = parse_recipe(MINIMAL, "toy").identity()
        assert parse_recipe(changed(title="Another", tags=["x"]), "toy").identity() == base
        for path, value in {
            "training__epochs": 4,
            "feature__n_mels": 41,
            "model__channels": 17,
            "task__labels": ["anger", "neutral"],
            "views": 3,
            "window__length_s": 3.0,
        }.items():
            assert parse_recipe(changed(**{path: value}), "toy").identity() != base, path

    def test_does_not_change(self):
        recipe = parse_recipe(MINIMAL, "toy")
        with pytest.raises(ValueError, match="frozen"):
            recipe.views = 3


# What is wrong, and what the message must say: the path in the file, and what is allowed.
MISTAKES: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown key": (changed(colour="red"), "colour", "no such field; there are: .*window"),
    "unknown key inside": (changed(training__epoch=5), "training.epoch", r"mean epochs\?"),
    "unknown key of a model": (changed(model__drop=0.5), "model.drop", "dropout"),
    "unknown key of a corpus": (
        changed(task__corpora__0__option={}),
        "task.corpora.0.option",
        r"mean options\?",
    ),
    "wrong type": (changed(training__epochs="many"), "training.epochs", "integer"),
    "out of range": (changed(training__epochs=0), "training.epochs", "greater than"),
    "not a number": (changed(training__learning_rate=math.nan), "training.learning_rate", ""),
    "unknown corpus": (changed(task__corpora__0__name="iemocop"), "task.corpora.0", "ravdess"),
    "unknown label": (changed(task__labels=["neutral", "angry"]), "task", "'angry'.*anger"),
    "unknown mapped label": (changed(task__label_map={"calmy": "neutral"}), "task", "'calmy'"),
    "label map to nowhere": (changed(task__label_map={"calm": "fear"}), "task", "'fear'"),
    "labels repeat": (changed(task__labels=["anger", "anger"]), "task", "labels repeat"),
    "one label": (changed(task__labels=["anger"]), "task.labels", "at least 2"),
    "unknown dropped label": (
        changed(task__corpora__1__drop_labels=["bored"]),
        "task.corpora.1",
        "bored.*boredom",
    ),
    "no corpora": (changed(task__corpora=[]), "task.corpora", "at least 1"),
    "unknown feature": (changed(feature__name="logmell"), "feature", "'logmel'.*'mfcc'"),
    "unknown augmentation": (changed(augmentation=[{"name": "echo"}]), "augmentation.0", "noise"),
    "unknown protocol": (changed(protocols=[{"name": "x"}]), "protocols.0", "speaker-kfold"),
    "no protocol": (changed(protocols=[]), "protocols", "at least 1"),
    "views without augmentation": (changed(augmentation=[]), "(top)", "no augmentation is named"),
    "unknown status": (changed(status="great"), "status", "measured"),
    "feature parameter": (changed(feature__n_mels=0), "feature.n_mels", "greater than"),
    "model parameter": (changed(model__channels=0), "model.channels", "greater than"),
    "augmentation parameter": (
        changed(augmentation__1__min_snr_db="loud"),
        "augmentation.1.min_snr_db",
        "number",
    ),
    "protocol parameter": (changed(protocols__0__n_folds=1), "protocols.0.n_folds", "greater"),
    "feature that cannot be": (changed(feature__win_length=4096), "feature", "longer than n_fft"),
}


class TestMistakes:
    @pytest.mark.parametrize("case", MISTAKES)
    def test_told_with_path_and_what_is_allowed(self, case):
        data, path, allowed = MISTAKES[case]
        with pytest.raises(RecipeError, match=rf"(?s)toy\.yaml has 1 mistake.*{allowed}") as caught:
            parse_recipe(data, "toy.yaml")
        (line,) = str(caught.value).splitlines()[1:]
        assert line.strip().startswith(f"{path}: ")
        assert caught.value.code == "invalid"

    def test_told_together(self):
        data = changed(
            colour="red",
            training__epochs="many",
            training__mixup=-1,
            task__corpora__0__name="iemocop",
            protocols=[],
        )
        with pytest.raises(RecipeError, match=r"has 5 mistake\(s\)") as caught:
            parse_recipe(data, "toy.yaml")
        lines = str(caught.value).splitlines()[1:]
        assert {line.strip().split(":")[0] for line in lines} == {
            "colour",
            "training.epochs",
            "training.mixup",
            "task.corpora.0",
            "protocols",
        }

    @pytest.mark.parametrize("missing", ["title", "task", "features", "model", "protocols"])
    def test_missing_field(self, missing):
        data = {key: value for key, value in MINIMAL.items() if key not in {missing, missing[:-1]}}
        with pytest.raises(RecipeError, match=rf"{missing}: Field required"):
            parse_recipe(data, "toy")

    @pytest.mark.parametrize("label", [*LABELS, NO_SPEECH])
    def test_every_canonical_label_is_allowed(self, label):
        other = "fear" if label == "anger" else "anger"
        recipe = parse_recipe(changed(task__labels=[label, other], task__label_map={}), "toy")
        assert recipe.task.labels == (label, other)


class TestLoading:
    def test_file_named_by_path(self, tmp_path):
        file = write(tmp_path, MINIMAL)
        assert load_recipe(file) == load_recipe(str(file)) == parse_recipe(MINIMAL, "toy")

    def test_name_defaults_to_the_file(self, tmp_path):
        data = {key: value for key, value in MINIMAL.items() if key != "name"}
        assert load_recipe(write(tmp_path, data, "my-recipe")).name == "my-recipe"

    def test_unknown_name_lists_those_there_are(self):
        with pytest.raises(RecipeError, match="did you mean fusion-ravdess or"):
            load_recipe("fusion-ravdes")
        with pytest.raises(RecipeError, match=r"no recipe 'nonesuch'.*recipes list") as caught:
            load_recipe("nonesuch")
        assert caught.value.code == "not_found"

    def test_folder_is_refused(self, tmp_path):
        with pytest.raises(RecipeError, match="no recipe"):
            load_recipe(tmp_path)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("title: [unclosed", "is not readable YAML"),
            ("\tname: x", "is not readable YAML"),
            ("- a\n- b", "holds no mapping"),
            ("", "holds no mapping"),
            ("just words", "holds no mapping"),
        ],
    )
    def test_text_that_is_no_recipe(self, text, message, tmp_path):
        with pytest.raises(RecipeError, match=message) as caught:
            load_recipe(write(tmp_path, text))
        assert caught.value.code == "not_yaml"

    def test_text_of_another_encoding(self, tmp_path):
        file = tmp_path / "toy.yaml"
        file.write_bytes("title: 감정".encode("cp949"))
        with pytest.raises(RecipeError, match="is not readable YAML"):
            load_recipe(file)

    def test_no_code_runs_from_yaml(self, tmp_path):
        text = "title: !!python/object/apply:os.getcwd []\n"
        with pytest.raises(RecipeError, match="is not readable YAML"):
            load_recipe(write(tmp_path, text))


class TestProfiles:
    def test_profile_overrides(self, tmp_path):
        recipe = load_recipe(write(tmp_path, MINIMAL), profile="cpu")
        assert (recipe.training.epochs, recipe.model.channels) == (1, 8)
        assert recipe.features[0].n_mels == 40

    @pytest.mark.parametrize("profile", [None, "full"])
    def test_full_is_the_recipe_as_it_stands(self, profile, tmp_path):
        assert load_recipe(write(tmp_path, MINIMAL), profile=profile).training.epochs == 3

    def test_unknown_profile_lists_those_there_are(self, tmp_path):
        with pytest.raises(RecipeError, match="no profile 'gpu'; there are: full, cpu") as caught:
            load_recipe(write(tmp_path, MINIMAL), profile="gpu")
        assert caught.value.code == "unknown_profile"

    def test_profile_is_overridden_by_hand(self, tmp_path):
        file = write(tmp_path, MINIMAL)
        recipe = load_recipe(file, profile="cpu", overrides=["training.epochs=7"])
        assert (recipe.training.epochs, recipe.model.channels) == (7, 8)

    def test_mistake_in_a_profile_is_told(self, tmp_path):
        file = write(tmp_path, changed(profiles={"cpu": {"training.epoch": 1}}))
        with pytest.raises(RecipeError, match=r"training\.epoch: .*mean epochs\?"):
            load_recipe(file, profile="cpu")

    @pytest.mark.parametrize(
        "profiles", [{"cpu": None}, {"cpu": ["a"]}, {"cpu": {1: 2}}, ["cpu"], "cpu"], ids=str
    )
    def test_profiles_of_a_wrong_shape_are_refused(self, profiles, tmp_path):
        with pytest.raises(RecipeError, match="profiles"):
            load_recipe(write(tmp_path, changed(profiles=profiles)), profile="cpu")


class TestOverrides:
    @pytest.mark.parametrize(
        ("override", "path", "value"),
        [
            ("training.epochs=5", "training.epochs", 5),
            ("training.learning_rate=1e-3", "training.learning_rate", 1e-3),
            ("training.spec_augment=null", "training.spec_augment", None),
            ("window.mode=whole", "window.mode", "whole"),
            ("feature.f_max_hz=4000", "features.0.f_max_hz", 4000.0),
            ("title=a = b", "title", "a = b"),
            ("tags=[x, y]", "tags", ("x", "y")),
            ("protocols.0.n_folds=3", "protocols.0.n_folds", 3),
            ("augmentation.1.min_snr_db=12", "augmentation.1.min_snr_db", 12.0),
            ("task.corpora.0.groups=[strong]", "task.corpora.0.groups", ("strong",)),
        ],
    )
    def test_sets_one_value(self, override, path, value, tmp_path):
        found = load_recipe(write(tmp_path, MINIMAL), overrides=[override])
        for part in path.split("."):
            found = found[int(part)] if part.isdigit() else getattr(found, part)
        assert found == value

    def test_in_the_order_given(self, tmp_path):
        overrides = ["training.epochs=5", "training.epochs=6", "views=1"]
        recipe = load_recipe(write(tmp_path, MINIMAL), overrides=overrides)
        assert (recipe.training.epochs, recipe.views) == (6, 1)

    def test_section_left_blank_in_the_file(self, tmp_path):
        """``training:`` with nothing under it is null to YAML."""
        file = write(tmp_path, changed(training=None))
        assert load_recipe(file, overrides=["training.epochs=5"]).training.epochs == 5

    @pytest.mark.parametrize("override", ["training.epochs", "=5", "", "training.epochs:5"])
    def test_without_key_or_value(self, override, tmp_path):
        with pytest.raises(RecipeError, match=r"--set takes dotted\.key=value") as caught:
            load_recipe(write(tmp_path, MINIMAL), overrides=[override])
        assert caught.value.code == "bad_override"

    @pytest.mark.parametrize(
        "override",
        [
            "training.epochs.x=1",
            "title.x.y=1",
            "protocols.9.n_folds=3",
            "protocols.x.n_folds=3",
            "augmentation.7=1",
        ],
    )
    def test_path_that_leads_nowhere(self, override, tmp_path):
        with pytest.raises(RecipeError, match="lies inside a value") as caught:
            load_recipe(write(tmp_path, MINIMAL), overrides=[override])
        assert caught.value.code == "bad_override"

    def test_value_that_is_no_yaml(self, tmp_path):
        with pytest.raises(RecipeError, match="is not a YAML value"):
            load_recipe(write(tmp_path, MINIMAL), overrides=["tags=[a"])

    def test_unknown_key_is_told_like_in_the_file(self, tmp_path):
        with pytest.raises(RecipeError, match=r"training\.epoch: .*mean epochs\?"):
            load_recipe(write(tmp_path, MINIMAL), overrides=["training.epoch=5"])
