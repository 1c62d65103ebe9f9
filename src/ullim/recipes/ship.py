"""From a recipe to a bundle: held-out figures first, then weights fitted on everything."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ullim import bundle
from ullim.corpora import ACTOR
from ullim.corpora.folders import corpus_folders
from ullim.errors import RecipeError
from ullim.evaluation.predictions import PREDICTED, PROBABILITY
from ullim.features.cache import FeatureStore
from ullim.models import OPSET, Network
from ullim.models.fusion import Fusion
from ullim.recipes.card import render
from ullim.recipes.finished import check_finished, check_run, figures_of
from ullim.recipes.fold import fit, fitted_precision, make_estimator
from ullim.recipes.prepared import prepare
from ullim.recipes.runner import git_commit, run
from ullim.recipes.schema import Recipe
from ullim.recipes.table import Table, load_table
from ullim.registry import component
from ullim.training.options import Hardware
from ullim.training.trainer import Report
from ullim.types import NO_SPEECH

_LIBRARIES = ("ullim", "numpy", "torch", "onnx", "onnxruntime", "soundfile", "soxr")


def train(
    recipe: Recipe,
    *,
    corpora: Sequence[str],
    out: Path,
    runs: Sequence[Path],
    figures: Sequence[Path],
    seed: int,
    command: str,
    profile: str = "full",
    jobs: int = 1,
    store: FeatureStore | None = None,
    force: bool = False,
    report: Report,
) -> Path:
    """Write a bundle.

    The figures on its card, and the confidence under which it says ``uncertain``, come from run
    folders of the same recipe, in which every clip is answered by a network that never heard its
    speaker. Where no run is given, the recipe's first protocol is run first, beside ``out``.

    Args:
        recipe: What to train.
        corpora: ``NAME=PATH`` of each corpus of the recipe.
        out: The bundle's folder.
        runs: Run folders of this recipe; the first decides the threshold.
        figures: Run folders of other recipes whose figures the card repeats.
        seed: Of the shipped weights.
        command: What the user typed.
        profile: Name of the profile the recipe was resolved with.
        jobs: Folds fitted at the same time where a run is needed.
        store: Where features are kept for the next run; None keeps none.
        force: Whether an existing bundle may be replaced.
        report: Told of progress.

    Raises:
        RecipeError: A run folder is not finished, or of another recipe or other recordings.
        BundleError: ``out`` exists.
    """
    bundle.check_target(out, replace=force)
    for folder in [*runs, *figures]:
        check_finished(folder, recipe)
    runs = list(runs)
    if not runs:
        runs = [out.with_name(out.name + ".run")]
        run(
            recipe,
            corpora=corpora,
            protocol=recipe.protocols[0].name,
            seeds=[seed],
            out=runs[0],
            command=command,
            profile=profile,
            jobs=jobs,
            store=store,
            alone=True,
            report=report,
        )
    table = load_table(recipe, corpus_folders(corpora))
    prepared = prepare(
        recipe,
        table.utterances,
        jobs=jobs,
        store=store,
        progress=lambda done, total: report("features", done, total),
    )
    rows_hash = table.digest(prepared.audio_hashes)
    for folder in runs:
        check_run(folder, recipe, prepared.audio_hash, rows_hash)
    predictions = pd.read_csv(runs[0] / "predictions.csv", dtype={"fold": str, "speaker": str})
    threshold = reject_threshold(predictions, list(table.labels), recipe.decision.coverage)
    if not np.isfinite(threshold):
        raise RecipeError(
            f"{runs[0]} holds predictions without probabilities: its fits diverged; run it again "
            "into another folder, with a lower training.learning_rate",
            code="diverged",
        )
    # What a card cannot say fails before the long fit, not after it.
    stated = tuple(figure for folder in [*runs, *figures] for figure in figures_of(folder))
    sounds = _sounds(predictions, table, threshold)
    report("final fit", 0, 1)
    rows = np.arange(len(table.utterances))
    # Named by what is fitted, so that a stopped fit goes on and another is never taken for it.
    facts = json.dumps([recipe.identity(), seed, rows_hash, fitted_precision(recipe)])
    begun = out.with_name(f".{out.name}-{hashlib.sha256(facts.encode()).hexdigest()[:12]}")
    estimator = fit(
        make_estimator(recipe, seed=seed, checkpoints=begun, alone=True), table, prepared, rows
    )
    report("final fit", 1, 1)
    lengths = next(iter(prepared.views[0].values())).lengths
    # The longest first: the exporter traces it, and short clips must not be what it assumes.
    some = np.argsort(lengths)[:: max(1, len(lengths) // 24)][::-1]
    graphs = estimator.graphs({name: items.take(some) for name, items in prepared.views[0].items()})
    # One temperature for all is the bundle's; where members differ, each graph has its own.
    one_for_all = len({graph.temperature for graph in graphs}) == 1
    temperature = round(graphs[0].temperature, 4) if one_for_all else 1.0
    manifest = bundle.Manifest(
        schema_version=bundle.SCHEMA_VERSION,
        name=out.name,
        title=recipe.bundle.title or recipe.title,
        labels=recipe.task.labels,
        inputs=tuple(bundle.InputSpec(**feature.identity()) for feature in recipe.features),
        graphs=tuple(
            bundle.GraphSpec(
                file=f"{graph.name}.onnx",
                inputs=graph.inputs,
                opset=OPSET,
                temperature=1.0 if one_for_all else round(graph.temperature, 4),
                weight=graph.weight,
                member=graph.member,
            )
            for graph in graphs
        ),
        combine=bundle.Combine(
            rule=recipe.model.rule if isinstance(recipe.model, Fusion) else "mean"
        ),
        window=recipe.window,
        decision=recipe.decision,
        calibration=bundle.Calibration(
            temperature=temperature,
            fitted_on=_fitted_on(recipe, table),
        ),
        reject_threshold=round(threshold, 4),
        licence=recipe.bundle.licence,
        trained_on=_trained_on(table),
        figures=stated,
        intended_use=f"{recipe.bundle.intended_use} Not for: {recipe.bundle.not_for}".strip(),
        recipe=json.loads(json.dumps(recipe.identity())),
        seeds=(seed,),
        versions={name: version(name) for name in _LIBRARIES},
        git_commit=git_commit(),
        created=datetime.now(UTC).date().isoformat(),
    )
    card = render(
        manifest,
        recipe,
        Hardware.before(command),
        acted=all(u.votes[0].rater == ACTOR for u in table.utterances),
        sounds=sounds,
    )
    data = {f"{graph.name}.onnx": graph.data for graph in graphs}
    written = bundle.write(out, manifest, data, card, replace=force)
    shutil.rmtree(begun, ignore_errors=True)
    return written


def _fitted_on(recipe: Recipe, table: Table) -> str:
    apart = "speakers"
    if len({(u.corpus, u.speaker) for u in table.utterances}) == 1:
        apart = "clips (no second speaker is told)"
    told = []
    for model in recipe.models:
        if isinstance(model, Network):
            if recipe.training.validation_share == 0:
                text = "nobody, since no speaker was kept back; 1 is no calibration"
            elif recipe.training.refits:
                text = f"validation {apart}, which only its refits were fitted on"
            else:
                text = f"validation {apart} that its weights were not fitted on"
            told.append(f"{model.name}: {text}")
        elif getattr(model, "calibrated", True):
            told.append(f"{model.name}: inner folds of {apart}; its weights were refitted on all")
        else:
            told.append(f"{model.name}: nobody; its own probabilities")
    return "; ".join(dict.fromkeys(told))


def reject_threshold(predictions: pd.DataFrame, labels: Sequence[str], coverage: float) -> float:
    """Return the confidence that ``coverage`` of held-out speech reaches."""
    emotions = [PROBABILITY + label for label in labels if label != NO_SPEECH]
    speech = predictions[predictions["label"] != NO_SPEECH]
    scores = speech[emotions].to_numpy()
    confidence = scores.max(axis=1)
    if PREDICTED in speech:  # under a vote the label need not be the most probable
        columns = [list(labels).index(name) for name in speech[PREDICTED]]
        confidence = speech[[PROBABILITY + name for name in labels]].to_numpy()[
            np.arange(len(speech)), columns
        ]
    return float(np.quantile(confidence, 1.0 - coverage))


def _sounds(predictions: pd.DataFrame, table: Table, threshold: float) -> dict[str, Any] | None:
    """Return what became of held-out clips in which nobody speaks."""
    if NO_SPEECH not in table.labels:
        return None
    emotions = [PROBABILITY + label for label in table.labels if label != NO_SPEECH]
    silent = predictions["label"] == NO_SPEECH
    refused = (predictions[PROBABILITY + NO_SPEECH] >= 0.5) | (
        predictions[emotions].max(axis=1) < threshold
    )
    called_silent = predictions[PROBABILITY + NO_SPEECH] >= 0.5
    return {
        "n": int(silent.sum()),
        "refused": float(refused[silent].mean()),
        "speech_lost": float(called_silent[~silent].mean()),
    }


def _trained_on(table: Table) -> tuple[bundle.TrainedOn, ...]:
    rows: dict[str, list[Any]] = {}
    for utterance in table.utterances:
        rows.setdefault(utterance.corpus, []).append(utterance.speaker)
    return tuple(
        bundle.TrainedOn(
            name=name,
            title=(corpus := component("corpora", name)).title,
            licence=corpus.licence,
            citation=corpus.citation,
            utterances=len(speakers),
            speakers=len(set(speakers) - {None}),
        )
        for name, speakers in rows.items()
    )
