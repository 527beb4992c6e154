"""Prepare: all passes from the imported graph to the one that is calibrated and lowered.

Owns ``prepare``. Imports the passes.
"""

from __future__ import annotations

from gateformer.quant.expand.context import Note
from gateformer.quant.graph import Graph
from gateformer.quant.passes.fold_affine import fold_affine
from gateformer.quant.passes.fold_heads import fold_heads
from gateformer.quant.passes.fold_scales import fold_scales
from gateformer.quant.passes.fuse_attend import fuse_attend


def prepare(
    graph: Graph, *, heads: bool = True, affine: bool = False
) -> tuple[Graph, tuple[Note, ...]]:
    """Return a graph that is equal on reals and cheaper in hardware.

    Parameters
    ----------
    graph : Graph
        As imported.
    heads : bool
        Attention layers that take fewer multiplies so are folded.
    affine : bool
        Affine maps join the linear layers beside them, whose values then have the map's name.

    Returns
    -------
    (Graph, tuple of Note)
        The graph and what was decided for each layer.
    """
    notes: tuple[Note, ...] = ()
    if affine:
        graph, notes = fold_affine(graph)
    graph, folded = fold_heads(fuse_attend(fold_scales(graph)), heads)
    return graph, (*notes, *folded)
