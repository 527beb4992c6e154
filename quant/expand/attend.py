"""Attend: from scores and values to contexts, where a model has no attention layer of its own."""

from __future__ import annotations

from dataclasses import dataclass

from gateformer.quant.expand.context import LIMITS, Lowering
from gateformer.quant.expand.exponential import hide_future
from gateformer.quant.expand.heads import Heads
from gateformer.quant.expand.shares import PLAIN, Shares
from gateformer.quant.expand.weights import attend
from gateformer.quant.ops.base import Composite, Probe, Shape
from gateformer.quant.ops.cast import Rescale
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.types import FloatArray


@dataclass(frozen=True, slots=True)
class Attend(Composite):
    """``f(softmax(scale x)) v`` a head: scores x (T, H, S), values v (S, H or 1, V).

    Attributes
    ----------
    scale : float
        Factor on the scores.
    shares : Shares
        f.
    causal : bool
        Scores of token t and key s: those of keys s > t do not count.
    """

    scale: float = 1.0
    shares: Shares = PLAIN
    causal: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        return MatMul("tokens").shape(*inputs)

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        score, value = inputs
        context = attend(score, None, value, self.scale, self.causal, None, probe, self.shares)
        probe("context", context)
        return context

    def expand(self, to: Lowering, output: str, layer: str, *inputs: str) -> str:
        """As Attention from the score on; casts at ``/value``, ``/score`` and ``/distance``."""
        run = Heads(to, self.scale, self.causal, None, self.shares)
        score = inputs[0]
        if self.causal and not run.direct:
            score = hide_future(to, score, run.kind)
        score = to.cast_to(score, run.kind, "score")
        values = inputs[1]
        if to.value(values).fixed.width > LIMITS["value"]:
            values = to.cast(values, "value")
        return to.finish(Rescale(0), run.weigh(score, values), output=output)
