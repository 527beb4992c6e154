"""Activations that a file spells out in arithmetic, known again by their values.

An exporter writes GELU as Div, Erf, Add, Mul, Mul in any order. All nodes between one tensor and
one result that only scalars join are a function of one element: it is evaluated at sample points
and compared with the functions that have a name.

Owns ``named_curves``. Imports the model, constants' evaluators and the named functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from gateformer.quant.expand import FUNCTIONS
from gateformer.quant.frontends.onnx.constants import BINARY, UNARY
from gateformer.quant.frontends.onnx.model import Const, Node
from gateformer.quant.types import FloatArray

PATTERN = "gateformer.pattern"
"""Domain of the nodes that stand for several of the file's."""

NAMES = (
    "gelu",
    "gelu_tanh",
    "quick_gelu",
    "silu",
    "hard_silu",
    "mish",
    "sigmoid",
    "softplus",
    "softsign",
    "hard_sigmoid",
    "elu",
    "selu",
    "relu",
)
"""Functions that are looked for."""

SAMPLES = np.linspace(-6.0, 6.0, 97)
TOLERANCE = 2e-6
"""Files hold sqrt(2) and the like in float32; the closest two functions differ by 4.7e-4."""

MOST_NODES = 16
"""Longest arithmetic that is looked at: GELU by tanh takes nine nodes."""

CURVES: Mapping[str, str] = {
    "Erf": "erf",
    "Relu": "relu",
    "Sigmoid": "sigmoid",
    "Softplus": "softplus",
    "Tanh": "tanh",
}
"""Kinds of nodes that have no evaluator for constants -> the function that they are."""

OPAQUE = ("Abs", "Erf", "Exp", "Log", "Pow", "Reciprocal", "Sqrt", "Div")
"""Kinds that no reader takes from a tensor, so that one alone makes a curve worth naming."""


@dataclass(frozen=True, slots=True)
class _Graph:
    makers: Mapping[str, Node]
    constants: Mapping[str, Const]

    def scalar(self, name: str) -> float | None:
        """A constant of one number."""
        known = self.constants.get(name)
        if known is None or known.array.size != 1 or known.array.dtype.kind not in "fiu":
            return None
        return float(known.array.reshape(-1)[0])

    def elementwise(self, name: str) -> Node | None:
        """The node that makes a tensor, where it works element by element on one tensor's."""
        node = self.makers.get(name)
        if node is None or node.domain:
            return None
        if node.kind in CURVES or node.kind in UNARY or node.kind == "Clip":
            return node
        arithmetic = node.kind == "Div" or (node.kind in BINARY and node.kind != "MatMul")
        return node if arithmetic else None


def named_curves(nodes: list[Node], constants: Mapping[str, Const]) -> list[Node]:
    """Nodes with each spelt-out activation's last one replaced by its name; the rest stays."""
    graph = _Graph({name: node for node in nodes for name in node.outputs}, constants)
    found: dict[str, Node] = {}
    for node in nodes:
        replacement = _named(graph, node)
        if replacement is not None:
            found[node.outputs[0]] = replacement
    return [found.get(node.outputs[0], node) if node.outputs else node for node in nodes]


def _named(graph: _Graph, node: Node) -> Node | None:
    if not node.outputs or graph.elementwise(node.outputs[0]) is not node:
        return None
    for source, region in _regions(graph, node):
        values = _sampled(graph, node.outputs[0], source, region)
        if values is None:
            continue
        for name in NAMES:
            if np.allclose(values, FUNCTIONS[name](SAMPLES), atol=TOLERANCE, rtol=TOLERANCE):
                return Node(node.name, name, PATTERN, 1, (source,), node.outputs)
    return None


def _regions(graph: _Graph, node: Node) -> Iterator[tuple[str, dict[str, Node]]]:
    """(tensor, nodes from there to the result) for each tensor that alone leads there."""
    region = {node.outputs[0]: node}
    while len(region) <= MOST_NODES:
        edge = {
            name
            for one in region.values()
            for name in one.inputs
            if name and name not in region and graph.scalar(name) is None
        }
        inner = {name: graph.elementwise(name) for name in edge}
        if len(edge) == 1 and _worth(graph, region):
            yield next(iter(edge)), region
        # The edge's tensor that another one is made of cannot be the source: grow past it.
        grown = {name: one for name, one in inner.items() if one is not None}
        if not grown or any(name in graph.constants for name in edge):
            return
        deep = {n: _depth(graph, n) for n in grown}
        first = max(sorted(grown), key=deep.__getitem__)
        region = {**region, first: grown[first]}


def _depth(graph: _Graph, name: str) -> int:
    """Elementwise nodes in a row up to a tensor, ``MOST_NODES`` at most."""
    level, depth = {name}, 0
    while level and depth < MOST_NODES:
        makers = [graph.elementwise(one) for one in level]
        level = {x for one in makers if one is not None for x in one.inputs}
        depth += bool(level)
    return depth


def _worth(graph: _Graph, region: Mapping[str, Node]) -> bool:
    """Whether plain readers could not take the nodes one by one, or would do so badly."""
    joins = any(
        sum(bool(n) and graph.scalar(n) is None for n in one.inputs) > 1 for one in region.values()
    )
    return joins or any(one.kind in OPAQUE for one in region.values())


def _sampled(
    graph: _Graph, output: str, source: str, region: Mapping[str, Node]
) -> FloatArray | None:
    held: dict[str, FloatArray] = {source: SAMPLES}

    def value(name: str) -> FloatArray:
        if name not in held:
            scalar = graph.scalar(name)
            held[name] = np.array(scalar) if scalar is not None else result(region[name])
        return held[name]

    def result(node: Node) -> FloatArray:
        operands = [value(name) for name in node.inputs if name]
        return _meaning(node)(*operands)

    try:
        with np.errstate(all="ignore"):
            values = np.asarray(value(output), np.float64)
    except (KeyError, TypeError, ValueError):
        return None
    return values if values.shape == SAMPLES.shape and np.isfinite(values).all() else None


def _meaning(node: Node) -> Callable[..., FloatArray]:
    if node.kind in CURVES:
        return FUNCTIONS[CURVES[node.kind]]
    if node.kind == "Div":
        return np.divide
    if node.kind == "Clip":
        low, high = (node.attributes.get(key, default) for key, default in _BOUNDS)
        return lambda x, a=low, b=high: np.clip(x, a, b)
    return UNARY[node.kind] if node.kind in UNARY else BINARY[node.kind]


_BOUNDS = (("min", -np.inf), ("max", np.inf))
