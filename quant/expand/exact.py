"""Exact: a value that keeps every bit of the operation that made it.

Owns ``Exact``. Imports the composite's base and the lowering's context.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateformer.quant.expand.context import Lowering
from gateformer.quant.ops.base import Composite, Probe, Shape, single
from gateformer.quant.types import FloatArray


@dataclass(frozen=True, slots=True)
class Exact(Composite):
    """The operand as it is: lowering takes its type for settled and casts nothing here.

    Frontends of frameworks that name every quantizer put it behind operations without one.
    """

    def shape(self, *inputs: Shape) -> Shape:
        return single(self, inputs)

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        return inputs[0]

    def expand(self, to: Lowering, output: str, layer: str, *inputs: str) -> str:
        """Nothing: the operand's own value goes on, with its exact type."""
        return inputs[0]
