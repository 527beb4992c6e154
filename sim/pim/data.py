"""A compiled decoder with numbers in it: every token's logits, bit by bit, from its own program.

Owns ``Executor``. Imports the banks, the compiler, the ASIC's functions and the arithmetic. It
knows no clock; the same program goes through the engine for that.

The ASIC keeps vectors in BF16 and computes in FP32. Weights are BF16 or whole numbers; there is
one sequence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.hw.pim import functions
from gateformer.hw.pim.arithmetic import to_bf16
from gateformer.hw.pim.compile import Compiler
from gateformer.hw.pim.functions import Alu
from gateformer.hw.pim.grid import segment
from gateformer.hw.pim.layout import Address, Floats, Integers, Placed, Striped, Tile
from gateformer.hw.pim.lowering import hidden_parts, kept_columns, runs
from gateformer.hw.pim.program import Program, Segment, Step
from gateformer.sim.pim import words
from gateformer.sim.pim.attending import Attender
from gateformer.sim.pim.banks import Banks
from gateformer.sim.pim.weights import Numbers, Weights, Whole


class Executor:
    """Runs the programs of a compiler on numbers.

    Parameters
    ----------
    compiler : Compiler
        With one sequence; columns of the hidden vector are skipped with BF16 weights only.
    weights : Weights
        The numbers, in the compiler's format.
    compiled : bool or None
        As ``Banks`` takes it; the bits are the same.
    """

    def __init__(self, compiler: Compiler, weights: Weights, compiled: bool | None = None) -> None:
        layout = compiler.layout
        if layout.batch != 1 or (layout.weights != "bf16" and compiler.lowering.ffn_keep < 1):
            raise ValueError("data is held for one sequence, and skipped with BF16 weights only")
        self.compiler = compiler
        self.layout = layout
        self.decoder = compiler.decoder
        self.lanes = compiler.lanes
        self.banks = Banks(layout.grid, layout.rows, compiled)
        self.attender = Attender(layout, self.banks, compiler.v_batch, self.lanes)
        for block, own in enumerate(weights.blocks):
            for name, placed in layout.matrices.items():
                self._put(placed, _plain(own[name]), block)
            scales = [_scales(own[name]) for name in layout.matrices]
            beside = np.concatenate([weights.parameters[block], *scales])
            self._put(layout.parameters, beside[None], block)
        self._put(layout.head, _plain(weights.head))
        self._put(layout.final, np.concatenate([weights.final, _scales(weights.head)])[None])
        if layout.embedding is not None:
            self._put(layout.embedding, _plain(weights.embedding))
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
        found = self.run(self.compiler.token(position, word=word), position, word)
        if found is None:
            raise ValueError("a program without an LM head")
        return found

    def run(self, program: Program, position: int, word: int) -> Floats | None:
        """Run a token's own program, as the compiler gives it; None without the LM head."""
        groups = groupby(program.steps, lambda one: (one.block, one.work.name.split("/")[0]))
        kept: dict[str, Floats] = {}
        for (block, name), steps in groups:
            segments = [step for step in steps if isinstance(step.work, Segment)]
            match name:
                case "embedding":
                    kept["x"] = self._embed(segments, position, word)
                case "parameters":
                    size = self.decoder.block_parameters
                    kept["parameters"] = self._fetch(
                        segments[0], self.layout.parameters, block, some=range(size)
                    )
                case "norm1" | "norm2":
                    kept["norm"] = self._norm(kept["x"], kept["parameters"], int(name[-1]) - 1)
                case "norm":
                    some = range(self.decoder.norm_parameters)
                    kept["parameters"] = self._fetch(segments[0], self.layout.final, -1, some=some)
                    kept["norm"] = self._norm(kept["x"], kept["parameters"], 0)
                case "qkv":
                    kept["qkv"] = self._linear(segments, "qkv", kept["norm"], kept)
                case "rotary":
                    kept["qkv"] = self._rotated(kept["qkv"], position)
                case "attention":
                    own = self.attender.run(segments, kept["qkv"], position, block)
                    kept["attention"] = own
                case "projection":
                    kept["result"] = self._linear(segments, name, kept["attention"], kept)
                case "ffn":
                    kept["result"] = self._feed_forward(segments, kept)
                case "residual1" | "residual2":
                    kept["x"] = to_bf16(Alu().add(kept["x"], kept["result"]))
                case "head":
                    kept["head"] = _added(
                        self._tiles(iter(segments), self.layout.head, kept["norm"])
                    )
                case "token":
                    pass  # the likeliest one is the reader's to take
                case _:
                    raise ValueError(f"no meaning for {name}")
        return kept.get("head")

    def _put(self, table: Placed | Striped, values: NDArray[Any], block: int = 0) -> None:
        own = words.columns(values, self._lanes(table))
        where = self._columns(table, np.arange(len(own)), own.shape[1])
        flat = own.reshape(-1, own.shape[-1])
        self.banks.put(self._moved(where, block), words.packed(flat, self._form(table)))

    def _form(self, table: Placed | Striped) -> str:
        return self.layout.weights if isinstance(table, Placed) else "bf16"

    def _lanes(self, table: Placed | Striped) -> int:
        return table.grid.weights if isinstance(table, Placed) else table.grid.lanes

    def _columns(self, table: Placed | Striped, vectors: Integers, count: int) -> Address:
        """Return where whole columns of some vectors stand."""
        first = np.arange(count) * self._lanes(table)
        return table.where(vectors.repeat(count), np.tile(first, len(vectors)))

    def _moved(self, where: Address, block: int) -> Address:
        return where._replace(row=where.row + max(block, 0) * self.layout.stride)

    def _fetch(
        self,
        step: Step,
        table: Striped,
        block: int,
        vector: int = 0,
        some: range | None = None,
    ) -> Floats:
        """Read a vector of a table, or some of its numbers."""
        self.banks.run(step.expand(), iter(()))
        places = np.arange(table.width)[
            slice(None) if some is None else slice(some.start, some.stop)
        ]
        where = table.where(np.full(len(places), vector), places)
        cells = self.banks.gather(self._moved(where, block))
        return words.floats(cells[np.arange(len(places)), where.lane])

    def _gathered(
        self, table: Placed | Striped, block: int, vector: int, count: int
    ) -> words.Words:
        where = self._columns(table, np.array([vector]), count)
        return self.banks.gather(self._moved(where, block))

    def _embed(self, steps: list[Step], position: int, word: int) -> Floats:
        layout = self.layout
        if layout.embedding is not None:
            found = self._fetch(steps[0], layout.embedding, -1, word)
        else:
            found = self._head_row(steps, word)
        if layout.positions is not None:
            place = self._fetch(steps[-1], layout.positions, -1, position)
            found = to_bf16(Alu().add(found, place))
        return found

    def _head_row(self, steps: list[Step], word: int) -> Floats:
        """Read the token's row of the LM head, and its scale where it has one."""
        head, width = self.layout.head, self.decoder.d_model
        self.banks.run(steps[0].expand(), iter(()))
        row = self._gathered(head, -1, word, -(-width // self._lanes(head)))
        if self.layout.weights == "bf16":
            return words.floats(row).ravel()[:width]
        numbers = words.whole(row, self.layout.weights).ravel()[:width]
        table, place = self.layout.scales(head.matrix, range(word, word + 1))
        scale = self._fetch(steps[1], table, -1, some=place)
        return to_bf16(Alu().multiply(numbers.astype(np.float32), scale))

    def _norm(self, x: Floats, parameters: Floats, number: int) -> Floats:
        """LayerNorm or RMSNorm; its gain and bias are those of the block's first or second."""
        width, epsilon = self.decoder.d_model, self.decoder.epsilon
        own = parameters[number * self.decoder.norm_parameters :]
        gain, bias = own[:width], own[width : 2 * width]
        if self.decoder.norm == "layer":
            return to_bf16(functions.layernorm(x, gain, bias, self.lanes, epsilon))
        return to_bf16(functions.rmsnorm(x, gain, self.lanes, epsilon))

    def _tiles(
        self,
        steps: Iterator[Step],
        placed: Placed,
        vector: Floats,
        outputs: range | None = None,
    ) -> list[Floats]:
        """Return what each tile of a matrix gives; ``vector`` may be the inputs of some tiles.

        Of whole numbers the next step reads the outputs' scales; the one behind it multiplies.
        """
        widest, form = placed.grid.widest, self.layout.weights
        tiles = [vector[None, first : first + widest] for first in range(0, len(vector), widest)]
        some = outputs or range(placed.matrix.outputs)
        if form == "bf16":
            return self._read(next(steps), tiles, len(some), form)
        step = next(steps)
        table, places = self.layout.scales(placed.matrix, some)
        scales = self._fetch(step, table, step.block, some=places)
        sent = [functions.quantize(tile) for tile in tiles]
        reads = self._read(next(steps), [numbers for numbers, _ in sent], len(some), form)
        both = zip(reads, sent, strict=True)
        return [functions.rescaled(sums, scales, one) for sums, (_, one) in both]

    def _read(self, step: Step, sent: list[Floats], outputs: int, form: str) -> list[Floats]:
        reads = self.banks.run(step.expand(), iter(sent), form)
        return [one[:outputs] for one in np.array(reads).reshape(len(sent), -1)]

    def _bias(self, name: str, kept: Mapping[str, Floats]) -> Floats | None:
        place = 2 * self.decoder.norm_parameters
        for matrix in self.decoder.matrices:
            if matrix.name == name:
                own = kept["parameters"][place : place + matrix.outputs]
                return own if matrix.bias else None
            place += matrix.outputs if matrix.bias else 0
        raise KeyError(name)

    def _linear(
        self, steps: list[Step], name: str, x: Floats, kept: Mapping[str, Floats]
    ) -> Floats:
        tiles = self._tiles(iter(steps), self.layout.matrices[name], x)
        return _added(tiles, self._bias(name, kept))

    def _feed_forward(self, steps: list[Step], kept: Mapping[str, Floats]) -> Floats:
        """Up, activation and down, part by part; sums go on over the parts."""
        wide = 2 if self.decoder.gated else 1
        parts = hidden_parts(self.layout.grid, self.decoder.d_ff, wide, self.compiler.parts)
        up, down = self.layout.matrices["up"], self.layout.matrices["down"]
        bias = self._bias("up", kept)
        hidden = []
        left = iter(steps)
        for first, last in parts:
            rows = range(first * wide, last * wide)
            own = None if bias is None else bias[rows.start : rows.stop]
            found = _added(self._tiles(left, up, kept["norm"], rows), own)
            hidden.append(self._activated(found))
        tiles = []
        for some, (first, _) in zip(hidden, parts, strict=True):
            if self.compiler.lowering.ffn_keep < 1:
                tiles += self._kept_tiles(next(left), first, some)
            else:
                tiles += self._tiles(left, down, some)
        return _added(tiles, self._bias("down", kept))

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
        """Activate; the other half of a gated network is multiplied with the BF16 result."""
        gate, others = (x[0::2], x[1::2]) if self.decoder.gated else (x, None)
        kind = self.decoder.activation
        if kind == "relu":
            found = functions.relu(gate)
        else:
            found = {"gelu": functions.gelu, "silu": functions.silu}[kind](Alu(), gate)
        found = to_bf16(found)
        return found if others is None else to_bf16(Alu().multiply(found, others))

    def _rotated(self, qkv: Floats, position: int) -> Floats:
        """Rotate queries and keys: a head's first half with its second."""
        decoder = self.decoder
        angles = decoder.angles(np.array([position]))[0]
        turned = decoder.queries + decoder.kv_width
        heads = qkv[:turned].reshape(-1, decoder.d_head)
        found = to_bf16(functions.rotary(heads, np.cos(angles), np.sin(angles)))
        return np.concatenate([found.ravel(), qkv[turned:]])


def _plain(matrix: Numbers) -> NDArray[Any]:
    """Return a matrix' numbers without their scales."""
    return matrix.numbers if isinstance(matrix, Whole) else matrix


def _scales(matrix: Numbers) -> Floats:
    """Return a matrix' scales, none for BF16 numbers."""
    return matrix.scales if isinstance(matrix, Whole) else np.zeros(0, np.float32)


def _added(tiles: Sequence[Floats], bias: Floats | None = None) -> Floats:
    """Add what the tiles of a matrix give, ascending, then the bias, in FP32; round once."""
    return to_bf16(functions.added(tiles, bias))
