"""Where every number of a model stands in the memory.

Owns ``Address``, ``Tile``, ``Placed``, ``Striped``, ``Part``, ``Cache`` and ``Layout``. Imports the
decoder, the grid and programs.

All blocks are laid out alike, ``stride`` rows apart. A matrix' output o has its weights in bank ``o
% banks`` of channel ``o // banks % channels``; inputs are cut into tiles that fill the channel's
buffer, and a tile's outputs follow one another without gaps. Biases, gains and tables that no MAC
multiplies are striped over the channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from gateformer.hw.pim.grid import Grid
from gateformer.hw.pim.isa import Instruction
from gateformer.hw.pim.program import Loop
from gateformer.quant.decoder import Decoder, Matrix

Integers = NDArray[np.int64]
Floats = NDArray[np.float32]


class Address(NamedTuple):
    """Where numbers stand: one array each, of one shape.

    ``lane`` counts numbers within a column, of whatever format they have.
    """

    channel: Integers
    bank: Integers
    row: Integers
    column: Integers
    lane: Integers


@dataclass(frozen=True, slots=True)
class Tile:
    """Inputs of a matrix that stand in the buffer together.

    Attributes
    ----------
    first, inputs : int
        The first input and how many there are.
    columns : int
        Columns of one output's weights.
    start : int
        Index of the first output's first column.
    """

    first: int
    inputs: int
    columns: int
    start: int


@dataclass(frozen=True, slots=True)
class Placed:
    """A matrix in the memory.

    Attributes
    ----------
    matrix : Matrix
        The matrix.
    grid : Grid
        Sizes.
    tiles : tuple of Tile
        Its inputs, ascending.
    """

    matrix: Matrix
    grid: Grid
    tiles: tuple[Tile, ...]

    @classmethod
    def at(cls, matrix: Matrix, grid: Grid, start: int) -> Placed:
        """Lay a matrix out from index ``start`` on."""
        tiles = []
        blocks = -(-matrix.outputs // grid.units)
        for first in range(0, matrix.inputs, grid.widest):
            inputs = min(grid.widest, matrix.inputs - first)
            columns = -(-inputs // grid.weights)
            tiles.append(Tile(first, inputs, columns, start))
            start += blocks * columns
        return cls(matrix, grid, tuple(tiles))

    @property
    def blocks(self) -> int:
        """Outputs of each bank."""
        return -(-self.matrix.outputs // self.grid.units)

    @property
    def end(self) -> int:
        """The index behind its last column."""
        return self.tiles[-1].start + self.blocks * self.tiles[-1].columns

    def where(self, outputs: Integers, inputs: Integers) -> Address:
        """Return where weights stand."""
        grid = self.grid
        block, unit = np.divmod(outputs, grid.units)
        tile = inputs // grid.widest
        within, lane = np.divmod(inputs - tile * grid.widest, grid.weights)
        starts = np.array([one.start for one in self.tiles])[tile]
        widths = np.array([one.columns for one in self.tiles])[tile]
        row, column = np.divmod(starts + block * widths + within, grid.columns)
        return Address(unit // grid.banks, unit % grid.banks, row, column, lane)


@dataclass(frozen=True, slots=True)
class Striped:
    """Vectors of BF16 numbers that are read, never multiplied.

    Column a of a vector stands in channel ``a % channels``. Within a channel vectors follow one
    another, row by row and bank by bank, so that reading one meets as few rows as can be.

    Attributes
    ----------
    vectors, width : int
        How many, and their numbers.
    grid : Grid
        Sizes.
    row : int
        The first row.
    """

    vectors: int
    width: int
    grid: Grid
    row: int

    @property
    def columns(self) -> int:
        """Columns of one vector in a channel."""
        return -(-self.width // (self.grid.lanes * self.grid.channels))

    @property
    def end(self) -> int:
        """The row behind its last one."""
        whole = self.grid.banks * self.grid.columns
        return self.row + -(-self.vectors * self.columns // whole)

    def where(self, vectors: Integers, elements: Integers) -> Address:
        """Return where numbers stand."""
        grid = self.grid
        each, lane = np.divmod(elements, grid.lanes)
        within, channel = np.divmod(each, grid.channels)
        chunk, column = np.divmod(vectors * self.columns + within, grid.columns)
        row, bank = np.divmod(chunk, grid.banks)
        return Address(channel, bank, self.row + row, column, lane)

    def accesses(self, op: str, first: int, vectors: int) -> list[Instruction]:
        """Return the reads (RD_SBK) or writes (WR_SBK) of some vectors, in all channels at once."""
        return self._accesses(op, first * self.columns, vectors * self.columns)

    def part(self, op: str, elements: range) -> list[Instruction]:
        """Return the same for the columns of the first vector that hold some of its numbers."""
        across = self.grid.lanes * self.grid.channels
        first, last = elements.start // across, -(-elements.stop // across)
        return self._accesses(op, first, last - first)

    def _accesses(self, op: str, index: int, left: int) -> list[Instruction]:
        grid, found = self.grid, []
        while left > 0:
            chunk, column = divmod(index, grid.columns)
            row, bank = divmod(chunk, grid.banks)
            size = min(left, grid.columns - column)
            found.append(Instruction(op, size, grid.everyone, bank, self.row + row, column=column))
            index += size
            left -= size
        return found


class Part(NamedTuple):
    """A share of one token's attention: some key heads over some tokens.

    Attributes
    ----------
    first_head, heads : int
        Key and value heads.
    first_token, tokens : int
        Tokens whose keys and values take part.
    splits : int
        Shares of the tokens, each normalized on its own; merged afterwards where there are several.
    """

    first_head: int
    heads: int
    first_token: int
    tokens: int
    splits: int = 1


class Cache(Protocol):
    """Keys and values of one sequence in one block, and how to work on them.

    Positions count from 0; the token at ``position`` belongs to what is worked on.
    """

    @property
    def end(self) -> int:
        """The index behind its last column."""
        ...

    def where_key(self, tokens: Integers, heads: Integers, dims: Integers) -> Address:
        """Return where keys stand."""
        ...

    def where_value(self, tokens: Integers, heads: Integers, dims: Integers) -> Address:
        """Return where values stand."""
        ...

    def parts(self, position: int, wanted: int) -> tuple[Part, ...]:
        """Cut a token's attention into ``wanted`` parts, or as many as can be."""
        ...

    def append_keys(self, position: int) -> list[Instruction]:
        """Write a token's keys."""
        ...

    def append_values(self, position: int) -> tuple[Loop, ...]:
        """Write values of tokens that end with ``position`` and lie in one column."""
        ...

    def score(self, part: Part) -> tuple[Loop, ...]:
        """Multiply queries and keys."""
        ...

    def values(self, part: Part) -> tuple[Loop, ...]:
        """Multiply weights and values."""
        ...

    def partials(self, part: Part) -> int:
        """Return how many partial sums make up one number of a part's result."""
        ...

    def queries_sent(self, part: Part, queries: Floats) -> Iterator[Floats]:
        """Yield what each WR_GB of ``score`` writes: channels (or 1 for all) x numbers.

        ``queries`` has the query heads of all key heads, ascending: heads x width.
        """
        ...

    def scores_read(self, part: Part, reads: Sequence[Floats]) -> Floats:
        """Return the scores, query heads of the part x its tokens, from each RD_MAC of ``score``.

        A read is channels x banks.
        """
        ...

    def weights_sent(self, part: Part, weights: Floats) -> Iterator[Floats]:
        """Yield what each WR_GB of ``values`` writes; weights as ``scores_read`` returns them."""
        ...

    def shares(self, part: Part) -> Integers:
        """Return the share of the keys that each token of a part belongs to."""
        ...

    def sums_read(self, part: Part, reads: Sequence[Floats]) -> Floats:
        """Return partial sums or shares x query heads of the part x width, from each RD_MAC."""
        ...


