"""Scale: each element times a real constant, where units of two values have to meet."""

from __future__ import annotations

from dataclasses import dataclass

from gateformer.quant.expand.context import Lowering
from gateformer.quant.ops.base import Composite, Probe, Shape, repeats, shape_error
from gateformer.quant.types import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Scale(Composite):
    """``y = x factor``, the operand exact.

    Attributes
    ----------
    factor : ndarray of float64
        Positive; its shape is aligned to the operand's last axes and repeated along the others.
    """

    factor: FloatArray

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        if not repeats(self.factor.shape, x):
            raise shape_error(self, x, why=f"the factor has the shape {self.factor.shape}")
        return x

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        return inputs[0] * self.factor

    def expand(self, to: Lowering, output: str, layer: str, *inputs: str) -> str:
        """One product with a constant ``m 2^-n``, or wires.

        Relative error 2^-``multiplier_bits`` at most.
        """
        return to.scaled(inputs[0], self.factor, output)
