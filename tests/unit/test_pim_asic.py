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


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("name", "x", "y"),
    [
        ("exp", NAN, NAN), ("exp", INF, INF), ("exp", -INF, 0.0), ("exp", 0.0, 1.0),
        ("exp", -0.0, 1.0), ("exp", 89.0, INF), ("exp", 3e38, INF), ("exp", -104.0, 0.0),
        ("exp", -103.0, 2.0**-149), ("exp", 2.0**-149, 1.0),
        ("reciprocal", NAN, NAN), ("reciprocal", INF, 0.0), ("reciprocal", -INF, -0.0),
        ("reciprocal", 0.0, INF), ("reciprocal", -0.0, -INF), ("reciprocal", 2.0**-149, INF),
        ("reciprocal", -(2.0**-130), -INF),
        ("rsqrt", NAN, NAN), ("rsqrt", INF, 0.0), ("rsqrt", -INF, NAN), ("rsqrt", 0.0, INF),
        ("rsqrt", -0.0, -INF), ("rsqrt", -1.0, NAN), ("rsqrt", -(2.0**-149), NAN),
        *((unit, *pair) for unit in ("gelu", "silu") for pair in (
            (NAN, NAN), (INF, INF), (-INF, -0.0), (0.0, 0.0), (-0.0, -0.0), (-3e38, -0.0),
        )),
        ("relu", NAN, NAN), ("relu", -NAN, NAN), ("relu", -0.0, 0.0), ("relu", -INF, 0.0),
        ("relu", 2.0**-133, 2.0**-133),
    ],
)  # fmt: skip
def test_edges(name: str, x: float, y: float) -> None:
    function = getattr(functions, name)
    number = np.array([x], np.float32)
    found = function(number) if name == "relu" else function(Alu(), number)
    assert found.dtype == np.float32
    assert np.array_equal(found, np.array([y], np.float32), equal_nan=True)
    assert np.isnan(y) or np.signbit(found[0]) == np.signbit(y)


def test_a_shift_rounds_once() -> None:
    """Of 1 + 2^-23 at 2^-149 one bit is left; a tie goes to even, and 2^128 is infinite."""
    alu = Alu()
    one = np.float32(1 + 2.0**-23)
    assert alu.shifted(one, -150) == np.float32(2.0**-149)
    assert alu.shifted(np.float32(1), -150) == 0
    assert alu.shifted(np.float32(1.5), -149) == np.float32(2.0**-148)
    assert alu.shifted(np.float32(2.5 / 4), -147) == np.float32(2 * 2.0**-149)
    assert alu.shifted(one, 127) == np.float32(2.0**127 * (1 + 2.0**-23))
    assert np.isinf(alu.shifted(one, 128))
    assert alu.additions == 6


def lane_by_lane(x: np.ndarray, lanes: int) -> np.float32:
    """Add as the unit does, one addition after another."""
    found = np.float32(0)
    for first in range(0, len(x), lanes):
        column = [*x[first : first + lanes], *[np.float32(0)] * lanes][:lanes]
        while len(column) > 1:
            column = [np.float32(a + b) for a, b in zip(column[::2], column[1::2], strict=True)]
        found = np.float32(found + column[0])
    return found


@pytest.mark.parametrize("lanes", [1, 2, 16, 64])
@pytest.mark.parametrize("width", [1, 15, 16, 17, 333])
def test_sums_are_added_in_the_order_of_the_lanes(width: int, lanes: int) -> None:
    rng = np.random.default_rng(width)
    x = to_bf16(rng.normal(size=(3, width)) * 10.0 ** rng.integers(-4, 5, (3, width)))
    alu = Alu()
    found = functions.total(x, lanes, alu)
    assert found.tolist() == [lane_by_lane(row, lanes) for row in x]
    assert alu.additions == 1
    inverse = np.float32(1 / width)
    assert functions.mean(x, lanes).tolist() == [one * inverse for one in found]


def test_a_sum_of_minus_zeros_is_plus_zero() -> None:
    assert not np.signbit(functions.total(np.full(16, -0.0, np.float32), 16))
    with pytest.raises(ValueError, match="12 lanes are no power of two"):
        functions.total(np.zeros(3), 12)


