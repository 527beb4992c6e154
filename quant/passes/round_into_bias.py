"""Round by the bias: the half step of a Cast joins a sum that is taken anyway.

Owns ``round_into_bias``; the integers behind the Cast stay.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gateformer.quant.graph import Graph
from gateformer.quant.ops.cast import Cast, Constant
from gateformer.quant.ops.dense import Dense
from gateformer.quant.ops.elementwise import Add
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.passes.rewrite import Step, rebuilt, steps_of
from gateformer.quant.types import Rounding


def round_into_bias(graph: Graph) -> Graph:
    """Turn ``Cast(RND)`` behind a Dense or MatMul into ``Cast(TRN)``, half a step added before.

    ``floor(x 2^-n + 1/2) = floor((x + 2^(n-1)) 2^-n)``: one rounding adder less between
    registers. A Dense takes it into its bias, also from behind additions; a MatMul gets a
    constant, ``<value>/half``, which joins its sum as ``<value>/rounded``. Nothing else may
    read what is in between.
    """
    steps = steps_of(graph)
    made = {step.output: step for step in steps}
    readers = {name: len(nodes) for name, nodes in graph.consumers().items()}

    def dense_behind(name: str) -> Step | None:
        step = made.get(name)
        if step is None or readers[name] != 1 or name in graph.outputs:
            return None
        if isinstance(step.op, Dense):
            return step
        if not isinstance(step.op, Add):
            return None
        behind = step.inputs[:1] if step.op.subtract else step.inputs
        return next((found for n in behind if (found := dense_behind(n))), None)

    placed: list[Step] = []
    for step in steps:
        placed.append(step)
        if not isinstance(step.op, Cast) or step.op.rounding is not Rounding.RND:
            continue
        frac = graph.values[step.inputs[0]].fixed.frac
        drop = frac - step.op.type.frac
        before = made.get(step.inputs[0])
        if drop > 0 and before and isinstance(before.op, MatMul) and readers[before.output] == 1:
            placed[-1:] = _rounded(before, step, frac, drop)
            continue
        target = dense_behind(step.inputs[0]) if drop > 0 else None
        if target is None:
            continue
        dense = target.op
        assert isinstance(dense, Dense)
        own = dense.result_frac(graph.values[target.inputs[0]].fixed)
        position = own - frac + drop - 1
        if position < 0:
            continue
        bias = dense.bias.astype(object) * (1 << (own - dense.bias_frac)) + (1 << position)
        if max(abs(int(b)) for b in bias) >= 1 << 62:
            continue
        target.op = replace(dense, bias=bias.astype(np.int64), bias_frac=own)
        step.op = replace(step.op, rounding=Rounding.TRN)
    return rebuilt(graph, placed)


def _rounded(product: Step, cast: Step, frac: int, drop: int) -> list[Step]:
    half = f"{product.output}/half"
    total = f"{product.output}/rounded"
    assert isinstance(cast.op, Cast)
    cast.op = replace(cast.op, rounding=Rounding.TRN)
    cast.inputs = (total,)
    constant = Constant(np.full((1, 1, 1), 1 << (drop - 1), np.int64), frac)
    return [
        Step(constant, (), half, cast.layer),
        Step(Add(), (product.output, half), total, cast.layer),
        cast,
    ]
