"""A feature of many files: over processes, through the store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from pathlib import Path

from ullim import audio
from ullim.errors import AudioError, FeatureError, UllimError
from ullim.features import Feature
from ullim.features.cache import FeatureStore, Item, file_hashes, item_key
from ullim.types import FloatArray

Progress = Callable[[int, int], None]
"""Called with how many files are done, of how many."""


def extract_files(
    files: Sequence[Path],
    feature: Feature,
    *,
    store: FeatureStore | None = None,
    jobs: int = 1,
    progress: Progress = lambda done, total: None,
) -> list[FloatArray | UllimError]:
    """Compute a feature of whole files, or take it from the store.

    Args:
        files: Recordings.
        feature: What to compute.
        store: Where results are kept; None keeps none.
        jobs: Processes.
        progress: Told how far it is.

    Returns:
        For each file float32 (frames, features), or why there is none.

    Raises:
        FeatureError: The store cannot be written.
    """
    keys: list[str | None] = [None] * len(files)
    found: dict[str, FloatArray] = {}
    if store is not None:
        hashes = file_hashes(files, jobs=jobs)
        keys = [
            item_key(hashes[file], 0.0, None, feature) if file in hashes else None for file in files
        ]
        known = list({key for key in keys if key is not None})
        found = {item.key: item.values for item in store.find(known)}
    results: list[FloatArray | UllimError | None] = [found.get(key or "") for key in keys]
    todo = [place for place, result in enumerate(results) if result is None]
    done = len(files) - len(todo)
    progress(done, len(files))

    def collect(write: Callable[[Item], None]) -> None:
        for place, (result, digest) in zip(
            todo, _computed([files[place] for place in todo], feature, jobs), strict=True
        ):
            results[place] = result
            key = keys[place]
            if key is not None and not isinstance(result, UllimError):
                write(Item(key, result, f"{feature.name}-{feature.version}", digest))
            nonlocal done
            done += 1
            progress(done, len(files))

    if store is None or not todo:
        collect(lambda item: None)
    else:
        with store.writer() as writer:
            collect(writer.add)
    return [result for result in results if result is not None]


def _computed(
    files: Sequence[Path], feature: Feature, jobs: int
) -> Iterator[tuple[FloatArray | UllimError, str]]:
    if jobs == 1 or len(files) < 2:
        yield from map(_compute, files, repeat(feature))
        return
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(min(jobs, len(files))) as pool:
        yield from pool.map(_compute, files, repeat(feature), chunksize=4)


def _compute(file: Path, feature: Feature) -> tuple[FloatArray | UllimError, str]:
    try:
        signal = audio.read(file, feature.sampling_rate)
        return feature.extract(signal), hashlib.sha256(signal.tobytes()).hexdigest()
    except (AudioError, FeatureError) as error:
        # Said again, for an error with keyword arguments does not travel between processes.
        return type(error)(str(error), code=error.code), ""
