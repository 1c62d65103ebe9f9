"""Every augmentation is a function of its seed; each does what its parameters say."""

from __future__ import annotations

import math
import random
import re

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ullim import registry
from ullim.augment.waveform import Gain, Noise, Speed
from ullim.types import FloatArray

RATE = 16_000

AUGMENTATIONS = registry.components("augment")
EVERY_AUGMENTATION = pytest.mark.parametrize("cls", AUGMENTATIONS.values(), ids=AUGMENTATIONS)
FIELDS = [
    pytest.param(cls, field, id=f"{name}-{field}")
    for name, cls in AUGMENTATIONS.items()
    for field in cls.model_fields
    if field != "name"
]


def tone(f_hz: float = 1000.0, n: int = RATE, level: float = 0.1) -> FloatArray:
    return (level * np.sin(2 * np.pi * f_hz * np.arange(n) / RATE)).astype(np.float32)


def peak_hz(signal: FloatArray) -> float:
    spectrum = np.abs(np.fft.rfft(signal * np.hanning(signal.size), 1 << 18))
    return float(spectrum.argmax() * RATE / (1 << 18))


def rms(signal: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(signal, dtype=np.float64))))


def seeded(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


class TestEveryAugmentation:
    @EVERY_AUGMENTATION
    def test_one_channel_of_float32_that_is_finite(self, cls, make_speech):
        result = cls().apply(make_speech(0.5), RATE, seeded(0))
        assert result.dtype == np.float32
        assert result.ndim == 1
        assert result.size > 0
        assert np.isfinite(result).all()

    @EVERY_AUGMENTATION
    def test_same_seed_same_signal(self, cls, make_speech):
        signal = make_speech(0.5)
        first = cls().apply(signal, RATE, seeded(7))
        np.testing.assert_array_equal(first, cls().apply(signal, RATE, seeded(7)))

    @EVERY_AUGMENTATION
    def test_other_seeds_other_signals(self, cls, make_speech):
        signal = make_speech(0.5)
        results = {cls().apply(signal, RATE, seeded(seed)).tobytes() for seed in range(8)}
        assert len(results) == 8

    @EVERY_AUGMENTATION
    def test_the_signal_given_stays_as_it_is(self, cls, make_speech):
        signal = make_speech(0.5)
        kept = signal.copy()
        cls().apply(signal, RATE, seeded(1))
        np.testing.assert_array_equal(signal, kept)

    @EVERY_AUGMENTATION
    def test_probability_zero_changes_nothing(self, cls, make_speech):
        signal = make_speech(0.5)
        for seed in range(20):
            result = cls(probability=0.0).apply(signal, RATE, seeded(seed))
            np.testing.assert_array_equal(result, signal)

    @EVERY_AUGMENTATION
    def test_probability_is_the_share_that_is_changed(self, cls, make_speech, generator):
        signal = make_speech(0.1)
        augmentation = cls(probability=0.3)
        results = [augmentation.apply(signal, RATE, generator) for _ in range(400)]
        changed = sum(not np.array_equal(result, signal) for result in results)
        assert 0.2 < changed / 400 < 0.4

    @EVERY_AUGMENTATION
    @pytest.mark.parametrize("level", [0.0, 1.0], ids=["silence", "full scale"])
    @pytest.mark.parametrize("n", [1, 2, 17, 16_000])
    def test_hostile_signals_stay_finite(self, cls, level, n):
        result = cls().apply(np.full(n, level, np.float32), RATE, seeded(3))
        assert result.size > 0
        assert np.isfinite(result).all()

    @EVERY_AUGMENTATION
    def test_no_global_chance_is_used(self, cls, make_speech):
        states = (np.random.get_state()[1].tolist(), random.getstate())  # noqa: NPY002
        cls().apply(make_speech(0.3), RATE, seeded(0))
        after = (np.random.get_state()[1].tolist(), random.getstate())  # noqa: NPY002
        assert after == states

    @EVERY_AUGMENTATION
    def test_fields_survive_json_and_yaml(self, cls):
        augmentation = cls(probability=0.25)
        assert cls.model_validate_json(augmentation.model_dump_json()) == augmentation
        plain = augmentation.model_dump(mode="json")
        assert cls.model_validate(yaml.safe_load(yaml.safe_dump(plain))) == augmentation

    @EVERY_AUGMENTATION
    @pytest.mark.parametrize("probability", [-0.1, 1.1, math.nan, "often"], ids=str)
    def test_impossible_probability_is_refused(self, cls, probability):
        with pytest.raises(ValidationError, match="probability"):
            cls(probability=probability)

    @EVERY_AUGMENTATION
    def test_unknown_parameter_is_refused(self, cls):
        with pytest.raises(ValidationError, match="n_bananas"):
            cls(n_bananas=3)

    @pytest.mark.parametrize(("cls", "field"), FIELDS)
    @pytest.mark.parametrize("value", [math.nan, math.inf], ids=str)
    def test_nan_and_infinite_parameters_are_refused(self, cls, field, value):
        with pytest.raises(ValidationError, match=field):
            cls(**{field: value})


@pytest.mark.parametrize(
    ("cls", "low", "high"),
    [
        (Speed, {"min_factor": 1.2}, {"max_factor": 1.1}),
        (Noise, {"min_snr_db": 20.0}, {"max_snr_db": 10.0}),
        (Gain, {"min_gain_db": 3.0}, {"max_gain_db": -3.0}),
    ],
    ids=["speed", "noise", "gain"],
)
def test_ranges_that_run_backwards_are_refused(cls, low, high):
    (lower,), (upper,) = low.values(), high.values()
    message = f"from {lower} to {upper}; give the lower value first"
    with pytest.raises(ValidationError, match=re.escape(message)):
        cls(**low, **high)
    (low_field,), (high_field,) = low, high
    cls(**{low_field: upper, high_field: lower})


class TestSpeed:
    @pytest.mark.parametrize("factor", [0.5, 0.8, 0.9, 1.0, 1.1, 1.25, 2.0])
    def test_length_and_pitch_follow_the_factor(self, factor):
        speed = Speed(min_factor=factor, max_factor=factor)
        result = speed.apply(tone(1000.0), RATE, seeded(0))
        assert result.size == pytest.approx(RATE / factor, abs=2)
        assert peak_hz(result) == pytest.approx(1000.0 * factor, rel=2e-3)

    def test_the_factor_stays_in_its_range(self, generator):
        speed = Speed(min_factor=0.9, max_factor=1.1)
        factors = [RATE / speed.apply(tone(), RATE, generator).size for _ in range(60)]
        assert min(factors) >= 0.9 - 1e-3
        assert max(factors) <= 1.1 + 1e-3
        assert max(factors) - min(factors) > 0.15

    @pytest.mark.parametrize("factors", [(0.0, 1.0), (-1.0, 1.0), (0.1, 1.0), (1.0, 10.0)], ids=str)
    def test_impossible_factors_are_refused(self, factors):
        with pytest.raises(ValidationError, match="factor"):
            Speed(min_factor=factors[0], max_factor=factors[1])


class TestNoise:
    @pytest.mark.parametrize("snr_db", [-5.0, 0.0, 10.0, 30.0])
    @pytest.mark.parametrize("max_slope", [0.0, 1.0, 2.0])
    def test_the_noise_has_the_level_asked_for(self, snr_db, max_slope, make_speech):
        signal = make_speech(1.0)
        noise = Noise(min_snr_db=snr_db, max_snr_db=snr_db, max_slope=max_slope)
        added = noise.apply(signal, RATE, seeded(2)) - signal
        assert 20 * np.log10(rms(signal) / rms(added)) == pytest.approx(snr_db, abs=0.1)

    @given(seed=st.integers(0, 1000))
    @settings(max_examples=20, deadline=None)
    def test_the_level_stays_in_its_range(self, seed, make_speech):
        signal = make_speech(0.3)
        added = Noise().apply(signal, RATE, seeded(seed)) - signal
        assert 5.0 - 0.1 <= 20 * np.log10(rms(signal) / rms(added)) <= 30.0 + 0.1

    def test_slope_zero_is_white_and_greater_slopes_are_darker(self):
        signal = tone(440.0, 4 * RATE)

        def high_share(max_slope: float) -> float:
            shares = []
            for seed in range(6):
                noise = Noise(min_snr_db=0, max_snr_db=0, max_slope=max_slope)
                power = np.abs(np.fft.rfft(noise.apply(signal, RATE, seeded(seed)) - signal)) ** 2
                shares.append(power[len(power) // 2 :].sum() / power.sum())
            return float(np.mean(shares))

        assert high_share(0.0) == pytest.approx(0.5, abs=0.02)
        assert high_share(4.0) < high_share(1.0) < 0.5

    def test_negative_slope_is_refused(self):
        with pytest.raises(ValidationError, match="max_slope"):
            Noise(max_slope=-0.1)


class TestGain:
    @pytest.mark.parametrize("gain_db", [-40.0, -6.0, 0.0, 6.0])
    def test_the_level_moves_by_the_gain(self, gain_db):
        result = Gain(min_gain_db=gain_db, max_gain_db=gain_db).apply(tone(), RATE, seeded(0))
        np.testing.assert_allclose(result, tone() * 10 ** (gain_db / 20), rtol=1e-5, atol=1e-7)

    def test_the_gain_stays_in_its_range(self, generator):
        gain = Gain(min_gain_db=-12.0, max_gain_db=3.0)
        levels = [
            20 * np.log10(rms(gain.apply(tone(), RATE, generator)) / rms(tone()))
            for _ in range(100)
        ]
        assert -12.01 <= min(levels) < -10.0
        assert 1.5 < max(levels) <= 3.01

    def test_what_exceeds_full_scale_clips(self):
        result = Gain(min_gain_db=20, max_gain_db=20).apply(tone(level=0.5), RATE, seeded(0))
        assert np.abs(result).max() == 1.0
        assert (np.abs(result) == 1.0).mean() > 0.5
