"""Elementwise: an activation, or a quantizer without a uniform step, by name."""

from __future__ import annotations

from dataclasses import dataclass

from gateformer.quant.errors import ModelError
from gateformer.quant.expand.context import Lowering
from gateformer.quant.expand.functions import FUNCTIONS
from gateformer.quant.ops.base import Composite, Probe, Shape
from gateformer.quant.types import FloatArray


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
