"""What a mapping policy decides, and where keys stand in all of them.

Owns ``Policy``, ``Multiply``, ``KeyGroup`` and ``Keys``. Imports the grid and the layout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gateformer.hw.pim.device import Device
from gateformer.hw.pim.grid import Grid, access, repeated
from gateformer.hw.pim.isa import Instruction
from gateformer.hw.pim.layout import Address, Cache, Floats, Integers, Part
from gateformer.hw.pim.program import Loop
from gateformer.quant.decoder import Decoder
from gateformer.quant.errors import PimError

Multiply = Callable[[Grid, int, int, int, int], list[Instruction]]
"""Grid, index, columns, first slot and slots a column to the MACs of one vector in each bank."""


class Policy(Protocol):
    """How a model is mapped."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    def multiply(
        self, grid: Grid, index: int, count: int, slot: int, step: int
    ) -> list[Instruction]:
        """Multiply a run of columns of every bank with the buffer from ``slot`` on."""
        ...

    def cache(self, decoder: Decoder, device: Device, grid: Grid, tokens: int, start: int) -> Cache:
        """Lay out a sequence's keys and values from index ``start`` on."""
        ...


@dataclass(frozen=True, slots=True)
class KeyGroup:
    """Heads whose keys of one token stand side by side, as their queries do in the buffer.

    Attributes
    ----------
    first, heads : int
        The first key head and how many.
    start : int
        Index of the first column.
    """

    first: int
    heads: int
    start: int


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys, row-major: all heads of a token follow one another in one bank.

    ``units`` tokens stand side by side, one in each bank; they make a stripe. As many heads as fill
    the buffer with their queries make a group.

    Attributes
    ----------
    grid : Grid
        Sizes.
    width, queries : int
        Numbers of a head; query heads that share a key head.
    groups : tuple of KeyGroup
        The groups, heads ascending.
    tokens : int
        Tokens that have room.
    channel_first : bool
        Whether neighbouring tokens go to neighbouring channels; else ``banks`` of them go to the
        banks of one channel.
    """

    grid: Grid
    width: int
    queries: int
    groups: tuple[KeyGroup, ...]
    tokens: int
    channel_first: bool

    @classmethod
    def at(
        cls,
        decoder: Decoder,
        grid: Grid,
        tokens: int,
        start: int,
        sets: Sequence[range],
        channel_first: bool,
    ) -> Keys:
        """Lay keys out from index ``start`` on; a group lies within one of the sets of heads.

        Raises
        ------
        PimError
            E806 where one head does not fit the buffer.
        """
        columns = -(-decoder.d_head // grid.lanes)
        if columns > grid.slots:
            raise PimError(
                "E806",
                "head larger than the buffer",
                layer=decoder.name,
                cause=f"A head of {decoder.d_head} numbers takes {columns} of {grid.slots} slots",
                fix="Choose a device with a larger buffer",
            )
        stripes = -(-tokens // grid.units)
        groups = []
        for some in sets:
            count = -(-len(some) // (grid.slots // columns))
            for i in range(count):
                first, last = len(some) * i // count, len(some) * (i + 1) // count
                groups.append(KeyGroup(some.start + first, last - first, start))
                start += stripes * (last - first) * columns
        queries = decoder.heads // decoder.kv_heads
        return cls(grid, decoder.d_head, queries, tuple(groups), tokens, channel_first)

    @property
    def columns(self) -> int:
        """Columns of one head."""
        return -(-self.width // self.grid.lanes)

    @property
    def end(self) -> int:
        """The index behind the last column."""
        stripes = -(-self.tokens // self.grid.units)
        last = self.groups[-1]
        return last.start + stripes * last.heads * self.columns

    def unit(self, tokens: Integers) -> tuple[Integers, Integers]:
        """Return channel and bank of tokens."""
        within = tokens % self.grid.units
        if self.channel_first:
            return within % self.grid.channels, within // self.grid.channels
        return within // self.grid.banks, within % self.grid.banks

    def where(self, tokens: Integers, heads: Integers, dims: Integers) -> Address:
        """Return where keys stand."""
        firsts = np.array([group.first for group in self.groups])
        which = np.searchsorted(firsts, heads, side="right") - 1
        starts = np.array([group.start for group in self.groups])[which]
        sizes = np.array([group.heads for group in self.groups])[which]
        within, lane = np.divmod(dims, self.grid.lanes)
        stripe = tokens // self.grid.units
        index = starts + (stripe * sizes + heads - firsts[which]) * self.columns + within
        row, column = np.divmod(index, self.grid.columns)
        return Address(*self.unit(tokens), row, column, lane)

    def append(self, position: int) -> list[Instruction]:
        """Write the keys of one token: whole columns of one bank."""
        channel, bank = (int(one[0]) for one in self.unit(np.array([position])))
        stripe = position // self.grid.units
        body: list[Instruction] = []
        for group in self.groups:
            columns = group.heads * self.columns
            index = group.start + stripe * columns
            body += access(self.grid, "WR_SBK", bank, index, columns, 1 << channel)
        return body

    def score(self, part: Part, multiply: Multiply) -> tuple[Loop, ...]:
        """Multiply the queries of a part's heads with the keys of its tokens, stripe by stripe."""
        grid, columns = self.grid, self.columns
        first = part.first_token // grid.units
        stripes = (part.first_token + part.tokens - 1) // grid.units + 1 - first
        loops: list[Loop] = []
        for group in self._of(part):
            size = group.heads * columns

            def body(index: int, heads: int = group.heads) -> list[Instruction]:
                found = []
                for head in range(heads):
                    found.append(Instruction("WR_BIAS", 1, grid.everyone))
                    found += multiply(grid, index + head * columns, columns, head * columns, 1)
                    found.append(Instruction("RD_MAC", 1, grid.everyone))
                return found

            load = Loop((Instruction("WR_GB", size, grid.everyone),))
            rows = repeated(grid, stripes, group.start + first * size, size, body)
            loops += (load, *rows) * self.queries
        return tuple(loops)

    def sent(self, part: Part, queries: Floats) -> Iterator[Floats]:
        """Yield what each WR_GB of ``score`` writes: the heads' queries, each in whole columns."""
        wide = np.zeros((len(queries), self.columns * self.grid.lanes), np.float32)
        wide[:, : self.width] = queries
        for group in self._of(part):
            heads = np.arange(group.first, group.first + group.heads) * self.queries
            for query in range(self.queries):
                yield wide[heads + query].reshape(1, -1)

    def read(self, part: Part, reads: Sequence[Floats]) -> Floats:
        """Return scores from what each RD_MAC of ``score`` reads."""
        units = self.grid.units
        last = part.first_token + part.tokens
        channel, bank = self.unit(np.arange(units))
        found = np.zeros((part.heads, self.queries, part.tokens), np.float32)
        stripes = range(part.first_token // units, (last - 1) // units + 1)
        left = iter(reads)
        for group in self._of(part):
            for query in range(self.queries):
                for stripe in stripes:
                    tokens = slice(stripe * units - part.first_token, None)
                    for head in range(group.heads):
                        row = found[group.first - part.first_head + head, query, tokens]
                        row[:units] = next(left)[channel, bank][: len(row)]
        return found.reshape(-1, part.tokens)

    def _of(self, part: Part) -> Iterator[KeyGroup]:
        heads = range(part.first_head, part.first_head + part.heads)
        return (group for group in self.groups if group.first in heads)
