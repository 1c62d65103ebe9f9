"""Measure a small set of recipes again and hold the figures against those they carry.

Usage: ULLIM_CORPORA=FOLDER python scripts/golden.py

Runs every recipe tagged ``golden`` whose corpora lie in the folder by the commands of its
``measured`` entries, into a temporary folder. Fails where a figure lies further from the recipe's
than its tolerance.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ullim.recipes import recipe_paths
from ullim.recipes.schema import load_recipe


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
        for command in dict.fromkeys(entry.command for entry in recipe.measured):
            figures = again(command, corpora)
            for entry in recipe.measured:
                if entry.command != command:
                    continue
                value = 100 * figures[entry.corpus]["unweighted_average_recall"]["value"]
                apart = abs(value - entry.value)
                verdict = "ok" if apart <= entry.tolerance + 1e-9 else "OUTSIDE"
                measured += 1
                failed += verdict != "ok"
                print(
                    f"{recipe.name} {entry.protocol} {entry.corpus}: {value:.1f}, recipe says "
                    f"{entry.value:.1f} ± {entry.tolerance:.1f}: {verdict}",
                    flush=True,
                )
    print(f"{measured} figures measured again, {failed} outside their tolerance")
    return 1 if failed or not measured else 0


def again(command: str, corpora: Path) -> dict[str, Any]:
    """Run a command of a recipe over these corpora and return the figures of each."""
    with tempfile.TemporaryDirectory() as folder:
        words, environment = moved(command, corpora, Path(folder))
        print(f"  {shlex.join(words)}", flush=True)
        subprocess.run(
            [sys.executable, "-m", *words],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **environment},
        )
        metrics = json.loads((Path(folder) / "metrics.json").read_text(encoding="utf-8"))
    return dict(metrics["corpora"])


def moved(command: str, corpora: Path, out: Path) -> tuple[list[str], dict[str, str]]:
    """Return a command over other copies of its corpora, and the environment it begins with.

    >>> line = "ULLIM_PRECISION=32-true ullim run mine --seeds 0-2 -c emodb=old --out results/mine"
    >>> words, environment = moved(line, Path("corpora"), Path("new"))
    >>> shlex.join(words)
    'ullim run mine --seeds 0-2 --out new --corpus emodb=corpora/emodb'
    >>> environment
    {'ULLIM_PRECISION': '32-true'}
    """
    words = shlex.split(command)
    start = words.index("ullim")
    places = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    places.add_argument("--corpus", "-c", action="append", default=[])
    places.add_argument("--out", "-o")
    given, kept = places.parse_known_args(words[start:])
    names = [text.partition("=")[0] for text in given.corpus]
    folders = [word for name in names for word in ("--corpus", f"{name}={corpora / name}")]
    environment = dict(word.split("=", 1) for word in words[:start])
    return [*kept, "--out", str(out), *folders], environment


if __name__ == "__main__":
    sys.exit(main())
