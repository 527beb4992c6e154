"""Rewriting: a graph as a list of steps that a pass may change, and back.

Owns ``Step``, ``steps_of`` and ``rebuilt``. Imports the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateformer.quant.graph import Builder, Graph, prune
from gateformer.quant.ops.base import Op
from gateformer.quant.ops.cast import Cast


@dataclass(slots=True)
class Step:
    """A node that may still change.

    Attributes
    ----------
    op : Op
        The operation.
    inputs : tuple of str
        Values it reads.
    output : str
        Value it defines.
    layer : str
        Source layer of that value.
    """

    op: Op
    inputs: tuple[str, ...]
    output: str
    layer: str


def steps_of(graph: Graph) -> list[Step]:
    """Nodes of a graph, in order."""
    return [Step(n.op, n.inputs, n.output, graph.values[n.output].layer) for n in graph.nodes]


def rebuilt(
    graph: Graph, steps: Sequence[Step], settled: Callable[[Op], bool] = lambda op: False
) -> Graph:
    """Infer types and ranges again; inputs and outputs stay.

    Parameters
    ----------
    graph : Graph
        Before.
    steps : sequence of Step
        What its nodes became.
    settled : callable
        Tells the operations whose operands keep their types, by a Cast where ranges moved.
    """
    builder = Builder(graph.name)
    for name in graph.inputs:
        value = graph.values[name]
        builder.input(name, value.shape, value.type, graph.masks.get(name))
    for step in steps:
        inputs = list(step.inputs)
        for place, name in enumerate(inputs if settled(step.op) else ()):
            kind = graph.values[name].fixed
            if builder.values[name].fixed != kind:
                inputs[place] = builder.add(
                    Cast(kind), name, name=f"{name}/settled", layer=step.layer
                )
        builder.add(step.op, *inputs, name=step.output, layer=step.layer)
    for name in graph.outputs:
        builder.output(name)
    for name in graph.scales.keys() & builder.values.keys():
        builder.scale(name, graph.scales[name])
    for name, overflow in graph.floors.items():
        builder.floor(name, overflow)
    return prune(builder.build())
