"""Every feature keeps the contract; log-mel and MFCC equal the reference library."""

from __future__ import annotations

import importlib.util
import itertools
import json
import math
import sys
import typing
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ullim import registry
from ullim.errors import FeatureError, MissingExtraError
from ullim.features import Feature
from ullim.features import opensmile as opensmile_module
from ullim.features.colour import colours
from ullim.features.descriptors import Chroma, Descriptors, SpectralContrast
from ullim.features.image import FeatureMap, MelImage, MfccImage, SpectrogramImages, resize
from ullim.features.opensmile import OpenSmile
from ullim.features.spectral import DeltaSpectrogram, LogMel, MeanMel128, Mel, Mfcc, Spectrogram
from ullim.types import FloatArray

# Those that need weights cannot be made with nothing said: tests/test_embedding.py makes tiny ones
# and holds them to the same contract.
# Those of a library that is not installed have a test of their own below.
FEATURES = {
    name: cls
    for name, cls in registry.components("features").items()
    if not cls.needs() and (cls.library is None or importlib.util.find_spec(cls.library))
}
EVERY_FEATURE = pytest.mark.parametrize("cls", FEATURES.values(), ids=FEATURES)

HOSTILE: dict[str, Callable[[int], FloatArray]] = {
    "silence": lambda n: np.zeros(n, np.float32),
    "constant": lambda n: np.full(n, 0.5, np.float32),
    "clipped": lambda n: np.sign(np.sin(np.arange(n) * 0.1)).astype(np.float32),
    "impulse": lambda n: np.eye(1, n, n // 2, dtype=np.float32)[0],
    "alternating": lambda n: np.where(np.arange(n) % 2, 1.0, -1.0).astype(np.float32),
    "barely there": lambda n: np.full(n, 1e-30, np.float32),
    "louder than full scale": lambda n: np.full(n, 32_768.0, np.float32),
}


def altered(cls: type[Feature], field: str) -> Feature:
    """Return a valid feature that differs from the default in one field."""
    default = cls()
    value = getattr(default, field)
    annotation = cls.model_fields[field].annotation
    literals = [v for part in (annotation, *typing.get_args(annotation)) for v in _literals(part)]
    numbers = (
        [value + 1, value + 2, value * 2, value / 2, value + 0.25]
        if isinstance(value, int | float)
        else []
    )
    shorter = [value[:1]] if isinstance(value, tuple) else []
    for candidate in [*literals, *numbers, *shorter, not value, 40, 40.0, 1000.0]:
        try:
            other = cls(**{field: candidate})
        except ValidationError:
            continue
        if getattr(other, field) != value:
            return other
    pytest.fail(f"no other value of {cls.__name__}.{field} is known to this test; add one")


def _literals(annotation: Any) -> tuple[Any, ...]:
    return typing.get_args(annotation) if typing.get_origin(annotation) is typing.Literal else ()


FIELDS = [
    pytest.param(cls, field, id=f"{name}-{field}")
    for name, cls in FEATURES.items()
    for field, info in cls.model_fields.items()
    if len(_literals(info.annotation)) != 1  # a name, or another value that cannot differ
]


class TestEveryFeature:
    @EVERY_FEATURE
    def test_frames_by_features(self, cls, make_speech):
        feature = cls()
        result = feature.extract(make_speech(1.0, feature.sampling_rate))
        assert result.dtype == np.float32
        assert result.ndim == 2
        assert result.shape[1] == feature.n_features
        assert np.isfinite(result).all()
        assert result.flags.writeable

    @EVERY_FEATURE
    def test_one_more_frame_per_hop(self, cls, make_speech):
        feature = cls()
        if feature.level == "clip":
            assert math.isinf(feature.hop_s)
            for duration_s in (0.5, 1.5):
                assert len(feature.extract(make_speech(duration_s, feature.sampling_rate))) == 1
            return
        n = feature.sampling_rate
        more = n + round(20 * feature.hop_s * n)
        signal = make_speech(more / n, n)
        assert len(feature.extract(signal[:more])) - len(feature.extract(signal[:n])) == 20

    @EVERY_FEATURE
    def test_equal_signals_give_equal_values_and_stay_as_they_are(self, cls, make_speech):
        feature = cls()
        signal = make_speech(0.7, feature.sampling_rate)
        kept = signal.copy()
        first = feature.extract(signal)
        np.testing.assert_array_equal(first, cls().extract(signal))
        np.testing.assert_array_equal(first, feature.extract(signal.astype(np.float64)))
        np.testing.assert_array_equal(first, feature.extract(np.repeat(signal, 2)[::2]))
        np.testing.assert_array_equal(signal, kept)

    @EVERY_FEATURE
    @pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
    def test_hostile_signals_give_finite_values(self, cls, make):
        feature = cls()
        result = feature.extract(make(feature.sampling_rate))
        assert np.isfinite(result).all()

    @EVERY_FEATURE
    def test_shortest_signal_has_a_frame_and_one_less_is_refused(self, cls):
        feature = cls()
        result = feature.extract(np.full(feature.min_samples, 0.1, np.float32))
        assert len(result) >= 1
        assert np.isfinite(result).all()
        message = f"at least {feature.min_samples} samples"
        with pytest.raises(FeatureError, match=message) as caught:
            feature.extract(np.full(feature.min_samples - 1, 0.1, np.float32))
        assert caught.value.code == "too_short"

    @EVERY_FEATURE
    @pytest.mark.parametrize("shape", [(16_000, 2), (2, 16_000), (1, 16_000), ()], ids=str)
    def test_anything_but_one_channel_is_refused(self, cls, shape):
        with pytest.raises(FeatureError, match="takes one channel") as caught:
            cls().extract(np.zeros(shape, np.float32))
        assert caught.value.code == "bad_shape"

    @EVERY_FEATURE
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
    def test_samples_that_are_no_numbers_are_refused(self, cls, value):
        signal = np.zeros(16_000, np.float32)
        signal[-1] = value
        with pytest.raises(FeatureError, match="NaN or infinite") as caught:
            cls().extract(signal)
        assert caught.value.code == "not_finite"

    @EVERY_FEATURE
    def test_identity_survives_json_and_yaml(self, cls):
        identity = cls().identity()
        assert identity["name"] == registry.component_name(cls)
        assert identity["version"] == cls.version
        for copy in (json.loads(json.dumps(identity)), yaml.safe_load(yaml.safe_dump(identity))):
            assert copy == identity
            assert cls(**copy["parameters"]) == cls()

    @EVERY_FEATURE
    def test_fields_survive_json_and_yaml(self, cls):
        feature = cls()
        assert cls.model_validate_json(feature.model_dump_json()) == feature
        plain = feature.model_dump(mode="json")
        assert cls.model_validate(yaml.safe_load(yaml.safe_dump(plain))) == feature

    @pytest.mark.parametrize(("cls", "field"), FIELDS)
    def test_identity_tells_every_field(self, cls, field):
        assert altered(cls, field).identity() != cls().identity()

    @EVERY_FEATURE
    def test_parameters_do_not_change(self, cls):
        with pytest.raises(ValidationError, match="frozen"):
            cls().sampling_rate = 8_000

    @EVERY_FEATURE
    def test_unknown_parameter_is_refused(self, cls):
        with pytest.raises(ValidationError, match="n_bananas"):
            cls(n_bananas=3)

    @EVERY_FEATURE
    @pytest.mark.parametrize("rate", [0, -16_000, 100, 10**7, "fast", None], ids=str)
    def test_impossible_sampling_rate_is_refused(self, cls, rate):
        with pytest.raises(ValidationError, match="sampling_rate"):
            cls(sampling_rate=rate)

    @pytest.mark.parametrize(("cls", "field"), FIELDS)
    @pytest.mark.parametrize("value", [math.nan, math.inf], ids=str)
    def test_nan_and_infinite_parameters_are_refused(self, cls, field, value):
        with pytest.raises(ValidationError, match=field):
            cls(**{field: value})


MEL = pytest.mark.parametrize("cls", [LogMel, Mfcc], ids=["logmel", "mfcc"])


class TestMelParameters:
    @MEL
    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"n_fft": 512, "win_length": 600}, "win_length 600 is longer than n_fft 512"),
            ({"hop_length": 0}, "hop_length"),
            ({"n_fft": 16, "win_length": 16}, "n_fft"),
            ({"win_length": 0}, "win_length"),
            ({"n_mels": 0}, "n_mels"),
            ({"f_min_hz": -1.0}, "f_min_hz"),
            ({"f_max_hz": 0.0}, "f_max_hz"),
            ({"f_min_hz": 4000.0, "f_max_hz": 4000.0}, "do not fit under half the sampling rate"),
            ({"f_max_hz": 8000.5}, "do not fit under half the sampling rate, 8000"),
            ({"f_min_hz": 9000.0}, "do not fit under half the sampling rate"),
            ({"amin": 0.0}, "amin"),
            ({"amin": -1e-10}, "amin"),
            ({"top_db": 0.0}, "top_db"),
            ({"top_db": -80.0}, "top_db"),
        ],
        ids=lambda value: str(value) if isinstance(value, dict) else "",
    )
    def test_impossible_parameters_are_refused(self, cls, parameters, message):
        with pytest.raises(ValidationError, match=message):
            cls(**parameters)

    def test_more_coefficients_than_bands_are_refused(self):
        with pytest.raises(ValidationError, match="n_mfcc 41 is more than n_mels 40"):
            Mfcc(n_mels=40, n_mfcc=41)

    @MEL
    @pytest.mark.parametrize("amin", [1e-30, 1e-45, 1e-60], ids=str)
    def test_silence_is_finite_for_every_amin_that_is_accepted(self, cls, amin):
        try:
            feature = cls(amin=amin, top_db=None)
        except ValidationError as refusal:
            assert "amin" in str(refusal)  # noqa: PT017 - either is fine: refused, or finite
            return
        assert np.isfinite(feature.extract(np.zeros(1600, np.float32))).all()

    @MEL
    @pytest.mark.parametrize("n_fft", [400, 401, 512, 1024])
    @pytest.mark.parametrize("hop_length", [1, 160, 441, 2000])
    @pytest.mark.parametrize("n", [1, 159, 160, 161, 1601])
    def test_a_frame_is_centred_on_every_hop(self, cls, n_fft, hop_length, n):
        feature = cls(n_fft=n_fft, hop_length=hop_length, n_mels=20)
        n_frames = len(feature.extract(np.full(n, 0.1, np.float32)))
        # Half a transform of silence on either side, rounded down where n_fft is odd.
        assert n_frames == 1 + (n - n_fft % 2) // hop_length

    def test_hop_in_seconds(self):
        assert LogMel(sampling_rate=22_050, hop_length=441).hop_s == pytest.approx(0.02)

    def test_top_db_bounds_the_range_of_a_clip(self, make_speech):
        result = LogMel(top_db=30.0).extract(make_speech())
        assert result.max() - result.min() == pytest.approx(30.0, abs=1e-3)

    def test_top_db_none_makes_frames_independent_of_the_clip(self, make_speech):
        signal = make_speech(1.0)
        louder_end = signal.copy()
        louder_end[12_000:] *= 100
        feature = LogMel()
        early = feature.extract(signal)[:70]
        np.testing.assert_allclose(feature.extract(louder_end)[:70], early, atol=1e-3)


