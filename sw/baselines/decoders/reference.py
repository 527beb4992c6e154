"""A decoder's step in numpy: the logits that runtimes are held to, and the cache they start on.

Owns ``Start``, ``start`` and ``logits``. Imports the decoder's weights, as the
work says that they are stored. Arithmetic is float32, by
BLAS; GELU is its tanh form, as in GPT-2; rotary positions turn the two halves of a head against
each other, as in GPT-NeoX and the published LLaMA checkpoints of Hugging Face.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sqrt

import numpy as np

from gateformer.baselines.decoders.rounding import rounded
from gateformer.baselines.decoders.weights import EPSILON, Array, Parameters, rotary
from gateformer.baselines.work import DecoderWork
from gateformer.quant.decoder import Decoder
from gateformer.quant.errors import DataError

CHUNK = 256
"""Tokens of the prompt whose scores stand in memory at once."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where the timed step begins, and what it must give.

    Attributes
    ----------
    keys, values : array
        float32 (layers, kv_heads, context, d_head): the cache of one sequence after the prompt.
        All sequences of a batch have the same prompt, each its own copy of the cache, and each its
        own next token.
    logits : array
        float32 (batch, vocab).
    """

    keys: Array
    values: Array
    logits: Array


def logits(work: DecoderWork) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return the logits of the step: (batch, vocab).

    Raises
    ------
    DataError
        As ``start``.
    """
    return start(work).logits.astype(np.float64)


def start(work: DecoderWork) -> Start:
    """Return the prompt's cache and the step's logits: kept ones, or from one pass over the layers.

    Raises
    ------
    DataError
        E604 where the context and the step's token are more than the decoder has places for.
    """
    if work.kept is None:
        return _computed(work)
    if work.kept.exists():
        with np.load(work.kept, allow_pickle=False) as file:
            return Start(file["keys"], file["values"], file["logits"])
    found = _computed(work)
    partial = work.kept.with_suffix(".partial")
    with partial.open("wb") as whole:
        np.savez(whole, keys=found.keys, values=found.values, logits=found.logits)
    partial.replace(work.kept)
    return found


def _computed(work: DecoderWork) -> Start:
    shape, before = work.decoder, work.context
    if shape.positions == "learned" and before >= shape.context:
        raise DataError(
            "E604",
            "context too long",
            layer=shape.name,
            cause=f"{before} tokens and the one decoded, but it has {shape.context} positions",
            fix=f"Ask for {shape.context - 1} at most",
        )
    weights = rounded(work)
    outside = weights.outside()
    tokens = np.concatenate([weights.prompt(before), work.tokens()])
    places = np.minimum(np.arange(len(tokens)), before)
    hidden = outside["tokens"][tokens]
    if shape.positions == "learned":
        hidden = hidden + outside["positions"][places]
    turns = rotary(shape, before + 1) if shape.positions == "rotary" else None
    keys = np.empty((shape.layers, shape.kv_heads, before, shape.d_head), np.float32)
    values = np.empty_like(keys)
    for index, layer in enumerate(weights.layers()):
        query, key, value = _qkv(shape, layer, hidden)
        if turns is not None:
            query, key = _turned(query, turns, places), _turned(key, turns, places)
        keys[index], values[index] = key[:, :before], value[:, :before]
        hidden = hidden + _linear(layer, "projection", _attention(query, key, value, before))
        hidden = hidden + _ffn(shape, layer, hidden)
    last = normalized(shape, outside, "norm", hidden[before:])
    return Start(keys, values, last @ outside["head"].T)


def _linear(layer: Parameters, name: str, x: Array) -> Array:
    found = x @ layer[f"{name}.weight"].T
    bias = layer.get(f"{name}.bias")
    return found if bias is None else found + bias


def normalized(shape: Decoder, held: Parameters, name: str, x: Array) -> Array:
    """Return LayerNorm or RMSNorm over the last axis."""
    if shape.norm == "layer":
        x = x - x.mean(-1, keepdims=True)
    spread = np.sqrt(np.square(x).mean(-1, keepdims=True) + np.float32(EPSILON))
    found = x / spread * held[f"{name}.weight"]
    return found + held[f"{name}.bias"] if shape.norm == "layer" else found


def _qkv(shape: Decoder, layer: Parameters, hidden: Array) -> tuple[Array, Array, Array]:
    """Queries, keys and values: (heads, tokens, d_head) each."""
    rows = _linear(layer, "qkv", normalized(shape, layer, "norm1", hidden))
    cut = np.split(rows, [shape.queries, shape.queries + shape.kv_width], axis=1)
    query, key, value = (one.reshape(len(rows), -1, shape.d_head).transpose(1, 0, 2) for one in cut)
    return query, key, value


def _turned(x: Array, turns: tuple[Array, Array], places: np.ndarray) -> Array:
    cosine, sine = turns[0][places], turns[1][places]
    first, second = np.split(x, 2, axis=-1)
    halves = [first * cosine - second * sine, second * cosine + first * sine]
    return np.concatenate(halves, axis=-1)


def _attention(query: Array, key: Array, value: Array, before: int) -> Array:
    """Attention of the prompt, causal, and of each sequence's token on the prompt and itself."""
    heads, tokens, width = query.shape
    groups = heads // len(key)
    key, value = (np.repeat(one, groups, axis=0) for one in (key, value))
    query = query * np.float32(1 / sqrt(width))
    found = np.empty_like(query)
    for first in range(0, before, CHUNK):
        part = slice(first, min(first + CHUNK, before))
        scores = query[:, part] @ key[:, : part.stop].transpose(0, 2, 1)
        late = np.arange(part.stop)[None] > np.arange(first, part.stop)[:, None]
        scores[:, late] = -np.inf
        found[:, part] = softmax(scores) @ value[:, : part.stop]
    past = query[:, before:] @ key[:, :before].transpose(0, 2, 1)
    own = np.sum(query[:, before:] * key[:, before:], axis=-1, keepdims=True)
    shares = softmax(np.concatenate([past, own], axis=-1))
    found[:, before:] = shares[..., :-1] @ value[:, :before] + shares[..., -1:] * value[:, before:]
    return found.transpose(1, 0, 2).reshape(tokens, -1)


def softmax(x: Array) -> Array:
    """Return softmax over the last axis."""
    found = np.exp(x - x.max(-1, keepdims=True))
    found /= found.sum(-1, keepdims=True)
    return found


def _ffn(shape: Decoder, layer: Parameters, hidden: Array) -> Array:
    x = normalized(shape, layer, "norm2", hidden)
    up = _linear(layer, "up", x)
    acted = _activated(shape, _linear(layer, "gate", x)) * up if shape.gated else None
    return _linear(layer, "down", _activated(shape, up) if acted is None else acted)


def _activated(shape: Decoder, x: Array) -> Array:
    if shape.activation == "relu":
        return np.maximum(x, 0)
    if shape.activation == "silu":
        return x / (1 + np.exp(-x))
    inner = np.float32(sqrt(2 / pi)) * (x + np.float32(0.044715) * x * x * x)
    return np.float32(0.5) * x * (1 + np.tanh(inner))
