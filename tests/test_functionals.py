"""The functionals: named, indifferent to gain and to silence, and telling of what they name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ullim.features._frames import delta_repeating
from ullim.features.functionals import Functionals, _statistics
from ullim.types import FloatArray


def values(signal: FloatArray, **parameters) -> dict[str, float]:
    feature = Functionals(**parameters)
    return dict(zip(feature.names, feature.extract(signal)[0].tolist(), strict=True))


class TestNames:
    def test_every_column_has_its_own(self):
        names = Functionals().names
        assert len(names) == len(set(names)) == Functionals().n_features

    @pytest.mark.parametrize("rate", [4_000, 8_000, 22_050, 44_100, 96_000])
    def test_every_rate_gives_all_of_them(self, rate, make_speech):
        result = Functionals(sampling_rate=rate).extract(make_speech(0.6, rate))
        assert result.shape == (1, Functionals().n_features)
        assert np.isfinite(result).all()

    def test_rates_that_hold_the_band_agree(self, make_speech):
        import soxr

        signal = make_speech(1.0, 48_000)
        low = soxr.resample(signal, 48_000, 16_000)
        a, b = values(signal, sampling_rate=48_000), values(low)
        for name in ("voiced_f0_mean", "voiced_f0_p80", "voiced_mfcc02_mean", "voiced_hnr_mean"):
            assert a[name] == pytest.approx(b[name], rel=0.1, abs=0.5)


class TestInvariance:
    @given(gain_db=st.floats(-60.0, 60.0))
    @settings(max_examples=10, deadline=None)
    def test_gain_changes_nothing(self, gain_db, make_speech):
        signal = make_speech(1.0)
        gain = np.float32(10 ** (gain_db / 20))
        before, after = Functionals().extract(signal), Functionals().extract(gain * signal)
        np.testing.assert_allclose(after, before, rtol=5e-3, atol=5e-3)

    @given(before=st.integers(0, 20_000), after=st.integers(0, 20_000))
    @settings(max_examples=10, deadline=None)
    def test_digital_silence_at_the_ends_changes_nothing_at_all(self, before, after, make_speech):
        signal = make_speech(1.0)
        padded = np.pad(signal, (before, after))
        np.testing.assert_array_equal(Functionals().extract(padded), Functionals().extract(signal))

    def test_quiet_noise_at_the_ends_changes_little(self, make_speech, generator):
        signal = make_speech(1.5)
        fade = np.minimum(1, np.arange(len(signal)) / 1600).astype(np.float32)
        signal *= fade * fade[::-1]
        noise = 1e-5 * generator.standard_normal(2 * 8000).astype(np.float32)
        padded = np.concatenate([noise[:8000], signal, noise[8000:]])
        alone, beside = values(signal), values(padded)
        for name, value in alone.items():
            # Two frames beside the first and the last loud one count as active too.
            if name.endswith("_mean") and name.startswith("voiced"):
                assert beside[name] == pytest.approx(value, rel=0.02, abs=0.2), name
        assert beside["active_share"] == pytest.approx(alone["active_share"], abs=0.04)

    def test_a_constant_offset_changes_little(self, make_speech):
        signal = make_speech(1.0)
        a, b = values(signal), values(signal + np.float32(0.05))
        for name in ("voiced_f0_mean", "voiced_mfcc01_mean", "voiced_hnr_mean"):
            assert a[name] == pytest.approx(b[name], rel=0.05, abs=0.3)


class TestDegenerate:
    @pytest.mark.parametrize("n", [1, 2, 50, 159, 400, 801])
    def test_shorter_than_a_window(self, n, generator):
        signal = generator.standard_normal(n).astype(np.float32)
        assert np.isfinite(Functionals().extract(signal)).all()

    def test_silence_and_constants_give_zeros(self):
        for level in (0.0, 0.25, -1.0):
            assert not Functionals().extract(np.full(16_000, level, np.float32)).any()

    def test_a_gap_of_digital_silence(self, make_speech):
        signal = make_speech(1.5)
        signal[8_000:14_000] = 0
        found = values(signal)
        assert all(np.isfinite(value) for value in found.values())
        assert found["pauses_per_s"] > 0
        assert found["pause_length_max"] > 0.25

    def test_noise_has_no_pitch(self, generator):
        found = values(generator.standard_normal(16_000).astype(np.float32))
        assert found["voiced_share"] < 0.1

    def test_no_voiced_frame_falls_back_on_the_active_ones(self, generator):
        noise = np.cumsum(np.square(generator.standard_normal(800))).astype(np.float32)
        found = values(noise)
        if found["voiced_share"] == 0:
            assert found["voiced_f0_mean"] == 0
            assert found["voiced_mel10_mean"] == found["active_mel10_mean"]


class TestMeaning:
    @pytest.mark.parametrize("f0_hz", [100.0, 200.0, 300.0])
    def test_f0_is_in_semitones_from_200_hz(self, f0_hz):
        t = np.arange(16_000) / 16_000
        tone = sum(np.sin(2 * np.pi * k * f0_hz * t) / k for k in range(1, 9))
        found = values(tone.astype(np.float32))
        assert found["voiced_f0_mean"] == pytest.approx(12 * np.log2(f0_hz / 200), abs=0.15)
        assert found["voiced_f0_std"] < 0.2
        assert found["jitter_mean"] < 0.01
        assert found["voiced_share"] > 0.9

    def test_a_rising_pitch_has_a_rising_slope(self):
        t = np.arange(16_000) / 16_000
        phase = 2 * np.pi * np.cumsum(120 * 2**t) / 16_000
        signal = sum(np.sin(k * phase) / k for k in range(1, 9)).astype(np.float32)
        found = values(signal)
        assert found["voiced_f0_slope"] == pytest.approx(12, rel=0.1)
        assert found["voiced_delta_f0_mean"] == pytest.approx(12, rel=0.1)
        assert found["voiced_delta_f0_rising_share"] > 0.9

    def test_brighter_sound_has_a_higher_centroid_and_a_lower_alpha(self, make_speech):
        dull, bright = values(make_speech(1.0, tilt=2.0)), values(make_speech(1.0, tilt=0.5))
        assert bright["voiced_centroid_mean"] > dull["voiced_centroid_mean"]
        assert bright["voiced_alpha_mean"] < dull["voiced_alpha_mean"]
        assert bright["voiced_hammarberg_mean"] < dull["voiced_hammarberg_mean"]

    def test_faster_syllables_have_more_peaks_and_faster_modulation(self):
        t = np.arange(48_000) / 16_000
        tone = sum(np.sin(2 * np.pi * 150 * k * t) / k for k in range(1, 9))
        slow, fast = (
            values((tone * (0.55 + 0.45 * np.sin(2 * np.pi * hz * t))).astype(np.float32))
            for hz in (3, 7)
        )
        assert slow["peaks_per_s"] == pytest.approx(3, abs=0.5)
        assert fast["peaks_per_s"] == pytest.approx(7, abs=0.5)
        assert slow["modulation_level_2hz"] > slow["modulation_level_6hz"] + 1
        assert fast["modulation_level_6hz"] > fast["modulation_level_2hz"] + 1


class TestStatistics:
    def test_against_numpy(self, generator):
        table = generator.gamma(2.0, size=(201, 3)).astype(np.float32)
        wanted = ("mean", "std", "abs", "p5", "p50", "p95", "skew", "slope")
        found = dict(zip(wanted, _statistics(table, wanted).reshape(len(wanted), 3), strict=True))
        np.testing.assert_allclose(found["mean"], table.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(found["std"], table.std(axis=0), rtol=1e-4)
        np.testing.assert_allclose(found["abs"], np.abs(table).mean(axis=0), rtol=1e-5)
        for name, q in (("p5", 5), ("p50", 50), ("p95", 95)):
            np.testing.assert_array_equal(found[name], np.percentile(table, q, axis=0))
        z = (table - table.mean(axis=0)) / table.std(axis=0)
        np.testing.assert_allclose(found["skew"], (z**3).mean(axis=0), rtol=1e-3)
        fitted = np.polyfit(np.arange(201), table, 1)[0] * 200
        np.testing.assert_allclose(found["slope"], fitted, rtol=1e-3, atol=1e-5)

    def test_of_one_frame(self):
        row = np.array([[2.0, -1.0]], np.float32)
        found = _statistics(row, ("mean", "std", "skew", "slope", "p95"))
        np.testing.assert_array_equal(found, [2, -1, 0, 0, 0, 0, 0, 0, 2, -1])

    def test_delta_of_a_ramp(self):
        ramp = np.arange(20, dtype=np.float32)[:, None] * np.array([1.0, -2.0], np.float32)
        np.testing.assert_allclose(
            delta_repeating(ramp)[2:-2], np.tile([1.0, -2.0], (16, 1)), rtol=1e-6
        )
