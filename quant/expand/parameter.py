"""Parameter: a tensor of the model's own constants."""

from __future__ import annotations

from dataclasses import dataclass

from gateformer.quant.expand.context import Lowering
from gateformer.quant.ops.base import Composite, Probe, Shape
from gateformer.quant.ops.cast import Constant
from gateformer.quant.types import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Parameter(Composite):
    """Constants that differ from token to token, such as learned positions.

    Attributes
    ----------
    real : ndarray of float64
        The constants, tokens first; an axis of size one is repeated by what reads it.
    """

    real: FloatArray

    def shape(self, *inputs: Shape) -> Shape:
        return self.real.shape

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        return self.real[None]

    def expand(self, to: Lowering, output: str, layer: str, *inputs: str) -> str:
        """One Constant; reals that are not dyadic are quantized to ``<layer>/constant``."""
        raw, frac = to.integers(self.real, "constant", 2 * to.options.weight_bits)
        return to.finish(Constant(raw, frac), output=output)
