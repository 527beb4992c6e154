"""Clocks of the same segments by the command engine and in closed form, side by side.

``token``: one token of gpt2-small, all layers, from nothing known: each state of the memory is met
for the first time. ``tokens``: the same token again and again at whatever clocks of the refresh it
falls on, as in a generation. Times are CPU time of this process, plain Python.
"""

from __future__ import annotations

from collections.abc import Callable
from time import process_time
from typing import Any

import pytest

from gateformer.hw.pim import asic
from gateformer.hw.pim.compile import Compiler
from gateformer.hw.pim.device import Device, load
from gateformer.hw.pim.program import Segment
from gateformer.quant import models
from gateformer.sim.dram.closed_form import ClosedForm
from gateformer.sim.dram.engine import Machine
from gateformer.sim.dram.refresh import Refresh

Benchmark = Callable[..., Any]
Call = tuple[Segment, int, int]
"""A segment, its row offset, and the idle clocks before it."""
REPEATS = 40
PER_SEGMENT = 20e-6
"""Seconds of CPU time that a segment may take on average once its states are known."""


@pytest.fixture(scope="module")
def device() -> Device:
    return load("pim-gpt")


@pytest.fixture(scope="module")
def token(device: Device) -> list[Call]:
    calls: list[Call] = []
    idle = 0
    for step in Compiler(models.load("gpt2-small"), device, "pim-gpt", tokens=700).token(611).steps:
        if isinstance(step.work, Segment):
            calls.append((step.work, step.offset, idle))
            idle = 0
        elif device.asic is not None:
            idle += asic.memory_clocks(asic.clocks(step.work, device.asic), device)
    return calls


def by_command(device: Device, calls: list[Call]) -> int:
    memory, clock = Machine(device, Refresh("all-bank")), 1
    for segment, offset, idle in calls:
        clock = memory.run(segment.expand(offset), clock + idle)
    return clock


def in_closed_form(memory: ClosedForm, calls: list[Call], clock: int = 1) -> int:
    for segment, offset, idle in calls:
        clock = memory.run(segment, clock + idle, offset)
    return clock


def test_bench_token_by_command(benchmark: Benchmark, device: Device, token: list[Call]) -> None:
    assert benchmark.pedantic(by_command, (device, token), rounds=2) > 0  # type: ignore[attr-defined]


def test_bench_token_in_closed_form(
    benchmark: Benchmark, device: Device, token: list[Call]
) -> None:
    def cold() -> int:
        return in_closed_form(ClosedForm(device, Refresh("all-bank")), token)

    assert benchmark.pedantic(cold, rounds=2) == by_command(device, token)  # type: ignore[attr-defined]


def test_bench_tokens_in_closed_form(
    benchmark: Benchmark, device: Device, token: list[Call]
) -> None:
    memory = ClosedForm(device, Refresh("all-bank"))
    clock = in_closed_form(memory, token * REPEATS)

    def warm() -> float:
        nonlocal clock
        start = process_time()
        clock = in_closed_form(memory, token * REPEATS, clock)
        return (process_time() - start) / REPEATS / len(token)

    assert benchmark.pedantic(warm, rounds=3) < PER_SEGMENT  # type: ignore[attr-defined]
