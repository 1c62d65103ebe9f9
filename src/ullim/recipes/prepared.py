"""From utterances to numbers: recordings decoded once, their features, and those of their views."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from joblib import Parallel, delayed

from ullim import audio
from ullim.augment import Augmentation
from ullim.errors import CorpusError, UllimError
from ullim.evaluation.fingerprint import FINGERPRINT, Peaks, fingerprint
from ullim.features import Feature
from ullim.features.cache import FeatureStore, Item, file_hashes, item_key
from ullim.recipes.schema import Recipe
from ullim.types import FloatArray, Ragged, Utterance
from ullim.window import Window

Progress = Callable[[int, int], None]
"""Called with how many items are done, of how many."""


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

    @property
    def audio_hash(self) -> str:
        """One hash of all decoded recordings: equal means the same corpora."""
        return hashlib.sha256("".join(sorted(self.audio_hashes)).encode()).hexdigest()

    def take(self, rows: npt.NDArray[np.int64]) -> list[dict[str, Ragged]]:
        """Return every view of some rows."""
        return [{name: items.take(rows) for name, items in view.items()} for view in self.views]


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
