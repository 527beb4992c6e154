"""Test vectors: real data in the input types, or drawn ones where there is too little of it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gateformer.quant.graph import Graph
from gateformer.quant.ops.base import Value
from gateformer.quant.types import FloatArray, IntArray

CORNERS = 4
"""One in so many drawn vectors is a corner: extremes, one-hot, or all elements equal."""


def quantized(graph: Graph, inputs: Mapping[str, FloatArray], count: int) -> dict[str, IntArray]:
    """Return the first samples as raw integers of the input types; they saturate."""
    return {name: graph.from_real(name, inputs[name][:count]) for name in graph.inputs}


def drawn(graph: Graph, count: int, seed: int) -> dict[str, IntArray]:
    """Draw vectors: a quarter corners, the rest uniform over the input types.

    Parameters
    ----------
    graph : Graph
        Typed.
    count : int
        How many.
    seed : int
        Same seed, same vectors.

    Returns
    -------
    dict of str to ndarray of int, (count, *shape)
        Masks are random bits; the first frame keeps all tokens, the second none.
    """
    random = np.random.default_rng(seed)
    inputs: dict[str, IntArray] = {}
    for name in graph.inputs:
        value = graph.values[name]
        frames = uniform(random, value, count)
        if name in graph.masks:
            frames[:1], frames[1:2] = 1, 0
        else:
            for index, frame in enumerate(range(0, count, CORNERS)):
                frames[frame] = corner(random, value, index)
        inputs[name] = frames
    return inputs


def uniform(random: np.random.Generator, value: Value, count: int) -> IntArray:
    """Draw frames of an input, each integer of its type equally likely."""
    kind = value.fixed
    shape = (count, *value.shape)
    if kind.width < 63:
        return random.integers(kind.min, kind.max, shape, np.int64, endpoint=True)
    words = -(-kind.width // 32)
    parts = random.integers(0, 1 << 32, (words, *shape)).astype(object)
    joined: IntArray = sum(part << (32 * place) for place, part in enumerate(parts))
    return joined % (1 << kind.width) + kind.min


def corner(random: np.random.Generator, value: Value, index: int) -> IntArray:
    """Return one corner frame: extremes, one-hot and all-equal in turn."""
    kind = value.fixed
    ends = [kind.min, kind.max, *([-1, 0] if kind.signed else [0, 1])]
    dtype = np.int64 if kind.width < 63 else object
    pick = np.array([ends[i] for i in random.integers(0, 2, value.shape).reshape(-1)], dtype)
    end = ends[index // 3 % len(ends)]
    if index % 3 == 0:
        return pick.reshape(value.shape)
    frame = np.zeros(value.shape, dtype)
    if index % 3 == 1:
        frame.reshape(-1)[random.integers(frame.size)] = end
    else:
        frame[...] = end
    return frame


def join(first: Mapping[str, IntArray], then: Mapping[str, IntArray]) -> dict[str, IntArray]:
    """Return frames one after the other."""
    return {name: np.concatenate([first[name], then[name]]) for name in first}
