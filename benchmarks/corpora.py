"""Time and memory of what is done to a table before any audio is read, and of finding copies.

A made table of a thousand speakers is written as two manifests, beside an empty file for each row;
they are loaded, filtered by label, split under every protocol, and audited by hash under each. The
hashes are of names, since those of files cost what the disk costs. ``--copies`` also looks for
copies among as many made fingerprints, a few of which are planted.

    python benchmarks/corpora.py [--rows 100000] [--copies]

Peak is of the whole process, so it only grows; ``added`` is what the step added to it.
"""

from __future__ import annotations

import os

# ruff: noqa: E402 - the libraries read these variables when they load
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"

import argparse
import hashlib
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from ullim.corpora.manifest import Manifest
from ullim.evaluation.fingerprint import Peaks, find_copies
from ullim.evaluation.leakage import audit, survey
from ullim.evaluation.protocols import (
    FixedFolds,
    Fold,
    LeaveOneCorpusOut,
    LeaveOneSessionOut,
    LeaveOneSpeakerOut,
    ProtocolBase,
    RandomSplit,
    SpeakerKfold,
    TextDisjoint,
    write_folds,
)
from ullim.types import LABELS, Utterance

SPEAKERS = 1_000
SENTENCES = 5_000
SPEAKERS_A_SESSION = 10
PLANTED = 50

Result = TypeVar("Result")


class Steps:
    """Prints a line for each step."""

    def __init__(self) -> None:
        self.seconds = self.busy = 0.0
        print(f"{'step':44} {'seconds':>8} {'CPU s':>6} {'peak MB':>8} {'added':>6}")

    def __call__(self, name: str, step: Callable[[], Result]) -> Result:
        """Run a step and print what it took."""
        before, start, began = peak_mb(), time.perf_counter(), time.process_time()
        result = step()
        took, busy = time.perf_counter() - start, time.process_time() - began
        self.seconds += took
        self.busy += busy
        print(f"{name:44} {took:8.2f} {busy:6.2f} {peak_mb():8.0f} {peak_mb() - before:6.0f}",
              flush=True)  # fmt: skip
        return result


def peak_mb() -> float:
    """Return the most memory the process ever held."""
    # Kilobytes on Linux, bytes on macOS.
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def write_manifests(n: int, folder: Path) -> list[Path]:
    """Write two tables: speakers, sessions of ten speakers, sentences, labels; and their files."""
    generator = np.random.default_rng(0)
    sentences = generator.integers(0, SENTENCES, n).tolist()
    labels = generator.integers(0, 6, n).tolist()
    head = "id,file,speaker,label,session,gender,text\n"
    tables = [folder / "one" / "manifest.csv", folder / "other" / "manifest.csv"]
    for place, table in enumerate(tables):
        table.parent.mkdir()
        with table.open("w", encoding="utf-8") as out:
            out.write(head)
            for number, (sentence, label) in enumerate(zip(sentences, labels, strict=True)):
                speaker = number % SPEAKERS
                if (speaker >= SPEAKERS // 3) != place:
                    continue
                (table.parent / f"{number:07}.wav").touch()
                out.write(
                    f"{number:07},{number:07}.wav,{speaker:04},{LABELS[label]},"
                    f"{speaker // SPEAKERS_A_SESSION:03},{'female' if speaker % 2 else 'male'},"
                    f"Sentence number {sentence}.\n"
                )
    return tables


def load(tables: list[Path]) -> list[list[Utterance]]:
    """Return the rows of each table."""
    return [Manifest().load(table) for table in tables]


def made_fingerprints(n: int, peaks: int = 100) -> list[Peaks]:
    """Return random constellations as dense as speech, the last of them copies of the first."""
    generator = np.random.default_rng(1)
    prints = []
    for _ in range(n - PLANTED):
        frames = np.sort(generator.integers(0, 220, peaks))
        prints.append(np.stack([frames, generator.integers(0, 211, peaks)], axis=1, dtype=np.int32))
    late = np.array([13, 0], dtype=np.int32)
    return prints + [clip[generator.random(peaks) < 0.9] + late for clip in prints[:PLANTED]]


def name_of(protocol: ProtocolBase) -> str:
    """Return what a protocol is called in the table."""
    plain = isinstance(protocol, RandomSplit) and not protocol.stratified
    return f"{protocol.name}{' (plain)' if plain else ''}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--copies", action="store_true", help="also look for copies")
    arguments = parser.parse_args()
    n: int = arguments.rows

    print(f"{n} rows, {SPEAKERS} speakers; {peak_mb():.0f} MB before the first step")
    step = Steps()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tables = write_manifests(n, folder)
        parts = step("load two manifests", lambda: load(tables))
        # A protocol that leaves a corpus out needs two names; loaders of two corpora give them.
        rows = [
            replace(row, corpus=table.parent.name)
            for table, part in zip(tables, parts, strict=True)
            for row in part
        ]
        del parts
        kept = step(
            "filter by label",
            lambda: [u for u in rows if u.votes[0].label in {"neutral", "anger", "sadness"}],
        )
        assert 0 < len(kept) < n
        labels = [u.votes[0].label for u in rows]
        hashes = step(
            "hash (of names, in place of files)",
            lambda: [hashlib.sha256(u.id.encode()).hexdigest() for u in rows],
        )
        hashes[-1] = hashes[0]
        protocols: list[ProtocolBase] = [
            LeaveOneSpeakerOut(),
            SpeakerKfold(),
            LeaveOneSessionOut(),
            LeaveOneCorpusOut(),
            TextDisjoint(n_folds=5),
            RandomSplit(),
            RandomSplit(stratified=False),
        ]
        write_folds(folder / "folds.json", rows, SpeakerKfold().folds(rows, labels))
        protocols.append(FixedFolds(file=folder / "folds.json"))
        for protocol in protocols:

            def split(protocol: ProtocolBase = protocol) -> list[Fold]:
                return protocol.folds(rows, labels)

            folds = step(f"split: {name_of(protocol)}", split)

            def look(folds: list[Fold] = folds) -> dict[str, object]:
                return audit(rows, hashes, folds)

            step(f"audit: {name_of(protocol)}, {len(folds)} folds", look)
        step("survey", lambda: survey(rows, None))
    print(f"{'all of it':44} {step.seconds:8.2f} {step.busy:6.2f} {peak_mb():8.0f}")
    if arguments.copies:
        prints = step("make fingerprints", lambda: made_fingerprints(n))
        found = step("find copies", lambda: find_copies(prints))
        planted = {(row, n - PLANTED + row) for row in range(PLANTED)}
        pairs = {(copy.first, copy.second) for copy in found}
        print(f"{len(pairs & planted)} of {PLANTED} planted copies found, "
              f"{len(pairs - planted)} others")  # fmt: skip


if __name__ == "__main__":
    main()
