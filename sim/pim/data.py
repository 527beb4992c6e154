"""A compiled decoder with numbers in it: every token's logits, bit by bit, from its own program.

Owns ``Weights``, ``random_weights`` and ``Executor``. Imports the banks, the compiler, the ASIC's
functions and the arithmetic. It knows no clock; the same program goes through the engine for that.

The ASIC keeps vectors in BF16 and computes in FP32. Weights are BF16, and there is one
sequence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from gateformer.hw.pim import functions
from gateformer.hw.pim.arithmetic import to_bf16
from gateformer.hw.pim.compile import Compiler
from gateformer.hw.pim.functions import Alu
from gateformer.hw.pim.grid import segment
from gateformer.hw.pim.layout import Address, Floats, Placed, Striped, Tile
from gateformer.hw.pim.lowering import hidden_parts, kept_columns, runs
from gateformer.hw.pim.program import Segment, Step
from gateformer.quant.decoder import Decoder
from gateformer.sim.pim.attending import Attender
from gateformer.sim.pim.banks import Banks

EPSILON = np.float32(1e-5)
"""Added to a norm's variance."""
BASE = 10000.0
"""Base of rotary positions."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A decoder's numbers, all BF16.

    Attributes
    ----------
    blocks : tuple of mapping of str to array
        For each block its matrices by name, outputs x inputs, and ``parameters``: gain and bias of
        both norms, then the matrices' biases, in the order of ``Decoder.matrices``.
    head, embedding : array, shape (vocab, d_model)
        LM head and token embedding, the same where both are tied.
    positions : array, shape (context, d_model)
        Learned positions; empty without.
    final : array
        Gain and bias of the last norm.
    """

    blocks: tuple[Mapping[str, Floats], ...]
    head: Floats
    embedding: Floats
    positions: Floats
    final: Floats


