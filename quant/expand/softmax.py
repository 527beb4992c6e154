"""Softmax over the last axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateformer.quant.expand.context import Lowering
from gateformer.quant.expand.division import divide
from gateformer.quant.expand.exponential import (
    SHARE_BITS,
    causal_keep,
    exponential,
    hide_future,
    is_direct,
    keep_past,
    score_type,
)
from gateformer.quant.ops.base import Composite, Probe, Shape, shape_error
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
    causal : bool
        Scores (T, H, S) of token t and key s: those of keys s > t do not count.
    """

    scale: float = 1.0
    causal: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        if self.causal and len(x) != 3:
            raise shape_error(self, x, why="causal scores are tokens x heads x keys")
        return x

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        (x,) = inputs
        if self.causal:
            seen = causal_keep(x.shape[1], x.shape[3]) != 0
            top = np.where(seen, x, -np.inf).max(-1, keepdims=True)
            x = np.where(seen, x, top)
        else:
            seen = np.ones((1,), bool)
        distance = x.max(-1, keepdims=True) - x
        probe("score", x)
        probe("relative", x)
        probe("distance", distance)
        weight = np.where(seen, np.exp(-distance * self.scale), 0.0)
        return weight / weight.sum(-1, keepdims=True)

    def expand(self, to: Lowering, output: str, layer: str, *inputs: str) -> str:
        """Casts at ``<layer>/score`` and ``/distance``, weights, sum, one division.

        Errors: those of ``exponential`` in the weights, those of ``divide`` (V = 1) after.
        """
        direct = is_direct(to, self.scale)
        kind = score_type(to, direct, self.scale, SHARE_BITS)
        score = inputs[0]
        if self.causal and not direct:
            score = hide_future(to, score, kind)
        score = to.cast_to(score, kind, "score")
        weight = exponential(to, score, self.scale, direct, SHARE_BITS)
        if self.causal:
            weight = keep_past(to, weight)
        total = to.add(Reduce("sum", "features"), weight, point="total")
        share = divide(to, weight, total, 0, 1, "share")
        kind = to.type(output)
        if to.given(output) is None and kind.signed and kind.width > 1:
            kind = Fixed(False, kind.width - 1, kind.frac)
        return to.finish_as(Rescale(0), share, output=output, kind=kind)
