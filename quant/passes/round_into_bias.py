"""Round by the bias: the half step of a Cast rides on a constant that is added anyway.

Owns ``round_into_bias``; the integers behind the Cast stay.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gateformer.quant.graph import Graph
from gateformer.quant.ops.cast import Cast
from gateformer.quant.ops.dense import Dense
from gateformer.quant.ops.elementwise import Add
from gateformer.quant.passes.rewrite import Step, rebuilt, steps_of
from gateformer.quant.types import Rounding


def round_into_bias(graph: Graph) -> Graph:
    """Turn ``Cast(RND)`` behind a Dense into ``Cast(TRN)`` with half a step in the bias.

    ``floor(x 2^-n + 1/2) = floor((x + 2^(n-1)) 2^-n)``: one rounding adder less between
    registers. The Dense may lie behind additions; nothing else may read what is in between.
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

    for step in steps:
        if not isinstance(step.op, Cast) or step.op.rounding is not Rounding.RND:
            continue
        frac = graph.values[step.inputs[0]].fixed.frac
        drop = frac - step.op.type.frac
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
    return rebuilt(graph, steps)
