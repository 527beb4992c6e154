"""A compiled program's numbers as the memory's Verilog takes them, recorded from the model's banks.

Owns ``Recorder``, ``Recorded`` and ``work_of``. Imports the banks and the Verilog's runs.

The model obeys the program first; what it was sent and what it wrote is then sent to the Verilog,
so both do the same work, and what they read can be compared in every bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.hw.pim.isa import Instruction
from gateformer.hw.pim.layout import Address, Floats
from gateformer.sim.pim import words
from gateformer.sim.pim.banks import Banks
from gateformer.sim.pim.rtl.run import Place, Work, Write

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """One segment: what was sent to it, and what it read.

    Attributes
    ----------
    program : tuple of Instruction
        Its instructions.
    sent : tuple of arrays, (channels or 1, numbers)
        What each WR_GB wrote.
    written : mapping of (channel, bank, row, column) to mapping of lane to word
        What its WR_SBKs wrote.
    results : tuple of float32 arrays, (channels, banks)
        What each RD_MAC read.
    """

    program: tuple[Instruction, ...]
    sent: tuple[NDArray[Any], ...]
    written: dict[tuple[int, int, int, int], dict[int, int]]
    results: tuple[Floats, ...]


class Recorder(Banks):
    """Banks that remember what every segment was sent."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.recorded: list[Recorded] = []
        self._prepared: dict[tuple[int, int, int, int], dict[int, int]] = {}

    def prepare(self, where: Address, values: Floats) -> None:
        """Note the numbers besides."""
        super().prepare(where, values)
        places = zip(*(one.tolist() for one in where), strict=True)
        for (c, b, row, column, lane), word in zip(
            places, words.bits(values).ravel().tolist(), strict=True
        ):
            self._prepared.setdefault((c, b, row, column), {})[lane] = word

    def run(
        self,
        program: Iterable[Instruction],
        sent: Iterator[NDArray[Any]],
        weights: str = "bf16",
    ) -> list[Floats]:
        """Obey instructions and note them."""
        own, data = tuple(program), tuple(sent)
        found = super().run(own, iter(data), weights)
        written, self._prepared = self._prepared, {}
        self.recorded.append(Recorded(own, data, written, tuple(found)))
        return found


def work_of(segments: Sequence[Recorded], starts: Sequence[int], cells: words.Words) -> Work:
    """Return segments, each behind a SYNC, as one program with its numbers.

    Parameters
    ----------
    segments : sequence of Recorded
        With BF16 weights.
    starts : sequence of int
        The clock at which the host takes each one's first instruction.
    cells : uint16 array, (channels, banks, rows, columns, lanes)
        What stood in the banks before.
    """
    channels, banks, _, _, lanes = cells.shape
    program: list[Instruction] = []
    when: list[int] = []
    writes: list[list[Write]] = [[] for _ in range(channels)]
    rows = sorted({one.row for each in segments for one in each.program if one.row >= 0})
    for each, start in zip(segments, starts, strict=True):
        program += [*each.program, Instruction("SYNC")]
        when += [start, *([0] * len(each.program))]
        sent = iter(each.sent)
        for one in each.program:
            whole = _sent(one, sent, channels, lanes)
            for channel, own in enumerate(writes):
                if one.channels >> channel & 1:
                    own += _writes(one, channel, whole, each.written, banks, lanes)
    stood: dict[Place, Bytes] = {
        (c, b, row): cells[c, b, row].view(np.uint8).ravel()
        for c in range(channels)
        for b in range(banks)
        for row in rows
    }
    return Work(tuple(program), writes, stood, when)


def _sent(
    one: Instruction, sent: Iterator[NDArray[Any]], channels: int, lanes: int
) -> words.Words | None:
    """Return what a WR_GB writes, channels x slots x words."""
    if one.op != "WR_GB":
        return None
    values = np.asarray(next(sent), np.float32)
    whole = np.zeros((channels, one.size * lanes), np.uint16)
    whole[:, : values.shape[1]] = words.bits(values)
    return whole.reshape(channels, one.size, lanes)


def _writes(
    one: Instruction,
    channel: int,
    whole: words.Words | None,
    written: dict[tuple[int, int, int, int], dict[int, int]],
    banks: int,
    lanes: int,
) -> Iterator[Write]:
    if whole is not None:
        yield from (Write(slot.view(np.uint8)) for slot in whole[channel])
    elif one.op == "WR_BIAS":
        yield Write(np.zeros(2 * banks, np.uint8))
    elif one.op == "WR_SBK":
        for column in range(one.column, one.column + one.size):
            numbers = written.get((channel, one.bank, one.row, column), {})
            data, mask = np.zeros(lanes, np.uint16), np.zeros(lanes, np.uint16)
            for lane, word in numbers.items():
                data[lane], mask[lane] = word, 0x0101
            yield Write(data.view(np.uint8), mask.view(np.uint8))
