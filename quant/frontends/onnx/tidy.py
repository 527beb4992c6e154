"""An imported graph tidied up: factors and offsets join what they follow, a head keeps its axis.

Owns ``tidy`` and ``one_head``. Imports rewriting and the operations concerned.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gateformer.quant.expand import (
    Affine,
    LayerNorm,
    Linear,
    LogSqrt2,
    Quantize,
    RMSNorm,
    Softmax,
)
from gateformer.quant.expand.settings import DYADIC_BITS
from gateformer.quant.graph import Graph
from gateformer.quant.ops.base import Op
from gateformer.quant.ops.layout import Reshape
from gateformer.quant.passes.rewrite import Step, rebuilt, steps_of
from gateformer.quant.types import dyadic


def tidy(graph: Graph) -> Graph:
    """Return the graph with each Linear and the offset or factor that alone reads it as one.

    A factor joins weights that are no quantized ones, or the scale of those that are: their
    whole steps stay.
    """
    graph = one_head(graph)
    readers = graph.consumers()
    makers: dict[str, Step] = {}
    steps: list[Step] = []
    for step in steps_of(graph):
        asked = step.inputs
        step.inputs = tuple(makers[n].output if n in makers else n for n in asked)
        source = makers.get(asked[0]) if asked else None
        alone = source is not None and len(readers[asked[0]]) == 1
        joined = None
        if source is not None and alone and asked[0] not in graph.outputs:
            joined = _joined(source.op, step.op)
        if source is None or joined is None:
            makers[step.output] = step
            steps.append(step)
            continue
        source.op = joined
        if step.output in graph.outputs or source.output.startswith(f"{step.output}/"):
            source.output, source.layer = step.output, step.layer
        makers[step.output] = source
    return rebuilt(graph, steps)


def one_head(graph: Graph) -> Graph:
    """Return the graph with scores (queries, 1, keys) that keep the axis of their only head.

    Exporters drop it before a softmax and bring it back behind; hardware that takes keys a few at
    a time has no such detour, and attention is told by products and softmax alone.
    """
    readers = graph.consumers()
    steps = {step.output: step for step in steps_of(graph)}
    for node in graph.nodes:
        before, after = graph.values[node.inputs[0]].shape if node.inputs else (), node.output
        if not isinstance(node.op, Reshape) or len(before) != 3:
            continue
        if before[1] != 1 or graph.values[after].shape != (before[0], before[2]):
            continue
        inside = 0
        while len(readers[after]) == 1 and after not in graph.outputs:
            (reader,) = readers[after]
            if isinstance(reader.op, Reshape):
                back = graph.values[reader.output].shape == before
                if back and inside and reader.output not in graph.outputs:
                    first = readers[node.output][0]
                    steps[first.output].inputs = steps[node.output].inputs
                    for other in readers[reader.output]:
                        step = steps[other.output]
                        step.inputs = tuple(after if n == reader.output else n for n in step.inputs)
                    del steps[node.output], steps[reader.output]
                break
            if not isinstance(reader.op, Softmax | LogSqrt2 | Quantize) or _causal(reader.op):
                break
            after, inside = reader.output, inside + 1
    return rebuilt(graph, list(steps.values()))


def _causal(op: Op) -> bool:
    return isinstance(op, Softmax) and op.causal


def _joined(op: Op, after: Op) -> Op | None:
    """One operation in place of two, or None."""
    if not isinstance(after, Affine):
        return None
    if isinstance(op, LayerNorm):
        return replace(op, gamma=op.gamma * after.scale, beta=op.beta * after.scale + after.offset)
    if isinstance(op, RMSNorm) and not after.offset.any():
        return replace(op, gamma=op.gamma * after.scale)
    if not isinstance(op, Linear) or op.features != (after.scale.size,):
        return None
    bias = after.offset if op.bias is None else op.bias * after.scale + after.offset
    kept = None if op.bias is None and not bias.any() else bias
    if (after.scale == 1.0).all():
        return replace(op, bias=kept)
    if (after.scale <= 0).any():
        return None
    if op.scale is not None:
        return replace(op, bias=kept, scale=op.scale * after.scale)
    whole = dyadic(op.kernel, DYADIC_BITS)
    if whole is None or (np.frexp(after.scale)[0] == 0.5).all():
        return replace(op, bias=kept, kernel=op.kernel * after.scale)
    steps, frac = whole
    scale = np.ldexp(after.scale, -frac)
    return replace(op, bias=kept, kernel=steps.astype(np.float64), scale=scale)
