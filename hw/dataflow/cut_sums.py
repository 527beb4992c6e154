"""ShiftAdd on one token: additions of shifted terms, the last one of an output with its bias.

Owns its lane lowering. Imports the netlist and the registry of lowerings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from gateformer.hw.dataflow.lanes import Lane, Nodes, Terms, lowers
from gateformer.hw.netlist.net import Net
from gateformer.quant.ops.base import Value
from gateformer.quant.ops.shift_add import ShiftAdd
from gateformer.quant.types import Overflow, Rounding


@lowers(ShiftAdd)
def shift_add(
    lane: Lane, op: ShiftAdd, operands: Sequence[Value], result: Value, nodes: Sequence[Nodes]
) -> Nodes:
    """One adder a step; a step that one sum alone reads whole joins it.

    That is the sum with the bias, and where the device adds three operands, any other.
    """
    net, note = lane.net, result.name
    terms = [int(node) for node in nodes[0].reshape(-1)]
    uses = Counter(op.steps[:, :2].ravel().tolist()) + Counter(op.outputs[:, 0].tolist())
    reads = [(term, left) for term, left, _ in op.outputs.tolist()]
    if net.ternary:
        reads += [(step[k], step[k + 2]) for step in op.steps.tolist() for k in (0, 1)]
    joins = {term for term, left in reads if left >= 0 and uses[term] == 1}
    waiting: dict[int, Terms] = {}

    def spread(term: int, left: int, negate: bool) -> Terms:
        if term not in waiting:
            return [_part(net, terms[term], left, negate)]
        return [(node, by + left, minus ^ negate) for node, by, minus in waiting[term]]

    for number, (a, b, left_a, left_b, subtract) in enumerate(op.steps.tolist(), len(terms)):
        parts = spread(a, left_a, False) + spread(b, left_b, bool(subtract))
        if number in joins:
            waiting[number] = parts
            terms.append(-1)
        else:
            terms.append(net.total(parts, note))
    totals = []
    for (term, left, negate), bias in zip(op.outputs.tolist(), op.bias, strict=True):
        parts = [(net.const(int(bias)), 0, False)]
        if term >= 0:
            parts += spread(term, left, bool(negate))
        totals.append(net.total(parts, note))
    return np.array(totals, np.int64).reshape(op.features)


def _part(net: Net, node: int, left: int, negate: bool) -> tuple[int, int, bool]:
    """A term of a sum; low bits that it loses are wires left open."""
    if left >= 0:
        return node, left, negate
    held = net.operations[node]
    low, high = held.lo >> -left, held.hi >> -left
    return net.cast(node, -left, Rounding.TRN, low, high, Overflow.SAT), 0, negate
