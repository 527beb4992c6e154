"""QuantizeEach: a uniform quantizer whose width and step differ from element to element.

Owns ``QuantizeEach``. Imports the lowering's context and the primitives that it becomes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gateformer.quant.expand.context import Lowering
from gateformer.quant.ops.base import Composite, Primitive, Probe, Shape, shape_error
from gateformer.quant.ops.cast import Cast, Constant, Rescale, round_shift
from gateformer.quant.ops.elementwise import Add, Mul
from gateformer.quant.ops.normalize import Shift
from gateformer.quant.types import Fixed, FloatArray, IntArray, Overflow, Rounding


@dataclass(frozen=True, slots=True, eq=False)
class QuantizeEach(Composite):
    """Each element to the steps of its own type; an element of no bits is zero.

    The three arrays have the operand's rank; an axis of size 1 is the same for all its elements.

    Attributes
    ----------
    signed : ndarray of int64
        1 where an element's type is two's complement, 0 where it is unsigned.
    width : ndarray of int64
        Bits of each element, the sign included; 0 for none.
    frac : ndarray of int64
        Fraction bits of each element.
    rounding : Rounding
        How steps are rounded.
    overflow : Overflow
        What happens beyond an element's range: WRAP or SAT.
    """

    signed: IntArray
    width: IntArray
    frac: IntArray
    rounding: Rounding = Rounding.RND
    overflow: Overflow = Overflow.WRAP

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        for array in (self.signed, self.width, self.frac):
            if array.ndim != len(x) or any(
                n not in (1, m) for n, m in zip(array.shape, x, strict=True)
            ):
                raise shape_error(self, x, why=f"widths of shape {array.shape} do not fit")
        if self.overflow is Overflow.SAT_SYM or int(self.width.min()) < 0:
            raise shape_error(self, x, why="it wraps or saturates to widths of at least 0")
        return x

    @property
    def kinds(self) -> dict[Fixed, IntArray]:
        """Type -> 1 at its elements, over the arrays' common shape."""
        parts = np.broadcast_arrays(self.signed, self.width, self.frac)
        signed, width, frac = (part.ravel() for part in parts)
        shape = parts[0].shape
        found: dict[Fixed, IntArray] = {}
        for s, w, f in sorted({*zip(signed.tolist(), width.tolist(), frac.tolist(), strict=True)}):
            if w:
                where = (signed == s) & (width == w) & (frac == f)
                found[Fixed(bool(s), w, f)] = where.reshape(shape).astype(np.int64)
        return found

    @property
    def hull(self) -> Fixed:
        """The narrowest type that holds every element's type."""
        kinds = self.kinds
        frac = max((kind.frac for kind in kinds), default=0)
        least = min((kind.min << (frac - kind.frac) for kind in kinds), default=0)
        most = max((kind.max << (frac - kind.frac) for kind in kinds), default=0)
        return Fixed.for_range(least, most, frac)

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        (x,) = inputs
        result = np.zeros_like(x)
        for kind, where in self.kinds.items():
            reals = kind.to_real(kind.from_real(x, self.rounding, self.overflow))
            result = np.where(where[None] != 0, reals, result)
        return result

    def expand(self, to: Lowering, output: str, layer: str, *inputs: str) -> str:
        """Shifts by constants, exact: each element's step comes to the unit, and goes back.

        Amounts that do not depend on the token are wires in hardware; others are barrel shifters
        whose amounts come from a ROM. An overflow that the operand's range excludes costs nothing.
        """
        (x,) = inputs
        op = self._on_grid(to.value(x).fixed.frac)
        if not op.width.any():
            none = _constant(np.zeros((1,) * len(to.value(x).shape), np.int64))
            zero = to.builder.add(none, name=f"{output}/none", layer=layer)
            return to.builder.add(Mul(), x, zero, name=output, layer=layer)
        steps = _Steps(op, to, x, output)
        unit = steps.rounded()
        if steps.inside(unit):
            parts = [(unit, steps.coarse - steps.frac, steps.live)]
        else:
            parts = [
                (*steps.fitted(unit, bool(signed)), where)
                for signed in (0, 1)
                if (where := steps.live * (steps.signed == signed)).any()
            ]
        total = ""
        for value, power, where in parts:
            part = steps.aligned(value, power)
            if not where.all():
                part = steps.add(
                    Mul(), part, steps.add(_constant(where), point="kept"), point="part"
                )
            total = steps.add(Add(), total, part, point="parts") if total else part
        return to.builder.add(
            Cast(op.hull, Rounding.TRN, Overflow.SAT), total, name=output, layer=layer
        )

    def _on_grid(self, frac: int) -> QuantizeEach:
        """The same quantizer of operands with so many fraction bits: finer bits, all zero, dropped.

        Only where it wraps: a saturated element may lie beside the operand's steps.
        """
        if self.overflow is not Overflow.WRAP:
            return self
        excess = np.maximum(self.frac - frac, 0)
        width = np.maximum(self.width - excess, 0)
        return replace(self, width=width, frac=np.minimum(self.frac, frac))


