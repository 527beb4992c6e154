"""Lookup: a table indexed by the raw integer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateformer.quant.ops.base import Inferred, Primitive, Shape, Value, exact, shape_error
from gateformer.quant.types import Fixed, IntArray

MAX_INDEX_WIDTH = 16
"""Widest index of one table: 65,536 entries fill 32 block RAMs of 36 Kbit at 18 bits."""


@dataclass(frozen=True, slots=True, eq=False)
class Lookup(Primitive):
    """``y = table[x mod 2^w]``, w the operand's width: a negative x indexes from the end.

    Attributes
    ----------
    table : ndarray of int64, (2^w,) or (2^w, features)
        Raw results. With two axes the operand has one feature a token (embedding).
    frac : int
        Fraction bits of the result.
    """

    table: IntArray
    frac: int

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        if self.table.ndim == 1:
            return x
        if x[-1] != 1:
            raise shape_error(self, x, why="an embedding takes one index a token")
        return (*x[:-1], self.table.shape[1])

    def infer(self, *inputs: Value) -> Inferred:
        (x,) = inputs
        if self.table.shape[0] != 1 << x.fixed.width:
            raise shape_error(
                self,
                x.shape,
                why=f"a table of {self.table.shape[0]} entries cannot be indexed by {x.fixed}",
            )
        shape = self.shape(x.shape)
        lo, hi = np.broadcast_arrays(*x.bounds)
        spans, where = np.unique(
            np.stack([lo.ravel(), hi.ravel()]).astype(np.int64), axis=1, return_inverse=True
        )
        parts = [self.table[np.arange(a, b + 1) & (self.table.shape[0] - 1)] for a, b in spans.T]
        low = np.stack([part.min(0) for part in parts])[where.ravel()].reshape(shape)
        high = np.stack([part.max(0) for part in parts])[where.ravel()].reshape(shape)
        return exact(low, high, self.frac)

    def execute(self, types: tuple[Fixed, ...], *inputs: IntArray) -> IntArray:
        (x,) = inputs
        picked: IntArray = self.table[(x & (self.table.shape[0] - 1)).astype(np.int64)]
        return picked if self.table.ndim == 1 else picked[..., 0, :]
