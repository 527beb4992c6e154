"""Primitives on one token: each becomes scalar operations of a Net.

Owns the lowering of every lane primitive; ``@lowers`` is where a new one is added.
Imports the netlist, the adder-graph solver and the primitives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.hw import cmvm
from gateformer.hw.netlist.net import Net
from gateformer.hw.settings import Settings
from gateformer.quant.errors import ScheduleError
from gateformer.quant.ops.base import Op, Value
from gateformer.quant.ops.cast import Cast, Rescale
from gateformer.quant.ops.dense import Dense
from gateformer.quant.ops.elementwise import Add, Mul
from gateformer.quant.ops.lookup import Lookup
from gateformer.quant.ops.normalize import Normalize, Shift
from gateformer.quant.ops.reduce import Reduce
from gateformer.quant.types import IntArray, Overflow, Rounding

Nodes = NDArray[np.int64]
"""Netlist nodes, in the shape of one token's features."""


@dataclass(frozen=True, slots=True)
class Lane:
    """Where a token's operations go."""

    net: Net
    settings: Settings


Lowering = Callable[[Lane, Any, Sequence[Value], Value, Sequence[Nodes]], Nodes]
LOWERINGS: dict[type[Op], Lowering] = {}


def lowers(kind: type[Op]) -> Callable[[Lowering], Lowering]:
    """Register the lane lowering of a primitive."""

    def keep(function: Lowering) -> Lowering:
        LOWERINGS[kind] = function
        return function

    return keep


def lower(
    lane: Lane, op: Op, operands: Sequence[Value], result: Value, nodes: Sequence[Nodes]
) -> Nodes:
    """Add a primitive's operations for one token."""
    if type(op) not in LOWERINGS:
        raise ScheduleError(
            "E310",
            "no hardware for this operation",
            layer=result.layer,
            kind=type(op).__name__,
            fix="write a lane lowering (docs/extend.md)",
        )
    return LOWERINGS[type(op)](lane, op, operands, result, nodes)


def each(function: Callable[..., int], *nodes: Nodes) -> Nodes:
    """Apply a scalar builder element by element, axes of size 1 repeated."""
    arrays = np.broadcast_arrays(*nodes)
    out = np.empty(arrays[0].shape, np.int64)
    for index in np.ndindex(out.shape):
        out[index] = function(*(int(a[index]) for a in arrays))
    return out


Terms = list[tuple[int, int, bool]]
"""A sum that is not built yet: ``+-(node << shift)`` each."""


@lowers(Dense)
def _dense(
    lane: Lane, op: Dense, operands: Sequence[Value], result: Value, nodes: Sequence[Nodes]
) -> Nodes:
    sums = dense_terms(lane, op, operands[0], nodes[0])
    totals = [lane.net.total(terms, result.name) for terms in sums]
    return np.array(totals, np.int64).reshape(op.features)


def dense_terms(lane: Lane, op: Dense, operand: Value, nodes: Nodes) -> list[Terms]:
    """Each output of a constant matrix as its bias and what the adder graph gives."""
    net = lane.net
    weight, bias = op.aligned(operand.fixed)
    sums = matrix_terms(lane, weight, nodes)
    return [[(net.const(int(b)), 0, False), *parts] for b, parts in zip(bias, sums, strict=True)]


def matrix_terms(lane: Lane, weight: IntArray, nodes: Nodes) -> list[Terms]:
    """Each output of ``weight @ nodes`` as a sum of what the adder graph shares.

    What one sum alone uses is no addition yet: it may join what else is added there, in threes
    where the device does that.
    """
    net, x = lane.net, nodes.reshape(-1)
    graph, common = solved(lane.settings, weight)
    terms: list[tuple[int, int]] = [(int(n), 0) for n in x]
    waiting = cmvm.used_once(graph) if net.ternary else _last_steps(graph)

    def spread(term: int, shift: int, negate: bool) -> Terms:
        """A term, or the parts of one that is not added up."""
        step = term - graph.inputs
        if step not in waiting:
            node, scale = terms[term]
            return [(node, scale + shift, negate)]
        a, b, by, subtract = graph.steps[step]
        return spread(a, shift, negate) + spread(b, by + shift, negate ^ subtract)

    for index, (a, b, shift, subtract) in enumerate(graph.steps):
        if index in waiting:
            terms.append((-1, 0))
        else:
            terms.append(_added(net, spread(a, 0, False) + spread(b, shift, subtract)))
    sums: list[Terms] = []
    for term, shift, negate in graph.outputs:
        parts = [] if term < 0 else spread(term, shift + common, negate)
        if any(power < 0 for _, power, _ in parts):
            parts = [_whole(net, *_added(net, parts))]
        sums.append(parts)
    return sums


def _added(net: Net, parts: Terms) -> tuple[int, int]:
    """A sum as a node and a power of two."""
    base = min(power for _, power, _ in parts)
    lifted = [(node, power - base, negate) for node, power, negate in parts]
    if len(lifted) == 2 and not lifted[0][2]:
        (a, up_a, _), (b, up_b, minus) = lifted
        return net.add(a, b, up_a, up_b, False, minus), base
    return net.total(lifted), base


