"""RepQ: normalizations hand their features on at one common range; the next matrices take it back.

Owns ``repq``. Imports the graph and composites.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from gateformer.quant.expand import Attention, LayerNorm, Linear, RMSNorm
from gateformer.quant.expand.context import Note
from gateformer.quant.graph import Graph, Node
from gateformer.quant.ops.base import Op
from gateformer.quant.ops.layout import Reshape
from gateformer.quant.passes.rewrite import rebuilt, steps_of
from gateformer.quant.types import FloatArray

Range = tuple[FloatArray, FloatArray]
"""Smallest and largest real of each feature."""


class Change(NamedTuple):
    """``y = factor y' + middle`` a feature: the old result of a normalization, from the new one."""

    factor: FloatArray
    middle: FloatArray


def repq(graph: Graph, ranges: Mapping[str, Range]) -> tuple[Graph, tuple[Note, ...]]:
    """Reparametrize every normalization that only matrices read.

    RepQ-ViT (Li et al., arXiv 2212.08254, equations 8 to 11): with ranges a feature, of half
    width h and middle c, and the mean h0 of h, r = h / h0 gives gamma' = gamma / r,
    beta' = (beta - c) / r, W' = r W and b' = b + c W. All features then fill one quantizer's
    range, without a zero point. Here gamma' is also rounded to a power of two, r being
    gamma / gamma' of what was rounded: the network on reals stays what it was, and the product
    becomes a shift.

    Parameters
    ----------
    graph : Graph
        As imported, attention not folded.
    ranges : mapping of str to (ndarray, ndarray), (features,) each
        Of the normalizations' results, by their names, on calibration data.

    Returns
    -------
    (Graph, tuple of Note)
        The graph, equal on reals, and the decision for each normalization.
    """
    steps = steps_of(graph)
    made = {step.output: step for step in steps}
    notes: list[Note] = []
    for node in graph.nodes:
        op = node.op
        if not isinstance(op, LayerNorm | RMSNorm) or node.output not in ranges:
            continue
        layer = graph.values[node.output].layer
        readers = _matrices(graph, node.output)
        if readers is None:
            notes.append(Note(layer, "repq", "kept: something other than matrices reads it"))
            continue
        norm, change = reparametrized(op, *ranges[node.output])
        made[node.output].op = norm
        for reader, source in readers:
            step = made[reader.output]
            step.op = absorbed(step.op, reader.inputs, source, change)
        low, high = np.abs(change.factor).min(), np.abs(change.factor).max()
        notes.append(Note(layer, "repq", f"moved: factors of {low:.3g} to {high:.3g} a feature"))
    return rebuilt(graph, steps), tuple(notes)


def reparametrized(
    op: LayerNorm | RMSNorm, lowest: FloatArray, highest: FloatArray
) -> tuple[LayerNorm | RMSNorm, Change]:
    """The normalization with a common range, and what became of its result."""
    beta = op.beta if isinstance(op, LayerNorm) else np.zeros_like(op.gamma)
    middle = (highest + lowest) / 2.0
    half = (highest - lowest) / 2.0
    if isinstance(op, RMSNorm):  # it has no offset that could move the middle
        middle, half = np.zeros_like(half), np.maximum(np.abs(lowest), np.abs(highest))
    live = (half > 0) & (op.gamma != 0)
    common = float(half[live].mean()) if live.any() else 1.0
    wanted = np.abs(op.gamma) * common / np.where(live, half, 1.0)
    power = np.exp2(np.rint(np.log2(np.where(live, wanted, 1.0))))
    gamma = np.where(live, np.sign(op.gamma) * power, op.gamma)
    factor = np.where(live, op.gamma / np.where(live, gamma, 1.0), 1.0)
    middle = np.where(live, middle, 0.0)
    if isinstance(op, LayerNorm):
        return replace(op, gamma=gamma, beta=(beta - middle) / factor), Change(factor, middle)
    return replace(op, gamma=gamma), Change(factor, middle)


def absorbed(op: Op, inputs: tuple[str, ...], source: str, change: Change) -> Op:
    """A reader with ``W' = r W`` and ``b' = b + c W`` for every operand that is ``source``."""
    if isinstance(op, Linear):
        tiles = op.kernel.shape[0] // change.factor.size
        factor, middle = (np.tile(x, tiles) for x in change)
        shift = middle @ op.kernel * (1.0 if op.scale is None else op.scale)
        bias = shift if op.bias is None else op.bias + shift
        return replace(op, kernel=op.kernel * factor[:, None], bias=bias)
    assert isinstance(op, Attention)
    changed: dict[str, Any] = {}
    query, key, value = inputs[:3]
    operands = (("wq", "bq", query), ("wk", "bk", key), ("wv", "bv", value), ("wg", "bg", query))
    for matrix, offset, name in operands:
        w, b = getattr(op, matrix), getattr(op, offset)
        if name != source or w is None:
            continue
        moved = np.tensordot(change.middle, w, 1)
        changed[matrix] = (w.T * change.factor).T
        changed[offset] = moved if b is None else b + moved
    return replace(op, **changed)


def _matrices(graph: Graph, name: str) -> list[tuple[Node, str]] | None:
    """Readers of a value, and the name they read it by; None where one is no matrix."""
    if name in graph.outputs:
        return None
    found: list[tuple[Node, str]] = []
    for node in graph.consumers()[name]:
        op = node.op
        if isinstance(op, Reshape) and len(op.to) == 1:
            below = _matrices(graph, node.output)
            if below is None:
                return None
            found += below
        elif isinstance(op, Attention):
            if name in node.inputs[3:]:
                return None
            found.append((node, name))
        elif isinstance(op, Linear) and op.scale is None:
            found.append((node, name))
        else:
            return None
    return found or None
