"""The float network of a quantized one: its activation quantizers taken out.

Owns ``floating``. Imports graphs. Weights stay what they are: the quantized ones of the model's
file. Functions that are the model's own activations stay too, those that give few values among
them: they are what it was trained with, not a number format.
"""

from __future__ import annotations

from dataclasses import replace

from gateformer.quant.expand.quantize import Quantize
from gateformer.quant.expand.quantize_each import QuantizeEach
from gateformer.quant.expand.scaled import ScaledQuantize
from gateformer.quant.graph import Graph, Node
from gateformer.quant.ops.layout import Reshape


def floating(graph: Graph) -> Graph:
    """Return a graph on reals without quantizers, its outputs in the same order."""
    moved: dict[str, str] = {}
    outputs = list(graph.outputs)
    nodes: list[Node] = []
    for node in graph.nodes:
        inputs = tuple(moved.get(name, name) for name in node.inputs)
        if not isinstance(node.op, Quantize | QuantizeEach | ScaledQuantize):
            nodes.append(replace(node, inputs=inputs))
        elif node.output in outputs and (inputs[0] in outputs or inputs[0] in graph.inputs):
            # A value is an output only once: this one is a view of it.
            view = Reshape(graph.values[node.output].shape)
            nodes.append(Node(view, inputs, node.output))
        else:
            moved[node.output] = inputs[0]
            outputs = [inputs[0] if name == node.output else name for name in outputs]
    kept = {*graph.inputs, *(node.output for node in nodes)}
    made = replace(
        graph,
        outputs=tuple(outputs),
        nodes=tuple(nodes),
        values={name: value for name, value in graph.values.items() if name in kept},
    )
    made.verify()
    return made
