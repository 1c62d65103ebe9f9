"""Embeddings of clips by networks that were pre-trained on much speech: the extra ``ssl``."""

from __future__ import annotations

import hashlib
import json
import math
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from ullim.errors import FeatureError, MissingExtraError
from ullim.features import Feature
from ullim.types import FloatArray

if TYPE_CHECKING:
    from ullim.features._wav2vec import Wav2VecNetwork

Pooling = Literal["mean", "mean-std"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Embedding(Feature):
    """What embeddings share: frames pooled over the clip, and weights that are part of identity.

    Attributes:
        pooling: Mean of the frames, or mean and standard deviation.
        sha256: Of the weights; other weights are refused. None takes those that are there, and
            they stand in the identity all the same.
    """

    version = "v1"
    unit = "none: the network's own"
    level = "clip"

    sampling_rate: Literal[16_000] = 16_000
    pooling: Pooling = "mean"
    sha256: Sha256 | None = None

    def _width(self) -> int:
        raise NotImplementedError

    def _weights_hash(self) -> str:
        raise NotImplementedError

    def _frames(self, signal: FloatArray) -> FloatArray:
        raise NotImplementedError

    @property
    def n_features(self) -> int:
        """Width of the network, twice for ``mean-std``; reads the weights' description."""
        return self._width() * (2 if self.pooling == "mean-std" else 1)

    def identity(self) -> dict[str, Any]:
        """Return name, version and parameters; ``sha256`` is always that of the weights there."""
        identity = super().identity()
        identity["parameters"]["sha256"] = self._checked_hash()
        return identity

    def _checked_hash(self) -> str:
        found = self._weights_hash()
        if self.sha256 is not None and found != self.sha256:
            raise FeatureError(
                f"the weights of {self.name} have SHA-256 {found} and {self.sha256} was asked for; "
                "give the weights that were meant, or leave sha256 out",
                code="weights_differ",
            )
        return found

    def _extract(self, signal: FloatArray) -> FloatArray:
        if self.sha256 is not None:
            self._checked_hash()
        frames = self._frames(signal)
        parts = [frames.mean(axis=0, dtype=np.float64)]
        if self.pooling == "mean-std":
            parts.append(frames.std(axis=0, dtype=np.float64))
        return np.concatenate(parts)[None].astype(np.float32)


class Wav2Vec(_Embedding):
    """Contexts of wav2vec (version 1), pooled over the clip: 512 values with published weights.

    Weights are fairseq's ``wav2vec_large.pt``, which its owners publish, or any that
    ``ullim.training.wav2vec.pretrain`` wrote. They are read without executing anything in them.

    Attributes:
        path: File of the weights.
        output: ``context`` is the aggregator's, which sees 0.8 s in the large network;
            ``latent`` is the encoder's, which sees 29 ms.

    Reference: Schneider, Baevski, Collobert & Auli, wav2vec: Unsupervised Pre-training for Speech
    Recognition, Interspeech 2019; fairseq, ``examples/wav2vec``.
    Differs: layers, names and arguments follow fairseq's source; that the published file gives
    fairseq's own values has not been checked, for want of both.
    """

    library = "torch"

    name: Literal["wav2vec"] = "wav2vec"
    path: Path
    output: Literal["context", "latent"] = "context"

    @property
    def min_samples(self) -> int:
        """One receptive field of the encoder, 465 samples as published."""
        return 465

    def _file(self) -> Path:
        file = self.path.expanduser()
        if not file.is_file():
            raise FeatureError(
                f"there are no weights of wav2vec at {file}: download fairseq's wav2vec_large.pt, "
                "which examples/wav2vec of github.com/facebookresearch/fairseq links to, and give "
                "the file as `path`, to a recipe by --set features.0.path=FILE",
                code="weights_missing",
            )
        return file

    def _network(self) -> Wav2VecNetwork:
        file = self._file()
        return _wav2vec(file, *_state_of(file))

    def _width(self) -> int:
        shape = self._network().shape
        return (shape.aggregator if self.output == "context" else shape.encoder)[-1][0]

    def _weights_hash(self) -> str:
        return _hash_of([self._file()])

    def _frames(self, signal: FloatArray) -> FloatArray:
        network = self._network()
        import torch

        if signal.size < network.shape.receptive_field:
            raise FeatureError(
                f"{self.path} needs at least {network.shape.receptive_field} samples and was given "
                f"{signal.size}",
                code="too_short",
            )
        with torch.inference_mode():
            values = network.latents(torch.from_numpy(np.array(signal))[None])
            if self.output == "context":
                values = network.contexts(values)
        return np.asarray(values[0].T.numpy())


class HfEncoder(_Embedding):
    """Hidden states of a speech encoder of Hugging Face transformers, pooled over the clip.

    Any that ``AutoModel`` opens and that takes sound: wav2vec 2.0, XLS-R, HuBERT, WavLM, data2vec,
    and the encoder of Whisper. The model's own preparation (normalisation, log-mel) comes first.
    Code that comes with a model is never run, and a folder that lacks some of the encoder's weights
    is refused rather than filled with chance. The licence of the weights is their owner's.

    Attributes:
        model: Name on the hub, such as ``microsoft/wavlm-base-plus``, or a local folder.
        revision: Branch, tag or commit on the hub; None for its main branch.
        layers: ``last``; a number, 0 for what enters the first layer, 1 for its output, -1 for the
            last; ``mean`` of all, that of 0 included; or a weight for each of them, whose sum is
            taken as they are.
        max_s: A longer clip is cut into equal parts of at most this length, each encoded alone,
            and their frames are pooled together. Whisper never takes more than 30 s.

    Reference: Baevski et al., wav2vec 2.0, NeurIPS 2020. Hsu et al., HuBERT, TASLP 2021. Chen et
    al., WavLM, JSTSP 2022. Babu et al., XLS-R, Interspeech 2022. Baevski et al., data2vec, ICML
    2022. Radford et al., Whisper, ICML 2023. Weighted layers: Yang et al., SUPERB, Interspeech
    2021.
    Differs: Whisper's frames of the silence it fills up to 30 s with are left out of the pooling.
    """

    library = "transformers"

    name: Literal["hf-encoder"] = "hf-encoder"
    model: str = Field(min_length=1)
    revision: str | None = None
    layers: Literal["last", "mean"] | int | tuple[float, ...] = "last"
    max_s: float = Field(30.0, ge=1.0)

    @property
    def min_samples(self) -> int:
        """A tenth of a second."""
        return 1_600

    def _width(self) -> int:
        folder = _folder(self.model, self.revision)
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            return int(config.get("hidden_size") or config["d_model"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _unusable(self.model, "its config.json states no hidden_size") from error

    def _weights_hash(self) -> str:
        folder = _folder(self.model, self.revision)
        return _hash_of([file for file in sorted(folder.iterdir()) if _PARTS.fullmatch(file.name)])

    def _frames(self, signal: FloatArray) -> FloatArray:
        extractor, encoder = _encoder(self.model, self.revision)
        longest = self.max_s * self.sampling_rate
        whisper = encoder.config.model_type == "whisper"
        if whisper:
            longest = min(longest, extractor.n_samples)
        parts = np.array_split(signal, math.ceil(signal.size / longest))
        return np.concatenate([self._encoded(part, extractor, encoder, whisper) for part in parts])

    def _encoded(
        self, signal: FloatArray, extractor: Any, encoder: Any, whisper: bool
    ) -> FloatArray:
        import torch

        batch = extractor(signal, sampling_rate=self.sampling_rate, return_tensors="pt")
        name = "input_features" if "input_features" in batch else "input_values"
        with torch.inference_mode():
            answer = encoder(**{name: batch[name].float()}, output_hidden_states=True)
            frames = self._chosen(answer.hidden_states)[0]
        if whisper:
            # Its second convolution halves the frames of the log-mel spectrogram.
            frames = frames[: math.ceil(signal.size / (2 * extractor.hop_length))]
        return np.asarray(frames.numpy())

    def _chosen(self, states: Any) -> Any:
        import torch

        n = len(states)
        if isinstance(self.layers, int):
            if not -n <= self.layers < n:
                raise FeatureError(
                    f"{self.model} has layers 0 to {n - 1} (or -{n} to -1) and layers "
                    f"is {self.layers}",
                    code="bad_layers",
                )
            return states[self.layers]
        if self.layers == "last":
            return states[-1]
        stacked = torch.stack(tuple(states))
        if self.layers == "mean":
            return stacked.mean(dim=0)
        if len(self.layers) != n:
            raise FeatureError(
                f"{self.model} has {n} hidden states, layer 0 included, and layers gives "
                f"{len(self.layers)} weights",
                code="bad_layers",
            )
        return torch.einsum("l,lbtf->btf", torch.tensor(self.layers, dtype=torch.float32), stacked)


# What decides the numbers, in a folder of transformers.
_PARTS = re.compile(
    r"config\.json|preprocessor_config\.json|processor_config\.json"
    r"|model(-\d+-of-\d+)?\.safetensors|pytorch_model(-\d+-of-\d+)?\.bin"
)


def _state_of(file: Path) -> tuple[int, int]:
    """Return what tells that a file was changed, or zeros where there is none."""
    try:
        facts = file.stat()
    except OSError:
        return 0, 0
    return facts.st_size, facts.st_mtime_ns


def _hash_of(files: list[Path]) -> str:
    """Return the SHA-256 of a file, or of the names and hashes of several."""
    hashes = [(file.name, _file_hash(file, *_state_of(file))) for file in files]
    if len(hashes) == 1:
        return hashes[0][1]
    return hashlib.sha256(json.dumps(hashes).encode()).hexdigest()


@lru_cache(maxsize=64)
def _file_hash(file: Path, size: int, mtime_ns: int) -> str:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise FeatureError(
            f"the weights {file} cannot be read: {error.strerror or error}; give the "
            "file or folder they lie in",
            code="weights_missing",
        ) from error


@lru_cache(maxsize=2)
def _wav2vec(file: Path, size: int, mtime_ns: int) -> Wav2VecNetwork:
    try:
        from ullim.features import _wav2vec as networks
    except ImportError as error:
        raise MissingExtraError("wav2vec", extra="ssl") from error
    return networks.load(file)


def _unusable(model: str, why: str) -> FeatureError:
    return FeatureError(
        f"{model} cannot be used as a speech encoder: {why}; give a folder or a hub name of a "
        "model that takes sound, such as microsoft/wavlm-base-plus",
        code="weights_unreadable",
    )


def _import_transformers() -> Any:
    try:
        import torch  # noqa: F401 - transformers imports without it, and then opens nothing
        import transformers
    except ImportError as error:
        raise MissingExtraError("speech encoders", extra="ssl") from error
    return transformers


@lru_cache(maxsize=8)
def _folder(model: str, revision: str | None) -> Path:
    """Return the local folder of a model, fetched from the hub where it is a name there."""
    local = Path(model).expanduser()
    if local.is_dir():
        return local
    if not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", model):
        raise FeatureError(
            f"there is no folder {model}, and it is no name on the hub, which has the form "
            "owner/model",
            code="weights_missing",
        )
    _import_transformers()
    import huggingface_hub

    descriptions = ["config.json", "preprocessor_config.json", "processor_config.json"]
    try:
        fetch = huggingface_hub.snapshot_download
        folder = Path(
            fetch(
                model,
                revision=revision,
                allow_patterns=[*descriptions, "model.safetensors*", "model-*.safetensors"],
            )
        )
        if not any(folder.glob("model*.safetensors")):
            folder = Path(fetch(model, revision=revision, allow_patterns=["pytorch_model*"]))
    # Of requests, of the hub, and of the system: they share no base but Exception.
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise FeatureError(
            f"{model} is no local folder and cannot be fetched from the hub ({reason}); check the "
            "name and the network, or download it once and give its folder",
            code="weights_missing",
        ) from error
    return folder


@lru_cache(maxsize=2)
def _encoder(model: str, revision: str | None) -> tuple[Any, Any]:
    """Return a model's preparation and its encoder."""
    transformers = _import_transformers()
    folder = _folder(model, revision)
    try:
        extractor = transformers.AutoFeatureExtractor.from_pretrained(folder, local_files_only=True)
        whole, told = transformers.AutoModel.from_pretrained(
            folder, local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise _unusable(model, reason) from error
    encoder = whole.get_encoder() if whole.config.is_encoder_decoder else whole
    if encoder.main_input_name not in {"input_values", "input_features"}:
        raise _unusable(model, f"it takes {encoder.main_input_name}, not sound")
    if getattr(extractor, "sampling_rate", None) != 16_000:
        raise _unusable(model, "it does not take 16 kHz")
    # Masking is for training only; some publishers left its vector out.
    missing = sorted(key for key in told["missing_keys"] if not key.endswith("masked_spec_embed"))
    if missing or told["mismatched_keys"]:
        raise _unusable(model, f"it lacks weights, the first of them {[*missing, 'a width'][0]}")
    return extractor, encoder.float().eval()
