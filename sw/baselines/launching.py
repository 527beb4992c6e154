"""A network that is too small for a GPU: it takes the time of its launches, as a model.

Owns ``kernels`` and ``launching``. Imports graphs and the machines' constants.
"""

from __future__ import annotations

from gateformer.baselines.machines import Tier, launches
from gateformer.energy.figure import Figure
from gateformer.quant.expand.attention import Attention
from gateformer.quant.expand.folded_attention import FoldedAttention
from gateformer.quant.expand.quantize import Quantize
from gateformer.quant.graph import Graph
from gateformer.quant.ops.base import Op
from gateformer.quant.ops.layout import Reshape, Slice, Transpose

KERNELS: dict[type[Op], int] = {
    Attention: 8,
    FoldedAttention: 6,
    Quantize: 0,
    Reshape: 0,
    Slice: 0,
    Transpose: 0,
}
"""Launches of a node where they are not one. Attention: three projections, scores, scale, softmax,
context, joining; folded, one matrix in place of two projections, and one in place of the value's
and the joining. Quantizers of activations are left out: who deploys floats on a GPU runs none, and
they would be more than half of the launches. A view of the same memory launches nothing."""


def kernels(graph: Graph) -> int:
    """Return the operations that a framework launches for one inference, quantizers left out."""
    return sum(KERNELS.get(type(node.op), 1) for node in graph.nodes)


def launching(graph: Graph, tier: Tier) -> Figure:
    """Return the seconds of one inference on a GPU, whichever it is.

    Weights stay in its caches and the batch is one, so neither bandwidth nor peak rate binds.
    Copies to the device and back are not in it.

    Parameters
    ----------
    graph : Graph
        Imported, or folded.
    tier : str
        ``eager``: each operation launched on its own; otherwise from a captured graph.
    """
    count, one = kernels(graph), launches(tier)
    return Figure(
        value=count * one.us * 1e-6,
        low=count * one.low * 1e-6,
        high=count * one.high * 1e-6,
        kind="modelled",
        source=f"float network, quantizers left out: {count} operations x {one.us:g} us "
        f"({one.source})",
    )
