"""How clips are cut: offset and padding, in training, in the store's keys and in the predictor."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ullim.features.spectral import LogMel
from ullim.inference.predictor import Predictor
from ullim.window import Window

RATE = 16_000


def test_what_training_hears_of_a_clip_as_the_common_template_does():
    """``librosa.load(duration=2.5, offset=0.5)``, then zeros up to 2.5 s."""
    rule = Window(length_s=2.5, offset_s=0.5, padding="silence")
    signal = np.arange(1, 10 * RATE + 1, dtype=np.float32)
    long = rule.excerpt(signal, RATE)
    np.testing.assert_array_equal(long, signal[RATE // 2 : 3 * RATE])
    short = rule.excerpt(signal[: 2 * RATE], RATE)
    np.testing.assert_array_equal(short[: 3 * RATE // 2], signal[RATE // 2 : 2 * RATE])
    assert short.shape == long.shape
    assert not short[3 * RATE // 2 :].any()
    assert short.dtype == np.float32


@given(
    n=st.integers(1, 90),
    offset=st.integers(0, 60),
    length=st.integers(1, 60),
    padding=st.sampled_from(["none", "silence"]),
)
@settings(deadline=None)
def test_no_clip_is_lost_and_maps_have_one_size(n, offset, length, padding):
    rule = Window(length_s=length, offset_s=offset, padding=padding)
    signal = np.arange(1, n + 1, dtype=np.float32)
    heard = rule.excerpt(signal, 1)
    assert heard[0] == (offset + 1 if offset < n else 1)
    if padding == "silence":
        assert len(heard) == length
    else:
        np.testing.assert_array_equal(heard, signal[offset:] if offset < n else signal)
    assert rule.fill(signal, 1).size == (max(n, length) if padding == "silence" else n)


def test_rules_that_cut_nothing_keep_the_keys_of_before():
    """The store's keys are made of these; a key that changes throws away what was computed."""
    assert Window().facts() == {"mode": "crop", "length_s": 4.0, "hop_s": 1.0}
    assert not Window(mode="whole").cuts_clips
    fixed = Window(offset_s=0.5, padding="silence")
    assert fixed.cuts_clips
    assert fixed.facts() == Window().facts() | {"offset_s": 0.5, "padding": "silence"}


def test_a_whole_clip_has_no_length_to_pad_to():
    with pytest.raises(ValidationError, match="padding"):
        Window(mode="whole", padding="silence")


def test_the_predictor_pads_but_never_cuts_a_users_clip(make_bundle, make_speech, tmp_path):
    """Zeros fed by hand are the same question; the offset changes nothing."""
    window = Window(length_s=2.0, hop_s=1.0, offset_s=0.7, padding="silence")
    predictor = Predictor.from_folder(make_bundle(tmp_path / "fixed", window=window))
    clip = make_speech(1.1)
    features = []
    extract = LogMel.extract
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LogMel, "extract", lambda self, x: features.append(x) or extract(self, x))
        prediction = predictor.predict(clip, RATE)
        predictor.predict(make_speech(4.5), RATE)
    np.testing.assert_array_equal(features[0][: clip.size], clip)
    assert {window.size for window in features} == {2 * RATE}
    assert len(features) == 1 + 4
    assert prediction.segments[-1].end_s == pytest.approx(1.1)


def test_what_a_corpus_is_prepared_as_is_its_excerpt(make_speech, tmp_path):
    """And another offset is another key of the store."""
    pytest.importorskip("torch")
    from ullim.features.cache import FeatureStore
    from ullim.recipes.prepared import prepare
    from ullim.recipes.schema import load_recipe
    from ullim.types import Utterance, Vote

    signal = make_speech(1.3)
    soundfile.write(tmp_path / "clip.wav", signal, RATE, subtype="FLOAT")
    vote = Vote("actor", "anger")
    clip = Utterance("1", tmp_path / "clip.wav", corpus="toy", speaker="a", votes=(vote,))
    store = FeatureStore(tmp_path / "store")
    for offset_s in (0.25, 0.5):
        window = f"window={{length_s: 2.0, offset_s: {offset_s}, padding: silence}}"
        recipe = load_recipe("cnn-emodb", overrides=["views=0", "augmentation=[]", window])
        prepared = prepare(recipe, [clip], store=store, progress=lambda *_: None)
        (feature,) = recipe.features
        heard = recipe.window.excerpt(signal, RATE)
        assert heard.size == 2 * RATE
        (values,) = (prepared.views[0][feature.name][0],)
        np.testing.assert_allclose(values, feature.extract(heard), atol=1e-3)
