"""Embeddings equal the libraries' own forward pass, and wav2vec learns; all on tiny networks."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from ullim import registry
from ullim.errors import FeatureError, MissingExtraError, TrainingError
from ullim.features import Feature
from ullim.features import embedding as module
from ullim.features.embedding import HfEncoder, Wav2Vec

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors", reason='needs pip install "ullim[ssl]"')
transformers = pytest.importorskip("transformers", reason='needs pip install "ullim[ssl]"')

from ullim.features import _wav2vec as networks  # noqa: E402
from ullim.features._wav2vec import BASE, LARGE, Shape, Wav2VecNetwork  # noqa: E402
from ullim.training.wav2vec import Contrast, Pretraining, pretrain  # noqa: E402

pytestmark = [
    # transformers' own, about itself
    pytest.mark.filterwarnings("ignore::FutureWarning:transformers.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:transformers.*"),
]

CONVOLUTIONS = {
    "conv_dim": (16, 16, 16),
    "conv_kernel": (10, 8, 4),
    "conv_stride": (5, 8, 8),
    "num_feat_extract_layers": 3,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
# The class, its configuration, and whether its normalisation is that of the large models.
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "wav2vec2": ("Wav2Vec2", CONVOLUTIONS),
    "xls-r": (
        "Wav2Vec2",
        CONVOLUTIONS
        | {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True},
    ),
    "hubert": ("Hubert", CONVOLUTIONS),
    "wavlm": ("WavLM", CONVOLUTIONS | {"num_buckets": 32, "max_bucket_distance": 64}),
    "data2vec": (
        "Data2VecAudio",
        CONVOLUTIONS | {"conv_pos_kernel_size": 3, "num_conv_pos_embeddings": 2},
    ),
    "whisper": (
        "Whisper",
        {
            "vocab_size": 60,
            "num_mel_bins": 20,
            "d_model": 24,
            "encoder_layers": 3,
            "decoder_layers": 1,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": 32,
            "decoder_ffn_dim": 32,
            "max_source_positions": 100,
            "max_target_positions": 8,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "decoder_start_token_id": 1,
        },
    ),
}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)
TINY = Shape(
    encoder=((16, 10, 5), (16, 8, 8), (16, 4, 4)),
    aggregator=((16, 2, 1), (24, 3, 1)),
    skip_connections=True,
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function that gives folder, model and preparation of a tiny random network."""
    made: dict[str, Any] = {}

    def make(kind: str) -> tuple[Path, Any, Any]:
        if kind not in made:
            family, settings = KINDS[kind]
            with torch.random.fork_rng():
                torch.manual_seed(1)
                config = getattr(transformers, f"{family}Config")(**settings)
                model = getattr(transformers, f"{family}Model")(config).eval()
            extractor = (
                # 2 s: 200 frames, which the second convolution halves
                transformers.WhisperFeatureExtractor(feature_size=20, chunk_length=2)
                if kind == "whisper"
                else transformers.Wav2Vec2FeatureExtractor(do_normalize=kind != "hubert")
            )
            folder = tmp_path_factory.mktemp(kind)
            model.save_pretrained(folder)
            extractor.save_pretrained(folder)
            made[kind] = folder, model, extractor
        return made[kind]

    return make


def states(model: Any, extractor: Any, signal: Any) -> list[Any]:
    """Return every hidden state of the library's own forward pass, (frames, width) each."""
    inputs = dict(extractor(signal, sampling_rate=16_000, return_tensors="pt"))
    inputs.pop("attention_mask", None)
    encoder = model.encoder if model.config.model_type == "whisper" else model
    with torch.no_grad():
        found = encoder(**inputs, output_hidden_states=True)
    assert torch.equal(found.hidden_states[-1], found.last_hidden_state)
    return [state[0].numpy() for state in found.hidden_states]


def valid(kind: str, signal: Any) -> int | None:
    return math.ceil(len(signal) / 320) if kind == "whisper" else None


