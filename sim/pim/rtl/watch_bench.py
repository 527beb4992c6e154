"""cocotb's side of the watch's bench: streams of commands, legal or not, forced onto its bus.

Runs in the simulator's process. Imports cocotb.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import Timer

from gateformer.sim.pim.rtl.jobs import FOLDER


@cocotb.test()
async def watch(dut: Any) -> None:
    """Send each stream from reset; write the clocks of the commands that were found illegal."""
    folder = Path(os.environ[FOLDER])
    ports = [dut.command, dut.bank, dut.row, dut.column]
    found: list[list[int]] = []
    with np.load(folder / "streams.npz") as streams:
        for stream in range(len(streams)):
            dut.valid.value = 0
            dut.rst.value = 1
            await _edges(dut, 2)
            dut.rst.value = 0
            now = 1
            for clock, *values in streams[str(stream)].tolist():
                await _edges(dut, clock - now)
                for port, value in zip(ports, values, strict=True):
                    port.value = value
                dut.valid.value = 1
                await _edges(dut, 1)
                dut.valid.value = 0
                now = clock + 1
                if int(dut.violation.value):
                    found.append([stream, clock])
    np.save(folder / "found.npy", np.array(found, np.int64).reshape(-1, 2))


async def _edges(dut: Any, count: int) -> None:
    """Let clocks pass."""
    for _ in range(count):
        dut.clk.value = 0
        await Timer(1, "ns")
        dut.clk.value = 1
        await Timer(1, "ns")
