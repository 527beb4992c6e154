"""Softmax over the last axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateformer.quant.expand.context import Lowering
from gateformer.quant.ops.base import Composite, Probe, Shape
from gateformer.quant.types import FloatArray


@dataclass(frozen=True, slots=True)
class Softmax(Composite):
    """``exp(x) / sum(exp(x))`` over a token's, or a vector's, features."""

    def shape(self, *inputs: Shape) -> Shape:
        return inputs[0]

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        (x,) = inputs
        distance = x.max(-1, keepdims=True) - x
        probe("score", x)
        probe("distance", distance)
        weight = np.exp(-distance)
        return weight / weight.sum(-1, keepdims=True)
