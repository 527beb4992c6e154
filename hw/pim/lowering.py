"""How a decoder's operations become steps of a program.

Owns ``Lowering``, ``hidden_parts``, ``kept_columns`` and ``runs``. Imports the decoder's
operations, the layout, the mappings and programs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from math import ceil

import numpy as np

from gateformer.hw.pim.attention import Attention
from gateformer.hw.pim.device import Asic
from gateformer.hw.pim.drafting import Draft, Drafts, Lifted
from gateformer.hw.pim.grid import Grid, access, repeated, segment
from gateformer.hw.pim.isa import Instruction
from gateformer.hw.pim.layout import Layout, Placed, Striped, Tile
from gateformer.hw.pim.mapping import policy
from gateformer.hw.pim.program import Loop, Segment
from gateformer.quant.decoder import (
    Activate,
    Choose,
    Embed,
    Linear,
    Norm,
    Operation,
    Residual,
    Rotate,
)
from gateformer.quant.errors import PimError

NORMS = {"layer": "layernorm", "rms": "rmsnorm"}

Kept = Callable[[Tile], Sequence[int]]
"""Columns of a tile's inputs that are sent and multiplied, ascending."""


class Lowering:
    """Lowers the operations of one token.

    Parameters
    ----------
    layout : Layout
        Where everything stands.
    free : int
        Bytes of the ASIC's memory for scores.
    v_batch, parts : int
        As ``Compiler`` says.
    ffn_keep : float
        Likewise.
    asic : Asic
        Its lanes, and what its units take at once.

    Raises
    ------
    PimError
        E806 where a tile of the hidden vector is longer than the ASIC selects from.
    """

    def __init__(
        self,
        layout: Layout,
        free: int,
        v_batch: int,
        parts: int,
        ffn_keep: float,
        asic: Asic,
    ) -> None:
        self.layout = layout
        self.ffn_keep = ffn_keep
        self.rescales = asic.lanes if "rescale" in asic.units else 0
        self.grid = layout.grid
        self.parts = parts
        self.policy = policy(layout.mapping)
        self.quantized = layout.weights != "bf16"
        if ffn_keep < 1:
            _check_selected(layout, asic)
        self.attention = Attention(layout, free, v_batch, parts, asic)
        self._lifted = Lifted(layout.grid)
        self._kept: dict[tuple[object, ...], Segment] = {}
        ops = layout.decoder.block()
        inside = [one.name.startswith("attention/") for one in ops]
        first, last = inside.index(True), len(ops) - inside[::-1].index(True)
        self._front, self._middle, self._back = ops[:first], ops[first:last], ops[last:]
        self._before: Drafts | None = None
        self._behind: dict[tuple[int, tuple[int, ...]], list[Draft]] = {}

    def first(self, position: int, word: int) -> list[Draft]:
        """Return the steps in front of the blocks."""
        drafts = Drafts()
        for one in self.layout.decoder.first():
            self._embed(one, drafts, position, word)
        return drafts.found

    def block(self, position: int, sequence: int) -> list[Draft]:
        """Return the steps of a block for one sequence.

        Those behind attention differ only in where it ends, so they are made once for each end.
        """
        decoder = self.layout.decoder
        if self._before is None:
            self._before = Drafts()
            own = self._read("parameters", self.layout.parameters, decoder.block_parameters)
            read = self._before.add(own, ())
            self._before.ends["parameters"] = (read,)
            self._some(self._front, self._before)
        drafts = self._before.copy()
        self.attention.lower(self._middle, drafts, position, sequence)
        first, end = len(drafts.found), drafts.ends[self._middle[-1].name]
        if (first, end) not in self._behind:
            rest = drafts.copy()
            self._some(self._back, rest)
            self._behind[first, end] = rest.found[first:]
        return drafts.found + self._behind[first, end]

    def _some(self, ops: Sequence[Operation], drafts: Drafts) -> None:
        for name, group in groupby(ops, lambda one: one.name.partition("/")[0]):
            if name == "ffn":
                self._feed_forward(list(group), drafts)
            else:
                for one in group:
                    self._lower(one, drafts)

    def last(self) -> list[Draft]:
        """Return the steps behind the blocks."""
        drafts = Drafts()
        size = self.layout.decoder.norm_parameters
        read = drafts.add(self._read("norm/parameters", self.layout.final, size), ())
        drafts.ends["parameters"] = (read,)
        for one in self.layout.decoder.last():
            self._lower(one, drafts)
        return drafts.found

    def _lower(self, one: Operation, drafts: Drafts) -> None:
        after = drafts.behind(one)
        match one:
            case Norm():
                after += drafts.ends["parameters"]
                drafts.end(one.name, drafts.asic(one.name, NORMS[one.kind], one.width, after))
            case Linear():
                drafts.end(one.name, *self._linear(one, drafts, after))
            case Rotate():
                drafts.end(one.name, drafts.asic(one.name, "rotary", one.width, after))
            case Residual():
                drafts.end(one.name, drafts.asic(one.name, "add", one.width, after))
            case Choose():
                drafts.end(one.name, drafts.asic(one.name, "maximum", one.width, after))
            case _:
                raise TypeError(f"no lowering for {type(one).__name__}")

    def _embed(self, one: Embed, drafts: Drafts, position: int, word: int) -> None:
        """Read the token's vector, add its position's."""
        layout, grid = self.layout, self.grid
        if layout.embedding is not None:
            vector = layout.embedding.accesses("RD_SBK", word, 1)
        else:
            block, unit = divmod(word, grid.units)
            channel, bank = divmod(unit, grid.banks)
            vector = []
            for tile in layout.head.tiles:
                index = tile.start + block * tile.columns
                vector += access(grid, "RD_SBK", bank, index, tile.columns, 1 << channel)
        work, row = self._lifted.of(one.name, vector)
        read = drafts.add(work, (), rows=row)
        ends: tuple[int, ...] = (read,)
        if self.quantized and layout.embedding is None:
            work, row = self._lifted.of(f"{one.name}/scale", self._head_scale(word))
            ends += (drafts.add(work, (), rows=row),)
            ends = (drafts.asic(f"{one.name}/rescale", "multiply", one.width, ends),)
        if layout.positions is not None:
            place = layout.positions.accesses("RD_SBK", position, 1)
            work, row = self._lifted.of(f"{one.name}/position", place)
            ends += (drafts.add(work, (), rows=row),)
            ends = (drafts.asic(f"{one.name}/sum", "add", one.width, ends),)
        drafts.end(one.name, *ends)

    def _head_scale(self, word: int) -> list[Instruction]:
        """Read the column in which the scale of a row of the LM head stands."""
        table, places = self.layout.scales(self.layout.head.matrix, range(word, word + 1))
        where = table.where(np.array([0]), np.array([places.start]))
        channel, bank, row, column = (int(one[0]) for one in where[:4])
        return [Instruction("RD_SBK", 1, 1 << channel, bank, row, column=column)]

    def _feed_forward(self, ops: list[Operation], drafts: Drafts) -> None:
        """Lower up, activation and down; in parts, activate one while the next is multiplied."""
        up, activate, down = ops
        if not (
            isinstance(up, Linear) and isinstance(activate, Activate) and isinstance(down, Linear)
        ):
            raise TypeError("a feed-forward network is up, activation and down")
        after = drafts.behind(up)
        wide = 2 if activate.gated else 1
        edges = hidden_parts(self.grid, activate.width, wide, self.parts)
        activated: list[int] = []
        ready = self._quantize(up, drafts, after)
        for first, last in edges:
            outputs = range(first * wide, last * wide)
            done = self._linear(up, drafts, ready, outputs=outputs, quantize=False)
            unit = activate.kind
            done = (drafts.asic(activate.name, unit, last - first, done),)
            if activate.gated:
                done = (drafts.asic("ffn/gate", "multiply", last - first, done),)
            if self.ffn_keep < 1:
                tiles = -(-(last - first) // self.grid.widest)
                done = (drafts.asic("ffn/select", "select", last - first, done, tiles),)
            activated += done
        for place, (first, last) in enumerate(edges):
            inputs = range(first, last)
            done = self._linear(down, drafts, (activated[place],), inputs=inputs, carry=place > 0)
            drafts.end(down.name, *done)

    def _quantize(self, one: Linear, drafts: Drafts, after: tuple[int, ...]) -> tuple[int, ...]:
        if not self.quantized:
            return after
        name, width = f"{one.name}/quantize", one.matrix.inputs
        return (drafts.asic(name, "quantize", width, after, -(-width // self.grid.widest)),)

    def _linear(
        self,
        one: Linear,
        drafts: Drafts,
        after: tuple[int, ...],
        *,
        outputs: range | None = None,
        inputs: range | None = None,
        carry: bool = False,
        quantize: bool = True,
    ) -> tuple[int, ...]:
        """Add the steps of a matrix product, or of some outputs or inputs of it.

        What its tiles give is added once, with the bias, since nothing is rounded in between; so
        the sum waits for the last inputs. ``carry`` says that former steps give some of it.
        """
        name, matrix = one.name, one.matrix
        placed = self.layout.head if name == "head" else self.layout.matrices[matrix.name]
        outputs = outputs or range(matrix.outputs)
        inputs = inputs or range(matrix.inputs)
        tiles = range(inputs.start // self.grid.widest, -(-inputs.stop // self.grid.widest))
        if quantize and self.quantized:
            whole = (f"{name}/quantize", "quantize", len(inputs))
            after = (drafts.asic(*whole, after, len(tiles)),)
        scales: tuple[int, ...] = ()
        if self.quantized:
            table, some = self.layout.scales(matrix, outputs)
            scales = (drafts.add(self._read(f"{name}/scales", table, some.stop, some.start), ()),)
        key = (name, outputs, tiles)
        kept = self._spread if name == "ffn/down" and self.ffn_keep < 1 else _all_columns
        work = self._segment(key, name, lambda: self.product(placed, outputs, tiles, kept))
        useful = sum(self._multiplied(placed.tiles[number], kept) for number in tiles)
        done: tuple[int, ...] = (drafts.add(work, after, len(outputs) * useful),)
        at_once = self.quantized and len(placed.tiles) <= self.rescales
        if at_once:
            done += scales
        elif self.quantized:  # a row's scale times the tile's step, and the sum times that
            scaled = 2 * len(outputs) * len(tiles)
            done = (drafts.asic(f"{name}/rescale", "multiply", scaled, done + scales),)
        if inputs.stop < matrix.inputs:
            return done
        done += drafts.ends[name] if carry else ()
        if at_once:
            return (self._rescale(one, drafts, done, len(outputs), len(placed.tiles)),)
        sums = len(placed.tiles) - 1 + matrix.bias
        if sums:
            waits = done + (drafts.ends["parameters"] if matrix.bias else ())
            done = (drafts.asic(f"{name}/sum", "add", len(outputs) * sums, waits, sums),)
        return done

    def _rescale(
        self, one: Linear, drafts: Drafts, after: tuple[int, ...], outputs: int, tiles: int
    ) -> int:
        """Add the one step that scales the sums of all tiles, and adds them and the bias."""
        operands = tiles + one.matrix.bias
        waits = after + (drafts.ends["parameters"] if one.matrix.bias else ())
        work = (f"{one.name}/rescale", "rescale", outputs * operands)
        return drafts.asic(*work, waits, operands, tiles)

    def _spread(self, tile: Tile) -> Sequence[int]:
        """As many columns as are kept, spread evenly: which ones they are, the data decides."""
        count = kept_columns(tile.columns, self.ffn_keep)
        return [place * tile.columns // count for place in range(count)]

    def _multiplied(self, tile: Tile, kept: Kept) -> int:
        """Inputs of a tile that are multiplied."""
        weights = self.grid.weights
        return sum(min(weights, tile.inputs - column * weights) for column in kept(tile))

    def product(self, placed: Placed, outputs: range, tiles: range, kept: Kept) -> Iterable[Loop]:
        """Multiply the columns that are kept, tile by tile; the others are neither sent nor read.

        A run of neighbours is one instruction.
        """
        grid, step = self.grid, self.grid.slots_per_column
        first = outputs.start // grid.units
        blocks = -(-outputs.stop // grid.units) - first
        for tile in (placed.tiles[number] for number in tiles):
            columns = tile.columns
            whole = runs(kept(tile))

            def body(index: int, whole: Sequence[range] = whole) -> list[Instruction]:
                return [
                    Instruction("WR_BIAS", 1, grid.everyone),
                    *(
                        one
                        for run in whole
                        for one in self.policy.multiply(
                            grid, index + run.start, len(run), run.start * step, step
                        )
                    ),
                    Instruction("RD_MAC", 1, grid.everyone),
                ]

            for run in whole:
                size, slot = len(run) * step, run.start * step
                yield Loop((Instruction("WR_GB", size, grid.everyone, column=slot),))
            yield from repeated(grid, blocks, tile.start + first * columns, columns, body)

    def _read(self, name: str, table: Striped, stop: int, start: int = 0) -> Segment:
        some = range(start, stop)
        return self._segment((name, some), name, lambda: (Loop(tuple(table.part("RD_SBK", some))),))

    def _segment(
        self, key: tuple[object, ...], name: str, loops: Callable[[], Iterable[Loop]]
    ) -> Segment:
        """Return the segment of a key, made only once."""
        if key not in self._kept:
            self._kept[key] = segment(self.grid, name, loops())
        return self._kept[key]


def _check_selected(layout: Layout, asic: Asic) -> None:
    """Raise E806 where a tile of the hidden vector has more words than the ASIC selects from."""
    most = asic.most("select")
    longest = min(layout.grid.widest, layout.decoder.d_ff)
    words = -(-longest // asic.lanes)
    if most and words > most:
        raise PimError(
            "E806",
            "more words than the ASIC selects from",
            layer=layout.decoder.name,
            cause=(
                f"A tile of the hidden vector has {longest} numbers, {words} words of "
                f"{asic.lanes}; the device's unit select takes {most} at most"
            ),
            fix="Take ffn_keep 1, BF16 weights, a smaller buffer_bytes, or another device",
        )


def kept_columns(columns: int, keep: float) -> int:
    """Return how many of a tile's columns are kept: a share, rounded up."""
    return max(1, ceil(columns * keep))


def _all_columns(tile: Tile) -> Sequence[int]:
    return range(tile.columns)


def runs(columns: Sequence[int]) -> list[range]:
    """Return ascending numbers as runs of neighbours."""
    found: list[range] = []
    for column in columns:
        if found and found[-1].stop == column:
            found[-1] = range(found[-1].start, column + 1)
        else:
            found.append(range(column, column + 1))
    return found


def hidden_parts(grid: Grid, width: int, wide: int, parts: int) -> list[tuple[int, int]]:
    """Return the parts of the feed-forward network's hidden vector: first and last number each.

    They are whole tiles of ``down`` and whole blocks of ``up``, which has ``wide`` rows a number.
    """
    edges = [0]
    for part in range(1, parts):
        edge = -(-width * part // parts // grid.widest) * grid.widest
        if edges[-1] < edge < width and edge * wide % grid.units == 0:
            edges.append(edge)
    return list(zip(edges, [*edges[1:], width], strict=True))
