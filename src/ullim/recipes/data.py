"""From corpora on disk to what an estimator takes: utterances, targets, features, views."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from joblib import Parallel, delayed

from ullim import audio
from ullim.augment import Augmentation
from ullim.corpora import votes
from ullim.errors import CorpusError, RecipeError, UllimError
from ullim.evaluation.fingerprint import FINGERPRINT, Peaks, fingerprint
from ullim.features import Feature
from ullim.features.cache import FeatureStore, Item, file_hashes, item_key
from ullim.recipes.schema import Recipe, Task
from ullim.types import NO_SPEECH, FloatArray, LabelSet, Ragged, Utterance
from ullim.window import Window

Progress = Callable[[int, int], None]
"""Called with how many items are done, of how many."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The rows of a task.

    Attributes:
        utterances: One per row.
        labels: The classes; columns of ``targets``.
        targets: float32 (rows, classes): 1 for the label, 0 for other labels its corpus offers,
            NaN for labels its corpus never offers; or shares that sum to 1.
        truth: int64 (rows,), the column a prediction is scored against.
        tested: Whether a row may be tested on.
        notes: What a reader of the figures must know of the rows.
    """

    utterances: list[Utterance]
    labels: LabelSet
    targets: npt.NDArray[np.float32]
    truth: npt.NDArray[np.int64]
    tested: npt.NDArray[np.bool_]
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """Label of each row."""
        return [self.labels.names[column] for column in self.truth]


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """What was computed from the recordings.

    Attributes:
        views: Features by name of the clean recordings, then of each augmented view.
        audio_hashes: SHA-256 of the decoded samples of each row.
    """

    views: tuple[dict[str, Ragged], ...]
    audio_hashes: tuple[str, ...]
    fingerprints: tuple[Peaks, ...] = ()

    def take(self, rows: npt.NDArray[np.int64]) -> list[dict[str, Ragged]]:
        """Return every view of some rows."""
        return [{name: items.take(rows) for name, items in view.items()} for view in self.views]


def load_table(recipe: Recipe, folders: Mapping[str, Path]) -> Table:
    """Load the corpora of a recipe and put each utterance under its label.

    Raises:
        RecipeError: A corpus of the recipe has no folder, or a folder no corpus of the recipe.
        CorpusError: A corpus cannot be loaded, has no utterance with the task's labels, or is
            whole and yet the task has not the number of utterances it states.
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
    task = recipe.task
    labels = LabelSet(task.labels)
    utterances: list[Utterance] = []
    targets, truths, tested = [], [], []
    partial: list[str] = []
    for part in task.corpora:
        corpus = part.loader()
        found = corpus.load(folders[part.name])
        mapped = {
            label: task.label_map.get(label, label)
            for label in corpus.offered(found)
            if label not in part.drop_labels
        }
        # Whether somebody speaks is known of every clip, so no_speech is offered everywhere; and a
        # clip in which nobody does has none of the emotions.
        silent = set(mapped.values()) == {NO_SPEECH}
        there = {NO_SPEECH, *mapped.values()}
        offered = np.array([silent or _emotion(name, task) in there for name in labels])
        published = sum(corpus.expected_counts.values())
        if len(found) < published:
            partial.append(f"this copy of {part.name} holds {len(found)} of {published}")
        heard = found
        if task.split_by is not None:
            heard = [_with_gender(utterance, mapped) for utterance in found]
            mapped = {name: name for name in labels}
        rows, truth = _targets(heard, task.votes, labels, mapped)
        before = len(utterances)
        for utterance, row, column in zip(found, rows, truth, strict=True):
            if column < 0 or (part.groups is not None and utterance.group not in part.groups):
                continue
            utterances.append(utterance)
            targets.append(np.where(offered, row, np.nan).astype(np.float32))
            truths.append(column)
            tested.append(part.test_groups is None or utterance.group in part.test_groups)
        if len(utterances) == before:
            raise CorpusError(
                f"{corpus.title} under {folders[part.name]} has no utterance with one of the "
                f"labels {', '.join(labels)} in the groups asked for",
                code="empty",
            )
    table = Table(utterances, labels, np.stack(targets), np.array(truths), np.array(tested))
    if task.at_most_per_label is not None:
        table = _drawn(table, task.at_most_per_label, task.draw_seed)
    return replace(table, notes=_counted(table, task, partial))


def _emotion(label: str, task: Task) -> str:
    return label if task.split_by is None else label.partition("-")[2]


