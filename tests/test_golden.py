"""``make golden`` measures what a recipe says it measured, as it says it did."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import pytest
import yaml

pytest.importorskip("torch", reason="needs the training extra")

from ullim.recipes import recipe_paths

SCRIPT = Path(__file__).parents[1] / "scripts" / "golden.py"


@pytest.fixture
def golden():
    spec = importlib.util.spec_from_file_location("golden", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("command", "rest", "environment"),
    [
        (
            "ullim run x --protocol random --seeds 0-4",
            ["--protocol", "random", "--seeds", "0-4"],
            {},
        ),
        ("ullim run x --profile cpu --jobs 2", ["--profile", "cpu", "--jobs", "2"], {}),
        ("ullim run x --set training.epochs=2", ["--set", "training.epochs=2"], {}),
        ("A=1 B='2 3' ullim run x --seeds=7", ["--seeds=7"], {"A": "1", "B": "2 3"}),
    ],
)
@pytest.mark.parametrize("places", ["--corpus emodb=here --out there", "-c emodb=here -o there"])
def test_all_but_the_folders_is_as_the_entry_says(golden, command, rest, environment, places):
    words, found = golden.moved(f"{command} {places}", Path("/corpora"), Path("/new"))
    assert words == [
        *("ullim", "run", "x", *rest, "--out", "/new", "--corpus"),
        f"emodb={Path('/corpora/emodb')}",
    ]
    assert found == environment


def test_every_command_is_run_once_and_held_against_its_entries(
    golden, tmp_path, monkeypatch, capsys
):
    recipe = yaml.safe_load(recipe_paths()["mfcc-svm-emodb"].read_text(encoding="utf-8"))
    line = "ullim run mine --protocol random --seeds 3,4 --corpus emodb=x --out y"
    entry = {"corpus": "emodb", "protocol": "random", "run": "y", "tolerance": 0.5}
    recipe["measured"] = [
        {**entry, "value": 70.4, "command": line},
        {**entry, "value": 71.0, "command": line},
        {**entry, "value": 70.0, "command": f"ULLIM_DEVICES=1 {line} --profile cpu"},
    ]
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    (tmp_path / "emodb").mkdir()
    monkeypatch.setattr(golden, "recipe_paths", lambda: [file])
    monkeypatch.setenv("ULLIM_CORPORA", str(tmp_path))
    seen = []

    def run(words, env, **_):
        seen.append((words[2:], {name: env[name] for name in env.keys() - os.environ.keys()}))
        metrics = {"corpora": {"emodb": {"unweighted_average_recall": {"value": 0.702}}}}
        out = Path(words[words.index("--out") + 1])
        (out / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")

    monkeypatch.setattr(golden.subprocess, "run", run)
    assert golden.main() == 1
    (first, _), (second, environment) = seen
    assert "3,4" in first
    assert "--profile" not in first
    assert "cpu" in second
    assert environment == {"ULLIM_DEVICES": "1"}
    told = capsys.readouterr().out
    assert "3 figures measured again, 1 outside" in told
    assert "70.2, recipe says 71.0 ± 0.5: OUTSIDE" in told
