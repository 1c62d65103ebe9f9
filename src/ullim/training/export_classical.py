"""From a fitted classical model to an ONNX graph: what stands around its own fragment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, TensorProto

from ullim.models import NEVER, Fragment
from ullim.training.graph import GraphBuilder
from ullim.training.rows import Standard

PROBABILITY_FLOOR = 1e-6


@dataclass(frozen=True, slots=True)
class Frame:
    """What a fragment is set in.

    Attributes:
        widths: Values of each feature, by name, in the order they are joined in.
        standard: None where rows are taken as they are.
        gives: ``logits`` or ``probabilities``, the model's.
        columns: Where each class of the fragment stands among all; None where they are all.
        n_classes: How many there are in all.
    """

    widths: Mapping[str, int]
    standard: Standard | None
    gives: str
    columns: npt.NDArray[np.int64] | None
    n_classes: int


def classical_to_onnx(fragment: Fragment, frame: Frame) -> bytes:
    """Return the graph of a classical model.

    Returns:
        A graph from float32 (batch, 1, features) each to ``logits`` (batch, classes).
    """
    graph = GraphBuilder(np.float64 if fragment.double else np.float32)
    rows = graph.add("Concat", *frame.widths, axis=2)
    if fragment.double:
        rows = graph.add("Cast", rows, to=TensorProto.DOUBLE)
    rows = graph.add("Squeeze", rows, graph.constant([1]))
    if frame.standard is not None:
        rows = graph.standardised(rows, frame.standard)
    graph.add("Identity", rows, output=_own(Fragment.input))
    _take(graph, fragment)
    scores = _own(Fragment.output)
    if frame.gives == "probabilities":
        scores = graph.add("Max", scores, graph.constant(PROBABILITY_FLOOR))
        scores = graph.add("Log", scores)
    if frame.columns is not None:
        # A column of NEVER is put after the others, and every absent class is that column.
        n_fitted = len(frame.columns)
        place = np.full(frame.n_classes, n_fitted, np.int64)
        place[frame.columns] = np.arange(n_fitted)
        scores = graph.add("Pad", scores, graph.constant([0, 0, 0, 1]), graph.constant(NEVER))
        scores = graph.add("Gather", scores, graph.constant(place), axis=1)
    return graph.model(frame.widths, scores, frame.n_classes)


def _take(graph: GraphBuilder, fragment: Fragment) -> None:
    for name, value in fragment.constants.items():
        graph.constant(value, _own(name))
    for given in fragment.nodes:
        node = NodeProto()
        node.CopyFrom(given)
        node.input[:] = [_own(name) for name in given.input]
        node.output[:] = [_own(name) for name in given.output]
        graph.nodes.append(node)


def _own(name: str) -> str:
    """Return a fragment's name as no feature is called; empty stays empty, for what is left out."""
    return name and f"ullim.own.{name}"
