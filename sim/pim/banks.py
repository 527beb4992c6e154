"""Banks that hold numbers: what a program's instructions do to them, bit by bit.

Owns ``Banks``. Imports the arithmetic, the layout, the instructions and how numbers are kept as
bits. No clock is known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.hw.pim.arithmetic import accumulate, read
from gateformer.hw.pim.grid import BITS, Grid
from gateformer.hw.pim.isa import Instruction
from gateformer.hw.pim.layout import Address, Floats, Integers
from gateformer.sim.pim import words
from gateformer.sim.pim.compiled import compiled as translated

Place = tuple[int, int, int, int]
"""Channel, bank, row and column."""


class Banks:
    """All banks of a memory, their buffers and accumulators, as bits.

    Cells that no one has written are zero, as are numbers behind the end of a vector that was
    written. Buffers and accumulators that no one has written are NaN, so that using them shows.

    Parameters
    ----------
    grid : Grid
        Sizes; ``weights`` of it does not matter.
    rows : int
        Rows of each bank that are used.
    compiled : bool or None
        Whether numba translates the multiply-accumulates; None for wherever it is installed. The
        bits are the same.
    """

    def __init__(self, grid: Grid, rows: int, compiled: bool | None = None) -> None:
        self.grid = grid
        self.cells: words.Words = np.zeros(
            (grid.channels, grid.banks, rows, grid.columns, grid.lanes), np.uint16
        )
        self.buffer = np.full((grid.channels, grid.slots, grid.lanes), words.NAN, np.uint16)
        self.sums = np.full((grid.channels, grid.banks), np.nan, np.float32)
        self._fast = None if compiled is False else translated()
        if compiled and self._fast is None:
            raise ModuleNotFoundError("numba")
        self._weights = "bf16"
        self._pending: dict[Place, dict[int, float]] = {}
        self._fetched: set[Place] = set()
        self._masks: dict[int, Integers] = {}

    def put(self, where: Address, columns: words.Words) -> None:
        """Place whole columns before the program starts: columns x words; lanes do not matter."""
        self.cells[where.channel, where.bank, where.row, where.column] = columns

    def prepare(self, where: Address, values: Floats) -> None:
        """Say which numbers the next WR_SBKs write; ``settle`` checks that they did."""
        for *place, lane, value in zip(
            *(one.tolist() for one in where), words.bits(values).ravel().tolist(), strict=True
        ):
            channel, bank, row, column = place
            self._pending.setdefault((channel, bank, row, column), {})[lane] = value

    def settle(self) -> None:
        """Check that all prepared numbers were written.

        Raises
        ------
        LookupError
            If an instruction is missing.
        """
        if self._pending:
            raise LookupError(f"never written: {next(iter(self._pending))}")

    def gather(self, where: Address) -> words.Words:
        """Return columns that the last program has read: columns x words.

        Raises
        ------
        LookupError
            If no RD_SBK fetched one of them.
        """
        missing = set(zip(*(one.tolist() for one in where[:4]), strict=True)) - self._fetched
        if missing:
            raise LookupError(f"never read: {min(missing)}")
        return self.cells[where.channel, where.bank, where.row, where.column]

    def run(
        self,
        program: Iterable[Instruction],
        sent: Iterator[NDArray[Any]],
        weights: str = "bf16",
    ) -> list[Floats]:
        """Obey instructions.

        Parameters
        ----------
        program : iterable of Instruction
            Rows as they are.
        sent : iterator of arrays, shape (channels or 1, numbers)
            What each WR_GB writes, BF16 numbers or INT8 ones; none may be left.
        weights : {"bf16", "int8", "int4"}
            What MACs multiply; INT8 and INT4 weights are multiplied with INT8 numbers.

        Returns
        -------
        list of float32 arrays, shape (channels, banks)
            What each RD_MAC reads.
        """
        self._fetched = set()
        self._weights = weights
        found = []
        for one in program:
            match one.op:
                case "WR_GB":
                    self._load(one, next(sent))
                case "WR_BIAS":
                    self.sums[:] = 0  # the same bits for FP32 and INT32
                case "RD_MAC":
                    found.append(self._read())
                case "MAC_ABK":
                    self._multiply(one, 0, self.grid.banks)
                case "MAC_SBK":
                    self._multiply(one, one.bank, one.bank + 1)
                case "RD_SBK":
                    self._fetched.update(self._places(one))
                case "WR_SBK":
                    self._write(one)
                case _:
                    raise ValueError(f"{one.op} has no part in compiled programs")
        if next(sent, None) is not None:
            raise LookupError("data without a WR_GB that sends it")
        return found

    def _read(self) -> Floats:
        if self._weights == "bf16":
            return read(self.sums)
        return read(self.sums.view(np.int32).astype(np.float32))

    def _load(self, one: Instruction, values: NDArray[Any]) -> None:
        channels, size, lanes = self.grid.channels, one.size, self.grid.lanes
        whole = np.zeros((channels, size, lanes), np.uint16)
        if self._weights == "bf16":
            flat = whole.reshape(channels, -1)
            flat[:, : values.shape[1]] = words.bits(np.asarray(values, np.float32))
        else:
            whole.view(np.int8).reshape(channels, -1)[:, : values.shape[1]] = values
        self.buffer[:, one.column : one.column + size] = whole

    def _write(self, one: Instruction) -> None:
        for place in self._places(one):
            prepared = self._pending.pop(place, None)
            if prepared is not None:
                cell = self.cells[place]
                for lane, value in prepared.items():
                    cell[lane] = value

    def _multiply(self, one: Instruction, first: int, last: int) -> None:
        channels, kind = self._channels(one.channels), self._weights
        place = (one.row, one.column, one.slot, one.size)
        if self._fast is not None:
            span, multiply = (first, last), getattr(self._fast, f"banks_{kind}")
            if kind == "bf16":
                multiply(self.cells, self.buffer, self.sums, channels, span, *place)
            else:
                cells, buffer = self.cells.view(np.int8), self.buffer.view(np.int8)
                multiply(cells, buffer, self.sums.view(np.int32), channels, span, *place)
            return
        every = np.ix_(channels, np.arange(first, last))
        own = self.cells[channels, first:last, one.row, one.column : one.column + one.size]
        slots = one.size * max(1, 8 // BITS[kind])  # INT4's 64 weights meet two of INT8 numbers
        sent = self.buffer[channels, None, one.slot : one.slot + slots]
        if kind == "bf16":
            found = accumulate(self.sums[every], words.floats(own), words.floats(sent))
            self.sums[every] = found
            return
        inputs = words.whole(sent, "int8").reshape(len(channels), 1, one.size, -1)
        exact = (words.whole(own, kind).astype(np.int64) * inputs).sum((-1, -2))
        self.sums.view(np.int32)[every] += exact.astype(np.int32)

    def _channels(self, mask: int) -> Integers:
        if mask not in self._masks:
            self._masks[mask] = np.array([c for c in range(self.grid.channels) if mask >> c & 1])
        return self._masks[mask]

    def _places(self, one: Instruction) -> Iterator[Place]:
        for channel in self._channels(one.channels).tolist():
            for column in range(one.column, one.column + one.size):
                yield channel, one.bank, one.row, column
