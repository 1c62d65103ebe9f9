"""From recordings to figures to a bundle: ``ullim run`` and ``ullim train`` on a toy EMO-DB."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("onnxscript")
pd = pytest.importorskip("pandas")

from ullim import bundle  # noqa: E402
from ullim.errors import BundleError, RecipeError, TrainingError  # noqa: E402
from ullim.inference.predictor import Predictor  # noqa: E402
from ullim.recipes import fold, runner, ship  # noqa: E402
from ullim.recipes.schema import load_recipe  # noqa: E402
from ullim.training import estimator  # noqa: E402
from ullim.types import Ragged  # noqa: E402

# One emotion, one voice: (letter, F0, tilt). Boredom is in the corpus and not in the recipe.
VOICES = {
    "W": (300.0, 0.4),
    "L": (120.0, 2.0),
    "E": (150.0, 1.0),
    "A": (260.0, 1.4),
    "F": (220.0, 0.6),
    "T": (95.0, 2.5),
    "N": (130.0, 0.8),
}
SPEAKERS = ("03", "08", "09", "10", "11", "13")
CLIP_S = 0.6
TOY = [
    "views=0",
    "augmentation=[]",
    "window={mode: crop, length_s: 2.0, hop_s: 1.0}",
    "feature={name: logmel, n_mels: 24, n_fft: 512, win_length: 512, hop_length: 256}",
    "model={name: dilated-cnn, channels: 8, stem_channels: 4, attention_channels: 8}",
    "training={epochs: 2, batch_size: 8, members: 1, spec_augment: null}",
    "protocols=[{name: speaker-kfold, n_folds: 2}, {name: random, test_share: 0.5}]",
    "bundle.licence=CC0 1.0",
]
OVERRIDES = [argument for override in TOY for argument in ("--set", override)]
EMOTIONS = ("neutral", "happiness", "sadness", "anger", "fear", "disgust")

# Notices of Lightning about small data and of the exporter, which a toy cannot avoid.
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:lightning.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test in an empty folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def emodb(tmp_path_factory: pytest.TempPathFactory, make_speech: Any) -> Path:
    """Six speakers say one sentence in seven emotions that differ in F0 and colour."""
    root = tmp_path_factory.mktemp("corpora") / "emodb"
    (root / "wav").mkdir(parents=True)
    for number, speaker in enumerate(SPEAKERS):
        for letter, (f0_hz, tilt) in VOICES.items():
            samples = make_speech(
                CLIP_S,
                f0_hz=f0_hz * (1 + 0.04 * number),
                tilt=tilt,
                seed=100 * number + ord(letter),
            )
            soundfile.write(root / "wav" / f"{speaker}a01{letter}a.wav", samples, 16_000)
    return root


@pytest.fixture(scope="module")
def recipe() -> Any:
    return load_recipe("cnn-emodb", overrides=TOY)


def quiet(stage: str, done: int, total: int) -> None:
    """Report to nobody."""


def run_toy(recipe: Any, emodb: Path, out: Path, protocol: str = "speaker-kfold") -> Any:
    return runner.run(
        recipe,
        corpora=[f"emodb={emodb}"],
        protocol=protocol,
        seeds=[0],
        out=out,
        command="ullim run cnn-emodb --toy",
        report=quiet,
    )


@pytest.fixture(scope="module")
def finished(recipe: Any, emodb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two folds; tests that change it copy it first."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    run_toy(recipe, emodb, folder)
    return folder


@pytest.fixture
def relabelled(emodb: Path, tmp_path: Path) -> Path:
    """The same recordings, two of one speaker under each other's label."""
    other = Path(shutil.copytree(emodb, tmp_path / "relabelled"))
    angry, calm = other / "wav" / "03a01Wa.wav", other / "wav" / "03a01Na.wav"
    kept = angry.read_bytes()
    angry.write_bytes(calm.read_bytes())
    calm.write_bytes(kept)
    return other


@pytest.fixture
def own_run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture(scope="module")
def shipped(
    recipe: Any, emodb: Path, finished: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Any]:
    """A bundle trained on the toy corpus, and the estimator behind it."""
    fitted = []

    def fit(*arguments: Any) -> Any:
        fitted.append(fold.fit(*arguments))
        return fitted[-1]

    out = tmp_path_factory.mktemp("shipped") / "toy"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ship, "fit", fit)
        train_toy(recipe, emodb, out, runs=[finished])
    (estimator,) = fitted
    return out, estimator


