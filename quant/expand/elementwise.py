"""Elementwise: an activation, or a quantizer without a uniform step, by name."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf, log2

import numpy as np

from gateformer.quant.errors import ModelError
from gateformer.quant.expand.context import Lowering
from gateformer.quant.expand.exponential import reals_of
from gateformer.quant.expand.functions import FLAT_BEYOND, FUNCTIONS
from gateformer.quant.ops.base import Composite, Probe, Shape
from gateformer.quant.ops.cast import Cast, Rescale
from gateformer.quant.ops.lookup import Lookup
from gateformer.quant.types import Fixed, FloatArray, Overflow, Rounding

NEUTRAL = {"negative_slope": 0.0, "max_value": inf, "threshold": 0.0}
"""Parameters of ``relu`` that leave it ``max(x, 0)``."""


@dataclass(frozen=True, slots=True)
class Elementwise(Composite):
    """A named function of each element.

    Attributes
    ----------
    function : str
        A key of ``FUNCTIONS``.
    parameters : tuple of (str, float)
        Its keyword arguments.
    """

    function: str
    parameters: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        if self.function not in FUNCTIONS:
            raise ModelError(
                "E102",
                "unsupported activation",
                kind=self.function,
                fix=f"use one of {', '.join(sorted(FUNCTIONS))}",
            )

    def shape(self, *inputs: Shape) -> Shape:
        return inputs[0]

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        probe("index", inputs[0])
        return FUNCTIONS[self.function](inputs[0], **dict(self.parameters))

    @property
    def plain_relu(self) -> bool:
        """Whether it is ``max(x, 0)``."""
        return self.function == "relu" and not any(v != NEUTRAL[k] for k, v in self.parameters)

    def expand(self, to: Lowering, output: str, layer: str, *inputs: str) -> str:
        """ReLU is a Cast to an unsigned type, exact where none is needed; all else is a table.

        A table whose operand has at most ``index_bits`` bits holds the function at every index,
        rounded once: equal to the framework where a quantizer follows. A wider operand is first
        cast to ``<layer>/index``.
        """
        (x,) = inputs
        if self.function == "identity" and output not in to.fused:
            return to.finish(Rescale(0), x, output=output)
        if self.plain_relu:
            return self._relu(to, output, x)
        if to.value(x).fixed.width > to.options.index_bits:
            x = to.cast_to(x, self._index(to, x), "index")
        kind, rounding, overflow = to.target(output)
        reals = FUNCTIONS[self.function](reals_of(to.value(x).fixed), **dict(self.parameters))
        table = kind.from_real(reals, rounding, overflow).astype(np.int64)
        return to.builder.add(Lookup(table, kind.frac), x, name=output, layer=layer)

    def _relu(self, to: Lowering, output: str, x: str) -> str:
        source = to.value(x).fixed
        if output in to.fused or output in to.casts:
            kind, rounding, _ = to.target(output)
            rounding = rounding if output in to.fused else Rounding.RND
        else:
            kind, rounding = source, Rounding.TRN
        kind = Fixed(False, max(1, kind.width - kind.signed), kind.frac)
        cast = Cast(kind, rounding, Overflow.SAT)
        return to.builder.add(cast, x, name=output, layer=to.layer)

    def _index(self, to: Lowering, x: str) -> Fixed:
        """Type of ``<layer>/index``: given, calibrated, or as much of the range as matters."""
        kind = to.chosen("index")
        if kind is not None:
            return kind
        value = to.value(x)
        whole = Fixed.for_range(
            int(value.bounds[0].min()), int(value.bounds[1].max()), value.fixed.frac
        ).integer
        if to.types.default is not None:
            whole = min(whole, to.types.default.integer)
        if self.function in FLAT_BEYOND:
            whole = min(whole, 1 + ceil(log2(FLAT_BEYOND[self.function])))
        bits = to.options.index_bits
        return Fixed(value.fixed.signed, bits, min(bits - whole, value.fixed.frac))
