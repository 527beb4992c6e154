"""The ASIC's functions by additions and multiplications alone, each of them counted.

Owns ``Alu``, ``exp``, ``reciprocal``, ``rsqrt``, ``gelu``, ``silu`` and ``largest_groups``.
Imports the arithmetic; ``asic`` prices the counts.

A change of a number's exponent, its rounding to a whole number and a subtraction of bits count as
an addition. Sign changes, shifts and constants cost nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gateformer.hw.pim.arithmetic import to_bf16

Floats = NDArray[np.float32]

LOG2_E = np.float32(1.4426950408889634)
LN_2 = np.float32(0.6931471805599453)
LARGEST = np.float32(87.0)
"""Arguments of exp are held within this, since FP32 reaches from about e^-87 to e^88."""
MAGIC = np.uint32(0x5F3759DF)
"""First guess of the fast inverse square root."""
BF16_BITS = 15
"""Bits of a BF16 number that is not negative; such numbers order as their bits do."""


class Alu:
    """Additions and multiplications of FP32 numbers, counted by element.

    Attributes
    ----------
    additions, multiplications : int
        Done so far on each element.
    """

    def __init__(self) -> None:
        self.additions = 0
        self.multiplications = 0

    def add(self, a: ArrayLike, b: ArrayLike) -> Floats:
        """Return a + b."""
        self.additions += 1
        return np.add(a, b, dtype=np.float32)

    def multiply(self, a: ArrayLike, b: ArrayLike) -> Floats:
        """Return a b."""
        self.multiplications += 1
        return np.multiply(a, b, dtype=np.float32)

    def whole(self, a: ArrayLike) -> Floats:
        """Return the nearest whole number: 1.5 x 2^23 added, its bits taken off again."""
        self.additions += 1
        return np.rint(np.asarray(a, np.float32))

    def shifted(self, a: ArrayLike, power: ArrayLike) -> Floats:
        """Return a 2^power: an addition to the exponent."""
        self.additions += 1
        return np.ldexp(np.asarray(a, np.float32), np.asarray(power).astype(np.int32))


def exp(alu: Alu, x: ArrayLike) -> Floats:
    """Return e^x: four terms of the Taylor series behind a base-2 range reduction."""
    x = np.clip(np.asarray(x, np.float32), -LARGEST, LARGEST)
    n = alu.whole(alu.multiply(x, LOG2_E))
    r = alu.add(x, -alu.multiply(n, LN_2))
    series = alu.add(alu.multiply(r, np.float32(1 / 6)), np.float32(0.5))
    series = alu.add(alu.multiply(series, r), np.float32(1))
    series = alu.add(alu.multiply(series, r), np.float32(1))
    return alu.shifted(series, n)


def reciprocal(alu: Alu, x: ArrayLike) -> Floats:
    """Return 1 / x for x > 0: a line as first guess, two Newton-Raphson steps."""
    fraction, power = np.frexp(np.asarray(x, np.float32))  # in [0.5, 1): a matter of wiring
    y = alu.add(np.float32(48 / 17), -alu.multiply(np.float32(32 / 17), fraction))
    for _ in range(2):
        y = alu.multiply(y, alu.add(np.float32(2), -alu.multiply(fraction, y)))
    return alu.shifted(y, -power)


def rsqrt(alu: Alu, x: ArrayLike) -> Floats:
    """Return 1 / sqrt(x) for x > 0: the fast inverse square root, two Newton-Raphson steps."""
    x = np.asarray(x, np.float32)
    half = alu.multiply(x, np.float32(0.5))
    alu.additions += 1  # the subtraction of bits
    y = (MAGIC - (x.view(np.uint32) >> np.uint32(1))).view(np.float32)
    for _ in range(2):
        square = alu.multiply(half, alu.multiply(y, y))
        y = alu.multiply(y, alu.add(np.float32(1.5), -square))
    return y


def gelu(alu: Alu, x: ArrayLike) -> Floats:
    """Return GELU in its tanh form: x / (1 + exp(-2 sqrt(2 / pi) (x + 0.044715 x^3)))."""
    x = np.asarray(x, np.float32)
    scale = 2 * np.sqrt(2 / np.pi)
    cubic = alu.add(alu.multiply(alu.multiply(x, x), np.float32(0.044715 * scale)), scale)
    return _gated(alu, x, alu.multiply(x, cubic))


def silu(alu: Alu, x: ArrayLike) -> Floats:
    """Return x / (1 + exp(-x))."""
    x = np.asarray(x, np.float32)
    return _gated(alu, x, x)


def _gated(alu: Alu, x: Floats, u: Floats) -> Floats:
    return alu.multiply(x, reciprocal(alu, alu.add(np.float32(1), exp(alu, -u))))


def largest_groups(alu: Alu, x: Floats, lanes: int, keep: int) -> NDArray[np.int64]:
    """Return which groups of neighbouring numbers have the largest sums of magnitudes.

    Sums are rounded to BF16; a bisection of the threshold, bit by bit, finds the ``keep``-th
    largest. Of equal sums the first ones are kept.

    Parameters
    ----------
    alu : Alu
        Counts, by number of ``x``; a comparison is an addition, and so is counting what it found.
    x : array of float32, shape (n,)
        The numbers; a last group may be shorter.
    lanes, keep : int
        Numbers of a group; groups to return.

    Returns
    -------
    array of int64, shape (min(keep, groups),)
        Numbers of the groups, ascending.
    """
    padded = np.zeros(-(-len(x) // lanes) * lanes, np.float32)
    padded[: len(x)] = np.abs(x)
    alu.additions += 1
    sums = (to_bf16(padded.reshape(-1, lanes).sum(-1)).view(np.uint32) >> 16).astype(np.int64)
    threshold = 0
    for bit in reversed(range(BF16_BITS)):
        higher = threshold | 1 << bit
        if np.count_nonzero(sums >= higher) >= keep:
            threshold = higher
    alu.additions += -(-2 * BF16_BITS // lanes)
    above = np.flatnonzero(sums > threshold)
    level = np.flatnonzero(sums == threshold)[: max(0, keep - len(above))]
    return np.sort(np.concatenate([above, level]))
