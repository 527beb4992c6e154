"""Causal: scores of keys that a query does not see, put below all that it sees.

Owns ``Causal`` and ``seen``. Imports the lowering's context and primitives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateformer.quant.expand.context import Lowering
from gateformer.quant.ops.base import Composite, Probe, Shape, shape_error, single
from gateformer.quant.ops.cast import Constant
from gateformer.quant.ops.elementwise import Add, Mul
from gateformer.quant.types import FloatArray


def seen(queries: int, keys: int) -> FloatArray:
    """1 where query t sees key s, s <= t, else 0: (queries, 1, keys)."""
    return np.tri(queries, keys)[:, None]


@dataclass(frozen=True, slots=True)
class Causal(Composite):
    """Queries x heads x keys: what is not seen takes a value that no maximum chooses.

    Its own value has no meaning; what is made of it must be multiplied by ``seen``.
    """

    def shape(self, *inputs: Shape) -> Shape:
        x = single(self, inputs)
        if len(x) != 3:
            raise shape_error(self, x, why="scores are queries x heads x keys")
        return x

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        (x,) = inputs
        return np.where(seen(x.shape[1], x.shape[3])[None] > 0, x, x.min(-1, keepdims=True))

    def expand(self, to: Lowering, output: str, layer: str, *inputs: str) -> str:
        """``(x - lowest) seen + lowest``, lowest the least that any score can be: exact."""
        (x,) = inputs
        value = to.value(x)
        whole = np.full((1, 1, 1), int(value.bounds[0].min()), np.int64)
        mask = seen(value.shape[0], value.shape[2]).astype(np.int64)
        lowest = to.add(Constant(whole, value.fixed.frac), point="lowest")
        above = to.add(Add(subtract=True), x, lowest, point="above")
        kept = to.add(Mul(), above, to.add(Constant(mask, 0), point="seen"), point="kept")
        return to.builder.add(Add(), kept, lowest, name=output, layer=layer)
