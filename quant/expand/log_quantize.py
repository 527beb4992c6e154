"""LogSqrt2: the quantizer of softmax's shares on powers of sqrt(2), by itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateformer.quant.expand.context import Lowering
from gateformer.quant.expand.exponential import reals_of
from gateformer.quant.expand.shares import Shares, log_sqrt2
from gateformer.quant.ops.base import Composite, Probe, Shape, single
from gateformer.quant.ops.log_matmul import LogMatMul
from gateformer.quant.ops.lookup import Lookup
from gateformer.quant.types import Fixed, FloatArray, Overflow, Rounding


@dataclass(frozen=True, slots=True)
class LogSqrt2(Composite):
    """``2^(-k/2)``, ``k = round(-2 log2 p)``; 0 where ``k >= 2^bits`` (``expand.shares``).

    Between a softmax and the values that it weighs, ``passes.fuse_attend`` makes an ``Attend`` of
    all three, whose products are shifts. Anywhere else it is this table.

    Attributes
    ----------
    bits : int
        Of k; 2 to 6.
    """

    bits: int = 4

    def shape(self, *inputs: Shape) -> Shape:
        return single(self, inputs)

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        probe("index", inputs[0])
        return Shares("log_sqrt2", self.bits).of(inputs[0])

    def expand(self, to: Lowering, output: str, layer: str, *inputs: str) -> str:
        """One table of exact codes; weights as ``LogMatMul`` holds them, unless a type is given.

        An operand of more than ``index_bits`` bits is first cast to ``<layer>/index``, which moves
        shares next to a tie.
        """
        (x,) = inputs
        own = LogMatMul(bits=self.bits)
        wide = to.options.index_bits
        if to.value(x).fixed.width > wide:
            x = to.cast_to(x, to.chosen("index") or Fixed(False, wide, wide), "index")
        kind = to.given(output) or Fixed(False, own.frac + 1, own.frac)
        reals = log_sqrt2(np.maximum(reals_of(to.value(x).fixed), 0.0), self.bits)
        table = kind.from_real(reals, Rounding.RND_CONV, Overflow.SAT)
        return to.builder.add(
            Lookup(table.astype(np.int64), kind.frac), x, name=output, layer=layer
        )
