"""A picture of a recording: waveform, log-mel spectrogram, energy and pitch over time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ullim import registry
from ullim.audio import read
from ullim.errors import FeatureError, MissingExtraError
from ullim.features.descriptors import Descriptors
from ullim.features.spectral import LogMel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".png", ".svg", ".pdf")

_RATE = 16_000
# More columns than a page shows are not drawn.
_MAX_COLUMNS = 4_000


def plot(file: str, out: Path) -> None:
    """Draw a recording.

    Args:
        file: The recording.
        out: The picture; its suffix says which kind.

    Raises:
        AudioError: The recording cannot be used.
        FeatureError: The picture cannot be written.
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("plotting", extra="train") from error
    signal = read(file, _RATE)
    hop_length = min(65_536, max(160, signal.size // _MAX_COLUMNS))
    figure = Figure(figsize=(10, 7), layout="constrained")
    wave, mel, energy = figure.subplots(3, 1, sharex=True, height_ratios=[2, 3, 2])

    step = max(1, signal.size // _MAX_COLUMNS)
    columns = signal[: signal.size // step * step].reshape(-1, step)
    time_s = np.arange(len(columns)) * step / _RATE
    wave.fill_between(time_s, columns.min(axis=1), columns.max(axis=1), step="post", linewidth=0.5)
    wave.set_ylabel("amplitude")
    wave.set_xlim(0, signal.size / _RATE)

    level = LogMel(n_mels=80, top_db=80.0, hop_length=hop_length).extract(signal)
    end_s = len(level) * hop_length / _RATE
    picture = mel.imshow(
        level.T, origin="lower", aspect="auto", cmap="magma", extent=(0.0, end_s, 0, 80)
    )
    mel.set_ylabel("mel band")
    figure.colorbar(picture, ax=mel, label="dB", pad=0.01)

    rms = Descriptors(kinds=("rms",), hop_length=hop_length).extract(signal)[:, 0]
    time_s = np.arange(len(rms)) * hop_length / _RATE
    energy.plot(time_s, 20 * np.log10(np.maximum(rms, 1e-5)), color="tab:blue", linewidth=1)
    energy.set_ylabel("level, dB re full scale", color="tab:blue")
    energy.set_xlabel("time, s")
    _add_pitch(energy, signal)

    part = out.with_name(f".{out.name}.part")
    try:
        figure.savefig(part, format=out.suffix.removeprefix("."), dpi=120)
        part.replace(out)
    except OSError as error:
        raise FeatureError(f"{out} cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def _add_pitch(energy: Axes, signal: Any) -> None:
    """Draw F0 over the level, where a pitch tracker is registered."""
    tracker = registry.components("features").get("pitch")
    if tracker is None:
        return
    feature = tracker()
    f0_hz = feature.extract(signal)[:, 0]
    time_s = np.arange(len(f0_hz)) * feature.hop_s
    axis = energy.twinx()
    voiced = f0_hz > 0
    axis.plot(time_s[voiced], f0_hz[voiced], ".", color="tab:red", markersize=3)
    axis.set_ylabel("F0, Hz", color="tab:red")
