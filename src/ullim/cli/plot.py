"""Pictures of recordings: over time, one for each emotion, and against neutral speech."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ullim import registry
from ullim._fonts import use_korean_font
from ullim.audio import read
from ullim.errors import FeatureError, MissingExtraError
from ullim.features.cue_words import Lang, named, number, unit
from ullim.features.descriptors import Descriptors
from ullim.features.profile import THRESHOLDS, Profile
from ullim.features.spectral import LogMel, Spectrogram
from ullim.types import LABELS_KO, FloatArray, Utterance

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".png", ".svg", ".pdf")

_RATE = 16_000
# More columns than a page shows are not drawn.
_MAX_COLUMNS = 4_000
_SHOWN_DB = 70.0
# Longer bars are cut; their numbers stand beside them.
_MOST_SPREADS = 8.0


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
    figure_of, _ = _drawing()
    signal = read(file, _RATE)
    hop_length = min(65_536, max(160, signal.size // _MAX_COLUMNS))
    figure = figure_of(figsize=(10, 7), layout="constrained")
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

    _save(figure, out)


def plot_emotions(chosen: Mapping[str, Utterance], out: Path, *, lang: str = "en") -> None:
    """Draw the spectrograms of some recordings side by side, on one scale of colour and of time.

    Each is set to its own loudest value, so that the microphone's gain does not decide the colour,
    and high frequencies are raised by 6 dB an octave, as voices fall by about that much.

    Args:
        chosen: Label to recording.
        out: The picture; its suffix says which kind.
        lang: ``ko`` for Korean titles, where a font for them is installed.

    Raises:
        AudioError: A recording cannot be used.
        FeatureError: The picture cannot be written.
        MissingExtraError: matplotlib is not installed.
    """
    figure_of, rc_context = _drawing()
    feature = Spectrogram(top_db=_SHOWN_DB)
    levels = [
        feature.extract(_emphasised(read(one.file, _RATE, start_s=one.start_s, end_s=one.end_s)))
        for one in chosen.values()
    ]
    longest_s = max(map(len, levels)) * feature.hop_s
    columns = min(4, len(levels))
    rows = -(-len(levels) // columns)
    with rc_context():
        korean = lang == "ko" and use_korean_font()
        figure = figure_of(figsize=(2.9 * columns + 0.8, 2.5 * rows + 0.6), layout="constrained")
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes, label, level in zip(grid.flat, chosen, levels, strict=False):
            extent = (0.0, len(level) * feature.hop_s, 0.0, _RATE / 2000)
            picture = axes.imshow(
                (level - level.max()).T, origin="lower", aspect="auto", cmap="magma",
                extent=extent, vmin=-_SHOWN_DB, vmax=0.0,
            )  # fmt: skip
            axes.set_facecolor("black")
            axes.set_xlim(0.0, longest_s)
            axes.set_title(LABELS_KO.get(label, label) if korean else label, fontsize=11)
        for axes in grid.flat[len(levels) :]:
            axes.axis("off")
        first = next(iter(chosen.values()))
        speaker, sentence = ("화자", "문장") if korean else ("speaker", "sentence")
        told = f"{first.corpus}, {speaker} {first.speaker}"
        if first.sentence_id is not None:
            told += f", {sentence} {first.sentence_id}"
        figure.suptitle(told, fontsize=9)
        figure.supxlabel("시간 (초)" if korean else "time, s", fontsize=9)
        figure.supylabel("주파수 (kHz)" if korean else "frequency, kHz", fontsize=9)
        bar = "가장 큰 값 대비 dB" if korean else "dB re the loudest"
        figure.colorbar(picture, ax=grid, label=bar, pad=0.01)
        _save(figure, out)


def plot_profile(found: Profile, answer: str, out: Path, *, lang: Lang, title: str) -> None:
    """Draw how far each measure is from neutral speech, and the model's answer, as bars.

    Args:
        found: What :func:`ullim.features.profile.compare` returns.
        answer: What the model says, in words.
        out: The picture; its suffix says which kind.
        lang: ``ko`` for Korean words, where a font for them is installed.
        title: Stands over it.

    Raises:
        FeatureError: The picture cannot be written.
        MissingExtraError: matplotlib is not installed.
    """
    figure_of, rc_context = _drawing()
    with rc_context():
        hangul = use_korean_font()
        if lang == "ko" and not hangul:
            lang, answer = "en", ""
        figure = figure_of(figsize=(8.5, 4.6), layout="constrained")
        axes = figure.add_subplot()
        heights = [0.0 if one.z is None else one.z for one in found.differences]
        colours = {"slight": "#9ec1e6", "clear": "#3b6fb6", "strong": "#1b3a63"}
        shown = [max(-_MOST_SPREADS, min(_MOST_SPREADS, height)) for height in heights]
        bars = axes.barh(
            range(len(shown)), shown,
            color=[colours.get(one.degree or "", "#c9c9c9") for one in found.differences],
        )  # fmt: skip
        labels = [
            f"{number(one, one.value)} ({number(one, one.neutral)}) {unit(one, lang)}"
            for one in found.differences
        ]
        axes.bar_label(bars, labels, padding=4, fontsize=8)
        axes.axvline(0.0, color="#222222", linewidth=0.8)
        for edge in (THRESHOLDS["slight"], -THRESHOLDS["slight"]):
            axes.axvline(edge, color="#888888", linewidth=0.6, linestyle=":")
        axes.set_yticks(range(len(shown)), [named(one, lang) for one in found.differences])
        axes.invert_yaxis()
        widest = max(2.0, *map(abs, shown))
        axes.set_xlim(-1.9 * widest, 1.9 * widest)
        axes.set_xlabel(
            "중립 음성과의 차이 (흩어짐 단위); 값 (중립)"
            if lang == "ko"
            else "difference from neutral speech, in its spreads; value (neutral)"
        )
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.set_title(f"{title}\n{answer}", loc="left", fontsize=10)
        _save(figure, out)


def _emphasised(signal: FloatArray) -> FloatArray:
    """Raise high frequencies: each sample less 0.97 of the one before."""
    before = np.concatenate([signal[:1], signal[:-1]])
    return np.asarray(signal - np.float32(0.97) * before, dtype=np.float32)


def _drawing() -> tuple[Any, Any]:
    """Return what draws, or raise the error that names the pip line."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("plotting", extra="train") from error
    return Figure, rc_context


def _save(figure: Any, out: Path) -> None:
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
