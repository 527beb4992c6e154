"""Softmax over the last axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateformer.quant.expand.context import Lowering
from gateformer.quant.expand.division import divide
from gateformer.quant.expand.exponential import SHARE_BITS, exponential, is_direct, score_type
from gateformer.quant.ops.base import Composite, Probe, Shape
from gateformer.quant.ops.cast import Rescale
from gateformer.quant.ops.reduce import Reduce
from gateformer.quant.types import Fixed, FloatArray


@dataclass(frozen=True, slots=True)
class Softmax(Composite):
    """``exp(x scale) / sum(exp(x scale))`` over a token's, or a vector's, features.

    Attributes
    ----------
    scale : float
        Factor on the scores.
    """

    scale: float = 1.0

    def shape(self, *inputs: Shape) -> Shape:
        return inputs[0]

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        (x,) = inputs
        distance = x.max(-1, keepdims=True) - x
        probe("score", x)
        probe("relative", x)
        probe("distance", distance)
        weight = np.exp(-distance * self.scale)
        return weight / weight.sum(-1, keepdims=True)

    def expand(self, to: Lowering, output: str, layer: str, *inputs: str) -> str:
        """Casts at ``<layer>/score`` and ``/distance``, weights, sum, one division.

        Errors: those of ``exponential`` in the weights, those of ``divide`` (V = 1) after.
        """
        direct = is_direct(to, self.scale)
        score = to.cast_to(inputs[0], score_type(to, direct, self.scale, SHARE_BITS), "score")
        weight = exponential(to, score, self.scale, direct, SHARE_BITS)
        total = to.add(Reduce("sum", "features"), weight, point="total")
        share = divide(to, weight, total, 0, 1, "share")
        kind = to.type(output)
        if to.given(output) is None and kind.signed and kind.width > 1:
            kind = Fixed(False, kind.width - 1, kind.frac)
        return to.finish_as(Rescale(0), share, output=output, kind=kind)
