"""Where quantizers go: every matrix, and every value that is multiplied.

Owns ``Place``, ``places`` and the tables of what each composite holds. Imports composites.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import Literal

from gateformer.quant.expand import (
    Affine,
    Attend,
    Attention,
    Elementwise,
    Embedding,
    FoldedAttention,
    LayerNorm,
    Linear,
    Quantize,
    RMSNorm,
    ScaledQuantize,
    Softmax,
)
from gateformer.quant.graph import Graph, Node
from gateformer.quant.lower import NARROW
from gateformer.quant.ops.base import Op, Shape
from gateformer.quant.ops.layout import Layout
from gateformer.quant.types import FloatArray


@dataclass(frozen=True, slots=True)
class Tensor:
    """A constant that a composite multiplies by.

    Attributes
    ----------
    field : str
        The composite's attribute.
    point : str
        Its place is ``<layer>/<point>``.
    channels : tuple of int
        Axes of the outputs.
    bias : str
        Attribute of the bias that is added to the product; empty where there is none.
    operand : int or str
        Which operand, or which internal point, the matrix multiplies.
    """

    field: str
    point: str
    channels: tuple[int, ...]
    bias: str = ""
    operand: int | str = 0


MATRICES: Mapping[type[Op], tuple[Tensor, ...]] = MappingProxyType(
    {
        Linear: (Tensor("kernel", "kernel", (1,), "bias"),),
        Attention: (
            Tensor("wq", "query_kernel", (1, 2), "bq", 0),
            Tensor("wk", "key_kernel", (1, 2), "bk", 1),
            Tensor("wv", "value_kernel", (1, 2), "bv", 2),
            Tensor("wo", "output_kernel", (2,), "bo", "context"),
            Tensor("wg", "gate_kernel", (1,), "bg", 0),
        ),
        FoldedAttention: (
            Tensor("wm", "query_kernel", (1, 2), "bm", 0),
            Tensor("wc", "row_kernel", (1,), "bc", 0),
            Tensor("wn", "value_kernel", (1, 2), "bn", 2),
            Tensor("wg", "gate_kernel", (1,), "bg", 0),
        ),
    }
)
"""Matrices of each composite; Embedding's table is none, but takes the same bits."""

GAINS: Mapping[type[Op], tuple[str, str, str]] = MappingProxyType(
    {
        LayerNorm: ("gamma", "beta", "gamma"),
        RMSNorm: ("gamma", "", "gamma"),
        Affine: ("scale", "offset", "scale"),
    }
)
"""One factor a feature: its attribute, its offset's, and its point."""


@dataclass(frozen=True, slots=True)
class Place:
    """One quantizer.

    Attributes
    ----------
    name : str
        ``<layer>/<point>`` of a matrix or of a point inside a layer, or the value's name.
    kind : {"weights", "value", "point"}
        A constant; a value between operations, which gets a quantizer of its own; a point inside
        a composite, which gets a type.
    layer : str
        The source layer.
    elements : int
        Numbers that take these bits.
    """

    name: str
    kind: Literal["weights", "value", "point"]
    layer: str
    elements: int


def places(graph: Graph) -> tuple[Place, ...]:
    """Every quantizer of a graph, in its order; what the model quantizes itself is left out."""
    found: list[Place] = []
    wanted = values(graph)
    for name in graph.inputs:
        if name in wanted:
            found.append(Place(name, "value", name, prod(graph.values[name].shape)))
    for node in graph.nodes:
        value = graph.values[node.output]
        for point, array in weights(node):
            found.append(Place(f"{value.layer}/{point}", "weights", value.layer, array.size))
        for point, shape in points(graph, node):
            found.append(Place(f"{value.layer}/{point}", "point", value.layer, prod(shape)))
        if node.output in wanted:
            found.append(Place(node.output, "value", value.layer, prod(value.shape)))
    return tuple(found)


def weights(node: Node) -> Iterator[tuple[str, FloatArray]]:
    """Point and reals of each matrix of a node."""
    op = node.op
    if isinstance(op, Linear) and op.scale is not None:
        return
    if isinstance(op, Embedding):
        yield "table", op.table
    for tensor in MATRICES.get(type(op), ()):
        array = getattr(op, tensor.field)
        if array is not None and array.any():
            yield tensor.point, array


def points(graph: Graph, node: Node) -> Iterator[tuple[str, Shape]]:
    """Point and shape of what is multiplied inside a composite."""
    op = node.op
    if isinstance(op, Attend):
        if op.shares.kind != "log_sqrt2":
            yield "exp", graph.values[node.inputs[0]].shape
        return
    if not isinstance(op, Attention | FoldedAttention):
        return
    tokens, keys = (graph.values[name].shape[0] for name in node.inputs[:2])
    if isinstance(op, Attention):
        query, key, value = (w.shape[2] for w in (op.wq, op.wk, op.wv))
        yield from (("query", (tokens, op.heads, query)), ("key", (keys, op.heads, key)))
        yield "context", (tokens, op.heads, value)
    else:
        value = op.wn.shape[2]
        yield "query", (tokens, op.heads, op.wm.shape[2])
    yield "value", (keys, op.heads, value)
    if op.shares.kind != "log_sqrt2":
        yield "exp", (tokens, op.heads, keys)
    if op.wg is not None:
        yield "gate", (tokens, op.heads, 1)


def values(graph: Graph) -> frozenset[str]:
    """Values that get a quantizer: those that are multiplied, and those that are read twice.

    What only a table, a softmax, a plain ReLU or a layout reads stays exact up to there.
    """
    readers = graph.consumers()
    settled: set[str] = set(graph.masks)
    chosen: set[str] = set()
    for name in graph.inputs:
        if any(isinstance(n.op, Embedding) for n in readers[name]):
            settled.add(name)
    made = graph.producers()
    for name in graph.values:
        node = made.get(name)
        if node is not None and _is_settled(node, settled):
            settled.add(name)
        if name in settled or not readers[name]:
            continue
        ops = [n.op for n in readers[name]]
        if all(isinstance(op, Quantize | ScaledQuantize) for op in ops):
            continue
        twice = len(ops) > 1 and not all(isinstance(op, Layout) for op in ops)
        if twice or any(_multiplies(n, name) for n in readers[name]) or _shares(node, ops):
            chosen.add(name)
            settled.add(name)
    return frozenset(chosen)


def _multiplies(node: Node, name: str) -> bool:
    """Whether a node multiplies a value; scores go to a table alone."""
    if isinstance(node.op, Attend):
        return name == node.inputs[1]
    return isinstance(node.op, NARROW)


def _is_settled(node: Node, settled: set[str]) -> bool:
    """Whether a value has few bits already: by its own quantizer, or moved from such."""
    if isinstance(node.op, Quantize | ScaledQuantize | Embedding):
        return True
    return isinstance(node.op, Layout) and settled.issuperset(node.inputs)


def _shares(node: Node | None, ops: list[Op]) -> bool:
    """Whether a table's or a softmax's result goes somewhere: its entries are that wide."""
    if node is None or not isinstance(node.op, Elementwise | Softmax):
        return False
    plain = isinstance(node.op, Elementwise) and node.op.plain_relu
    return not plain and not all(isinstance(op, Layout) for op in ops)
