"""Pruning without training: the weights whose products matter least become zero.

Owns ``prune_weights``. Imports places and moments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.quant.errors import ConfigError
from gateformer.quant.expand import Linear
from gateformer.quant.expand.context import Note
from gateformer.quant.graph import Graph
from gateformer.quant.passes.rewrite import rebuilt, steps_of
from gateformer.quant.ptq.moments import along_rows, moment
from gateformer.quant.ptq.observe import Seen
from gateformer.quant.ptq.places import MATRICES
from gateformer.quant.ptq.rounding import spread
from gateformer.quant.types import FloatArray


def prune_weights(
    graph: Graph, seen: Mapping[str, Seen], share: float
) -> tuple[Graph, tuple[Note, ...]]:
    """Set a share of each output's weights to zero.

    A weight's worth is its magnitude times the root mean square of what it multiplies (Wanda: Sun
    et al., arXiv 2306.11695, equation 1); outputs are compared within themselves. The weights that
    stay make up for those that go (as SparseGPT, Frantar and Alistarh, arXiv 2301.00774, with that
    choice of weights), and the bias takes back the mean of what is lost.

    Parameters
    ----------
    graph : Graph
        On reals.
    seen : mapping of str to Seen
        Its values on calibration data.
    share : float
        0 to below 1.

    Raises
    ------
    ConfigError
        E022 for another share.
    """
    if not 0.0 <= share < 1.0:
        raise ConfigError("E022", f"pruning of {share:g}", fix="give a share from 0 to below 1")
    steps = steps_of(graph)
    notes: list[Note] = []
    for node, step in zip(graph.nodes, steps, strict=True):
        op = step.op
        if isinstance(op, Linear) and op.scale is not None:
            continue
        changed: dict[str, Any] = {}
        for tensor in MATRICES.get(type(op), ()):
            real = getattr(op, tensor.field)
            if real is None or not real.any():
                continue
            square = moment(seen, node, tensor, step.layer, "square")
            rows = 1.0 if square is None else np.sqrt(along_rows(square, real, tensor))
            cut = _least(np.abs(real) * rows, tensor.channels, share)
            products = moment(seen, node, tensor, step.layer, "products")
            kept = np.where(cut, 0.0, real) if products is None else _made_up(real, cut, products)
            changed[tensor.field] = kept
            mean = moment(seen, node, tensor, step.layer, "mean")
            bias = getattr(op, tensor.bias)
            if mean is not None:
                inputs = tuple(range(real.ndim - len(tensor.channels)))
                lost = ((real - kept) * along_rows(mean, real, tensor)).sum(axis=inputs)
                bias = lost if bias is None else bias + lost
                changed[tensor.bias] = bias
            zeros = float((kept == 0).mean())
            notes.append(Note(step.layer, "prune", f"{tensor.point}: {zeros:.0%} zeros"))
        if changed:
            step.op = replace(op, **changed)  # type: ignore[type-var] # operations are dataclasses
    return rebuilt(graph, steps), tuple(notes)


def _made_up(real: FloatArray, cut: NDArray[np.bool_], products: FloatArray) -> FloatArray:
    """The matrix without what is cut, the rest changed to make up for it."""
    gone = cut.reshape(len(products), -1)

    def settled(row: int, weights: FloatArray) -> FloatArray:
        return np.where(gone[row], 0.0, weights)

    return spread(real.reshape(gone.shape), products, settled).reshape(real.shape)


def _least(worth: FloatArray, channels: tuple[int, ...], share: float) -> NDArray[np.bool_]:
    """Whether a weight is among the least of its output's."""
    inputs = worth.ndim - len(channels)
    flat = worth.reshape(-1, int(np.prod(worth.shape[inputs:])))
    order = np.argsort(np.argsort(flat, axis=0, kind="stable"), axis=0)
    return np.less(order, round(share * flat.shape[0])).reshape(worth.shape)
