"""MatMul: tensor x tensor, a head at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
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
from gateformer.quant.ops.dense import narrow, product_sum
from gateformer.quant.ops.elementwise import product_range
from gateformer.quant.types import Fixed, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class MatMul(Primitive):
    """Two tensors of tokens x heads x features, contracted over one axis; exact.

    With ``features``: ``y[t, h, s] = sum_d a[t, h, d] b[s, h, d]`` (attention scores).
    With ``tokens``: ``y[t, h, d] = sum_s a[t, h, s] b[s, h, d]`` (attention context).
    A ``b`` of one head serves all heads of ``a``.

    Attributes
    ----------
    contract : {"features", "tokens"}
        The axis of ``b`` that is summed over.
    """

    contract: Literal["features", "tokens"]

    def shape(self, *inputs: Shape) -> Shape:
        a, b = inputs
        if len(a) != 3 or len(b) != 3 or b[1] not in (1, a[1]):
            raise shape_error(self, a, b, why="operands are tokens x heads x features")
        if a[2] != b[2 if self.contract == "features" else 0]:
            raise shape_error(self, a, b, why=f"the {self.contract} to contract differ")
        return (a[0], a[1], b[0] if self.contract == "features" else b[2])

    def _terms(self, a: IntArray, b: IntArray) -> tuple[IntArray, IntArray]:
        """Operands broadcast to (t, h, s, d) for either contraction."""
        if self.contract == "features":
            return a[:, :, None, :], np.moveaxis(b, 0, 1)[None]
        return a[:, :, :, None], np.moveaxis(b, 0, 1)[None]

    def infer(self, *inputs: Value) -> Inferred:
        a, b = inputs
        (alo, blo), (ahi, bhi) = (
            self._terms(x, y) for x, y in zip(a.bounds, b.bounds, strict=True)
        )
        low, high = product_range((alo, ahi), (blo, bhi), a.shape[2])
        axis = 3 if self.contract == "features" else 2
        frac = a.fixed.frac + b.fixed.frac
        return exact(narrow(low.sum(axis)), narrow(high.sum(axis)), frac)

    def execute(self, types: tuple[Fixed, ...], *inputs: IntArray) -> IntArray:
        a, b = self._matrices(*inputs)
        bound = a.shape[-1] << (types[0].width + types[1].width)
        return np.moveaxis(product_sum(a, b, bound), 1, 2)

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        a, b = self._matrices(*inputs)
        return np.moveaxis(a @ b, 1, 2)

    def _matrices(self, a: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Operands as stacks of matrices (n, heads, rows, columns)."""
        a, b = np.moveaxis(a, 2, 1), np.moveaxis(b, 2, 1)
        return a, np.swapaxes(b, 2, 3) if self.contract == "features" else b