class TestEncoders:
    @EVERY_KIND
    def test_equals_the_librarys_own_forward_pass(self, kind, tiny, make_speech):
        folder, model, extractor = tiny(kind)
        signal = make_speech(1.3)
        theirs = [state[: valid(kind, signal)] for state in states(model, extractor, signal)]
        weights = (0.5, -0.25, 2.0, 1.0)
        expected = {
            "last": theirs[-1],
            0: theirs[0],
            1: theirs[1],
            -2: theirs[2],
            "mean": np.mean(theirs, axis=0),
            weights: sum(w * state for w, state in zip(weights, theirs, strict=True)),
        }
        for layers, frames in expected.items():
            ours = HfEncoder(model=str(folder), layers=layers, pooling="mean-std")
            pooled = np.concatenate([frames.mean(axis=0), frames.std(axis=0)])
            result = ours.extract(signal)
            assert result.shape == (1, ours.n_features) == (1, 48)
            np.testing.assert_allclose(result[0], pooled, rtol=0, atol=1e-5)
            mean = HfEncoder(model=str(folder), layers=layers).extract(signal)
            np.testing.assert_array_equal(mean, result[:, :24])
        # The layers differ, so a wrong choice could not pass.
        assert np.abs(theirs[-1].mean(axis=0) - theirs[1].mean(axis=0)).max() > 1e-3

    @pytest.mark.parametrize("kind", ["wavlm", "whisper"])
    def test_a_long_clip_is_cut_into_equal_parts(self, kind, tiny, make_speech):
        folder, model, extractor = tiny(kind)
        signal = make_speech(3.1)
        parts = np.array_split(signal, 2)
        frames = np.concatenate(
            [states(model, extractor, part)[-1][: valid(kind, part)] for part in parts]
        )
        result = HfEncoder(model=str(folder), max_s=2.0).extract(signal)
        np.testing.assert_allclose(result[0], frames.mean(axis=0), rtol=0, atol=1e-5)

    def test_padding_of_whisper_is_left_out(self, tiny, make_speech):
        folder, model, extractor = tiny("whisper")
        signal = make_speech(0.5)
        frames = states(model, extractor, signal)[-1]
        result = HfEncoder(model=str(folder)).extract(signal)[0]
        assert len(frames) == 100
        np.testing.assert_allclose(result, frames[:25].mean(axis=0), rtol=0, atol=1e-5)
        assert np.abs(result - frames.mean(axis=0)).max() > 1e-3

    @pytest.mark.parametrize("layers", [4, -5, (1.0, 2.0)], ids=str)
    def test_layers_that_are_not_there_are_refused(self, layers, tiny):
        feature = HfEncoder(model=str(tiny("hubert")[0]), layers=layers)
        with pytest.raises(FeatureError, match=r"(?s)layers") as caught:
            feature.extract(np.zeros(16_000, np.float32))
        assert caught.value.code == "bad_layers"

    def test_weights_that_lack_a_part_are_refused_not_made_up(self, tiny, tmp_path):
        from safetensors.torch import load_file, save_file

        folder, _, _ = tiny("wavlm")
        for file in folder.iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
        state = load_file(tmp_path / "model.safetensors")
        state.pop("encoder.layers.1.feed_forward.output_dense.weight")
        save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(FeatureError, match="lacks weights") as caught:
            HfEncoder(model=str(tmp_path)).extract(np.zeros(16_000, np.float32))
        assert caught.value.code == "weights_unreadable"

    def test_a_text_model_is_refused(self, tmp_path):
        config = transformers.BertConfig(
            vocab_size=30,
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            intermediate_size=8,
        )
        transformers.BertModel(config).save_pretrained(tmp_path)
        transformers.Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
        with pytest.raises(FeatureError, match="not sound"):
            HfEncoder(model=str(tmp_path)).extract(np.zeros(16_000, np.float32))

    def test_a_folder_that_is_no_model_is_refused(self, tmp_path):
        feature = HfEncoder(model=str(tmp_path))
        with pytest.raises(FeatureError, match="cannot be used as a speech encoder"):
            feature.extract(np.zeros(16_000, np.float32))
        with pytest.raises(FeatureError, match=r"config\.json"):
            assert feature.n_features

    def test_no_folder_and_no_name_of_the_hub_is_refused(self, tmp_path):
        with pytest.raises(FeatureError, match="there is no folder") as caught:
            HfEncoder(model=str(tmp_path / "absent")).extract(np.zeros(16_000, np.float32))
        assert caught.value.code == "weights_missing"

    def test_a_name_is_fetched_from_the_hub_safetensors_first(self, tiny, monkeypatch, make_speech):
        import huggingface_hub

        folder, _, _ = tiny("hubert")
        asked = []

        def fetch(name: str, *, revision: str | None, allow_patterns: list[str]) -> str:
            asked.append((name, revision, allow_patterns))
            return str(folder)

        monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
        named = HfEncoder(model="somebody/tiny-hubert", revision="abc123").extract(make_speech())
        np.testing.assert_array_equal(named, HfEncoder(model=str(folder)).extract(make_speech()))
        assert [(name, revision) for name, revision, _ in asked] == [
            ("somebody/tiny-hubert", "abc123")
        ]
        assert not any("bin" in pattern for pattern in asked[0][2])

    def test_a_hub_out_of_reach_is_said_in_words(self, monkeypatch):
        import huggingface_hub
        from huggingface_hub.errors import LocalEntryNotFoundError

        def fetch(*args: Any, **kwargs: Any) -> str:
            raise LocalEntryNotFoundError("no connection, and nothing kept")

        monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
        with pytest.raises(FeatureError, match="no connection, and nothing kept") as caught:
            HfEncoder(model="somebody/elsewhere").identity()
        assert caught.value.code == "weights_missing"


