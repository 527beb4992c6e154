"""Join attention: projections, scores, softmax and weighted sums become one attention layer again.

Owns ``join_attention``. Imports the graph, composites and layout. Files that know no attention
(ONNX) hold its parts; as one layer it can be folded, and divides after the weighted sum.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gateformer.quant.expand import Affine, Attention, Linear, Softmax
from gateformer.quant.expand.context import Note
from gateformer.quant.graph import Graph, Node
from gateformer.quant.ops.layout import Reshape, Slice
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.passes.rewrite import rebuilt, steps_of
from gateformer.quant.types import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """``factor (x kernel + bias)``, as a tensor of tokens x heads x features holds it.

    Attributes
    ----------
    source : str
        x.
    kernel : ndarray of float64, (D, H x K)
        Columns in the order of the tensor.
    bias : ndarray of float64, (H x K,), or None
        Likewise.
    factor : float
        What all of it is multiplied by.
    """

    source: str
    kernel: FloatArray
    bias: FloatArray | None
    factor: float = 1.0

    def heads(self, heads: int) -> tuple[FloatArray, FloatArray | None]:
        """Kernel (D, H, K) and bias (H, K)."""
        kernel = self.kernel.reshape(self.kernel.shape[0], heads, -1)
        return kernel, None if self.bias is None else self.bias.reshape(heads, -1)

    def scaled(self, op: Affine) -> Projection:
        """Append an affine map of the last axis; one factor for all stays outside."""
        scale, offset = (np.tile(x, self.kernel.shape[1] // x.size) for x in (op.scale, op.offset))
        if (scale == scale[0]).all() and not offset.any():
            return replace(self, factor=self.factor * float(scale[0]))
        bias = np.zeros(scale.size) if self.bias is None else self.bias
        return Projection(
            self.source,
            self.kernel * scale,
            bias * scale + offset / self.factor,
            self.factor,
        )


def join_attention(graph: Graph) -> tuple[Graph, tuple[Note, ...]]:
    """Replace every ``softmax(scale q k^T) v`` between dense layers by an `Attention`.

    Parameters
    ----------
    graph : Graph
        As imported; where a quantizer stands between the parts, they stay.

    Returns
    -------
    (Graph, tuple of Note)
        Equal on reals; a layer takes the name of the dense layer that joins its heads.
    """
    made = graph.producers()
    steps = steps_of(graph)
    notes: list[Note] = []
    for step in steps:
        if not isinstance(step.op, Linear) or step.op.scale is not None:
            continue
        found = _attention(graph, made, step.op, step.inputs[0])
        if found is None:
            continue
        step.op, step.inputs = found
        notes.append(Note(step.layer, "join", f"{found[0].heads} heads joined to one attention"))
    return (rebuilt(graph, steps), tuple(notes)) if notes else (graph, ())


def _attention(
    graph: Graph, made: dict[str, Node], joined: Linear, name: str
) -> tuple[Attention, tuple[str, str, str]] | None:
    """The attention layer that a dense layer ends, and its operands."""
    context = _behind(made, name)
    if context is None or context.op != MatMul("tokens"):
        return None
    shares, value = context.inputs
    softmax = made.get(shares)
    if softmax is None or not isinstance(softmax.op, Softmax):
        return None
    score, factor, causal = softmax.inputs[0], softmax.op.scale, softmax.op.causal
    node = made.get(score)
    if node is not None and isinstance(node.op, Affine):
        gains = node.op.scale
        if node.op.offset.any() or (gains != gains[0]).any():
            return None
        factor, node = factor * float(gains[0]), made.get(node.inputs[0])
    if node is None or node.op != MatMul("features"):
        return None
    heads = graph.values[node.output].shape[1]
    parts = [_projection(graph, made, x) for x in (*node.inputs, value)]
    if any(part is None or part.kernel.shape[1] % heads for part in parts):
        return None
    query, key, values = (part for part in parts if part is not None)
    if any(graph.values[x].shape[1] != heads for x in (*node.inputs, value)):
        return None
    wq, bq = query.heads(heads)
    wk, bk = key.heads(heads)
    wv, bv = values.heads(heads)
    wo = joined.kernel.reshape(heads, -1, joined.kernel.shape[1]) * values.factor
    scale = factor * query.factor * key.factor
    op = Attention(heads, wq, bq, wk, bk, wv, bv, wo, joined.bias, scale, causal)
    return op, (query.source, key.source, values.source)


def _behind(made: dict[str, Node], name: str) -> Node | None:
    """The node behind a value, a reshape between them or not."""
    node = made.get(name)
    if node is not None and isinstance(node.op, Reshape):
        node = made.get(node.inputs[0])
    return node


def _projection(graph: Graph, made: dict[str, Node], name: str) -> Projection | None:
    """What a tensor is of a dense layer's operand; None where it is something else."""
    node = made.get(name)
    if node is None:
        return None
    op = node.op
    if isinstance(op, Linear):
        if op.scale is not None or len(graph.values[node.inputs[0]].shape) != 2:
            return None
        return Projection(node.inputs[0], op.kernel, op.bias)
    if not isinstance(op, Reshape | Slice | Affine):
        return None
    before = _projection(graph, made, node.inputs[0])
    shape, given = graph.values[name].shape, graph.values[node.inputs[0]].shape
    if before is None or shape[0] != given[0]:
        return None
    if isinstance(op, Affine):
        return before.scaled(op)
    if isinstance(op, Slice):
        if len(given) != 2:
            return None
        columns = slice(op.start, op.stop)
        bias = None if before.bias is None else before.bias[columns]
        return replace(before, kernel=before.kernel[:, columns], bias=bias)
    return before
