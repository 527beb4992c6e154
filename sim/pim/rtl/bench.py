"""cocotb's side of the memory's bench: instructions and numbers in, commands and numbers out.

Owns the clock, the host's instructions, the channels' write data and the record of what went over
the buses. Runs in the simulator's process. Imports the jobs, the rows and cocotb.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import Timer

from gateformer.sim.pim.rtl.jobs import COMMAND, FOLDER, INSTRUCTION, Bytes, Job, Record, load, save
from gateformer.sim.pim.rtl.rows import Kept, keeper

COMMAND_BITS = (5, 5, 8, 30, 16)
"""Bits of each channel's share of the command buses, in the order of ``COMMAND``."""
PATIENCE = 1_000_000
"""Clocks without a command after which a run is given up."""


@cocotb.test()
async def memory(dut: Any) -> None:
    """Run all jobs, each from reset."""
    folder = Path(os.environ[FOLDER])
    jobs = load(folder / "jobs.npz", Job)
    save(folder / "records.npz", [await _Run(dut, job).run() for job in jobs])


class _Run:
    """One job."""

    def __init__(self, dut: Any, job: Job) -> None:
        self.dut, self.job = dut, job
        self.channels = int(job.sizes[0])
        self.numbers = bool(job.sizes[5])
        self.rows: Kept | None = keeper(dut, job) if self.numbers else None
        self.buses = [
            dut.command, dut.command_op, dut.command_bank, dut.command_row, dut.command_column,
        ]  # fmt: skip
        self.clocks: list[int] = []
        self.commands: list[list[int]] = []
        self.violations: list[tuple[int, int]] = []
        self.reads = _Port(dut.read_valid, dut.read_data, self.channels)
        self.results = _Port(dut.result_valid, dut.result_data, self.channels)
        self.writes = _Writes(dut, job)

    async def run(self) -> Record:
        """Reset, send the program, and watch until all channels have finished."""
        dut = self.dut
        ports = [getattr(dut, f"instruction_{name}") for name in INSTRUCTION]
        for port in (dut.instruction_valid, *ports):
            port.value = 0
        self.writes.drive()
        dut.rst.value = 1
        for _ in range(3):
            dut.clk.value = 0
            await Timer(5, "ns")
            dut.clk.value = 1
            await Timer(5, "ns")
        dut.rst.value = 0
        program, starts = self.job.program.tolist(), self.job.starts.tolist()
        everyone = (1 << self.channels) - 1
        at, now, last, shown, reason = 0, 0, 0, -1, 0
        while True:
            now += 1
            offered = at < len(program) and now >= starts[at]
            if offered and shown != at:
                for port, value in zip(ports, program[at], strict=True):
                    port.value = value
                shown = at
            dut.instruction_valid.value = int(offered)
            self.writes.drive()
            dut.clk.value = 0
            await Timer(4, "ns")
            if offered and int(dut.instruction_ready.value):
                at += 1
            if self._commands(now):
                last = now
            self._outputs(now)
            reason = int(dut.reason.value)
            if reason or int(dut.finished.value) == everyone or now - last > PATIENCE:
                break
            await Timer(1, "ns")  # rows that the bench supplies are there before the edge
            dut.clk.value = 1
            await Timer(5, "ns")
        dut.instruction_valid.value = 0
        for value in (1, 0):
            dut.clk.value = value
            await Timer(5, "ns")
        self._outputs(now + 1)
        places, rows = self.rows.end() if self.rows else _nothing()
        return Record(
            np.array([now, reason, at, self.writes.missing], np.int64),
            np.array(self.clocks, np.int64),
            np.array(self.commands, np.int64).reshape(-1, len(COMMAND)),
            np.array(self.violations, np.int64).reshape(-1, 2),
            *self.reads.arrays(),
            *self.results.arrays(),
            places,
            rows,
        )

    def _commands(self, now: int) -> bool:
        """Note this clock's commands and do what they ask of the bench; say if there are any."""
        valid = int(self.dut.command_valid.value)
        if not valid:
            return False
        values = [int(bus.value) for bus in self.buses]
        issued = [
            [
                channel,
                *(
                    value >> bits * channel & (1 << bits) - 1
                    for value, bits in zip(values, COMMAND_BITS, strict=True)
                ),
            ]
            for channel in range(self.channels)
            if valid >> channel & 1
        ]
        self.clocks += [now] * len(issued)
        self.commands += issued
        if self.rows:
            for channel, command, _, bank, row, _ in issued:
                self.rows.command(channel, command, bank, row)
        self.writes.take(int(self.dut.write_take.value))
        return True

    def _outputs(self, now: int) -> None:
        violation = int(self.dut.violation.value)
        if violation:
            self.violations += [
                (now - 1, channel) for channel in range(self.channels) if violation >> channel & 1
            ]
        if self.numbers:
            self.reads.sample(now)
            self.results.sample(now)


class _Port:
    """What comes over a port that each channel has a share of."""

    def __init__(self, valid: Any, data: Any, channels: int) -> None:
        self.valid, self.data, self.channels = valid, data, channels
        self.size = len(data) // channels // 8
        self.when: list[tuple[int, int]] = []
        self.what: list[bytes] = []

    def sample(self, now: int) -> None:
        valid = int(self.valid.value)
        if not valid:
            return
        bits, width = str(self.data.value), 8 * self.size  # other channels' may be unknown
        for channel in range(self.channels):
            if valid >> channel & 1:
                end = len(bits) - channel * width
                self.when.append((now, channel))
                self.what.append(int(bits[end - width : end], 2).to_bytes(self.size, "little"))

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        return (
            np.array(self.when, np.int64).reshape(-1, 2),
            np.frombuffer(b"".join(self.what), np.uint8).reshape(-1, self.size),
        )


class _Writes:
    """What each channel's next writing command takes, on its port."""

    def __init__(self, dut: Any, job: Job) -> None:
        self.dut = dut
        self.missing = -len(job.writes)
        edges = np.cumsum([0, *job.write_counts.tolist()]).tolist()
        self.next = edges[:-1]
        self.ends = edges[1:]
        self.data = [int.from_bytes(one.tobytes(), "little") for one in job.writes]
        packed = np.packbits(job.write_masks, axis=1, bitorder="little")
        self.masks = [int.from_bytes(one.tobytes(), "little") for one in packed]
        self.stale = True
        self.data_bits = len(dut.write_data) // len(edges[1:])
        self.mask_bits = len(dut.write_bytes) // len(edges[1:])

    def drive(self) -> None:
        """Show each channel its next write."""
        if not self.stale:
            return
        self.stale = False
        data = masks = 0
        for channel, (at, end) in enumerate(zip(self.next, self.ends, strict=True)):
            if at < end:
                data |= self.data[at] << channel * self.data_bits
                masks |= self.masks[at] << channel * self.mask_bits
        self.dut.write_data.value = data
        self.dut.write_bytes.value = masks

    def take(self, taken: int) -> None:
        """Go on by one write in each channel that took one."""
        if not taken:
            return
        for channel in range(len(self.next)):
            if taken >> channel & 1:
                self.missing += 1
                self.next[channel] += 1
        self.stale = True


def _nothing() -> tuple[np.ndarray, Bytes]:
    return np.zeros((0, 3), np.int64), np.zeros((0, 1), np.uint8)
