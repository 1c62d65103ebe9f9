"""Pitch, voice quality, formants and linear prediction: known signals, and the references."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ullim.features.lpc import Formants, Lpcc, levinson
from ullim.features.pitch import Pitch, best_path
from ullim.features.prosody import ModulationSpectrum, Pitch56, VoiceQuality
from ullim.types import FloatArray

RATES = [8_000, 16_000, 22_050, 44_100, 96_000]


def tone(f0_hz: float, rate: int = 16_000, duration_s: float = 0.5, harmonics: int = 8):
    t = np.arange(round(duration_s * rate)) / rate
    kept = [k for k in range(1, harmonics + 1) if k * f0_hz < 0.45 * rate]
    return np.asarray(sum(np.sin(2 * np.pi * k * f0_hz * t) / k for k in kept), np.float32)


class TestPitch:
    @pytest.mark.parametrize("rate", RATES)
    @pytest.mark.parametrize("f0_hz", [70.0, 110.0, 220.0, 440.0, 580.0])
    def test_f0_of_a_tone_at_every_rate(self, f0_hz, rate):
        found = Pitch(sampling_rate=rate, hop_length=rate // 100).extract(tone(f0_hz, rate))
        middle = found[5:-5]
        np.testing.assert_allclose(middle[:, 0], f0_hz, rtol=0.01)
        assert (middle[:, 1] > 0.9).all()

    def test_silence_and_constants_are_unvoiced_at_the_floor(self):
        for signal in (np.zeros(8000, np.float32), np.full(8000, 0.3, np.float32)):
            found = Pitch().extract(signal)
            assert not found[:, 0].any()
            assert (found[:, 1] < 1e-3).all()
            np.testing.assert_array_equal(found[:, 2], -120.0)

    def test_noise_is_mostly_unvoiced(self, generator):
        noise = generator.standard_normal(32_000).astype(np.float32)
        assert (Pitch().extract(noise)[:, 0] > 0).mean() < 0.1

    def test_a_full_scale_sine_is_at_minus_three_decibels(self):
        sine = np.sin(2 * np.pi * 200 * np.arange(16_000) / 16_000).astype(np.float32)
        np.testing.assert_allclose(Pitch().extract(sine)[10:-10, 2], -3.01, atol=0.05)

    @given(gain_db=st.floats(-40.0, 40.0))
    @settings(max_examples=10, deadline=None)
    def test_gain_moves_the_level_alone(self, gain_db, make_speech):
        signal = make_speech(0.6)
        before = Pitch().extract(signal)
        after = Pitch().extract(signal * np.float32(10 ** (gain_db / 20)))
        np.testing.assert_allclose(after[:, 0], before[:, 0], rtol=1e-3)
        np.testing.assert_allclose(after[:, 1], before[:, 1], atol=1e-3)
        np.testing.assert_allclose(after[:, 2] - before[:, 2], gain_db, atol=0.01)

    def test_the_contour_of_a_glide(self):
        rate, t = 16_000, np.arange(16_000) / 16_000
        f0_hz = 100 * 2**t
        phase = 2 * np.pi * np.cumsum(f0_hz) / rate
        signal = sum(np.sin(k * phase) / k for k in range(1, 9)).astype(np.float32)
        found = Pitch().extract(signal)[5:-5, 0]
        np.testing.assert_allclose(found, f0_hz[::160][5 : 5 + len(found)], rtol=0.02)

    @pytest.mark.parametrize(("low", "high"), [(200.0, 100.0), (100.0, 100.0)])
    def test_a_range_out_of_order_is_refused(self, low, high):
        with pytest.raises(ValidationError, match="does not lie in order"):
            Pitch(f_min_hz=low, f_max_hz=high)

    def test_a_range_beyond_a_quarter_of_the_rate_is_refused(self):
        with pytest.raises(ValidationError, match="quarter of the sampling rate, 1000"):
            Pitch(sampling_rate=4_000, f_max_hz=1_500.0)

    def test_against_praat(self, make_speech):
        parselmouth = pytest.importorskip("parselmouth")
        signal = make_speech(2.0)
        theirs = parselmouth.Sound(signal.astype(float), 16_000).to_pitch_ac(
            time_step=0.01, pitch_floor=60, pitch_ceiling=600
        )
        ours = Pitch().extract(signal)[:, 0]
        at = np.array([theirs.get_value_at_time(0.01 * n) for n in range(len(ours))])
        both = (ours > 0) & np.isfinite(at)
        assert both.mean() > 0.4
        # The ends of voiced stretches depend on the length of the window.
        off = np.abs(ours[both] / at[both] - 1)
        assert np.quantile(off, 0.95) < 0.01
        assert off.max() < 0.05

    @pytest.mark.slow
    @pytest.mark.corpora
    @pytest.mark.parametrize("name", ["ravdess", "emodb"])
    def test_gross_errors_against_pyin_on_real_speech(self, name, corpora_root):
        librosa = pytest.importorskip("librosa")
        from ullim import registry
        from ullim.audio import read

        rows = registry.component("corpora", name)().load(corpora_root / name)
        errors: list[FloatArray] = []
        for row in rows[:: len(rows) // 15]:
            signal = read(row.file, sampling_rate=16_000)
            ours = Pitch().extract(signal)[:, 0]
            theirs, voiced, _ = librosa.pyin(
                signal, fmin=60, fmax=600, sr=16_000, frame_length=1024, hop_length=160
            )
            n = min(len(ours), len(theirs))
            both = (ours[:n] > 0) & voiced[:n]
            errors.append(np.abs(ours[:n][both] / theirs[:n][both] - 1) > 0.2)
        assert np.concatenate(errors).mean() < 0.03


class TestBestPath:
    @given(seed=st.integers(0, 10_000), n=st.integers(1, 9), states=st.integers(1, 3))
    @settings(max_examples=60, deadline=None)
    def test_no_path_is_better(self, seed, n, states):
        generator = np.random.default_rng(seed)
        local = generator.standard_normal((states, n))
        moves = generator.standard_normal((states, states, n - 1))

        def total(path):
            steps = sum(moves[a, b, i] for i, (a, b) in enumerate(itertools.pairwise(path)))
            return steps + sum(local[state, i] for i, state in enumerate(path))

        best = max(total(path) for path in itertools.product(range(states), repeat=n))
        assert total(best_path(local, moves)) == pytest.approx(best)


def resonant(formants_hz: list[float], rate: int = 16_000, f0_hz: float = 100.0) -> FloatArray:
    """Return pulses, 6 dB per octave down, through resonators 80 Hz wide."""
    signal = np.zeros(rate // 2)
    signal[:: round(rate / f0_hz)] = 1.0
    for n in range(1, len(signal)):
        signal[n] += 0.97 * signal[n - 1]
    for hz in formants_hz:
        radius = np.exp(-np.pi * 80 / rate)
        a, b = 2 * radius * np.cos(2 * np.pi * hz / rate), -(radius**2)
        out = np.zeros_like(signal)
        for n in range(len(signal)):
            out[n] = signal[n] + a * out[n - 1] + b * out[n - 2]
        signal = out
    return (signal / np.abs(signal).max()).astype(np.float32)


class TestLinearPrediction:
    @pytest.mark.parametrize("order", [1, 2, 8, 16])
    def test_levinson_solves_the_normal_equations(self, order, generator):
        signals = generator.standard_normal((20, 200))
        full = np.array([np.correlate(x, x, "full")[199 : 200 + order] for x in signals])
        for solved, r in zip(levinson(full), full, strict=True):
            matrix = r[np.abs(np.subtract.outer(np.arange(order), np.arange(order)))]
            np.testing.assert_allclose(solved[1:], np.linalg.solve(matrix, -r[1:]), atol=1e-6)

    def test_lpcc_is_the_cepstrum_of_the_model(self, make_speech):
        feature = Lpcc(order=10, n_lpcc=20)
        signal = make_speech(0.4)
        found = feature.extract(signal)
        predictors, heard = feature._predictors(signal)
        envelope = -np.log(np.abs(np.fft.rfft(predictors, 8192, axis=1)))
        cepstra = 2 * np.fft.irfft(envelope, axis=1)[:, 1:21]
        np.testing.assert_allclose(found[heard], cepstra, atol=1e-3)

    def test_formants_of_a_vowel(self):
        truth = [500.0, 1500.0, 2500.0, 3500.0, 4500.0]
        found = Formants(n_formants=3).extract(resonant(truth))[10:-10, ::2]
        np.testing.assert_allclose(np.median(found, axis=0), truth[:3], rtol=0.03)

    def test_formants_against_praat(self):
        parselmouth = pytest.importorskip("parselmouth")
        signal = resonant([700.0, 1200.0, 2600.0, 3400.0, 4600.0])
        sound = parselmouth.Sound(signal.astype(float), 16_000)
        theirs = sound.to_formant_burg(time_step=0.01, maximum_formant=5500)
        at = [[theirs.get_value_at_time(k, 0.01 * n) for k in (1, 2, 3)] for n in range(15, 35)]
        ours = Formants().extract(signal)[15:35, ::2]
        np.testing.assert_allclose(np.median(ours, axis=0), np.median(at, axis=0), rtol=0.03)

    @pytest.mark.parametrize("cls", [Lpcc, Formants])
    def test_gain_changes_nothing_and_silence_is_zero(self, cls, make_speech):
        signal = make_speech(0.3)
        loud, quiet = cls().extract(signal), cls().extract(signal * np.float32(0.01))
        np.testing.assert_allclose(loud, quiet, rtol=1e-2, atol=1e-2)
        assert not cls().extract(np.zeros(4000, np.float32)).any()

    def test_more_formants_than_the_order_has_room_for_are_refused(self):
        with pytest.raises(ValidationError, match="4 formants need an order of 8"):
            Formants(n_formants=4, order=6)


class TestPitch56:
    def test_statistics_of_a_glide(self):
        rate, t = 16_000, np.arange(16_000) / 16_000
        phase = 2 * np.pi * np.cumsum(100 + 100 * t) / rate
        signal = sum(np.sin(k * phase) / k for k in range(1, 9)).astype(np.float32)
        feature = Pitch56()
        values = dict(zip(feature.names, feature.extract(signal)[0].tolist(), strict=True))
        assert values["f0_mean"] == pytest.approx(150, rel=0.02)
        assert values["f0_slope"] == pytest.approx(1.0, rel=0.05)
        assert values["delta_f0_mean"] == pytest.approx(1.0, rel=0.05)
        assert values["f0_range"] == pytest.approx(100, rel=0.06)
        assert values["f0_iqr"] == pytest.approx(50, rel=0.05)
        assert values["log_f0_mean"] == pytest.approx(np.log(150), rel=0.01)
        assert values["segment_f0_mean"] == pytest.approx(150, rel=0.02)
        assert values["segment_f0_std"] == 0

    def test_56_names(self):
        assert len(set(Pitch56().names)) == Pitch56().n_features == 56

    def test_noise_alone_gives_finite_values_and_silence_zeros(self, generator):
        noise = generator.standard_normal(8000).astype(np.float32)
        assert np.isfinite(Pitch56().extract(noise)).all()
        assert not Pitch56().extract(np.zeros(8000, np.float32)).any()


class TestVoiceQuality:
    @pytest.mark.parametrize("jitter", [0.0, 0.005, 0.01])
    def test_jitter_of_pulses_with_known_periods(self, jitter, generator):
        rate, periods = 16_000, 120 * (1 + jitter * generator.choice([-1.0, 1.0], 200))
        t = np.arange(int(periods.sum())) / rate
        starts = np.concatenate([[0], np.cumsum(periods)])[:-1] / rate
        signal = sum(np.exp(-(((t - start) / 6e-4) ** 2)) for start in starts)
        truth = np.abs(np.diff(periods)).mean() / periods.mean()
        values = dict(
            zip(VoiceQuality().names, VoiceQuality().extract(signal.astype(np.float32))[0],
                strict=True)
        )  # fmt: skip
        assert values["jitter"] == pytest.approx(truth, rel=0.2, abs=0.003)
        assert values["shimmer"] < 0.02
        assert values["voiced_share"] > 0.9

    def test_shimmer_of_pulses_with_known_heights(self, generator):
        t, height = np.arange(24_000) / 16_000, 1 + 0.1 * generator.choice([-1.0, 1.0], 200)
        starts = np.arange(200) * 120 / 16_000
        signal = sum(
            h * np.exp(-(((t - s) / 6e-4) ** 2)) for h, s in zip(height, starts, strict=True)
        )
        found = VoiceQuality().extract(signal.astype(np.float32))[0]
        truth = np.abs(np.diff(height)).mean() / height.mean()
        assert found[2] == pytest.approx(truth, rel=0.15)

    def test_noise_lowers_the_ratio_of_harmonics(self, generator):
        clean = tone(150.0, duration_s=1.0)
        ratios = []
        for level in (0.01, 0.1, 0.3):
            noise = generator.standard_normal(len(clean)).astype(np.float32)
            ratios.append(VoiceQuality().extract(clean + level * noise)[0, 4])
        assert ratios[0] > ratios[1] > ratios[2]

    @pytest.mark.parametrize("syllables_hz", [3.0, 5.0])
    def test_syllables_are_counted(self, syllables_hz):
        t = np.arange(32_000) / 16_000
        envelope = np.square(np.sin(np.pi * syllables_hz * t)).astype(np.float32)
        found = VoiceQuality().extract(tone(140.0, duration_s=2.0) * envelope)[0, -1]
        assert found == pytest.approx(syllables_hz, abs=0.6)


class TestModulationSpectrum:
    @pytest.mark.parametrize(("hz", "octave"), [(4.0, 0), (8.0, 1), (16.0, 2), (32.0, 3)])
    def test_the_octave_of_the_envelope_is_the_strongest(self, hz, octave):
        t = np.arange(32_000) / 16_000
        signal = np.sin(2 * np.pi * 1000 * t) * (1 + 0.9 * np.sin(2 * np.pi * hz * t))
        energy = ModulationSpectrum().extract(signal.astype(np.float32)).reshape(19, 5)
        assert energy.max(axis=0).argmax() == octave

    def test_gain_changes_nothing(self, make_speech):
        signal = make_speech(1.0)
        before, after = (ModulationSpectrum().extract(signal * np.float32(g)) for g in (1, 0.01))
        np.testing.assert_allclose(before, after, atol=0.05)
