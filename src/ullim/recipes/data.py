"""From corpora on disk to what an estimator takes: utterances, targets, features, views."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from joblib import Parallel, delayed

from ullim import audio
from ullim.augment import Augmentation
from ullim.errors import CorpusError, RecipeError, UllimError
from ullim.evaluation.fingerprint import Peaks, fingerprint
from ullim.features import Feature
from ullim.recipes.schema import Recipe
from ullim.types import NO_SPEECH, FloatArray, LabelSet, Ragged, Utterance

Progress = Callable[[int, int], None]
"""Called with how many items are done, of how many."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The rows of a task.

    Attributes:
        utterances: One per row.
        labels: The classes; columns of ``targets``.
        targets: float32 (rows, classes): 1 for the label, 0 for other labels its corpus offers,
            NaN for labels its corpus never offers.
        tested: Whether a row may be tested on.
    """

    utterances: list[Utterance]
    labels: LabelSet
    targets: npt.NDArray[np.float32]
    tested: npt.NDArray[np.bool_]

    @property
    def names(self) -> list[str]:
        """Label of each row."""
        return [self.labels.names[column] for column in np.nan_to_num(self.targets).argmax(axis=1)]


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """What was computed from the recordings: the clean feature, its views, hashes of the audio."""

    views: tuple[Ragged, ...]
    audio_hashes: tuple[str, ...]
    fingerprints: tuple[Peaks, ...] = ()


def corpus_folders(pairs: Sequence[str]) -> dict[str, Path]:
    """Read ``NAME=PATH`` texts.

    Raises:
        RecipeError: A text is not of that form.
    """
    folders = {}
    for pair in pairs:
        name, equals, path = pair.partition("=")
        if not equals or not name or not path:
            raise RecipeError(
                f"--corpus takes NAME=PATH, for example ravdess=~/corpora/ravdess, and was given "
                f"{pair!r}",
                code="bad_corpus",
            )
        folders[name] = Path(path)
    return folders


def load_table(recipe: Recipe, folders: Mapping[str, Path]) -> Table:
    """Load the corpora of a recipe and put each utterance under its label.

    Raises:
        RecipeError: A corpus of the recipe has no folder, or a folder no corpus of the recipe.
        CorpusError: A corpus cannot be loaded, or has no utterance with the task's labels.
    """
    wanted = [part.name for part in recipe.task.corpora]
    missing = [name for name in wanted if name not in folders]
    stray = sorted(set(folders) - set(wanted))
    if missing or stray:
        raise RecipeError(
            f"recipe {recipe.name} uses {', '.join(wanted)}: "
            + (f"give {' '.join(f'--corpus {name}=PATH' for name in missing)}" if missing else "")
            + ("; " if missing and stray else "")
            + (f"leave out {', '.join(stray)}" if stray else ""),
            code="wrong_corpora",
        )
    labels = LabelSet(recipe.task.labels)
    utterances: list[Utterance] = []
    targets, tested = [], []
    for part in recipe.task.corpora:
        corpus = part.loader()
        dropped = set(part.drop_labels)
        mapped = {
            label: recipe.task.label_map.get(label, label)
            for label in corpus.labels
            if label not in dropped
        }
        # Whether somebody speaks is known of every clip, so no_speech is offered everywhere; and a
        # clip in which nobody does has none of the emotions.
        silent = set(mapped.values()) == {NO_SPEECH}
        offered = np.array([silent or name in {NO_SPEECH, *mapped.values()} for name in labels])
        before = len(utterances)
        for utterance in corpus.load(folders[part.name]):
            target = mapped.get(utterance.votes[0].label)
            if target is None or target not in labels:
                continue
            if part.groups is not None and utterance.group not in part.groups:
                continue
            row = np.where(offered, 0.0, np.nan).astype(np.float32)
            row[labels.index(target)] = 1.0
            utterances.append(utterance)
            targets.append(row)
            tested.append(part.test_groups is None or utterance.group in part.test_groups)
        if len(utterances) == before:
            raise CorpusError(
                f"{corpus.title} under {folders[part.name]} has no utterance with one of the "
                f"labels {', '.join(labels)} in the groups asked for",
                code="empty",
            )
    return Table(utterances, labels, np.stack(targets), np.array(tested))


def prepare(
    recipe: Recipe, utterances: Sequence[Utterance], *, jobs: int = 1, progress: Progress
) -> Prepared:
    """Decode every utterance once and compute the feature of it and of its augmented views.

    View ``v`` of row ``i`` is drawn from a generator seeded by ``(v, utterance id)``, so it does
    not depend on the number of jobs or on which other rows there are.

    Raises:
        CorpusError: A recording cannot be used; the message names it.
    """
    tasks = (
        delayed(_prepare_one)(utterance, recipe.feature, recipe.augmentation, recipe.views)
        for utterance in utterances
    )
    rows: list[tuple[list[FloatArray], str, Peaks]] = []
    for row in Parallel(n_jobs=jobs, return_as="generator")(tasks):
        rows.append(row)
        progress(len(rows), len(utterances))
    views = tuple(
        Ragged.from_items([features[view] for features, _, _ in rows])
        for view in range(recipe.views + 1)
    )
    return Prepared(views, tuple(row[1] for row in rows), tuple(row[2] for row in rows))


def _prepare_one(
    utterance: Utterance,
    feature: Feature,
    augmentation: Sequence[Augmentation],
    n_views: int,
) -> tuple[list[FloatArray], str, Peaks]:
    try:
        signal = audio.read(
            utterance.file,
            feature.sampling_rate,
            start_s=utterance.start_s,
            end_s=utterance.end_s,
        )
    except UllimError as error:
        raise CorpusError(
            f"corpus {utterance.corpus}: {error}; `ullim corpora check` lists all such files",
            code=error.code,
        ) from error
    features = [feature.extract(signal)]
    name = int.from_bytes(hashlib.sha256(utterance.id.encode()).digest()[:8], "little")
    for view in range(n_views):
        generator = np.random.default_rng([view, name])
        changed = signal
        for augment in augmentation:
            changed = augment.apply(changed, feature.sampling_rate, generator)
        features.append(feature.extract(changed))
    digest = hashlib.sha256(signal.tobytes()).hexdigest()
    return features, digest, fingerprint(signal, feature.sampling_rate)
