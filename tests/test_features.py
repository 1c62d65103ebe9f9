"""Every feature keeps the contract; log-mel and MFCC equal the reference library."""

from __future__ import annotations

import itertools
import json
import math
import typing
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ullim import registry
from ullim.errors import FeatureError
from ullim.features import Feature
from ullim.features.spectral import LogMel, Mfcc
from ullim.types import FloatArray

FEATURES = registry.components("features")
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
    numbers = [value + 1, value * 2, value / 2] if isinstance(value, int | float) else []
    for candidate in [*literals, *numbers, not value, 40, 40.0, 1000.0]:
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
    for field in cls.model_fields
    if field != "name"
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
        signal = make_speech(1.5, feature.sampling_rate)
        n = feature.sampling_rate
        if feature.level == "clip":
            assert len(feature.extract(signal)) == len(feature.extract(signal[:n])) == 1
            assert math.isinf(feature.hop_s)
            return
        more = n + round(20 * feature.hop_s * feature.sampling_rate)
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
