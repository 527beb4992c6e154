"""Linear: a dense layer's affine map of each token's features."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from gateformer.quant.expand.context import Lowering
from gateformer.quant.ops.base import Composite, Probe, Shape, shape_error
from gateformer.quant.types import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Linear(Composite):
    """``y = x kernel + bias`` on the flattened features of each token, or of a vector.

    Attributes
    ----------
    kernel : ndarray of float64, (inputs, outputs)
        The framework's quantized weights.
    bias : ndarray of float64, (outputs,), or None
        Added to every token.
    features : tuple of int
        Shape of one token's result; its product is ``outputs``.
    """

    kernel: FloatArray
    bias: FloatArray | None
    features: tuple[int, ...]

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        tokens, features = (x[:1], x[1:]) if len(x) > 1 else ((), x)
        if prod(features) != self.kernel.shape[0]:
            raise shape_error(self, x, why=f"the kernel takes {self.kernel.shape[0]} features")
        if prod(self.features) != self.kernel.shape[1]:
            why = f"{self.kernel.shape[1]} outputs do not fill {self.features}"
            raise shape_error(self, x, why=why)
        return tokens + self.features

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        (x,) = inputs
        tokens = x.shape[1:2] if x.ndim > 2 else ()
        y = x.reshape(x.shape[0], *tokens, self.kernel.shape[0]) @ self.kernel
        if self.bias is not None:
            y = y + self.bias
        return y.reshape(x.shape[0], *tokens, *self.features)

    def expand(self, to: Lowering, output: str, layer: str, *inputs: str) -> str:
        """One exact Dense; a kernel that is not dyadic is quantized to ``<layer>/kernel``."""
        dense = to.dense(self.kernel, self.bias, self.features)
        return to.finish(dense, *inputs, output=output)