def _with_gender(utterance: Utterance, mapped: Mapping[str, str]) -> Utterance:
    """Return the utterance with its speaker's gender before the labels that are mapped."""
    if utterance.gender is None:
        raise CorpusError(
            f"corpus {utterance.corpus} does not tell the gender of {utterance.id}, and the task "
            "says split_by: gender; leave that out, or use a corpus that tells it",
            code="no_gender",
        )
    heard = tuple(
        replace(vote, label=f"{utterance.gender}-{mapped[vote.label]}")
        for vote in utterance.votes
        if vote.label in mapped
    )
    return replace(utterance, votes=heard)


def _drawn(table: Table, most: int, seed: int) -> Table:
    """Keep so many rows of each label: the first in the order of a hash of seed and id.

    A recording's place in that order depends on nothing else, so copies of a corpus that lack some
    recordings still agree on the others.
    """

    def place(row: int) -> bytes:
        utterance = table.utterances[row]
        return hashlib.sha256(f"{seed}/{utterance.corpus}/{utterance.id}".encode()).digest()

    kept: Counter[str] = Counter()
    rows = []
    names = table.names
    for row in sorted(range(len(names)), key=place):
        if kept[names[row]] < most:
            kept[names[row]] += 1
            rows.append(row)
    rows.sort()
    return replace(
        table,
        utterances=[table.utterances[row] for row in rows],
        targets=table.targets[rows],
        truth=table.truth[rows],
        tested=table.tested[rows],
    )


def _counted(table: Table, task: Task, partial: Sequence[str]) -> tuple[str, ...]:
    """Hold the number of rows against the task's, where its corpora are whole."""
    found, wanted = len(table.utterances), task.expected_count
    if wanted is None or found == wanted:
        return ()
    told = f"task {task.name or 'of the recipe'}: {found} of {wanted} utterances"
    if partial:
        return (f"{told}; {'; '.join(partial)}",)
    raise CorpusError(
        f"{told}, though its corpora are whole; check the folders with `ullim corpora check`, or "
        "correct expected_count",
        code="wrong_count",
    )


