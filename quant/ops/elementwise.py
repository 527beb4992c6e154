"""Add and Mul: two tensors, element by element; an axis of size 1 is repeated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateformer.quant.ops.base import (
    Inferred,
    Primitive,
    Probe,
    Shape,
    Value,
    exact,
    shape_error,
)
from gateformer.quant.ops.dense import largest, narrow
from gateformer.quant.types import Fixed, FloatArray, IntArray


def _broadcast(op: Primitive, inputs: tuple[Shape, ...]) -> Shape:
    a, b = inputs
    if len(a) != len(b):
        raise shape_error(op, a, b, why="the ranks differ")
    try:
        return tuple(int(n) for n in np.broadcast_shapes(a, b))
    except ValueError:
        raise shape_error(op, a, b, why="the shapes do not broadcast") from None


@dataclass(frozen=True, slots=True)
class Add(Primitive):
    """``a + b``, or ``a - b``; exact, at the finer operand's fraction bits.

    Attributes
    ----------
    subtract : bool
        Take ``b`` away instead of adding it.
    """

    subtract: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        return _broadcast(self, inputs)

    def infer(self, *inputs: Value) -> Inferred:
        a, b = inputs
        frac = max(a.fixed.frac, b.fixed.frac)
        alo, ahi = (v.astype(object) * (1 << (frac - a.fixed.frac)) for v in a.bounds)
        blo, bhi = (v.astype(object) * (1 << (frac - b.fixed.frac)) for v in b.bounds)
        if self.subtract:
            blo, bhi = -bhi, -blo
        return exact(narrow(alo + blo), narrow(ahi + bhi), frac)

    def execute(self, types: tuple[Fixed, ...], *inputs: IntArray) -> IntArray:
        frac = max(t.frac for t in types)
        a, b = (x * (1 << (frac - t.frac)) for x, t in zip(inputs, types, strict=True))
        return a - b if self.subtract else a + b

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        a, b = inputs
        return a - b if self.subtract else a + b


@dataclass(frozen=True, slots=True)
class Mul(Primitive):
    """``a x b``; exact."""

    def shape(self, *inputs: Shape) -> Shape:
        return _broadcast(self, inputs)

    def infer(self, *inputs: Value) -> Inferred:
        a, b = inputs
        low, high = product_range(a.bounds, b.bounds)
        if a.name == b.name:
            low = np.maximum(low, 0)
        return exact(narrow(low), narrow(high), a.fixed.frac + b.fixed.frac)

    def execute(self, types: tuple[Fixed, ...], *inputs: IntArray) -> IntArray:
        a, b = inputs
        return a * b

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        a, b = inputs
        return a * b


def product_range(
    a: tuple[IntArray, IntArray], b: tuple[IntArray, IntArray], terms: int = 1
) -> tuple[IntArray, IntArray]:
    """Interval of a product, element by element; Python integers where ``terms`` sums need them."""
    dtype = np.int64 if largest(*a) * largest(*b) * terms < 1 << 62 else object
    corners = [x.astype(dtype) * y.astype(dtype) for x in a for y in b]
    low, high = corners[0], corners[0]
    for corner in corners[1:]:
        low, high = np.minimum(low, corner), np.maximum(high, corner)
    return low, high