def _golden_grid() -> list[Any]:
    """Every n_fft, rate and number of bands together; the rest changes along."""
    rest = itertools.cycle(
        itertools.product((None, 80.0), ((0.0, None), (50.0, 7600.0)), ("full", "short"))
    )
    grid = []
    for n_fft, rate, n_mels in itertools.product(
        (512, 1024, 2048), (16_000, 22_050, 44_100), (40, 64, 128)
    ):
        top_db, (f_min_hz, f_max_hz), window = next(rest)
        parameters = {
            "n_fft": n_fft,
            "sampling_rate": rate,
            "n_mels": n_mels,
            "win_length": n_fft if window == "full" else n_fft * 3 // 4,
            "hop_length": n_fft // 4 if window == "full" else rate // 100,
            "f_min_hz": f_min_hz,
            "f_max_hz": f_max_hz,
            "top_db": top_db,
        }
        label = f"{n_fft}-{rate}-{n_mels}-{window}-{f_min_hz:.0f}-{top_db}"
        grid.append(pytest.param(parameters, id=label))
    return grid


GOLDEN = pytest.mark.parametrize("parameters", _golden_grid())


def librosa_decibels(signal: FloatArray, parameters: dict[str, Any]) -> FloatArray:
    """Return librosa's mel decibels, shape (bands, frames)."""
    librosa = pytest.importorskip("librosa")
    with warnings.catch_warnings():
        # Narrow low bands hold no bin of a short transform; ours are as empty.
        warnings.filterwarnings("ignore", message="Empty filters detected", category=UserWarning)
        power = librosa.feature.melspectrogram(
            y=signal,
            sr=parameters["sampling_rate"],
            n_fft=parameters["n_fft"],
            hop_length=parameters["hop_length"],
            win_length=parameters["win_length"],
            n_mels=parameters["n_mels"],
            fmin=parameters["f_min_hz"],
            fmax=parameters["f_max_hz"],
            center=True,
            pad_mode="constant",
        )
    return librosa.power_to_db(power, top_db=parameters["top_db"])


