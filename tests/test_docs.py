"""What the documents say must hold: commands exist, pages are current, figures come from runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ullim.cli import app
from ullim.evaluation.report.corpus import FIGURES
from ullim.evaluation.report.words import Words
from ullim.registry import components

ROOT = Path(__file__).resolve().parent.parent
READMES = [ROOT / "README.md", ROOT / "README.ko.md"]
RUNS = sorted(path.parent for path in (ROOT / "results").glob("*/metrics.json"))


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_the_main_job_stands_in_the_first_25_lines(readme):
    head = "\n".join(readme.read_text(encoding="utf-8").splitlines()[:25])
    assert "pip install ullim" in head
    assert re.search(r"^ullim predict ", head, re.MULTILINE)
    assert "predictor.predict(" in head


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_every_command_in_a_readme_exists(readme):
    commands = set(
        re.findall(r"^ullim (\w+)(?: (list|check|show))?", readme.read_text("utf-8"), re.M)
    )
    assert commands
    for verb, noun in sorted(commands):
        line = [verb, *([noun] if noun else []), "--help"]
        assert CliRunner().invoke(app, line).exit_code == 0, line


def test_every_figure_in_the_documents_is_that_of_its_run():
    script = ROOT / "scripts" / "write_results.py"
    answer = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout


def test_the_page_of_corpora_says_what_the_loaders_say():
    script = ROOT / "scripts" / "write_corpora.py"
    answer = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout


def test_the_page_of_features_is_that_of_the_code():
    script = ROOT / "scripts" / "write_features.py"
    answer = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize("run", RUNS, ids=lambda path: path.name)
def test_a_committed_run_is_complete_and_agrees_with_its_recipe(run):
    pytest.importorskip("torch")
    from ullim.recipes.schema import load_recipe

    details = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert re.match(rf"(ULLIM_\w+=\S+ )*ullim run {details['recipe']} ", details["command"])
    today = load_recipe(details["recipe"], profile=details["profile"])
    assert load_recipe(run / "recipe.yaml").identity() == today.identity()


@pytest.mark.parametrize("run", RUNS, ids=lambda path: path.name)
def test_committed_metrics_follow_from_the_committed_predictions(run):
    pandas = pytest.importorskip("pandas")
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    predictions = pandas.read_csv(run / "predictions.csv")
    for corpus, figures in metrics["corpora"].items():
        rows = predictions[predictions["corpus"] == corpus]
        scores = rows[[f"p_{label}" for label in figures["labels"]]]
        # Where windows vote, the label is the rule's.
        most_probable = scores.idxmax(axis=1).str.removeprefix("p_")
        guess = rows.get("predicted", most_probable)
        recall = (guess == rows["label"]).groupby(rows["label"]).mean()
        assert recall.mean() == pytest.approx(
            figures["unweighted_average_recall"]["value"], abs=1e-4
        )


def test_contributing_names_real_rooms():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for room in re.findall(r"`(src/ullim/[\w/.]+)`", text):
        assert (ROOT / room).exists(), room


def test_no_recording_of_a_corpus_is_committed():
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.splitlines()
    audio = [path for path in tracked if Path(path).suffix in {".wav", ".mp3", ".ogg", ".flac"}]
    assert audio in ([], ["src/ullim/data/demo.flac"])


def test_every_component_has_a_name_of_its_own():
    names = [
        name for kind in ("corpora", "features", "augment", "models") for name in components(kind)
    ]
    assert len(names) == len(set(names))


def test_every_figure_of_a_report_is_explained():
    page = (ROOT / "docs" / "report.md").read_text(encoding="utf-8")
    words = Words("en")
    for key in FIGURES:
        assert f"**{words(key).split(' ↓')[0].split(' ↑')[0].split(', nats')[0]}**" in page, key
