"""Linear: a dense layer's affine map of each token's features."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from gateformer.quant.expand.context import Lowering
from gateformer.quant.ops.base import Composite, Probe, Shape, shape_error
from gateformer.quant.ops.elementwise import Add
from gateformer.quant.types import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Linear(Composite):
    """``y = (x kernel) scale + bias`` on each token's flattened features, or on a vector's.

    Attributes
    ----------
    kernel : ndarray of float64, (inputs, outputs)
        The framework's quantized weights; its whole steps where there is a ``scale``.
    bias : ndarray of float64, (outputs,), or None
        Added to every token.
    features : tuple of int
        Shape of one token's result; its product is ``outputs``.
    scale : ndarray of float64, (outputs,), or None
        Real value of one step of each output's weights; None is 1.
    """

    kernel: FloatArray
    bias: FloatArray | None
    features: tuple[int, ...]
    scale: FloatArray | None = None

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        tokens, features = (x[:1], x[1:]) if len(x) > 1 else ((), x)
        if prod(features) != self.kernel.shape[0]:
            raise shape_error(self, x, why=f"the kernel takes {self.kernel.shape[0]} features")
        if prod(self.features) != self.kernel.shape[1]:
            why = f"{self.kernel.shape[1]} outputs do not fill {self.features}"
            raise shape_error(self, x, why=why)
        if self.scale is not None and self.scale.shape != self.kernel.shape[1:]:
            raise shape_error(self, x, why=f"there are {self.scale.size} scales of weights")
        return tokens + self.features

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        (x,) = inputs
        tokens = x.shape[1:2] if x.ndim > 2 else ()
        y = x.reshape(x.shape[0], *tokens, self.kernel.shape[0]) @ self.kernel
        if self.scale is not None:
            y = y * self.scale
        if self.bias is not None:
            y = y + self.bias
        return y.reshape(x.shape[0], *tokens, *self.features)

    def expand(self, to: Lowering, output: str, layer: str, *inputs: str) -> str:
        """One exact Dense; a kernel that is not dyadic is quantized to ``<layer>/kernel``.

        With a scale: Dense of the whole steps, then times the scale, then the bias.
        ``passes.fold_scales`` leaves that product out.
        """
        if self.scale is None:
            dense = to.dense(self.kernel, self.bias, self.features)
            return to.finish(dense, *inputs, output=output)
        dense = to.dense(self.kernel, None, self.features)
        scale = self.scale.reshape(self.features)
        steps = to.add(dense, *inputs, point="steps")
        if self.bias is None:
            return to.scaled(steps, scale, output)
        scaled = to.scaled(steps, scale, f"{layer}/scaled")
        shape = (1,) * (len(to.value(steps).shape) - scale.ndim) + scale.shape
        bias = to.constant(self.bias.reshape(shape), "bias", 2 * to.options.weight_bits)
        return to.finish(Add(), scaled, bias, output=output)
