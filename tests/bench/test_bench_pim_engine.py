"""How many commands a second the engine simulates, side by side, refresh and every constraint on.

``rows``: all-bank MACs row after row, on 32 channels that are simulated once. ``gemv``: a vector
written, multiplied and read back, on one channel. ``banks``: single columns at random banks and
rows, where each column needs an activate and most a precharge, and no two requests are alike.
Rates count distinct commands and are in CPU time; reading no trace, writing no file.
The public C++ simulator issues 0.5 to 0.8 million commands a second.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from gateformer.hw.pim.device import Device, load
from gateformer.hw.pim.isa import Instruction
from gateformer.sim.dram.compiled import available
from gateformer.sim.dram.engine import run

Benchmark = Callable[..., Any]
LEAST = {
    ("python", "log"): 200_000,
    ("python", "no log"): 500_000,
    ("compiled", "log"): 200_000,
    ("compiled", "no log"): 5_000_000,
}
"""Commands a second that streams must reach; a log holds each channel, though simulated once."""


@pytest.fixture(scope="module")
def aim() -> Device:
    return load("gddr6-aim")


def rows() -> list[Instruction]:
    return [Instruction("MAC_ABK", 64, (1 << 32) - 1, row=row) for row in range(4096)]


def gemv() -> list[Instruction]:
    found = []
    for row in range(1024):
        found += [
            Instruction("WR_BIAS"),
            Instruction("WR_GB", 64),
            Instruction("MAC_ABK", 64, row=row),
            Instruction("RD_MAC"),
        ]
    return found


def banks() -> list[Instruction]:
    draw = random.Random(1)
    return [
        Instruction("RD_SBK", bank=draw.randrange(16), row=draw.randrange(100))
        for _ in range(20_000)
    ]


PROGRAMS = {"rows": rows, "gemv": gemv, "banks": banks}


@pytest.mark.parametrize("log", ["log", "no log"])
@pytest.mark.parametrize("kernel", ["python", "compiled"])
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.benchmark(group="pim commands", timer=time.process_time, min_rounds=3, warmup=True)
def test_bench_commands(
    benchmark: Benchmark, aim: Device, name: str, kernel: str, log: str
) -> None:
    if kernel == "compiled" and not available():
        pytest.skip("numba not installed")
    program = PROGRAMS[name]()
    found = benchmark(run, program, aim, log=log == "log", compiled=kernel == "compiled")
    assert found.counts["REFab"] > 0
    rate = found.distinct / benchmark.stats.stats.min  # type: ignore[attr-defined]
    benchmark.extra_info["commands_per_s"] = round(rate)  # type: ignore[attr-defined]
    print(f"\n{name:6} {kernel:9} {log:7} {rate / 1e6:7.2f} M commands/s")
    if name != "banks" or (kernel, log) == ("python", "log"):
        assert rate >= LEAST[kernel, log]
