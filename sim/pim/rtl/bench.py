"""cocotb's side of the memory's bench.

Owns the clock, the host's instructions and the record of what went over the buses. Runs in the
simulator's process. Imports the jobs and cocotb.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import Timer

from gateformer.sim.pim.rtl.jobs import COMMAND, FOLDER, INSTRUCTION, Job, Record, load_jobs, save

WIDTHS = {"command": 5, "op": 5, "bank": 8, "row": 30, "column": 16}
"""Bits of each channel's share of the command buses."""
PATIENCE = 200_000
"""Clocks without a command after which a run is given up."""


@cocotb.test()
async def memory(dut: Any) -> None:
    """Run all jobs, each from reset."""
    folder = Path(os.environ[FOLDER])
    save(folder / "records.npz", [await _run(dut, job) for job in load_jobs(folder / "jobs.npz")])


async def _run(dut: Any, job: Job) -> Record:
    dut.rst.value = 1
    dut.instruction_valid.value = 0
    ports = [getattr(dut, f"instruction_{name}") for name in INSTRUCTION]
    for port in ports:
        port.value = 0
    for _ in range(3):
        await _edge(dut)
    dut.rst.value = 0
    program, starts = job.program.tolist(), job.starts.tolist()
    buses = [dut.command, dut.command_op, dut.command_bank, dut.command_row, dut.command_column]
    widths = list(WIDTHS.values())
    everyone = (1 << len(dut.finished)) - 1
    clocks: list[int] = []
    commands: list[list[int]] = []
    at, now, last, shown = 0, 0, 0, -1
    while True:
        now += 1
        offered = at < len(program) and now >= starts[at]
        if offered and shown != at:
            for port, value in zip(ports, program[at], strict=True):
                port.value = value
            shown = at
        dut.instruction_valid.value = int(offered)
        dut.clk.value = 0
        await Timer(5, "ns")
        if offered and int(dut.instruction_ready.value):
            at += 1
        valid = int(dut.command_valid.value)
        if valid:
            last = now
            values = [int(bus.value) for bus in buses]
            for channel in range(valid.bit_length()):
                if valid >> channel & 1:
                    clocks.append(now)
                    commands.append(
                        [
                            channel,
                            *(
                                value >> width * channel & (1 << width) - 1
                                for value, width in zip(values, widths, strict=True)
                            ),
                        ]
                    )
        reason = int(dut.reason.value)
        if reason or int(dut.finished.value) == everyone or now - last > PATIENCE:
            break
        dut.clk.value = 1
        await Timer(5, "ns")
    return Record(
        np.array(clocks, np.int64),
        np.array(commands, np.int64).reshape(-1, len(COMMAND)),
        np.array([now, reason, at], np.int64),
    )


async def _edge(dut: Any) -> None:
    """Let one clock pass."""
    dut.clk.value = 0
    await Timer(5, "ns")
    dut.clk.value = 1
    await Timer(5, "ns")