def _targets(
    utterances: Sequence[Utterance], rule: str, labels: LabelSet, mapped: Mapping[str, str]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return a target and the column of the label for each utterance; -1 for one to leave out.

    Labels outside the task take part in the majority, so that a row most raters would put outside
    is left out and does not go to whoever voted inside. Of the rows that stay, votes for labels
    outside are left out, and the shares are of the rest.
    """

    def rename(label: str) -> str:
        return mapped.get(label, f"left out: {label}")

    if rule == "first":
        utterances = [replace(u, votes=u.votes[:1]) for u in utterances]
    outside = {rename(v.label) for u in utterances for v in u.votes} - set(labels)
    table = votes.tabulate(utterances, [*labels, *sorted(outside)], rename=rename)
    truth = votes.majority(table, ties="drop" if rule == "majority-drop" else "earlier")
    truth[truth >= len(labels)] = -1
    inside = votes.tabulate(utterances, tuple(labels), rename=rename)
    if rule == "soft":
        return votes.soft_shares(inside), truth
    if rule == "intensity":
        return votes.intensity_shares(inside), truth
    return np.eye(len(labels))[truth], truth


def prepare(
    recipe: Recipe,
    utterances: Sequence[Utterance],
    *,
    jobs: int = 1,
    store: FeatureStore | None = None,
    progress: Progress,
) -> Prepared:
    """Decode every utterance once and compute the features of it and of its augmented views.

    A feature at level ``clip`` is computed over each window of the recipe, as the predictor does.

    View ``v`` of row ``i`` is drawn from a generator seeded by ``(v, utterance id)``, so it does
    not depend on the number of jobs or on which other rows there are. What the store already has
    is taken from it.

    Raises:
        CorpusError: A recording cannot be used; the message names it.
        FeatureError: The store cannot be written.
    """
    keys = _keys(recipe, utterances, jobs) if store is not None else {}
    wanted = [key for of_row in keys.values() for key in of_row.all]
    kept = {item.key: item for item in store.find(wanted)} if store is not None else {}
    rows: dict[int, _Row] = {}
    for row, of_row in keys.items():
        if all(key in kept for key in of_row.all):
            peaks = kept[of_row.fingerprint]
            rows[row] = _Row(
                [{name: kept[key].values for name, key in view.items()} for view in of_row.views],
                peaks.audio,
                peaks.values.astype(np.int32),
            )
    todo = [row for row in range(len(utterances)) if row not in rows]
    progress(len(rows), len(utterances))
    tasks = (
        delayed(_prepare_one)(
            utterances[row], recipe.features, recipe.window, recipe.augmentation, recipe.views
        )
        for row in todo
    )
    titles = {feature.name: f"{feature.name}-{feature.version}" for feature in recipe.features}
    with nullcontext() if store is None else store.writer() as writer:
        results = Parallel(n_jobs=jobs, return_as="generator")(tasks)
        for row, result in zip(todo, results, strict=True):
            rows[row] = result
            if writer is not None and row in keys:
                for view, named in zip(result.views, keys[row].views, strict=True):
                    for name, key in named.items():
                        writer.add(Item(key, view[name], titles[name], result.audio_hash))
                constellation = np.ascontiguousarray(result.fingerprint, dtype=np.float32)
                writer.add(
                    Item(keys[row].fingerprint, constellation, FINGERPRINT, result.audio_hash)
                )
            progress(len(rows), len(utterances))
    ordered = [rows[row] for row in range(len(utterances))]
    return Prepared(
        tuple(
            {name: Ragged.from_items([row.views[view][name] for row in ordered]) for name in titles}
            for view in range(recipe.views + 1)
        ),
        tuple(row.audio_hash for row in ordered),
        tuple(row.fingerprint for row in ordered),
    )


@dataclass(frozen=True, slots=True)
class _Row:
    """What is computed of one utterance: features by name of each view, hash, fingerprint."""

    views: list[dict[str, FloatArray]]
    audio_hash: str
    fingerprint: Peaks


@dataclass(frozen=True, slots=True)
class _Keys:
    """Where the store keeps it."""

    views: list[dict[str, str]]
    fingerprint: str

    @property
    def all(self) -> list[str]:
        return [*(key for view in self.views for key in view.values()), self.fingerprint]


def _keys(recipe: Recipe, utterances: Sequence[Utterance], jobs: int) -> dict[int, _Keys]:
    """Return the keys of every row whose file can be read; reading another tells what is wrong."""
    hashes = file_hashes([utterance.file for utterance in utterances], jobs=jobs)
    changes = [augmentation.identity() for augmentation in recipe.augmentation]
    cut = recipe.window.facts()
    cuts = {
        feature.name: cut if feature.level == "clip" or recipe.window.cuts_clips else None
        for feature in recipe.features
    }

    def of(utterance: Utterance) -> _Keys:
        clip = hashes[utterance.file], utterance.start_s, utterance.end_s

        def named(changes: Sequence[Any], seed: Sequence[int]) -> dict[str, str]:
            return {
                feature.name: item_key(
                    *clip,
                    feature,
                    augmentation=changes,
                    seed=seed,
                    window=cuts[feature.name],
                )
                for feature in recipe.features
            }

        views = [named(changes, _seed(view, utterance)) for view in range(recipe.views)]
        facts = f"{FINGERPRINT} {recipe.sampling_rate} {clip}"
        return _Keys([named((), ()), *views], hashlib.sha256(facts.encode()).hexdigest())

    return {row: of(u) for row, u in enumerate(utterances) if u.file in hashes}


def _seed(view: int, utterance: Utterance) -> list[int]:
    return [view, int.from_bytes(hashlib.sha256(utterance.id.encode()).digest()[:8], "little")]


def _prepare_one(
    utterance: Utterance,
    features: Sequence[Feature],
    window: Window,
    augmentation: Sequence[Augmentation],
    n_views: int,
) -> _Row:
    rate = features[0].sampling_rate
    try:
        signal = audio.read(
            utterance.file,
            rate,
            start_s=utterance.start_s,
            end_s=utterance.end_s,
        )
    except UllimError as error:
        raise CorpusError(
            f"corpus {utterance.corpus}: {error}; `ullim corpora check` lists all such files",
            code=error.code,
        ) from error
    views = [{feature.name: _extract(feature, window, signal) for feature in features}]
    for view in range(n_views):
        generator = np.random.default_rng(_seed(view, utterance))
        changed = signal
        for augment in augmentation:
            changed = augment.for_view(view).apply(changed, rate, generator)
        views.append({feature.name: _extract(feature, window, changed) for feature in features})
    return _Row(views, hashlib.sha256(signal.tobytes()).hexdigest(), fingerprint(signal, rate))


def _extract(feature: Feature, window: Window, signal: FloatArray) -> FloatArray:
    signal = window.excerpt(signal, feature.sampling_rate)
    if feature.level == "frame":
        return feature.extract(signal)
    unit_s = 1 / feature.sampling_rate
    length = window.length(len(signal), unit_s)
    starts = window.starts(len(signal), unit_s)
    return np.concatenate([feature.extract(signal[start : start + length]) for start in starts])
