"""Products with powers of sqrt(2): one shift a term, two sums, one constant product.

Owns ``shifted_terms``. Imports the netlist and digits of constants.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gateformer.hw import cmvm
from gateformer.hw.dataflow.lanes import Terms
from gateformer.hw.netlist.net import Net
from gateformer.quant.ops.log_matmul import LogMatMul
from gateformer.quant.types import Overflow, Rounding


def shifted_terms(net: Net, op: LogMatMul, pairs: Sequence[tuple[int, int]], note: str) -> Terms:
    """A sum of values weighed by codes, as terms that wait to be added.

    Parameters
    ----------
    net : Net
        Takes the operations.
    op : LogMatMul
        Says what a code means.
    pairs : sequence of (int, int)
        Code and value, as nodes.
    note : str
        Name of the sum.
    """
    sums: tuple[Terms, Terms] = ([], [])
    for code, value in pairs:
        moved = _moved(net, op, code, value, note)
        for odd, terms in enumerate(sums):
            terms.append((net.mul(moved, _chosen(net, op, code, odd), note), 0, False))
    even, odd = (net.total(terms, note) for terms in sums)
    constant = [(even, shift, negate) for shift, negate in cmvm.digits(op.even)]
    return [*constant, (odd, op.guard, False)]


def _moved(net: Net, op: LogMatMul, code: int, value: int, note: str) -> int:
    """The value shifted by half the code; whatever where the code is negative."""
    if op.bits == 1:
        return value
    most = (1 << (op.bits - 1)) - 1
    amount = net.cast(code, 1, Rounding.TRN, 0, most, Overflow.WRAP, note)
    held = net.operations[value]
    low, high = (min(held.lo << most, held.lo), max(held.hi << most, held.hi))
    return net.barrel(value, amount, 0, Rounding.TRN, low, high, Overflow.SAT, note)


def _chosen(net: Net, op: LogMatMul, code: int, odd: int) -> int:
    """One bit: the code counts, and is odd or even as asked."""
    own = net.operations[code]
    codes = np.arange(1 << max(own.width, 2))
    negative = codes >= len(codes) // 2
    return net.lookup(code, (~negative & (codes % 2 == odd)).astype(np.int64))
