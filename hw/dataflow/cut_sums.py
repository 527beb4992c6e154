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
    """One adder a step; where only an output reads a step, it is one sum with the bias."""
    net, note = lane.net, result.name
    terms = [int(node) for node in nodes[0].reshape(-1)]
    uses = Counter(op.steps[:, :2].ravel().tolist()) + Counter(op.outputs[:, 0].tolist())
    ends = {term for term, left, _ in op.outputs.tolist() if left >= 0 and uses[term] == 1}
    waiting: dict[int, Terms] = {}
    for number, (a, b, left_a, left_b, subtract) in enumerate(op.steps.tolist(), len(terms)):
        parts = [_part(net, terms[a], left_a, False), _part(net, terms[b], left_b, bool(subtract))]
        if number in ends:
            waiting[number] = parts
            terms.append(-1)
        else:
            terms.append(net.total(parts, note))
    totals = []
    for (term, left, negate), bias in zip(op.outputs.tolist(), op.bias, strict=True):
        parts = [(net.const(int(bias)), 0, False)]
        if term in waiting:
            parts += [(n, by + left, minus ^ bool(negate)) for n, by, minus in waiting[term]]
        elif term >= 0:
            parts.append(_part(net, terms[term], left, bool(negate)))
        totals.append(net.total(parts, note))
    return np.array(totals, np.int64).reshape(op.features)


def _part(net: Net, node: int, left: int, negate: bool) -> tuple[int, int, bool]:
    """A term of a sum; low bits that it loses are wires left open."""
    if left >= 0:
        return node, left, negate
    held = net.operations[node]
    low, high = held.lo >> -left, held.hi >> -left
    return net.cast(node, -left, Rounding.TRN, low, high, Overflow.SAT), 0, negate
