"""From a fitted network to an ONNX graph that was checked to say the same."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from ullim.errors import TrainingError
from ullim.types import FloatArray

OPSET = 18
TOLERANCE = 1e-4


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
        TrainingError: Graph and network differ by more than 1e-4 in a probability.
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


def linear_to_onnx(
    widths: Mapping[str, int],
    mean: npt.NDArray[np.float64],
    scale: npt.NDArray[np.float64],
    clip: float,
    coef: npt.NDArray[np.float64],
    intercept: npt.NDArray[np.float64],
) -> bytes:
    """Return the graph of a linear classifier over standardised, clipped vectors.

    Args:
        widths: Values of each feature, by name, in the order they are joined in.
        mean: Shape (features,).
        scale: Shape (features,).
        clip: Standardised values beyond it are cut.
        coef: Shape (features, classes).
        intercept: Shape (classes,).

    Returns:
        A graph from float32 (batch, frames, features) each to ``logits`` (batch, classes), the
        mean over the frames.
    """
    inputs = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", "frames", width])
        for name, width in widths.items()
    ]
    constants = {
        "mean": mean,
        "inverse_scale": 1.0 / scale,
        "low": np.array(-clip),
        "high": np.array(clip),
        "coef": coef,
        "intercept": intercept,
        "axes": np.array([1], dtype=np.int64),
    }
    nodes = [
        helper.make_node("Concat", list(widths), ["joined"], axis=2),
        helper.make_node("Sub", ["joined", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "inverse_scale"], ["standardised"]),
        helper.make_node("Clip", ["standardised", "low", "high"], ["clipped"]),
        helper.make_node("MatMul", ["clipped", "coef"], ["weighed"]),
        helper.make_node("Add", ["weighed", "intercept"], ["each"]),
        helper.make_node("ReduceMean", ["each", "axes"], ["logits"], keepdims=0),
    ]
    output = helper.make_tensor_value_info(
        "logits", onnx.TensorProto.FLOAT, ["batch", len(intercept)]
    )
    graph = helper.make_graph(
        nodes,
        "linear",
        inputs,
        [output],
        [
            numpy_helper.from_array(
                value if value.dtype == np.int64 else value.astype(np.float32), name
            )
            for name, value in constants.items()
        ],
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], producer_name="ullim", ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


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
    """Return the largest difference in a probability between a graph and its network."""
    import onnxruntime

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    network = network.eval()
    worst = 0.0
    for clip in examples:
        batch = clip[None]
        (logits,) = session.run(["logits"], {feature_name: batch})
        with torch.inference_mode():
            expected = torch.softmax(network(torch.from_numpy(batch), None), dim=1).numpy()
        answered = torch.softmax(torch.from_numpy(logits), dim=1).numpy()
        worst = max(worst, float(np.abs(answered - expected).max()))
    return worst
