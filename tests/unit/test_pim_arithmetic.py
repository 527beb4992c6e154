"""Arithmetic of banks and ASIC: against scalars one by one, and through compiled programs."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from gateformer.hw.pim.arithmetic import (
    accumulate,
    canonical,
    product,
    read,
    to_bf16,
)


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def bf16(*shape: int) -> np.ndarray:
    return to_bf16(rng().normal(size=shape))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.0, 1.0),
        (1 + 2**-8, 1.0),  # a tie goes to the even one
        (1 + 3 * 2**-8, 1 + 2**-6),
        (1 + 2**-8 + 2**-20, 1 + 2**-7),
        (-1 - 2**-8, -1.0),
        (3.39e38, np.float32(3.3895314e38)),
        (3.4028235e38, np.inf),
        (np.inf, np.inf),
        (-np.inf, -np.inf),
        (0.0, 0.0),
        (1e-40, np.float32(9.1835e-41)),
    ],
)
def test_rounding(value: float, expected: float) -> None:
    assert to_bf16(value) == np.float32(expected)


def test_a_nan_stays_one() -> None:
    assert np.isnan(to_bf16([np.nan, np.uint32(0x7FFFFFFF).view(np.float32)])).all()


def test_one_nan_for_all() -> None:
    given = np.array([0x7F800001, 0xFFC00000, 0x7FFFFFFF, 0x80000000, 0xFF800000, 1], np.uint32)
    quiet = 0x7FC00000
    found = canonical(given.view(np.float32)).view(np.uint32)
    assert found.tolist() == [quiet, quiet, quiet, 0x80000000, 0xFF800000, 1]
    with np.errstate(invalid="ignore"):
        none = np.subtract(np.float32(np.inf), np.float32(np.inf))
    assert canonical(none).view(np.uint32) == quiet == to_bf16(none).view(np.uint32)


def test_every_bf16_number_stays_itself() -> None:
    """All 65,536: rounded, times one, and with bits behind them that round it up or down."""
    bits = np.arange(1 << 16, dtype=np.uint32) << np.uint32(16)
    numbers = bits.view(np.float32)
    nan = np.isnan(numbers)
    own = np.where(nan, np.uint32(0x7FC00000), bits)
    with np.errstate(invalid="ignore"):
        product = numbers * np.float32(1)
    for same in (numbers, product):
        assert np.array_equal(to_bf16(same).view(np.uint32), own)
    finite = ~nan & ~np.isinf(numbers)
    for below, up in ((0x7FFF, False), (0x8000, None), (0x8001, True)):
        rounded = to_bf16((bits[finite] | np.uint32(below)).view(np.float32)).view(np.uint32)
        odd = (bits[finite] >> np.uint32(16)) & np.uint32(1)
        step = odd if up is None else np.uint32(up)
        assert np.array_equal(rounded, bits[finite] + (step << np.uint32(16)))


def exactly(value: Fraction) -> np.float32:
    """Round to FP32 to nearest even, by whole numbers alone."""
    if value == 0:
        return np.float32(0)
    size = abs(value)
    power = size.numerator.bit_length() - size.denominator.bit_length()
    power -= size < Fraction(2) ** power
    unit = Fraction(2) ** (max(power, -126) - 23)
    whole = round(size / unit)  # ties to even
    return np.float32(float(whole * unit) * (-1 if value < 0 else 1))


def test_numpys_sums_and_products_are_the_nearest_numbers() -> None:
    """Else no bit here would mean anything: subnormals kept, ties to even, one rounding."""
    random = rng()
    edges = np.array([1, 2, 3, 0x7FFFFF, 0x800000, 0x800001, 0x3F800000, 0x3F800001, 0x33800000,
                      0x33000001, 0x1F800000, 0x20000001, 0x4B800000], np.uint32)  # fmt: skip
    wide = random.integers(0, 0x50000000, 300, dtype=np.uint32)
    signs = random.integers(0, 2, 300, dtype=np.uint32) << np.uint32(31)
    numbers = np.concatenate([edges, edges | np.uint32(1 << 31), wide | signs]).view(np.float32)
    pairs = [(a, b) for a in numbers[:26] for b in numbers[:26]]
    pairs += list(zip(numbers[26:176], numbers[176:], strict=True))
    for a, b in pairs:
        one, other = Fraction(float(a)), Fraction(float(b))
        assert a + b == exactly(one + other)
        assert a * b == exactly(one * other)


def test_rounding_again_changes_nothing() -> None:
    once = to_bf16(rng().normal(size=1000))
    assert np.array_equal(to_bf16(once), once)
    assert (once.view(np.uint32) & 0xFFFF == 0).all()


def by_hand(weights: np.ndarray, inputs: np.ndarray) -> np.float32:
    """One bank's accumulator, number by number."""
    sum_ = np.float32(0)
    for column in range(len(weights)):
        level = [np.float32(w * x) for w, x in zip(weights[column], inputs[column], strict=True)]
        while len(level) > 1:
            level = [np.float32(a + b) for a, b in zip(level[0::2], level[1::2], strict=True)]
        sum_ = np.float32(sum_ + level[0])
    return sum_


def test_accumulators_against_scalars() -> None:
    weights, inputs = bf16(5, 7, 16), bf16(7, 16)
    found = accumulate(np.zeros(5, np.float32), weights, inputs)
    assert found.dtype == np.float32
    assert found.tolist() == [by_hand(one, inputs) for one in weights]


def test_columns_in_two_goes_are_the_same() -> None:
    weights, inputs = bf16(3, 8, 16), bf16(8, 16)
    first = accumulate(np.zeros(3, np.float32), weights[:, :5], inputs[:5])
    assert np.array_equal(
        accumulate(first, weights[:, 5:], inputs[5:]),
        accumulate(np.zeros(3, np.float32), weights, inputs),
    )


def test_the_order_of_columns_is_part_of_the_operation() -> None:
    weights, inputs = bf16(200, 64, 16), bf16(64, 16)
    there = accumulate(np.zeros(200, np.float32), weights, inputs)
    back = accumulate(np.zeros(200, np.float32), weights[:, ::-1], inputs[::-1])
    assert not np.array_equal(there, back)


def test_tiles_are_added_in_the_asic() -> None:
    matrix, vector, bias = bf16(9, 70), bf16(70), bf16(9)
    tiles = []
    for first in (0, 32, 64):
        weights, inputs = np.zeros((9, 32), np.float32), np.zeros(32, np.float32)
        size = min(32, 70 - first)
        weights[:, :size], inputs[:size] = (
            matrix[:, first : first + 32],
            vector[first : first + 32],
        )
        sums = [by_hand(row.reshape(2, 16), inputs.reshape(2, 16)) for row in weights]
        tiles.append(read(np.array(sums, np.float32)))
    expected = to_bf16(((tiles[0] + tiles[1]) + tiles[2]) + bias)
    assert np.array_equal(product(matrix, vector, widest=32, lanes=16, bias=bias), expected)


def test_products_are_near_the_true_ones() -> None:
    matrix, vector = bf16(50, 2500), bf16(2500)
    found = product(matrix, vector, widest=1024, lanes=16)
    true = matrix.astype(np.float64) @ vector
    assert np.abs(found - true).max() <= 3 * 2**-9 * np.abs(true).max()
