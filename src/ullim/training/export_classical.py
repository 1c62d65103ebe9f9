"""From a fitted classical model to an ONNX graph: what stands around its own fragment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from ullim.models import ML_OPSET, OPSET, Fragment

PROBABILITY_FLOOR = 1e-6
NEVER = -1e3
"""Logit of a class that the classifier was not fitted on."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What a fragment is set in.

    Attributes:
        widths: Values of each feature, by name, in the order they are joined in.
        standard: Mean and scale, shape (features,) each; None where rows are taken as they are.
        clip: Standardised values beyond it are cut.
        gives: ``logits`` or ``probabilities``, the model's.
        columns: Where each class of the fragment stands among all; None where they are all.
        n_classes: How many there are in all.
    """

    widths: Mapping[str, int]
    standard: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None
    clip: float
    gives: str
    columns: npt.NDArray[np.int64] | None
    n_classes: int


def classical_to_onnx(fragment: Fragment, frame: Frame) -> bytes:
    """Return the graph of a classical model.

    Returns:
        A graph from float32 (batch, 1, features) each to ``logits`` (batch, classes).
    """
    parts = _Parts(np.dtype(np.float64 if fragment.double else np.float32))
    rows = parts.add("Concat", list(frame.widths), axis=2)
    if fragment.double:
        rows = parts.add("Cast", [rows], to=onnx.TensorProto.DOUBLE)
    rows = parts.add("Squeeze", [rows, parts.constant(np.array([1], np.int64))])
    if frame.standard is not None:
        mean, scale = frame.standard
        rows = parts.add("Sub", [rows, parts.constant(mean)])
        rows = parts.add("Mul", [rows, parts.constant(1.0 / scale)])
        ends = [parts.constant(np.array(end)) for end in (-frame.clip, frame.clip)]
        rows = parts.add("Clip", [rows, *ends])
    parts.add("Identity", [rows], _own(Fragment.input))
    parts.take(fragment)
    scores = _own(Fragment.output)
    if frame.gives == "probabilities":
        scores = parts.add("Max", [scores, parts.constant(np.array(PROBABILITY_FLOOR))])
        scores = parts.add("Log", [scores])
    if frame.columns is not None:
        # A column of NEVER is put after the others, and every absent class is that column.
        n_fitted = len(frame.columns)
        place = np.full(frame.n_classes, n_fitted, np.int64)
        place[frame.columns] = np.arange(n_fitted)
        pads = parts.constant(np.array([0, 0, 0, 1], np.int64))
        scores = parts.add("Pad", [scores, pads, parts.constant(np.array(NEVER))])
        scores = parts.add("Gather", [scores, parts.constant(place)], axis=1)
    parts.add("Cast", [scores], "logits", to=onnx.TensorProto.FLOAT)
    return parts.model(frame)


def _own(name: str) -> str:
    """Return a fragment's name as no feature is called; empty stays empty, for what is left out."""
    return name and f"ullim.own.{name}"


class _Parts:
    """Nodes and constants, as they come."""

    def __init__(self, floats: np.dtype[Any]) -> None:
        self.floats = floats
        self.constants: dict[str, npt.NDArray[Any]] = {}
        self.nodes: list[onnx.NodeProto] = []

    def take(self, fragment: Fragment) -> None:
        self.constants |= {_own(name): value for name, value in fragment.constants.items()}
        for given in fragment.nodes:
            node = onnx.NodeProto()
            node.CopyFrom(given)
            node.input[:] = [_own(name) for name in given.input]
            node.output[:] = [_own(name) for name in given.output]
            self.nodes.append(node)

    def add(self, kind: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        output = output or f"ullim.{len(self.nodes)}.{kind.lower()}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, value: npt.NDArray[Any]) -> str:
        name = f"ullim.constant.{len(self.constants)}"
        self.constants[name] = value
        return name

    def model(self, frame: Frame) -> bytes:
        inputs = [
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", "frames", width])
            for name, width in frame.widths.items()
        ]
        output = helper.make_tensor_value_info(
            "logits", onnx.TensorProto.FLOAT, ["batch", frame.n_classes]
        )
        constants = [
            numpy_helper.from_array(
                value.astype(self.floats) if value.dtype == np.float64 else value, name
            )
            for name, value in self.constants.items()
        ]
        graph = helper.make_graph(self.nodes, "classical", inputs, [output], constants)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, producer_name="ullim", ir_version=10)
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())
