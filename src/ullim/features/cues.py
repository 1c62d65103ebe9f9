"""The seven cues by which a voice shows emotion, measured on one recording.

The cues are those of the table "Voice and Emotion" that Murray & Arnott, JASA 93(2), 1993, drew up:
speech rate, pitch average, pitch range, intensity, voice quality, pitch changes, articulation. The
table describes them in words; what is measured here for each, stated in ``MEASURES`` and in
:class:`Cues`, is ours, and was fixed before it was held against any corpus.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ullim.errors import FeatureError
from ullim.features._frames import fft_length, periodic_window, power_blocks
from ullim.features.lpc import Formants
from ullim.features.pitch import Pitch, PitchTrack, track
from ullim.features.prosody import VoiceQuality
from ullim.types import FloatArray

SAMPLING_RATE = 16_000
"""Rate at which everything is measured, in Hz; other rates are brought to it."""

VERSION = 1
"""Changes when the same recording would give other numbers."""

Cue = Literal[
    "speech_rate", "pitch_average", "pitch_range", "intensity", "voice_quality", "pitch_changes",
    "articulation",
]  # fmt: skip
Rows = npt.NDArray[np.float64]

_HOP_S = 0.01
# Voiced frames so far under the loudest one are the room, or breath.
_QUIET_DB = 35.0
# So little voice says nothing about a voice.
_MIN_VOICED_S = 0.3
# What is kept of the recording before its first and after its last voiced frame.
_MARGIN_S = 0.1
# F0 moves over steps of 50 ms; over single frames it is mostly the tracker's rounding.
_MOVE_FRAMES = 5
# So many semitones in 50 ms is a change of octave by the tracker, not by the speaker.
_LEAP_SEMITONES = 6.0
_END_FRAMES = 30
_FEW_VOWEL_FRAMES = 20


@dataclass(frozen=True, slots=True)
class Cues:
    """What was measured on one recording.

    Attributes:
        syllables_per_s: Speech rate: voiced peaks of level per second, from the first voiced frame
            to the last, pauses included.
        f0_median_hz: Pitch average: median F0 of the voiced frames, in Hz.
        f0_range_semitones: Pitch range: from the 10th to the 90th percentile of F0, in semitones.
        level_db: Intensity: mean square of the voiced frames, in dB re full scale (a mean square of
            one). It depends on the microphone and its distance as well as on the voice.
        jitter_percent: Voice quality, irregularity: mean difference of periods that follow each
            other, in percent of the mean period.
        hnr_db: Voice quality, harmonics-to-noise ratio in dB; low is breathy, hoarse or rough.
        spectral_balance_db: Voice quality, tension: power from 1 to 5 kHz over that from 50 Hz to
            1 kHz in the voiced frames, in dB; high is pressed or loud, low is soft.
        f0_speed_semitones_per_s: Pitch changes, how abrupt: mean absolute change of F0 within
            voiced stretches, over 50 ms.
        f0_end_semitones: Pitch changes, inflection at the end: median F0 of the last 0.3 s of
            voice over the median of all, in semitones; negative is a fall.
        vowel_space_bark2: Articulation: area of the one-sigma ellipse of the first two formants of
            the voiced frames, in square Bark; small is slurred.
        voiced_s: Seconds of voice that all this rests on.
    """

    syllables_per_s: float
    f0_median_hz: float
    f0_range_semitones: float
    level_db: float
    jitter_percent: float
    hnr_db: float
    spectral_balance_db: float
    f0_speed_semitones_per_s: float
    f0_end_semitones: float
    vowel_space_bark2: float
    voiced_s: float

    def to_dict(self) -> dict[str, float]:
        """Return plain JSON types."""
        return {name: round(float(value), 4) for name, value in asdict(self).items()}


def _same(value: float) -> float:
    return value


def _semitones(hz: float) -> float:
    return float(12.0 * np.log2(hz))


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of :class:`Cues`, and how two of it are compared.

    Attributes:
        name: The attribute of ``Cues``.
        cue: The cue of the table that it stands for.
        scale: What is compared: the value itself, or F0 in semitones re 1 Hz.
        unscale: The way back.
        personal: Whether it means nothing without other recordings of the same speaker and
            microphone.
    """

    name: str
    cue: Cue
    scale: Callable[[float], float] = _same
    unscale: Callable[[float], float] = _same
    personal: bool = False

    def of(self, cues: Cues) -> float:
        """Return what is compared."""
        return self.scale(getattr(cues, self.name))


