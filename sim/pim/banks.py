"""Banks that hold numbers: what a program's instructions do to them, bit by bit.

Owns ``Banks``. Imports the arithmetic, the layout and the instructions. No clock is known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from gateformer.hw.pim.arithmetic import accumulate, read
from gateformer.hw.pim.grid import Grid
from gateformer.hw.pim.isa import Instruction
from gateformer.hw.pim.layout import Address, Floats

Place = tuple[int, int, int, int]
"""Channel, bank, row and column."""


class Banks:
    """All banks of a memory with BF16 numbers, their buffers and accumulators.

    Numbers that no one has written are NaN, so that using one shows in the result; those behind the
    end of a vector that was written are zero.

    Parameters
    ----------
    grid : Grid
        Sizes, for BF16 weights.
    rows : int
        Rows of each bank that are used.
    """

    def __init__(self, grid: Grid, rows: int) -> None:
        self.grid = grid
        self.cells = np.zeros(
            (grid.channels, grid.banks, rows, grid.columns, grid.lanes), np.float32
        )
        self.buffer = np.full((grid.channels, grid.slots, grid.lanes), np.nan, np.float32)
        self.sums = np.full((grid.channels, grid.banks), np.nan, np.float32)
        self._pending: dict[Place, dict[int, float]] = {}
        self._fetched: set[Place] = set()

    def put(self, where: Address, values: Floats) -> None:
        """Place numbers before the program starts."""
        self.cells[tuple(where)] = values.ravel()

    def prepare(self, where: Address, values: Floats) -> None:
        """Say which numbers the next WR_SBKs write; ``settle`` checks that they did."""
        for *place, lane, value in zip(
            *(one.tolist() for one in where), values.ravel().tolist(), strict=True
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

    def gather(self, where: Address) -> Floats:
        """Return numbers that the last program has read.

        Raises
        ------
        LookupError
            If no RD_SBK fetched one of them.
        """
        missing = set(zip(*(one.tolist() for one in where[:4]), strict=True)) - self._fetched
        if missing:
            raise LookupError(f"never read: {min(missing)}")
        return self.cells[tuple(where)]

    def run(self, program: Iterable[Instruction], sent: Iterator[Floats]) -> list[Floats]:
        """Obey instructions.

        Parameters
        ----------
        program : iterable of Instruction
            Rows as they are.
        sent : iterator of float32 arrays, shape (channels or 1, numbers)
            What each WR_GB writes; none may be left.

        Returns
        -------
        list of float32 arrays, shape (channels, banks)
            What each RD_MAC reads.
        """
        self._fetched = set()
        found = []
        for one in program:
            match one.op:
                case "WR_GB":
                    self._load(one, next(sent))
                case "WR_BIAS":
                    self.sums[:] = 0
                case "RD_MAC":
                    found.append(read(self.sums))
                case "MAC_ABK":
                    self._multiply(one, slice(None))
                case "MAC_SBK":
                    self._multiply(one, slice(one.bank, one.bank + 1))
                case "RD_SBK":
                    self._fetched.update(self._places(one))
                case "WR_SBK":
                    for place in self._places(one):
                        for lane, value in self._pending.pop(place, {}).items():
                            self.cells[(*place, lane)] = value
                case _:
                    raise ValueError(f"{one.op} has no part in compiled programs")
        if next(sent, None) is not None:
            raise LookupError("data without a WR_GB that sends it")
        return found

    def _load(self, one: Instruction, values: Floats) -> None:
        whole = np.zeros((self.grid.channels, one.size * self.grid.lanes), np.float32)
        whole[:, : values.shape[1]] = values
        self.buffer[:, one.column : one.column + one.size] = whole.reshape(
            self.grid.channels, one.size, self.grid.lanes
        )

    def _multiply(self, one: Instruction, banks: slice) -> None:
        channels = [c for c in range(self.grid.channels) if one.channels >> c & 1]
        columns = slice(one.column, one.column + one.size)
        weights = self.cells[channels, banks, one.row, columns]
        inputs = self.buffer[channels, None, one.slot : one.slot + one.size]
        self.sums[channels, banks] = accumulate(self.sums[channels, banks], weights, inputs)

    def _places(self, one: Instruction) -> Iterator[Place]:
        for channel in range(self.grid.channels):
            if one.channels >> channel & 1:
                for column in range(one.column, one.column + one.size):
                    yield channel, one.bank, one.row, column
