"""Embedding: a row of a table for each index."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateformer.quant.errors import TypeRangeError
from gateformer.quant.expand.context import Lowering
from gateformer.quant.ops.base import Composite, Probe, Shape, shape_error
from gateformer.quant.ops.layout import Reshape
from gateformer.quant.ops.lookup import MAX_INDEX_WIDTH, Lookup
from gateformer.quant.types import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Embedding(Composite):
    """``y[t] = table[x[t]]``; an index beyond the table gives zeros.

    Attributes
    ----------
    table : ndarray of float64, (entries, features)
        One row an index. The operand has shape (T,) or (T, 1).
    """

    table: FloatArray

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        if len(x) > 2 or (len(x) == 2 and x[1] != 1):
            raise shape_error(self, x, why="an embedding takes one index a token")
        return (x[0], self.table.shape[1])

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        index = inputs[0].reshape(inputs[0].shape[0], -1).astype(np.int64)
        inside = (index >= 0) & (index < self.table.shape[0])
        rows = self.table[np.where(inside, index, 0)]
        return np.where(inside[..., None], rows, 0.0)

    def expand(self, to: Lowering, output: str, layer: str, *inputs: str) -> str:
        """One table, exact; the index is an unsigned integer."""
        (index,) = inputs
        kind = to.value(index).fixed
        if kind.signed or kind.frac != 0 or kind.width > MAX_INDEX_WIDTH:
            raise TypeRangeError(
                "E206",
                f"an index of type {kind} cannot address a table",
                layer=layer,
                fix=f"give '{index}' an unsigned type of at most {MAX_INDEX_WIDTH} integer bits",
            )
        if len(to.value(index).shape) == 1:
            tokens = to.value(index).shape[0]
            index = to.add(Reshape((tokens, 1)), index, point="index")
        raw, frac = to.integers(self.table, "table")
        size = 1 << kind.width
        table = np.zeros((size, raw.shape[1]), np.int64)
        table[: raw.shape[0]] = raw[:size]
        return to.finish(Lookup(table, frac), index, output=output)