class TestAgainstLibrosa:
    @GOLDEN
    def test_logmel(self, parameters, make_speech):
        signal = make_speech(0.5, parameters["sampling_rate"])
        theirs = librosa_decibels(signal, parameters).T
        ours = LogMel(**parameters).extract(signal)
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())

    @GOLDEN
    @pytest.mark.parametrize("n_mfcc", [13, 40])
    def test_mfcc(self, parameters, n_mfcc, make_speech):
        librosa = pytest.importorskip("librosa")
        signal = make_speech(0.5, parameters["sampling_rate"])
        decibels = librosa_decibels(signal, parameters)
        theirs = librosa.feature.mfcc(S=decibels, n_mfcc=n_mfcc).T
        ours = Mfcc(n_mfcc=n_mfcc, **parameters).extract(signal)
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())

    def test_mfcc_with_the_defaults_of_both(self, make_speech):
        librosa = pytest.importorskip("librosa")
        signal = make_speech(0.5, 22_050)
        theirs = librosa.feature.mfcc(y=signal, sr=22_050).T
        ours = Mfcc(sampling_rate=22_050, n_fft=2048, win_length=2048, hop_length=512).extract(
            signal
        )
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())


# Short and long transforms, a short window, and a signal of fewer frames than a delta's width.
STFT = pytest.mark.parametrize(
    ("rate", "n_fft", "win_length", "hop_length"),
    [(16_000, 512, 400, 160), (16_000, 2048, 2048, 512), (22_050, 1024, 800, 441)],
)
LONG_STFT = pytest.mark.parametrize(
    ("rate", "n_fft", "win_length", "hop_length"),
    [(16_000, 1024, 1024, 256), (22_050, 2048, 2048, 512), (44_100, 4096, 3000, 441)],
)


