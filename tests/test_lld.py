"""The 32 descriptors: what they are on known signals, and openSMILE's own, frame for frame."""

from __future__ import annotations

import numpy as np
import pytest

from ullim.features.lld import Lld32, _lagged, _setup, _steadied
from ullim.types import FloatArray


def columns(signal: FloatArray, **parameters) -> dict[str, FloatArray]:
    feature = Lld32(**parameters)
    return dict(zip(feature.names, feature.extract(signal).T, strict=True))


class TestLld32:
    def test_names(self):
        names = Lld32().names
        assert len(set(names)) == Lld32().n_features == 32
        assert names[16:] == tuple(f"{name}_delta" for name in names[:16])

    @pytest.mark.parametrize("rate", [4_000, 8_000, 22_050, 44_100, 96_000])
    def test_frames_are_25_ms_every_10_ms_at_every_rate(self, rate):
        feature = Lld32(sampling_rate=rate)
        frame, hop = round(0.025 * rate), round(0.01 * rate)
        for n in (frame, frame + hop - 1, frame + hop, frame + 10 * hop):
            result = feature.extract(np.full(n, 0.1, np.float32))
            assert len(result) == 1 + (n - frame) // hop
            assert np.isfinite(result).all()

    def test_silence_gives_zeros_but_for_crossings(self):
        found = columns(np.zeros(8000, np.float32))
        # Zero beside zero counts as a crossing, as in the reference.
        np.testing.assert_allclose(found.pop("zcr"), 398 / 400)
        assert not any(values.any() for values in found.values())

    @pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
    def test_pulses_are_voiced_at_their_rate(self, rate):
        signal = np.zeros(rate, np.float32)
        signal[:: rate // 125] = 0.5
        found = columns(signal, sampling_rate=rate)
        np.testing.assert_allclose(found["f0"][5:-5], 125, rtol=0.02)
        assert (found["voicing"][5:-5] > 0.55).all()

    def test_crossings_of_a_sine(self):
        sine = np.sin(2 * np.pi * 1000 * (np.arange(16_000) + 0.3) / 16_000).astype(np.float32)
        np.testing.assert_allclose(columns(sine)["zcr"], 2 * 1000 / 16_000, atol=0.005)

    def test_crossings_at_samples_that_are_zero(self):
        square = np.tile(np.repeat([0.0, 1.0, 0.0, -1.0], 1), 4000).astype(np.float32)
        np.testing.assert_allclose(columns(square)["zcr"], 0.5, atol=0.01)

    def test_gain_moves_energy_alone(self, make_speech):
        signal = make_speech(0.5)
        before, after = columns(signal), columns(2 * signal)
        np.testing.assert_allclose(after["rms"], 2 * before["rms"], rtol=1e-4)
        for name in ("voicing", "zcr"):
            np.testing.assert_allclose(after[name], before[name], atol=1e-3)

    def test_differences_of_a_ramp_in_level(self):
        ramp = np.linspace(0, 1, 16_000) * np.sin(np.arange(16_000) * 0.5)
        delta = columns(ramp.astype(np.float32))["rms_delta"]
        assert (delta[5:-5] > 0).all()

    def test_half_the_lags_give_all(self, generator):
        power = generator.random((7, 257)).astype(np.float32)
        found = _lagged(power[:, 0::2], power[:, 1::2], _setup(16_000))
        np.testing.assert_allclose(found, np.fft.irfft(power, axis=1)[:, :256], atol=1e-5)

    def test_a_single_voiced_frame_is_dropped_and_a_leap_is_drawn_in(self):
        lone = np.array([0, 0, 120, 0, 0, 0], np.float32)
        assert not _steadied(lone).any()
        leap = np.array([0, 100, 100, 100, 300, 100, 100, 0, 0], np.float32)
        assert _steadied(leap).max() < 150


def held_against_opensmile(signals: list[FloatArray]) -> None:
    """Assert that what the task asks for holds, with room to spare."""
    opensmile = pytest.importorskip("opensmile")
    levels = opensmile.FeatureLevel
    lld = opensmile.Smile(opensmile.FeatureSet.IS09, levels.LowLevelDescriptors)
    deltas = opensmile.Smile(opensmile.FeatureSet.IS09, levels.LowLevelDescriptors_Deltas)
    pairs = []
    for signal in signals:
        # The reference rounds to 16 bits.
        signal = (np.round(signal * 32_768) / 32_768).astype(np.float32)
        ours = Lld32().extract(signal)
        n = len(ours)
        theirs = [side.process_signal(signal, 16_000).to_numpy()[:n] for side in (lld, deltas)]
        pairs.append((ours[2:-3], np.concatenate(theirs, axis=1)[2:-3]))
    ours, theirs = (np.concatenate(side) for side in zip(*pairs, strict=True))
    correlation = [np.corrcoef(ours[:, k], theirs[:, k])[0, 1] for k in range(32)]
    np.testing.assert_array_less(0.999, correlation)
    np.testing.assert_allclose(ours[:, :15], theirs[:, :15], atol=2e-3)
    assert ((ours[:, 15] > 0) == (theirs[:, 15] > 0)).mean() > 0.99
    np.testing.assert_allclose(ours[:, 15], theirs[:, 15], atol=0.1)


class TestAgainstOpensmile:
    def test_on_synthetic_speech(self, make_speech):
        held_against_opensmile([make_speech(1.5, f0_hz=f0_hz) for f0_hz in (110.0, 210.0)])

    @pytest.mark.slow
    @pytest.mark.corpora
    @pytest.mark.parametrize("name", ["ravdess", "emodb", "emotiontts_ko"])
    def test_on_real_speech(self, name, corpora_root):
        from ullim import registry
        from ullim.audio import read

        rows = registry.component("corpora", name)().load(corpora_root / name)
        chosen = rows[:: len(rows) // 10]
        held_against_opensmile([read(row.file, sampling_rate=16_000) for row in chosen])
