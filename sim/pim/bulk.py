"""A decoder's numbers without a memory: all tokens of a text at once, bit by bit the same.

Owns ``Bulk``. Imports the decoder, products of many vectors, the ASIC's functions and its choice of
hidden numbers. It knows lanes and tiles, which fix the order of additions, but no address:
``data.Executor`` gives the same logits token by token from compiled programs, for mappings that
leave a head's keys together and values that are written at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gateformer.hw.pim.arithmetic import to_bf16
from gateformer.hw.pim.compile import Compiler
from gateformer.hw.pim.functions import Alu
from gateformer.hw.pim.layout import Floats
from gateformer.quant.decoder import Decoder
from gateformer.sim.pim.keeping import kept
from gateformer.sim.pim.products import float_tiles, product
from gateformer.sim.pim.vectors import AsicVectors, Vectors
from gateformer.sim.pim.weights import Numbers, Weights, Whole

TOGETHER = 128
"""Tokens whose attention is worked on together."""


@dataclass(frozen=True, slots=True)
class Bulk:
    """A decoder.

    Attributes
    ----------
    decoder : Decoder
        Its shape.
    weights : Weights
        Its numbers.
    vectors : Vectors
        The ASIC's functions.
    lanes, widest, longest : int
        BF16 numbers of a column; inputs of a matrix' tile; tokens of a tile of values.
    keep : float
        Share of the hidden vector's columns that is multiplied with ``down``; BF16 weights only.
    compiled : bool or None
        As ``product`` takes it; the bits are the same.
    """

    decoder: Decoder
    weights: Weights
    vectors: Vectors
    lanes: int = 16
    widest: int = 1024
    longest: int = 1024
    keep: float = 1.0
    compiled: bool | None = None

    def __post_init__(self) -> None:
        if self.keep < 1 and isinstance(self.weights.head, Whole):
            raise ValueError("columns are skipped with BF16 weights only")

    @classmethod
    def like(cls, compiler: Compiler, weights: Weights, vectors: Vectors | None = None) -> Bulk:
        """Return the decoder that a compiler's programs compute."""
        grid = compiler.layout.grid
        own = vectors or AsicVectors(compiler.lanes)
        longest = grid.slots * grid.lanes
        keep = compiler.lowering.ffn_keep
        return cls(compiler.decoder, weights, own, grid.lanes, grid.widest, longest, keep)

    def logits(
        self, tokens: Sequence[int], done: Callable[[int], None] = lambda block: None
    ) -> Floats:
        """Run a text.

        Parameters
        ----------
        tokens : sequence of int
            From the first on.
        done : callable
            Told the number of each block behind it.

        Returns
        -------
        array of float32, shape (tokens, vocab)
        """
        own = self.weights
        x = self._embedded(tokens)
        for block, matrices in enumerate(own.blocks):
            norms, biases = self._split(own.parameters[block])
            h = self._norm(x, norms[0])
            qkv = self._product(matrices["qkv"], h, biases.get("qkv"))
            found = self._product(
                matrices["projection"], self._attention(qkv), biases.get("projection")
            )
            x = to_bf16(Alu().add(x, found))
            h = self._norm(x, norms[1])
            up = self._product(matrices["up"], h, biases.get("up"))
            found = self._product(matrices["down"], self._activated(up), biases.get("down"))
            x = to_bf16(Alu().add(x, found))
            done(block)
        return self._product(own.head, self._norm(x, own.final), None)

    def _embedded(self, tokens: Sequence[int]) -> Floats:
        own, some = self.weights, list(tokens)
        if isinstance(own.embedding, Whole):
            numbers = own.embedding.numbers[some].astype(np.float32)
            found = to_bf16(Alu().multiply(numbers, own.embedding.scales[some, None]))
        else:
            found = own.embedding[some]
        if self.decoder.positions == "learned":
            found = to_bf16(Alu().add(found, own.positions[: len(some)]))
        return found

    def _split(self, parameters: Floats) -> tuple[list[Floats], dict[str, Floats]]:
        """Return both norms' parameters, and the biases by matrix."""
        size = self.decoder.norm_parameters
        biases, place = {}, 2 * size
        for matrix in self.decoder.matrices:
            if matrix.bias:
                biases[matrix.name] = parameters[place : place + matrix.outputs]
                place += matrix.outputs
        return [parameters[:size], parameters[size : 2 * size]], biases

    def _norm(self, x: Floats, own: Floats) -> Floats:
        width = self.decoder.d_model
        return to_bf16(self.vectors.norm(self.decoder, x, own[:width], own[width : 2 * width]))

    def _product(self, matrix: Numbers, x: Floats, bias: Floats | None) -> Floats:
        return product(
            matrix, x, widest=self.widest, lanes=self.lanes, bias=bias, compiled=self.compiled
        )

    def _activated(self, x: Floats) -> Floats:
        gated, kind = self.decoder.gated, self.decoder.activation
        gate = x[:, 0::2] if gated else x
        found = to_bf16(self.vectors.activated(kind, gate))
        if gated:
            found = to_bf16(Alu().multiply(found, x[:, 1::2]))
        return kept(found, self.lanes, self.keep, self.widest) if self.keep < 1 else found

    def _attention(self, qkv: Floats) -> Floats:
        """Return attention's result: tokens x queries."""
        decoder, n = self.decoder, len(qkv)
        width, shared = decoder.d_head, decoder.heads // decoder.kv_heads
        heads = qkv.reshape(n, -1, width)
        turned = heads[:, : decoder.heads + decoder.kv_heads]
        if decoder.positions == "rotary":
            angles = decoder.angles(np.arange(n))[:, None]
            turned = to_bf16(self.vectors.rotary(turned, angles))
        queries, keys = turned[:, : decoder.heads], turned[:, decoder.heads :]
        values = heads[:, decoder.heads + decoder.kv_heads :]
        found = np.empty((n, decoder.heads, width), np.float32)
        for head in range(decoder.kv_heads):
            group = slice(head * shared, (head + 1) * shared)
            for first in range(0, n, TOGETHER):
                last = min(n, first + TOGETHER)
                found[first:last, group] = self._head(
                    queries[first:last, group], keys[:last, head], values[:last, head], first
                )
        return found.reshape(n, -1)

    def _head(self, queries: Floats, keys: Floats, values: Floats, first: int) -> Floats:
        """Return what some tokens' queries, from token ``first`` on, get of one head."""
        tokens, shared, width = queries.shape
        flat = queries.reshape(-1, width)
        lanes, compiled = self.lanes, self.compiled
        read = next(float_tiles(keys, flat, len(flat[0]), lanes, compiled))
        scores = to_bf16(Alu().multiply(read, to_bf16(1 / np.sqrt(width))))
        place = (first + np.arange(tokens)).repeat(shared)[:, None]
        future = np.arange(len(keys)) > place
        scores[future] = -np.inf
        weights = to_bf16(self.vectors.softmax(scores))
        found: Floats | None = None
        for number, one in enumerate(
            float_tiles(np.ascontiguousarray(values.T), weights, self.longest, lanes, compiled)
        ):
            if found is None:
                found = one
            else:  # tokens in front of this tile have no part in it
                found = np.where(place < number * self.longest, found, Alu().add(found, one))
        assert found is not None
        return to_bf16(found).reshape(tokens, shared, width)
