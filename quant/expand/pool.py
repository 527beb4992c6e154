"""Pool: all tokens into one vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from gateformer.quant.expand.context import Lowering
from gateformer.quant.expand.division import divide
from gateformer.quant.ops.base import Composite, Probe, Shape, shape_error
from gateformer.quant.ops.cast import Constant, Rescale
from gateformer.quant.ops.elementwise import Add, Mul
from gateformer.quant.ops.layout import Reshape
from gateformer.quant.ops.reduce import Reduce
from gateformer.quant.types import FloatArray


@dataclass(frozen=True, slots=True)
class Pool(Composite):
    """Mean, maximum or sum over tokens. Operands: x (T, F), and a mask (T, 1) where ``masked``.

    Attributes
    ----------
    kind : {"mean", "max", "sum"}
        What is kept.
    masked : bool
        Only tokens whose mask is 1 count; where none does the result is zero.
    """

    kind: Literal["mean", "max", "sum"]
    masked: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        if len(inputs) != 1 + self.masked or len(inputs[0]) < 2:
            raise shape_error(self, *inputs, why="operands are tokens and a mask if masked")
        if self.masked and (inputs[1][0] != inputs[0][0] or set(inputs[1][1:]) != {1}):
            raise shape_error(self, *inputs, why="the mask is one bit a token")
        return inputs[0][1:]

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        x = inputs[0]
        keep = np.ones((x.shape[0], x.shape[1], *(1,) * (x.ndim - 2)))
        if self.masked:
            keep = (inputs[1] != 0).astype(np.float64).reshape(keep.shape)
        count = keep.sum(1)
        if self.kind == "max":
            top = np.where(keep > 0, x, -np.inf).max(1)
            return np.where(count > 0, top, 0.0)
        total = (x * keep).sum(1)
        return total if self.kind == "sum" else total / np.maximum(count, 1.0)

    def expand(self, to: Lowering, output: str, layer: str, *inputs: str) -> str:
        """Sums and maxima are exact, masked or not.

        An unmasked mean of T tokens is the sum times 1/T in 17 bits: relative error 2^-17, zero
        where T is a power of two. A masked mean has the error of ``divide``.
        """
        x = inputs[0]
        if self.masked:
            mask = self._mask(to, *inputs)
            if self.kind == "max":
                return self._masked_max(to, output, x, mask)
            x = to.add(Mul(), x, mask, point="kept")
        if self.kind != "mean":
            return to.finish(Reduce(self.kind, "tokens"), x, output=output)
        total = to.add(Reduce("sum", "tokens"), x, point="sum")
        if self.masked:
            bounds = to.value(inputs[0]).bounds
            count = to.add(Reduce("sum", "tokens"), mask, point="count")
            lo, hi = int(bounds[0].min()), int(bounds[1].max())
            return to.finish(Rescale(0), divide(to, total, count, lo, hi, "mean"), output=output)
        tokens = to.value(x).shape[0]
        frac = 16 + (tokens - 1).bit_length()
        if tokens & (tokens - 1) == 0:
            return to.finish(Rescale(16 - frac), total, output=output)
        share = Constant(np.full((1,) * len(to.value(total).shape), round(2**frac / tokens)), frac)
        return to.finish(Mul(), total, to.add(share, point="share"), output=output)

    def _mask(self, to: Lowering, *inputs: str) -> str:
        """The mask in the rank of x."""
        rank = len(to.value(inputs[0]).shape)
        shape = (to.value(inputs[1]).shape[0], *(1,) * (rank - 1))
        if to.value(inputs[1]).shape == shape:
            return inputs[1]
        return to.add(Reshape(shape), inputs[1], point="mask")

    def _masked_max(self, to: Lowering, output: str, x: str, mask: str) -> str:
        """Largest of ``(x - floor) mask``, and ``floor`` added again if any token counts."""
        value = to.value(x)
        floor = np.full((1,) * len(value.shape), int(value.bounds[0].min()), np.int64)
        lowest = to.add(Constant(floor, value.fixed.frac), point="floor")
        above = to.add(Add(subtract=True), x, lowest, point="above")
        kept = to.add(Mul(), above, mask, point="kept")
        largest = to.add(Reduce("max", "tokens"), kept, point="largest")
        some = to.add(Reduce("max", "tokens"), mask, point="any")
        base = to.add(Constant(floor[0], value.fixed.frac), point="base")
        offset = to.add(Mul(), some, base, point="offset")
        return to.finish(Add(), largest, offset, output=output)
