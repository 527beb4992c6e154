"""A bank's MACs in Verilog: the model's bits, clock by clock, with loads, pauses and resets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gateformer.hw.pim.arithmetic import accumulate, canonical
from gateformer.sim.pim.asic_rtl import sources
from gateformer.sim.rtl.tools import Simulator
from gateformer.sim.rtl.vectors import Ports, stream

Words = NDArray[np.uint16]


@dataclass(frozen=True)
class Clocks:
    """What comes to a MAC, one entry a clock."""

    rst: NDArray[np.bool_]
    load: NDArray[np.bool_]
    multiply: NDArray[np.bool_]
    bias: NDArray[np.uint32]
    weights: NDArray[np.integer]
    inputs: NDArray[np.integer]

    def words(self, weight_bits: int, input_bits: int) -> list[list[int]]:
        """The ports' numbers, clock by clock."""
        return [
            [int(self.rst[i]), int(self.load[i]), int(self.bias[i]), int(self.multiply[i]),
             packed(self.weights[i], weight_bits), packed(self.inputs[i], input_bits)]
            for i in range(len(self.rst))
        ]  # fmt: skip

    def heeded(self, stages: int) -> list[bool]:
        """Whether what came in each clock reaches the accumulator: no reset on its way."""
        return [not self.rst[i : i + stages].any() for i in range(len(self.rst))]


def packed(lanes: NDArray[np.integer], bits: int) -> int:
    mask = (1 << bits) - 1
    return sum((int(number) & mask) << bits * lane for lane, number in enumerate(lanes))


def clocks(
    seed: int, weights: NDArray[np.integer], inputs: NDArray[np.integer], bias: NDArray[np.uint32]
) -> Clocks:
    """Columns with loads and pauses between them, a load with a multiplication and resets."""
    rng = np.random.default_rng(seed)
    count = len(weights)
    load, multiply = rng.random(count) < 0.06, rng.random(count) < 0.85
    rst = rng.random(count) < 0.004
    rst[0], rst[1], load[1] = True, False, True  # nothing is defined before
    rst[2:20] = False
    rst[-1] = load[-1] = multiply[-1] = False
    return Clocks(rst, load, multiply, bias, weights, inputs)


def run(
    simulator: Simulator,
    top: str,
    given: Clocks,
    lanes: int,
    bits: tuple[int, int],
    parameters: dict[str, int],
    folders: tuple[Path, Path],
) -> list[int]:
    """Sums from the second clock's load on."""
    work, cache = folders
    inputs = {
        "rst": 1, "load": 1, "bias": 32, "multiply": 1,
        "weights": bits[0] * lanes, "inputs": bits[1] * lanes,
    }  # fmt: skip
    ports = Ports(
        inputs, {"sum": 32}, parameters={"LANES": lanes, **parameters},
        latency=parameters["STAGES"] + 1,
    )  # fmt: skip
    words = given.words(*bits)
    found = stream(simulator, sources(top), top, ports, words, work=work, cache=cache)
    return [one[0] for one in found[1:]]


def float_of(words: Words) -> NDArray[np.float32]:
    return (words.astype(np.uint32) << np.uint32(16)).view(np.float32)


def float_sums(given: Clocks, stages: int) -> list[int]:
    """What the model has in the accumulator behind each clock but the first."""
    total = np.float32(np.nan)
    found = []
    weights, inputs = float_of(given.weights), float_of(given.inputs)
    bias = given.bias.view(np.float32)
    heeded = given.heeded(stages)
    with np.errstate(all="ignore"):
        for i in range(1, len(heeded)):
            if heeded[i] and given.load[i]:
                total = bias[i]
            elif heeded[i] and given.multiply[i]:
                total = canonical(accumulate(total, weights[i, None], inputs[i, None]))[()]
            found.append(int(np.asarray(total).view(np.uint32)))
    return found


