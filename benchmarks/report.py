"""Time a report of 10,000 predictions with 2,000 draws of speakers, and the interval alone.

Prints seconds on one core: the interval of one figure (twice: by speakers' confusion matrices as
ullim does, and by recounting the drawn items, which is what it replaced), and the whole page.

    python benchmarks/report.py [--predictions 10000] [--draws 2000]
"""

from __future__ import annotations

import os

# ruff: noqa: E402 - the libraries read these variables when they load
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ullim.evaluation.metrics import confusion_matrix, macro_f1
from ullim.evaluation.predictions import read_run
from ullim.evaluation.report import render
from ullim.evaluation.statistics import interval_of, speaker_interval
from ullim.evaluation.summary import refresh

LABELS = ("neutral", "happiness", "sadness", "anger", "fear", "disgust", "surprise", "calm")
SPEAKERS = 91


def main() -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--predictions", type=int, default=10_000)
    parser.add_argument("--draws", type=int, default=2000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run_folder = invent(Path(folder), options.predictions)
        part = read_run(run_folder).of("invented")
        speakers = part.speaker.tolist()
        n_labels = len(LABELS)

        def recount(rows: np.ndarray) -> float:
            return float(macro_f1(confusion_matrix(part.truth[rows], part.guess[rows], n_labels)))

        fast = timed(
            lambda: speaker_interval(
                macro_f1, part.truth, part.guess, speakers, n_labels, draws=options.draws
            )
        )
        slow = timed(
            lambda: interval_of(recount, speakers, draws=options.draws, scale="logit"), times=1
        )
        print(f"{options.predictions:,} predictions, {SPEAKERS} speakers, {options.draws:,} draws")
        print(f"interval of macro-F1: {fast:.3f} s; by recounting items {slow:.2f} s")
        again = timed(lambda: refresh(read_run(run_folder), draws=options.draws), times=1)
        print(f"metrics.json from predictions.csv: {again:.2f} s")
        page = timed(lambda: render(read_run(run_folder), draws=options.draws), times=1)
        print(f"report, HTML and Markdown: {page:.2f} s (at most 20 s)")


def invent(folder: Path, n: int) -> Path:
    """Write a run folder of invented answers."""
    generator = np.random.default_rng(0)
    truth = generator.integers(0, len(LABELS), n)
    scores = generator.dirichlet(np.ones(len(LABELS)), n) + 0.4 * np.eye(len(LABELS))[truth]
    scores /= scores.sum(axis=1, keepdims=True)
    lines = ["seed,fold,corpus,speaker,gender,group,id,label," + ",".join(f"p_{x}" for x in LABELS)]
    for row in range(n):
        speaker = row % SPEAKERS
        facts = f"0,{speaker % 5},invented,{speaker:03},{'female' if speaker % 2 else 'male'},"
        shown = ",".join(f"{score:.5f}" for score in scores[row])
        lines.append(f"{facts},{row:06},{LABELS[truth[row]]},{shown}")
    (folder / "predictions.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    files = {
        "run.json": {
            "recipe": "invented",
            "protocol": {"name": "speaker-kfold"},
            "speaker_independent": True,
            "seeds": [0],
            "command": "ullim run invented",
        },
        "recipe.yaml": {"name": "invented"},
        "metrics.json": {
            "labels": LABELS,
            "corpora": {"invented": {"labels": LABELS}},
            "leakage": {},
        },
    }
    for name, value in files.items():
        (folder / name).write_text(json.dumps(value), encoding="utf-8")
    return folder


def timed(work: Callable[[], object], times: int = 5) -> float:
    """Return the least of several times, in seconds."""
    found = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return min(found)


if __name__ == "__main__":
    main()
