"""Runs a recipe: folds times seeds, in parallel, resumable, into one folder."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed

from ullim.errors import RecipeError
from ullim.evaluation.leakage import audit
from ullim.evaluation.protocols import Fold, ProtocolBase, parse_protocol, speaker_keys
from ullim.recipes.data import Prepared, Table, corpus_folders, load_table, prepare
from ullim.recipes.results import predictions_frame, summarise
from ullim.recipes.schema import Recipe, load_recipe
from ullim.training.estimator import NetworkClassifier
from ullim.types import Ragged

_LIBRARIES = ("ullim", "numpy", "torch", "lightning", "scikit-learn", "soundfile", "soxr")

Report = Callable[[str, int, int], None]
"""Called with a stage's name, how many of its steps are done, and how many there are."""


@dataclass(frozen=True, slots=True)
class _Job:
    seed: int
    fold: Fold

    @property
    def name(self) -> str:
        return f"seed-{self.seed}_fold-{self.fold.name.replace('/', '-')}"


def run(
    recipe: Recipe,
    *,
    corpora: Sequence[str],
    protocol: str,
    seeds: Sequence[int],
    out: Path,
    command: str,
    profile: str = "full",
    jobs: int = 1,
    report: Report,
) -> dict[str, Any]:
    """Run a recipe under a protocol and leave the run folder behind.

    A run that was stopped goes on where it stopped: finished folds are kept, a fold in progress
    resumes from its last epoch.

    Args:
        recipe: What to run.
        corpora: ``NAME=PATH`` of each corpus of the recipe.
        protocol: Name of a protocol.
        seeds: One whole run of the protocol for each.
        out: The run folder.
        command: What the user typed; written down beside the figures.
        profile: Name of the profile the recipe was resolved with.
        jobs: Folds fitted at the same time, each on one core.
        report: Told of progress.

    Returns:
        What ``metrics.json`` holds.

    Raises:
        RecipeError: The protocol is unknown or does not fit, or ``out`` holds another run.
    """
    scheme = _protocol(recipe, protocol)
    table = load_table(recipe, corpus_folders(corpora))
    started = time.monotonic()
    facts = {
        "recipe": recipe.name,
        "profile": profile,
        "protocol": scheme.model_dump(mode="json"),
        "speaker_independent": scheme.speaker_independent,
        "seeds": list(seeds),
        "rows": {
            part.name: sum(u.corpus == part.name for u in table.utterances)
            for part in recipe.task.corpora
        },
    }
    work = [
        _Job(seed, fold.testing(table.tested))
        for seed in seeds
        for fold in scheme.folds(table.utterances, table.names, seed)
        if table.tested[fold.test].any()
    ]
    _claim(out, recipe, facts)
    prepared = prepare(
        recipe,
        table.utterances,
        jobs=jobs,
        progress=lambda done, total: report("features", done, total),
    )
    todo = [job for job in work if not _fold_file(out, job).is_file()]
    report("folds", len(work) - len(todo), len(work))
    parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", max_nbytes="1M")
    done = len(work) - len(todo)
    watched = jobs == 1 and len(todo) == 1 and sys.stderr.isatty()
    for line in parallel(
        delayed(_run_fold)(recipe, table, prepared, job, out, one_core=jobs > 1, progress=watched)
        for job in todo
    ):
        done += 1
        _log(out, line)
        report("folds", done, len(work))
    predictions = pd.concat(
        [pd.read_csv(_fold_file(out, job), dtype={"fold": str, "speaker": str}) for job in work],
        ignore_index=True,
    )
    _replace(out / "predictions.csv", predictions.to_csv(index=False))
    metrics = summarise(predictions, table) | {
        "leakage": audit(
            table.utterances,
            prepared.audio_hashes,
            [job.fold for job in work],
            fingerprints=prepared.fingerprints,
        )
    }
    _replace(out / "metrics.json", _json(metrics))
    details = facts | {
        "text_independent": scheme.text_independent,
        "command": command,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds_this_time": round(time.monotonic() - started),
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        "versions": {name: version(name) for name in _LIBRARIES},
        "git_commit": git_commit(),
        "audio_hash": audio_hash(prepared),
    }
    _replace(out / "run.json", _json(details))
    shutil.rmtree(out / "folds" / "checkpoints", ignore_errors=True)
    return metrics


