"""Time prediction with a bundle: after load, from the command line, on import, and on hours.

Prints four figures in one run:

- milliseconds of ``Predictor.predict`` for three seconds of speech, loaded, on one core (median);
- seconds from the start of ``ullim predict CLIP`` to its end, in a process of its own (median);
- seconds ``import ullim`` adds to a bare interpreter (median);
- the largest memory of a process that predicts one long recording, and how long it took. The
  recording is the demonstration clip, over and over at changing gain, as 16 kHz FLAC.

    python benchmarks/predict.py [BUNDLE] [--minutes 180]
"""

from __future__ import annotations

import os

# ruff: noqa: E402 - the libraries read these variables when they load
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

import ullim
from ullim.audio import read
from ullim.errors import UllimError

RATE = 16_000
CLIP_S = 3.0
WARM_UP = 5
_COMMAND = (sys.executable, "-c", "from ullim.cli import main; main()", "predict")


def median_ms(bundle: str | None, calls: int) -> float:
    """Return the median time of one prediction of three seconds, in milliseconds."""
    predictor = ullim.load(bundle)
    clip = np.resize(read(ullim.demo_clip(), RATE), round(CLIP_S * RATE))
    taken = []
    for _ in range(WARM_UP + calls):
        start = time.perf_counter()
        predictor.predict(clip, RATE)
        taken.append(1000 * (time.perf_counter() - start))
    return statistics.median(taken[WARM_UP:])


def seconds(*command: str) -> float:
    """Return how long a command takes."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def medians_s(runs: int, *commands: tuple[str, ...]) -> list[float]:
    """Return the median time of each command, run in turn so that a slow moment falls on all."""
    taken = [[seconds(*command) for command in commands] for _ in range(runs + 1)]
    # The first round reads files that later ones find in memory.
    return [statistics.median(column) for column in zip(*taken[1:], strict=True)]


def write_long(file: Path, minutes: float) -> None:
    """Write the demonstration clip again and again, each time at another gain."""
    clip = read(ullim.demo_clip(), RATE)
    generator = np.random.default_rng(0)
    left = round(minutes * 60 * RATE)
    with soundfile.SoundFile(file, "w", RATE, 1, "PCM_16", format="FLAC") as sink:
        while left > 0:
            part = clip[:left] * np.float32(generator.uniform(0.3, 0.9) / np.abs(clip).max())
            sink.write(part)
            left -= len(part)


def long_recording(bundle: list[str], minutes: float) -> tuple[float, float, int, float]:
    """Return peak memory in MB, seconds, megabytes of its samples and length in minutes."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "long.flac"
        write_long(file, minutes)
        start = time.perf_counter()
        # In a process of its own, whose only child is the measured command.
        program = (
            "import json, resource, subprocess, sys\n"
            "answer = subprocess.run(sys.argv[1:], check=True, capture_output=True).stdout\n"
            "peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss\n"
            "print(json.dumps([peak, json.loads(answer)['duration_s']]))\n"
        )
        ended = subprocess.run(
            [sys.executable, "-c", program, *_COMMAND, str(file), "-f", "jsonl", *bundle],
            check=True,
            capture_output=True,
        )
        taken_s = time.perf_counter() - start
    peak, duration_s = json.loads(ended.stdout)
    # Linux counts in kibibytes, macOS in bytes.
    peak_mb = peak / (1024**2 if sys.platform == "darwin" else 1024)
    return peak_mb, taken_s, round(4 * duration_s * RATE / 1024**2), duration_s / 60


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", nargs="?", help="name or folder; the default bundle if left out")
    parser.add_argument("--minutes", type=float, default=180.0, help="length of the long recording")
    parser.add_argument("--calls", type=int, default=200, help="timed predictions")
    parser.add_argument("--runs", type=int, default=7, help="timed commands")
    arguments = parser.parse_args()
    try:
        loaded = ullim.load(arguments.bundle).bundle
    except UllimError as error:
        parser.error(str(error))
    model = ["--model", str(loaded.folder)]

    print(f"bundle {loaded.manifest.name}, {len(loaded.manifest.graphs)} graph(s), one thread")
    taken_ms = median_ms(arguments.bundle, arguments.calls)
    line(
        f"predict {CLIP_S:.0f} s of speech",
        f"{taken_ms:.1f} ms",
        f"{arguments.calls} calls, loaded",
    )
    command_s, bare_s, import_s = medians_s(
        arguments.runs,
        (*_COMMAND, str(ullim.demo_clip()), *model),
        (sys.executable, "-c", "pass"),
        (sys.executable, "-c", "import ullim"),
    )
    demo_s = soundfile.info(str(ullim.demo_clip())).duration
    line("command to answer", f"{command_s:.2f} s", f"{arguments.runs} runs, {demo_s:.0f} s clip")
    line("import ullim", f"{import_s - bare_s:.3f} s", f"beside {bare_s:.3f} s of bare Python")
    peak_mb, long_s, samples_mb, minutes = long_recording(model, arguments.minutes)
    remark = f"{minutes:.0f} min in {long_s:.0f} s; its samples alone are {samples_mb} MB"
    line("peak memory", f"{peak_mb:.0f} MB", remark)


def line(name: str, value: str, remark: str) -> None:
    """Print one figure."""
    print(f"{name:24} {value:>10}   ({remark})")


if __name__ == "__main__":
    main()
