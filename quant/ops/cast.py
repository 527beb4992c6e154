"""Cast, Rescale and Constant: types change, values enter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateformer.quant.ops.base import Inferred, Primitive, Probe, Shape, Value, exact, single
from gateformer.quant.ops.dense import narrow
from gateformer.quant.types import Fixed, FloatArray, IntArray, Overflow, Rounding, wrap


def round_shift(raw: IntArray, drop: int, rounding: Rounding) -> IntArray:
    """``raw x 2^-drop`` rounded to an integer; a negative ``drop`` shifts left exactly."""
    if drop <= 0:
        return raw * (1 << -drop)
    if rounding is Rounding.TRN:
        return raw >> drop
    half = 1 << (drop - 1)
    if rounding is Rounding.RND:
        return (raw + half) >> drop
    odd = (raw >> drop) & 1
    return (raw + (half - 1) + odd) >> drop


def roomy(raw: IntArray, width: int, drop: int) -> IntArray:
    """Integers of some width as they can be shifted: Python's where int64 would overflow."""
    return raw.astype(object) if max(width - min(drop, 0), drop) > 61 else raw


def fit(raw: IntArray, to: Fixed, overflow: Overflow) -> IntArray:
    """Bring integers into a type's range."""
    if overflow is Overflow.WRAP:
        return wrap(raw, to)
    low, high = to.limits(overflow)
    if to.width > 62:
        raw = raw.astype(object)
    return narrow(np.minimum(np.maximum(raw, low), high))


@dataclass(frozen=True, slots=True)
class Cast(Primitive):
    """To another type: drop fraction bits by ``rounding``, fit the range by ``overflow``.

    Attributes
    ----------
    type : Fixed
        Type of the result.
    rounding : Rounding
        TRN (towards minus infinity), RND (half up), RND_CONV (half to even).
    overflow : Overflow
        WRAP, SAT, SAT_SYM.
    """

    type: Fixed
    rounding: Rounding = Rounding.RND
    overflow: Overflow = Overflow.SAT

    def shape(self, *inputs: Shape) -> Shape:
        return single(self, inputs)

    def infer(self, *inputs: Value) -> Inferred:
        (x,) = inputs
        drop = x.fixed.frac - self.type.frac
        lo, hi = (narrow(round_shift(b.astype(object), drop, self.rounding)) for b in x.bounds)
        if self.overflow is Overflow.WRAP and (
            lo.min() < self.type.min or hi.max() > self.type.max
        ):
            whole = Value(x.name, x.shape, x.layer, self.type).bounds
            return Inferred(self.type, *whole)
        return Inferred(
            self.type, fit(lo, self.type, self.overflow), fit(hi, self.type, self.overflow)
        )

    def execute(self, types: tuple[Fixed, ...], *inputs: IntArray) -> IntArray:
        drop = types[0].frac - self.type.frac
        raw = roomy(inputs[0], types[0].width, drop)
        return fit(round_shift(raw, drop, self.rounding), self.type, self.overflow)

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        return self.type.to_real(self.type.from_real(inputs[0], self.rounding, self.overflow))


@dataclass(frozen=True, slots=True)
class Rescale(Primitive):
    """``x 2^power``: the same integer read at another scale; no hardware.

    Attributes
    ----------
    power : int
        Power of two to multiply by.
    """

    power: int

    def shape(self, *inputs: Shape) -> Shape:
        return single(self, inputs)

    def infer(self, *inputs: Value) -> Inferred:
        (x,) = inputs
        kind = Fixed(x.fixed.signed, x.fixed.width, x.fixed.frac - self.power)
        return Inferred(kind, *x.bounds)

    def execute(self, types: tuple[Fixed, ...], *inputs: IntArray) -> IntArray:
        return inputs[0]

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        return np.ldexp(inputs[0], self.power)


@dataclass(frozen=True, slots=True, eq=False)
class Constant(Primitive):
    """A tensor of fixed integers: positions, causal masks, gamma and beta.

    Attributes
    ----------
    raw : ndarray of int64
        The integers, in the value's shape; axis 0 of size 1 is the same for every token.
    frac : int
        Fraction bits.
    """

    raw: IntArray
    frac: int

    def shape(self, *inputs: Shape) -> Shape:
        return self.raw.shape

    def infer(self, *inputs: Value) -> Inferred:
        return exact(self.raw, self.raw, self.frac)

    def execute(self, types: tuple[Fixed, ...], *inputs: IntArray) -> IntArray:
        return self.raw[None]

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        return np.ldexp(self.raw[None].astype(np.float64), -self.frac)
