"""Elementwise: an activation, or a quantizer without a uniform step, by name."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf, log2

from gateformer.quant.errors import ModelError
from gateformer.quant.expand.context import Lowering
from gateformer.quant.expand.exponential import reals_of
from gateformer.quant.expand.functions import FLAT_BEYOND, FUNCTIONS
from gateformer.quant.expand.quantize import Quantize
from gateformer.quant.ops.base import Composite, Probe, Shape, single
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
    scale : float
        The function is of ``x scale``.
    step : float
        The result is the function's over this.
    """

    function: str
    parameters: tuple[tuple[str, float], ...] = ()
    scale: float = 1.0
    step: float = 1.0

    def __post_init__(self) -> None:
        if self.function not in FUNCTIONS:
            raise ModelError(
                "E102",
                "unsupported activation",
                kind=self.function,
                fix=f"use one of {', '.join(sorted(FUNCTIONS))}",
            )

    def shape(self, *inputs: Shape) -> Shape:
        return single(self, inputs)

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        probe("index", inputs[0])
        return self.of(inputs[0])

    def of(self, x: FloatArray) -> FloatArray:
        """The function of reals, in its units."""
        y = FUNCTIONS[self.function](x * self.scale, **dict(self.parameters))
        return y if self.step == 1.0 else y / self.step

    @property
    def plain_relu(self) -> bool:
        """Whether it is ``max(x, 0)``."""
        if self.scale != self.step:
            return False
        return self.function == "relu" and not any(v != NEUTRAL[k] for k, v in self.parameters)

    def expand(self, to: Lowering, output: str, layer: str, *inputs: str) -> str:
        """ReLU is a Cast to an unsigned type, exact where none is needed; all else is a table.

        A table whose operand has at most ``index_bits`` bits holds the function at every index,
        rounded once: equal to the framework where a quantizer follows. A wider operand is first
        cast to ``<layer>/index``.
        """
        (x,) = inputs
        if self.function == "identity" and self.scale == self.step and output not in to.fused:
            return to.finish(Rescale(0), x, output=output)
        if self.plain_relu:
            return self._relu(to, output, x)
        if to.value(x).fixed.width > to.options.index_bits:
            x = to.cast_to(x, self._index(to, x), "index")
        table, frac = to.entries(output, self.of(reals_of(to.value(x).fixed)))
        return to.builder.add(Lookup(table, frac), x, name=output, layer=layer)

    def _relu(self, to: Lowering, output: str, x: str) -> str:
        source = to.value(x).fixed
        quantizer = to.fused.get(output)
        if isinstance(quantizer, Quantize):
            kind, rounding = quantizer.type, quantizer.rounding
        elif output in to.casts:
            kind, rounding = to.type(output), Rounding.RND
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
            whole = min(whole, 1 + ceil(log2(FLAT_BEYOND[self.function] / self.scale)))
        bits = to.options.index_bits
        return Fixed(value.fixed.signed, bits, min(bits - whole, value.fixed.frac))
