"""Fold scales: every value in units of its own step, so that arithmetic is on integers.

Owns ``fold_scales``. Imports the graph, composites, primitives and the rules of ``scale_rules``.
"""

from __future__ import annotations

import numpy as np

from gateformer.quant.expand.linear import Linear
from gateformer.quant.expand.scaled import ScaledQuantize
from gateformer.quant.graph import Graph, prune
from gateformer.quant.passes.scale_rules import RULES
from gateformer.quant.passes.units import Units


def fold_scales(graph: Graph) -> Graph:
    """Give every value the unit in which it is made of integers.

    A quantizer with step s makes whole steps, in unit s; a matrix of whole steps multiplies its
    unit by theirs; a product of tensors multiplies units. Softmax, norms, tables and affine maps
    take the unit into their constants. Where units differ that must not, and before everything
    else, the operand is multiplied by its unit (``Scale``). Powers of two stay in the fraction
    bits and cost nothing.

    Parameters
    ----------
    graph : Graph
        As imported.

    Returns
    -------
    Graph
        The same where it has no quantizer with a scale. Else one that is equal on reals but for
        the rounding of float64, with each value's unit in ``scales``; an input that one quantizer
        alone reads is quantized by the host.
    """
    scaled = any(
        isinstance(n.op, ScaledQuantize) or (isinstance(n.op, Linear) and n.op.scale is not None)
        for n in graph.nodes
    )
    if not scaled:
        return graph
    units = Units(graph)
    for name in graph.inputs:
        units.input(name)
    for node in graph.nodes:
        units.layer = graph.values[node.output].layer
        rule = RULES.get(type(node.op))
        if rule is not None:
            rule(units, node)
        else:
            units.keep(node, np.array(1.0), *(units.plain(name) for name in node.inputs))
    return prune(units.build())
