"""The memory as a compiler sees it, and runs of columns as instructions.

Owns ``Grid``, ``repeated``, ``mac``, ``access`` and ``segment``. Imports devices, instructions and
programs.

A bank's columns are numbered through: index i is column ``i % columns`` of row ``i // columns``.
What is laid out is a run of such indices, the same one in every bank, so vectors are packed without
gaps and a vector that reaches a row's end goes on in the next row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import gcd
from typing import Literal

from gateformer.hw.pim.device import Device
from gateformer.hw.pim.isa import Instruction
from gateformer.hw.pim.program import Loop, Segment
from gateformer.quant.errors import PimError

Format = Literal["bf16", "int8", "int4"]
"""Formats of the weights of matrices. Keys, values and all else are BF16."""
BITS: dict[str, int] = {"bf16": 16, "int8": 8, "int4": 4}
"""Bits of a weight."""
ACTIVATION_BYTES: dict[str, int] = {"bf16": 2, "int8": 1, "int4": 1}
"""Bytes of a number in the buffer by the format of the weights: BF16, or INT8 for whole numbers."""
SENDS = ("WR_GB", "WR_BIAS", "WR_SBK", "WR_ABK")
RECEIVES = ("RD_MAC", "RD_AF", "RD_SBK")


@dataclass(frozen=True, slots=True)
class Grid:
    """Sizes that layouts are made of.

    Attributes
    ----------
    channels, banks, rows, columns : int
        Channels; banks of a channel; rows of a bank; columns of a row.
    access_bytes : int
        Bytes of a column.
    slots : int
        Columns that the channel's buffer holds.
    weights : int
        Weights in a column of a matrix.
    activation_bytes : int
        Bytes of a number that is multiplied with a weight.
    """

    channels: int
    banks: int
    rows: int
    columns: int
    access_bytes: int
    slots: int
    weights: int
    activation_bytes: int

    @classmethod
    def of(cls, device: Device, weights: str = "bf16") -> Grid:
        """Return a device's sizes for weights of a format.

        Raises
        ------
        PimError
            E804 where the device has no multipliers, none for this format, or ones that do not fit
            an access.
        """
        sizes, mac = device.organization, device.mac

        def wrong(cause: str, fix: str) -> PimError:
            what = "no multipliers for these weights"
            return PimError("E804", what, layer=device.name, cause=cause, fix=fix)

        known = [name for name in BITS if mac is not None and name in mac.weights]
        if mac is None or weights not in known:
            if not known:
                fix = "Give it [mac], as `gateformer pim devices pim-gpt` shows it"
                raise wrong("It is a timing file: it has no multipliers at all", fix)
            fix = "Choose another format, or a device that has it"
            raise wrong(f"It has no {weights}; it has {', '.join(known)}", fix)
        if mac.lanes * 16 != sizes.access_bits or mac.weights[weights] * BITS[weights] != (
            sizes.access_bits
        ):
            cause = f"{mac.lanes} BF16 lanes, {mac.weights[weights]} {weights} weights"
            fix = f"Let [mac] use all {sizes.access_bits} bits of an access"
            raise wrong(f"An access does not bring {cause}", fix)
        access = sizes.access_bits // 8
        found = cls(
            channels=sizes.channels,
            banks=sizes.banks,
            rows=sizes.rows,
            columns=sizes.columns,
            access_bytes=access,
            slots=mac.buffer_bytes // access,
            weights=mac.weights[weights],
            activation_bytes=ACTIVATION_BYTES[weights],
        )
        if found.slots < found.slots_per_column:
            cause = f"A buffer of {mac.buffer_bytes} bytes is less than an access needs"
            raise wrong(cause, "Give [mac] a larger buffer_bytes")
        return found

    @property
    def units(self) -> int:
        """Banks of all channels, each with its MAC unit."""
        return self.channels * self.banks

    @property
    def everyone(self) -> int:
        """The mask of all channels."""
        return (1 << self.channels) - 1

    @property
    def lanes(self) -> int:
        """BF16 numbers in a column."""
        return self.access_bytes // 2

    @property
    def slots_per_column(self) -> int:
        """Buffer slots whose numbers meet one column of weights; at least one is read."""
        return max(1, -(-self.weights * self.activation_bytes // self.access_bytes))

    @property
    def widest(self) -> int:
        """Inputs of a matrix that fill the buffer once."""
        return self.slots // self.slots_per_column * self.weights

    def rows_of(self, columns: int) -> int:
        """Return the rows that so many columns of each bank take."""
        return -(-columns // self.columns)

    def pieces(self, index: int, count: int) -> Iterator[tuple[int, int, int]]:
        """Yield row, first column and number of columns of each piece of a run."""
        while count > 0:
            row, column = divmod(index, self.columns)
            size = min(count, self.columns - column)
            yield row, column, size
            index += size
            count -= size


def mac(grid: Grid, index: int, count: int, slot: int = 0, step: int = 1) -> list[Instruction]:
    """Return the all-bank MACs of a run of columns with the buffer from ``slot`` on."""
    found = []
    for row, column, size in grid.pieces(index, count):
        found.append(Instruction("MAC_ABK", size, grid.everyone, row=row, column=column, slot=slot))
        slot += size * step
    return found


def mac_by_bank(
    grid: Grid, index: int, count: int, slot: int = 0, step: int = 1
) -> list[Instruction]:
    """Return the same products bank after bank."""
    found = []
    for row, column, size in grid.pieces(index, count):
        for bank in range(grid.banks):
            found.append(
                Instruction("MAC_SBK", size, grid.everyone, bank, row, column=column, slot=slot)
            )
        slot += size * step
    return found


def access(
    grid: Grid, op: str, bank: int, index: int, count: int, channels: int
) -> list[Instruction]:
    """Return the reads (RD_SBK) or writes (WR_SBK) of a run of one bank's columns."""
    return [
        Instruction(op, size, channels, bank, row, column=column)
        for row, column, size in grid.pieces(index, count)
    ]


def repeated(
    grid: Grid,
    count: int,
    start: int,
    step: int,
    body: Callable[[int], Iterable[Instruction]],
) -> tuple[Loop, ...]:
    """Return ``body(start + i step)`` for i below ``count``, as loops.

    The columns at which bodies begin come round after ``columns / gcd(step, columns)`` of them,
    a whole number of rows further; that many make a loop's body.
    """
    period = grid.columns // gcd(step, grid.columns) if step else 1
    whole, rest = divmod(count, period)
    loops = []
    if whole:
        one = tuple(each for i in range(period) for each in body(start + i * step))
        loops.append(Loop(one, whole, period * step // grid.columns))
    if rest:
        first = start + whole * period * step
        one = tuple(each for i in range(rest) for each in body(first + i * step))
        loops.append(Loop(one))
    return tuple(loop for loop in loops if loop.body)


def segment(grid: Grid, name: str, loops: Iterable[Loop]) -> Segment:
    """Return a segment, its bytes over the link counted from its instructions."""
    found = tuple(loops)
    sent = received = 0
    for loop in found:
        for one in loop.body:
            moved = one.size * one.channels.bit_count() * grid.access_bytes * loop.count
            if one.op in SENDS:
                sent += moved
            elif one.op in RECEIVES:
                received += moved
    return Segment(name, found, sent, received)
