"""Affine: a scale and an offset a feature (batch normalization at inference)."""

from __future__ import annotations

from dataclasses import dataclass

from gateformer.quant.expand.context import Lowering
from gateformer.quant.ops.base import Composite, Probe, Shape, shape_error, single
from gateformer.quant.ops.elementwise import Add, Mul
from gateformer.quant.types import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Affine(Composite):
    """``y = scale x + offset`` along the last axis.

    Attributes
    ----------
    scale, offset : ndarray of float64, (features,)
        One of each a feature.
    """

    scale: FloatArray
    offset: FloatArray

    def shape(self, *inputs: Shape) -> Shape:
        x = single(self, inputs)
        if x[-1] != self.scale.size or self.scale.shape != self.offset.shape:
            raise shape_error(self, x, why=f"scale has {self.scale.size} features")
        return x

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        return inputs[0] * self.scale + self.offset

    def expand(self, to: Lowering, output: str, layer: str, *inputs: str) -> str:
        """A Mul and an Add of constants: exact but for constants that are not dyadic."""
        (x,) = inputs
        shape = (1,) * (len(to.value(x).shape) - 1) + (self.scale.size,)
        wide = 2 * to.options.weight_bits
        scale = to.constant(self.scale.reshape(shape), "scale", wide)
        if not self.offset.any():
            return to.finish(Mul(), x, scale, output=output)
        scaled = to.add(Mul(), x, scale, point="scaled")
        offset = to.constant(self.offset.reshape(shape), "offset", wide)
        return to.finish(Add(), scaled, offset, output=output)
