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
from ullim.augment.codec import Codec, transcode
from ullim.augment.equalization import equalise, quantiles
from ullim.augment.excerpt import Excerpt
from ullim.augment.pitch import PitchShift, Tempo, stretch
from ullim.augment.room import Room, impulse_response
from ullim.augment.waveform import Clipping, Gain, Noise, Speed
from ullim.errors import FeatureError
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
        signal = make_speech(2.5)
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
        # Longer than an excerpt where that is what is drawn; the others need no second.
        signal = make_speech(2.5 if cls is Excerpt else 0.1)
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
        (Clipping, {"min_drive_db": 12.0}, {"max_drive_db": 3.0}),
        (Tempo, {"min_factor": 1.2}, {"max_factor": 1.1}),
        (PitchShift, {"min_semitones": 2.0}, {"max_semitones": -2.0}),
        (Room, {"min_rt60_s": 0.7}, {"max_rt60_s": 0.3}),
        (Room, {"min_direct_db": 9.0}, {"max_direct_db": 1.0}),
        (Codec, {"min_compression": 0.9}, {"max_compression": 0.1}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_ranges_that_run_backwards_are_refused(cls, low, high):
    (lower,), (upper,) = low.values(), high.values()
    message = f"from {lower} to {upper}; give the lower value first"
    with pytest.raises(ValidationError, match=re.escape(message)):
        cls(**low, **high)
    (low_field,), (high_field,) = low, high
    cls(**{low_field: upper, high_field: lower})


class TestExcerpt:
    def test_the_length_lies_within_the_range(self, make_speech):
        lengths = [Excerpt().apply(make_speech(3.0), RATE, seeded(s)).size for s in range(50)]
        assert 0.7 * RATE - 1 <= min(lengths) < 0.9 * RATE
        assert 1.8 * RATE < max(lengths) <= 2.0 * RATE + 1

    def test_it_is_a_stretch_of_the_signal(self, make_speech):
        signal = make_speech(3.0)
        kept = Excerpt(min_s=1.0, max_s=1.0).apply(signal, RATE, seeded(4))
        starts = np.flatnonzero(signal[: -kept.size + 1] == kept[0])
        assert any(np.array_equal(signal[s : s + kept.size], kept) for s in starts)

    def test_a_pause_is_never_all_there_is(self, make_speech):
        quiet = np.zeros(4 * RATE, np.float32)
        signal = np.concatenate([quiet, make_speech(1.0), quiet])
        excerpt = Excerpt(min_s=0.5, max_s=0.5)
        most = max(
            np.square(signal[s : s + RATE // 2], dtype=np.float64).sum()
            for s in range(4 * RATE, 5 * RATE - RATE // 2, 16)
        )
        for seed in range(50):
            kept = excerpt.apply(signal, RATE, seeded(seed)).astype(np.float64)
            assert np.square(kept).sum() > 0.45 * most

    def test_a_range_that_runs_backwards_is_refused(self):
        with pytest.raises(ValidationError, match="lower value first"):
            Excerpt(min_s=2.0, max_s=1.0)


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


class TestClipping:
    @pytest.mark.parametrize("drive_db", [0.0, 6.0, 20.0])
    def test_the_loudest_sample_falls_by_the_drive(self, drive_db):
        result = Clipping(min_drive_db=drive_db, max_drive_db=drive_db).apply(
            tone(level=0.5), RATE, seeded(0)
        )
        assert np.abs(result).max() == pytest.approx(0.5 * 10 ** (-drive_db / 20), rel=1e-3)
        quiet = np.abs(tone(level=0.5)) < np.abs(result).max()
        np.testing.assert_array_equal(result[quiet], tone(level=0.5)[quiet])


class TestTempo:
    @pytest.mark.parametrize("factor", [0.5, 0.8, 0.9, 1.1, 1.2, 2.0])
    @pytest.mark.parametrize("f_hz", [150.0, 1000.0])
    def test_length_follows_the_factor_and_pitch_stays(self, factor, f_hz):
        tempo = Tempo(min_factor=factor, max_factor=factor)
        result = tempo.apply(tone(f_hz), RATE, seeded(0))
        assert result.size == round(RATE / factor)
        assert peak_hz(result) == pytest.approx(f_hz, rel=3e-3)
        middle = result[1600:-1600]
        assert rms(middle) == pytest.approx(rms(tone(f_hz)), rel=0.05)

    def test_factor_one_gives_the_signal_back(self, make_speech):
        signal = make_speech(0.7)
        np.testing.assert_allclose(stretch(signal, RATE, 1.0), signal, atol=1e-6)

    def test_events_keep_their_order_and_spacing(self):
        signal = np.zeros(2 * RATE, np.float32)
        for at in (0.5, 1.0, 1.5):
            start = round(at * RATE)
            signal[start : start + 1600] = tone(n=1600)
        level = np.abs(stretch(signal, RATE, 1.25)) > 0.05
        heard = np.flatnonzero(level) / RATE
        for at in (0.5, 1.0, 1.5):
            assert np.abs(heard - at / 1.25).min() < 0.02
        assert not level[round(0.55 * RATE) : round(0.75 * RATE)].any()


class TestPitchShift:
    @pytest.mark.parametrize("semitones", [-4.0, -1.0, 1.0, 4.0])
    def test_pitch_follows_and_length_stays(self, semitones):
        shift = PitchShift(min_semitones=semitones, max_semitones=semitones)
        result = shift.apply(tone(400.0), RATE, seeded(0))
        assert result.size == RATE
        assert peak_hz(result) == pytest.approx(400.0 * 2 ** (semitones / 12), rel=4e-3)


class TestRoom:
    @pytest.mark.parametrize("rt60_s", [0.2, 0.5, 1.5])
    def test_the_response_falls_by_60_db_in_the_time_asked_for(self, rt60_s):
        response = impulse_response(rt60_s, -30.0, RATE, seeded(1))[1:]
        # Schroeder's backward integration; the slope between -5 and -25 dB.
        left = np.cumsum(np.square(response[::-1], dtype=np.float64))[::-1]
        level_db = 10 * np.log10(left / left[0])
        first, last = np.searchsorted(-level_db, [5.0, 25.0])
        measured_s = 60.0 / 20.0 * (last - first) / RATE
        assert measured_s == pytest.approx(rt60_s, rel=0.1)

    @pytest.mark.parametrize("direct_db", [-6.0, 0.0, 10.0])
    def test_the_direct_sound_stands_out_as_asked_for(self, direct_db):
        response = impulse_response(0.4, direct_db, RATE, seeded(1))
        rest = np.square(response[1:], dtype=np.float64).sum()
        assert 10 * np.log10(response[0] ** 2 / rest) == pytest.approx(direct_db, abs=0.01)

    def test_it_is_a_convolution_that_keeps_level_and_place(self, make_speech):
        signal = make_speech(0.5)
        room = Room(min_rt60_s=0.3, max_rt60_s=0.3, min_direct_db=60.0, max_direct_db=60.0)
        np.testing.assert_allclose(room.apply(signal, RATE, seeded(0)), signal, atol=2e-3)
        wet = Room().apply(signal, RATE, seeded(0))
        assert rms(wet) == pytest.approx(rms(signal), rel=1e-4)
        generator = seeded(0)
        generator.random()
        rt60_s, direct_db = generator.uniform(0.2, 0.8), generator.uniform(-3.0, 12.0)
        response = impulse_response(rt60_s, direct_db, RATE, generator)
        expected = np.convolve(signal, response)[: signal.size]
        np.testing.assert_allclose(wet / wet.max(), expected / expected.max(), atol=1e-4)


class TestCodec:
    @pytest.mark.parametrize("kind", ["mp3", "vorbis", "opus", "gsm", "mu-law"])
    @pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
    def test_the_voice_comes_through_in_time(self, kind, rate, make_speech):
        signal = make_speech(1.0, rate, f0_hz=350.0)
        codec = Codec(kinds=(kind,))
        result = codec.apply(signal, rate, seeded(3))
        assert result.size == signal.size
        lags = np.correlate(result[2000:-2000], signal[1900:-1900], "valid")
        assert abs(int(lags[::-1].argmax()) - 100) <= rate // 1000
        assert 0.3 < rms(result) / rms(signal) < 1.5
        assert not np.array_equal(result, signal)

    @pytest.mark.parametrize("kind", ["gsm", "mu-law"])
    @pytest.mark.parametrize(("f_hz", "heard"), [(60.0, False), (1000.0, True), (5000.0, False)])
    def test_a_telephone_has_its_band(self, kind, f_hz, heard):
        result = transcode(tone(f_hz), RATE, kind, 0.0)
        assert (rms(result) > 0.5 * rms(tone(f_hz))) == heard

    @pytest.mark.parametrize("kind", ["mp3", "vorbis"])
    def test_more_compression_is_further_from_the_original(self, kind, make_speech):
        signal = make_speech(1.0)

        def spectrum(samples: FloatArray) -> FloatArray:
            frames = samples[: samples.size // 512 * 512].reshape(-1, 512)
            return np.log(np.abs(np.fft.rfft(frames)) + 1e-4)

        distances = [
            np.abs(spectrum(transcode(signal, RATE, kind, level)[: signal.size]) - spectrum(signal))
            for level in (0.0, 0.99)
        ]
        assert distances[1].mean() > distances[0].mean()

    @pytest.mark.parametrize("kinds", [(), ("flac",), "mp3"], ids=str)
    def test_unknown_codecs_are_refused(self, kinds):
        with pytest.raises(ValidationError, match="kinds"):
            Codec(kinds=kinds)


class TestEqualisation:
    def test_own_distribution_becomes_the_reference(self, generator):
        own = generator.normal(3.0, 2.0, (500, 3)).astype(np.float32)
        reference = generator.exponential(1.0, (800, 3)).astype(np.float32)
        mapped = equalise(own, quantiles(own), quantiles(reference))
        for q in (0.1, 0.5, 0.9):
            np.testing.assert_allclose(
                np.quantile(mapped, q, axis=0), np.quantile(reference, q, axis=0), atol=0.02
            )
        np.testing.assert_array_equal(mapped.argsort(axis=0), own.argsort(axis=0))

    def test_equal_distributions_change_nothing(self, generator):
        values = generator.normal(size=(300, 2)).astype(np.float32)
        same = quantiles(values)
        np.testing.assert_allclose(equalise(values, same, same), values, atol=1e-6)

    def test_beyond_the_range_the_reference_ends(self):
        own = quantiles(np.array([[0.0], [1.0]]), n=2)
        reference = np.array([[5.0], [9.0]], np.float32)
        mapped = equalise(np.array([[-7.0], [4.0]]), own, reference)
        np.testing.assert_array_equal(mapped, [[5.0], [9.0]])

    def test_a_repeated_value_goes_to_the_middle_of_its_step(self):
        own = np.array([[0.0], [0.0], [0.0], [1.0]], np.float32)
        reference = np.array([[0.0], [1.0], [2.0], [3.0]], np.float32)
        assert equalise(np.array([[0.0]]), own, reference)[0, 0] == pytest.approx(1.0)

    @pytest.mark.parametrize("shape", [(0, 3), (5,)], ids=str)
    def test_no_items_have_no_quantiles(self, shape):
        with pytest.raises(FeatureError, match="shape"):
            quantiles(np.zeros(shape))

    def test_other_sizes_are_refused(self):
        with pytest.raises(FeatureError, match="as many"):
            equalise(np.zeros((3, 2)), np.zeros((10, 2)), np.zeros((9, 2)))


class TestViews:
    def test_tempo_takes_its_factors_in_turn(self, generator):
        tempo = Tempo(factors=(0.5, 2.0))
        sizes = [
            tempo.for_view(view).apply(tone(200.0), RATE, generator).size / tone(200.0).size
            for view in range(3)
        ]
        assert sizes == pytest.approx([2.0, 0.5, 2.0], rel=1e-3)

    def test_without_factors_every_view_is_drawn(self):
        assert Tempo().for_view(3) == Tempo()

    @pytest.mark.parametrize("factors", [(0.0,), (9.0,)])
    def test_refuses_factors_out_of_range(self, factors):
        with pytest.raises(ValidationError, match="factors"):
            Tempo(factors=factors)
