"""FP32 and BF16 in Verilog: numpy's bits, on every kind of number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from rtl.pim_operands import random_pairs, special_pairs

from gateformer.hw.pim.arithmetic import canonical, to_bf16
from gateformer.sim.pim.asic_rtl import sources
from gateformer.sim.rtl.tools import Simulator
from gateformer.sim.rtl.vectors import Ports, stream

Bits = NDArray[np.uint32]
Expected = Callable[..., Bits]


def of(bits: Bits) -> NDArray[np.float32]:
    return bits.astype(np.uint32).view(np.float32)


def bits_of(values: NDArray[np.float32]) -> Bits:
    return canonical(values).view(np.uint32)


@dataclass(frozen=True)
class Unit:
    """A module, the widths of its operands and result, and what numpy has for it."""

    name: str
    expected: Expected
    operands: int = 2
    bits: int = 32
    result: int = 32
    stages: tuple[int, ...] = ()

    def run(
        self, simulator: Simulator, operands: list[Bits], stages: int, work: Path, cache: Path
    ) -> NDArray[np.int64]:
        """Its results, for operands one a clock."""
        clocked = bool(self.stages)
        ports = Ports(
            dict.fromkeys("ab"[: self.operands], self.bits),
            {"y": self.result},
            clock=clocked,
            parameters={"STAGES": stages} if clocked else {},
            latency=stages,
        )
        top = f"gf_pim_{self.name}"
        words = np.stack(operands, 1).tolist()
        found = stream(simulator, sources(top), top, ports, words, work=work, cache=cache)
        return np.array(found)[:, 0]


ADD = Unit("fp32_add", lambda a, b: bits_of(of(a) + of(b)), stages=(0, 2))
MULTIPLY = Unit("fp32_multiply", lambda a, b: bits_of(of(a) * of(b)), stages=(0, 3))
BF16_MULTIPLY = Unit(
    "bf16_multiply",
    lambda a, b: bits_of(of(a << np.uint32(16)) * of(b << np.uint32(16))),
    bits=16,
    stages=(0, 1),
)
TO_BF16 = Unit("fp32_to_bf16", lambda a: bits_of(to_bf16(of(a))) >> 16, operands=1, result=16)
FROM_INT = Unit("fp32_from_int", lambda a: bits_of(a.view(np.int32).astype(np.float32)), operands=1)
UNITS = (ADD, MULTIPLY, BF16_MULTIPLY, TO_BF16, FROM_INT)
VARIANTS = [(unit, stages) for unit in UNITS for stages in unit.stages or (0,)]
NAMES = [f"{unit.name}-{stages}" for unit, stages in VARIANTS]

ALL_BF16 = np.arange(1 << 16, dtype=np.uint32)
PARTNERS = (0x3F80, 0xBF80, 0x0080, 0x0001, 0x7F80, 0x7FC1, 0x8000, 0x4049, 0x2F01)
"""1, -1, smallest normal and subnormal, infinity, NaN, -0, pi and 1.2e-10."""


def compare(
    unit: Unit, operands: list[Bits], simulator: Simulator, stages: int, work: Path, cache: Path
) -> None:
    found = unit.run(simulator, operands, stages, work, cache)
    with np.errstate(all="ignore"):
        expected = unit.expected(*operands)
    wrong = np.flatnonzero(found != expected)
    told = [
        " ".join(f"{number[i]:08x}" for number in (*operands, found, expected)) for i in wrong[:5]
    ]
    assert not told, f"{len(wrong)} of {len(found)}: operands, found, expected {told}"


def fitted(unit: Unit, a: Bits, b: Bits) -> list[Bits]:
    """Pairs of FP32 numbers as a unit's operands."""
    if unit.operands == 1:
        return [np.concatenate([a, b])]
    return [(number >> np.uint32(32 - unit.bits)).astype(np.uint32) for number in (a, b)]


def test_numpy_has_subnormal_numbers() -> None:
    smallest = of(np.array([1], np.uint32))
    assert bits_of(smallest + smallest).tolist() == [2]
    assert bits_of(smallest * np.float32(3)).tolist() == [3]


@pytest.mark.icarus
@pytest.mark.parametrize(("unit", "stages"), VARIANTS, ids=NAMES)
def test_special_and_random_pairs(unit: Unit, stages: int, builds: Path, tmp_path: Path) -> None:
    special, some = special_pairs(), random_pairs(700, seed=7)
    a, b = (np.concatenate(both) for both in zip(special, some, strict=True))
    compare(unit, fitted(unit, a, b), "icarus", stages, tmp_path, builds)


@pytest.mark.icarus
def test_whole_numbers(builds: Path, tmp_path: Path) -> None:
    powers = 1 << np.arange(32, dtype=np.int64)
    around = (powers[:, None] + np.arange(-3, 4)).ravel()
    ties = (powers[24:, None] + (powers[24:, None] >> 24) * np.arange(1, 6)).ravel()
    every = np.concatenate([around, ties])
    numbers = np.concatenate([every, -every]).astype(np.uint64).astype(np.uint32)
    compare(FROM_INT, [numbers], "icarus", 0, tmp_path, builds)


@pytest.mark.icarus
def test_every_bf16_number_is_rounded_and_multiplied(builds: Path, tmp_path: Path) -> None:
    below = np.resize(np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32), 1 << 16)
    numbers = ALL_BF16 << np.uint32(16)
    tie = numbers | np.uint32(0x8000)
    compare(TO_BF16, [np.concatenate([numbers | below, tie])], "icarus", 0, tmp_path, builds)
    partner = np.resize(np.array(PARTNERS, np.uint32), 1 << 16)
    compare(BF16_MULTIPLY, [ALL_BF16, partner], "icarus", 0, tmp_path, builds)


@pytest.mark.icarus
def test_times_one_and_rounded_again_is_the_same_bf16_number(builds: Path, tmp_path: Path) -> None:
    one = np.full(1 << 16, 0x3F80, np.uint32)
    found = BF16_MULTIPLY.run("icarus", [ALL_BF16, one], 0, tmp_path, builds)
    product = found.astype(np.uint32)
    rounded = TO_BF16.run("icarus", [product], 0, tmp_path, builds)
    nan = ALL_BF16 & 0x7FFF > 0x7F80
    assert np.array_equal(rounded, np.where(nan, 0x7FC0, ALL_BF16))


@pytest.mark.slow
@pytest.mark.verilator
@pytest.mark.parametrize(("unit", "stages"), VARIANTS, ids=NAMES)
def test_a_million_pairs(unit: Unit, stages: int, builds: Path, tmp_path: Path) -> None:
    a, b = random_pairs(170_000, seed=11)
    compare(unit, fitted(unit, a, b), "verilator", stages, tmp_path, builds)


@pytest.mark.slow
@pytest.mark.verilator
def test_every_bf16_number_with_every_partner(builds: Path, tmp_path: Path) -> None:
    a, partner = (one.ravel() for one in np.meshgrid(ALL_BF16, np.array(PARTNERS, np.uint32)))
    compare(BF16_MULTIPLY, [a, partner], "verilator", 0, tmp_path, builds)
    below = np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)
    numbers = (ALL_BF16[:, None] << np.uint32(16) | below).ravel()
    compare(TO_BF16, [numbers], "verilator", 0, tmp_path, builds)