class TestWav2Vec:
    def test_published_shapes(self):
        for shape in (BASE, LARGE):
            assert (shape.receptive_field, shape.hop) == (465, 160)
        # Convolutions, then two of 512 for each of the normalisations.
        encoder = 512 * 10 + 512 * 512 * (8 + 4 + 4 + 4) + 5 * 1024
        aggregator = 9 * (512 * 512 * 3 + 512 + 1024)
        with torch.device("meta"):
            base, large = Wav2VecNetwork(BASE), Wav2VecNetwork(LARGE)
        assert sum(p.numel() for p in base.parameters()) == encoder + aggregator == 12_344_832
        more = 2 * (512 * 512 + 1024) + 512 * 512 * sum(range(2, 14)) + 12 * (512 + 1024)
        assert sum(p.numel() for p in large.parameters()) == encoder + more
        # The contexts of the large network see 0.8 s, as the paper says.
        frames = 1 + sum(kernel - 1 for _, kernel, _ in LARGE.aggregator)
        assert (465 + (frames - 1) * 160) / 16_000 == pytest.approx(0.81, abs=0.01)

    def test_frames_and_widths(self):
        network = Wav2VecNetwork(Shape(encoder=BASE_NARROW, aggregator=((12, 3, 1),)))
        with torch.inference_mode():
            for n, frames in ((465, 1), (624, 1), (625, 2), (16_000, 98)):
                assert network.latents(torch.zeros(1, n)).shape == (1, 8, frames)
                assert network(torch.zeros(2, n)).shape == (2, 12, frames)

    def test_contexts_look_back_only(self):
        network = Wav2VecNetwork(TINY).eval()
        for block in network.aggregator:
            block.norm = torch.nn.Identity()  # it sees the whole clip, in the original too
        latents = torch.randn(1, 16, 30, generator=torch.Generator().manual_seed(0))
        later = latents.clone()
        later[:, :, 20:] += 1.0
        with torch.inference_mode():
            before, after = network.contexts(latents), network.contexts(later)
        assert torch.equal(before[:, :, :20], after[:, :, :20])
        assert (before[:, :, 20] != after[:, :, 20]).any()

    def test_a_checkpoint_of_fairseq_gives_what_its_layers_compute(self, tmp_path, make_speech):
        path, expected = fairseq_checkpoint(tmp_path, make_speech(0.8))
        for output, frames in expected.items():
            feature = Wav2Vec(path=path, output=output, pooling="mean-std")
            pooled = np.concatenate([frames.mean(axis=0), frames.std(axis=0)])
            result = feature.extract(make_speech(0.8))
            assert result.shape == (1, feature.n_features)
            np.testing.assert_allclose(result[0], pooled, rtol=0, atol=1e-5)

    def test_a_file_that_would_run_code_is_refused_and_runs_nothing(self, tmp_path):
        class Trap:
            def __reduce__(self) -> Any:
                return Path.touch, (tmp_path / "sprung",)

        path = tmp_path / "trap.pt"
        torch.save({"model": {}, "args": Trap()}, path)
        with pytest.raises(FeatureError, match="read safely") as caught:
            Wav2Vec(path=path).extract(np.zeros(16_000, np.float32))
        assert caught.value.code == "weights_unreadable"
        assert not (tmp_path / "sprung").exists()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"vq_type": "gumbel"}, "vq_type"),
            ({"aggregator": "gru"}, "aggregator"),
            ({"activation": "gelu"}, "activation"),
            ({"conv_feature_layers": "__import__('os').getcwd()"}, "not written out"),
            ({"conv_feature_layers": "[(16, 10, 0)]"}, "describe no network"),
        ],
        ids=str,
    )
    def test_other_networks_are_refused(self, change, message, tmp_path, make_speech):
        path, _ = fairseq_checkpoint(tmp_path, make_speech(0.2), **change)
        with pytest.raises(FeatureError, match=message) as caught:
            Wav2Vec(path=path).extract(make_speech(0.2))
        assert caught.value.code == "weights_unsupported"

    @pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
    @pytest.mark.parametrize("content", [b"", b"no weights at all", b"PK\x03\x04"], ids=repr)
    def test_damaged_and_absent_files_are_refused(self, name, content, tmp_path):
        feature = Wav2Vec(path=tmp_path / name)
        with pytest.raises(FeatureError, match="wav2vec_large") as caught:
            feature.extract(np.zeros(16_000, np.float32))
        assert caught.value.code == "weights_missing"
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FeatureError, match="read safely") as caught:
            feature.extract(np.zeros(16_000, np.float32))
        assert caught.value.code == "weights_unreadable"


