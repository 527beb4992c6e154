"""Requantize: whole steps of one quantizer become whole steps of the next.

Owns ``Requantize``. Imports the context, operations and types.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateformer.quant.expand.context import Lowering
from gateformer.quant.ops.base import Composite, Probe, Shape, shape_error
from gateformer.quant.ops.cast import Cast, Constant, Rescale
from gateformer.quant.ops.elementwise import Add
from gateformer.quant.types import Fixed, FloatArray, IntArray, Overflow, Rounding, rounded


@dataclass(frozen=True, slots=True, eq=False)
class Requantize(Composite):
    """``(clip(round(x factor + zero_point), low, high) - zero_point) 2^-frac``.

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
    """

    factor: FloatArray
    zero_point: IntArray
    low: int
    high: int
    rounding: Rounding = Rounding.RND_CONV
    frac: int = 0

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
        return bool((self.factor == 2.0**self.frac).all())

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        for given in (self.factor.shape, self.zero_point.shape):
            if np.broadcast_shapes(given, x) != x:
                raise shape_error(self, x, why=f"a factor has the shape {given}")
        return x

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        step = rounded(inputs[0] * self.factor + self.zero_point, self.rounding)
        held = np.clip(step, self.low, self.high) - self.zero_point
        return np.ldexp(held, -self.frac)

    def expand(self, to: Lowering, output: str, layer: str, *inputs: str) -> str:
        """Multiply by ``m 2^-n``, round with the zero point, saturate, take the zero point away.

        With m of ``multiplier_bits`` bits a step differs from the reference's only where
        ``x factor + zero_point`` lies within ``|x| 2^-(n+1)`` of where rounding turns.
        """
        x = to.scaled(inputs[0], self.factor, f"{layer}/requantized")
        zero = self._constant(to, self.zero_point, "zero", x)
        if zero is not None:
            x = to.add(Add(), x, zero, point="moved")
        held, low = self._saturated(to, x)
        least = low - self.zero_point
        if least.any():
            base = self._constant(to, least, "base", held)
            assert base is not None
            held = to.add(Add(), held, base, point="steps")
        return to.builder.add(Rescale(-self.frac), held, name=output, layer=layer)

    def _constant(self, to: Lowering, raw: IntArray, point: str, x: str) -> str | None:
        if not raw.any():
            return None
        shape = (1,) * (len(to.value(x).shape) - raw.ndim) + raw.shape
        return to.add(Constant(raw.reshape(shape), 0), point=point)

    def _saturated(self, to: Lowering, x: str) -> tuple[str, int]:
        """Whole steps clipped, and the number to add to what was made."""
        kind = Fixed.for_range(self.low, self.high, 0)
        for overflow in (Overflow.SAT, Overflow.SAT_SYM):
            if kind.limits(overflow) == (self.low, self.high):
                return to.add(Cast(kind, self.rounding, overflow), x, point="clipped"), 0
        lo, hi = (int(end) for end in (to.value(x).bounds[0].min(), to.value(x).bounds[1].max()))
        frac = to.value(x).fixed.frac
        whole = Fixed.for_range((lo >> max(frac, 0)) - 1, (hi >> max(frac, 0)) + 1, 0)
        x = to.add(Cast(whole, self.rounding), x, point="whole")
        span = Fixed.for_range(0, self.high - self.low, 0)
        ends = (
            to.add(Constant(np.full((1,) * len(to.value(x).shape), end), 0), point=name)
            for end, name in ((self.low, "low"), (self.high - self.low, "span"))
        )
        low, most = ends
        above = to.add(Add(subtract=True), x, low, point="above")
        wide = Fixed(False, max(span.width, whole.width + 1), 0)
        above = to.add(Cast(wide, Rounding.TRN), above, point="not_below")
        below = to.add(Add(subtract=True), most, above, point="below")
        below = to.add(Cast(span, Rounding.TRN), below, point="not_above")
        return to.add(Add(subtract=True), most, below, point="clipped"), self.low