MEASURES: tuple[Measure, ...] = (
    Measure("syllables_per_s", "speech_rate"),
    Measure("f0_median_hz", "pitch_average", _semitones, lambda value: float(2.0 ** (value / 12))),
    Measure("f0_range_semitones", "pitch_range"),
    Measure("level_db", "intensity", personal=True),
    Measure("jitter_percent", "voice_quality"),
    Measure("hnr_db", "voice_quality"),
    Measure("spectral_balance_db", "voice_quality"),
    Measure("f0_speed_semitones_per_s", "pitch_changes"),
    Measure("f0_end_semitones", "pitch_changes"),
    Measure("vowel_space_bark2", "articulation"),
)


def measure(signal: npt.NDArray[Any], sampling_rate: int) -> Cues:
    """Measure the seven cues of a recording of one speaker.

    Args:
        signal: Mono samples, shape (samples,), full scale 1.
        sampling_rate: Its rate in Hz; 11,025 or more, for what is measured reaches 5 kHz.

    Raises:
        FeatureError: ``silent`` (nothing but a constant), ``unvoiced`` (no pitch is found, as in a
            whisper or noise), ``too_short`` (under 0.3 s of voice), ``bad_shape``, ``not_finite``,
            ``bad_rate``.

    >>> t = np.arange(32_000) / 16_000
    >>> voice = sum(np.sin(2 * np.pi * 150 * k * t) / k for k in range(1, 20))
    >>> cues = measure(0.1 * voice * np.abs(np.sin(2 * np.pi * 2 * t)), 16_000)
    >>> round(cues.f0_median_hz), round(cues.syllables_per_s)
    (150, 4)

    Reference: de Jong & Wempe, Behavior Research Methods 41(2), 2009 (syllables); Boersma, Proc.
    Institute of Phonetic Sciences 17, 1993 (F0, harmonicity); Eyben et al., IEEE Trans. Affective
    Computing 7(2), 2016 (alpha ratio, with the band of 1 to 5 kHz); Traunmüller, JASA 88(1), 1990
    (Bark).
    """
    signal = _prepared(signal, sampling_rate)
    pitch = Pitch()
    found = track(signal, pitch)
    voiced = (found.f0_hz > 0) & (found.level_db > found.level_db.max() - _QUIET_DB)
    _check(signal, voiced)
    places = np.flatnonzero(voiced)
    hop = pitch.hop_length
    margin = round(_MARGIN_S / _HOP_S)
    first, last = max(0, places[0] - margin), min(len(voiced), places[-1] + margin + 1)
    spoken = signal[first * hop : last * hop]
    span_s = (places[-1] - places[0] + 1) * _HOP_S

    quality = dict(zip(VoiceQuality().names, VoiceQuality().extract(spoken)[0], strict=True))
    semitones = 12.0 * np.log2(found.f0_hz[voiced].astype(np.float64))
    low, median, high = np.percentile(semitones, [10, 50, 90])
    return Cues(
        syllables_per_s=float(quality["syllables_per_s"]) * len(spoken) / SAMPLING_RATE / span_s,
        f0_median_hz=float(2.0 ** (median / 12.0)),
        f0_range_semitones=float(high - low),
        level_db=float(10 * np.log10(np.mean(10.0 ** (found.level_db[voiced] / 10)))),
        jitter_percent=100.0 * float(quality["jitter"]),
        hnr_db=float(quality["hnr_db"]),
        spectral_balance_db=_balance(signal, voiced, hop),
        f0_speed_semitones_per_s=_speed(found, voiced),
        f0_end_semitones=float(np.median(semitones[-_END_FRAMES:]) - median),
        vowel_space_bark2=_vowel_space(signal, voiced),
        voiced_s=float(voiced.sum() * _HOP_S),
    )