def columns(seed: int, count: int, lanes: int) -> tuple[Words, Words]:
    """Weights and inputs of BF16: near 1, cancelling, of any size, special ones, far apart.

    Products near 1 add up without rounding; of those far apart each addition is rounded, so that
    another order of additions is another sum.
    """
    rng = np.random.default_rng(seed)

    def moderate() -> Words:
        numbers = rng.normal(size=(count, lanes)).astype(np.float32)
        return (numbers.view(np.uint32) >> np.uint32(16)).astype(np.uint16)

    weights, inputs = moderate(), moderate()
    kind = rng.integers(0, 10, count)[:, None]
    cancelling = inputs.copy()
    cancelling[:, 1::2] = inputs[:, 0::2] ^ rng.integers(0, 3, (count, lanes // 2), np.uint16)
    opposite = weights.copy()
    opposite[:, 1::2] = weights[:, 0::2] ^ np.uint16(0x8000)
    weights = np.where(kind < 2, opposite, weights)
    inputs = np.where(kind < 2, cancelling, inputs)
    exponents = rng.integers(0, 255, (2, count, lanes), np.uint16) << np.uint16(7)
    wide = [moderate() & np.uint16(0x807F) | some for some in exponents]
    weights, inputs = (
        np.where(kind == 2, some, own) for some, own in zip(wide, (weights, inputs), strict=True)
    )
    apart = rng.integers(115, 140, (2, count, lanes)).astype(np.uint16) << np.uint16(7)
    far = [moderate() & np.uint16(0x807F) | some for some in apart]
    weights, inputs = (
        np.where(kind > 5, some, own) for some, own in zip(far, (weights, inputs), strict=True)
    )
    small = np.uint16(0x8FFF)  # products near the smallest numbers
    weights = np.where(kind == 3, weights & small | np.uint16(0x1000), weights)
    inputs = np.where(kind == 3, inputs & small | np.uint16(0x1000), inputs)
    special = np.array(
        [0, 0x8000, 1, 0x7F, 0x80, 0x7F7F, 0x7F80, 0xFF80, 0x7FC0, 0xFFFF], np.uint16
    )
    rare = (kind == 4) & (rng.random((count, lanes)) < 0.1)
    weights = np.where(rare, rng.choice(special, (count, lanes)), weights)
    return weights.astype(np.uint16), inputs.astype(np.uint16)


def float_clocks(seed: int, count: int, lanes: int) -> Clocks:
    """As ``clocks``; behind a sum that hides all others, as NaN does, there is often a load."""
    rng = np.random.default_rng(seed + 1)
    bias = rng.normal(size=count).astype(np.float32).view(np.uint32)
    zero = rng.random(count) < 0.3
    weights, inputs = columns(seed, count, lanes)
    given = clocks(seed, weights, inputs, np.where(zero, np.uint32(0), bias))
    sums = accumulate(np.zeros(count), float_of(weights)[:, None], float_of(inputs)[:, None])
    hides = ~(np.abs(sums) < 2.0**40)
    load = given.load | np.roll(hides, 1) & (rng.random(count) < 0.8)
    load[-1] = False
    return replace(given, load=load)


@pytest.mark.icarus
@pytest.mark.parametrize(
    ("lanes", "stages", "count"),
    [(16, 0, 900), (16, 9, 900), (4, 5, 400), (1, 0, 200), (1, 1, 200)],
)
def test_bf16(lanes: int, stages: int, count: int, builds: Path, tmp_path: Path) -> None:
    given = float_clocks(lanes + stages, count, lanes)
    found = run(
        "icarus", "gf_pim_mac", given, lanes, (16, 16), {"STAGES": stages}, (tmp_path, builds)
    )
    assert found == float_sums(given, stages)


@pytest.mark.icarus
def test_a_column_is_added_to_the_accumulator_last(builds: Path, tmp_path: Path) -> None:
    """2^24 + (1 + 1) is exact, (2^24 + 1) + 1 is not; neighbours first: 1 + 1 - 2^24 + 2^24."""
    weights = np.zeros((4, 16), np.uint16)
    weights[2, :2] = weights[3, :2] = 0x3F80
    weights[3, 2:4] = 0xCB80, 0x4B80
    given = Clocks(
        np.array([True, False, False, False]), np.array([False, True, False, False]),
        np.array([False, False, True, True]), np.full(4, 0x4B800000, np.uint32),
        weights, np.full((4, 16), 0x3F80, np.uint16),
    )  # fmt: skip
    found = run("icarus", "gf_pim_mac", given, 16, (16, 16), {"STAGES": 0}, (tmp_path, builds))
    sums = np.array(found, np.uint32).view(np.float32)
    assert sums.tolist() == [2.0**24, 2.0**24 + 2, 2.0**24 + 4]


@pytest.mark.slow
@pytest.mark.verilator
@pytest.mark.parametrize("stages", [0, 9])
def test_fifty_thousand_columns(stages: int, builds: Path, tmp_path: Path) -> None:
    given = float_clocks(77, 50_000, 16)
    found = run(
        "verilator", "gf_pim_mac", given, 16, (16, 16), {"STAGES": stages}, (tmp_path, builds)
    )
    assert found == float_sums(given, stages)


def integer_sums(given: Clocks, stages: int) -> list[int]:
    """Exact sums, 32 bits of them."""
    total = 0
    found = []
    heeded = given.heeded(stages)
    for i in range(1, len(heeded)):
        if heeded[i] and given.load[i]:
            total = int(given.bias[i])
        elif heeded[i] and given.multiply[i]:
            total += int(given.weights[i].astype(np.int64) @ given.inputs[i].astype(np.int64))
        found.append(total & 0xFFFFFFFF)
    return found


@pytest.mark.icarus
@pytest.mark.parametrize(
    ("lanes", "bits", "stages"), [(32, 8, 0), (32, 8, 1), (64, 4, 0), (64, 4, 1), (2, 8, 0)]
)
def test_whole_numbers(lanes: int, bits: int, stages: int, builds: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(bits + stages)
    count, low = 1500, -(1 << bits - 1)
    weights = rng.integers(low, -low, (count, lanes))
    inputs = rng.integers(-128, 128, (count, lanes))
    extreme = rng.random(count) < 0.2
    weights[extreme] = rng.choice([low, -low - 1, low], (extreme.sum(), 1))
    inputs[extreme] = rng.choice([-128, 127], (extreme.sum(), 1))
    given = clocks(lanes, weights, inputs, rng.integers(0, 1 << 32, count, dtype=np.uint32))
    found = run(
        "icarus", "gf_pim_int_mac", given, lanes, (bits, 8),
        {"STAGES": stages, "WEIGHT_BITS": bits}, (tmp_path, builds),
    )  # fmt: skip
    assert found == integer_sums(given, stages)
