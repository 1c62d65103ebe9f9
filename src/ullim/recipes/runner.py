"""Runs a recipe: folds times seeds, in parallel, resumable, into one folder."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from joblib import Parallel, delayed

from ullim._files import write_text
from ullim.corpora.folders import corpus_folders
from ullim.evaluation.leakage import audit
from ullim.evaluation.protocols import ProtocolBase, parse_protocol
from ullim.features.cache import FeatureStore
from ullim.recipes.fold import Job, fitted_precision, folds_digest, run_fold
from ullim.recipes.folder import (
    claim,
    claim_precision,
    claim_rows,
    feature_versions,
    log,
    to_json,
)
from ullim.recipes.prepared import prepare
from ullim.recipes.results import summarise
from ullim.recipes.schema import Recipe
from ullim.recipes.table import load_table
from ullim.training.options import Hardware
from ullim.training.trainer import Report

_LIBRARIES = ("ullim", "numpy", "torch", "lightning", "scikit-learn", "soundfile", "soxr")


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
    store: FeatureStore | None = None,
    alone: bool = False,
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
        store: Where features are kept for the next run; None keeps none.
        alone: Whether a clip is answered without the others of its speaker, as a bundle has to,
            by a model that would use them.
        report: Told of progress.

    Returns:
        What ``metrics.json`` holds.

    Raises:
        RecipeError: The protocol is unknown or does not fit, or ``out`` holds another run or one
            of other recordings, labels or folds, or in another precision.
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
    versions = {"feature_versions": feature_versions(recipe)}
    if table.notes:
        facts["notes"] = list(table.notes)
    if recipe.model.transductive:
        facts["transductive"] = not alone
    work = [
        Job(seed, fold.testing(table.tested))
        for seed in seeds
        for fold in scheme.folds(table.utterances, table.names, seed)
        if table.tested[fold.test].any()
    ]
    precision = fitted_precision(recipe)
    claim(out, recipe, facts)
    todo = [job for job in work if not job.predictions(out).is_file()]
    held = claim_precision(out, precision if todo else None)
    prepared = prepare(
        # With every fold done, only the hashes of the recordings are still wanted.
        recipe if todo else recipe.model_copy(update={"views": 0}),
        table.utterances,
        jobs=jobs,
        store=store,
        progress=lambda done, total: report("features", done, total),
    )
    hashes = {
        "audio_hash": prepared.audio_hash,
        "rows_hash": table.digest(prepared.audio_hashes),
        "folds_hash": folds_digest(table, work),
    }
    claim_rows(out, hashes, versions)
    report("folds", len(work) - len(todo), len(work))
    parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", max_nbytes="1M")
    done = len(work) - len(todo)
    # The steps of one network at a time; of several, only who is finished.
    watched = report if jobs == 1 else None
    for line in parallel(
        delayed(run_fold)(
            recipe, table, prepared, job, out, alone=alone, one_core=jobs > 1, report=watched
        )
        for job in todo
    ):
        done += 1
        log(out, line)
        report("folds", done, len(work))
    predictions = pd.concat(
        [pd.read_csv(job.predictions(out), dtype={"fold": str, "speaker": str}) for job in work],
        ignore_index=True,
    )
    write_text(out / "predictions.csv", predictions.to_csv(index=False))
    metrics = summarise(predictions, table, decision=recipe.decision) | {
        "leakage": audit(
            table.utterances,
            prepared.audio_hashes,
            [job.fold for job in work],
            fingerprints=prepared.fingerprints,
        )
    }
    write_text(out / "metrics.json", to_json(metrics))
    histories = _histories(out, work)
    write_text(out / "history.json", json.dumps(_curves(histories)) + "\n")
    details = facts | {
        "text_independent": scheme.text_independent,
        "command": Hardware.before(command),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds_this_time": round(time.monotonic() - started),
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        "versions": {name: version(name) for name in _LIBRARIES},
        **versions,
        **held,
        "git_commit": git_commit(),
        **hashes,
    }
    sizes = [history["n_parameters"] for history in histories.values() if "n_parameters" in history]
    if any(sizes):
        details["n_parameters"] = max(filter(None, sizes))
    if all("seconds" in history for history in histories.values()):
        # Of all sittings; a fold that was stopped counts from where it went on.
        details["fit_seconds"] = round(sum(history["seconds"] for history in histories.values()))
    write_text(out / "run.json", to_json(details))
    shutil.rmtree(out / "folds" / "checkpoints", ignore_errors=True)
    return metrics


def run_name(recipe: Recipe, protocol: str, profile: str = "full") -> str:
    """Return what the folder of a run is called where nobody names it.

    >>> from ullim.recipes.schema import load_recipe
    >>> run_name(load_recipe("cnn-emodb"), "random", "cpu")
    'cnn-emodb.cpu_random'
    """
    return f"{recipe.name}{'' if profile == 'full' else f'.{profile}'}_{protocol}"


def _protocol(recipe: Recipe, name: str) -> ProtocolBase:
    stated = {protocol.name: protocol for protocol in recipe.protocols}
    return stated[name] if name in stated else parse_protocol(name)


def _histories(out: Path, work: Sequence[Job]) -> dict[str, dict[str, Any]]:
    """Return what each fold noted of its training, by the fold's name."""
    paths = {job.name: job.history(out) for job in work}
    return {
        name: json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        for name, path in paths.items()
    }


def _curves(histories: dict[str, dict[str, Any]]) -> dict[str, list[dict[str, list[float]]]]:
    """Return the learning curves of every fold: its members, each a list per quantity."""
    curves = {}
    for name, history in histories.items():
        members = history.get("networks", [])
        curves[name] = [
            {key: [round(epoch[key], 4) for epoch in member] for key in member[0] if key != "epoch"}
            for member in members
            if member
        ]
    return curves


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
