"""Frame descriptors of one clip, from one pass of power spectra, for the functionals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ullim.features._frames import decibels, n_frames, power_blocks, product
from ullim.features.pitch import PitchParameters, follow, lag_analysis
from ullim.features.spectral import _dct_basis, _hz_to_mel, _mel_to_hz
from ullim.types import FloatArray

N_MELS = 40
N_MFCC = 14
N_MEL_GROUPS = 8

_BANDS_HZ = (50.0, 8000.0)
_ALPHA_HZ = (50.0, 1000.0, 5000.0)
_HAMMARBERG_HZ = 2000.0
_ROLL_OFF = (0.25, 0.5, 0.75, 0.9)

# Twice the highest F0, and the bin beside it.
_HARMONICS_HZ = 1250.0

# Semitones are counted from here, in the middle of where voices lie, so that zero, which a clip
# without voice gets, is no outlier.
_REFERENCE_HZ = 200.0

SPECTRAL_NAMES = (
    *(f"mel{band:02}" for band in range(1, N_MELS + 1)),
    *(f"mfcc{order:02}" for order in range(1, N_MFCC + 1)),
    "centroid",
    "spread",
    "alpha",
    *(f"rolloff{round(100 * share)}" for share in _ROLL_OFF),
    "hammarberg",
    "entropy",
    "flux",
    "level",
    "hnr",
    "voicing",
)

VOICE_NAMES = ("f0", "h1h2", "h1")


@dataclass(frozen=True, slots=True, eq=False)
class Descriptors:
    """What is known of each frame from the first active to the last.

    Attributes:
        spectral: Columns ``SPECTRAL_NAMES``, shape (frames, columns).
        voice: Columns ``VOICE_NAMES``: F0 in semitones, and the first harmonic's level in dB over
            the second and over the whole frame; meaningless where not ``voiced``.
        active: Within the threshold of the loudest part.
        voiced: Active and voiced.
        f0_hz: F0, 0 where unvoiced.
        mel_groups: Mean of neighbouring mel bands in dB, shape (frames, N_MEL_GROUPS).
    """

    spectral: FloatArray
    voice: FloatArray
    active: npt.NDArray[np.bool_]
    voiced: npt.NDArray[np.bool_]
    f0_hz: FloatArray
    mel_groups: FloatArray

    @property
    def level_db(self) -> FloatArray:
        """Level relative to the mean power of the active frames."""
        return self.spectral[:, SPECTRAL_NAMES.index("level")]


def describe(signal: FloatArray, pitch: PitchParameters, active_db: float) -> Descriptors:
    """Compute the descriptors of a signal that is not silent.

    Args:
        signal: Levelled samples, shape (samples,).
        pitch: Rate, hop and settings of the pitch tracker.
        active_db: How far under the loudest part a frame is still active.
    """
    lags = lag_analysis(pitch.sampling_rate, pitch.f_min_hz, pitch.f_max_hz)
    matrix, n_low = _spectral_matrix(pitch.sampling_rate, lags.n_fft)
    n = n_frames(len(signal), pitch.hop_length)
    correlation = np.empty((n, lags.basis.shape[1]), dtype=np.float32)
    power = np.empty(n, dtype=np.float32)
    products = np.empty((n, matrix.shape[1]), dtype=np.float32)
    low = np.empty((n, n_low), dtype=np.float32)
    for rows, spectrum in power_blocks(signal, lags.window, pitch.hop_length, lags.n_fft):
        correlation[rows] = product(spectrum[:, : len(lags.basis)], lags.basis)
        power[rows] = lags.mean_square(spectrum)
        products[rows] = product(spectrum, matrix)
        low[rows] = spectrum[:, :n_low]
    track = follow(correlation, power, lags, pitch)

    # The loudest part is 50 ms long, so that a click does not make speech inactive.
    running = np.concatenate([[0.0], np.cumsum(power, dtype=np.float64)])
    width = min(5, n)
    loudest = (running[width:] - running[:-width]).max() / width
    active = power >= min(loudest * 10 ** (-active_db / 10), power.max())
    first, last = np.flatnonzero(active)[[0, -1]]
    kept = slice(first, last + 1)
    active, power, f0_hz = active[kept], power[kept], track.f0_hz[kept]

    mean_db = decibels(np.mean(power, where=active, keepdims=True), 1e-20)
    level = np.maximum(track.level_db[kept] - mean_db, np.float32(-50.0))
    periodicity = np.clip(track.periodicity[kept], 1e-3, 0.999)
    hnr = 10.0 * np.log10(periodicity / (1.0 - periodicity))
    mel_db, columns = _spectral(products[kept], active)
    return Descriptors(
        spectral=np.column_stack(
            [
                mel_db,
                (mel_db @ _dct_basis(N_MELS, N_MFCC + 1))[:, 1:],
                *columns,
                level,
                hnr,
                track.probability[kept],
            ]
        ).astype(np.float32, copy=False),
        voice=_voice(low[kept], products[kept, N_MELS], f0_hz, pitch.sampling_rate / lags.n_fft),
        active=active,
        voiced=active & (f0_hz > 0),
        f0_hz=f0_hz,
        mel_groups=mel_db.reshape(len(mel_db), N_MEL_GROUPS, -1).mean(axis=2),
    )


def _spectral(
    products: FloatArray, active: npt.NDArray[np.bool_]
) -> tuple[FloatArray, list[FloatArray]]:
    """Return mel bands in dB over the clip's mean band, and the columns that follow the MFCC."""
    bands = products[:, :N_MELS]
    mel_db = decibels(bands / max(bands[active].mean(), np.finfo(np.float32).tiny), 1e-6)
    total, first, second, low, high = products[:, N_MELS:].T
    # The peak of the clip is one, so that this is no sound at all.
    total = np.maximum(total, np.float32(1e-20))
    centroid = first / total
    spread = np.sqrt(np.maximum(second / total - np.square(centroid), 0.0))
    least = np.float32(1e-9) * total
    alpha = decibels((low + least) / (high + least), 1e-12)
    shares = bands / np.maximum(bands.sum(axis=1, keepdims=True), np.float32(1e-20))
    cumulated = np.cumsum(shares, axis=1)
    roll_off = [(cumulated < share).sum(axis=1) / np.float32(N_MELS) for share in _ROLL_OFF]
    split = round(N_MELS * float(np.diff(_hz_to_mel(np.array([_BANDS_HZ[0], _HAMMARBERG_HZ])))[0])
                  / float(np.diff(_hz_to_mel(np.array(_BANDS_HZ)))[0]))  # fmt: skip
    hammarberg = mel_db[:, :split].max(axis=1) - mel_db[:, split:].max(axis=1)
    entropy = -np.sum(shares * np.log(shares + np.float32(1e-9)), axis=1)
    # Amplitudes of unit length: what changes is the shape of the spectrum, not its level.
    shape = np.sqrt(shares)
    flux = np.zeros(len(shape), dtype=np.float32)
    flux[1:] = np.linalg.norm(np.diff(shape, axis=0), axis=1)
    return mel_db, [centroid, spread, alpha, *roll_off, hammarberg, entropy, flux]


