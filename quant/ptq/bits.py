"""The one definition of a network's average bits: what is multiplied, as the hardware holds it.

Owns ``Bits`` and ``average_bits``. Imports the graph and primitives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np

from gateformer.quant.graph import Graph, Node
from gateformer.quant.ops.cast import Constant, Rescale
from gateformer.quant.ops.dense import Dense
from gateformer.quant.ops.layout import Layout
from gateformer.quant.ops.log_matmul import LogMatMul
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.ops.shift_add import ShiftAdd
from gateformer.quant.types import IntArray, dyadic

CENTRING = ("/centred", "/centred/exact")
"""Ends of the names of what a LayerNorm's constant matrix gives: it holds no weights."""


@dataclass(frozen=True, slots=True)
class Bits:
    """Mean widths of a lowered network.

    Attributes
    ----------
    weights, activations : float
        Mean bits of a weight and of an activation; 0 where there are none.
    weight_count, activation_count : int
        How many there are.
    """

    weights: float
    activations: float
    weight_count: int
    activation_count: int


def average_bits(graph: Graph) -> Bits:
    """Mean bits over all weights, and over all elements of activations.

    - Weights are the elements of the matrices that tokens are multiplied with (projections and
      dense layers), zeros among them. A matrix has the bits of its widest row, a row being one
      output: the narrowest two's complement integers, at the row's own coarsest step, that hold
      it. Biases, gains of normalizations and tables are left out.
    - Activations are the elements of all tensors that those matrices, or products of two tensors
      (query by key, softmax weight by value), read; each tensor counts once, with the width of its
      type. What is only added, looked up or normalized is left out.
    - Matrices of zeros and ones add and multiply nothing: neither they nor their operands count.

    Parameters
    ----------
    graph : Graph
        Lowered.
    """
    made = graph.producers()
    matrices: list[tuple[int, int]] = []
    tensors: dict[str, tuple[int, int]] = {}
    for node in graph.nodes:
        if isinstance(node.op, Dense | ShiftAdd):
            weight = node.op.weight if isinstance(node.op, Dense) else added_up(node.op)
            if not _multiplies(graph, node, weight):
                continue
            matrices.append((row_bits(weight), weight.size))
        elif not isinstance(node.op, MatMul | LogMatMul):
            continue
        for name in node.inputs:
            for source in _sources(made, name):
                value = graph.values[source]
                tensors[source] = (value.fixed.width, prod(value.shape))
    (weights, weight_count), (activations, count) = _mean(matrices), _mean([*tensors.values()])
    return Bits(weights, activations, weight_count, count)


def row_bits(weight: IntArray) -> int:
    """Bits of a matrix (outputs, inputs): those of its widest row at the row's own step."""
    widest = 1
    for row in weight.tolist():
        together = 0
        for raw in row:
            together |= abs(raw)
        if not together:
            continue
        step = (together & -together).bit_length() - 1
        top, low = max(row) >> step, min(row) >> step
        widest = max(widest, 1 + max(top.bit_length(), (-low - 1).bit_length() if low < 0 else 0))
    return widest


def added_up(op: ShiftAdd) -> IntArray:
    """The matrix (outputs, inputs) that additions of shifted terms stand for, bits cut or not."""
    terms = list(np.eye(op.inputs))
    for a, b, left_a, left_b, subtract in op.steps.tolist():
        other = np.ldexp(terms[b], left_b)
        terms.append(np.ldexp(terms[a], left_a) + (-other if subtract else other))
    rows = [
        np.ldexp(terms[term], left) * (-1 if negate else 1) if term >= 0 else 0.0 * terms[0]
        for term, left, negate in op.outputs.tolist()
    ]
    found = dyadic(np.array(rows), 52)
    assert found is not None, "terms are integers times powers of two"
    return found[0]


def _multiplies(graph: Graph, node: Node, weight: IntArray) -> bool:
    """Whether a matrix is of the network's weights."""
    if node.output.endswith(CENTRING) or node.inputs[0] in graph.masks:
        return False
    return not bool(np.isin(weight, (0, 1)).all())


def _sources(made: dict[str, Node], name: str) -> Iterator[str]:
    """What a value is before it was moved; constants give nothing."""
    node = made.get(name)
    if node is None:
        yield name
    elif isinstance(node.op, Layout | Rescale):
        for operand in node.inputs:
            yield from _sources(made, operand)
    elif not isinstance(node.op, Constant):
        yield name


def _mean(groups: list[tuple[int, int]]) -> tuple[float, int]:
    count = sum(size for _, size in groups)
    return (sum(bits * size for bits, size in groups) / count if count else 0.0), count
