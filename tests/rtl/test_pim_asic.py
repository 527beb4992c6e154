"""The ASIC in Verilog against its functions and its clocks: every bit and every clock the same."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rtl.pim_asic_bench import (
    Bench,
    add_merge,
    add_select,
    in_place,
    reduce_and_map,
    several_operands,
    shares_of_all_kinds,
    vectors_of_all_kinds,
)
from rtl.pim_rescale_bench import add_rescale, rescaled_of_all_kinds

from gateformer.hw.pim import device
from gateformer.hw.pim.arithmetic import to_bf16
from gateformer.hw.pim.asic_units import units
from gateformer.quant.errors import MismatchError
from gateformer.sim.pim.asic_rtl import UNITS, Operation, run


@pytest.mark.verilator
def test_four_lanes(tmp_path: Path, builds: Path) -> None:
    bench = Bench(4, 4096)
    for length in (1, 3, 4, 5, 21):
        for x in vectors_of_all_kinds(length):
            reduce_and_map(bench, x)
        for count in (2, 3, 9):
            several_operands(bench, 3, 8 if length == 4 else length, count)
        in_place(bench, 2, length)
        add_merge(bench, next(shares_of_all_kinds(2, length, 3)))
        add_rescale(bench, *next(rescaled_of_all_kinds(3, length)))
    assert {one.unit for one in bench.operations} == {*UNITS}
    bench.check("verilator", tmp_path, builds)


@pytest.mark.verilator
@pytest.mark.parametrize(("width", "count"), [(1, 1), (6, 16), (9, 3)])
def test_shares_are_merged(width: int, count: int, tmp_path: Path, builds: Path) -> None:
    bench = Bench(4, 4096)
    for shares in shares_of_all_kinds(3, width, count):
        add_merge(bench, shares)
    bench.check("verilator", tmp_path, builds)


@pytest.mark.verilator
@pytest.mark.parametrize("rows", [1, 4, 9, 33])
@pytest.mark.parametrize("tiles", [1, 2, 4])
def test_sums_are_rescaled(tiles: int, rows: int, tmp_path: Path, builds: Path) -> None:
    """With and without a bias; an operation in front of each leaves its steps and sums behind."""
    bench = Bench(4, 4096)
    for sums, scales, steps, bias in rescaled_of_all_kinds(tiles, rows):
        add_rescale(bench, sums, scales, steps, bias)
        add_rescale(bench, sums, scales, steps)
    bench.check("verilator", tmp_path, builds)


@pytest.mark.icarus
def test_four_lanes_interpreted(tmp_path: Path, builds: Path) -> None:
    bench = Bench(4, 128)
    reduce_and_map(bench, next(vectors_of_all_kinds(6)))
    several_operands(bench, 2, 4, 3)
    add_merge(bench, next(shares_of_all_kinds(2, 6, 3)))
    add_rescale(bench, *next(rescaled_of_all_kinds(2, 6)))
    assert {one.unit for one in bench.operations} == {*UNITS}
    bench.check("icarus", tmp_path, builds)


@pytest.mark.icarus
@pytest.mark.parametrize(
    "illegal",
    [
        {"length": 0},
        {"vectors": 0},
        {"unit": "add", "count": 1},
        {"unit": "accumulate", "count": 5},
        {"unit": "accumulate", "count": 0},
        {"unit": "select", "count": 0},
        {"unit": "merge", "count": 0},
        {"unit": "merge", "count": 17},
        {"unit": "select", "count": 1, "length": 65},
        {"unit": "rescale", "count": 0},
        {"unit": "rescale", "count": 5},
        {"unit": "rescale", "count": 1, "vectors": 2},
    ],
)
def test_what_no_unit_can_do_ends_the_simulation(
    illegal: dict[str, Any], tmp_path: Path, builds: Path
) -> None:
    operation = replace(Operation("relu"), **illegal)
    memory = np.zeros((64, 4), np.uint16)
    with pytest.raises(MismatchError, match=r"E405 .*ended by itself") as found:
        run([operation], memory, work=tmp_path, cache=builds, simulator="icarus")
    assert "FATAL asic_bench.asic: illegal operation" in str(found.value)


@pytest.mark.icarus
@pytest.mark.parametrize("lanes", [4, 16])
@pytest.mark.parametrize("unit", ["merge", "select"])
def test_a_unit_takes_as_many_as_plans_allow(
    unit: str, lanes: int, tmp_path: Path, builds: Path
) -> None:
    """With one more the simulation ends; plans refuse those, by the same number."""
    most = units(lanes)[unit].most
    assert most == 4 * lanes

    def bench(count: int) -> Bench:
        made = Bench(lanes, 512)
        if unit == "merge":
            add_merge(made, next(shares_of_all_kinds(2, 5, count)))
        else:
            x = to_bf16(np.random.default_rng(count).normal(size=(1, lanes * count)))
            add_select(made, x, made.put(x), count // 2)
        return made

    bench(most).check("icarus", tmp_path / "most", builds)
    beyond = bench(most + 1)
    with pytest.raises(MismatchError, match=r"E405 .*ended by itself"):
        beyond.check("icarus", tmp_path / "beyond", builds)


@pytest.mark.slow
@pytest.mark.verilator
@pytest.mark.parametrize("length", [1, 15, 16, 17, 1000])
def test_sixteen_lanes(length: int, tmp_path: Path, builds: Path) -> None:
    """The device's own number of lanes."""
    bench = Bench(16, 8192)
    for x in vectors_of_all_kinds(length):
        reduce_and_map(bench, x if length < 1000 else x[::3])
    for count in (2, 3, 16):
        several_operands(bench, 3, 64, count)
    for tiles in (1, 16):
        for one in islice(rescaled_of_all_kinds(tiles, min(length, 100)), 4):
            add_rescale(bench, *one)
    bench.check("verilator", tmp_path, builds)


@pytest.mark.slow
@pytest.mark.verilator
@pytest.mark.parametrize(("width", "count"), [(64, 25), (100, 8), (128, 64)])
def test_shares_on_sixteen_lanes(width: int, count: int, tmp_path: Path, builds: Path) -> None:
    """The most shares that may be among them."""
    every = islice(shares_of_all_kinds(2, width, count), 12)
    while some := [*islice(every, 6)]:
        bench = Bench(16, 8192)
        for shares in some:
            add_merge(bench, shares)
        bench.check("verilator", tmp_path, builds)


def test_the_device_states_these_clocks() -> None:
    asic = device.load("pim-rtl").asic
    assert asic is not None
    assert {name: replace(unit, source="") for name, unit in asic.units.items()} == units(16)
    assert {*asic.units} == {*UNITS}
    assert asic.lanes == 16


def test_the_device_is_pim_gpt_s_memory() -> None:
    own, other = device.load("pim-rtl"), device.load("pim-gpt")
    powers = tuple(replace(one, source="") for one in own.powers)
    assert powers == tuple(replace(one, source="") for one in other.powers)
    apart = {"name": "", "source": "", "asic": None, "powers": ()}
    assert replace(own, **apart) == replace(other, **apart)