def _prepared(signal: npt.NDArray[Any], sampling_rate: int) -> FloatArray:
    """Return float32 samples at the rate of measuring."""
    samples = np.asarray(signal, dtype=np.float32)
    if samples.ndim != 1:
        raise FeatureError(
            f"cues are of one channel, shape (samples,), and the signal has shape {samples.shape}; "
            "ullim.audio.read mixes to mono",
            code="bad_shape",
        )
    if not np.isfinite(samples).all():
        raise FeatureError(
            "cues were to be measured on NaN or infinite samples; ullim.audio.read refuses those",
            code="not_finite",
        )
    if sampling_rate < 11_025:
        raise FeatureError(
            f"cues need sound up to 5 kHz, a sampling rate of 11,025 Hz or more, and it is "
            f"{sampling_rate} Hz",
            code="bad_rate",
        )
    if sampling_rate != SAMPLING_RATE and samples.size:
        import soxr

        samples = soxr.resample(samples, sampling_rate, SAMPLING_RATE)
    return samples


def _check(signal: FloatArray, voiced: npt.NDArray[np.bool_]) -> None:
    voiced_s = voiced.sum() * _HOP_S
    if voiced_s >= _MIN_VOICED_S:
        return
    duration_s = len(signal) / SAMPLING_RATE
    if not signal.size or not np.ptp(signal):
        raise FeatureError(
            f"the recording ({duration_s:.2f} s) is silent; give one in which somebody speaks",
            code="silent",
        )
    if duration_s < 2 * _MIN_VOICED_S or voiced_s > 0:
        raise FeatureError(
            f"the recording ({duration_s:.2f} s) holds {voiced_s:.2f} s of voice and the cues need "
            f"{_MIN_VOICED_S} s or more; give a longer one, a whole sentence at best",
            code="too_short",
        )
    raise FeatureError(
        f"no voice with a pitch is found in the recording ({duration_s:.2f} s): a whisper, noise "
        "or music has none to measure; give one in which somebody speaks aloud",
        code="unvoiced",
    )


def _balance(signal: FloatArray, voiced: npt.NDArray[np.bool_], hop: int) -> float:
    window = periodic_window(round(0.025 * SAMPLING_RATE))
    n_fft = fft_length(len(window))
    hz = np.arange(n_fft // 2 + 1) * SAMPLING_RATE / n_fft
    low, high = (hz >= 50) & (hz < 1000), (hz >= 1000) & (hz <= 5000)
    sums = np.zeros(2)
    for rows, power in power_blocks(signal, window, hop, n_fft):
        kept = power[voiced[rows]]
        sums += [kept[:, low].sum(dtype=np.float64), kept[:, high].sum(dtype=np.float64)]
    return float(10 * np.log10(max(sums[1], 1e-20) / max(sums[0], 1e-20)))


def _speed(found: PitchTrack, voiced: npt.NDArray[np.bool_]) -> float:
    step = _MOVE_FRAMES
    if len(voiced) <= step:
        return 0.0
    semitones = 12.0 * np.log2(np.where(voiced, found.f0_hz, 1.0))
    change = np.abs(semitones[step:] - semitones[:-step])
    whole = np.lib.stride_tricks.sliding_window_view(voiced, step + 1).all(axis=1)
    kept = change[whole & (change < _LEAP_SEMITONES)]
    return float(kept.mean() / (step * _HOP_S)) if kept.size else 0.0


def _vowel_space(signal: FloatArray, voiced: npt.NDArray[np.bool_]) -> float:
    formants = Formants(n_formants=2).extract(signal)[voiced][:, [0, 2]].astype(np.float64)
    hz = formants[(formants > 0).all(axis=1)]
    if len(hz) < _FEW_VOWEL_FRAMES:
        return 0.0
    bark: Rows = 26.81 * hz / (1960.0 + hz) - 0.53
    return float(np.pi * np.sqrt(max(float(np.linalg.det(np.cov(bark.T))), 0.0)))