def close(ours: FloatArray, theirs: FloatArray, relative: float = 1e-4) -> None:
    """Hold (frames, features) against librosa's (features, frames), relative to the greatest."""
    assert ours.shape == theirs.T.shape
    np.testing.assert_allclose(ours, theirs.T, rtol=0, atol=relative * np.abs(theirs).max())


class TestSpectraAgainstLibrosa:
    @STFT
    @pytest.mark.parametrize("window", ["hann", "hamming"])
    def test_spectrogram(self, rate, n_fft, win_length, hop_length, window, make_speech):
        librosa = pytest.importorskip("librosa")
        signal = make_speech(0.6, rate)
        sizes = {"n_fft": n_fft, "win_length": win_length, "hop_length": hop_length}
        stft = librosa.stft(signal, window=window, pad_mode="constant", **sizes)
        feature = {"sampling_rate": rate, "window": window, **sizes}
        close(Spectrogram(scale="magnitude", **feature).extract(signal), np.abs(stft), 1e-5)
        close(Spectrogram(scale="power", **feature).extract(signal), np.abs(stft) ** 2, 1e-5)
        theirs = librosa.power_to_db(np.abs(stft) ** 2, top_db=80.0)
        close(Spectrogram(top_db=80.0, **feature).extract(signal), theirs, 1e-4)

    @STFT
    def test_mel(self, rate, n_fft, win_length, hop_length, make_speech):
        librosa = pytest.importorskip("librosa")
        signal = make_speech(0.6, rate)
        sizes = {"n_fft": n_fft, "win_length": win_length, "hop_length": hop_length}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Empty filters", category=UserWarning)
            theirs = librosa.feature.melspectrogram(
                y=signal, sr=rate, n_mels=64, pad_mode="constant", **sizes
            )
        close(Mel(sampling_rate=rate, n_mels=64, **sizes).extract(signal), theirs, 1e-5)

    @pytest.mark.parametrize("width", [3, 9, 15])
    @pytest.mark.parametrize("deltas", [1, 2])
    def test_deltas_of_the_cepstrum(self, width, deltas, make_speech):
        librosa = pytest.importorskip("librosa")
        signal = make_speech(0.6)
        plain = Mfcc().extract(signal)
        ours = Mfcc(deltas=deltas, delta_width=width).extract(signal)
        np.testing.assert_array_equal(ours[:, :20], plain)
        for order in range(1, deltas + 1):
            theirs = librosa.feature.delta(plain.T, width=width, order=order)
            close(ours[:, 20 * order : 20 * (order + 1)], theirs)

    def test_a_clip_shorter_than_a_delta_has_one_all_the_same(self, make_speech):
        ours = Mfcc(deltas=2).extract(make_speech(0.03))
        assert ours.shape == (4, 60)
        assert np.abs(ours[:, 20:]).max() > 0

    @LONG_STFT
    @pytest.mark.parametrize("tuning", [0.0, 0.3])
    def test_chroma(self, rate, n_fft, win_length, hop_length, tuning, make_speech):
        librosa = pytest.importorskip("librosa")
        signal = make_speech(0.6, rate)
        sizes = {"n_fft": n_fft, "win_length": win_length, "hop_length": hop_length}
        theirs = librosa.feature.chroma_stft(
            y=signal, sr=rate, tuning=tuning, pad_mode="constant", **sizes
        )
        close(Chroma(sampling_rate=rate, tuning=tuning, **sizes).extract(signal), theirs)

    @LONG_STFT
    @pytest.mark.parametrize(("n_bands", "quantile"), [(5, 0.02), (4, 0.2)])
    def test_spectral_contrast(
        self, rate, n_fft, win_length, hop_length, n_bands, quantile, make_speech
    ):
        librosa = pytest.importorskip("librosa")
        signal = make_speech(0.6, rate)
        sizes = {"n_fft": n_fft, "win_length": win_length, "hop_length": hop_length}
        theirs = librosa.feature.spectral_contrast(
            y=signal, sr=rate, n_bands=n_bands, quantile=quantile, pad_mode="constant", **sizes
        )
        ours = SpectralContrast(sampling_rate=rate, n_bands=n_bands, quantile=quantile, **sizes)
        close(ours.extract(signal), theirs)

    @STFT
    def test_descriptors(self, rate, n_fft, win_length, hop_length, make_speech):
        librosa = pytest.importorskip("librosa")
        signal = make_speech(0.6, rate)
        sizes = {"n_fft": n_fft, "win_length": win_length, "hop_length": hop_length}
        spectral = {"y": signal, "pad_mode": "constant", **sizes}
        plain = {"frame_length": win_length, "hop_length": hop_length}
        theirs = {
            "centroid": librosa.feature.spectral_centroid(sr=rate, **spectral),
            "bandwidth": librosa.feature.spectral_bandwidth(sr=rate, **spectral),
            "flatness": librosa.feature.spectral_flatness(**spectral),
            "zero_crossing_rate": librosa.feature.zero_crossing_rate(signal, **plain),
            "rms": librosa.feature.rms(y=signal, pad_mode="constant", **plain),
        }
        for kind, values in theirs.items():
            ours = Descriptors(sampling_rate=rate, kinds=(kind,), **sizes).extract(signal)
            close(ours, values)
        # Where the sum comes within rounding of the share, either neighbouring bin is right.
        rolloff = librosa.feature.spectral_rolloff(sr=rate, **spectral)[0]
        ours = Descriptors(sampling_rate=rate, kinds=("rolloff",), **sizes).extract(signal)[:, 0]
        assert np.abs(ours - rolloff).max() <= rate / n_fft * 1.001
        assert (np.abs(ours - rolloff) < 0.01).mean() > 0.95

    @pytest.mark.parametrize("log", [False, True])
    def test_mean_mel(self, log, make_speech):
        librosa = pytest.importorskip("librosa")
        signal = make_speech(0.6)
        theirs = librosa.feature.melspectrogram(y=signal, sr=16_000, pad_mode="constant")
        if log:
            theirs = librosa.power_to_db(theirs, top_db=None)
        theirs = theirs.mean(axis=1, keepdims=True)
        close(MeanMel128(log=log).extract(signal), theirs / np.linalg.norm(theirs))


