"""Reduce: sum or maximum over a token's last axis, or over the tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from gateformer.quant.ops.base import (
    Inferred,
    Primitive,
    Probe,
    Shape,
    Value,
    exact,
    shape_error,
)
from gateformer.quant.ops.dense import narrow
from gateformer.quant.types import Fixed, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Reduce(Primitive):
    """Sum or maximum along one axis; exact.

    Attributes
    ----------
    kind : {"sum", "max"}
        What is kept.
    axis : {"features", "tokens"}
        ``features`` keeps the last axis with size 1; ``tokens`` drops axis 0.
    """

    kind: Literal["sum", "max"]
    axis: Literal["features", "tokens"]

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        if self.axis == "features":
            return (*x[:-1], 1)
        if len(x) < 2:
            raise shape_error(self, x, why="a vector has no tokens")
        return x[1:]

    def infer(self, *inputs: Value) -> Inferred:
        (x,) = inputs
        lo, hi = (self._reduce(b.astype(object), 0) for b in x.bounds)
        return exact(narrow(lo), narrow(hi), x.fixed.frac)

    def execute(self, types: tuple[Fixed, ...], *inputs: IntArray) -> IntArray:
        return self._reduce(inputs[0], 1)

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        return self._reduce(inputs[0], 1)

    def _reduce(self, x: NDArray[Any], token_axis: int) -> NDArray[Any]:
        axis, keep = (-1, True) if self.axis == "features" else (token_axis, False)
        return x.sum(axis, keepdims=keep) if self.kind == "sum" else x.max(axis, keepdims=keep)
