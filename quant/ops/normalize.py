"""Normalize and Shift: floating a fixed-point number by its leading one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateformer.quant.ops.base import Inferred, Primitive, Shape, Value, exact, shape_error, single
from gateformer.quant.ops.cast import fit, round_shift
from gateformer.quant.ops.dense import narrow
from gateformer.quant.types import Fixed, IntArray, Overflow, Rounding


def leading_zeros(raw: IntArray, width: int) -> IntArray:
    """Zeros above the leading one of a ``width``-bit integer; 0 counts as 1."""
    bits = np.zeros(raw.shape, np.int64)
    rest = np.maximum(raw, 1)
    for step in (128, 64, 32, 16, 8, 4, 2, 1):
        if step < width or step == 1:
            big = rest >= (1 << step)
            bits = bits + np.where(big, step, 0)
            rest = np.where(big, rest >> step, rest)
    return width - 1 - bits


@dataclass(frozen=True, slots=True)
class Normalize(Primitive):
    """How far to shift left so that the leading one comes to the top bit.

    Attributes
    ----------
    even : bool
        Round the amount down to an even number (for square roots).
    """

    even: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        return single(self, inputs)

    def infer(self, *inputs: Value) -> Inferred:
        (x,) = inputs
        lo, hi = x.bounds
        if x.fixed.signed or np.min(lo) < 0:
            raise shape_error(self, x.shape, why="only unsigned integers have a leading one")
        least, most = (self.execute((x.fixed,), bound) for bound in (hi, lo))
        return exact(least, most, 0)

    def execute(self, types: tuple[Fixed, ...], *inputs: IntArray) -> IntArray:
        amount = leading_zeros(inputs[0], types[0].width)
        return amount & ~1 if self.even else amount


@dataclass(frozen=True, slots=True)
class Shift(Primitive):
    """``x 2^amount`` cast to a type: a barrel shifter. Operands: x, amount (at least 0).

    Attributes
    ----------
    type : Fixed
        Type of the result.
    rounding : Rounding
        As in Cast.
    overflow : Overflow
        As in Cast.
    """

    type: Fixed
    rounding: Rounding = Rounding.TRN
    overflow: Overflow = Overflow.SAT

    def shape(self, *inputs: Shape) -> Shape:
        x, amount = inputs
        if len(x) != len(amount) or any(a not in (1, n) for n, a in zip(x, amount, strict=True)):
            raise shape_error(self, x, amount, why="the amount does not broadcast to x")
        return x

    def infer(self, *inputs: Value) -> Inferred:
        x, amount = inputs
        if self.overflow is Overflow.WRAP:
            return Inferred(self.type, *Value(x.name, x.shape, x.layer, self.type).bounds)
        least, most = (b.astype(object) for b in amount.bounds)
        lo, hi = (b.astype(object) for b in x.bounds)
        drop = x.fixed.frac - self.type.frac
        low = np.where(lo < 0, lo << most, lo << least)
        high = np.where(hi < 0, hi << least, hi << most)
        low, high = (narrow(round_shift(b, drop, self.rounding)) for b in (low, high))
        return Inferred(
            self.type, fit(low, self.type, self.overflow), fit(high, self.type, self.overflow)
        )

    def execute(self, types: tuple[Fixed, ...], *inputs: IntArray) -> IntArray:
        x, amount = inputs
        drop = types[0].frac - self.type.frac
        most_left = types[1].max - drop
        if types[0].width + max(0, most_left) > 61 or drop > 61:
            x, amount = x.astype(object), amount.astype(object)
        moved = _shifted(x, drop - amount, self.rounding)
        return fit(moved, self.type, self.overflow)


def _shifted(raw: IntArray, drop: IntArray, rounding: Rounding) -> IntArray:
    """``raw x 2^-drop`` rounded, the amount an array of either sign: no bit is made in vain."""
    right, left = np.maximum(drop, 0), np.maximum(-drop, 0)
    if rounding is not Rounding.TRN:
        half = (right * 0 + 1 << right) >> 1
        if rounding is Rounding.RND_CONV:
            half = half - np.where(right > 0, 1 - ((raw >> right) & 1), 0)
        raw = raw + half
    return (raw >> right) << left
