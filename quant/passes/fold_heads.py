"""Head folding: multiply an attention layer's projections out where that saves multipliers.

Owns ``fold_heads``. Imports the graph and composites.
"""

from __future__ import annotations

import numpy as np

from gateformer.quant.expand.attention import Attention
from gateformer.quant.expand.context import Note
from gateformer.quant.expand.folded_attention import FoldedAttention
from gateformer.quant.graph import Builder, Graph
from gateformer.quant.ops.base import Shape


def fold(op: Attention) -> FoldedAttention:
    """The folded form of an attention layer: equal on reals, exact where weights are dyadic.

    The values' bias joins the result's, or each value where a padding mask may leave a row
    without keys, shares do not add up to 1, or a gate follows.
    """
    bq, bk = np.zeros(op.wq.shape[1:]), np.zeros(op.wk.shape[1:])
    bv, bo = np.zeros(op.wv.shape[1:]), np.zeros(op.wo.shape[2])
    bq, bk, bv, bo = (
        zero if given is None else given
        for zero, given in ((bq, op.bq), (bk, op.bk), (bv, op.bv), (bo, op.bo))
    )
    offset = np.einsum("hv,hvo->ho", bv, op.wo)
    # A bias passes through a mean alone: where shares add up to 1 and no gate follows.
    kept = op.masked or op.shares.kind != "plain" or op.wg is not None
    return FoldedAttention(
        heads=op.heads,
        wm=np.einsum("dhk,ehk->dhe", op.wq, op.wk),
        bm=np.einsum("hk,ehk->he", bq, op.wk),
        wc=np.einsum("dhk,hk->dh", op.wq, bk),
        bc=np.einsum("hk,hk->h", bq, bk),
        wn=np.einsum("dhv,hvo->dho", op.wv, op.wo),
        bn=offset if kept else np.zeros_like(offset),
        bo=bo if kept else bo + offset.sum(0),
        scale=op.scale,
        causal=op.causal,
        masked=op.masked,
        shares=op.shares,
        wg=op.wg,
        bg=op.bg,
    )


def tensor_multiplies(op: Attention | FoldedAttention, *inputs: Shape) -> int:
    """Data x data multiplies of a layer's scores and contexts, for one frame."""
    if isinstance(op, Attention):
        sizes = op.wq.shape[2] + op.wv.shape[2]
    else:
        sizes = op.wm.shape[2] + op.wn.shape[2]
    return inputs[0][0] * inputs[1][0] * op.heads * sizes


def fold_heads(graph: Graph, enabled: bool = True) -> tuple[Graph, tuple[Note, ...]]:
    """Fold every attention layer whose data x data multiplies shrink.

    Parameters
    ----------
    graph : Graph
        As imported.
    enabled : bool
        False leaves the graph as it is.

    Returns
    -------
    (Graph, tuple of Note)
        The graph and, a layer, the decision with the multiplies before and after.
    """
    if not enabled or not any(isinstance(n.op, Attention) for n in graph.nodes):
        return graph, ()
    notes: list[Note] = []
    builder = Builder(graph.name)
    for name in graph.inputs:
        value = graph.values[name]
        bounds = None if value.lo is None or value.hi is None else (value.lo, value.hi)
        builder.input(name, value.shape, value.type, graph.masks.get(name), bounds)
    for node in graph.nodes:
        op, layer = node.op, graph.values[node.output].layer
        if isinstance(op, Attention):
            folded = fold(op)
            shapes = [graph.values[n].shape for n in node.inputs]
            before, after = (tensor_multiplies(form, *shapes) for form in (op, folded))
            smaller = after < before
            detail = f"{before} data x data multiplies a frame, {after} folded"
            notes.append(Note(layer, "fold", f"{'folded' if smaller else 'kept'}: {detail}"))
            op = folded if smaller else op
        builder.add(op, *node.inputs, name=node.output, layer=layer)
    for name in graph.outputs:
        builder.output(name)
    for name, scale in graph.scales.items():
        builder.scale(name, scale)
    return builder.build(), tuple(notes)
