"""Softmax weights on reals: the reference of attention, folded attention and softmax."""

from __future__ import annotations

import numpy as np

from gateformer.quant.expand.functions import sigmoid
from gateformer.quant.expand.shares import PLAIN, Shares
from gateformer.quant.ops.base import Probe
from gateformer.quant.types import FloatArray


def attend(
    relative: FloatArray,
    row: FloatArray | None,
    value: FloatArray,
    scale: float,
    causal: bool,
    mask: FloatArray | None,
    probe: Probe,
    shares: Shares = PLAIN,
) -> FloatArray:
    """Weighted mean of values.

    Parameters
    ----------
    relative : ndarray of float64, (n, T, H, S)
        Scores before ``scale``, up to a constant a row.
    row : ndarray of float64, (n, T, H, 1), or None
        That constant, if there is one.
    value : ndarray of float64, (n, S, H, V)
        Per head.
    scale : float
        Factor on the scores.
    causal : bool
        Token t sees keys 0..t alone.
    mask : ndarray of float64, (n, S, 1), or None
        1 where the key counts.
    probe : callable
        Shown ``score``, ``relative`` and ``distance`` (largest score of the row minus the score)
        of the keys that count; the others are shown as the row's largest.
    shares : Shares, optional
        What becomes of the weights.

    Returns
    -------
    ndarray of float64, (n, T, H, V)
        Zero where no key counts.
    """
    n, tokens, _, keys = relative.shape
    seen = np.ones((n, tokens, 1, keys), bool)
    if causal:
        seen = seen & (np.arange(keys) <= np.arange(tokens)[:, None])[None, :, None, :]
    if mask is not None:
        seen = seen & (mask[:, None, None, :, 0] != 0)
    top = np.where(seen, relative, -np.inf).max(-1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    kept = np.where(seen, relative, top)
    probe("relative", kept)
    probe("score", kept if row is None else kept + row)
    probe("distance", top - kept)
    weight = np.where(seen, np.exp((kept - top) * scale), 0.0)
    total = weight.sum(-1, keepdims=True)
    weight = shares.of(weight / np.where(total > 0, total, 1.0))
    return np.einsum("nths,nshv->nthv", weight, np.broadcast_to(value, (n, *value.shape[1:])))


def gates(x: FloatArray, wg: FloatArray, bg: FloatArray | None, probe: Probe) -> FloatArray:
    """Gates of heads ``sigmoid(x wg + bg)``, (n, T, H, 1)."""
    level = x @ wg if bg is None else x @ wg + bg
    probe("index", level)
    gate = sigmoid(level)
    probe("gate", gate)
    return gate[..., None]
