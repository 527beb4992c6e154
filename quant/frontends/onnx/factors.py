"""Factors of attention scores, which exporters put on queries, keys or scores: all to the softmax.

Owns ``softmax_factors``. Imports rewriting and the operations concerned.
"""

from __future__ import annotations

from dataclasses import replace

from gateformer.quant.expand import Affine, Softmax
from gateformer.quant.graph import Graph, Node
from gateformer.quant.ops.layout import Reshape, Transpose
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.passes.rewrite import rebuilt, steps_of


def softmax_factors(graph: Graph) -> Graph:
    """Return the graph with each positive factor that only a softmax feels in its ``scale``.

    Equal on reals, and exact: no quantizer lies between, and the exponential's table holds the
    factor.
    """
    makers, readers = graph.producers(), graph.consumers()
    scales: dict[str, float] = {}
    gone: dict[str, str] = {}

    def alone(name: str) -> Node | None:
        """The node that makes a value which one node reads."""
        single = len(readers[name]) == 1 and name not in graph.outputs
        return makers.get(name) if single else None

    def taken(name: str) -> tuple[float, Node | None]:
        """Factors on a value, their nodes noted as gone, and the node before them."""
        node, factor = alone(name), 1.0
        while node is not None and isinstance(node.op, Affine | Reshape | Transpose):
            if isinstance(node.op, Affine):
                found = _factor(node.op)
                if found is None:
                    break
                gone[node.output] = node.inputs[0]
                factor *= found
            node = alone(node.inputs[0])
        return factor, node

    for node in graph.nodes:
        if not isinstance(node.op, Softmax):
            continue
        factor, source = taken(node.inputs[0])
        if source is not None and isinstance(source.op, MatMul):
            factor *= taken(source.inputs[0])[0] * taken(source.inputs[1])[0]
        scales[node.output] = factor
    if not gone:
        return graph
    steps = [step for step in steps_of(graph) if step.output not in gone]
    for step in steps:
        step.inputs = tuple(_through(gone, name) for name in step.inputs)
        if isinstance(step.op, Softmax):
            step.op = replace(step.op, scale=step.op.scale * scales[step.output])
    return rebuilt(graph, steps)


def _factor(op: Affine) -> float | None:
    """The one positive number that an operation multiplies by."""
    factor = float(op.scale[0])
    plain = factor > 0 and not op.offset.any() and bool((op.scale == factor).all())
    return factor if plain else None


def _through(gone: dict[str, str], name: str) -> str:
    while name in gone:
        name = gone[name]
    return name