def make_estimator(
    recipe: Recipe, *, seed: int, checkpoints: Path | None = None, progress: bool = False
) -> NetworkClassifier:
    """Return the unfitted estimator a recipe describes."""
    return NetworkClassifier(
        recipe.model,
        recipe.training,
        recipe.window,
        feature_hop_s=recipe.feature.hop_s,
        classes=recipe.task.labels,
        seed=seed,
        checkpoints=checkpoints,
        progress=progress,
        accelerator="auto" if torch.cuda.is_available() else "cpu",
    )


def fit(
    estimator: NetworkClassifier, recipe: Recipe, table: Table, prepared: Prepared, rows: Any
) -> NetworkClassifier:
    """Fit an estimator on some rows of a table, with their views and speakers."""
    name = recipe.feature.name
    clean, *augmented = (view.take(rows) for view in prepared.views)
    return estimator.fit(
        {name: clean},
        table.targets[rows],
        groups=speaker_keys([table.utterances[row] for row in rows]).tolist(),
        views=[{name: view} for view in augmented],
    )


def _run_fold(
    recipe: Recipe,
    table: Table,
    prepared: Prepared,
    job: _Job,
    out: Path,
    *,
    one_core: bool,
    progress: bool,
) -> str:
    if one_core:
        torch.set_num_threads(1)
    started = time.monotonic()
    estimator = fit(
        make_estimator(
            recipe,
            seed=job.seed,
            checkpoints=out / "folds" / "checkpoints" / job.name,
            progress=progress,
        ),
        recipe,
        table,
        prepared,
        job.fold.train,
    )
    clips: dict[str, Ragged] = {recipe.feature.name: prepared.views[0].take(job.fold.test)}
    frame = predictions_frame(
        table,
        job.fold.test.tolist(),
        estimator.predict_proba(clips),
        seed=job.seed,
        fold=job.fold.name,
    )
    _replace(out / "folds" / f"{job.name}.history.json", _json(estimator.history_))
    _replace(_fold_file(out, job), frame.to_csv(index=False))
    shutil.rmtree(out / "folds" / "checkpoints" / job.name, ignore_errors=True)
    best = [
        max(epoch["validation_unweighted_average_recall"] for epoch in history)
        for history in estimator.history_
    ]
    epochs = [len(history) for history in estimator.history_]
    return (
        f"{job.name}: {len(job.fold.train)} rows trained, {len(job.fold.test)} tested, "
        f"epochs {epochs}, validation UA {np.round(best, 3).tolist()}, "
        f"temperature {estimator.temperature_:.2f}, {time.monotonic() - started:.0f} s"
    )


def _protocol(recipe: Recipe, name: str) -> ProtocolBase:
    stated = {protocol.name: protocol for protocol in recipe.protocols}
    return stated[name] if name in stated else parse_protocol(name)


def _claim(out: Path, recipe: Recipe, facts: dict[str, Any]) -> None:
    """Take the folder for this run, or go on with the same run in it."""
    held, stated = out / "recipe.yaml", out / "plan.json"
    plan = _json(facts)
    if held.is_file() and stated.is_file():
        same = load_recipe(held).identity() == recipe.identity()
        if not same or stated.read_text(encoding="utf-8") != plan:
            raise RecipeError(
                f"{out} holds a run with another recipe, protocol, seeds or corpora; give another "
                "--out, or remove that folder",
                code="other_run",
            )
        return
    if out.is_dir() and any(out.iterdir()):
        raise RecipeError(f"{out} is not empty and holds no run; give another --out")
    (out / "folds").mkdir(parents=True, exist_ok=True)
    _replace(stated, plan)
    _replace(held, recipe.to_yaml())


def _fold_file(out: Path, job: _Job) -> Path:
    return out / "folds" / f"{job.name}.csv"


def _log(out: Path, line: str) -> None:
    with (out / "log.txt").open("a", encoding="utf-8") as log:
        log.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {line}\n")


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _replace(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def audio_hash(prepared: Prepared) -> str:
    """Return one hash of all decoded recordings: equal means the same corpora."""
    return hashlib.sha256("".join(sorted(prepared.audio_hashes)).encode()).hexdigest()


def git_commit() -> str | None:
    """Return the commit of the checkout ullim runs from; None for an installed package."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()
