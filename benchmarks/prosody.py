"""Time pitch, lld32 and functionals against librosa's pYIN, Praat and openSMILE, on one core.

Prints milliseconds per three-second clip for both sides and their ratio. Calls are interleaved, so
that a slow moment of the machine falls on both; the figure is the median. Pitch is also held
against pYIN: the gross error is the share of frames that both call voiced where F0 is more than
20 % off.

Where ULLIM_CORPORA names a folder of corpora, speech is the middle recording of its EMO-DB, and
the gross error is over 60 clips each of RAVDESS and EMO-DB; elsewhere both are of the bundled clip.

    python benchmarks/prosody.py [RECORDING] [--calls 50]
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
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import opensmile
import parselmouth

from ullim import demo_clip, registry
from ullim.audio import read
from ullim.features.functionals import Functionals
from ullim.features.lld import Lld32
from ullim.features.pitch import Pitch
from ullim.types import FloatArray

CLIP_S = 3.0
WARM_UP = 5


def clip_of(path: Path, sampling_rate: int) -> FloatArray:
    """Return the first three seconds of a recording, repeated where it is shorter."""
    samples = read(path, sampling_rate=sampling_rate)
    return np.resize(samples, round(CLIP_S * sampling_rate))


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


def speech_pairs(
    signal: FloatArray,
) -> dict[str, tuple[str, int, Callable[[], FloatArray], Callable[[], object]]]:
    """Return by feature: who is on the other side, the share of calls, our call and theirs."""
    rate = 16_000
    pitch, lld, functionals = Pitch(), Lld32(), Functionals()
    sound = parselmouth.Sound(signal.astype(float), rate)
    low, high = pitch.f_min_hz, pitch.f_max_hz
    is09 = opensmile.Smile(opensmile.FeatureSet.IS09, opensmile.FeatureLevel.LowLevelDescriptors)
    egemaps = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
    return {
        "pitch": ("pYIN", 10, lambda: pitch.extract(signal), lambda: pyin_hz(signal)),
        "pitch ": (
            "Praat (ac)",
            1,
            lambda: pitch.extract(signal),
            lambda: sound.to_pitch_ac(time_step=0.01, pitch_floor=low, pitch_ceiling=high),
        ),
        # The 16 descriptors alone: that side computes no differences.
        "lld32": (
            "openSMILE IS09",
            1,
            lambda: lld.extract(signal),
            lambda: is09.process_signal(signal, rate),
        ),
        "functionals": (
            "openSMILE eGeMAPSv02",
            1,
            lambda: functionals.extract(signal),
            lambda: egemaps.process_signal(signal, rate),
        ),
    }


def pyin_hz(signal: FloatArray) -> FloatArray:
    """Return pYIN's F0 at our hop and range, 0 where unvoiced."""
    f0_hz, voiced, _ = librosa.pyin(
        signal, fmin=60, fmax=600, sr=16_000, frame_length=1024, hop_length=160
    )
    return np.where(voiced, f0_hz, 0.0)


def gross_error(signals: list[FloatArray]) -> tuple[float, int]:
    """Return the share of frames voiced to both where F0 is 20 % off pYIN, and their number."""
    ratios = []
    for signal in signals:
        ours, theirs = Pitch().extract(signal)[:, 0], pyin_hz(signal)
        n = min(len(ours), len(theirs))
        both = (ours[:n] > 0) & (theirs[:n] > 0)
        ratios.append(ours[:n][both] / theirs[:n][both])
    off = np.abs(np.concatenate(ratios) - 1.0) > 0.2
    return float(off.mean()), len(off)


def sample(corpora: Path, name: str, n: int = 60) -> list[FloatArray]:
    """Return some recordings of a corpus at 16 kHz, the same ones every time."""
    utterances = registry.component("corpora", name)().load(corpora / name)
    chosen = np.random.default_rng(1).permutation(len(utterances))[:n]
    return [read(utterances[int(i)].file, sampling_rate=16_000) for i in chosen]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recording", nargs="?", type=Path)
    parser.add_argument("--calls", type=int, default=100, help="timed calls of each (at least 50)")
    arguments = parser.parse_args()
    if arguments.calls < 50:
        parser.error("--calls must be at least 50")
    corpora = Path(os.environ["ULLIM_CORPORA"]) if "ULLIM_CORPORA" in os.environ else None
    if arguments.recording is None:
        recordings = sorted((corpora / "emodb").rglob("*.wav")) if corpora else []
        arguments.recording = recordings[len(recordings) // 2] if recordings else demo_clip()
    print(f"one thread, {CLIP_S:.0f} s of {arguments.recording.name}, median of {arguments.calls}")
    signal = clip_of(arguments.recording, 16_000)
    print(f"{'feature':12} {'against':21} {'ullim ms':>9} {'theirs ms':>10} {'ratio':>6}")
    for name, (whom, share, ours, theirs) in speech_pairs(signal).items():
        ours_ms, theirs_ms = medians_ms((ours, theirs), max(5, arguments.calls // share))
        ratio = theirs_ms / ours_ms
        print(f"{name:12} {whom:21} {ours_ms:9.2f} {theirs_ms:10.2f} {ratio:6.1f}")
    spoken = {name: sample(corpora, name) for name in ("ravdess", "emodb")} if corpora else {}
    for name, signals in (spoken or {arguments.recording.name: [signal]}).items():
        error, n = gross_error(signals)
        print(f"pitch against pYIN, {name}: {100 * error:.1f} % gross errors in {n} frames")


if __name__ == "__main__":
    main()
