"""Stream-K attention: every channel takes an equal share of the keys, whatever the heads.

Owns ``POLICY`` and ``SplitCache``. Imports what all mappings share, devices and the grid.

``lanes`` neighbouring tokens go to one channel, the next ones to the next channel; each channel
holds all heads of its tokens. The ASIC exponentiates each channel's scores against their own
maximum m and sums them to l; the channels' weighted values o follow, and the ASIC merges all (m, l,
o). So no head is too many for the channels, and long sequences can be worked through in chunks that
fit the ASIC's memory. Matrices are laid out as ``pim-gpt`` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import lcm

import numpy as np

from gateformer.hw.pim.device import Device
from gateformer.hw.pim.grid import Grid, access, mac, repeated
from gateformer.hw.pim.isa import Instruction
from gateformer.hw.pim.layout import Address, Cache, Floats, Integers, Part
from gateformer.hw.pim.mapping.base import Keys
from gateformer.hw.pim.program import Loop
from gateformer.quant.decoder import Decoder


@dataclass(frozen=True, slots=True)
class SplitCache:
    """Keys and values of a sequence in a block.

    Attributes
    ----------
    grid : Grid
        Sizes.
    keys : Keys
        The keys.
    heads, width, queries : int
        Value heads, numbers of a head, query heads that share one.
    tokens, start : int
        Tokens that have room; index of the first column of the values.
    """

    grid: Grid
    keys: Keys
    heads: int
    width: int
    queries: int
    tokens: int
    start: int

    @property
    def groups(self) -> int:
        """Groups of ``banks`` numbers in a head."""
        return -(-self.width // self.grid.banks)

    @property
    def columns(self) -> int:
        """Columns of one number of a head in a channel."""
        return -(-self.tokens // (self.grid.lanes * self.grid.channels))

    @property
    def end(self) -> int:
        """The index behind the last column."""
        return self.start + self.heads * self.groups * self.columns

    def where_key(self, tokens: Integers, heads: Integers, dims: Integers) -> Address:
        """Return where keys stand."""
        return self.keys.where(tokens, heads, dims)

    def where_value(self, tokens: Integers, heads: Integers, dims: Integers) -> Address:
        """Return where values stand."""
        grid = self.grid
        block, lane = np.divmod(tokens, grid.lanes)
        within, channel = np.divmod(block, grid.channels)
        group, bank = np.divmod(dims, grid.banks)
        index = self.start + (heads * self.groups + group) * self.columns + within
        row, column = np.divmod(index, grid.columns)
        return Address(channel, bank, row, column, lane)

    def parts(self, position: int, wanted: int) -> tuple[Part, ...]:
        """Cut attention between tokens, where a stripe of keys and a column of values end."""
        grid = self.grid
        step = lcm(grid.units, grid.lanes * grid.channels)
        steps = position // step + 1
        longest = max(1, grid.slots * grid.lanes * grid.channels // step)
        count = max(min(wanted, steps), -(-steps // longest))
        found = []
        for i in range(count):
            first = steps * i // count * step
            last = min(position + 1, steps * (i + 1) // count * step)
            found.append(Part(0, self.heads, first, last - first, grid.channels))
        return tuple(found)

    def append_keys(self, position: int) -> list[Instruction]:
        """Write a token's keys."""
        return self.keys.append(position)

    def append_values(self, position: int) -> tuple[Loop, ...]:
        """Write one column of every number of every head, in one channel."""
        grid, columns = self.grid, self.columns
        within, channel = divmod(position // grid.lanes, grid.channels)
        start = self.start + within

        def body(index: int) -> Iterator[Instruction]:
            if index % grid.columns < columns or index == start:
                row, at = divmod(index, grid.columns)
                yield Instruction("MAC_ABK", 1, 1 << channel, row=row, column=at)
            for bank in range(grid.banks):
                yield from access(grid, "WR_SBK", bank, index, 1, 1 << channel)

        first = repeated(grid, 1, start, columns, body)
        count = self.heads * self.groups
        return first + repeated(grid, count - 1, start + columns, columns, body)

    def score(self, part: Part) -> tuple[Loop, ...]:
        """Multiply queries and keys."""
        return self.keys.score(part, mac)

    def values(self, part: Part) -> tuple[Loop, ...]:
        """Multiply weights and values; as many heads' weights as fit stand in the buffer."""
        grid = self.grid
        first, used = self._used(part)
        at_once = grid.slots // used
        pairs = [(head, query) for head in range(self.heads) for query in range(self.queries)]
        loops: list[Loop] = []
        for begin in range(0, len(pairs), at_once):
            some = pairs[begin : begin + at_once]
            loops.append(Loop((Instruction("WR_GB", used * len(some), grid.everyone),)))
            for place, (head, _) in enumerate(some):

                def body(index: int, slot: int = place * used) -> list[Instruction]:
                    return [
                        Instruction("WR_BIAS", 1, grid.everyone),
                        *mac(grid, index, used, slot),
                        Instruction("RD_MAC", 1, grid.everyone),
                    ]

                start = self.start + head * self.groups * self.columns + first
                loops += repeated(grid, self.groups, start, self.columns, body)
        return tuple(loops)

    def partials(self, part: Part) -> int:
        """Return 1: the merge adds the channels' sums."""
        return 1

    def queries_sent(self, part: Part, queries: Floats) -> Iterator[Floats]:
        """Yield what each WR_GB of ``score`` writes."""
        return self.keys.sent(part, queries)

    def scores_read(self, part: Part, reads: Sequence[Floats]) -> Floats:
        """Return scores from each RD_MAC of ``score``."""
        return self.keys.read(part, reads)

    def weights_sent(self, part: Part, weights: Floats) -> Iterator[Floats]:
        """Yield what each WR_GB of ``values`` writes: each channel its own tokens' weights."""
        grid, (_, used) = self.grid, self._used(part)
        padded = np.zeros((len(weights), used * grid.channels * grid.lanes), np.float32)
        padded[:, : part.tokens] = weights  # a part begins with the first channel's tokens
        apart = padded.reshape(len(weights), used, grid.channels, grid.lanes)
        apart = apart.transpose(2, 0, 1, 3)
        at_once = grid.slots // used
        for begin in range(0, len(weights), at_once):
            yield apart[:, begin : begin + at_once].reshape(grid.channels, -1)

    def shares(self, part: Part) -> Integers:
        """Return the share of each token of a part: its channel."""
        tokens = np.arange(part.first_token, part.first_token + part.tokens)
        return tokens // self.grid.lanes % self.grid.channels

    def sums_read(self, part: Part, reads: Sequence[Floats]) -> Floats:
        """Return each channel's sums from each RD_MAC of ``values``."""
        grid = self.grid
        heads = self.heads * self.queries
        every = np.array(reads).reshape(heads, self.groups, grid.channels, grid.banks)
        apart = every.transpose(2, 0, 1, 3).reshape(grid.channels, heads, -1)
        return apart[..., : self.width]

    def _used(self, part: Part) -> tuple[int, int]:
        """Return the first column of a part's tokens in a channel, and how many they take."""
        across = self.grid.lanes * self.grid.channels
        first = part.first_token // across
        return first, (part.first_token + part.tokens - 1) // across + 1 - first


@dataclass(frozen=True, slots=True)
class StreamK:
    """The policy."""

    name: str = "stream-k"

    def multiply(
        self, grid: Grid, index: int, count: int, slot: int, step: int
    ) -> list[Instruction]:
        """Multiply in all banks at once."""
        return mac(grid, index, count, slot, step)

    def cache(self, decoder: Decoder, device: Device, grid: Grid, tokens: int, start: int) -> Cache:
        """Lay out keys and values by tokens."""
        every = (range(decoder.kv_heads),)
        keys = Keys.at(decoder, grid, tokens, start, every, channel_first=False)
        return SplitCache(
            grid=grid,
            keys=keys,
            heads=decoder.kv_heads,
            width=decoder.d_head,
            queries=decoder.heads // decoder.kv_heads,
            tokens=tokens,
            start=grid.rows_of(keys.end) * grid.columns,
        )


POLICY = StreamK()
