"""A language model in float32, and how well models foretell a text.

Owns ``logits``, ``surprises`` and ``perplexity``. Imports decoders and imported models. Nothing of
a memory is known here: this is what narrower numbers are compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from gateformer.quant.decoder import Decoder
from gateformer.quant.frontends.gguf_file import Floats, Language

Skip = Callable[[int, Floats], Floats]
"""Block and hidden numbers, tokens x d_ff, to what is multiplied with ``down``."""


def logits(model: Language, tokens: Sequence[int], skip: Skip | None = None) -> Floats:
    """Run tokens through a model.

    Parameters
    ----------
    model : Language
        The model: RMSNorm, rotary positions, no biases; SiLU with a gate, or ReLU without.
    tokens : sequence of int
        From the text's first on.
    skip : callable, optional
        Changes hidden numbers of the feed-forward network.

    Returns
    -------
    array of float32, shape (tokens, vocab)
    """
    shape, n = model.decoder, len(tokens)
    shared = shape.heads // shape.kv_heads
    future = ~np.tri(n, dtype=bool)
    angles = shape.angles(np.arange(n))
    x = model.embedding[list(tokens)]
    for block, own in enumerate(model.blocks):
        gains = own["parameters"].reshape(2, -1)
        found = _norm(x, gains[0], shape.epsilon) @ own["qkv"].T
        q, k, v = (
            one.reshape(n, -1, shape.d_head)
            for one in np.split(found, [shape.queries, shape.queries + shape.kv_width], axis=1)
        )
        q, k = _turned(q, angles), _turned(k, angles)
        scores = np.einsum("qhd,khd->hqk", q, k.repeat(shared, 1), optimize=True)
        scores /= np.float32(np.sqrt(shape.d_head))
        scores[:, future] = -np.inf
        share = np.exp(scores - scores.max(-1, keepdims=True))
        share /= share.sum(-1, keepdims=True)
        context = np.einsum("hqk,khd->qhd", share, v.repeat(shared, 1), optimize=True)
        x = x + context.reshape(n, -1).astype(np.float32) @ own["projection"].T
        hidden = _activated(shape, _norm(x, gains[1], shape.epsilon) @ own["up"].T)
        x = x + (hidden if skip is None else skip(block, hidden)) @ own["down"].T
    last: Floats = _norm(x, model.final, shape.epsilon) @ model.head.T
    return last


def surprises(logits: Floats, following: Sequence[int]) -> NDArray[np.float64]:
    """Return how surprising, in nats, each token is after the logits in front of it."""
    found = np.empty(len(logits))
    for place, (row, token) in enumerate(zip(logits, following, strict=True)):
        exact = row.astype(np.float64) - float(row.max())
        found[place] = np.log(np.exp(exact).sum()) - exact[token]
    return found


def perplexity(surprises: Sequence[float] | NDArray[np.float64]) -> float:
    """Return e to the mean surprise."""
    return float(np.exp(np.mean(surprises)))


def _norm(x: Floats, gain: Floats, epsilon: float) -> Floats:
    scale = np.sqrt(np.square(x).mean(-1, keepdims=True) + np.float32(epsilon))
    found: Floats = x / scale * gain
    return found


def _activated(shape: Decoder, up: Floats) -> Floats:
    """SiLU of a gate times the other half, interleaved; or ReLU."""
    if not shape.gated:
        return np.maximum(up, 0)
    gate = up[:, 0::2]
    found: Floats = gate / (1 + np.exp(-gate)) * up[:, 1::2]
    return found


def _turned(x: Floats, angles: NDArray[np.float64]) -> Floats:
    """Rotary positions: a head's first half with its second."""
    cosine, sine = (f(angles).astype(np.float32)[:, None] for f in (np.cos, np.sin))
    first, second = np.split(x, 2, axis=-1)
    return np.concatenate([first * cosine - second * sine, second * cosine + first * sine], -1)
