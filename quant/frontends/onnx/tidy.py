"""An imported graph tidied up: biases join their matrices, what nothing reads goes.

Owns ``tidy``. Imports rewriting and the operations concerned.
"""

from __future__ import annotations

from dataclasses import replace

from gateformer.quant.expand import Affine, Linear
from gateformer.quant.graph import Graph
from gateformer.quant.passes.rewrite import Step, rebuilt, steps_of


def tidy(graph: Graph) -> Graph:
    """Return the graph with each ``x kernel`` and the offset that alone reads it as one Linear."""
    readers = graph.consumers()
    makers: dict[str, Step] = {}
    steps: list[Step] = []
    for step in steps_of(graph):
        source = makers.get(step.inputs[0]) if step.inputs else None
        if (
            source is not None
            and _joins(source, step)
            and len(readers[source.output]) == 1
            and source.output not in graph.outputs
        ):
            linear, offset = source.op, step.op
            assert isinstance(linear, Linear) and isinstance(offset, Affine)
            source.op = replace(linear, bias=offset.offset)
            source.output, source.layer = step.output, step.layer
            makers[step.output] = source
            continue
        makers[step.output] = step
        steps.append(step)
    return rebuilt(graph, steps)


def _joins(source: Step, step: Step) -> bool:
    if not isinstance(source.op, Linear) or not isinstance(step.op, Affine):
        return False
    fits = source.op.features == (step.op.offset.size,)
    return source.op.bias is None and fits and bool((step.op.scale == 1.0).all())
