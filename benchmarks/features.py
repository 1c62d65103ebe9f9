"""Time log-mel and MFCC against librosa, on one core, with equal parameters.

Prints milliseconds per three-second clip for both sides and their ratio. Calls are interleaved, so
that a slow moment of the machine falls on both; the figure is the median.

    python benchmarks/features.py [RECORDING] [--calls 50]
"""

from __future__ import annotations

import os

# ruff: noqa: E402 - the libraries read these variables when they load
for _variable in (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
):
    os.environ[_variable] = "1"

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np

from ullim import demo_clip
from ullim.audio import read
from ullim.features.spectral import LogMel, Mfcc
from ullim.types import FloatArray

CLIP_S = 3.0
WARM_UP = 5

SETTINGS = (
    {
        "sampling_rate": 16_000,
        "n_fft": 512,
        "win_length": 400,
        "hop_length": 160,
        "n_mels": 64,
    },
    {
        "sampling_rate": 22_050,
        "n_fft": 2048,
        "win_length": 2048,
        "hop_length": 512,
        "n_mels": 128,
    },
)


def clip_of(path: Path, sampling_rate: int) -> FloatArray:
    """Return the first three seconds of a recording, repeated where it is shorter."""
    samples = read(path, sampling_rate=sampling_rate)
    return np.resize(samples, round(CLIP_S * sampling_rate))


def librosa_arguments(settings: dict[str, int]) -> dict[str, object]:
    """Return our parameters under librosa's names."""
    return {
        "sr": settings["sampling_rate"],
        "n_fft": settings["n_fft"],
        "win_length": settings["win_length"],
        "hop_length": settings["hop_length"],
        "n_mels": settings["n_mels"],
        "center": True,
        "pad_mode": "constant",
    }


def pairs(
    settings: dict[str, int], signal: FloatArray
) -> dict[str, tuple[Callable[[], FloatArray], Callable[[], FloatArray]]]:
    """Return by feature: our call and librosa's, both giving (frames, features)."""
    theirs = librosa_arguments(settings)
    logmel, mfcc = LogMel(top_db=80.0, **settings), Mfcc(n_mfcc=20, top_db=80.0, **settings)
    return {
        "logmel": (
            lambda: logmel.extract(signal),
            lambda: librosa.power_to_db(librosa.feature.melspectrogram(y=signal, **theirs)).T,
        ),
        "mfcc": (
            lambda: mfcc.extract(signal),
            lambda: librosa.feature.mfcc(y=signal, n_mfcc=20, **theirs).T,
        ),
    }


def medians_ms(calls: tuple[Callable[[], FloatArray], ...], n: int) -> list[float]:
    """Return the median time of each call, interleaved, in milliseconds."""
    taken: list[list[float]] = [[] for _ in calls]
    for turn in range(WARM_UP + n):
        for call, times in zip(calls, taken, strict=True):
            start = time.perf_counter()
            call()
            if turn >= WARM_UP:
                times.append(1000 * (time.perf_counter() - start))
    return [statistics.median(times) for times in taken]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recording", nargs="?", type=Path, default=demo_clip())
    parser.add_argument("--calls", type=int, default=100, help="timed calls of each (at least 50)")
    arguments = parser.parse_args()
    if arguments.calls < 50:
        parser.error("--calls must be at least 50")
    # librosa says that narrow low bands hold no bin; ours are as empty.
    warnings.filterwarnings("ignore", message="Empty filters detected")

    print(
        f"librosa {librosa.__version__}, one thread, {CLIP_S:.0f} s of {arguments.recording.name},"
    )
    print(f"median of {arguments.calls} interleaved calls")
    print(f"{'feature':8} {'rate':>6} {'fft/win/hop':>14} {'mels':>5} "
          f"{'ullim ms':>9} {'librosa ms':>11} {'ratio':>6} {'max diff dB':>12}")  # fmt: skip
    for settings in SETTINGS:
        signal = clip_of(arguments.recording, settings["sampling_rate"])
        for name, (ours, theirs) in pairs(settings, signal).items():
            difference = float(np.abs(ours() - theirs()).max())
            ours_ms, theirs_ms = medians_ms((ours, theirs), arguments.calls)
            sizes = f"{settings['n_fft']}/{settings['win_length']}/{settings['hop_length']}"
            print(f"{name:8} {settings['sampling_rate']:6} {sizes:>14} {settings['n_mels']:5} "
                  f"{ours_ms:9.2f} {theirs_ms:11.2f} {theirs_ms / ours_ms:6.1f} "
                  f"{difference:12.4f}")  # fmt: skip


if __name__ == "__main__":
    main()
