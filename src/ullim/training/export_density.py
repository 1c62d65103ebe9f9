"""Densities as ONNX graphs: mixtures by three products, hidden Markov models by a scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper, numpy_helper

from ullim.errors import TrainingError
from ullim.models import NEVER
from ullim.models.hmm import MarkovDensity
from ullim.models.mixture import GaussianMixtureClassifier, MixtureDensity
from ullim.training.graph import GraphBuilder
from ullim.training.rows import Standard

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Side:
    """One density as it stands in a graph.

    Attributes:
        widths: Values of each feature it takes, by name, in the order they are joined in.
        standard: Of its features.
        columns: Those it takes of the standardised ones.
        density: Fitted.
        weight: Of its scores.
    """

    widths: Mapping[str, int]
    standard: Standard
    columns: Array
    density: Any
    weight: float


def densities_to_onnx(sides: Sequence[Side]) -> bytes:
    """Return one graph that adds the weighed scores of densities.

    It counts in double precision, because a log-density is a small difference of large squares.

    Returns:
        A graph from float32 (batch, frames, features) each to ``logits`` (batch, classes).

    Raises:
        TrainingError: A density is of a kind that has no graph.
    """
    graph = GraphBuilder()
    widths = {name: width for side in sides for name, width in side.widths.items()}
    wide = {name: graph.add("Cast", name, to=TensorProto.DOUBLE) for name in widths}
    weighed = []
    for side in sides:
        rows = graph.add("Concat", *(wide[name] for name in side.widths), axis=2)
        rows = graph.standardised(rows, side.standard)
        rows = graph.add("Gather", rows, graph.constant(side.columns), axis=2)
        scores = _scores(graph, rows, side.density)
        weighed.append(graph.add("Mul", scores, graph.constant(side.weight)))
    return graph.model(widths, graph.add("Sum", *weighed), sides[0].density.n_classes)


def _scores(graph: GraphBuilder, rows: str, density: Any) -> str:
    """Return the name of the scores (batch, classes) of rows (batch, frames, columns)."""
    if isinstance(density, MixtureDensity):
        found = density.classifier
        each = _log_density(graph, rows, found, found.classes_, density.n_classes, found.log_prior_)
        return graph.add("ReduceMean", each, graph.constant([1]), keepdims=0)
    if isinstance(density, MarkovDensity):
        return _forward(graph, rows, density)
    raise TrainingError(
        f"{type(density).__name__} has no ONNX graph and cannot become a bundle; run it with "
        "`ullim run`, or take gmm or hmm",
        code="no_export",
    )


def _log_density(
    graph: GraphBuilder,
    rows: str,
    mixtures: GaussianMixtureClassifier,
    places: Array,
    n_wide: int,
    log_prior: Array,
) -> str:
    """Return the log-density (batch, frames, n_wide) of every row under every mixture."""
    n_components = mixtures.log_weights_.shape[1]
    square, linear, constant = mixtures.terms_
    constant = constant + np.repeat(log_prior, n_components)

    def spread(values: Array, missing: float) -> Array:
        wide = np.full((*values.shape[:-1], n_wide, n_components), missing)
        wide[..., places, :] = values.reshape(*values.shape[:-1], -1, n_components)
        return wide.reshape(*values.shape[:-1], -1)

    each = graph.add(
        "Sum",
        graph.add("MatMul", graph.add("Mul", rows, rows), graph.constant(spread(square, 0.0))),
        graph.add("MatMul", rows, graph.constant(spread(linear, 0.0))),
        graph.constant(spread(constant, NEVER)),
    )
    apart = graph.add("Reshape", each, graph.constant([0, 0, n_wide, n_components]))
    return graph.add("ReduceLogSumExp", apart, graph.constant([3]), keepdims=0)


def _forward(graph: GraphBuilder, rows: str, density: MarkovDensity) -> str:
    """Return the log-likelihood by frame: the forward recursion, one step of a scan per frame."""
    n_classes, n_states = density.n_classes, density.n_states
    mixtures = density.emission_
    wide = n_classes * n_states
    flat = np.zeros(len(mixtures.classes_))
    each = _log_density(graph, rows, mixtures, mixtures.classes_, wide, flat)
    each = graph.add("Reshape", each, graph.constant([0, 0, n_classes, n_states]))
    start = np.full((n_classes, n_states), NEVER)
    start[:, 0] = 0.0
    size = graph.add("Shape", rows)
    batch = graph.add("Gather", size, graph.constant([0]), axis=0)
    frames = graph.add("Gather", size, graph.constant([1]), axis=0)
    room = graph.add("Concat", batch, graph.constant([n_classes, n_states]), axis=0)
    expected = graph.add("Expand", graph.constant(start), room)
    # What is carried: the forward variable, and what it predicts of the next frame.
    names = [f"ullim.{len(graph.nodes)}.{what}" for what in ("forward", "predicted")]
    graph.nodes.append(
        helper.make_node(
            "Scan",
            [expected, expected, each],
            names,
            body=_step(density.log_transitions_),
            num_scan_inputs=1,
            scan_input_axes=[1],
        )
    )
    total = graph.add("ReduceLogSumExp", names[0], graph.constant([2]), keepdims=0)
    by_frame = graph.add("Div", total, graph.add("Cast", frames, to=TensorProto.DOUBLE))
    return graph.add("Max", by_frame, graph.constant(NEVER))


def _step(log_transitions: Array) -> Any:
    n_classes, n_states, _ = log_transitions.shape
    held = ["batch", n_classes, n_states]

    def value(name: str) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.DOUBLE, held)

    nodes = [
        helper.make_node("Identity", ["before"], ["unused"]),
        helper.make_node("Add", ["predicted", "frame"], ["forward"]),
        helper.make_node("Unsqueeze", ["forward", "last"], ["from"]),
        helper.make_node("Add", ["from", "transitions"], ["paths"]),
        helper.make_node("ReduceLogSumExp", ["paths", "second"], ["next"], keepdims=0),
    ]
    constants = {
        "last": np.array([3], dtype=np.int64),
        "second": np.array([2], dtype=np.int64),
        "transitions": log_transitions,
    }
    return helper.make_graph(
        nodes,
        "step",
        [value("before"), value("predicted"), value("frame")],
        [value("forward"), value("next")],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
