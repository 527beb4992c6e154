"""ShiftAdd: a constant matrix as additions of shifted terms, some of whose bits are cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from gateformer.quant.ops.base import Inferred, Primitive, Shape, Value, exact, shape_error
from gateformer.quant.ops.dense import largest, narrow
from gateformer.quant.types import Fixed, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class ShiftAdd(Primitive):
    """Terms start with a token's features x and grow by additions; each output is one of them.

    ``term = (term[a] << left_a) +- (term[b] << left_b)`` and ``y[o] = +-(term << left) + bias[o]``.
    A negative ``left`` shifts right and rounds down, so low bits are cut before they are added:
    this is a Dense with truncated sums.

    Attributes
    ----------
    steps : ndarray of int64, (additions, 5)
        ``a, b, left_a, left_b, subtract``, each of terms before it.
    outputs : ndarray of int64, (outputs, 3)
        ``term, left, negate``; term -1 is zero.
    bias : ndarray of int64, (outputs,)
        Raw integers at the result's fraction bits.
    frac : int
        Fraction bits that the result has more than x.
    features : tuple of int
        Shape of one token's result; its product is ``outputs``.
    inputs : int
        Features of x.
    """

    steps: IntArray
    outputs: IntArray
    bias: IntArray
    frac: int
    features: tuple[int, ...]
    inputs: int

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        tokens, features = (x[:1], x[1:]) if len(x) > 1 else ((), x)
        if prod(features) != self.inputs:
            raise shape_error(self, x, why=f"it takes {self.inputs} features")
        if not prod(self.features) == len(self.outputs) == len(self.bias):
            raise shape_error(self, x, why=f"{len(self.outputs)} outputs, {self.features} wanted")
        known = self.inputs + np.arange(len(self.steps))[:, None]
        if (self.steps[:, :2] < 0).any() or (self.steps[:, :2] >= known).any():
            raise shape_error(self, x, why="a step reads a term after itself")
        if (self.outputs[:, 0] >= self.inputs + len(self.steps)).any():
            raise shape_error(self, x, why="an output reads a term that is not there")
        return tokens + self.features

    def infer(self, *inputs: Value) -> Inferred:
        (x,) = inputs
        terms = [
            (low, high)
            for low, high in zip(
                *(self._flat(b.astype(object)[None]) for b in x.bounds), strict=True
            )
        ]
        for a, b, left_a, left_b, subtract in self.steps.tolist():
            low, high = (moved(end, left_b) for end in terms[b])
            if subtract:
                low, high = -high, -low
            terms.append((moved(terms[a][0], left_a) + low, moved(terms[a][1], left_a) + high))
        ends: tuple[list[IntArray], list[IntArray]] = ([], [])
        for (term, left, negate), bias in zip(self.outputs.tolist(), self.bias, strict=True):
            reached = terms[term] if term >= 0 else (_none(terms),) * 2
            low, high = (moved(end, left) for end in reached)
            low, high = (-high, -low) if negate else (low, high)
            ends[0].append(low + int(bias))
            ends[1].append(high + int(bias))
        shape = self.shape(x.shape)
        lo, hi = (narrow(np.stack(end, -1)).reshape(shape) for end in ends)
        return exact(lo, hi, x.fixed.frac + self.frac)

    def execute(self, types: tuple[Fixed, ...], *inputs: IntArray) -> IntArray:
        (x,) = inputs
        terms = list(self._flat(x.astype(object) if self.widest(types[0]) > 62 else x))
        for a, b, left_a, left_b, subtract in self.steps.tolist():
            one, other = moved(terms[a], left_a), moved(terms[b], left_b)
            terms.append(one - other if subtract else one + other)
        found = []
        for (term, left, negate), bias in zip(self.outputs.tolist(), self.bias, strict=True):
            y = moved(terms[term], left) if term >= 0 else _none([(terms[0],)])
            found.append((-y if negate else y) + bias)
        tokens = x.shape[1:2] if x.ndim > 2 else ()
        return narrow(np.stack(found, -1)).reshape(x.shape[0], *tokens, *self.features)

    def _flat(self, x: IntArray) -> IntArray:
        """Features first: (features, batch, tokens)."""
        tokens = x.shape[1:2] if x.ndim > 2 else ()
        return np.moveaxis(x.reshape(x.shape[0], *tokens, self.inputs), -1, 0)

    def widest(self, kind: Fixed) -> int:
        """Bits, the sign's included, that hold every term: a step adds its shifts and one bit."""
        most = [kind.width + (not kind.signed)] * self.inputs
        for a, b, left_a, left_b, _ in self.steps.tolist():
            most.append(max(most[a] + left_a, most[b] + left_b) + 1)
        ends = [most[t] + left + 1 for t, left, _ in self.outputs.tolist() if t >= 0]
        return max([*most, *ends, largest(self.bias).bit_length() + 2])


def moved(x: IntArray, left: int) -> IntArray:
    """``x << left``, rounded down where ``left`` is negative."""
    return x * (1 << left) if left >= 0 else x >> -left


def _none(terms: Sequence[tuple[IntArray, ...]]) -> IntArray:
    return np.zeros_like(terms[0][0])
