"""Pool: all tokens into one vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from gateformer.quant.expand.context import Lowering
from gateformer.quant.ops.base import Composite, Probe, Shape, shape_error
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