class _Steps:
    """The parts of one expansion; arrays have the common shape of the quantizer's three."""

    def __init__(self, op: QuantizeEach, to: Lowering, x: str, output: str) -> None:
        self.op, self.to, self.x, self.output = op, to, x, output
        signed, width, frac = np.broadcast_arrays(op.signed, op.width, op.frac)
        self.live: IntArray = (width > 0).astype(np.int64)
        used = frac[self.live != 0]
        self.coarse, self.fine = int(used.min()), int(used.max())
        self.signed = signed
        self.width = np.where(self.live, width, 1)
        self.frac = np.where(self.live, frac, self.coarse)

    def add(self, op: Primitive, *inputs: str, point: str) -> str:
        """Append a primitive as ``<output>/<point>``; a layer may have several quantizers."""
        name = f"{self.output}/{point}"
        return self.to.builder.add(op, *inputs, name=name, layer=self.to.layer)

    def rounded(self) -> str:
        """Every element as whole steps: raw integers at the coarsest step's fraction bits."""
        amount = self.frac - self.coarse
        value = self.to.value(self.x)
        drop = value.fixed.frac - self.coarse
        low, high = (
            round_shift(bound.astype(object) * (1 << amount.astype(object)), drop, self.op.rounding)
            for bound in value.bounds
        )
        kind = Fixed.for_range(int(low.min()), int(high.max()), self.coarse)
        return self.shift(self.x, amount, kind, Overflow.SAT, "steps", self.op.rounding)

    def inside(self, unit: str) -> bool:
        """Whether no element can leave its type."""
        low, high = self.to.value(unit).bounds
        most = (1 << (self.width - self.signed).astype(object)) - 1
        least = -(self.signed << (self.width - 1).astype(object))
        fits = (low >= least) & (high <= most) | (self.live == 0)
        return bool(fits.all())

    def fitted(self, unit: str, signed: bool) -> tuple[str, IntArray]:
        """Overflow at the top of a common width.

        Returns
        -------
        (value, power)
            Each element's real is the value's times 2^power.
        """
        own = self.live * (self.signed == signed)
        widest = int((self.width * own).max())
        up = np.where(own, widest - self.width, 0)
        kind = Fixed(signed, widest, self.coarse)
        name = "signed" if signed else "unsigned"
        top = self.shift(unit, up, kind, self.op.overflow, name)
        if self.op.overflow is Overflow.WRAP or not up.any():
            return top, self.coarse - self.frac - up
        # Saturation leaves ones below an element's step; they go as it comes down again.
        most = int(up.max())
        lower = Fixed(signed, widest, self.coarse - most)
        whole = self.shift(top, most - up, lower, Overflow.SAT, f"{name}_whole")
        return whole, self.coarse - self.frac - most

    def aligned(self, value: str, power: IntArray) -> str:
        """``value 2^power`` at the finest step."""
        least = int(power.min())
        low, high = (bound.astype(object) for bound in self.to.value(value).bounds)
        drop = self.to.value(value).fixed.frac - self.fine - least
        up = 1 << (power - least).astype(object)
        ends = (round_shift(bound * up, drop, Rounding.TRN) for bound in (low, high))
        lo, hi = (int(end) for end in (next(ends).min(), next(ends).max()))
        kind = Fixed.for_range(lo, hi, self.fine + least)
        moved = self.shift(value, power - least, kind, Overflow.SAT, "aligned")
        return self.add(Rescale(least), moved, point="placed") if least else moved

    def shift(
        self,
        x: str,
        amount: IntArray,
        kind: Fixed,
        overflow: Overflow,
        point: str,
        rounding: Rounding = Rounding.TRN,
    ) -> str:
        """``x 2^amount`` cast to a type; a plain Cast where nothing moves."""
        if not amount.any():
            return self.add(Cast(kind, rounding, overflow), x, point=point)
        by = self.add(_constant(amount), point=f"{point}_by")
        return self.add(Shift(kind, rounding, overflow), x, by, point=point)


def _constant(raw: IntArray) -> Constant:
    """Whole numbers; an axis along which they are the same has size 1."""
    for axis in range(raw.ndim):
        first = raw.take([0], axis)
        if (raw == first).all():
            raw = first
    return Constant(raw.astype(np.int64), 0)
