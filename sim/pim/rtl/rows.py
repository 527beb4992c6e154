"""The memory's rows as the bench sees them: kept by the simulated memory, or by the bench.

Owns ``keeper``. Runs in the simulator's process. Imports the jobs and the commands' names.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from gateformer.hw.pim.isa import COMMANDS
from gateformer.sim.pim.rtl.jobs import Bytes, Integers, Job

ACT, ACT16 = COMMANDS.index("ACT"), COMMANDS.index("ACT16")
ONE, ALL = ("WR", "WRCP"), ("WRA16", "EWMUL16")
WRITES_ONE = {COMMANDS.index(name) for name in ONE}
WRITES_ALL = {COMMANDS.index(name) for name in ALL}
PSEUDO = 1 << 29
"""From this row on nothing is addressed: AF's."""


class Kept(Protocol):
    """Rows that the bench looks after."""

    def command(self, channel: int, command: int, bank: int, row: int) -> None:
        """Do what a command of this clock asks for, before its edge."""

    def end(self) -> tuple[Integers, Bytes]:
        """Return the places of rows, and what stands there."""


def keeper(dut: Any, job: Job) -> Kept:
    """Return who keeps a job's rows, with what stands in them at first."""
    channels, groups, in_group, rows, outside, _ = job.sizes.tolist()
    banks = [
        [
            dut.memory.gen_channel[c].channel.gen_group[b // in_group].gen_bank[b].own
            for b in range(groups * in_group)
        ]
        for c in range(channels)
    ]
    return _Outside(banks, job) if outside else _Inside(banks, job, rows)


class _Inside:
    """The simulated memory keeps its rows: they are set at first and looked at in the end."""

    def __init__(self, banks: list[list[Any]], job: Job, rows: int) -> None:
        self.banks, self.rows, self.size = banks, rows, job.rows.shape[1]
        first = {
            tuple(place): row for place, row in zip(job.places.tolist(), job.rows, strict=True)
        }
        zero = np.zeros(self.size, np.uint8)
        for c, own in enumerate(banks):
            for b, bank in enumerate(own):
                for r in range(rows):
                    value = first.get((c, b, r), zero)
                    bank.array.gen_inside.cells[r].value = int.from_bytes(value.tobytes(), "little")

    def command(self, channel: int, command: int, bank: int, row: int) -> None:
        """Nothing is to be done."""

    def end(self) -> tuple[Integers, Bytes]:
        """Return all rows."""
        places = [
            (c, b, r)
            for c, own in enumerate(self.banks)
            for b in range(len(own))
            for r in range(self.rows)
        ]
        found = [
            int(self.banks[c][b].array.gen_inside.cells[r].value).to_bytes(self.size, "little")
            for c, b, r in places
        ]
        rows = np.frombuffer(b"".join(found), np.uint8).reshape(-1, self.size)
        return np.array(places, np.int64), rows


class _Outside:
    """The bench keeps the rows, as many as there may be; only those that are written take room.

    An activate gets its row in its own clock. What was written is taken from the row buffer before
    the bank's next activate, and in the end.
    """

    def __init__(self, banks: list[list[Any]], job: Job) -> None:
        self.banks, self.size = banks, job.rows.shape[1]
        self.known = {
            tuple(place): int.from_bytes(row.tobytes(), "little")
            for place, row in zip(job.places.tolist(), job.rows, strict=True)
        }
        self.open = [[PSEUDO] * len(own) for own in banks]
        self.written: set[tuple[int, int]] = set()
        self.changed: set[tuple[int, int, int]] = set()

    def command(self, channel: int, command: int, bank: int, row: int) -> None:
        """Supply the rows of an activate; note which banks are written."""
        if command == ACT:
            self._activate(channel, bank, row)
        elif command == ACT16:
            for one in range(len(self.banks[channel])):
                self._activate(channel, one, row)
        elif command in WRITES_ONE:
            self.written.add((channel, bank))
        elif command in WRITES_ALL:
            self.written.update((channel, one) for one in range(len(self.banks[channel])))

    def end(self) -> tuple[Integers, Bytes]:
        """Return the rows that were written."""
        for channel, bank in sorted(self.written):
            self._take(channel, bank)
        places = sorted(self.changed)
        found = [self.known[place].to_bytes(self.size, "little") for place in places]
        rows = np.frombuffer(b"".join(found), np.uint8).reshape(-1, self.size)
        return np.array(places, np.int64).reshape(-1, 3), rows

    def _activate(self, channel: int, bank: int, row: int) -> None:
        if (channel, bank) in self.written:
            self._take(channel, bank)
            self.written.discard((channel, bank))
        self.open[channel][bank] = row
        word = self.known.get((channel, bank, row), 0)
        self.banks[channel][bank].array.gen_outside.word.value = word

    def _take(self, channel: int, bank: int) -> None:
        place = (channel, bank, self.open[channel][bank])
        self.known[place] = int(self.banks[channel][bank].row_buffer.value)
        self.changed.add(place)
