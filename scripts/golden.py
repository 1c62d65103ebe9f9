"""Measure a small set of recipes again and hold the figures against those they carry.

Usage: ULLIM_CORPORA=FOLDER python scripts/golden.py

Runs every recipe tagged ``golden`` whose corpora lie in the folder as its ``measured`` entries say,
into a temporary folder. Fails where a figure lies further from the recipe's than its tolerance.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from ullim.recipes import recipe_paths
from ullim.recipes.schema import Measured, Recipe, load_recipe


def main() -> int:
    """Run them and print a line for each figure."""
    named = os.environ.get("ULLIM_CORPORA")
    if not named:
        print("ULLIM_CORPORA is unset: name the folder that holds ravdess/, emodb/, ...")
        return 2
    corpora = Path(named)
    failed = measured = 0
    for recipe in map(load_recipe, recipe_paths()):
        parts = [part.name for part in recipe.task.corpora]
        if "golden" not in recipe.tags or not all((corpora / part).is_dir() for part in parts):
            continue
        full = [entry for entry in recipe.measured if entry.profile == "full"]
        for protocol in dict.fromkeys(entry.protocol for entry in full):
            entries = [entry for entry in full if entry.protocol == protocol]
            for entry, value in zip(entries, again(recipe, entries, corpora), strict=True):
                apart = abs(value - entry.value)
                verdict = "ok" if apart <= entry.tolerance + 1e-9 else "OUTSIDE"
                measured += 1
                failed += verdict != "ok"
                print(
                    f"{recipe.name} {protocol} {entry.corpus}: {value:.1f}, recipe says "
                    f"{entry.value:.1f} ± {entry.tolerance:.1f}: {verdict}",
                    flush=True,
                )
    print(f"{measured} figures measured again, {failed} outside their tolerance")
    return 1 if failed or not measured else 0


def again(recipe: Recipe, entries: list[Measured], corpora: Path) -> list[float]:
    """Return the UA in percent of each entry's corpus, measured anew."""
    protocol = entries[0].protocol
    with tempfile.TemporaryDirectory() as folder:
        line = ["ullim", "run", recipe.name, "--protocol", protocol, "--out", folder]
        line += [f"--corpus={part.name}={corpora / part.name}" for part in recipe.task.corpora]
        print(f"  {shlex.join(line)}", flush=True)
        command = [sys.executable, "-m", *line]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        metrics = json.loads((Path(folder) / "metrics.json").read_text(encoding="utf-8"))
    figures = [metrics["corpora"][entry.corpus] for entry in entries]
    return [100 * figure["unweighted_average_recall"]["value"] for figure in figures]


if __name__ == "__main__":
    sys.exit(main())
