"""The ASIC: functions and their operation counts, clocks by hand, what fits its memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from gateformer.hw.pim import asic, device, functions
from gateformer.hw.pim.arithmetic import to_bf16
from gateformer.hw.pim.asic import COSTS, EXP, RECIPROCAL, RSQRT, Count, clocks, memory_clocks
from gateformer.hw.pim.device import Asic, Unit
from gateformer.hw.pim.functions import Alu
from gateformer.hw.pim.program import AsicWork
from gateformer.quant import models
from gateformer.quant.errors import PimError

PIM_GPT = device.load("pim-gpt")
OWN = PIM_GPT.asic
assert OWN is not None


def true_gelu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


@pytest.mark.parametrize(
    ("function", "true", "low", "high", "error", "count"),
    [
        (functions.exp, np.exp, -80.0, 0.0, 8e-4, EXP),
        (functions.exp, np.exp, 0.0, 80.0, 8e-4, EXP),
        (functions.reciprocal, lambda x: 1 / x, 1e-6, 1e6, 1.3e-5, RECIPROCAL),
        (functions.rsqrt, lambda x: 1 / np.sqrt(x), 1e-6, 1e6, 5e-6, RSQRT),
    ],
)
def test_functions_are_as_exact_and_cost_as_much_as_is_said(
    function: Callable[[Alu, np.ndarray], np.ndarray],
    true: Callable[[np.ndarray], np.ndarray],
    low: float,
    high: float,
    error: float,
    count: Count,
) -> None:
    x = np.linspace(low, high, 40_001)
    if low > 0:
        x = np.geomspace(low, high, 40_001)
    x = x.astype(np.float32)
    alu = Alu()
    found = function(alu, x)
    exact = true(x.astype(np.float64))
    assert np.abs(found / exact - 1).max() <= error
    assert Count(alu.multiplications, alu.additions) == count


@pytest.mark.parametrize(
    ("function", "true", "unit"),
    [
        (functions.gelu, true_gelu, "gelu"),
        (functions.silu, lambda x: x / (1 + np.exp(-x)), "silu"),
    ],
)
def test_activations(
    function: Callable[[Alu, np.ndarray], np.ndarray],
    true: Callable[[np.ndarray], np.ndarray],
    unit: str,
) -> None:
    x = np.linspace(-12, 12, 10_001).astype(np.float32)
    alu = Alu()
    assert np.abs(function(alu, x) - true(x.astype(np.float64))).max() <= 1e-3
    assert COSTS[unit].phases == (Count(alu.multiplications, alu.additions),)


def test_a_taylor_series_without_range_reduction_is_useless() -> None:
    x = np.linspace(-8, 0, 1001)
    naive = sum(x**n / np.prod(np.arange(1.0, n + 1)) for n in range(6))
    assert np.abs(naive - np.exp(x)).max() > 100


@pytest.mark.parametrize("keep", [1, 5, 63, 64, 100])
@pytest.mark.parametrize("size", [1024, 1000, 16, 3])
def test_the_largest_groups_are_found(size: int, keep: int) -> None:
    rng = np.random.default_rng(size + keep)
    groups = -(-size // 16)
    for x in (rng.normal(size=size), np.zeros(size), np.ones(size), rng.integers(-1, 2, size)):
        alu = Alu()
        found = functions.largest_groups(alu, x.astype(np.float32), 16, keep)
        sums = [np.abs(x[16 * i : 16 * i + 16]).astype(np.float32).sum() for i in range(groups)]
        order = np.argsort(-to_bf16(np.array(sums)), kind="stable")
        assert found.tolist() == sorted(order[:keep].tolist())
        phases = COSTS["select"].phases
        assert alu.additions == sum(phase.add for phase in phases)


def test_clocks_by_hand() -> None:
    """16 softmaxes of 1,024: phases 0/1, 5/8, 1/0 an element, 5/4 a vector; the rest in a row."""
    work = AsicWork("softmax", "softmax", 16 * 1024, 16)
    phases = 16384 // 256 + max(16384 * 5 // 128, 16384 * 8 // 256) + 16384 // 128
    vectors = 1  # 16 x 5 / 128 and 16 x 4 / 256, rounded up
    serial = (5 + 5 + 1) * 3 + (8 + 1 + 6 + 8 + 4) * 2
    assert clocks(work, OWN) == phases + vectors + serial


def test_additions_by_hand() -> None:
    assert clocks(AsicWork("residual", "add", 2048), OWN) == 2048 // 256 + 2
    assert clocks(AsicWork("residual", "add", 2049), OWN) == 2048 // 256 + 1 + 2


@pytest.mark.parametrize("unit", COSTS)
def test_more_of_everything_is_no_slower(unit: str) -> None:
    work = AsicWork("x", unit, 5000, 7)
    own = clocks(work, OWN)
    assert own > 0
    wide = replace(OWN, adders=10**6, multipliers=10**6)
    assert clocks(work, wide) < own
    assert clocks(AsicWork("x", unit, 5001, 7), OWN) >= own
    serial = COSTS[unit].serial
    assert own > serial.multiply * asic.MULTIPLY_LATENCY + serial.add * asic.ADD_LATENCY


def test_a_device_may_state_a_unit() -> None:
    stated = Asic(1.0, {"softmax": Unit(20, 8), "own": Unit(1, 1)}, "")
    assert clocks(AsicWork("x", "softmax", 65), stated) == 20 + 9
    assert clocks(AsicWork("x", "own", 65), stated) == 66
    with pytest.raises(PimError, match="E807 unknown unit of the ASIC: 'other'"):
        clocks(AsicWork("x", "other", 65), stated)


@pytest.mark.parametrize(
    ("asic_clocks", "asic_ns", "memory_ns", "expected"),
    [
        (10, None, 1.0, 10),
        (10, 10.0, 1.0, 100),
        (10, 1.0, 0.5, 20),
        (7, 1.0, 1.25, 6),  # 5.6
        (5, 1.0, 1.25, 4),
        (3, 0.1, 0.3, 1),  # 0.30000000000000004 / 0.3
        (0, 1.0, 1.0, 0),
    ],
)
def test_clocks_of_the_memory_are_rounded_up(
    asic_clocks: int, asic_ns: float | None, memory_ns: float, expected: int
) -> None:
    memory = replace(PIM_GPT, clock_ns=memory_ns)
    assert memory_clocks(asic_clocks, memory, asic_ns) == expected


def test_what_fits_the_asic() -> None:
    decoder = models.load("gpt3-xl")
    vectors = 2 * (13 * 2048 + 2048 + 2 * 2048 + 8192)
    assert asic.vector_bytes(decoder) == vectors
    assert asic.free_bytes(decoder, PIM_GPT) == 131072 - vectors
    assert asic.score_bytes(decoder, 1024) == 16 * 1024 * 2
    assert asic.value_bytes(decoder, 2) == 24 * 2048 * 2 * 2
    assert not asic.holds_values(decoder, PIM_GPT, 1, 1024)
    assert asic.holds_values(models.load("gpt2-small"), PIM_GPT, 2, 1024)


def test_a_device_without_an_asic() -> None:
    with pytest.raises(PimError, match="E804 no ASIC: 'pim-gpt'"):
        asic.free_bytes(models.load("gpt2-small"), replace(PIM_GPT, asic=None))