def solved(settings: Settings, weight: IntArray) -> tuple[cmvm.AdderGraph, int]:
    """The adder graph of a matrix without the power of two that all weights have, and that."""
    common = cmvm.trailing_zeros(weight)
    # A power of two common to all weights is wires.
    return cmvm.solve(weight >> common, settings.adders, settings.cache), common


def _last_steps(graph: cmvm.AdderGraph) -> set[int]:
    """Additions whose one use is one output: they may wait for what else is added there."""
    inner = {term for a, b, _, _ in graph.steps for term in (a, b)}
    return {step for step in cmvm.used_once(graph) if graph.inputs + step not in inner}


def _whole(net: Net, node: int, power: int) -> tuple[int, int, bool]:
    """A part of a sum without a fraction: bits that are known to be zero are dropped."""
    if power < 0:
        node, power = net.cast(node, -power, *_exactly(net, node, -power)), 0
    return node, power, False


def _exactly(net: Net, node: int, drop: int) -> tuple[Any, int, int, Any]:
    """Arguments of a cast that drops bits known to be zero."""
    op = net.operations[node]
    return Rounding.TRN, op.lo >> drop, op.hi >> drop, Overflow.SAT


@lowers(Add)
def _add(
    lane: Lane, op: Add, operands: Sequence[Value], result: Value, nodes: Sequence[Nodes]
) -> Nodes:
    shifts = [result.fixed.frac - v.fixed.frac for v in operands]
    if op.subtract and shifts == [0, 0]:
        return each(lambda a, b: lane.net.apart(a, b, result.name), *nodes)
    return each(
        lambda a, b: lane.net.add(a, b, shifts[0], shifts[1], False, op.subtract, result.name),
        *nodes,
    )


@lowers(Mul)
def _mul(
    lane: Lane, op: Mul, operands: Sequence[Value], result: Value, nodes: Sequence[Nodes]
) -> Nodes:
    return each(lambda a, b: product(lane.net, a, b, result.name), *nodes)


def product(net: Net, a: int, b: int, note: str) -> int:
    """``a x b``; a constant becomes shifted additions."""
    for known, other in ((net.value(a), b), (net.value(b), a)):
        if known is not None:
            terms = [(other, shift, negate) for shift, negate in cmvm.digits(known)]
            return net.total(terms, note)
    return net.mul(a, b, note)


@lowers(Reduce)
def _reduce(
    lane: Lane, op: Reduce, operands: Sequence[Value], result: Value, nodes: Sequence[Nodes]
) -> Nodes:
    axis = -1 if op.axis == "features" else 0
    rows = np.moveaxis(nodes[0], axis, -1)
    out = np.empty(rows.shape[:-1], np.int64)
    for index in np.ndindex(out.shape):
        out[index] = fold(lane.net, op.kind, [int(n) for n in rows[index]], result.name)
    return out[..., None] if op.axis == "features" else out


def fold(net: Net, kind: str, nodes: list[int], note: str) -> int:
    """Sum or maximum of nodes in a balanced tree."""
    if kind == "sum":
        return net.total([(n, 0, False) for n in nodes], note)
    while len(nodes) > 1:
        pairs = [net.max(a, b, note) for a, b in zip(nodes[::2], nodes[1::2], strict=False)]
        nodes = pairs + (nodes[-1:] if len(nodes) % 2 else [])
    return nodes[0]


@lowers(Cast)
def _cast(
    lane: Lane, op: Cast, operands: Sequence[Value], result: Value, nodes: Sequence[Nodes]
) -> Nodes:
    drop = operands[0].fixed.frac - op.type.frac
    low, high = op.type.limits(op.overflow)
    return each(
        lambda a: lane.net.cast(a, drop, op.rounding, low, high, op.overflow, result.name),
        nodes[0],
    )


@lowers(Rescale)
def _rescale(
    lane: Lane, op: Rescale, operands: Sequence[Value], result: Value, nodes: Sequence[Nodes]
) -> Nodes:
    return nodes[0]


@lowers(Lookup)
def _lookup(
    lane: Lane, op: Lookup, operands: Sequence[Value], result: Value, nodes: Sequence[Nodes]
) -> Nodes:
    if op.table.ndim == 1:
        return each(lambda a: lane.net.lookup(a, op.table, result.name), nodes[0])
    index = int(nodes[0].reshape(-1)[0])
    columns = [lane.net.lookup(index, column, result.name) for column in op.table.T]
    return np.array(columns, np.int64).reshape(*nodes[0].shape[:-1], len(columns))


@lowers(Normalize)
def _normalize(
    lane: Lane, op: Normalize, operands: Sequence[Value], result: Value, nodes: Sequence[Nodes]
) -> Nodes:
    width = operands[0].fixed.width
    lo, hi = int(np.min(result.bounds[0])), int(np.max(result.bounds[1]))
    return each(lambda a: lane.net.zeros(a, width, op.even, lo, hi, result.name), nodes[0])


@lowers(Shift)
def _shift(
    lane: Lane, op: Shift, operands: Sequence[Value], result: Value, nodes: Sequence[Nodes]
) -> Nodes:
    drop = operands[0].fixed.frac - op.type.frac
    low, high = op.type.limits(op.overflow)
    return each(
        lambda a, n: lane.net.barrel(a, n, drop, op.rounding, low, high, op.overflow, result.name),
        *nodes,
    )
