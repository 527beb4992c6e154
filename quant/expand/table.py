"""Table: a function of each element and the quantizer behind it, as one table of every input.

Owns ``Table``. Imports the functions by name and the lowering's context.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateformer.quant.errors import ModelError, TypeRangeError
from gateformer.quant.expand.context import Lowering
from gateformer.quant.expand.exponential import reals_of
from gateformer.quant.expand.functions import FUNCTIONS
from gateformer.quant.ops.base import Composite, Probe, Shape, single
from gateformer.quant.ops.lookup import MAX_INDEX_WIDTH, Lookup
from gateformer.quant.types import Fixed, FloatArray, Overflow, Rounding


@dataclass(frozen=True, slots=True)
class Table(Composite):
    """``quantize(f(x))`` for an x that is quantized already: exact, for the index is never cast.

    Attributes
    ----------
    function : str
        A key of ``FUNCTIONS``.
    parameters : tuple of (str, float)
        Its keyword arguments.
    type : Fixed
        Type of the result.
    rounding : Rounding
        How results are rounded.
    overflow : Overflow
        What happens beyond the type's range.
    """

    function: str
    parameters: tuple[tuple[str, float], ...]
    type: Fixed
    rounding: Rounding = Rounding.RND_CONV
    overflow: Overflow = Overflow.SAT

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
        return self._quantized(inputs[0])

    def _quantized(self, x: FloatArray) -> FloatArray:
        reals = FUNCTIONS[self.function](x, **dict(self.parameters))
        return self.type.to_real(self.type.from_real(reals, self.rounding, self.overflow))

    def expand(self, to: Lowering, output: str, layer: str, *inputs: str) -> str:
        """One table over every value of the operand's type.

        Raises
        ------
        TypeRangeError
            E206 where the operand has more bits than a table's index may have.
        """
        kind = to.value(inputs[0]).fixed
        if kind.width > MAX_INDEX_WIDTH:
            raise TypeRangeError(
                "E206",
                "look-up table too large",
                layer=layer,
                cause=f"its operand is a {kind}; a table takes at most {MAX_INDEX_WIDTH} bits",
                fix="quantize the operand more narrowly, with one step for all its elements",
            )
        reals = self._quantized(reals_of(kind))
        raw = np.ldexp(reals, self.type.frac).astype(np.int64)
        lookup = Lookup(raw, self.type.frac)
        return to.builder.add(lookup, inputs[0], name=output, layer=layer)
