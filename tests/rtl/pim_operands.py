"""Operands that make FP32 arithmetic go wrong, and random ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.uint32]

SPECIAL = (
    0x00000000,  # zero
    0x00000001, 0x00000002, 0x00000003,  # smallest subnormals
    0x00400000, 0x003FFFFF, 0x007FFFFE, 0x007FFFFF,  # the middle and the largest ones
    0x00800000, 0x00800001, 0x00FFFFFF, 0x01000000, 0x017FFFFF,  # smallest normal numbers
    0x7F7FFFFF, 0x7F7FFFFE, 0x7F000000, 0x7EFFFFFF, 0x7E800000,  # largest ones
    0x7F800000,  # infinity
    0x7F800001, 0x7FBFFFFF, 0x7FC00000, 0x7FC12345, 0x7FFFFFFF,  # NaNs, signalling and quiet
    0x3F800000, 0x3F800001, 0x3F800003, 0x3F7FFFFF, 0x3F7FFFFE, 0x3FFFFFFF,  # near 1
    0x34000000, 0x33FFFFFF, 0x34000001, 0x33800000, 0x33800001, 0x337FFFFF,  # 2^-23, 2^-24
    0x33000000, 0x33000001, 0x32FFFFFF, 0x32800000, 0x32800001, 0x327FFFFF,  # 2^-25, 2^-26
    0x32000000, 0x31800000,
    0x4B000000, 0x4B000001, 0x4B7FFFFF, 0x4B800000, 0x4B800001, 0x4C000000, 0x4C800001,  # 2^23 on
    0x3F000000, 0x3EFFFFFF, 0x40000000, 0x40400000, 0x3FC00000,  # halves and thirds of a step
    0x1FFFFFFF, 0x20000000, 0x1F800000, 0x1FB504F3, 0x0C800000,  # squares near 2^-126, 2^-149
    0x5F7FFFFF, 0x5F800000, 0x5F3504F3, 0x3F3504F3,  # squares near 2^128
)  # fmt: skip
"""Magnitudes; `special_pairs` takes both signs."""


def special_pairs() -> tuple[Bits, Bits]:
    """All pairs of special numbers, both signs."""
    magnitudes = np.array(SPECIAL, np.uint32)
    both = np.concatenate([magnitudes, magnitudes | np.uint32(0x80000000)])
    a, b = np.meshgrid(both, both)
    return a.ravel(), b.ravel()


def random_pairs(count: int, seed: int) -> tuple[Bits, Bits]:
    """Seeded pairs, ``count`` of each family: any bits, and those near an edge."""
    rng = np.random.default_rng(seed)

    def bits() -> Bits:
        return rng.integers(0, 1 << 32, count, dtype=np.uint32)

    def sparse() -> Bits:
        """Fractions of few ones, or few zeros: ties and single sticky bits."""
        ones = sum(np.uint32(1) << rng.integers(0, 23, count, dtype=np.uint32) for _ in range(3))
        flipped = rng.integers(0, 2, count, dtype=np.uint32) * np.uint32(0x7FFFFF)
        return (np.asarray(ones, np.uint32) ^ flipped) & np.uint32(0x7FFFFF)

    def number(exponents: NDArray[np.int64], fractions: Bits) -> Bits:
        fields = exponents.clip(0, 254).astype(np.uint32) << np.uint32(23)
        return bits() & np.uint32(0x80000000) | fields | fractions

    def fraction() -> Bits:
        return np.where(rng.integers(0, 2, count) > 0, sparse(), bits() & np.uint32(0x7FFFFF))

    exponents = rng.integers(0, 255, count)
    width = rng.integers(1, 25, count)  # two significands of 25 bits together, or 26: ties
    odd = [
        (rng.integers(0, 1 << 24, count) >> 24 - bits_ | 1).astype(np.float32)
        for bits_ in (width, 25 + rng.integers(0, 2, count) - width)
    ]
    near = rng.integers(1, 255, count)
    close = number(near, fraction())
    step = rng.integers(-3, 4, count)
    families = [
        (bits(), bits()),
        # places of the alignment's shift, the boundaries 24, 25 and 26 among them
        (
            number(exponents, fraction()),
            number(exponents - rng.integers(-3, 31, count), fraction()),
        ),
        # differences that cancel but for a few steps
        (close, (close.astype(np.int64) + step).astype(np.uint32) ^ np.uint32(0x80000000)),
        # products around the smallest numbers and the largest
        (
            number(exponents, fraction()),
            number(126 - exponents + rng.integers(-26, 5, count), fraction()),
        ),
        (
            number(exponents, fraction()),
            number(381 - exponents + rng.integers(-2, 3, count), fraction()),
        ),
        # products that are exactly a half of a step from both neighbours
        (odd[0].view(np.uint32), odd[1].view(np.uint32)),
    ]
    first, second = zip(*families, strict=True)
    return np.concatenate(first), np.concatenate(second)
