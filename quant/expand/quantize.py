"""Quantize: an explicit uniform quantizer of the framework."""

from __future__ import annotations

from dataclasses import dataclass

from gateformer.quant.expand.context import Lowering
from gateformer.quant.ops.base import Composite, Probe, Shape, single
from gateformer.quant.ops.cast import Cast
from gateformer.quant.types import Fixed, FloatArray, Overflow, Rounding


@dataclass(frozen=True, slots=True)
class Quantize(Composite):
    """To the nearest step of a type, as the framework rounds and clips.

    Attributes
    ----------
    type : Fixed
        Type of the result.
    rounding : Rounding
        How steps are rounded.
    overflow : Overflow
        What happens beyond the range.
    """

    type: Fixed
    rounding: Rounding = Rounding.RND_CONV
    overflow: Overflow = Overflow.SAT

    @property
    def fraction(self) -> int:
        """Fraction bits of the result."""
        return self.type.frac

    def shape(self, *inputs: Shape) -> Shape:
        return single(self, inputs)

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        return self.type.to_real(self.type.from_real(inputs[0], self.rounding, self.overflow))

    def expand(self, to: Lowering, output: str, layer: str, *inputs: str) -> str:
        """One Cast; equal to the framework bit for bit where the operand is exact."""
        (x,) = inputs
        cast = Cast(self.type, self.rounding, self.overflow)
        return to.builder.add(cast, x, name=output, layer=layer)