class TestSpectra:
    def test_differences_run_along_time(self, make_speech):
        signal = make_speech(0.5)
        feature = DeltaSpectrogram()
        channels = feature.extract(signal).reshape(-1, 3, feature.n_bins)
        static, first, second = channels.transpose(1, 0, 2)
        np.testing.assert_array_equal(first[1:], static[1:] - static[:-1])
        np.testing.assert_array_equal(second[1:], first[1:] - first[:-1])
        assert not first[0].any()
        assert not second[0].any()
        magnitude = Spectrogram(
            n_fft=240, win_length=240, hop_length=120, window="hamming", scale="magnitude"
        ).extract(signal)
        np.testing.assert_allclose(np.exp(static), magnitude, rtol=1e-5, atol=1e-8)

    def test_flux_tells_a_change_from_what_goes_on(self):
        t = np.arange(16_000) / 16_000
        signal = np.where(t < 0.5, np.sin(2000 * t), np.sin(20_000 * t)).astype(np.float32)
        flux = Descriptors(kinds=("flux",)).extract(signal)[:, 0]
        assert abs(int(flux.argmax()) - 50) <= 2
        assert flux[10:45].max() < 0.01 < flux.max() <= 2.0

    def test_descriptors_come_in_the_order_asked_for(self, make_speech):
        signal = make_speech(0.3)
        both = Descriptors(kinds=("rms", "flux")).extract(signal)
        np.testing.assert_array_equal(both[:, :1], Descriptors(kinds=("rms",)).extract(signal))
        with pytest.raises(ValidationError, match="kinds repeat"):
            Descriptors(kinds=("rms", "rms"))
        with pytest.raises(ValidationError, match="kinds"):
            Descriptors(kinds=())

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"n_bands": 8}, "not under half the sampling rate"),
            ({"n_fft": 64, "win_length": 64}, "give a longer n_fft"),
        ],
    )
    def test_bands_that_hold_nothing_are_refused(self, parameters, message):
        with pytest.raises(ValidationError, match=message):
            SpectralContrast(**parameters)

    def test_threads_do_not_share_room(self, make_speech):
        features = [LogMel(), LogMel(n_fft=1024, win_length=1024), Mfcc(), Spectrogram()] * 8
        signals = [make_speech(0.2 + 0.1 * (n % 5), seed=n) for n in range(len(features))]
        expected = [f.extract(signal) for f, signal in zip(features, signals, strict=True)]
        with ThreadPoolExecutor(4) as pool:
            found = list(
                pool.map(lambda feature, signal: feature.extract(signal), features, signals)
            )
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


