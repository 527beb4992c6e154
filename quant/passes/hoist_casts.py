"""Hoist casts over layout: narrow first, then move. Owns ``hoist_casts``; the integers stay."""

from __future__ import annotations

from gateformer.quant.graph import Graph
from gateformer.quant.ops.cast import Cast
from gateformer.quant.ops.layout import Reshape, Transpose
from gateformer.quant.passes.rewrite import rebuilt, steps_of


def hoist_casts(graph: Graph) -> Graph:
    """Let ``Cast(Reshape(x))`` become ``Reshape(Cast(x))``, so that narrow tokens are flattened.

    Applies where nothing else reads the layout's result. The result of the pair keeps its name;
    the value between them is called ``<name>/narrow``.
    """
    steps = steps_of(graph)
    readers = {name: len(nodes) for name, nodes in graph.consumers().items()}
    made = {step.output: step for step in steps}
    taken = set(graph.values)
    for step in steps:
        while isinstance(step.op, Cast):
            source = made.get(step.inputs[0])
            if source is None or not isinstance(source.op, (Reshape, Transpose)):
                break
            if readers[source.output] != 1 or source.output in graph.outputs:
                break
            name = f"{step.output}/narrow"
            if name in taken:
                break
            taken.add(name)
            readers[name] = 1
            cast, layout = step.op, source.op
            source.op, source.output = cast, name
            step.op, step.inputs = layout, (name,)
            made[name], made[step.output] = source, step
            step = source
    return rebuilt(graph, steps)
