"""ONNX's own Attention node (opset 23), and tables read by index."""

from __future__ import annotations

import numpy as np

from gateformer.quant.expand import Embedding, Softmax
from gateformer.quant.frontends.onnx.masks import HIDDEN, masked
from gateformer.quant.frontends.onnx.model import Const
from gateformer.quant.frontends.onnx.nodes_norm import causal_softmax, last
from gateformer.quant.frontends.onnx.products import product
from gateformer.quant.frontends.onnx.site import Result, Site, reads
from gateformer.quant.frontends.onnx.tensors import BATCH, Tensor

SAMPLE, HEAD, ROW, KEY, WIDTH, SIZE = range(6)
"""Labels of axes: samples, heads, queries, keys, features of queries, features of values."""


@reads("Attention")
def attention(site: Site) -> Result:
    """``softmax(scale q k^T) v`` a head; a mask is causal, by attribute or constant."""
    node = site.node
    if any(site.operand(place) is not None for place in (4, 5)):
        raise node.unsupported("it keeps keys from call to call", "export without a cache")
    if any(node.outputs[1:]):
        raise node.unsupported("it gives its keys or scores away", "leave them out")
    if node.number("softcap", 0.0) != 0.0:
        raise node.unsupported("it bends its scores (softcap)", "train without")
    q, k, v = (site.tensor(place) for place in range(3))
    merged = len(q.axes) == 3
    if merged:
        counts = node.integer("q_num_heads"), node.integer("kv_num_heads")
        q, k, v = (_split(site, t, n) for t, n in ((q, counts[0]), (k, counts[1]), (v, counts[1])))
    if {len(t.axes) for t in (q, k, v)} != {4} or q.dims[1] != k.dims[1]:
        raise node.unsupported("queries and keys differ in heads", "give each query head its keys")
    score = product(
        site,
        q,
        k,
        [SAMPLE, HEAD, ROW, WIDTH],
        [SAMPLE, HEAD, KEY, WIDTH],
        [SAMPLE, HEAD, ROW, KEY],
        "score",
    )
    scale = node.number("scale", q.dims[3] ** -0.5)
    if scale <= 0:
        raise node.error(f"its scale is {scale}")
    score = _hidden(site, score)
    if score.causal:
        share = causal_softmax(site, score, 3, scale, "share")
    else:
        share = site.apply(Softmax(scale), last(site, score, [3])[0], "share")
    order = [SAMPLE, HEAD, ROW, SIZE]
    result = product(site, share, v, [SAMPLE, HEAD, ROW, KEY], [SAMPLE, HEAD, KEY, SIZE], order, "")
    if not merged:
        return result
    together = result.permuted([0, 2, 1, 3])
    n, t, h, d = together.dims
    found = together.reshaped([n, t, h * d])
    if found is None:
        raise node.error(f"heads {together.dims} do not join", code="E112")
    return found


def _split(site: Site, tensor: Tensor, heads: int) -> Tensor:
    """Features (samples, tokens, heads x size) as (samples, heads, tokens, size)."""
    n, t, f = tensor.dims
    found = tensor.reshaped([n, t, heads, f // heads]) if heads > 0 and f % heads == 0 else None
    if found is None:
        raise site.node.error(f"{heads} heads do not divide {f} features", code="E112")
    return found.permuted([0, 2, 1, 3])


def _hidden(site: Site, score: Tensor) -> Tensor:
    """Scores under the node's masks."""
    given = site.const(3)
    if given is not None:
        keep = given.array if given.array.dtype == bool else given.reals == 0
        if given.array.dtype != bool and ((given.reals != 0) & (given.reals > HIDDEN)).any():
            raise site.node.unsupported("its mask shifts scores", "mask alone")
        score = masked(site, score, keep)
    if site.node.integer("is_causal", 0) and not score.causal:
        queries, keys = score.dims[2:]
        score = masked(site, score, np.arange(keys) <= np.arange(queries)[:, None])
    return score


def embedded(site: Site, table: Const, index: Tensor) -> Tensor:
    """Rows of a constant table, one an index."""
    node = site.node
    if table.array.ndim != 2 or node.integer("axis", 0) != 0:
        raise node.unsupported(f"it reads a table of shape {table.array.shape}", "use two axes")
    if not np.isfinite(table.reals).all():
        raise node.error("its table is NaN or infinite", "train again", "E105")
    order = site.atoms(index, [k for k, axis in enumerate(index.axes) if axis != (BATCH,)])
    boxed = site.boxed(index, [order])
    value = site.add(Embedding(table.reals), boxed.value)
    features = table.array.shape[1]
    last_axis = (len(boxed.atoms),) if features > 1 else ()
    atoms = (*boxed.atoms, *((features,) if features > 1 else ()))
    return Tensor(value, atoms, (*boxed.axes, last_axis), index.batch)