class TestPictures:
    @pytest.mark.parametrize("name", ["jet", "viridis", "magma"])
    def test_colours_are_those_of_matplotlib(self, name):
        matplotlib = pytest.importorskip("matplotlib")
        values = np.linspace(0.0, 1.0, 999, dtype=np.float32)
        theirs = matplotlib.colormaps[name](values)[:, :3]
        np.testing.assert_allclose(colours(values, name), theirs, atol=0.51 / 255)

    def test_grey_is_the_value(self):
        values = np.linspace(0.0, 1.0, 50, dtype=np.float32)[:, None]
        np.testing.assert_allclose(colours(values, "grey")[..., 1], values, atol=1 / 255)

    @pytest.mark.parametrize("shape", [(40, 30), (300, 5), (5, 300), (64, 64), (1, 1)], ids=str)
    def test_resizing_is_that_of_pillow(self, shape, generator):
        image = pytest.importorskip("PIL.Image")
        picture = generator.random(shape, dtype=np.float32)
        theirs = image.fromarray(picture).resize((48, 64), image.Resampling.BILINEAR)
        ours = resize(picture[..., None], 64, 48)[..., 0]
        np.testing.assert_allclose(ours, np.asarray(theirs), atol=1e-5)

    @pytest.mark.parametrize("colour_map", ["jet", "grey"])
    def test_segments_follow_one_another_in_time(self, colour_map, make_speech):
        feature = SpectrogramImages(colour_map=colour_map)
        signal = make_speech(1.0)
        pictures = feature.extract(signal).reshape(-1, *feature.item_shape)
        assert pictures.shape == (6, 16, 256, 3)
        level = Spectrogram(top_db=80.0).extract(signal)[:96, :256]
        expected = colours((level - level.max()) / 80 + 1, colour_map)
        np.testing.assert_allclose(pictures.reshape(96, 256, 3), expected, atol=0.02)

    def test_a_high_tone_stands_at_the_top_of_a_mel_picture(self):
        def brightest_row(f_hz: float) -> int:
            signal = np.sin(2 * np.pi * f_hz * np.arange(16_000) / 16_000)
            feature = MelImage(colour_map="grey")
            picture = feature.extract(signal).reshape(feature.item_shape)
            return int(picture[:, 112, 0].argmax())

        assert brightest_row(6000.0) < 30 < 180 < brightest_row(300.0)

    @pytest.mark.parametrize("cls", [MelImage, MfccImage])
    def test_pictures_are_normalised_as_for_imagenet(self, cls, make_speech):
        feature = cls()
        picture = feature.extract(make_speech(1.0)).reshape(feature.item_shape)
        mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
        colour = picture * std + mean
        assert -1e-5 <= colour.min() < 0.3
        assert 0.9 < colour.max() <= 1 + 1e-5

    @pytest.mark.parametrize("of", ["logmel", "mfcc", "chroma", "spectral-contrast"])
    @pytest.mark.parametrize("duration_s", [0.01, 0.5, 6.0])
    def test_maps_have_one_size_whatever_the_clip(self, of, duration_s, make_speech):
        feature = FeatureMap(of=of)
        signal = make_speech(duration_s)
        values = feature.extract(signal).reshape(feature.item_shape)
        assert values.shape == (512, 400)
        inner = feature._inner().extract(signal)
        assert inner.min() - 1e-3 <= values.min() <= values.max() <= inner.max() + 1e-3

    def test_a_map_refuses_what_its_feature_refuses(self):
        with pytest.raises(ValidationError, match="half the sampling rate"):
            FeatureMap(of="spectral-contrast", sampling_rate=8_000)