def test_the_largest_number() -> None:
    assert np.signbit(functions.maximum([-0.0, -0.0]))
    assert not np.signbit(functions.maximum([-0.0, 0.0, -0.0]))
    assert functions.place_of_maximum([-0.0, 0.0, -0.0]) == 1
    assert functions.place_of_maximum([[3.0, 7.0, 7.0], [-INF, -INF, -INF]]).tolist() == [1, 0]
    assert np.isnan(functions.maximum([[1.0, INF, -NAN]]))
    assert functions.place_of_maximum([1.0, INF, -NAN]) == 2


@pytest.mark.parametrize("name", ["softmax", "layernorm", "rmsnorm", "quantize"])
def test_vectors_are_as_exact_as_their_parts_and_cost_what_is_said(name: str) -> None:
    rng = np.random.default_rng(3)
    x, gain, bias = (to_bf16(rng.normal(size=(4, 1000)) * 2) for _ in range(3))
    exact, alu = x.astype(float), Alu()
    if name == "softmax":
        found = functions.softmax(x, 16, alu)
        powers = np.exp(exact - exact.max(-1, keepdims=True))
        true, error = powers / powers.sum(-1, keepdims=True), 2e-3 * powers.max()
        assert np.abs(found.sum(-1) - 1).max() < 2e-5
    elif name == "layernorm":
        found = functions.layernorm(x, gain, bias, 16, 1e-5, alu)
        apart = exact - exact.mean(-1, keepdims=True)
        true = apart / np.sqrt((apart**2).mean(-1, keepdims=True) + 1e-5) * gain + bias
        error = 2e-4
    elif name == "rmsnorm":
        found = functions.rmsnorm(x, gain, 16, 1e-5, alu)
        true, error = exact / np.sqrt((exact**2).mean(-1, keepdims=True) + 1e-5) * gain, 2e-4
    else:
        found, step = functions.quantize(x, alu)
        assert np.array_equal(found, np.rint(found))
        assert np.abs(found).max(-1).tolist() == [127] * 4
        true, error, found = exact, 0.51 * step.max(), found * step[:, None]
    assert np.abs(found - true).max() <= error
    phases = COSTS[name].phases
    counted = sum(phases[1:], phases[0])
    assert Count(alu.multiplications, alu.additions) == counted


def test_what_cannot_be_quantized() -> None:
    for x, expected, step in (
        ([0.0, -0.0], [0, 0], 0.0),
        ([NAN, 1.0], [0, 0], NAN),
        ([INF, 1.0, -2.0], [0, 0, 0], INF),
        ([2.0**-133, -(2.0**-133), 0.0], [127, -127, 0], 516 * 2.0**-149),
    ):
        found, own = functions.quantize(to_bf16(x))
        assert found.tolist() == expected
        assert np.array_equal(own, np.float32(step), equal_nan=True)


def test_heads_are_turned_by_rounded_angles() -> None:
    rng = np.random.default_rng(4)
    heads = to_bf16(rng.normal(size=(3, 11)))
    angles = rng.uniform(size=5)
    c, s = to_bf16(np.cos(angles)), to_bf16(np.sin(angles))
    found = functions.rotary(heads, np.cos(angles), np.sin(angles))
    assert np.array_equal(found[:, :5], heads[:, :5] * c - heads[:, 5:10] * s)
    assert np.array_equal(found[:, 5:10], heads[:, 5:10] * c + heads[:, :5] * s)
    assert np.array_equal(found[:, 10], heads[:, 10])


def test_weighted_vectors_are_added_in_their_order() -> None:
    rng = np.random.default_rng(5)
    weights, vectors = to_bf16(rng.uniform(size=(2, 5))), to_bf16(rng.normal(size=(2, 5, 8)))
    expected = np.zeros((2, 8), np.float32)
    for one in range(5):
        expected = expected + weights[:, one, None] * vectors[:, one]
    assert np.array_equal(functions.accumulate(weights, vectors), expected)


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
    whole = Unit(5, 16, passes=3, vector_latency=98, lead=2)
    phased = Asic(1.0, {"softmax": whole}, "")
    assert clocks(AsicWork("x", "softmax", 4 * 33, 4), phased) == 5 + 2 * 3 + 4 * (3 * 3 + 98)
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
    assert not asic.holds_values(decoder, PIM_GPT, 1, 16 * 1024 * 2)
    assert asic.holds_values(models.load("gpt2-small"), PIM_GPT, 2, 12 * 1024 * 2)


def test_a_device_without_an_asic() -> None:
    with pytest.raises(PimError, match="E804 no ASIC: 'pim-gpt'"):
        asic.free_bytes(models.load("gpt2-small"), replace(PIM_GPT, asic=None))
