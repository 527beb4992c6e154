"""Attention by heads: each head's values belong to a few channels, which sum over all tokens.

Owns ``HeadCache`` and ``lay_heads``. Imports what all mappings share, devices and the grid.

Values are column-major: bank ``j % banks`` holds number j of a head for all tokens, ``lanes``
tokens a column, so that one MAC sums over neighbouring tokens. Tokens that fill the buffer with
their weights make a tile; the ASIC adds the tiles' sums. A head's numbers go to ``split`` channels,
so ``channels / split`` heads are worked on at once: a round.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from gateformer.hw.pim import asic
from gateformer.hw.pim.device import Device
from gateformer.hw.pim.grid import Grid, access, repeated
from gateformer.hw.pim.isa import Instruction
from gateformer.hw.pim.layout import Address, Floats, Integers, Part
from gateformer.hw.pim.mapping.base import Keys, Multiply
from gateformer.hw.pim.program import Loop
from gateformer.quant.decoder import Decoder

OVERHEAD = 10
"""Clocks of one vector besides its MACs and its row, for choosing a split; an estimate."""


@dataclass(frozen=True, slots=True)
class HeadCache:
    """Keys and values of a sequence in a block.

    Attributes
    ----------
    grid : Grid
        Sizes.
    keys : Keys
        The keys.
    heads, width, queries : int
        Value heads, numbers of a head, query heads that share one.
    split : int
        Channels of a head.
    tokens, start : int
        Tokens that have room; index of the first column of the values.
    sets : tuple of range
        Heads that may be worked on apart: whole rounds of them.
    multiply : callable
        How one vector in each bank is multiplied.
    opens : bool
        Whether one all-bank MAC opens a row in all banks before they are written one by one.
    """

    grid: Grid
    keys: Keys
    heads: int
    width: int
    queries: int
    split: int
    tokens: int
    start: int
    sets: tuple[range, ...]
    multiply: Multiply
    opens: bool

    @property
    def groups(self) -> int:
        """Groups of ``banks`` numbers in a head."""
        return -(-self.width // self.grid.banks)

    @property
    def local(self) -> int:
        """Groups of a head in one channel."""
        return -(-self.groups // self.split)

    @property
    def at_once(self) -> int:
        """Heads of a round."""
        return self.grid.channels // self.split

    @property
    def rounds(self) -> int:
        """Rounds of all heads."""
        return -(-self.heads // self.at_once)

    def tile(self, position: int) -> tuple[int, int, int]:
        """Return start and columns of the tile that holds a token, and the token's column."""
        grid = self.grid
        longest = grid.slots * grid.lanes
        number, within = divmod(position, longest)
        start = self.start + number * grid.slots * self.rounds * self.local
        tokens = min(longest, self.tokens - number * longest)
        return start, -(-tokens // grid.lanes), within // grid.lanes

    @property
    def end(self) -> int:
        """The index behind the last column."""
        start, columns, _ = self.tile(self.tokens - 1)
        return start + columns * self.rounds * self.local

    def where_key(self, tokens: Integers, heads: Integers, dims: Integers) -> Address:
        """Return where keys stand."""
        return self.keys.where(tokens, heads, dims)

    def where_value(self, tokens: Integers, heads: Integers, dims: Integers) -> Address:
        """Return where values stand."""
        grid = self.grid
        longest = grid.slots * grid.lanes
        tiles = [self.tile(first) for first in range(0, self.tokens, longest)]
        number = tokens // longest
        starts = np.array([start for start, _, _ in tiles])[number]
        widths = np.array([columns for _, columns, _ in tiles])[number]
        round_, place = np.divmod(heads, self.at_once)
        group, bank = np.divmod(dims, grid.banks)
        local, side = np.divmod(group, self.split)
        block = round_ * self.local + local
        row, column = np.divmod(
            starts + block * widths + tokens % longest // grid.lanes, grid.columns
        )
        return Address(place * self.split + side, bank, row, column, tokens % grid.lanes)

    def append_keys(self, position: int) -> list[Instruction]:
        """Write a token's keys."""
        return self.keys.append(position)

    def parts(self, position: int, wanted: int) -> tuple[Part, ...]:
        """Cut attention between sets of heads."""
        count = min(wanted, len(self.sets))
        found = []
        for i in range(count):
            some = self.sets[len(self.sets) * i // count : len(self.sets) * (i + 1) // count]
            found.append(Part(some[0].start, some[-1].stop - some[0].start, 0, position + 1))
        return tuple(found)

    def append_values(self, position: int) -> tuple[Loop, ...]:
        """Write one column of every number of every head.

        All channels take part in every round: those without a head in the last one write padding.
        """
        grid = self.grid
        start, columns, column = self.tile(position)
        count = self.rounds * self.local

        def body(index: int) -> Iterator[Instruction]:
            first = index % grid.columns < columns or index == start + column
            if self.opens and first:
                row, at = divmod(index, grid.columns)
                yield Instruction("MAC_ABK", 1, grid.everyone, row=row, column=at)
            for bank in range(grid.banks):
                yield from access(grid, "WR_SBK", bank, index, 1, grid.everyone)

        first = repeated(grid, 1, start + column, columns, body)
        return first + repeated(grid, count - 1, start + column + columns, columns, body)

    def score(self, part: Part) -> tuple[Loop, ...]:
        """Multiply queries and keys."""
        return self.keys.score(part, self.multiply)

    def values(self, part: Part) -> tuple[Loop, ...]:
        """Multiply weights and values, tile by tile of tokens, round by round of heads."""
        grid = self.grid
        longest = grid.slots * grid.lanes
        rounds = -(-part.heads // self.at_once)
        before = part.first_head // self.at_once * self.local
        loops: list[Loop] = []
        for first in range(0, part.tokens, longest):
            last = min(part.tokens, first + longest) - 1
            start, columns, _ = self.tile(last)
            used = (last - first) // grid.lanes + 1

            def body(index: int, columns: int = columns, used: int = used) -> list[Instruction]:
                found = []
                for _ in range(self.queries):
                    found.append(Instruction("WR_GB", used, grid.everyone))
                    for local in range(self.local):
                        found.append(Instruction("WR_BIAS", 1, grid.everyone))
                        found += self.multiply(grid, index + local * columns, used, 0, 1)
                        found.append(Instruction("RD_MAC", 1, grid.everyone))
                return found

            step = self.local * columns
            loops += repeated(grid, rounds, start + before * columns, step, body)
        return tuple(loops)

    def partials(self, part: Part) -> int:
        """Return the tiles of tokens."""
        return -(-part.tokens // (self.grid.slots * self.grid.lanes))

    def queries_sent(self, part: Part, queries: Floats) -> Iterator[Floats]:
        """Yield what each WR_GB of ``score`` writes."""
        return self.keys.sent(part, queries)

    def scores_read(self, part: Part, reads: Sequence[Floats]) -> Floats:
        """Return scores from each RD_MAC of ``score``."""
        return self.keys.read(part, reads)

    def weights_sent(self, part: Part, weights: Floats) -> Iterator[Floats]:
        """Yield what each WR_GB of ``values`` writes: each channel its own head's weights."""
        longest = self.grid.slots * self.grid.lanes
        by_head = weights.reshape(part.heads, self.queries, part.tokens)
        for first in range(0, part.tokens, longest):
            some = by_head[:, :, first : first + longest]
            for begin in range(0, part.heads, self.at_once):
                for query in range(self.queries):
                    sent = np.zeros((self.grid.channels, some.shape[-1]), np.float32)
                    round_ = some[begin : begin + self.at_once, query]
                    sent[: len(round_) * self.split] = round_.repeat(self.split, 0)
                    yield sent

    def shares(self, part: Part) -> Integers:
        """Return the share of each token of a part: there is but one."""
        return np.zeros(part.tokens, np.int64)

    def sums_read(self, part: Part, reads: Sequence[Floats]) -> Floats:
        """Return the tiles' sums from each RD_MAC of ``values``."""
        tiles, rounds = self.partials(part), -(-part.heads // self.at_once)
        every = np.array(reads).reshape(
            tiles, rounds, self.queries, self.local, self.grid.channels, self.grid.banks
        )[..., : self.at_once * self.split, :]
        apart = every.reshape(*every.shape[:4], self.at_once, self.split, -1)
        # to tile, round, place, query, local, side, bank
        found = apart.transpose(0, 1, 4, 2, 3, 5, 6)
        found = found.reshape(tiles, rounds * self.at_once, self.queries, -1)
        return found[:, : part.heads, :, : self.width].reshape(tiles, -1, self.width)


def lay_heads(
    decoder: Decoder,
    device: Device,
    grid: Grid,
    tokens: int,
    start: int,
    multiply: Multiply,
    opens: bool,
) -> HeadCache:
    """Lay out a sequence's keys and values by heads."""
    split = _split(decoder, device, grid, tokens)
    at_once = grid.channels // split
    rounds = -(-decoder.kv_heads // at_once)
    count = _sets(decoder, device, tokens, at_once)
    edges = [min(decoder.kv_heads, rounds * i // count * at_once) for i in range(count + 1)]
    sets = tuple(range(first, last) for first, last in pairwise(edges))
    keys = Keys.at(decoder, grid, tokens, start, sets, channel_first=True)
    return HeadCache(
        grid=grid,
        keys=keys,
        heads=decoder.kv_heads,
        width=decoder.d_head,
        queries=decoder.heads // decoder.kv_heads,
        split=split,
        tokens=tokens,
        start=grid.rows_of(keys.end) * grid.columns,
        sets=sets,
        multiply=multiply,
        opens=opens,
    )


def _sets(decoder: Decoder, device: Device, tokens: int, at_once: int) -> int:
    """Return the sets of heads: two, so that softmax and scores can take turns, or more.

    More where two sets' scores of a full cache are too many for the ASIC's memory; one where there
    is but one round.
    """
    rounds = -(-decoder.kv_heads // at_once)
    one = 2 * asic.score_bytes(decoder, tokens) * at_once // decoder.kv_heads
    largest = max(1, asic.free_bytes(decoder, device) // one)
    return min(rounds, max(2, -(-rounds // largest)))


def _split(decoder: Decoder, device: Device, grid: Grid, tokens: int) -> int:
    """Return the channels of a head with which a full cache is worked through soonest.

    More channels a head share its numbers, but every head's weights are loaded in another round.
    """
    timing = device.timing
    columns = min(grid.slots, -(-tokens // grid.lanes))
    row = timing["nRP"] + timing["nRCDRDMAC"] + timing["nRTP"] + OVERHEAD
    groups = -(-decoder.d_head // grid.banks)

    def cost(split: int) -> tuple[int, int]:
        rounds = -(-decoder.kv_heads // (grid.channels // split))
        return rounds * (columns + -(-groups // split) * (columns + row)), split

    return min((one for one in range(1, grid.channels + 1) if grid.channels % one == 0), key=cost)
