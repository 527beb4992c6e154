"""The same integers and clocks on Verilator, by cocotb and by the compiled bench."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from gateformer.sim.dataflow import simulate_clocks
from gateformer.sim.rtl.bulk import bulk
from gateformer.sim.rtl.simulate import simulate
from gateformer.sim.stalls import StallPattern

pytestmark = pytest.mark.verilator


def test_cocotb_on_verilator(toys: ModuleType, builds: Path, tmp_path: Path) -> None:
    toy = toys.mixer(masked=True, interval=2)
    frames = toy.frames(30)
    for stalls in (None, StallPattern(seed=7)):
        result = simulate(
            toy.design, toy.files, frames, toy.run(frames), "verilator",
            work=tmp_path, cache=builds, stalls=stalls,
        )  # fmt: skip
        assert result.passed, (result.first, result.problems)
        clocks = simulate_clocks(toy.design, 30, stalls)
        for name, received in result.record.received.items():
            np.testing.assert_array_equal(clocks.received[name], received)


def test_bulk(toys: ModuleType, builds: Path, tmp_path: Path) -> None:
    toy = toys.mixer(masked=True)
    frames = toy.frames(10_000)
    result = bulk(toy.design, toy.files, frames, toy.run(frames), work=tmp_path, cache=builds)
    assert result.passed, (result.first, result.problems)
    assert (result.vectors, result.latency_cycles) == (10_000, toy.design.latency_cycles)
    assert result.interval_cycles == toy.design.interval_cycles
    clocks = simulate_clocks(toy.design, 200)
    for name, received in result.record.received.items():
        count = len(clocks.received[name])
        np.testing.assert_array_equal(clocks.received[name], received[:count])
    expected = toy.run(frames)
    expected["z"][1234, 0] += 1
    wrong = bulk(toy.design, toy.files, frames, expected, work=tmp_path, cache=builds)
    assert wrong.mismatches == 1 and wrong.first is not None
    assert (wrong.first.value, wrong.first.frame) == ("z", 1234)
    assert wrong.build_seconds < 2


@pytest.mark.slow
@pytest.mark.parametrize("width", [1, 9, 70])
def test_bulk_of_every_width(toys: ModuleType, width: int, builds: Path, tmp_path: Path) -> None:
    for lanes in (1, 3):
        toy = toys.affine(5, 2, lanes, width=width, signed=width != 9)
        frames = toy.frames(200)
        result = bulk(toy.design, toy.files, frames, toy.run(frames), work=tmp_path, cache=builds)
        assert result.passed, (result.first, result.problems)
