"""How alike copies are, and how alike the same person saying the same words again is.

For clips drawn from the speech corpora under a folder: similarity of each with a changed copy of
itself, and how many are found. Then, over all clips: the most alike pairs that are no copies, by
the number of peaks in common. The threshold of ``ullim.evaluation.fingerprint`` lies between.

    python benchmarks/fingerprint.py CORPORA [--clips 150]
"""

from __future__ import annotations

import argparse
import io
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile
import soxr

from ullim import audio, registry
from ullim.evaluation import fingerprint as fp
from ullim.types import FloatArray

CORPORA = ("ravdess", "emodb", "emotiontts_ko")
RATE = 16_000
PEAKS_IN_COMMON = (16, 24, 32, 48, 96, 10_000)
# libsndfile's compression level 0 to 1; the last MP3 and Opus are the smallest it makes.
CODECS = {
    "MP3": ("MP3", "MPEG_LAYER_III", 0.5),
    "MP3, smallest": ("MP3", "MPEG_LAYER_III", 0.99),
    "Opus": ("OGG", "OPUS", 0.5),
    "Opus, smallest": ("OGG", "OPUS", 0.99),
}
CHANGES = ("gain and silence", *CODECS, "trimmed", "half of it", "8 kHz", "noise at 20 dB")


def changed(
    clip: FloatArray, how: str, generator: np.random.Generator, kilobits: list[float]
) -> tuple[FloatArray, int]:
    """Return a changed copy and its rate; codecs also change gain and add silence."""
    if how == "trimmed":
        before, after = generator.integers(1, RATE * 3 // 10, 2)
        return clip[before:-after], RATE
    if how == "half of it":
        start = generator.integers(0, len(clip) // 2)
        return clip[start : start + len(clip) // 2], RATE
    if how == "noise at 20 dB":
        level = np.sqrt(np.mean(clip**2)) / 10
        return clip + level * generator.standard_normal(len(clip), np.float32), RATE
    gain = np.float32(10 ** (generator.uniform(-20, 3) / 20))
    silence = (generator.integers(0, RATE // 2), generator.integers(0, RATE))
    copy = np.pad(clip * gain, silence).clip(-1, 1)
    if how == "8 kHz":
        return soxr.resample(copy, RATE, 8_000), 8_000
    if how in CODECS:
        kind, subtype, level = CODECS[how]
        file = io.BytesIO()
        soundfile.write(file, copy, RATE, format=kind, subtype=subtype, compression_level=level)
        kilobits.append(len(file.getvalue()) * 8 / 1000 / len(copy) * RATE)
        file.seek(0)
        return soundfile.read(file, dtype="float32")
    return copy, RATE


def similarity(one: fp.Peaks, other: fp.Peaks, displacement: int) -> tuple[float, int]:
    """Return the similarity without a threshold, and the peaks in the common stretch."""
    moved = other + np.array([displacement, 0], dtype=np.int32)
    start, end = max(one[0, 0], moved[0, 0]) - 1, min(one[-1, 0], moved[-1, 0]) + 1
    counts = [int(((p[:, 0] >= start) & (p[:, 0] <= end)).sum()) for p in (one, moved)]
    found = fp._compare(one, other, displacement)
    return (0.0 if found is None else found[0]), min(counts)


def main() -> None:
    """Print both distributions."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("corpora", type=Path, help="folder that holds ravdess/, emodb/, ...")
    parser.add_argument("--clips", type=int, default=150)
    arguments = parser.parse_args()
    rows = [
        row
        for name in CORPORA
        if (arguments.corpora / name).is_dir()
        for row in registry.component("corpora", name)().load(arguments.corpora / name)
    ]
    started = time.perf_counter()
    clips = [audio.read(row.file, RATE) for row in rows]
    read = time.perf_counter()
    prints = [fp.fingerprint(clip, RATE) for clip in clips]
    made = time.perf_counter()
    copies = fp.find_copies(prints)
    print(f"{len(rows)} clips: {read - started:.1f} s to read, {made - read:.1f} s to fingerprint, "
          f"{time.perf_counter() - made:.1f} s to find {len(copies)} copies:")  # fmt: skip
    for copy in copies:
        print(f"  {rows[copy.first].id} = {rows[copy.second].id}, {copy.similarity}")

    threshold, fewest = fp.MIN_SIMILARITY, fp.MIN_PEAKS
    fp.MIN_SIMILARITY, fp.MIN_PEAKS = 0.0, 8
    generator = np.random.default_rng(0)
    drawn = np.sort(generator.choice(len(rows), arguments.clips, replace=False))
    print(f"\nsimilarity of a changed copy ({arguments.clips} clips)")
    print(f"{'change':20} {'lowest':>7} {'5 %':>6} {'median':>7} {'found':>6}")
    for how in CHANGES:
        best: list[float] = []
        kilobits: list[float] = []
        found = 0
        for row in drawn:
            pair = [prints[row], fp.fingerprint(*changed(clips[row], how, generator, kilobits))]
            alike = [similarity(*pair, d) for _, _, d in fp._candidates(pair)]
            share, common = max(alike, default=(0.0, 0), key=lambda match: match[0] * match[1])
            best.append(share)
            found += share >= threshold and common >= fewest
        low, five, middle = np.quantile(best, [0, 0.05, 0.5])
        print(f"{how:20} {low:7.2f} {five:6.2f} {middle:7.2f} {found:6}"
              + (f"  {np.median(kilobits):.0f} kb/s" if kilobits else ""))  # fmt: skip

    print("\nmost alike pairs that are no copies, by peaks in common")
    known = {(copy.first, copy.second) for copy in copies}
    others: dict[int, list[float]] = {bound: [] for bound in PEAKS_IN_COMMON[:-1]}
    for first, second, displacement in fp._candidates(prints):
        if (first, second) in known:
            continue
        share, common = similarity(prints[first], prints[second], displacement)
        for low_bound, high_bound in pairwise(PEAKS_IN_COMMON):
            if low_bound <= common < high_bound:
                others[low_bound].append(share)
    for bound, shares in others.items():
        top = ", ".join(f"{share:.2f}" for share in sorted(shares, reverse=True)[:5])
        print(f"{bound:4} and more: {len(shares):5} pairs compared, highest {top}")


if __name__ == "__main__":
    main()