BASE_NARROW = tuple((8, kernel, stride) for _, kernel, stride in BASE.encoder)


def fairseq_checkpoint(folder: Path, signal: Any, **change: Any) -> tuple[Path, dict[str, Any]]:
    """Write a checkpoint under fairseq's names, and compute its values layer by layer."""
    functional = torch.nn.functional
    generator = torch.Generator().manual_seed(3)

    def draw(*size: int) -> Any:
        return torch.randn(*size, generator=generator) / 3

    state: dict[str, Any] = {"wav2vec_predictions.project_to_steps.weight": draw(2, 2)}
    x, width = torch.from_numpy(signal)[None, None], 1
    for n, (channels, kernel, stride) in enumerate(TINY.encoder):
        root = f"feature_extractor.conv_layers.{n}"
        state |= {
            f"{root}.0.weight": (w := draw(channels, width, kernel)),
            f"{root}.2.weight": (gain := draw(channels)),
            f"{root}.2.bias": (bias := draw(channels)),
        }
        x = functional.group_norm(functional.conv1d(x, w, stride=stride), 1, gain, bias).relu()
        width = channels
    x = (x.abs() + 1).log()
    expected = {"latent": x[0].T.numpy()}
    for n, (channels, kernel, _) in enumerate(TINY.aggregator):
        root, kept = f"feature_aggregator.conv_layers.{n}", x
        state |= {
            f"{root}.1.weight": (w := draw(channels, width, kernel)),
            f"{root}.1.bias": (b := draw(channels)),
            f"{root}.3.weight": (gain := draw(channels)),
            f"{root}.3.bias": (bias := draw(channels)),
        }
        if channels != width:
            project = draw(channels, width, 1)
            state[f"feature_aggregator.residual_proj.{n}.weight"] = project
            kept = functional.conv1d(x, project)
        padded = torch.cat([x[..., :1].expand(-1, -1, kernel - 1), x], dim=2)
        y = functional.group_norm(functional.conv1d(padded, w, b), 1, gain, bias).relu()
        x, width = (y + kept) * math.sqrt(0.5), channels
    expected["context"] = x[0].T.numpy()
    args = {
        "arch": "wav2vec",
        "conv_feature_layers": str(list(TINY.encoder)),
        "conv_aggregator_layers": str(list(TINY.aggregator)),
        "skip_connections_agg": True,
        "residual_scale": 0.5,
        "log_compression": True,
    }
    path = folder / "wav2vec.pt"
    torch.save({"args": argparse.Namespace(**(args | change)), "model": state}, path)
    return path, expected


@pytest.fixture(params=["wav2vec", "hf-encoder"])
def feature(request: pytest.FixtureRequest, tiny: Any, tmp_path: Path) -> Feature:
    if request.param == "hf-encoder":
        return HfEncoder(model=str(tiny("data2vec")[0]))
    with torch.random.fork_rng():
        torch.manual_seed(2)
        networks.save(Wav2VecNetwork(TINY), tmp_path / "tiny.safetensors")
    return Wav2Vec(path=tmp_path / "tiny.safetensors")


