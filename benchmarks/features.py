"""Time log-mel and MFCC against librosa and PyTorch, on one core, with equal parameters.

Prints milliseconds per three-second clip for each side, and theirs over ours. The sides take turns,
so that a slow moment of the machine falls on all; the figure is the median, and the least stands
beside it. PyTorch is given 16 clips at once and its time is divided by 16.

At 22.05 kHz with 128 bands an idle machine gives 2.9 to 3.3 times librosa, 3.0 or 3.1 mostly: six
tenths of our time are NumPy's transform, which librosa calls as well, and a mel product of narrower
bands gains nothing over that of four groups. Where memory is given back to the system between
calls, as beside other processes, librosa's fresh pages make it ten times. The transform in single
precision would give four times on an idle machine, and change weak bands by up to one part in ten
thousand: other values, so another version of every feature.

The clip is real speech of RAVDESS where ULLIM_CORPORA names a folder that holds it, else the
bundled one.

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
import torch

from ullim import demo_clip
from ullim.audio import read
from ullim.features.spectral import LogMel, Mfcc
from ullim.features.stft import dct_basis, mel_filters
from ullim.types import FloatArray

CLIP_S = 3.0
PER_TURN = 5
BATCH = 16

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


def torch_logmel(settings: dict[str, int]) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a log-mel of (clips, samples) in PyTorch, giving (clips, frames, n_mels)."""
    window = torch.hann_window(settings["win_length"])
    rate = settings["sampling_rate"]
    filters = torch.from_numpy(
        mel_filters(rate, settings["n_fft"], settings["n_mels"], 0.0, rate / 2)
    )

    def compute(clips: torch.Tensor) -> torch.Tensor:
        spectrum = torch.stft(
            clips,
            settings["n_fft"],
            settings["hop_length"],
            settings["win_length"],
            window,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        mel = spectrum.abs().square().transpose(-1, -2) @ filters
        decibels = 10 * mel.clamp(min=1e-10).log10()
        return torch.maximum(decibels, decibels.amax(dim=(-1, -2), keepdim=True) - 80.0)

    return compute


def sides(
    settings: dict[str, int], signal: FloatArray
) -> dict[str, tuple[Callable[[], FloatArray], ...]]:
    """Return by feature: our call, librosa's, and PyTorch's on a batch of this clip."""
    theirs = librosa_arguments(settings)
    logmel, mfcc = LogMel(top_db=80.0, **settings), Mfcc(n_mfcc=20, top_db=80.0, **settings)
    batched = torch_logmel(settings)
    clips = torch.from_numpy(signal).repeat(BATCH, 1)
    basis = torch.from_numpy(dct_basis(settings["n_mels"], 20))
    return {
        "logmel": (
            lambda: logmel.extract(signal),
            lambda: librosa.power_to_db(librosa.feature.melspectrogram(y=signal, **theirs)).T,
            lambda: batched(clips)[0].numpy(),
        ),
        "mfcc": (
            lambda: mfcc.extract(signal),
            lambda: librosa.feature.mfcc(y=signal, n_mfcc=20, **theirs).T,
            lambda: (batched(clips) @ basis)[0].numpy(),
        ),
    }


def speech() -> Path:
    """Return a recording of RAVDESS where there is one, else the bundled clip."""
    folder = os.environ.get("ULLIM_CORPORA")
    found = sorted(Path(folder, "ravdess").rglob("03-01-*.wav")) if folder else []
    return found[0] if found else demo_clip()


def times_ms(calls: tuple[Callable[[], FloatArray], ...], n: int) -> list[tuple[float, float]]:
    """Return the median and the least time of each call, in milliseconds.

    The sides take turns; in its turn each is called once untimed, since the other side has filled
    the processor's cache, and then timed, as where one file follows the other.
    """
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(-(-n // PER_TURN)):
        for call, times in zip(calls, taken, strict=True):
            call()
            for _ in range(PER_TURN):
                start = time.perf_counter()
                call()
                times.append(1000 * (time.perf_counter() - start))
    return [(statistics.median(times), min(times)) for times in taken]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recording", nargs="?", type=Path, default=speech())
    parser.add_argument("--calls", type=int, default=100, help="timed calls of each (at least 50)")
    arguments = parser.parse_args()
    if arguments.calls < 50:
        parser.error("--calls must be at least 50")
    # librosa says that narrow low bands hold no bin; ours are as empty.
    warnings.filterwarnings("ignore", message="Empty filters detected")

    torch.set_num_threads(1)
    print(
        f"librosa {librosa.__version__}, torch {torch.__version__}, NumPy {np.__version__}, one "
        f"thread, {CLIP_S:.0f} s of {arguments.recording.name},"
    )
    print(f"median (least) of {arguments.calls} calls, taking turns, ms")
    print(f"{'feature':8} {'rate':>6} {'fft/win/hop':>14} {'mels':>5} {'ullim':>12} "
          f"{'librosa':>13} {'ratio':>11} {'torch x16':>13} {'ratio':>11} "
          f"{'max diff dB':>12}")  # fmt: skip
    for settings in SETTINGS:
        signal = clip_of(arguments.recording, settings["sampling_rate"])
        for name, calls in sides(settings, signal).items():
            values = [call() for call in calls]
            difference = max(float(np.abs(values[0] - other).max()) for other in values[1:])
            with torch.inference_mode():
                ours, theirs, batch = times_ms(calls, arguments.calls)
            batch = batch[0] / BATCH, batch[1] / BATCH
            sizes = f"{settings['n_fft']}/{settings['win_length']}/{settings['hop_length']}"
            cells = [f"{ours[0]:5.2f} ({ours[1]:.2f})"]
            for other in (theirs, batch):
                cells.append(f"{other[0]:6.2f} ({other[1]:.2f})")
                cells.append(f"{other[0] / ours[0]:5.1f} ({other[1] / ours[1]:.1f})")
            print(f"{name:8} {settings['sampling_rate']:6} {sizes:>14} {settings['n_mels']:5} "
                  f"{' '.join(cells)} {difference:12.4f}")  # fmt: skip


if __name__ == "__main__":
    main()
