"""An ONNX graph from features to logits, built node by node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from ullim.models import ML_OPSET, OPSET
from ullim.training.rows import Standard


class GraphBuilder:
    """Nodes and constants as they come, under names that no feature has.

    Attributes:
        floats: What float64 constants are kept as.

    >>> graph = GraphBuilder(np.float32)
    >>> last = graph.add("Gather", "mine", graph.constant(-1), axis=1)
    >>> len(graph.model({"mine": 3}, last, n_classes=3)) > 100
    True
    """

    def __init__(self, floats: npt.DTypeLike = np.float64) -> None:
        self.floats = np.dtype(floats)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: npt.ArrayLike, name: str = "") -> str:
        """Return the name of a constant."""
        array = np.asarray(value)
        if array.dtype == np.float64:
            array = array.astype(self.floats)
        name = name or f"ullim.constant.{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Return the name of what a new node gives."""
        output = output or f"ullim.{len(self.nodes)}.{kind.lower()}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def standardised(self, rows: str, standard: Standard) -> str:
        """Return the name of rows that are standardised and cut."""
        rows = self.add("Sub", rows, self.constant(standard.mean))
        rows = self.add("Mul", rows, self.constant(1.0 / standard.scale))
        ends = self.constant(-standard.clip), self.constant(standard.clip)
        return self.add("Clip", rows, *ends)

    def model(self, widths: Mapping[str, int], logits: str, n_classes: int) -> bytes:
        """Return the graph as a file.

        Args:
            widths: Values of each feature, by name; each is an input (batch, frames, features).
            logits: Name of what the graph answers, shape (batch, classes).
            n_classes: How many classes there are.
        """
        self.add("Cast", logits, output="logits", to=TensorProto.FLOAT)
        inputs = [
            helper.make_tensor_value_info(
                name, TensorProto.FLOAT, ["batch", f"frames_{name}", width]
            )
            for name, width in widths.items()
        ]
        output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", n_classes])
        model = helper.make_model(
            helper.make_graph(self.nodes, "ullim", inputs, [output], self.constants),
            opset_imports=[
                helper.make_opsetid("", OPSET),
                helper.make_opsetid("ai.onnx.ml", ML_OPSET),
            ],
            producer_name="ullim",
            ir_version=10,
        )
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())
