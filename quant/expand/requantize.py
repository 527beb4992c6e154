"""Requantize: whole steps of one quantizer become whole steps of the next.

Owns ``Requantize``. Imports the context, operations and types.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateformer.quant.expand.context import Lowering
from gateformer.quant.ops.base import Composite, Probe, Shape, Value, repeats, shape_error
from gateformer.quant.ops.cast import Cast, Constant, Rescale
from gateformer.quant.ops.dense import narrow
from gateformer.quant.ops.elementwise import Add
from gateformer.quant.types import Fixed, FloatArray, IntArray, Overflow, Rounding, rounded

FULL_BITS = 8
"""Bits of a result from which on factors have ``multiplier_bits``."""

OFFSET_BITS = 12
"""Fraction bits of an offset, in steps."""

LEAST_BITS = 4
"""Fewest that any factor has."""


@dataclass(frozen=True, slots=True, eq=False)
class Requantize(Composite):
    """``(clip(round(x factor + offset + zero_point), low, high) - zero_point) 2^-frac``.

    Integer arithmetic between quantizers (Jacob et al., arXiv 1712.05877, section 2.2): ``factor``
    is the operand's scale over the result's.

    Attributes
    ----------
    factor : ndarray of float64
        Positive; its shape is aligned to the operand's last axes and repeated along the others.
    zero_point : ndarray of int64
        Step that stands for zero; shape as ``factor``.
    low, high : int
        Smallest and largest step, the zero point included.
    rounding : Rounding
        How steps are rounded.
    frac : int
        Fraction bits of a step, for a quantizer whose scale is a power of two.
    offset : ndarray of float64 or None
        Bias of the sum that x is, in steps: added behind the product, it widens no operand of it.
    """

    factor: FloatArray
    zero_point: IntArray
    low: int
    high: int
    rounding: Rounding = Rounding.RND_CONV
    frac: int = 0
    offset: FloatArray | None = None

    @property
    def fraction(self) -> int:
        """Fraction bits of the result."""
        return self.frac

    @property
    def kind(self) -> Fixed:
        """Narrowest type of the result."""
        low, high = self.low - int(self.zero_point.max()), self.high - int(self.zero_point.min())
        return Fixed.for_range(low, high, self.frac)

    @property
    def of_steps(self) -> bool:
        """Whether it rounds and clips alone: the operand is in the result's own steps."""
        return self.offset is None and bool((self.factor == 2.0**self.frac).all())

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        arrays = (self.factor, self.zero_point, *(() if self.offset is None else (self.offset,)))
        for given in (array.shape for array in arrays):
            if not repeats(given, x):
                raise shape_error(self, x, why=f"a factor has the shape {given}")
        return x

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        moved = inputs[0] * self.factor
        if self.offset is not None:
            moved = moved + self.offset
        step = rounded(moved + self.zero_point, self.rounding)
        held = np.clip(step, self.low, self.high) - self.zero_point
        return np.ldexp(held, -self.frac)

    def expand(self, to: Lowering, output: str, layer: str, *inputs: str) -> str:
        """Multiply by ``m 2^-n``, round with the zero point, saturate, take the zero point away.

        Steps differ from the reference's only where what is rounded lies within
        ``2^-b |x factor|`` of where rounding turns, b = ``multiplier_bits`` less what the result
        has below 8 bits: 1/512 of a step where b is 16 and the result has at most 8 bits. An
        offset adds 1/4096 to that.
        """
        top = max(abs(self.low), abs(self.high), int(np.abs(self.zero_point).max()))
        bits = to.options.multiplier_bits - max(0, FULL_BITS - 1 - top.bit_length())
        factor = self._bounded(to.value(inputs[0]))
        x = to.scaled(inputs[0], factor, f"{layer}/requantized", max(bits, LEAST_BITS))
        if self.offset is not None:
            place = np.rint(np.ldexp(self.offset + self.zero_point, OFFSET_BITS))
            raw = narrow(np.array([int(v) for v in place.ravel()], object).reshape(place.shape))
            x = to.add(Add(), x, _constant(to, raw, "offset", x, OFFSET_BITS), point="moved")
        elif self.zero_point.any():
            zero = _constant(to, self.zero_point, "zero", x)
            x = to.add(Add(), x, zero, point="moved")
        held, base = self._saturated(to, x)
        if (self.zero_point != base).any():
            least = _constant(to, base - self.zero_point, "base", held)
            held = to.add(Add(), held, least, point="steps")
        return to.builder.add(Rescale(-self.frac), held, name=output, layer=layer)

    def _bounded(self, x: Value) -> FloatArray:
        """The factor without what changes no step.

        Whatever makes the smallest operand saturate may as well be smaller; whatever leaves the
        largest one within a quarter of a step, without an offset, may as well be larger.
        """
        step = x.fixed.scale
        reach = max(1, *(abs(int(end)) for b in x.bounds for end in (b.min(), b.max()))) * step
        zero = int(np.abs(self.zero_point).max())
        most, least = 2.0 * (max(abs(self.low), abs(self.high)) + zero + 1), 0.25
        if self.offset is not None:
            most, least = most + 2.0 * float(np.abs(self.offset).max()), 0.5**OFFSET_BITS
        return np.clip(self.factor, least / reach, max(most / step, least / reach))

    def _saturated(self, to: Lowering, x: str) -> tuple[str, int]:
        """Whole steps clipped, and the number to add to what was made.

        A Cast saturates at the ends of a type; where the quantizer's are inside, what is beyond
        them is cut as negative numbers are by an unsigned type.
        """
        kind = Fixed.for_range(self.low, self.high, 0)
        symmetric = kind.limits(Overflow.SAT_SYM) == (self.low, self.high)
        overflow = Overflow.SAT_SYM if symmetric else Overflow.SAT
        first, last = kind.limits(overflow)
        x = to.add(Cast(kind, self.rounding, overflow), x, point="saturated")
        base = 0
        if first < self.low:
            base = self.low
            x = to.add(Add(subtract=True), x, _constant(to, base, "low", x), point="above")
            x = _cut(to, x, "not_below")
        if self.high < last:
            top = _constant(to, self.high - base, "high", x)
            x = _cut(to, to.add(Add(subtract=True), top, x, point="below"), "not_above")
            x = to.add(Add(subtract=True), top, x, point="clipped")
        return x, base


def _cut(to: Lowering, x: str, point: str) -> str:
    """What is negative becomes zero."""
    kind = Fixed.for_range(0, max(1, int(to.value(x).bounds[1].max())), 0)
    return to.add(Cast(kind, Rounding.TRN), x, point=point)


def _constant(to: Lowering, raw: IntArray | int, point: str, x: str, frac: int = 0) -> str:
    """Numbers in the rank of x."""
    whole = np.asarray(raw)
    shape = (1,) * (len(to.value(x).shape) - whole.ndim) + whole.shape
    return to.add(Constant(whole.reshape(shape), frac), point=point)
