"""The network of wav2vec (version 1), and its weights on disk; needs torch.

The registry passes this module by, as it does all whose name begins with an underscore, so that
listing features loads no torch.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError
from torch import Tensor, nn
from torch.nn import functional

from ullim.errors import FeatureError, MissingExtraError

Layer = tuple[PositiveInt, PositiveInt, PositiveInt]
"""Channels, kernel, stride."""

_ENCODER: tuple[Layer, ...] = ((512, 10, 5), (512, 8, 4), *((512, 4, 2),) * 3)

_FORMAT = "ullim-wav2vec-v1"


class Shape(BaseModel):
    """How the network is laid out; the defaults are those of the published base network.

    Attributes:
        encoder: Layers from samples to latents.
        aggregator: Layers from latents to contexts; each looks back only.
        skip_connections: Whether each layer of the aggregator adds its input to its output.
        residual_scale: The sum is multiplied by the square root of this.
        log_compression: Whether latents are log(1 + abs(x)).
        zero_padding: Whether the aggregator looks back at zeros before the first latent; otherwise
            at copies of it.
        bias: Whether the aggregator's convolutions have a bias.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    encoder: tuple[Layer, ...] = Field(_ENCODER, min_length=1)
    aggregator: tuple[Layer, ...] = Field(((512, 3, 1),) * 9, min_length=1)
    skip_connections: bool = False
    residual_scale: float = Field(0.5, gt=0.0)
    log_compression: bool = True
    zero_padding: bool = False
    bias: bool = True

    @property
    def hop(self) -> int:
        """Samples from one latent to the next.

        >>> Shape().hop, Shape().receptive_field
        (160, 465)
        """
        return math.prod(stride for _, _, stride in self.encoder)

    @property
    def receptive_field(self) -> int:
        """Samples that one latent is made of."""
        field, hop = 1, 1
        for _, kernel, stride in self.encoder:
            field += (kernel - 1) * hop
            hop *= stride
        return field


BASE = Shape()
LARGE = Shape(
    encoder=(*_ENCODER, (512, 1, 1), (512, 1, 1)),
    aggregator=tuple((512, kernel, 1) for kernel in range(2, 14)),
    skip_connections=True,
)


class _Block(nn.Module):
    """A convolution, normalised over all its channels and frames, then rectified."""

    def __init__(self, n_in: int, layer: Layer, *, bias: bool) -> None:
        super().__init__()
        n_out, kernel, stride = layer
        self.conv = nn.Conv1d(n_in, n_out, kernel, stride=stride, bias=bias)
        self.norm = nn.GroupNorm(1, n_out)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.norm(self.conv(x)))


class Wav2VecNetwork(nn.Module):
    """Latents z of samples, and contexts c of latents.

    Reference: Schneider, Baevski, Collobert & Auli, wav2vec, Interspeech 2019, section 2.1.
    """

    def __init__(self, shape: Shape = BASE) -> None:
        super().__init__()
        self.shape = shape
        self.encoder, width = _blocks(1, shape.encoder, bias=False)
        self.aggregator, _ = _blocks(width, shape.aggregator, bias=shape.bias)
        # One for each layer that changes the width, under the number of that layer.
        self.skips = nn.ModuleDict()
        for place, (n_out, _, _) in enumerate(shape.aggregator):
            if shape.skip_connections and n_out != width:
                self.skips[str(place)] = nn.Conv1d(width, n_out, 1, bias=False)
            width = n_out

    def latents(self, samples: Tensor) -> Tensor:
        """Return z, shape (batch, channels, frames), of samples, shape (batch, samples)."""
        x = samples.unsqueeze(1)
        for block in self.encoder:
            x = block(x)
        return torch.log1p(x.abs()) if self.shape.log_compression else x

    def contexts(self, latents: Tensor) -> Tensor:
        """Return c, shape (batch, channels, frames), of z."""
        x = latents
        mode = "constant" if self.shape.zero_padding else "replicate"
        for place, block in enumerate(self.aggregator):
            kernel = self.shape.aggregator[place][1]
            y = block(functional.pad(x, (kernel - 1, 0), mode=mode))
            if self.shape.skip_connections:
                kept = self.skips[str(place)](x) if str(place) in self.skips else x
                y = (y + kept) * math.sqrt(self.shape.residual_scale)
            x = y
        return x

    def forward(self, samples: Tensor) -> Tensor:
        """Return c of samples."""
        return self.contexts(self.latents(samples))


def _blocks(width: int, layers: Sequence[Layer], *, bias: bool) -> tuple[nn.ModuleList, int]:
    blocks = nn.ModuleList()
    for layer in layers:
        blocks.append(_Block(width, layer, bias=bias))
        width = layer[0]
    return blocks, width


