"""One fold of a run: its estimator fitted, its clips answered, both written down."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ullim._files import write_text
from ullim.decision import item_means, vote_shares
from ullim.evaluation.protocols import Fold, speaker_keys
from ullim.models import Network
from ullim.recipes.folder import to_json
from ullim.recipes.prepared import Prepared
from ullim.recipes.results import predictions_frame
from ullim.recipes.schema import Recipe
from ullim.recipes.table import Table
from ullim.training.classifier import Classifier, answer
from ullim.training.estimator import NetworkClassifier
from ullim.training.make import make_classifier
from ullim.training.options import Hardware
from ullim.training.trainer import Report, precision_of


@dataclass(frozen=True, slots=True)
class Job:
    """One fold under one seed.

    Attributes:
        seed: Decides the weights, the order and the validation speakers.
        fold: Who is trained on and who is tested.
    """

    seed: int
    fold: Fold

    @property
    def name(self) -> str:
        """Stem of its files."""
        return f"seed-{self.seed}_fold-{self.fold.name.replace('/', '-')}"

    def predictions(self, out: Path) -> Path:
        """Where its answers stand; there once it is done."""
        return out / "folds" / f"{self.name}.csv"

    def history(self, out: Path) -> Path:
        """Where it notes its training."""
        return out / "folds" / f"{self.name}.history.json"

    def checkpoints(self, out: Path) -> Path:
        """Folder a stopped fit of it is resumed from."""
        return out / "folds" / "checkpoints" / self.name


def folds_digest(table: Table, work: Sequence[Job]) -> str:
    """Return one hash of who is trained on and who is tested, whatever the order of the rows."""
    order = np.argsort([f"{u.corpus}/{u.id}" for u in table.utterances], kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    digest = hashlib.sha256()
    for job in work:
        for side, rows in (("train", job.fold.train), ("test", job.fold.test)):
            digest.update(f"{job.name} {side} ".encode())
            digest.update(np.sort(place[rows]).tobytes())
    return digest.hexdigest()


def make_estimator(
    recipe: Recipe,
    *,
    seed: int,
    checkpoints: Path | None = None,
    report: Report | None = None,
    alone: bool = False,
) -> Classifier:
    """Return the unfitted estimator a recipe describes."""
    return make_classifier(
        recipe.model,
        hops={feature.name: feature.hop_s for feature in recipe.features},
        classes=recipe.task.labels,
        training=recipe.training,
        window=recipe.window,
        seed=seed,
        checkpoints=checkpoints,
        report=report,
        hardware=_hardware(),
        decision=recipe.decision,
        alone=alone,
    )


def fitted_precision(recipe: Recipe) -> str | None:
    """Return the precision the networks of a recipe are fitted in here; None if it has none.

    Raises:
        TrainingError: ULLIM_PRECISION names one that there is not.
    """
    if not any(isinstance(model, Network) for model in recipe.models):
        return None
    return precision_of(_hardware())


def _hardware() -> Hardware:
    return Hardware.from_environment("auto" if torch.cuda.is_available() else "cpu")


def fit(estimator: Classifier, table: Table, prepared: Prepared, rows: Any) -> Classifier:
    """Fit an estimator on some rows of a table, with their views and speakers."""
    clean, *augmented = prepared.take(rows)
    groups = speaker_keys([table.utterances[row] for row in rows]).tolist()
    if len(set(groups)) == 1 and not getattr(estimator, "transductive", False):
        # Of one voice nobody is left to validate on: its clips must do, as for unknown speakers.
        groups = [f"{group}/{row}" for group, row in zip(groups, rows, strict=True)]
    return estimator.fit(
        clean,
        table.targets[rows],
        groups=groups,
        views=augmented,
    )


def run_fold(
    recipe: Recipe,
    table: Table,
    prepared: Prepared,
    job: Job,
    out: Path,
    *,
    alone: bool,
    one_core: bool,
    report: Report | None,
) -> str:
    """Fit one fold, answer its test clips, and leave both in the run folder.

    Args:
        recipe: What is run.
        table: Its utterances and targets.
        prepared: Their features.
        job: Which fold, under which seed.
        out: The run folder.
        alone: Whether a clip is answered without the others of its speaker.
        one_core: Whether it must leave the other cores to other folds.
        report: Told of every step; None tells nobody.

    Returns:
        A line for the log.
    """
    if one_core:
        torch.set_num_threads(1)
    started = time.monotonic()
    estimator = fit(
        make_estimator(
            recipe,
            seed=job.seed,
            checkpoints=job.checkpoints(out),
            report=report,
            alone=alone,
        ),
        table,
        prepared,
        job.fold.train,
    )
    clips = {name: items.take(job.fold.test) for name, items in prepared.views[0].items()}
    shares = None
    if recipe.counts_votes and isinstance(estimator, NetworkClassifier):
        each, counts = estimator.predict_windows(clips)
        scores, shares = item_means(each, counts), vote_shares(each, counts)
    else:
        speakers = speaker_keys([table.utterances[row] for row in job.fold.test]).tolist()
        scores = answer(estimator, clips, speakers)
    frame = predictions_frame(
        table,
        job.fold.test.tolist(),
        scores,
        seed=job.seed,
        fold=job.fold.name,
        shares=shares,
        decision=recipe.decision,
    )
    seconds = time.monotonic() - started
    history = {
        "n_parameters": getattr(estimator, "n_parameters_", None),
        "seconds": round(seconds, 1),
        "networks": estimator.history_,
    }
    write_text(job.history(out), to_json(history))
    write_text(job.predictions(out), frame.to_csv(index=False))
    shutil.rmtree(job.checkpoints(out), ignore_errors=True)
    return (
        f"{job.name}: {len(job.fold.train)} rows trained, {len(job.fold.test)} tested, "
        f"{estimator.summary()}, {seconds:.0f} s"
    )
