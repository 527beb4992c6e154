"""Reshape, Transpose, Slice and Concat: wires are renamed, nothing is computed."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

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
from gateformer.quant.ops.dense import narrow
from gateformer.quant.types import Fixed, FloatArray, IntArray


class Layout(Primitive):
    """A primitive that only moves elements: one rule gives meaning, range and wiring."""

    __slots__ = ()

    def move(self, *inputs: NDArray[Any]) -> NDArray[Any]:
        """Rearrange operands that carry a leading batch axis."""
        raise TypeError(f"{type(self).__name__} does not say how it moves elements")

    def infer(self, *inputs: Value) -> Inferred:
        frac = max(v.fixed.frac for v in inputs)
        lo, hi = (
            self.move(
                *(v.bounds[end].astype(object)[None] * (1 << (frac - v.fixed.frac)) for v in inputs)
            )[0]
            for end in (0, 1)
        )
        if len(inputs) == 1:
            return Inferred(inputs[0].fixed, narrow(lo), narrow(hi))
        return exact(narrow(lo), narrow(hi), frac)

    def execute(self, types: tuple[Fixed, ...], *inputs: IntArray) -> IntArray:
        frac = max(t.frac for t in types)
        return self.move(*(x * (1 << (frac - t.frac)) for x, t in zip(inputs, types, strict=True)))

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        return self.move(*inputs)


@dataclass(frozen=True, slots=True)
class Reshape(Layout):
    """The same elements in row-major order under another shape.

    Attributes
    ----------
    to : tuple of int
        New shape; rank 1 gathers all tokens into one vector (Flatten).
    """

    to: tuple[int, ...]

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        if prod(x) != prod(self.to):
            raise shape_error(self, x, why=f"{prod(x)} elements do not fill {self.to}")
        return self.to

    def move(self, *inputs: NDArray[Any]) -> NDArray[Any]:
        return inputs[0].reshape(inputs[0].shape[0], *self.to)


@dataclass(frozen=True, slots=True)
class Transpose(Layout):
    """Reorder axes; ``order[0] == 0`` keeps tokens in their places.

    Attributes
    ----------
    order : tuple of int
        New axis k is old axis ``order[k]``.
    """

    order: tuple[int, ...]

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        if sorted(self.order) != list(range(len(x))):
            raise shape_error(self, x, why=f"{self.order} is no order of its axes")
        return tuple(x[axis] for axis in self.order)

    def move(self, *inputs: NDArray[Any]) -> NDArray[Any]:
        return np.transpose(inputs[0], (0, *(axis + 1 for axis in self.order)))


@dataclass(frozen=True, slots=True)
class Slice(Layout):
    """Elements ``start`` to ``stop`` of the last axis.

    Attributes
    ----------
    start, stop : int
        Half-open range, both at least 0.
    """

    start: int
    stop: int

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        if not 0 <= self.start < self.stop <= x[-1]:
            raise shape_error(self, x, why=f"{self.start}:{self.stop} is outside the last axis")
        return (*x[:-1], self.stop - self.start)

    def move(self, *inputs: NDArray[Any]) -> NDArray[Any]:
        return inputs[0][..., self.start : self.stop]


@dataclass(frozen=True, slots=True)
class Concat(Layout):
    """Tensors side by side along the last axis, at the finest operand's fraction bits."""

    def shape(self, *inputs: Shape) -> Shape:
        if len({x[:-1] for x in inputs}) != 1:
            raise shape_error(self, *inputs, why="all axes but the last must be equal")
        return (*inputs[0][:-1], sum(x[-1] for x in inputs))

    def move(self, *inputs: NDArray[Any]) -> NDArray[Any]:
        batch = max(x.shape[0] for x in inputs)
        return np.concatenate([np.broadcast_to(x, (batch, *x.shape[1:])) for x in inputs], axis=-1)