class TestContract:
    """What tests/test_features.py holds every other feature to."""

    def test_only_these_need_something_said(self):
        needing = {n: cls.needs() for n, cls in registry.components("features").items()}
        assert {name: what for name, what in needing.items() if what} == {
            "wav2vec": ("path",),
            "hf-encoder": ("model",),
        }

    def test_a_row_for_each_clip_equal_each_time(self, feature, make_speech):
        for duration_s in (0.3, 1.1):
            signal = make_speech(duration_s)
            kept = signal.copy()
            result = feature.extract(signal)
            assert result.shape == (1, feature.n_features)
            assert result.dtype == np.float32
            assert result.flags.writeable
            np.testing.assert_array_equal(result, feature.extract(signal.astype(np.float64)))
            np.testing.assert_array_equal(signal, kept)

    @pytest.mark.parametrize("level", [0.0, 0.5, 1e-30, 32_768.0])
    def test_hostile_signals_give_finite_values(self, feature, level):
        assert np.isfinite(feature.extract(np.full(8_000, level, np.float32))).all()

    def test_the_shortest_clip_is_taken_and_one_less_is_refused(self, feature):
        assert feature.extract(np.full(feature.min_samples, 0.1, np.float32)).shape[0] == 1
        with pytest.raises(FeatureError, match=f"at least {feature.min_samples} samples"):
            feature.extract(np.full(feature.min_samples - 1, 0.1, np.float32))

    def test_identity_names_the_weights_and_other_weights_are_refused(self, feature, make_speech):
        identity = feature.identity()
        for copy in (json.loads(json.dumps(identity)), yaml.safe_load(yaml.safe_dump(identity))):
            again = type(feature)(**copy["parameters"])
            assert again.identity() == identity
            np.testing.assert_array_equal(
                again.extract(make_speech()), feature.extract(make_speech())
            )
        other = feature.model_copy(update={"sha256": "0" * 64})
        for use in (other.identity, lambda: other.extract(make_speech())):
            with pytest.raises(FeatureError, match="SHA-256") as caught:
                use()
            assert caught.value.code == "weights_differ"

    def test_identity_of_a_file_is_its_sha256_and_changes_with_it(self, tmp_path):
        path = tmp_path / "w.safetensors"
        feature, seen = Wav2Vec(path=path), []
        for seed in (1, 2):
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                networks.save(Wav2VecNetwork(TINY), path)
            found = feature.identity()["parameters"]["sha256"]
            assert found == hashlib.sha256(path.read_bytes()).hexdigest()
            seen.append((found, feature.extract(np.ones(8_000, np.float32)).tobytes()))
        assert seen[0][0] != seen[1][0]
        assert seen[0][1] != seen[1][1]
        assert [file.name for file in tmp_path.iterdir()] == [path.name]

    @pytest.mark.parametrize(
        "wrong", [{"sampling_rate": 8_000}, {"pooling": "max"}, {"sha256": "x"}, {"n": 1}], ids=str
    )
    def test_impossible_parameters_are_refused(self, feature, wrong):
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            type(feature)(**(feature.model_dump(exclude_none=True) | wrong))

    def test_a_missing_extra_is_named(self, feature, monkeypatch, make_speech):
        for cached in (module._wav2vec, module._encoder):
            cached.cache_clear()
        monkeypatch.setitem(sys.modules, "transformers", None)
        monkeypatch.setitem(sys.modules, "ullim.features._wav2vec", None)
        monkeypatch.delattr("ullim.features._wav2vec")
        with pytest.raises(MissingExtraError, match=r"ullim\[ssl\]"):
            feature.extract(make_speech())


def test_features_are_listed_with_what_they_need():
    from typer.testing import CliRunner

    from ullim.cli.features import app

    answer = CliRunner().invoke(app, ["list", "--json"])
    rows = {row["name"]: row for row in json.loads(answer.stdout)}
    assert rows["wav2vec"]["needs"] == ["path"]
    assert rows["wav2vec"]["parameters"]["pooling"] == "mean"
    assert rows["logmel"]["needs"] == []
    table = CliRunner().invoke(app, ["list"])
    assert table.exit_code == 0