class TestProperties:
    @given(gain_db=st.floats(-30.0, 30.0), seed=st.integers(0, 50))
    @settings(max_examples=25, deadline=None)
    def test_gain_shifts_logmel_by_as_many_decibels(self, gain_db, seed, make_speech):
        feature = LogMel()
        signal = make_speech(0.3, seed=seed)
        before = feature.extract(signal)
        after = feature.extract(signal * np.float32(10 ** (gain_db / 20)))
        floor_db = 10 * np.log10(feature.amin)
        heard = (before > floor_db + 1) & (before + gain_db > floor_db + 1)
        assert heard.mean() > 0.5
        np.testing.assert_allclose((after - before)[heard], gain_db, atol=0.02)

    @MEL
    @given(hops=st.integers(1, 40), seed=st.integers(0, 50))
    @settings(max_examples=15, deadline=None)
    def test_silence_before_a_clip_shifts_its_frames(self, cls, hops, seed, make_speech):
        feature = cls(top_db=None)
        signal = make_speech(0.3, seed=seed)
        late = np.concatenate([np.zeros(hops * feature.hop_length, np.float32), signal])
        original, shifted = feature.extract(signal), feature.extract(late)
        assert len(shifted) == len(original) + hops
        np.testing.assert_allclose(shifted[hops:], original, atol=1e-2)


class TestOpenSmile:
    @pytest.mark.parametrize("name", typing.get_args(OpenSmile.model_fields["set"].annotation))
    def test_every_set_is_as_wide_as_it_says(self, name, make_speech):
        pytest.importorskip("opensmile", reason="needs the opensmile extra")
        feature = OpenSmile(set=name)
        result = feature.extract(make_speech(0.5))
        assert result.shape == (1, feature.n_features)
        assert np.isfinite(result).all()

    def test_absent_library_is_told_with_the_line_that_installs_it(self, monkeypatch, make_speech):
        monkeypatch.setitem(sys.modules, "opensmile", None)
        opensmile_module._smile.cache_clear()
        with pytest.raises(MissingExtraError, match=r'pip install "ullim\[opensmile\]"'):
            OpenSmile().extract(make_speech(0.5))
