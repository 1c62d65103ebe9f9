"""From a fitted network to an ONNX graph that was checked to say the same."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from ullim.errors import TrainingError
from ullim.models import OPSET
from ullim.training.classifier import TOLERANCE
from ullim.types import FloatArray


class _WithoutLengths(nn.Module):
    """The network as it serves: every item of a batch has the same length."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor) -> Tensor:
        return torch.as_tensor(self.network(features))


def to_onnx(network: nn.Module, feature_name: str, examples: list[FloatArray]) -> bytes:
    """Export a network with free batch size and length, and compare it with PyTorch.

    Args:
        network: Called as ``network(features, lengths)``.
        feature_name: Name of the graph's input.
        examples: Real clips of different lengths, shape (frames, features) each.

    Returns:
        The ONNX file.

    Raises:
        TrainingError: Graph and network differ by more than 1e-4 in a probability, or one of them
            answers no numbers.
    """
    served = _WithoutLengths(network).eval()
    example = torch.from_numpy(np.stack([examples[0], examples[0]]))
    with (
        tempfile.TemporaryDirectory() as folder,
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        # The exporter warns of its own deprecations, and of packages that nothing here needs.
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        path = Path(folder) / "graph.onnx"
        torch.onnx.export(
            served,
            (example,),
            path,
            input_names=[feature_name],
            output_names=["logits"],
            opset_version=OPSET,
            external_data=False,
            verbose=False,
            **_free_sizes(network, feature_name),
        )
        graph = without_traces(path.read_bytes())
    difference = largest_difference(network, graph, feature_name, examples)
    if not math.isfinite(difference):
        raise TrainingError(
            "the network or its graph answers real clips with something else than numbers; fit it "
            "again with a lower training.learning_rate",
            code="diverged",
        )
    if difference > TOLERANCE:
        raise TrainingError(
            f"the exported graph differs from the network by {difference:.2g} in a probability, "
            f"more than {TOLERANCE:g}; this is a defect of the export, please report it",
            code="export_differs",
        )
    return graph


def _free_sizes(network: nn.Module, feature_name: str) -> dict[str, Any]:
    """Return what leaves batch size and length free, and which exporter can.

    The newer one writes a recurrent layer out step by step, for one length; the older one has an
    operator for it.
    """
    if any(isinstance(part, nn.RNNBase) for part in network.modules()):
        return {"dynamo": False, "dynamic_axes": {feature_name: {0: "batch", 1: "frames"}}}
    free = {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}
    return {"dynamo": True, "dynamic_shapes": {"features": free}}


def without_traces(graph: bytes) -> bytes:
    """Return the graph without what the exporter notes for debugging.

    It writes the stack of every operation into the file, and with it the folders of the machine
    that trained.
    """
    model = onnx.load_from_string(graph)
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]
    for part in (*model.graph.input, *model.graph.output):
        part.doc_string = ""
        del part.metadata_props[:]
    return bytes(model.SerializeToString())


def largest_difference(
    network: nn.Module, graph: bytes, feature_name: str, examples: list[FloatArray]
) -> float:
    """Return the largest difference in a probability between a graph and its network.

    It is NaN where one of them answers no number.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    network = network.eval()
    differences = [0.0]
    for clip in examples:
        batch = clip[None]
        (logits,) = session.run(["logits"], {feature_name: batch})
        with torch.inference_mode():
            expected = torch.softmax(network(torch.from_numpy(batch), None), dim=1).numpy()
        answered = torch.softmax(torch.from_numpy(logits), dim=1).numpy()
        differences.append(float(np.abs(answered - expected).max()))
    return float(np.max(differences))  # unlike max(), it passes NaN on
