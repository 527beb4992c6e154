"""A decoder in BF16 as docs/pim_decisions.md and docs/pim_asic.md say it computes, told plainly.

Nothing of layouts, programs, banks or the ASIC's model is imported: lanes and tiles come as
arguments, no number has an address, and the functions are written out once more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from math import lcm

import numpy as np

from gateformer.quant.decoder import Decoder

F = np.float32
MatMul = Callable[[np.ndarray, np.ndarray], np.ndarray]


def bf16(x: np.ndarray) -> np.ndarray:
    """Round to BF16, ties to even."""
    x = np.asarray(x, F)
    low = x.view(np.uint32) & np.uint32(0xFFFF)
    down = (x.view(np.uint32) & np.uint32(0xFFFF0000)).view(F)
    up = ((x.view(np.uint32) | np.uint32(0xFFFF)) + np.uint32(1)).view(F)
    odd = (x.view(np.uint32) & np.uint32(0x10000)) != 0
    away = (low > 0x8000) | ((low == 0x8000) & odd)
    return np.where(np.isnan(x), F(np.nan), np.where(away, up, down))


def tree(x: np.ndarray) -> np.ndarray:
    """Add the last axis' neighbours until one number is left."""
    while x.shape[-1] > 1:
        x = x[..., ::2] + x[..., 1::2]
    return x[..., 0]


def dot(rows: np.ndarray, x: np.ndarray, lanes: int) -> np.ndarray:
    """Multiply-accumulate rows with a vector, ``lanes`` numbers at a time; round at the end."""
    sums = np.zeros(len(rows), F)
    for k in range(0, len(x), lanes):
        products = np.zeros((len(rows), lanes), F)
        products[:, : len(x[k : k + lanes])] = rows[:, k : k + lanes] * x[k : k + lanes]
        sums = sums + tree(products)
    return bf16(sums)


def summed(x: np.ndarray, lanes: int) -> np.ndarray:
    """Add the last axis as the ASIC does."""
    found = np.zeros(x.shape[:-1], F)
    for k in range(0, x.shape[-1], lanes):
        column = np.zeros((*x.shape[:-1], lanes), F)
        column[..., : x[..., k : k + lanes].shape[-1]] = x[..., k : k + lanes]
        found = found + tree(column)
    return found


def exp(x: np.ndarray) -> np.ndarray:
    x = np.minimum(np.maximum(np.asarray(x, F), F(-104)), F(89))
    n = np.rint(x * F(np.log2(np.e)))
    r = x - n * F(np.log(2))
    y = ((r * F(1 / 6) + F(0.5)) * r + F(1)) * r + F(1)
    with np.errstate(over="ignore"):
        return (y.astype(np.float64) * 2.0**n).astype(F)


def reciprocal(x: np.ndarray) -> np.ndarray:
    """1 / x of positive numbers and infinity."""
    fraction, power = np.frexp(np.asarray(x, F))
    with np.errstate(invalid="ignore"):
        y = F(48 / 17) - F(32 / 17) * fraction
        y = y * (F(2) - fraction * y)
        y = y * (F(2) - fraction * y)
        y = (y.astype(np.float64) * 2.0 ** -power.astype(float)).astype(F)
    return np.where(np.isinf(x), F(0), y)


