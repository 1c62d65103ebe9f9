"""Time every feature with its defaults on one clip of three seconds, on one core.

Prints milliseconds per clip: the median, and the least beside it. ``--write`` puts the least into
benchmarks/feature_times.csv, from which scripts/write_features.py takes the column of its table:
the least is what a quiet core needs, whatever else the machine does meanwhile. Features that need
weights, or a library that is not installed, are left out.

    python benchmarks/feature_times.py [--calls 50] [--write]
"""

from __future__ import annotations

import os

# ruff: noqa: E402 - the libraries read these variables when they load
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"

import argparse
import csv
import importlib.util
import platform
import statistics
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ullim import demo_clip
from ullim.audio import read
from ullim.features import Feature
from ullim.registry import components

CLIP_S = 3.0
TABLE = Path(__file__).with_suffix(".csv")


def processor() -> str:
    """Return the processor's name as the system words it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def times_ms(feature: Feature, n: int) -> tuple[float, float]:
    """Return the median and the least time of ``n`` calls after a first, in milliseconds."""
    speech = read(demo_clip(), sampling_rate=feature.sampling_rate)
    clip = np.resize(speech, round(CLIP_S * feature.sampling_rate))
    feature.extract(clip)
    taken = []
    for _ in range(n):
        start = time.perf_counter()
        feature.extract(clip)
        taken.append(1000 * (time.perf_counter() - start))
    return statistics.median(taken), min(taken)


def main() -> None:
    """Print the table, and write it where asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=50)
    parser.add_argument("--write", action="store_true", help=f"keep it in {TABLE.name}")
    arguments = parser.parse_args()
    rows = []
    for name, cls in components("features").items():
        missing = cls.library is not None and importlib.util.find_spec(cls.library) is None
        if cls.needs() or missing or not cls.__module__.startswith("ullim."):
            continue
        median, least = times_ms(cls(), arguments.calls)
        rows.append((name, cls.version, f"{least:.2f}"))
        print(f"{name:20} {median:8.2f} ({least:.2f}) ms")
    if arguments.write:
        where = f"one core of {processor()}, NumPy {np.__version__}, {datetime.now(UTC):%Y-%m}"
        with TABLE.open("w", encoding="utf-8", newline="") as file:
            file.write(f"# {where}\n")
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([("name", "version", "milliseconds"), *rows])


if __name__ == "__main__":
    main()
