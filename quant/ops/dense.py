"""Dense: a constant matrix times each token's features, accumulated exactly."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from gateformer.quant.ops.base import (
    Inferred,
    Primitive,
    Probe,
    Shape,
    Value,
    exact,
    shape_error,
    wide,
)
from gateformer.quant.types import Fixed, FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Dense(Primitive):
    """``y[t, o] = sum_i weight[o, i] x[t, i] + bias[o]``.

    Attributes
    ----------
    weight : ndarray of int64, (outputs, inputs)
        Raw integers; real weight = raw x 2^-frac.
    frac : int
        Fraction bits of the weights.
    bias : ndarray of int64, (outputs,)
        Raw integers with ``bias_frac`` fraction bits.
    bias_frac : int
        Fraction bits of the bias.
    features : tuple of int
        Shape of one token's result; its product is ``outputs``.
    """

    weight: IntArray
    frac: int
    bias: IntArray
    bias_frac: int
    features: tuple[int, ...]

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        tokens, features = (x[:1], x[1:]) if len(x) > 1 else ((), x)
        if prod(features) != self.weight.shape[1]:
            why = f"the kernel takes {self.weight.shape[1]} features"
            raise shape_error(self, x, why=why)
        return tokens + self.features

    def result_frac(self, x: Fixed) -> int:
        """Fraction bits of the accumulator."""
        return max(x.frac + self.frac, self.bias_frac)

    def aligned(self, x: Fixed) -> tuple[IntArray, IntArray]:
        """Weights and bias as integers at the accumulator's fraction bits."""
        frac = self.result_frac(x)
        grow, lift = frac - x.frac - self.frac, frac - self.bias_frac
        most = max((largest(self.weight) + 1) << grow, (largest(self.bias) + 1) << lift)
        weight, bias = wide(most, self.weight, self.bias)
        return weight * (1 << grow), bias * (1 << lift)

    def infer(self, *inputs: Value) -> Inferred:
        (x,) = inputs
        weight, bias = self.aligned(x.fixed)
        # An operand that is always zero leaves the weights themselves, at the bias's scale.
        reach = max(1, largest(*x.bounds))
        most = largest(weight) * reach * weight.shape[1] + largest(bias)
        dtype = np.int64 if most < 1 << 62 else object
        lo, hi = (b.reshape(-1, weight.shape[1]).astype(dtype) for b in x.bounds)
        up, down = np.maximum(weight, 0).T.astype(dtype), np.minimum(weight, 0).T.astype(dtype)
        low = lo @ up + hi @ down + bias
        high = hi @ up + lo @ down + bias
        shape = self.shape(x.shape)
        return exact(
            narrow(low).reshape(shape), narrow(high).reshape(shape), self.result_frac(x.fixed)
        )

    def execute(self, types: tuple[Fixed, ...], *inputs: IntArray) -> IntArray:
        (x,) = inputs
        weight, bias = self.aligned(types[0])
        tokens = x.shape[1:2] if x.ndim > 2 else ()
        flat = x.reshape(x.shape[0], *tokens, weight.shape[1])
        bound = (largest(weight) << types[0].width) * weight.shape[1]
        y = product_sum(flat, weight.T, bound) + bias
        return y.reshape(x.shape[0], *tokens, *self.features)

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        (x,) = inputs
        tokens = x.shape[1:2] if x.ndim > 2 else ()
        flat = x.reshape(x.shape[0], *tokens, self.weight.shape[1])
        y = flat @ np.ldexp(self.weight.astype(np.float64), -self.frac).T
        y = y + np.ldexp(self.bias.astype(np.float64), -self.bias_frac)
        return y.reshape(x.shape[0], *tokens, *self.features)


def largest(*arrays: IntArray) -> int:
    """Largest magnitude in any of the arrays."""
    return max((max(abs(int(a.min())), abs(int(a.max()))) for a in arrays if a.size), default=0)


def product_sum(a: IntArray, b: IntArray, bound: int) -> IntArray:
    """``a @ b``, exact; by float64 where ``bound``, on any partial sum, allows (much faster)."""
    if bound >= 1 << 53:
        product: IntArray = a @ b
        return product
    return (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64)


def narrow(array: IntArray) -> IntArray:
    """Python integers back as int64 where all of them fit."""
    if array.dtype != object or not array.size:
        return array
    fits = max(abs(int(array.min())), abs(int(array.max()))) < 1 << 62
    return array.astype(np.int64) if fits else array
