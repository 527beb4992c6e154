"""LogMatMul: weights that are powers of sqrt(2), by shifts."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np

from gateformer.quant.ops.base import Inferred, Probe, Shape, Value, exact, shape_error
from gateformer.quant.ops.dense import narrow, product_sum
from gateformer.quant.ops.elementwise import product_range
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.types import Fixed, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class LogMatMul(MatMul):
    """``y[t, h, d] = sum_s w(a[t, h, s]) b[s, h, d]`` over codes a of powers of sqrt(2).

    A code c has the weight ``2^((c - top) / 2)`` with ``top = 2^bits - 1``, and 0 where it is
    negative. Products are shifts by ``c >> 1``; those of odd and of even codes are summed apart,
    and the even sum is multiplied once by ``m 2^-guard``, m the integer next to
    ``2^guard / sqrt(2)``: an even code's weight is off by less than ``2^-(guard + 1)`` of the next.

    Attributes
    ----------
    contract : {"tokens"}
        As in MatMul.
    bits : int
        Bits of a code that is not negative, 1 to 6.
    guard : int
        Fraction bits of the constant for 1 / sqrt(2).
    """

    contract: Literal["tokens"] = "tokens"
    bits: int = 4
    guard: int = 8

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 6 or not 1 <= self.guard <= 20:
            raise shape_error(self, why="codes have 1 to 6 bits, the constant 1 to 20")

    def shape(self, *inputs: Shape) -> Shape:
        return MatMul.shape(self, *inputs)

    @property
    def even(self) -> int:
        """The integer m."""
        return round((1 << self.guard) / sqrt(2.0))

    @property
    def frac(self) -> int:
        """Fraction bits of a weight."""
        return (1 << (self.bits - 1)) - 1 + self.guard

    def weights(self, codes: IntArray) -> IntArray:
        """Raw integers of codes' weights, with ``frac`` fraction bits."""
        held = np.clip(codes, 0, (1 << self.bits) - 1).astype(np.int64)
        power = np.where(held & 1, 1 << self.guard, self.even) << (held >> 1)
        return np.where(codes < 0, 0, power)

    def infer(self, *inputs: Value) -> Inferred:
        a, b = inputs
        if a.fixed.frac != 0 or a.fixed.max >= 1 << self.bits:
            raise shape_error(self, a.shape, b.shape, why=f"{a.fixed} is no code")
        # The weight grows with the code.
        (alo, blo), (ahi, bhi) = (
            self._terms(self.weights(x), y) for x, y in zip(a.bounds, b.bounds, strict=True)
        )
        low, high = product_range((alo, ahi), (blo, bhi), a.shape[2])
        return exact(narrow(low.sum(2)), narrow(high.sum(2)), b.fixed.frac + self.frac)

    def execute(self, types: tuple[Fixed, ...], *inputs: IntArray) -> IntArray:
        a, b = self._matrices(self.weights(inputs[0]), inputs[1])
        bound = a.shape[-1] << (self.frac + 1 + types[1].width)
        if bound >= 1 << 62:
            a = a.astype(object)
        return np.moveaxis(product_sum(a, b, bound), 1, 2)

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        codes, values = inputs
        top = (1 << self.bits) - 1
        weight = np.where(codes < 0, 0.0, np.exp2((codes - top) / 2.0))
        return MatMul.reference(self, weight, values, probe=probe)