@dataclass(frozen=True, slots=True)
class Layout:
    """A model in a memory.

    Attributes
    ----------
    decoder : Decoder
        The model.
    grid : Grid
        Sizes, with the weights' format.
    mapping : str
        The policy's name.
    tokens, batch : int
        Tokens of each sequence that have room in the cache; sequences.
    weights : str
        Format of the matrices.
    matrices : mapping of str to Placed
        Matrices of a block, rows from the block's first.
    parameters : Striped
        Gains and biases of a block, rows from the block's first; behind them, where weights are
        whole numbers, the scales of the matrices' outputs (``scales``).
    caches : tuple of Cache
        Keys and values of each sequence, rows from the block's first.
    staging : Striped or None
        Values that wait to be written together, where the ASIC cannot hold them; rows from the
        block's first.
    stride : int
        Rows of a block.
    head : Placed
        The LM head.
    embedding : Striped or None
        The token embedding where it is not the LM head.
    positions : Striped or None
        Learned positions.
    final : Striped
        Parameters of the last normalization, and behind them the scales of the LM head's outputs.
    rows : int
        Rows of each bank that are used.
    """

    decoder: Decoder
    grid: Grid
    mapping: str
    tokens: int
    batch: int
    weights: str
    matrices: Mapping[str, Placed]
    parameters: Striped
    caches: tuple[Cache, ...]
    staging: Striped | None
    stride: int
    head: Placed
    embedding: Striped | None
    positions: Striped | None
    final: Striped
    rows: int

    def scales(self, matrix: Matrix, outputs: range) -> tuple[Striped, range]:
        """Return the table in which scales of some outputs stand, and their places in it."""
        if matrix.name == self.head.matrix.name:
            table, first = self.final, self.decoder.norm_parameters
        else:
            table, first = self.parameters, self.decoder.block_parameters
            for one in self.decoder.matrices:
                if one.name == matrix.name:
                    break
                first += one.outputs
        return table, range(first + outputs.start, first + outputs.stop)

    @property
    def cache_rows(self) -> int:
        """Rows of each bank that keys and values take, all blocks together."""
        first = self.parameters.end
        return self.decoder.layers * (self.stride - first)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of all banks of a channel."""
        return self.grid.banks * self.grid.columns * self.grid.access_bytes

    @property
    def cache_bytes(self) -> int:
        """Bytes of a channel that are set aside for keys and values."""
        return self.cache_rows * self.row_bytes

    @property
    def weight_bytes(self) -> int:
        """Bytes of a channel that all else takes."""
        return (self.rows - self.cache_rows) * self.row_bytes

    @property
    def channel_bytes(self) -> int:
        """Bytes that a channel has."""
        return self.grid.rows * self.row_bytes