def _voice(low: FloatArray, total: FloatArray, f0_hz: FloatArray, hz_per_bin: float) -> FloatArray:
    """Return F0 in semitones, H1 - H2 and H1 in dB, shape (frames, 3)."""
    voiced_hz = np.where(f0_hz > 0, f0_hz, _REFERENCE_HZ)
    rows = np.arange(len(low))
    harmonics = []
    for number in (1, 2):
        bins = np.rint(number * voiced_hz / hz_per_bin).astype(np.intp)
        bins = np.clip(bins, 1, low.shape[1] - 2)
        height = np.maximum(low[rows, bins], np.maximum(low[rows, bins - 1], low[rows, bins + 1]))
        harmonics.append(decibels(height / np.maximum(total, np.float32(1e-20)), 1e-8))
    semitones = 12.0 * np.log2(voiced_hz / _REFERENCE_HZ)
    columns = [semitones, harmonics[0] - harmonics[1], harmonics[0]]
    return np.column_stack(columns).astype(np.float32)


@lru_cache(maxsize=16)
def _spectral_matrix(sampling_rate: int, n_fft: int) -> tuple[FloatArray, int]:
    """Return what power is multiplied with, and how many bins hold the first two harmonics.

    The columns are the mel bands, the sums of power, of power times kHz and times kHz squared, and
    the power under and over 1 kHz.
    """
    hz = np.arange(n_fft // 2 + 1)[:, None] * (sampling_rate / n_fft)
    bottom_hz, top_hz = _BANDS_HZ
    bottom_mel, top_mel = _hz_to_mel(np.array(_BANDS_HZ)).tolist()
    edges_hz = _mel_to_hz(np.linspace(bottom_mel, top_mel, N_MELS + 2))
    lower, centre, upper = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    rising, falling = (hz - lower) / (centre - lower), (upper - hz) / (upper - centre)
    filters = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (upper - lower))
    inside = (hz >= bottom_hz) & (hz <= top_hz)
    low_hz, middle_hz, high_hz = _ALPHA_HZ
    sums = [
        inside,
        inside * hz / 1000.0,
        inside * np.square(hz / 1000.0),
        (hz > low_hz) & (hz <= middle_hz),
        (hz > middle_hz) & (hz <= high_hz),
    ]
    matrix = np.concatenate([filters, *sums], axis=1).astype(np.float32)
    return matrix, int(np.searchsorted(hz[:, 0], _HARMONICS_HZ)) + 1