class TestPretraining:
    OPTIONS = Pretraining(
        steps=150,
        batch_size=4,
        crop_s=0.5,
        learning_rate=1e-2,
        warmup_steps=5,
        prediction_steps=3,
        validate_every=50,
    )
    SHAPE = Shape(
        encoder=((24, 10, 5), (24, 8, 8), (24, 4, 4)),
        aggregator=((24, 2, 1), (24, 3, 1)),
        skip_connections=True,
    )

    def test_the_objective_falls_on_speech_it_has_not_seen(self, make_speech, tmp_path):
        clips = [make_speech(1.0, f0_hz=90.0 + 15 * n, seed=n) for n in range(8)]
        unseen = [make_speech(1.0, f0_hz=97.0 + 30 * n, seed=50 + n) for n in range(4)]
        path, told = tmp_path / "own.safetensors", []
        history = pretrain(
            clips,
            path,
            shape=self.SHAPE,
            options=self.OPTIONS,
            validation=unseen,
            progress=lambda done, total, line: told.append((done, total)),
        )
        assert told == [(50, 150), (100, 150), (150, 150)]
        for name in ("loss", "validation_loss"):
            losses = [line[name] for line in history]
            assert losses == sorted(losses, reverse=True)
        # Better than knowing only that one in eleven is true, and than guessing which.
        assert history[-1]["validation_loss"] < 0.97 * entropy(1 / 11)
        assert history[-1]["validation_share"] > 1.2 / 11
        assert Wav2Vec(path=path).extract(unseen[0]).shape == (1, 24)

    def test_the_same_seed_gives_the_same_file(self, make_speech, tmp_path):
        options = self.OPTIONS.model_copy(update={"steps": 3})
        files = [tmp_path / "one.safetensors", tmp_path / "two.safetensors"]
        for file in files:
            pretrain([make_speech()], file, shape=TINY, options=options)
        assert files[0].read_bytes() == files[1].read_bytes()

    def test_the_loss_is_that_of_the_paper(self):
        options = Pretraining(prediction_steps=2, negatives=3)
        contrast = Contrast(TINY, options)
        draw = torch.Generator().manual_seed(0)
        z, c = torch.randn(2, 16, 9, generator=draw), torch.randn(2, 24, 9, generator=draw)
        others = contrast._others(z, torch.Generator().manual_seed(7))
        with torch.no_grad():
            loss, _ = contrast(z, c, torch.Generator().manual_seed(7))
        terms = []
        assert contrast.first == math.ceil(TINY.receptive_field / TINY.hop)
        for step, predict in enumerate(contrast.steps):
            ahead = contrast.first + step
            with torch.no_grad():
                told = predict(c)
            for clip in range(2):
                for t in range(9 - ahead):
                    h, target = told[clip, :, t], z[clip, :, t + ahead]
                    terms.append(-torch.nn.functional.logsigmoid(h @ target))
                    terms += [
                        -torch.nn.functional.logsigmoid(-h @ others[clip, n, :, t + ahead])
                        for n in range(3)
                    ]
        assert float(loss) == pytest.approx(float(torch.stack(terms).mean()), rel=1e-5)

    def test_negatives_are_other_frames_of_the_same_clip(self):
        contrast = Contrast(TINY, Pretraining(negatives=40))
        frames = torch.arange(12.0).view(2, 1, 6)
        others = contrast._others(frames, torch.Generator().manual_seed(0))
        for clip in range(2):
            for t in range(6):
                drawn = set(others[clip, :, 0, t].tolist())
                assert drawn == {6.0 * clip + n for n in range(6) if n != t}

    @pytest.mark.parametrize(
        ("change", "message"),
        [({"crop_s": 3.0}, "no clip is 3.0 s"), ({"crop_s": 0.02}, "nothing to predict")],
        ids=str,
    )
    def test_crops_that_do_not_fit_are_refused(self, change, message, make_speech, tmp_path):
        options = self.OPTIONS.model_copy(update=change)
        with pytest.raises(TrainingError, match=message):
            pretrain([make_speech()], tmp_path / "x.safetensors", shape=TINY, options=options)

    def test_other_names_of_files_are_refused(self, make_speech, tmp_path):
        with pytest.raises(TrainingError, match="safetensors"):
            pretrain([make_speech()], tmp_path / "x.pt", shape=TINY, options=self.OPTIONS)


def entropy(p: float) -> float:
    return -p * math.log(p) - (1 - p) * math.log(1 - p)
