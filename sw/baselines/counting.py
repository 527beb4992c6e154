"""How much a network is: its blocks, its parameters, its multiplications and additions.

Owns ``blocks``, ``parameters`` and ``operations``. Imports graphs and the counts of layers.
"""

from __future__ import annotations

from math import prod

from gateformer.flow.layers import constants, multiplies
from gateformer.quant.expand.attention import Attention
from gateformer.quant.expand.folded_attention import FoldedAttention
from gateformer.quant.expand.linear import Linear
from gateformer.quant.graph import Graph

OPERANDS = {"wk": 1, "wv": 2, "wn": 2}
"""Which operand's tokens a matrix of an attention is applied to, where it is not the query's."""


def blocks(graph: Graph) -> int:
    """Return the layers with an attention; without one, those with a matrix."""
    kinds = (Attention, FoldedAttention), (Linear,)
    counts = [sum(isinstance(node.op, kind) for node in graph.nodes) for kind in kinds]
    return counts[0] or counts[1]


def parameters(graph: Graph) -> int:
    """Return the numbers of all constants."""
    return sum(array.size for node in graph.nodes for _, array in constants(node.op))


def operations(graph: Graph) -> int:
    """Return the multiplications and additions of matrices and attention, for one inference.

    Norms, activations and softmax are not among them, as is usual.
    """
    products = multiplies(graph)
    for node in graph.nodes:
        shapes = [graph.values[name].shape for name in node.inputs]
        if isinstance(node.op, Linear):
            tokens = prod(graph.values[node.output].shape) // node.op.kernel.shape[1]
            products += node.op.kernel.size * tokens
        elif isinstance(node.op, Attention | FoldedAttention):
            products += sum(
                array.size * shapes[OPERANDS.get(name, 0)][0]
                for name, array in constants(node.op)
                if name.startswith("w")
            )
    return 2 * products
