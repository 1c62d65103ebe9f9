"""Features on disk, so that each clip is computed once for all runs and all processes.

::

    <folder>/index.sqlite       for each item: its key, its shard, its place there, its checksum
    <folder>/shards/NAME.npy    float32 (frames, features) of many items; written once

A shard is written under another name, renamed when it is whole, and only then entered in the index.
So a process that is killed, or a disk that is full, loses at most what was not entered yet. Shards
are never changed, and each process writes its own; two that compute the same item leave two
copies, and either is right. Every item is checked when it is read, and one that is damaged counts
as absent.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ullim.errors import FeatureError
from ullim.features import Feature
from ullim.types import FloatArray

if TYPE_CHECKING:
    import sqlite3

# The registry imports every module of this folder, and prediction waits for it: what only the
# store needs is imported where it is used.

# How ullim.audio makes one channel of many; another rule is another key.
_CHANNEL_RULE = "mean-v1"
# Distributions whose version may change the samples.
_DECODERS = ("soundfile", "soxr", "av")

_BYTES_PER_SHARD = 32 * 1024**2
_SECONDS_PER_SHARD = 15.0
# A file nobody has entered in the index for so long belongs to a process that ended.
_ABANDONED_S = 3600.0
_KEYS_PER_QUERY = 500

_SCHEMA = """
CREATE TABLE IF NOT EXISTS items (
    key TEXT PRIMARY KEY,
    shard TEXT NOT NULL,
    first INTEGER NOT NULL,
    frames INTEGER NOT NULL,
    features INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    feature TEXT NOT NULL,
    audio TEXT NOT NULL
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class Item:
    """One clip's values in the store.

    Attributes:
        key: See :func:`item_key`.
        values: float32 (frames, features).
        feature: Name and version of the feature.
        audio: SHA-256 of the decoded samples, before any augmentation.
    """

    key: str
    values: FloatArray
    feature: str
    audio: str


def default_folder() -> Path:
    """Return the folder of the store: ``ULLIM_CACHE``, or the user's cache folder."""
    from platformdirs import user_cache_path

    named = os.environ.get("ULLIM_CACHE")
    root = Path(named).expanduser() if named else user_cache_path("ullim", appauthor=False)
    return root / "features-v1"


def file_hashes(files: Sequence[Path], *, jobs: int = 1) -> dict[Path, str]:
    """Return the SHA-256 of each file; one that cannot be read is left out."""
    from concurrent.futures import ThreadPoolExecutor

    def digest(file: Path) -> str | None:
        try:
            with file.open("rb") as opened:
                return hashlib.file_digest(opened, "sha256").hexdigest()
        except OSError:
            return None

    unique = list(dict.fromkeys(files))
    with ThreadPoolExecutor(jobs) as pool:
        digests = pool.map(digest, unique)
        return {file: found for file, found in zip(unique, digests, strict=True) if found}


def item_key(
    file_hash: str,
    start_s: float,
    end_s: float | None,
    feature: Feature,
    *,
    augmentation: Sequence[Mapping[str, Any]] = (),
    seed: Sequence[int] = (),
    window: Mapping[str, Any] | None = None,
) -> str:
    """Return what stands for one result: everything that decides its numbers, hashed.

    Args:
        file_hash: SHA-256 of the file.
        start_s: Where the clip begins, in seconds.
        end_s: Where it ends; None for the end of the file.
        feature: What is computed.
        augmentation: Identity of each change of the signal, in order.
        seed: Of the generator they draw from.
        window: How a clip is cut for a feature with one vector per window; None for no cutting.
    """
    libraries = [*_DECODERS, *([feature.library] if feature.library else [])]
    facts = {
        "file": file_hash,
        "start_s": float(start_s),
        "end_s": None if end_s is None else float(end_s),
        "sampling_rate": feature.sampling_rate,
        "channels": _CHANNEL_RULE,
        "feature": feature.identity(),
        "libraries": {name: _version_of(name) for name in libraries},
        "augmentation": list(augmentation),
        "seed": list(seed),
        **({"window": dict(window)} if window else {}),
    }
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _version_of(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


class FeatureStore:
    """The store in one folder, which is made when something is first written."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = default_folder() if folder is None else folder
        self._index = self.folder / "index.sqlite"
        self._shards = self.folder / "shards"

    def find(self, keys: Sequence[str]) -> Iterator[Item]:
        """Yield the items there are, in any order; what is damaged or gone is left out."""
        if not self._index.is_file():
            return
        rows: list[tuple[Any, ...]] = []
        with self._connected() as index:
            for start in range(0, len(keys), _KEYS_PER_QUERY):
                some = keys[start : start + _KEYS_PER_QUERY]
                marks = ",".join("?" * len(some))
                rows += index.execute(f"SELECT * FROM items WHERE key IN ({marks})", some)
        # By shard, so that each is opened once.
        rows.sort(key=lambda row: (row[1], row[2]))
        shard: tuple[str | None, FloatArray | None] = (None, None)
        for row in rows:
            if row[1] != shard[0]:
                shard = row[1], self._open(row[1])
            item = _item(row, shard[1])
            if item is not None:
                yield item

    @contextmanager
    def writer(self) -> Iterator[Writer]:
        """Open the store for writing; what was added is kept when the block ends, however it does.

        Raises:
            FeatureError: The disk is full or the folder cannot be written.
        """
        writer = Writer(self)
        try:
            yield writer
        except BaseException as error:
            if not (isinstance(error, FeatureError) and error.code.startswith("cache_")):
                writer.flush()
            raise
        writer.flush()

    def summary(self) -> list[tuple[str, int, int]]:
        """Return feature, items and bytes, by feature."""
        if not self._index.is_file():
            return []
        with self._connected() as index:
            return index.execute(
                "SELECT feature, COUNT(*), SUM(4 * frames * features) FROM items "
                "GROUP BY feature ORDER BY feature"
            ).fetchall()

    def verify(self) -> dict[str, int]:
        """Check every item, forget what is damaged, and remove files nobody owns.

        Returns:
            How many items are ``whole``, how many were ``damaged``, and how many files were
            ``abandoned`` by processes that ended.
        """
        counts = {"whole": 0, "damaged": 0, "abandoned": 0}
        if self._index.is_file():
            with self._connected() as index:
                keys = [key for (key,) in index.execute("SELECT key FROM items")]
            whole = {item.key for item in self.find(keys)}
            damaged = [(key,) for key in keys if key not in whole]
            with self._connected() as index:
                index.executemany("DELETE FROM items WHERE key = ?", damaged)
            counts |= {"whole": len(whole), "damaged": len(damaged)}
        counts["abandoned"] = self._sweep(_ABANDONED_S)
        return counts

    def clear(self, feature: str | None = None) -> int:
        """Forget all items, or those of one feature by its name; return how many."""
        if not self._index.is_file():
            return 0
        with self._connected() as index:
            if feature is None:
                n = index.execute("DELETE FROM items").rowcount
            else:
                prefix = f"{feature}-v"
                n = index.execute(
                    "DELETE FROM items WHERE substr(feature, 1, ?) = ?", (len(prefix), prefix)
                ).rowcount
        self._sweep(0.0)
        return n

    def enter(self, shard: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Enter a whole shard's items in the index, all or none."""
        with self._connected() as index:
            index.executemany(
                "INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [(key, shard, *rest) for key, *rest in rows],
            )

    def write_shard(self, values: FloatArray) -> str:
        """Write values under a new name and return the name."""
        name = f"{secrets.token_hex(8)}.npy"
        part = self._shards / f"{name}.part"
        with self._explained():
            self._shards.mkdir(parents=True, exist_ok=True)
            try:
                with part.open("wb") as file:
                    header = np.lib.format.header_data_from_array_1_0(values)
                    np.lib.format.write_array_header_1_0(file, header)
                    # Not ndarray.tofile, which tells of a full disk without its number.
                    file.write(values.data)
                part.replace(self._shards / name)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        return name

    def drop_shard(self, name: str) -> None:
        """Remove a shard that could not be entered."""
        (self._shards / name).unlink(missing_ok=True)

    def _open(self, shard: str) -> FloatArray | None:
        try:
            values = np.load(self._shards / shard, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return values if values.ndim == 2 and values.dtype == np.float32 else None

    def _sweep(self, older_than_s: float) -> int:
        """Remove shards without items, and parts that were left; return how many."""
        if not self._shards.is_dir():
            return 0
        owned: set[str] = set()
        if self._index.is_file():
            with self._connected() as index:
                owned = {name for (name,) in index.execute("SELECT DISTINCT shard FROM items")}
        removed = 0
        for file in self._shards.iterdir():
            try:
                age_s = time.time() - file.stat().st_mtime
            except FileNotFoundError:
                continue
            # A part may be under another process's pen.
            limit_s = _ABANDONED_S if file.suffix == ".part" else older_than_s
            if file.name not in owned and age_s >= limit_s:
                file.unlink(missing_ok=True)
                removed += 1
        return removed

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """Open the index for one transaction."""
        import sqlite3

        with self._explained():
            self.folder.mkdir(parents=True, exist_ok=True)
            index = sqlite3.connect(self._index, timeout=60.0)
            try:
                with index:
                    index.execute(_SCHEMA)
                    yield index
            finally:
                index.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say in words what went wrong with the disk or the index."""
        import sqlite3

        elsewhere = "name another folder in ULLIM_CACHE, or do without: --no-cache"
        try:
            yield
        except OSError as error:
            full = error.errno in {errno.ENOSPC, errno.EDQUOT}
            reason = "the disk is full" if full else error.strerror or str(error)
            hint = "`ullim features cache clear` makes room; or " if full else ""
            raise FeatureError(
                f"features cannot be kept in {self.folder}: {reason}; {hint}{elsewhere}",
                code="cache_full" if full else "cache_unwritable",
            ) from error
        except sqlite3.Error as error:
            full = "full" in str(error)
            hint = "`ullim features cache clear` makes room; or " if full else ""
            if not full and not isinstance(error, sqlite3.OperationalError):
                hint = f"remove {self._index}, it is damaged; or "
            raise FeatureError(
                f"the index of {self.folder} cannot be used: {error}; {hint}{elsewhere}",
                code="cache_full" if full else "cache_index",
            ) from error


class Writer:
    """Collects items and writes them as shards; see :meth:`FeatureStore.writer`."""

    def __init__(self, store: FeatureStore) -> None:
        self._store = store
        self._pending: list[Item] = []
        self._bytes = 0
        self._since = time.monotonic()

    def add(self, item: Item) -> None:
        """Keep an item, now or a little later."""
        self._pending.append(item)
        self._bytes += item.values.nbytes
        late = time.monotonic() - self._since > _SECONDS_PER_SHARD
        if self._bytes >= _BYTES_PER_SHARD or late:
            self.flush()

    def flush(self) -> None:
        """Write what was added so far."""
        pending, self._pending, self._bytes = self._pending, [], 0
        self._since = time.monotonic()
        for width in sorted({item.values.shape[1] for item in pending}):
            items = [item for item in pending if item.values.shape[1] == width]
            values = np.concatenate([item.values for item in items], dtype=np.float32)
            shard = self._store.write_shard(values)
            rows, first = [], 0
            for item in items:
                n = len(item.values)
                check = zlib.crc32(values[first : first + n].data)
                rows.append((item.key, first, n, width, check, item.feature, item.audio))
                first += n
            try:
                self._store.enter(shard, rows)
            except BaseException:
                self._store.drop_shard(shard)
                raise


def _item(row: tuple[Any, ...], shard: FloatArray | None) -> Item | None:
    key, _, first, frames, features, checksum, feature, audio = row
    if shard is None or shard.shape[1] != features or len(shard) < first + frames:
        return None
    values = np.array(shard[first : first + frames])
    return Item(key, values, feature, audio) if zlib.crc32(values.data) == checksum else None
