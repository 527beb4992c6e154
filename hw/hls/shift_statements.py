"""Statements of sums by shifts: powers of sqrt(2) and truncated adder graphs.

Owns how ``LogMatMul`` and ``ShiftAdd`` are written. Imports the registry of statements.
"""

from __future__ import annotations

from math import prod

import numpy as np

from gateformer.hw.hls.names import fixed
from gateformer.hw.hls.statements import (
    Operand,
    Resources,
    Row,
    Statement,
    features,
    heads,
    listed_rows,
    named,
    states,
)
from gateformer.quant.ops.log_matmul import LogMatMul
from gateformer.quant.ops.shift_add import ShiftAdd
from gateformer.quant.types import Fixed


@states(LogMatMul)
def log_matmul(op: LogMatMul, to: Row, operands: tuple[Operand, ...], own: Resources) -> Statement:
    """Codes against a kept frame."""
    a, b = operands
    head = "" if b.value.shape[1] == 1 else "h, "
    formula = f"{to.text}[h, d] = sum_s w({a.text}[h, s]) {b.text}[s, {head}d], w powers of 2^0.5"
    numbers = f"{heads(to.value)}, {op.bits}, {op.guard}, {op.even}"
    call = f"gf::matmul_codes<{numbers}>({a.text}, {b.text}, {to.text})"
    return Statement(formula, (call,), prod(features(to.value)))


@states(ShiftAdd)
def shift_add(op: ShiftAdd, to: Row, operands: tuple[Operand, ...], own: Resources) -> Statement:
    """Steps and outputs as constant arrays."""
    (x,) = operands
    shift = Fixed.for_range(int(op.bias.min()), int(op.bias.max()), 0)
    bias = own.weight(named(to, "bias"), op.bias, shift)
    wide = op.widest(x.value.fixed)
    steps = op.steps if len(op.steps) else np.zeros((1, 5), np.int64)
    before = (
        f"static const int {to.text}_steps[{len(steps)}][5] = {{{listed_rows(steps)}}};",
        f"static const int {to.text}_ends[{len(op.outputs)}][3] = {{{listed_rows(op.outputs)}}};",
        f"{fixed(Fixed(True, wide, 0))} {to.text}_terms[{op.inputs + len(op.steps)}];",
    )
    arrays = f"{to.text}_steps, {to.text}_ends, {bias}, {to.text}_terms"
    call = f"gf::shift_add<{len(op.steps)}>({x.text}, {arrays}, {to.text})"
    formula = f"{to.text} = {x.text} weight + bias, low bits cut before they are added"
    return Statement(formula, (call,), before=before)