def save(network: Wav2VecNetwork, path: Path) -> None:
    """Write the network and its shape as safetensors, under another name until it is whole."""
    tensors = {name: value.detach().contiguous() for name, value in network.state_dict().items()}
    # One entry: safetensors writes several in an order of chance, and equal networks must give
    # equal files.
    metadata = {_FORMAT: network.shape.model_dump_json()}
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        _safetensors().save_file(tensors, part, metadata=metadata)
        part.replace(path)
    except OSError as error:
        raise FeatureError(
            f"{path} cannot be written: {error.strerror or error}", code="weights_unwritable"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def load(path: Path) -> Wav2VecNetwork:
    """Read a network as :func:`save` writes it, or a wav2vec checkpoint of fairseq.

    Nothing in the file is executed: besides tensors and plain values, a checkpoint may hold an
    ``argparse.Namespace``, as fairseq's do, and no other class.

    Raises:
        FeatureError: The file is absent, no such checkpoint, or of another network.
    """
    if not path.is_file():
        raise FeatureError(
            f"there is no file {path}; fairseq publishes the checkpoint wav2vec_large.pt, and "
            "ullim.training.wav2vec.pretrain writes one of your own speech",
            code="weights_missing",
        )
    try:
        shape, state = _own(path) if path.suffix == ".safetensors" else _fairseq(path)
        network = Wav2VecNetwork(shape)
        network.load_state_dict(state)
    except (MissingExtraError, FeatureError):
        raise
    # torch and safetensors raise what they please on a damaged file, and share no public base.
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise FeatureError(
            f"{path} is no checkpoint of wav2vec that can be read safely ({reason}); give "
            "fairseq's wav2vec_large.pt, or what ullim.training.wav2vec.pretrain wrote",
            code="weights_unreadable",
        ) from error
    return network.eval()


def _own(path: Path) -> tuple[Shape, dict[str, Tensor]]:
    with _safetensors_open()(path, framework="pt") as opened:
        metadata = opened.metadata() or {}
        if _FORMAT not in metadata:
            raise ValueError(f"its metadata do not say {_FORMAT}")
        return (
            Shape.model_validate_json(metadata[_FORMAT]),
            {name: opened.get_tensor(name) for name in opened.keys()},  # noqa: SIM118 - no dict
        )


def _fairseq(path: Path) -> tuple[Shape, dict[str, Tensor]]:
    with torch.serialization.safe_globals([argparse.Namespace]):
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(checkpoint, Mapping) or not isinstance(checkpoint.get("model"), Mapping):
        raise ValueError("it holds no weights under `model`")
    said = checkpoint.get("args") or (checkpoint.get("cfg") or {}).get("model") or {}
    said = vars(said) if isinstance(said, argparse.Namespace) else dict(said)
    return fairseq_shape(said), fairseq_state(checkpoint["model"])


def fairseq_shape(said: Mapping[str, Any]) -> Shape:
    """Return the shape that fairseq's arguments describe; the large network's where they do not.

    Raises:
        FeatureError: They describe a network that this module does not have.
    """
    asked = {"activation": "relu", "aggregator": "cnn", "vq_type": "none"}
    other = {
        name: said[name]
        for name, ours in asked.items()
        if said.get(name) is not None and said[name] != ours
    }
    other |= {
        name: True for name in ("skip_connections_feat", "non_affine_group_norm") if said.get(name)
    }
    if other:
        raise FeatureError(
            f"the checkpoint is of another network than wav2vec's: {json.dumps(other, default=str)}"
            "; vq-wav2vec and other relatives are not offered here",
            code="weights_unsupported",
        )
    facts: dict[str, Any] = {
        "encoder": _layers(said.get("conv_feature_layers")) or LARGE.encoder,
        "aggregator": _layers(said.get("conv_aggregator_layers")) or LARGE.aggregator,
        "skip_connections": said.get("skip_connections_agg", LARGE.skip_connections),
        "residual_scale": said.get("residual_scale", LARGE.residual_scale),
        "log_compression": said.get("log_compression", LARGE.log_compression),
        "zero_padding": said.get("agg_zero_pad", LARGE.zero_padding),
        "bias": not said.get("no_conv_bias", not LARGE.bias),
    }
    try:
        return Shape(**facts)
    except ValidationError as error:
        raise FeatureError(
            f"the checkpoint's arguments describe no network: {error}", code="weights_unsupported"
        ) from error


def _layers(text: Any) -> tuple[Layer, ...]:
    """Return layers from fairseq's text, a list of (channels, kernel, stride), unevaluated."""
    if text is None:
        return ()
    triple = r"\(\s*\d+\s*,\s*\d+\s*,\s*\d+\s*\)"
    if not re.fullmatch(rf"\s*\[\s*{triple}(\s*,\s*{triple})*\s*,?\s*\]\s*", str(text)):
        raise FeatureError(
            f"the layers {text!r} are not written out as [(channels, kernel, stride), ...]",
            code="weights_unsupported",
        )
    numbers = [int(number) for number in re.findall(r"\d+", str(text))]
    return tuple(zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True))


# Where fairseq keeps a block's parts: encoder (conv, dropout, norm, activation), aggregator
# (padding, conv, dropout, norm, activation).
_NAMES = (
    (r"feature_extractor\.conv_layers\.(\d+)\.0\.", r"encoder.\1.conv."),
    (r"feature_extractor\.conv_layers\.(\d+)\.2\.", r"encoder.\1.norm."),
    (r"feature_aggregator\.conv_layers\.(\d+)\.1\.", r"aggregator.\1.conv."),
    (r"feature_aggregator\.conv_layers\.(\d+)\.3\.", r"aggregator.\1.norm."),
    (r"feature_aggregator\.residual_proj\.(\d+)\.", r"skips.\1."),
)


def fairseq_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return fairseq's weights under our names, without those only its training needs."""
    ours: dict[str, Tensor] = {}
    for name, value in state.items():
        if name.startswith("wav2vec_predictions."):
            continue
        for pattern, replacement in _NAMES:
            renamed, n = re.subn(f"^{pattern}", replacement, name)
            if n:
                ours[renamed] = value
                break
        else:
            ours[name] = value  # load_state_dict names it as one it does not know
    return ours


def _safetensors() -> Any:
    try:
        import safetensors.torch
    except ImportError as error:
        raise MissingExtraError("weights kept as safetensors", extra="ssl") from error
    return safetensors.torch


def _safetensors_open() -> Any:
    _safetensors()
    import safetensors

    return safetensors.safe_open