def rsqrt(x: np.ndarray) -> np.ndarray:
    """1 / sqrt(x) of positive normal numbers."""
    x = np.asarray(x, F)
    y = (np.int32(0x5F3759DF) - x.view(np.int32) // 2).astype(np.int32).view(F)
    for _ in range(2):
        y = y * (F(1.5) - x * F(0.5) * (y * y))
    return y


@dataclass
class Plain:
    """One sequence; ``token`` runs the next token.

    ``tile`` numbers of a vector and ``value_tile`` tokens are multiplied before a sum is rounded.
    ``v_batch`` tokens' values are stored together; the others wait in the ASIC. ``channels`` above
    0 says that keys are split, where there are several channels or chunks: ``lanes`` neighbouring
    tokens to a channel, worked on in ``parts`` chunks of whole rounds of ``channels`` x ``banks``
    tokens.
    """

    decoder: Decoder
    blocks: tuple
    parameters: tuple
    head: np.ndarray
    embedding: np.ndarray
    positions: np.ndarray
    final: np.ndarray
    lanes: int = 16
    tile: int = 1024
    value_tile: int = 1024
    asic_lanes: int = 16
    v_batch: int = 1
    channels: int = 0
    banks: int = 16
    parts: int = 1
    matmul: MatMul | None = None
    keys: list = field(default_factory=list)
    values: list = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keys = [[] for _ in self.blocks]
        self.values = [[] for _ in self.blocks]

    def token(self, word: int) -> np.ndarray:
        d, position = self.decoder, len(self.keys[0])
        x = self.embedding[word]
        if d.positions == "learned":
            x = bf16(x + self.positions[position])
        for number, matrices in enumerate(self.blocks):
            own = self.parameters[number]
            biases, place = {}, 2 * d.norm_parameters
            for one in d.matrices:
                biases[one.name] = own[place : place + one.outputs] if one.bias else None
                place += one.outputs if one.bias else 0

            def linear(
                name: str, x: np.ndarray, matrices: object = matrices, biases: object = biases
            ) -> np.ndarray:
                return self.linear(matrices[name], x, biases[name])  # type: ignore[index]

            h = self.norm(x, own[: d.norm_parameters])
            attended = self.attention(number, linear("qkv", h), position)
            x = bf16(x + linear("projection", attended))
            h = self.norm(x, own[d.norm_parameters : 2 * d.norm_parameters])
            x = bf16(x + linear("down", self.activated(linear("up", h))))
        return self.linear(self.head, self.norm(x, self.final), None)

    def linear(self, matrix: np.ndarray, x: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
        if self.matmul is not None:
            assert bias is None
            return self.matmul(matrix, x)
        total = None
        for k in range(0, len(x), self.tile):
            one = dot(matrix[:, k : k + self.tile], x[k : k + self.tile], self.lanes)
            total = one if total is None else total + one
        return bf16(total if bias is None else total + bias)

    def norm(self, x: np.ndarray, own: np.ndarray) -> np.ndarray:
        width, lanes = self.decoder.d_model, self.asic_lanes
        share = F(1 / width)
        if self.decoder.norm == "layer":
            x = x - summed(x, lanes) * share
        scale = rsqrt(summed(x * x, lanes) * share + F(self.decoder.epsilon))
        y = x * scale * own[:width]
        return bf16(y + own[width:] if self.decoder.norm == "layer" else y)

    def activated(self, x: np.ndarray) -> np.ndarray:
        gate = x[::2] if self.decoder.gated else x
        if self.decoder.activation == "relu":
            y = np.where(gate > 0, gate, F(0))
        else:
            slope = gate
            if self.decoder.activation == "gelu":
                line = 2 * np.sqrt(2 / np.pi)
                slope = gate * (gate * gate * F(0.044715 * line) + F(line))
            share = reciprocal(F(1) + exp(-slope))
            y = np.where(share == 0, np.copysign(F(0), gate), gate * share)
        return bf16(bf16(y) * x[1::2]) if self.decoder.gated else bf16(y)

    def attention(self, block: int, qkv: np.ndarray, position: int) -> np.ndarray:
        d = self.decoder
        heads = qkv.reshape(-1, d.d_head)
        turned = heads[: d.heads + d.kv_heads]
        if d.positions == "rotary":
            half = d.d_head // 2
            angles = position * d.base ** (-np.arange(half) / half)
            c, s = bf16(np.cos(angles)), bf16(np.sin(angles))
            a, b = turned[:, :half], turned[:, half:]
            turned = bf16(np.concatenate([a * c - b * s, b * c + a * s], 1))
        self.keys[block].append(turned[d.heads :])
        self.values[block].append(heads[d.heads + d.kv_heads :])
        keys, values = np.array(self.keys[block]), np.array(self.values[block])
        found = []
        for head in range(d.heads):
            own = head // (d.heads // d.kv_heads)
            read = dot(keys[:, own], turned[head], self.lanes)
            scores = bf16(read * bf16(1 / np.sqrt(d.d_head)))
            found.append(self.weighted(scores, values[:, own]))
        return np.concatenate(found)

    def weighted(self, scores: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Softmax, then values by their weights."""
        stored = len(scores) // self.v_batch * self.v_batch
        edges = self.edges(len(scores))
        if self.channels > 1 or len(edges) > 2:
            return self.split(scores, values, stored, edges)
        exps = exp(scores - scores.max())
        weights = bf16(exps * reciprocal(summed(exps, self.asic_lanes)))
        tiles = [
            dot(values[k:last].T, weights[k:last], self.lanes)
            for k in range(0, stored, self.value_tile)
            for last in [min(stored, k + self.value_tile)]
        ]
        if stored < len(scores):
            tiles.append(self.waiting(weights[stored:], values[stored:]))
        total = tiles[0]
        for one in tiles[1:]:
            total = total + one
        return bf16(total)

    def edges(self, tokens: int) -> list[int]:
        """Where chunks of the keys begin and end; one where keys are not split."""
        if not self.channels:
            return [0, tokens]
        step = lcm(self.channels * self.banks, self.channels * self.lanes)
        rounds = -(-tokens // step)
        count = min(self.parts, rounds)
        return [min(tokens, rounds * i // count * step) for i in range(count + 1)]

    def split(
        self, scores: np.ndarray, values: np.ndarray, stored: int, edges: list[int]
    ) -> np.ndarray:
        shares = []
        for first, last in pairwise(edges):
            tokens = np.arange(first, last)
            for channel in range(self.channels):
                some = (tokens // self.lanes % self.channels == channel) & (tokens < stored)
                mine = tokens[some]
                if len(mine):
                    exps = exp(scores[mine] - scores[mine].max())
                    o = dot(values[mine].T, bf16(exps), self.lanes)
                    shares.append((scores[mine].max(), summed(exps, self.asic_lanes), o))
            mine = tokens[tokens >= stored]
            if len(mine):
                exps = exp(scores[mine] - scores[mine].max())
                o = self.waiting(bf16(exps), values[mine])
                shares.append((scores[mine].max(), summed(exps, self.asic_lanes), o))
        largest = max(m for m, _, _ in shares)
        below, above = F(0), np.zeros(values.shape[1], F)
        for m, l, o in shares:  # noqa: E741
            factor = exp(m - largest)
            below = below + l * factor
            above = above + o * factor
        return bf16(above * reciprocal(below))

    def waiting(self, weights: np.ndarray, values: np.ndarray) -> np.ndarray:
        total = np.zeros(values.shape[1], F)
        for weight, value in zip(weights, values, strict=True):
            total = total + weight * value
        return bf16(total)