def random_weights(decoder: Decoder, seed: int = 0) -> Weights:
    """Return numbers such that activations neither grow nor vanish."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> Floats:
        return to_bf16(rng.normal(size=shape) / np.sqrt(shape[-1]))

    def parameters(norms: int, biases: int) -> Floats:
        one = np.ones(decoder.d_model)
        norm = (one, 0 * one) if decoder.norm == "layer" else (one,)
        return to_bf16(np.concatenate([*(norm * norms), 0.1 * rng.normal(size=biases)]))

    biases = sum(matrix.outputs for matrix in decoder.matrices if matrix.bias)
    blocks = tuple(
        {matrix.name: draw(matrix.outputs, matrix.inputs) for matrix in decoder.matrices}
        | {"parameters": parameters(2, biases)}
        for _ in range(decoder.layers)
    )
    head = draw(decoder.vocab, decoder.d_model)
    embedding = head if decoder.tied else draw(decoder.vocab, decoder.d_model)
    learned = decoder.context if decoder.positions == "learned" else 0
    return Weights(blocks, head, embedding, draw(learned, decoder.d_model), parameters(1, 0))


class Executor:
    """Runs the programs of a compiler on numbers.

    Parameters
    ----------
    compiler : Compiler
        With BF16 weights and one sequence.
    weights : Weights
        The numbers.
    """

    def __init__(self, compiler: Compiler, weights: Weights) -> None:
        layout = compiler.layout
        if layout.weights != "bf16" or layout.batch != 1:
            raise ValueError("data is held for BF16 weights and one sequence only")
        self.compiler = compiler
        self.layout = layout
        self.decoder = compiler.decoder
        self.banks = Banks(layout.grid, layout.rows)
        self.attender = Attender(layout, self.banks, compiler.v_batch)
        for block, own in enumerate(weights.blocks):
            for name, placed in layout.matrices.items():
                self._put(placed, own[name], block)
            self._put(layout.parameters, own["parameters"][None], block)
        self._put(layout.head, weights.head)
        self._put(layout.final, weights.final[None])
        if layout.embedding is not None:
            self._put(layout.embedding, weights.embedding)
        if layout.positions is not None:
            self._put(layout.positions, weights.positions)

    def token(self, position: int, word: int) -> Floats:
        """Run one token behind those that ran before.

        Parameters
        ----------
        position : int
            Tokens in front of it.
        word : int
            Its number.

        Returns
        -------
        array of float32, shape (vocab,)
            The logits.
        """
        program = self.compiler.token(position, word=word)
        groups = groupby(program.steps, lambda one: (one.block, one.work.name.split("/")[0]))
        kept: dict[str, Floats] = {}
        for (block, name), steps in groups:
            segments = [step for step in steps if isinstance(step.work, Segment)]
            match name:
                case "embedding":
                    kept["x"] = self._embed(segments, position, word)
                case "parameters":
                    kept["parameters"] = self._fetch(segments[0], self.layout.parameters, block)
                case "norm1" | "norm2":
                    kept["norm"] = self._norm(kept["x"], kept["parameters"], int(name[-1]) - 1)
                case "norm":
                    kept["parameters"] = self._fetch(segments[0], self.layout.final, -1)
                    kept["norm"] = self._norm(kept["x"], kept["parameters"], 0)
                case "qkv":
                    kept["qkv"] = self._linear(segments[0], "qkv", kept["norm"], kept)
                case "rotary":
                    kept["qkv"] = self._rotated(kept["qkv"], position)
                case "attention":
                    own = self.attender.run(segments, kept["qkv"], position, block)
                    kept["attention"] = own
                case "projection":
                    kept["result"] = self._linear(segments[0], name, kept["attention"], kept)
                case "ffn":
                    kept["result"] = self._feed_forward(segments, kept)
                case "residual1" | "residual2":
                    kept["x"] = to_bf16(kept["x"] + kept["result"])
                case "head":
                    kept["head"] = to_bf16(
                        sum(self._tiles(segments[0], self.layout.head, kept["norm"]))
                    )
                case "token":
                    pass  # the likeliest one is the reader's to take
                case _:
                    raise ValueError(f"no meaning for {name}")
        return kept["head"]

    def _put(self, table: Placed | Striped, values: Floats, block: int = 0) -> None:
        where = table.where(*(one.ravel() for one in np.indices(values.shape)))
        self.banks.put(self._moved(where, block), values)

    def _moved(self, where: Address, block: int) -> Address:
        return where._replace(row=where.row + max(block, 0) * self.layout.stride)

    def _fetch(self, step: Step, table: Placed | Striped, block: int, vector: int = 0) -> Floats:
        """Read a vector of a table."""
        self.banks.run(step.expand(), iter(()))
        width = table.width if isinstance(table, Striped) else table.matrix.inputs
        where = table.where(np.full(width, vector), np.arange(width))
        return self.banks.gather(self._moved(where, block))

    def _embed(self, steps: list[Step], position: int, word: int) -> Floats:
        layout = self.layout
        found = self._fetch(steps[0], layout.embedding or layout.head, -1, word)
        if layout.positions is not None:
            found = to_bf16(found + self._fetch(steps[1], layout.positions, -1, position))
        return found

    def _norm(self, x: Floats, parameters: Floats, number: int) -> Floats:
        """LayerNorm or RMSNorm; its gain and bias are those of the block's first or second."""
        width = self.decoder.d_model
        own = parameters[number * self.decoder.norm_parameters :]
        if self.decoder.norm == "layer":
            x = x - x.mean(dtype=np.float32)
        scale = functions.rsqrt(Alu(), np.square(x).mean(dtype=np.float32) + EPSILON)
        found = x * scale * own[:width]
        return to_bf16(found + own[width : 2 * width] if self.decoder.norm == "layer" else found)

    def _tiles(
        self, step: Step, placed: Placed, vector: Floats, outputs: range | None = None
    ) -> list[Floats]:
        """Return what each tile of a matrix gives; ``vector`` may be the inputs of some tiles."""
        widest = placed.grid.widest
        sent = [vector[None, first : first + widest] for first in range(0, len(vector), widest)]
        reads = self.banks.run(step.expand(), iter(sent))
        some = outputs or range(placed.matrix.outputs)
        return [one[: len(some)] for one in np.array(reads).reshape(len(sent), -1)]

    def _bias(self, name: str, kept: Mapping[str, Floats]) -> Floats | np.float32:
        place = 2 * self.decoder.norm_parameters
        for matrix in self.decoder.matrices:
            if matrix.name == name:
                own = kept["parameters"][place : place + matrix.outputs]
                return own if matrix.bias else np.float32(0)
            place += matrix.outputs if matrix.bias else 0
        raise KeyError(name)

    def _linear(self, step: Step, name: str, x: Floats, kept: Mapping[str, Floats]) -> Floats:
        tiles = self._tiles(step, self.layout.matrices[name], x)
        return to_bf16(sum(tiles[1:], tiles[0]) + self._bias(name, kept))

    def _feed_forward(self, steps: list[Step], kept: Mapping[str, Floats]) -> Floats:
        """Up, activation and down, part by part; sums go on over the parts."""
        wide = 2 if self.decoder.gated else 1
        parts = hidden_parts(self.layout.grid, self.decoder.d_ff, wide, self.compiler.parts)
        up, down = self.layout.matrices["up"], self.layout.matrices["down"]
        bias = np.broadcast_to(self._bias("up", kept), up.matrix.outputs)
        hidden = []
        for step, (first, last) in zip(steps, parts, strict=False):
            rows = range(first * wide, last * wide)
            tiles = self._tiles(step, up, kept["norm"], rows)
            found = to_bf16(sum(tiles[1:], tiles[0]) + bias[rows.start : rows.stop])
            hidden.append(self._activated(found))
        tiles = []
        for step, some, (first, _) in zip(steps[len(parts) :], hidden, parts, strict=True):
            if self.compiler.lowering.ffn_keep < 1:
                tiles += self._kept_tiles(step, first, some)
            else:
                tiles += self._tiles(step, down, some)
        return to_bf16(sum(tiles[1:], tiles[0]) + self._bias("down", kept))

    def _kept_tiles(self, step: Step, first: int, hidden: Floats) -> list[Floats]:
        """Multiply the columns of ``down`` whose hidden numbers have the largest magnitudes.

        Which ones they are is known only now, so the step's instructions are made again for them.
        """
        low, down, grid = self.compiler.lowering, self.layout.matrices["down"], self.layout.grid
        tiles = range(first // grid.widest, -(-(first + len(hidden)) // grid.widest))
        kept: dict[Tile, list[int]] = {}
        sent: list[Floats] = []
        for tile in (down.tiles[number] for number in tiles):
            own = hidden[tile.first - first :][: tile.inputs]
            count = kept_columns(tile.columns, low.ffn_keep)
            kept[tile] = functions.largest_groups(Alu(), own, grid.weights, count).tolist()
            sent += [
                own[None, run.start * grid.weights : run.stop * grid.weights]
                for run in runs(kept[tile])
            ]
        outputs = range(down.matrix.outputs)
        work = segment(grid, step.work.name, low.product(down, outputs, tiles, kept.__getitem__))
        reads = self.banks.run(work.expand(step.offset), iter(sent))
        return [one[: len(outputs)] for one in np.array(reads).reshape(len(tiles), -1)]

    def _activated(self, x: Floats) -> Floats:
        kinds = {"gelu": functions.gelu, "silu": functions.silu}
        gate, others = (x[0::2], x[1::2]) if self.decoder.gated else (x, None)
        kind = self.decoder.activation
        found = np.maximum(gate, 0) if kind == "relu" else kinds[kind](Alu(), gate)
        return to_bf16(found if others is None else to_bf16(found) * others)

    def _rotated(self, qkv: Floats, position: int) -> Floats:
        """Rotate queries and keys: a head's first half with its second."""
        width = self.decoder.d_head
        half = width // 2
        angles = position * BASE ** (-np.arange(half) / max(1, half))
        cosine, sine = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
        turned = self.decoder.queries + self.decoder.kv_width
        heads = qkv[:turned].reshape(-1, width).copy()
        first, second = heads[:, :half].copy(), heads[:, half : 2 * half].copy()
        heads[:, :half] = first * cosine - second * sine
        heads[:, half : 2 * half] = second * cosine + first * sine
        return np.concatenate([to_bf16(heads).ravel(), qkv[turned:]])
