"""Recipes on recordings of one's own."""

from __future__ import annotations

import json
import sys

import pytest

pytest.importorskip("lightning")

from ullim.cli import main
from ullim.cli.recipe_options import resolve
from ullim.errors import RecipeError, UllimError
from ullim.recipes import recipe_paths
from ullim.recipes.own import on_recordings
from ullim.recipes.schema import load_recipe

NETWORKS = [
    name
    for name in recipe_paths()
    if name.startswith(("eom2021", "park2018", "endtoend", "simple-rnn"))
    and name != "eom2021-cnn2d-gender"
]


@pytest.fixture
def own(tmp_path, make_speech):
    """Writes recordings of some speakers, listed in a manifest."""
    import soundfile

    def make(n_speakers, labels=("neutral", "sadness", "anger"), *, speakers=True):
        lines = ["file,label,speaker"]
        for speaker in range(n_speakers):
            for number, label in enumerate(labels):
                for take in range(2):
                    name = f"{speaker}-{label}-{take}.wav"
                    clip = make_speech(1.0, 16_000, seed=number)
                    soundfile.write(tmp_path / name, clip, 16_000)
                    lines.append(f"{name},{label},{f's{speaker}' if speakers else ''}")
        (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return f"manifest={tmp_path}"

    return make


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_takes_them(name, own):
    recipe = load_recipe(name, profile="cpu")
    found = on_recordings(recipe, [own(3)])
    assert found.task.labels == ("neutral", "sadness", "anger")
    assert [part.name for part in found.task.corpora] == ["manifest"]
    assert (found.features, found.model, found.training) == (
        recipe.features,
        recipe.model,
        recipe.training,
    )
    assert (found.reported, found.measured, found.status) == ((), (), "method-only")
    assert found.name == f"{name}-on-manifest"


@pytest.mark.parametrize(
    ("n_speakers", "speakers", "protocol"),
    [
        (2, True, "random"),
        (3, True, "leave-one-speaker-out"),
        (9, True, "leave-one-speaker-out"),
        (10, True, "speaker-kfold"),
        (10, False, "random"),
    ],
)
def test_they_are_tested_on_strangers_where_that_can_be(n_speakers, speakers, protocol, own):
    found = on_recordings(load_recipe("eom2021-fcn"), [own(n_speakers, speakers=speakers)])
    assert [one.name for one in found.protocols] == [protocol]


def test_a_corpus_the_recipe_knows_is_read_as_it_says(toy_corpus):
    recipe = load_recipe(
        "mel-mean-mlp-recordings",
        overrides=['task.corpora.0.options.pattern="{content}_{person}_{emotion}.wav"'],
    )
    found = on_recordings(recipe, [f"recordings={toy_corpus('recordings')}"])
    assert found.task.corpora[0].options == recipe.task.corpora[0].options
    assert len(found.task.labels) == 4


def test_one_emotion_is_not_enough(own):
    with pytest.raises(RecipeError, match="carry neutral; two emotions") as refused:
        on_recordings(load_recipe("eom2021-fcn"), [own(3, labels=("neutral",))])
    assert refused.value.code == "too_few_labels"


def test_a_vote_that_asks_for_neutral(own):
    pair = own(3, labels=("sadness", "anger"))
    with pytest.raises(RecipeError, match="falls back on neutral"):
        on_recordings(load_recipe("park2018-spectrogram-cnn"), [pair])
    changed = load_recipe("park2018-spectrogram-cnn", overrides=["decision.rule=majority"])
    assert on_recordings(changed, [pair]).task.labels == ("sadness", "anger")


def test_raters_vote(tmp_path, own):
    own(3)
    lines = ["file,votes,speaker"]
    for speaker in range(3):
        lines += [
            f"{speaker}-neutral-0.wav,r1:neutral;r2:anger;r3:anger,s{speaker}",
            f"{speaker}-sadness-0.wav,r1:anger;r2:sadness;r3:sadness,s{speaker}",
        ]
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = on_recordings(load_recipe("eom2021-fcn"), [f"manifest={tmp_path}"])
    assert found.task.votes == "majority"
    assert found.task.labels == ("sadness", "anger"), "neutral was heard by one of three"
    assert "the rule is majority" in found.description


def test_labels_by_gender_are_no_labels_of_ones_own(own):
    with pytest.raises(RecipeError, match="take the recipe without that") as refused:
        on_recordings(load_recipe("eom2021-cnn2d-gender"), [own(3)])
    assert refused.value.code == "split_labels"


def test_an_unknown_corpus_is_told(tmp_path):
    with pytest.raises(UllimError, match="no corpus is called 'mine'"):
        on_recordings(load_recipe("eom2021-fcn"), [f"mine={tmp_path}"])


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    def run(*arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["ullim", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as ending:
            code = int(ending.code or 0)
        return code, capsys.readouterr()

    return run


SMALL = ("training.epochs=1", "model.dense=[8]", "feature.n_mfcc=4")
SET = [word for change in SMALL for word in ("--set", change)]


def test_from_recordings_to_answers_in_one_command(call, own, tmp_path):
    own(3)
    code, _ = call("train", "eom2021-fcn", "--on", "manifest=.", *SET, "--out", "mine")
    assert code == 0
    code, said = call("predict", "0-anger-0.wav", "--model", "mine", "--format", "jsonl")
    assert code == 0
    assert set(json.loads(said.out)["scores"]) == {"neutral", "sadness", "anger"}
    card = (tmp_path / "mine" / "card.md").read_text(encoding="utf-8")
    assert "Every tested clip was answered by networks that never heard its speaker" in card
    assert "| manifest | leave-one-speaker-out |" in card


@pytest.mark.parametrize("recipe", ["simple-rnn-ravdess", "mfcc-svm-emodb"])
def test_one_voice(recipe, call, own, tmp_path):
    """Somebody's own voice alone: what stops early or chooses has only clips to go by."""
    own(1)
    small = {"simple-rnn-ravdess": ("--set", "training.epochs=1")}
    arguments = ("--on", "manifest=.", *small.get(recipe, ()), "--out", "mine")
    code, said = call("train", recipe, *arguments)
    assert code == 0, said.err
    manifest = json.loads((tmp_path / "mine" / "bundle.json").read_text(encoding="utf-8"))
    assert "clips (no second speaker is told)" in json.dumps(manifest)
    card = (tmp_path / "mine" / "card.md").read_text(encoding="utf-8")
    assert "says nothing about strangers" in card


def test_a_card_says_where_speakers_are_shared(call, own, tmp_path):
    own(2)
    code, _ = call("train", "eom2021-fcn", "--on", "manifest=.", *SET, "--out", "mine")
    assert code == 0
    card = (tmp_path / "mine" / "card.md").read_text(encoding="utf-8")
    assert "says nothing about strangers" in card
    assert "| manifest | random, speakers shared |" in card
    assert "Every tested clip" not in card


def _renamed(folder):
    """Write a table with columns and labels of somebody else's."""
    table = (folder / "manifest.csv").read_text(encoding="utf-8")
    table = table.replace("file,label,", "wav,mood,").replace("neutral,", "flat,")
    (folder / "manifest.csv").unlink()
    (folder / "list.csv").write_text(table, encoding="utf-8")


OPTIONS = [
    word
    for option in ("columns={file: wav, label: mood}", "label_map={flat: neutral}")
    for word in ("--option", option)
]


def test_a_table_in_other_words(call, own, tmp_path):
    own(3)
    _renamed(tmp_path)
    arguments = ("run", "eom2021-fcn", "-p", "random", "--on", "manifest=list.csv", *SET)
    code, said = call(*arguments)
    assert code == 2
    assert "lacks the column" in said.err
    assert "option columns" in said.err
    code, said = call(*arguments, *OPTIONS, "--out", "run")
    assert code == 0, said.err
    recorded = (tmp_path / "run" / "recipe.yaml").read_text(encoding="utf-8")
    assert "flat: neutral" in recorded
    ran = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert "--option 'label_map={flat: neutral}'" in ran["command"]


def test_options_of_one_of_several_corpora(own, tmp_path, toy_corpus):
    own(3)
    _renamed(tmp_path)
    pairs = [f"manifest={tmp_path / 'list.csv'}", f"recordings={toy_corpus('recordings')}"]
    given = [word for word in OPTIONS if word != "--option"]

    def resolved(options):
        return resolve("eom2021-fcn", None, pairs, options, overrides=None, profile="full")

    with pytest.raises(UllimError, match=r"as NAME\.KEY=VALUE with NAME one of: manifest, rec"):
        resolved(given)
    pattern = 'recordings.pattern="{content}_{person}_{emotion}.wav"'
    recipe, _ = resolved([*(f"manifest.{option}" for option in given), pattern])
    parts = {part.name: part.options for part in recipe.task.corpora}
    assert parts["manifest"]["label_map"] == {"flat": "neutral"}
    assert parts["recordings"] == {"pattern": "{content}_{person}_{emotion}.wav"}


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("column={file: wav}", "column is none of them; it has: label_map"),
        ("label_map={flat: bored}", "unknown labels ['bored']"),
        ("columns", "takes KEY=VALUE"),
    ],
)
def test_a_wrong_option_is_told_once(option, told, call, own):
    own(3)
    code, said = call("run", "--all-of", "eom2021", "--on", "manifest=.", "--option", option)
    assert code == 2
    assert " ".join(said.err.split()).count(told) == 1


def test_options_are_for_other_recordings(call, tmp_path):
    arguments = ("train", "eom2021-fcn", "--corpus", f"ravdess={tmp_path}", "--out", "mine")
    code, said = call(*arguments, "--option", "audio=any")
    assert code == 2
    assert "--set task.corpora.0.options.audio=any" in said.err


def test_both_kinds_of_corpora(call, own):
    own(3)
    code, said = call(
        "run", "eom2021-fcn", "-p", "random", "--on", "manifest=.", "--corpus", "ravdess=."
    )
    assert code == 2
    assert "give one of them" in said.err


@pytest.mark.parametrize(
    "change", ["task.labels=[anger, sadness]", "protocols=[{name: random}]", "task=emodb-5"]
)
def test_what_the_recordings_decide_cannot_be_set(change, call, own):
    own(3)
    arguments = ("run", "eom2021-fcn", "-p", "random", "--on", "manifest=.", "--set", change)
    code, said = call(*arguments)
    assert code == 2
    assert "cannot stand beside --on" in said.err


def test_no_speakers(call, own, tmp_path):
    own(3, speakers=False)
    options = ("--on", "manifest=.", *SET, "-o", "run")
    code, said = call("run", "eom2021-fcn", "-p", "random", *options)
    assert code == 0
    assert "0 speakers on both sides (not told for 18 rows)" in " ".join(said.err.split())
    options = ("--on", "manifest=.", "--run", "run", "--out", "mine")
    assert call("train", "eom2021-fcn", *options, *SET)[0] == 0, "its own protocol may be stated"
    card = (tmp_path / "mine" / "card.md").read_text(encoding="utf-8")
    assert "18 clips, speakers not told" in card


@pytest.mark.parametrize(
    ("arguments", "goes_on"),
    [
        (("run", "eom2021-fcn", "-p", "random", "--on", "manifest=."), True),
        (("predict", "0-anger-0.wav"), False),
    ],
)
def test_ctrl_c_says_how_to_go_on(arguments, goes_on, call, own, monkeypatch):
    from ullim.inference.predictor import Predictor
    from ullim.recipes import runner

    def interrupted(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "run", interrupted)
    monkeypatch.setattr(Predictor, "predict", interrupted)
    own(3)
    code, said = call(*arguments)
    assert code == 130
    assert "stopped" in said.err
    assert ("type the same command again" in said.err) is goes_on


def test_all_recipes_of_a_tag_on_them(call, own, tmp_path, monkeypatch):
    """What answers best on my recordings?"""
    own(3)
    names = [name for name in NETWORKS if name in ("eom2021-fcn", "eom2021-lstm")]
    monkeypatch.setattr(
        "ullim.recipes.recipe_paths", lambda: {name: recipe_paths()[name] for name in names}
    )
    few = ("training.epochs=1", "feature.n_mfcc=4")
    code, said = call(
        "run", "--all-of", "eom2021", "--on", "manifest=.", "--out", "runs",
        *[word for change in few for word in ("--set", change)],
    )  # fmt: skip
    assert code == 0, said.err
    for name in names:
        folder = tmp_path / "runs" / f"{name}-on-manifest_leave-one-speaker-out"
        command = json.loads((folder / "run.json").read_text(encoding="utf-8"))["command"]
        assert command.startswith(
            f"ullim run {name} --protocol leave-one-speaker-out --on manifest="
        )