@pytest.fixture
def without_export(shipped: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets ``ullim train`` write a graph exported before: exporting takes seconds."""
    graph = (shipped[0] / "member-0.onnx").read_bytes()
    monkeypatch.setattr(estimator, "to_onnx", lambda *_: graph)


def train_toy(recipe: Any, emodb: Path, out: Path, **arguments: Any) -> Path:
    settings = {"runs": [], "figures": [], "seed": 0, "command": "ullim train cnn-emodb --toy"}
    return ship.train(
        recipe,
        corpora=[f"emodb={emodb}"],
        out=out,
        report=quiet,
        **(settings | arguments),
    )


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


class TestRun:
    def test_command_leaves_a_whole_folder(self, run, emodb, tmp_path):
        arguments = ["run", "cnn-emodb", "-p", "speaker-kfold", "-c", f"emodb={emodb}", *OVERRIDES]
        ended = run(*arguments, "--jobs", "1", "--out", "out")
        assert ended.code == 0
        header, figures = (line.split("\t") for line in ended.out.splitlines())
        assert header[:5] == ["corpus", "n", "speakers", "UA", "WA"]
        assert figures[:3] == ["emodb", "36", "6"]
        assert "leakage: 0 speakers on both sides; 100% of tested rows say a trained" in ended.said
        assert "written to out" in ended.said
        assert names(tmp_path / "out") == {
            "folds",
            *(
                f"folds/seed-0_fold-{fold}.{kind}"
                for fold in (1, 2)
                for kind in ("csv", "history.json")
            ),
            "history.json",
            "log.txt",
            "metrics.json",
            "plan.json",
            "predictions.csv",
            "recipe.yaml",
            "run.json",
        }
        details = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
        assert details["command"].startswith("ullim run cnn-emodb -p speaker-kfold")
        assert details["command"].endswith("--out out")
        assert "'protocols=[{name: speaker-kfold" in details["command"], "quoted for a shell"

        again = run(*arguments, "--out", "out")
        assert again.code == 0
        assert again.out == ended.out
        assert len((tmp_path / "out" / "log.txt").read_text(encoding="utf-8").splitlines()) == 2

        other = run(*arguments, "--out", "out", "--seeds", "1")
        assert other.code == 2
        assert "out holds a run with another recipe, protocol, seeds or corpora" in other.said
        assert "give another --out, or remove that folder" in other.said

    def test_time_of_every_sitting_is_counted(self, recipe, emodb, own_run):
        histories = sorted((own_run / "folds").glob("*.history.json"))
        for history, seconds in zip(histories, (100.0, 20.0), strict=True):
            held = json.loads(history.read_text(encoding="utf-8"))
            assert held["seconds"] > 0
            history.write_text(json.dumps(held | {"seconds": seconds}), encoding="utf-8")
        run_toy(recipe, emodb, own_run)
        details = json.loads((own_run / "run.json").read_text(encoding="utf-8"))
        assert details["fit_seconds"] == 120, "though nothing was left to fit this time"

        del held["seconds"]  # as in the folds of older runs
        histories[1].write_text(json.dumps(held), encoding="utf-8")
        run_toy(recipe, emodb, own_run)
        assert "fit_seconds" not in json.loads((own_run / "run.json").read_text(encoding="utf-8"))

    def test_learning_curves_stay_when_the_folds_go(self, finished):
        curves = json.loads((finished / "history.json").read_text(encoding="utf-8"))
        assert set(curves) == {"seed-0_fold-1", "seed-0_fold-2"}
        for (member,) in curves.values():
            assert {"train_loss", "validation_loss"} < set(member)
            assert {len(values) for values in member.values()} == {2}

    def test_other_recordings_are_refused_in_a_folder(self, recipe, emodb, own_run, tmp_path):
        other = Path(shutil.copytree(emodb, tmp_path / "other"))
        file = next((other / "wav").glob("*Wa.wav"))
        samples, rate = soundfile.read(file)
        soundfile.write(file, 0.5 * samples, rate)
        before = (own_run / "predictions.csv").read_bytes()
        with pytest.raises(RecipeError, match="begun with other recordings") as caught:
            run_toy(recipe, other, own_run)
        assert caught.value.code == "other_recordings"
        # A run from before plans held the hash is known by its run.json.
        plan = json.loads((own_run / "plan.json").read_text(encoding="utf-8"))
        assert plan.pop("audio_hash")
        (own_run / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
        with pytest.raises(RecipeError, match="begun with other recordings"):
            run_toy(recipe, other, own_run)
        assert (own_run / "predictions.csv").read_bytes() == before

    def test_corrected_labels_are_refused_in_a_folder(self, recipe, emodb, own_run, relabelled):
        before = (own_run / "predictions.csv").read_bytes()
        with pytest.raises(RecipeError, match="with other labels, speakers or utter") as caught:
            run_toy(recipe, relabelled, own_run)
        assert caught.value.code == "other_rows"
        assert (own_run / "predictions.csv").read_bytes() == before
        # A folder that did not write it down goes on, and holds it from then on.
        for name in ("plan.json", "run.json"):
            held = json.loads((own_run / name).read_text(encoding="utf-8"))
            assert held.pop("rows_hash")
            (own_run / name).write_text(json.dumps(held), encoding="utf-8")
        run_toy(recipe, emodb, own_run)
        with pytest.raises(RecipeError, match="with other labels"):
            run_toy(recipe, relabelled, own_run)

    def test_corrected_folds_are_refused_in_a_folder(self, recipe, emodb, tmp_path):
        file = tmp_path / "folds.csv"
        protocol = f"{{name: fixed, file: {file}}}"

        def split(*folds: tuple[str, ...]) -> None:
            lines = [f"{n},{name}" for n, names in enumerate(folds, 1) for name in names]
            file.write_text("\n".join(["fold,speaker", *lines]), encoding="utf-8")

        split(("03", "08", "09"), ("10", "11", "13"))
        run_toy(recipe, emodb, tmp_path / "run", protocol)
        split(("09", "08", "03"), ("10", "11", "13"))
        run_toy(recipe, emodb, tmp_path / "run", protocol)
        split(("10", "08", "09"), ("03", "11", "13"))
        with pytest.raises(RecipeError, match="with others to train and to test on") as caught:
            run_toy(recipe, emodb, tmp_path / "run", protocol)
        assert caught.value.code == "other_folds"

    def test_other_versions_of_a_feature_are_refused_in_a_folder(self, recipe, emodb, own_run):
        plan = json.loads((own_run / "plan.json").read_text(encoding="utf-8"))
        assert plan["feature_versions"]["logmel"] == "v1"
        plan["feature_versions"]["logmel"] = "v0"
        (own_run / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
        with pytest.raises(RecipeError, match=r"logmel v0 -> v1.*another --out") as caught:
            run_toy(recipe, emodb, own_run)
        assert caught.value.code == "other_versions"

    def test_another_precision_is_refused_where_folds_are_left(
        self, recipe, emodb, own_run, monkeypatch
    ):
        details = json.loads((own_run / "run.json").read_text(encoding="utf-8"))
        assert details["precision"] == "32-true"
        monkeypatch.setenv("ULLIM_PRECISION", "bf16-mixed")
        metrics = run_toy(recipe, emodb, own_run)
        assert metrics == json.loads((own_run / "metrics.json").read_text(encoding="utf-8"))
        details = json.loads((own_run / "run.json").read_text(encoding="utf-8"))
        assert details["precision"] == "32-true", "that of the folds, not of the last command"

        (own_run / "folds" / "seed-0_fold-2.csv").unlink()
        with pytest.raises(
            RecipeError, match="begun in precision 32-true and would go on in bf16-mixed"
        ) as caught:
            run_toy(recipe, emodb, own_run)
        assert caught.value.code == "other_precision"

    @pytest.mark.parametrize("told", ["", "ULLIM_DEVICES=1 ULLIM_PRECISION=bf16-mixed "])
    def test_folders_from_before_plans_held_the_precision(self, told, recipe, emodb, own_run):
        for name in ("plan.json", "run.json"):
            held = json.loads((own_run / name).read_text(encoding="utf-8"))
            del held["precision"]
            if name == "run.json":
                held["command"] = told + held["command"]
            (own_run / name).write_text(json.dumps(held), encoding="utf-8")
        assert run_toy(recipe, emodb, own_run)["corpora"]["emodb"]["n"] == 36
        details = json.loads((own_run / "run.json").read_text(encoding="utf-8"))
        assert details.get("precision") == ("bf16-mixed" if told else None)

    def test_a_precision_that_there_is_not_claims_no_folder(
        self, recipe, emodb, tmp_path, monkeypatch
    ):
        monkeypatch.setenv("ULLIM_PRECISION", "bf61")
        with pytest.raises(TrainingError, match=r"no precision 'bf61'; set .*bf16-mixed"):
            run_toy(recipe, emodb, tmp_path / "run")
        assert not (tmp_path / "run").exists()

    def test_all_recipes_of_a_tag(self, run, emodb, finished, tmp_path):
        target = tmp_path / "out" / "cnn-emodb_speaker-kfold"
        shutil.copytree(finished, target)
        ended = run(
            "run", "--all-of", "cnn", "-p", "emobox", "-p", "speaker-kfold",
            "-c", f"emodb={emodb}", *OVERRIDES, "--out", "out",
        )  # fmt: skip
        assert ended.code == 1, "emobox is not for EMO-DB, and the other run went on"
        states = dict(line.split("\t")[::2] for line in ended.out.splitlines())
        assert states["cnn-emodb_speaker-kfold"] == "done"
        assert states["cnn-emodb_emobox"].startswith("failed: protocol emobox is defined for rav")
        assert states["cnn-ravdess"] == "passed over: needs --corpus ravdess=PATH"
        assert len((target / "log.txt").read_text(encoding="utf-8").splitlines()) == 2, "kept folds"
        command = json.loads((target / "run.json").read_text(encoding="utf-8"))["command"]
        assert command.startswith("ullim run cnn-emodb --protocol speaker-kfold --corpus emodb=")
        assert command.endswith("--out out/cnn-emodb_speaker-kfold")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--all-of", "nonesuch"], "no recipe is tagged 'nonesuch'; there are: "),
            (["--all-of", "ravdess"], "passed over: needs --corpus ravdess=PATH"),
            (["cnn-emodb", "--all-of", "ullim"], "give one recipe, or --all-of TAG"),
            (["cnn-emodb"], "give one --protocol"),
            (["cnn-emodb", "-p", "random", "-p", "emobox"], "give one --protocol"),
        ],
    )
    def test_what_cannot_be_run_is_told(self, run, arguments, message):
        ended = run("run", *arguments)
        assert ended.code == 2
        assert message in ended.said

    def test_metrics(self, finished):
        metrics = json.loads((finished / "metrics.json").read_text(encoding="utf-8"))
        assert set(metrics) == {"labels", "corpora", "leakage"}
        assert metrics["labels"] == list(EMOTIONS)
        figures = metrics["corpora"]["emodb"]
        assert {
            "n",
            "n_speakers",
            "labels",
            "absent_labels",
            "unweighted_average_recall",
            "weighted_accuracy",
            "macro_f1",
            "unweighted_average_recall_by_seed",
            "unweighted_average_recall_by_fold",
            "recall",
            "confusion_matrix",
            "expected_calibration_error",
            "coverage_curve",
            "baselines",
            "notes",
        } <= set(figures)
        assert (figures["n"], figures["n_speakers"]) == (36, 6)
        assert np.array(figures["confusion_matrix"]).sum() == 36
        for metric in ("unweighted_average_recall", "weighted_accuracy", "macro_f1"):
            value = figures[metric]
            assert 0.0 <= value["low"] <= value["value"] <= value["high"] <= 1.0
        assert figures["notes"] == [
            "6 speakers: with fewer than 10, figures and intervals hang on who they happen to be"
        ]
        assert metrics["leakage"]["speakers_on_both_sides"] == []

    def test_predictions_answer_every_clip_once(self, finished):
        predictions = pd.read_csv(finished / "predictions.csv", dtype={"speaker": str})
        assert len(predictions) == predictions["id"].nunique() == 36
        assert set(predictions["speaker"]) == set(SPEAKERS)
        scores = predictions[[f"p_{label}" for label in EMOTIONS]]
        np.testing.assert_allclose(scores.sum(axis=1), 1.0, atol=1e-4)
        folds = predictions.groupby("speaker")["fold"].nunique()
        assert (folds == 1).all(), "a speaker is tested in one fold"

    def test_says_what_it_ran_with(self, finished, recipe):
        details = json.loads((finished / "run.json").read_text(encoding="utf-8"))
        assert details["recipe"] == "cnn-emodb"
        assert details["protocol"] == {"name": "speaker-kfold", "n_folds": 2}
        assert details["speaker_independent"] is True
        assert details["seeds"] == [0]
        assert details["rows"] == {"emodb": 36}
        assert {"ullim", "torch", "numpy"} <= set(details["versions"])
        assert len(details["audio_hash"]) == 64
        assert load_recipe(finished / "recipe.yaml") == recipe

    def test_goes_on_where_it_stopped(self, recipe, emodb, own_run, finished, monkeypatch):
        lost = own_run / "folds" / "seed-0_fold-2.csv"
        kept = own_run / "folds" / "seed-0_fold-1.csv"
        lost.unlink()
        for name in ("metrics.json", "predictions.csv", "run.json"):
            (own_run / name).unlink()
        written = kept.stat().st_mtime_ns
        fitted = []
        run_fold = runner.run_fold

        def counted(
            recipe: Any, table: Any, prepared: Any, job: Any, *rest: Any, **named: Any
        ) -> Any:
            fitted.append(job.fold.name)
            return run_fold(recipe, table, prepared, job, *rest, **named)

        monkeypatch.setattr(runner, "run_fold", counted)
        run_toy(recipe, emodb, own_run)
        assert fitted == ["2"]
        assert kept.stat().st_mtime_ns == written
        lines = (own_run / "log.txt").read_text(encoding="utf-8").splitlines()
        assert [line.split()[1] for line in lines] == [
            "seed-0_fold-1:",
            "seed-0_fold-2:",
            "seed-0_fold-2:",
        ]
        again = pd.read_csv(own_run / "predictions.csv")
        pd.testing.assert_frame_equal(
            again, pd.read_csv(finished / "predictions.csv"), atol=1e-3, rtol=0
        )

    @pytest.mark.parametrize("other", ["protocol", "recipe", "corpora"])
    def test_refuses_the_folder_of_another_run(self, other, recipe, emodb, own_run, tmp_path):
        before = {name: (own_run / name).stat().st_mtime_ns for name in names(own_run)}
        protocol, changed, corpus = "speaker-kfold", recipe, emodb
        if other == "protocol":
            protocol = "random"
        elif other == "recipe":
            changed = load_recipe("cnn-emodb", overrides=[*TOY, "training.epochs=3"])
        else:
            corpus = Path(shutil.copytree(emodb, tmp_path / "fewer"))
            (corpus / "wav" / "03a01Wa.wav").unlink()
        with pytest.raises(RecipeError, match="give another --out") as caught:
            run_toy(changed, corpus, own_run, protocol)
        assert caught.value.code == "other_run"
        assert before == {name: (own_run / name).stat().st_mtime_ns for name in names(own_run)}

    def test_descriptions_may_change(self, emodb, own_run):
        retold = load_recipe("cnn-emodb", overrides=[*TOY, "description=told better"])
        assert run_toy(retold, emodb, own_run)["corpora"]["emodb"]["n"] == 36


class TestTrain:
    def test_bundle_answers_as_the_estimator(self, shipped, emodb, recipe):
        folder, estimator = shipped
        predictor = Predictor.from_folder(folder)
        files = sorted((emodb / "wav").glob("*.wav"))
        features = Ragged.from_items(
            [recipe.features[0].extract(soundfile.read(file, dtype="float32")[0]) for file in files]
        )
        expected = estimator.predict_proba({"logmel": features})
        assert list(estimator.classes_) == list(predictor.labels) == list(EMOTIONS)
        for file, row in zip(files, expected, strict=True):
            prediction = predictor.predict(file)
            np.testing.assert_allclose(list(prediction.scores.values()), row, atol=1e-4)

    def test_bundle_says_where_it_comes_from(self, shipped, finished, recipe):
        manifest = bundle.load(shipped[0]).manifest
        assert manifest.labels == EMOTIONS
        assert manifest.licence == "CC0 1.0"
        assert manifest.seeds == (0,)
        assert manifest.window == recipe.window
        assert manifest.decision == recipe.decision
        assert manifest.calibration.temperature > 0
        assert [graph.file for graph in manifest.graphs] == ["member-0.onnx"]
        assert manifest.inputs[0].parameters["n_mels"] == 24
        (corpus,) = manifest.trained_on
        assert (corpus.name, corpus.utterances, corpus.speakers) == ("emodb", 36, 6)
        assert manifest.recipe == json.loads(json.dumps(recipe.identity()))
        metrics = json.loads((finished / "metrics.json").read_text(encoding="utf-8"))
        for figure in manifest.figures:
            assert figure.protocol == "speaker-kfold"
            assert figure.value == metrics["corpora"]["emodb"][figure.metric]["value"]
            assert (figure.n, figure.n_speakers, figure.labels) == (36, 6, EMOTIONS)

    def test_threshold_is_what_the_stated_share_of_held_out_speech_reaches(
        self, shipped, finished, recipe
    ):
        threshold = bundle.load(shipped[0]).manifest.reject_threshold
        predictions = pd.read_csv(finished / "predictions.csv")
        confidence = predictions[[f"p_{label}" for label in EMOTIONS]].max(axis=1)
        refused = 1.0 - recipe.decision.coverage
        assert threshold == pytest.approx(np.quantile(confidence, refused), abs=1e-4)

    def test_threshold_looks_at_speech_and_emotions_alone(self):
        predictions = pd.DataFrame(
            {
                "label": ["anger"] * 11 + ["no_speech"] * 5,
                "p_anger": [*np.linspace(0.0, 1.0, 11), *[0.0] * 5],
                "p_no_speech": [*[1.0] * 11, *[0.9] * 5],
            }
        )
        found = ship.reject_threshold(predictions, ["anger", "no_speech"], 0.9)
        assert found == pytest.approx(0.1)

    def test_card(self, shipped, finished):
        folder, _ = shipped
        card = (folder / bundle.CARD).read_text(encoding="utf-8")
        metrics = json.loads((finished / "metrics.json").read_text(encoding="utf-8"))
        accuracy = metrics["corpora"]["emodb"]["weighted_accuracy"]
        assert (
            f"| emodb | speaker-kfold | 6 | 36 | 6 | WA | {accuracy['value']:.1%} | "
            f"{accuracy['low']:.1%} to {accuracy['high']:.1%} |" in card
        )
        assert "`ullim run cnn-emodb --toy`" in card
        assert "`ullim train cnn-emodb --toy`, seed 0" in card
        assert "CC0 1.0. The code that runs them is MIT." in card
        assert "EMO-DB: 36 clips, 6 speakers" in card
        assert "All emotions are acted" in card
        assert "never shown other sounds" in card
        assert "an answer counts those in which somebody speaks" in card

    @pytest.mark.usefixtures("without_export")
    def test_figures_of_other_recipes_are_added(self, recipe, emodb, finished, tmp_path):
        other = Path(shutil.copytree(finished, tmp_path / "other"))
        details = json.loads((other / "run.json").read_text(encoding="utf-8"))
        (other / "run.json").write_text(
            json.dumps(details | {"command": "ullim run something-else"}), encoding="utf-8"
        )
        out = train_toy(recipe, emodb, tmp_path / "toy", runs=[finished], figures=[other])
        assert len(bundle.load(out).manifest.figures) == 4
        assert "`ullim run something-else`" in (out / bundle.CARD).read_text(encoding="utf-8")

    @pytest.mark.slow
    def test_command_runs_the_first_protocol_where_no_run_is_given(self, run, emodb, tmp_path):
        ended = run(
            *("train", "cnn-emodb", "--out", "toy", "-c", f"emodb={emodb}", *OVERRIDES),
            *("--set", "training.epochs=1"),
        )
        assert ended.code == 0
        assert "try: ullim predict FILE --model toy" in ended.said
        assert (tmp_path / "toy.run" / "metrics.json").is_file()
        assert {figure.protocol for figure in bundle.load(tmp_path / "toy").manifest.figures} == {
            "speaker-kfold"
        }
        file = next((emodb / "wav").glob("*.wav"))
        answered = run("predict", file, "--model", "toy", "-f", "jsonl")
        assert answered.code == 0
        assert json.loads(answered.out)["scores"].keys() == set(EMOTIONS)

    @pytest.mark.slow
    def test_a_corpus_of_a_few_clips_can_be_shipped(self, emodb, tmp_path):
        """Fewer clips than the exporter would like to compare on."""
        few = tmp_path / "few"
        (few / "wav").mkdir(parents=True)
        for file in (emodb / "wav").glob("*.wav"):
            if file.name[5] in "WN":
                shutil.copyfile(file, few / "wav" / file.name)
        two = load_recipe(
            "cnn-emodb", overrides=[*TOY, "task.labels=[neutral, anger]", "training.epochs=1"]
        )
        run_toy(two, few, tmp_path / "run")
        out = train_toy(two, few, tmp_path / "toy", runs=[tmp_path / "run"])
        assert bundle.load(out).manifest.trained_on[0].utterances == 12


class TestFusionOfClassicalModels:
    """SVM, random forest and XGBoost in one bundle, which serves without them."""

    SMALL = (
        "protocols=[{name: speaker-kfold, n_folds: 2}]",
        "model.members.0.model={name: svm, C: [10], gamma: [1]}",
        "model.members.1.model.n_trees=6",
        "model.members.2.model={name: xgboost, calibrate: false, n_trees: 3, max_depth: 2}",
    )

    @pytest.fixture(scope="class")
    def served(
        self, emodb: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> tuple[bundle.Bundle, Any]:
        recipe = load_recipe("svm-rf-xgb-fusion-emodb", overrides=self.SMALL)
        fitted = []

        def fit(*arguments: Any) -> Any:
            fitted.append(fold.fit(*arguments))
            return fitted[-1]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ship, "fit", fit)
            out = train_toy(recipe, emodb, tmp_path_factory.mktemp("fused") / "toy")
        return bundle.load(out), fitted[0]

    def test_bundle_says_how_its_graphs_become_one(self, served):
        manifest = served[0].manifest
        assert manifest.combine.rule == "literal"
        assert [(g.file, g.member) for g in manifest.graphs] == [
            ("0-svm.onnx", 0),
            ("1-random-forest.onnx", 1),
            ("2-xgboost.onnx", 2),
        ]
        assert [graph.temperature == 1.0 for graph in manifest.graphs] == [False, True, True]

    @pytest.mark.parametrize("rule", ["literal", "over_classifiers", "mean"])
    def test_predictor_answers_as_the_estimator_does(self, rule, served, emodb):
        loaded, estimator = served
        manifest = loaded.manifest.model_copy(update={"combine": bundle.Combine(rule=rule)})
        predictor = Predictor(bundle.Bundle(loaded.folder, manifest, loaded.features))
        estimator.rule = rule
        (feature,) = loaded.features.values()
        files = sorted((emodb / "wav").glob("*.wav"))[::3]
        clips = [feature.extract(soundfile.read(file, dtype="float32")[0]) for file in files]
        expected = estimator.predict_proba({feature.name: Ragged.from_items(clips)})
        for file, row in zip(files, expected, strict=True):
            answer = predictor.predict(file)
            assert list(answer.scores.values()) == pytest.approx(row.tolist(), abs=1e-4)
            assert answer.label == EMOTIONS[row.argmax()]


class TestTrainRefuses:
    def test_a_run_that_shares_speakers(self, recipe, emodb, finished, tmp_path):
        run_toy(recipe, emodb, tmp_path / "random", "random")
        with pytest.raises(RecipeError, match="random, which shares speakers") as caught:
            train_toy(recipe, emodb, tmp_path / "toy", runs=[finished, tmp_path / "random"])
        assert caught.value.code == "speaker_overlap"
        assert not (tmp_path / "toy").exists()

    def test_a_run_whose_fits_diverged(self, recipe, emodb, own_run, tmp_path):
        """Of before fits told it: its probabilities are empty."""
        predictions = pd.read_csv(own_run / "predictions.csv")
        predictions.loc[:, predictions.columns.str.startswith("p_")] = np.nan
        predictions.to_csv(own_run / "predictions.csv", index=False)
        with pytest.raises(RecipeError, match="run holds predictions without prob") as caught:
            train_toy(recipe, emodb, tmp_path / "toy", runs=[own_run])
        assert caught.value.code == "diverged"
        assert not (tmp_path / "toy").exists()

    @pytest.mark.usefixtures("without_export")
    def test_figures_that_share_speakers(self, recipe, emodb, finished, own_run, tmp_path):
        details = json.loads((own_run / "run.json").read_text(encoding="utf-8"))
        details |= {"protocol": {"name": "random", "test_share": 0.5}, "speaker_independent": False}
        (own_run / "run.json").write_text(json.dumps(details), encoding="utf-8")
        with pytest.raises(RecipeError, match="shares speakers"):
            train_toy(recipe, emodb, tmp_path / "toy", runs=[finished], figures=[own_run])
        assert not (tmp_path / "toy").exists()

    def test_figures_of_no_run_before_anything_is_fitted(
        self, recipe, emodb, finished, tmp_path, monkeypatch
    ):
        def fit(*_: Any) -> None:
            pytest.fail("fitted before the arguments were checked")

        monkeypatch.setattr(ship, "fit", fit)
        with pytest.raises(RecipeError, match="no finished run folder"):
            train_toy(
                recipe, emodb, tmp_path / "toy", runs=[finished], figures=[tmp_path / "nowhere"]
            )

    def test_other_recordings(self, recipe, emodb, finished, tmp_path):
        other = Path(shutil.copytree(emodb, tmp_path / "emodb"))
        samples, rate = soundfile.read(other / "wav" / "03a01Wa.wav")
        soundfile.write(other / "wav" / "03a01Wa.wav", 0.9 * samples, rate)
        with pytest.raises(RecipeError, match=r"other recordings .* run it again") as caught:
            train_toy(recipe, other, tmp_path / "toy", runs=[finished])
        assert caught.value.code == "other_run"
        assert not (tmp_path / "toy").exists()

    def test_other_labels(self, recipe, relabelled, finished, tmp_path):
        with pytest.raises(RecipeError, match=r"other labels, .* run it again") as caught:
            train_toy(recipe, relabelled, tmp_path / "toy", runs=[finished])
        assert caught.value.code == "other_run"
        assert not (tmp_path / "toy").exists()

    def test_another_recipe(self, emodb, finished, tmp_path):
        changed = load_recipe("cnn-emodb", overrides=[*TOY, "model.channels=4"])
        with pytest.raises(RecipeError, match=r"another recipe .* give it as --figures") as caught:
            train_toy(changed, emodb, tmp_path / "toy", runs=[finished])
        assert caught.value.code == "other_run"

    @pytest.mark.parametrize("lost", ["metrics.json", "predictions.csv", "run.json", "recipe.yaml"])
    def test_a_run_that_is_not_finished(self, lost, recipe, emodb, own_run, tmp_path):
        (own_run / lost).unlink()
        with pytest.raises(RecipeError, match="no finished run folder; finish it with"):
            train_toy(recipe, emodb, tmp_path / "toy", runs=[own_run])

    def test_a_folder_that_exists(self, recipe, emodb, finished, tmp_path):
        (tmp_path / "toy").mkdir()
        with pytest.raises(BundleError, match="exists; give another folder, or --force"):
            train_toy(recipe, emodb, tmp_path / "toy", runs=[finished])

    def test_even_by_force_to_replace_what_is_no_bundle(
        self, recipe, emodb, finished, tmp_path, monkeypatch
    ):
        (tmp_path / "thesis").mkdir()
        (tmp_path / "thesis" / "chapter.txt").write_text("years of work", encoding="utf-8")

        def fit(*_: Any) -> None:
            pytest.fail("fitted before the folder was checked")

        monkeypatch.setattr(ship, "fit", fit)
        with pytest.raises(BundleError, match="is not a bundle and is left alone"):
            train_toy(recipe, emodb, tmp_path / "thesis", runs=[finished], force=True)
        assert names(tmp_path / "thesis") == {"chapter.txt"}


@pytest.mark.corpora
@pytest.mark.slow
def test_real_emodb_is_learnt(run, corpora_root, tmp_path):
    """One epoch over real speech beats chance on speakers that were never heard."""
    ended = run(
        *("run", "cnn-emodb", "-p", "speaker-kfold", "-c", f"emodb={corpora_root / 'emodb'}"),
        *("--set", "training.epochs=1", "--set", "training.members=1", "--set", "views=0"),
        *("--set", "training.average_decay=0", "--set", "training.learning_rate=0.01"),
        *("--set", "protocols=[{name: speaker-kfold, n_folds: 2}]", "--out", "run"),
    )
    assert ended.code == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text(encoding="utf-8"))
    recall = metrics["corpora"]["emodb"]["unweighted_average_recall"]
    assert math.isfinite(recall["value"])
    assert recall["low"] > 1 / 6
