"""The ASIC's functions by additions and multiplications alone, each of them counted.

Owns ``Alu``, the functions of one number (``exp``, ``reciprocal``, ``rsqrt``, ``gelu``, ``silu``,
``relu``) and of vectors (``total``, ``mean``, ``maximum``, ``softmax``, ``layernorm``, ``rmsnorm``,
``rotary``, ``accumulate``, ``quantize``, ``rescale``, ``largest_groups`` and others). Imports the
arithmetic; ``asic`` prices the counts. The Verilog in ``rtl`` gives the same bits. Vectors are BF16
numbers, kept as FP32, along the last axis; results are FP32, which the ASIC rounds to BF16 where it
stores them.

Every addition and multiplication is FP32, rounded to nearest even, with subnormal numbers,
infinities and NaN as IEEE 754 has them. A change of a number's exponent, its rounding to a whole
number and a subtraction of bits count as an addition. Sign changes, shifts by constants, bounds
and a choice between two numbers cost nothing: they are wires and some gates beside a unit.

=============  ==================  ===========  ============  =====================
x              exp                 reciprocal   rsqrt         gelu, silu
=============  ==================  ===========  ============  =====================
NaN            NaN                 NaN          NaN           NaN
+infinity      +infinity           +0           +0            +infinity
-infinity      +0                  -0           NaN           -0, the limit
+0, -0         1                   +-infinity   +-infinity    +0, -0
x < 0          as elsewhere        -reciprocal  NaN           as elsewhere
far out        +infinity from 89,  rounded      as elsewhere  gelu: -0 up to -10.1,
               +0 up to -104       once                       silu: -0 up to -88.8
=============  ==================  ===========  ============  =====================
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gateformer.hw.pim.arithmetic import to_bf16

Floats = NDArray[np.float32]

LOG2_E = np.float32(1.4426950408889634)
LN_2 = np.float32(0.6931471805599453)
LOWEST, HIGHEST = np.float32(-104), np.float32(89)
"""Arguments of exp are held within these: beyond them FP32 has but 0 and infinity."""
WHOLE = np.float32(1.5 * 2**23)
"""Added to a number below 2^22 it leaves no bit for a fraction."""
MAGIC = np.int32(0x5F3759DF)
"""First guess of the fast inverse square root."""
SMALLEST = np.float32(2.0**-126)
"""The smallest normal number."""
GELU_LINE = np.float32(2 * np.sqrt(2 / np.pi))
GELU_CUBE = np.float32(0.044715 * 2 * np.sqrt(2 / np.pi))
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
        with np.errstate(all="ignore"):
            return np.add(a, b, dtype=np.float32)

    def multiply(self, a: ArrayLike, b: ArrayLike) -> Floats:
        """Return a b."""
        self.multiplications += 1
        with np.errstate(all="ignore"):
            return np.multiply(a, b, dtype=np.float32)

    def whole(self, a: ArrayLike) -> Floats:
        """Return the nearest whole number, ties to even, of a number below 2^22.

        1.5 x 2^23 is added, and its bits are taken off again.
        """
        return np.subtract(self.add(a, WHOLE), WHOLE, dtype=np.float32)

    def shifted(self, a: ArrayLike, power: ArrayLike) -> Floats:
        """Return a 2^power, rounded once: an addition to the exponent.

        A result below 2^-126 is rounded to nearest even as a subnormal number, one from 2^128 on is
        infinite. The product is exact in FP64, so its rounding to FP32 is the only one.
        """
        self.additions += 1
        with np.errstate(all="ignore"):
            exact = np.ldexp(np.asarray(a, np.float64), np.nan_to_num(power).astype(np.int32))
            return exact.astype(np.float32)


def exp(alu: Alu, x: ArrayLike) -> Floats:
    """Return e^x: four terms of the Taylor series behind a base-2 range reduction.

    x is first held within ``LOWEST`` and ``HIGHEST``.
    """
    x = np.clip(np.asarray(x, np.float32), LOWEST, HIGHEST)
    n = alu.whole(alu.multiply(x, LOG2_E))
    r = alu.add(x, -alu.multiply(n, LN_2))
    series = alu.add(alu.multiply(r, np.float32(1 / 6)), np.float32(0.5))
    series = alu.add(alu.multiply(series, r), np.float32(1))
    series = alu.add(alu.multiply(series, r), np.float32(1))
    return alu.shifted(series, n)


def reciprocal(alu: Alu, x: ArrayLike) -> Floats:
    """Return 1 / x: a line through |x|'s fraction as first guess, two Newton-Raphson steps."""
    x = np.asarray(x, np.float32)
    with np.errstate(all="ignore"):  # some machines' frexp warns of a signalling NaN
        fraction, power = np.frexp(np.abs(x))  # in [0.5, 1): a matter of wiring
    y = alu.add(np.float32(48 / 17), -alu.multiply(np.float32(32 / 17), fraction))
    for _ in range(2):
        y = alu.multiply(y, alu.add(np.float32(2), -alu.multiply(fraction, y)))
    y = alu.shifted(y, -power)
    y = np.where(x == 0, np.float32(np.inf), np.where(np.isinf(x), np.float32(0), y))
    return np.copysign(y, x)


def rsqrt(alu: Alu, x: ArrayLike) -> Floats:
    """Return 1 / sqrt(x): the fast inverse square root, two Newton-Raphson steps.

    A subnormal x goes in times 2^24, and its result comes out times 2^12; both are exact.
    """
    x = np.asarray(x, np.float32)
    subnormal = np.abs(x) < SMALLEST
    with np.errstate(all="ignore"):
        normal = np.abs(x) * np.where(subnormal, np.float32(2.0**24), np.float32(1))
    half = alu.multiply(normal, np.float32(0.5))
    alu.additions += 1  # the subtraction of bits
    y = (MAGIC - (normal.view(np.int32) >> np.int32(1))).view(np.float32)
    for _ in range(2):
        square = alu.multiply(half, alu.multiply(y, y))
        y = alu.multiply(y, alu.add(np.float32(1.5), -square))
    y = y * np.where(subnormal, np.float32(2.0**12), np.float32(1))
    y = np.where(np.isposinf(x), np.float32(0), y)
    y = np.where((x < 0) | np.isnan(x), np.float32(np.nan), y)
    return np.where(x == 0, np.copysign(np.float32(np.inf), x), y)


def gelu(alu: Alu, x: ArrayLike) -> Floats:
    """Return GELU in its tanh form: x / (1 + exp(-2 sqrt(2 / pi) (x + 0.044715 x^3)))."""
    x = np.asarray(x, np.float32)
    cubic = alu.add(alu.multiply(alu.multiply(x, x), GELU_CUBE), GELU_LINE)
    return _gated(alu, x, alu.multiply(x, cubic))


def silu(alu: Alu, x: ArrayLike) -> Floats:
    """Return x / (1 + exp(-x))."""
    x = np.asarray(x, np.float32)
    return _gated(alu, x, x)


def _gated(alu: Alu, x: Floats, u: Floats) -> Floats:
    """Return x / (1 + exp(-u)); a gate that is shut gives zero even of an infinite x."""
    gate = reciprocal(alu, alu.add(np.float32(1), exp(alu, -u)))
    found = alu.multiply(x, gate)
    return np.where(gate == 0, np.copysign(np.float32(0), x), found)


def relu(x: ArrayLike) -> Floats:
    """Return x, or +0 where its sign bit is set; a NaN stays one."""
    x = np.asarray(x, np.float32)
    return np.where(np.signbit(x) & ~np.isnan(x), np.float32(0), x)


def total(x: ArrayLike, lanes: int, alu: Alu | None = None) -> Floats:
    """Return the sum over the last axis, in the order in which the ASIC adds.

    Columns of ``lanes`` numbers, a power of two, in their order and the last one filled with +0, go
    through a tree of neighbours (0 + 1, 2 + 3, ..., then those sums); each column's sum is added
    to an accumulator that starts at +0.
    """
    x = np.asarray(x, np.float32)
    if lanes & (lanes - 1) or lanes < 1:
        raise ValueError(f"{lanes} lanes are no power of two")
    if alu is not None:
        alu.additions += 1
    padded = np.zeros((*x.shape[:-1], -(-x.shape[-1] // lanes) * lanes), np.float32)
    padded[..., : x.shape[-1]] = x
    sums = padded.reshape(*x.shape[:-1], -1, lanes)
    found = np.zeros(x.shape[:-1], np.float32)
    with np.errstate(all="ignore"):
        while sums.shape[-1] > 1:
            sums = sums[..., 0::2] + sums[..., 1::2]
        for column in range(sums.shape[-2]):
            found = found + sums[..., column, 0]
    return np.asarray(found)


def mean(x: ArrayLike, lanes: int, alu: Alu | None = None) -> Floats:
    """Return the mean over the last axis: ``total`` times FP32(1 / width)."""
    width = np.asarray(x).shape[-1]
    found = total(x, lanes, alu)
    return (alu or Alu()).multiply(found, np.float32(1 / width))


def maximum(x: ArrayLike) -> Floats:
    """Return the largest number of the last axis; +0 is above -0, and any NaN gives NaN."""
    keys = _ordered(x).max(-1)
    bits = np.where(keys < 0, keys ^ np.int32(0x7FFFFFFF), keys).astype(np.int32)
    found = bits.view(np.float32)
    return np.where(np.isnan(found), np.float32(np.nan), found)


def place_of_maximum(x: ArrayLike) -> NDArray[np.int64]:
    """Return where ``maximum`` stands in the last axis; the first one of equal ones."""
    return np.asarray(_ordered(x).argmax(-1), np.int64)


def _ordered(x: ArrayLike) -> NDArray[np.int32]:
    """Return whole numbers that order as numbers do, NaN above all."""
    x = np.asarray(x, np.float32)
    bits = x.view(np.int32)
    keys = np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits)
    return np.where(np.isnan(x), np.int32(0x7FFFFFFF), keys)


def softmax(scores: ArrayLike, lanes: int, alu: Alu | None = None) -> Floats:
    """Return exp(x - maximum) times 1 / their ``total``, over the last axis."""
    alu = alu or Alu()
    scores = np.asarray(scores, np.float32)
    alu.additions += 1  # comparisons
    exps = exp(alu, alu.add(scores, -maximum(scores)[..., None]))
    scale = reciprocal(Alu(), total(exps, lanes, alu))
    return alu.multiply(exps, scale[..., None])


def layernorm(
    x: ArrayLike,
    gain: ArrayLike,
    bias: ArrayLike,
    lanes: int,
    epsilon: float,
    alu: Alu | None = None,
) -> Floats:
    """Return ((x - mean) rsqrt(variance + epsilon)) gain + bias, over the last axis."""
    alu = alu or Alu()
    x = np.asarray(x, np.float32)
    alu.additions += 1  # of the mean's sum
    apart = alu.add(x, -mean(x, lanes)[..., None])
    alu.additions += 1  # of the variance's
    variance = mean(alu.multiply(apart, apart), lanes)
    scale = rsqrt(Alu(), Alu().add(variance, np.float32(epsilon)))
    return alu.add(alu.multiply(alu.multiply(apart, scale[..., None]), gain), bias)


def rmsnorm(
    x: ArrayLike, gain: ArrayLike, lanes: int, epsilon: float, alu: Alu | None = None
) -> Floats:
    """Return (x rsqrt(mean of squares + epsilon)) gain, over the last axis."""
    alu = alu or Alu()
    x = np.asarray(x, np.float32)
    alu.additions += 1  # of the squares' sum
    squares = mean(alu.multiply(x, x), lanes)
    scale = rsqrt(Alu(), Alu().add(squares, np.float32(epsilon)))
    return alu.multiply(alu.multiply(x, scale[..., None]), gain)


def rotary(x: ArrayLike, cosine: ArrayLike, sine: ArrayLike) -> Floats:
    """Return heads turned: a head's first half with its second, angle by angle.

    Parameters
    ----------
    x : array of float32, shape (..., width)
        Heads, BF16 numbers; what is behind two whole halves stays.
    cosine, sine : array_like, shape (width // 2,)
        Of the position's angles; rounded to BF16 first, as the ASIC's memory holds them.

    Returns
    -------
    array of float32, shape (..., width)
        first cosine - second sine, then second cosine + first sine.
    """
    alu = Alu()
    turned = np.array(x, np.float32)
    half = turned.shape[-1] // 2
    first, second = turned[..., :half].copy(), turned[..., half : 2 * half].copy()
    c, s = to_bf16(cosine), to_bf16(sine)
    turned[..., :half] = alu.add(alu.multiply(first, c), -alu.multiply(second, s))
    turned[..., half : 2 * half] = alu.add(alu.multiply(second, c), alu.multiply(first, s))
    return turned


def accumulate(weights: ArrayLike, vectors: ArrayLike) -> Floats:
    """Return sums of weighted vectors, from +0 on and in their order.

    Parameters
    ----------
    weights : array of float32, shape (..., count)
        BF16 numbers.
    vectors : array of float32, shape (..., count, width)
        BF16 numbers.

    Returns
    -------
    array of float32, shape (..., width)
    """
    alu = Alu()
    own = alu.multiply(np.asarray(weights, np.float32)[..., None], vectors)
    found = np.zeros((*own.shape[:-2], own.shape[-1]), np.float32)
    for number in range(own.shape[-2]):
        found = alu.add(found, own[..., number, :])
    return found


def quantize(x: ArrayLike, alu: Alu | None = None) -> tuple[Floats, Floats]:
    """Return INT8 numbers and what 1 stands for in them, over the last axis.

    q = x (127 reciprocal(m)) rounded, ties to even, and held within -127 and 127, where m is the
    largest magnitude; the step is m FP32(1 / 127). Where x times that is a NaN, q is 0: zeros alone
    give zeros. With an infinity or a NaN, m is one; all q are then 0, and the step tells.

    Parameters
    ----------
    x : array of float32, shape (..., width)
        BF16 numbers.
    alu : Alu, optional
        Counts, by number of ``x``.

    Returns
    -------
    numbers : array of float32, shape (..., width)
        Whole, from -127 to 127.
    step : array of float32, shape (...)
    """
    alu = alu or Alu()
    x = np.asarray(x, np.float32)
    alu.additions += 1  # comparisons
    largest = maximum(np.abs(x))
    scale = Alu().multiply(reciprocal(Alu(), largest), np.float32(127))
    exact = np.clip(alu.multiply(x, scale[..., None]), np.float32(-127), np.float32(127))
    whole = alu.whole(np.where(np.isnan(exact), np.float32(0), exact))
    return whole, Alu().multiply(largest, np.float32(1 / 127))


def rescaled(sums: ArrayLike, scales: ArrayLike, step: ArrayLike) -> Floats:
    """Return a tile's sums, as RD_MAC gives them, times (a row's scale times the tile's step)."""
    alu = Alu()
    return alu.multiply(sums, alu.multiply(scales, step))


def added(tiles: Iterable[Floats], bias: Floats | None = None) -> Floats:
    """Return what the tiles of a matrix give, added in their order, and the bias behind them."""
    found = reduce(Alu().add, tiles)
    return found if bias is None else Alu().add(found, bias)


def rescale(
    sums: ArrayLike, scales: ArrayLike, steps: ArrayLike, bias: Floats | None = None
) -> Floats:
    """Return rows of whole numbers times a vector, from the sums of the vector's tiles.

    Parameters
    ----------
    sums : array of float32, shape (tiles, rows)
        What RD_MAC gives: BF16 numbers.
    scales : array of float32, shape (rows,)
        What 1 stands for in a row's whole numbers, BF16.
    steps : array of float32, shape (tiles,)
        What 1 stands for in a tile's whole numbers (``quantize``).
    bias : array of float32, shape (rows,), optional
        BF16 numbers.

    Returns
    -------
    array of float32, shape (rows,)
        ``rescaled`` tiles, ``added`` and not rounded before all are.
    """
    tiles = zip(np.asarray(sums, np.float32), np.asarray(steps, np.float32), strict=True)
    return added([rescaled(own, scales, step) for own, step in tiles], bias)


def largest_groups(alu: Alu, x: Floats, lanes: int, keep: int) -> NDArray[np.int64]:
    """Return which groups of neighbouring numbers have the largest sums of magnitudes.

    Sums are those of ``total``, rounded to BF16; a bisection of the threshold, bit by bit, finds
    the ``keep``-th largest. Of equal sums the first ones are kept, exactly ``keep`` groups in all;
    a group with a NaN is above one with an infinite sum. The Verilog goes on with the bits of the
    groups' places, which comes to the same.

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
    groups = total(padded.reshape(-1, lanes), lanes, alu)
    sums = (to_bf16(groups).view(np.uint32) >> 16).astype(np.int64)
    threshold = 0
    for bit in reversed(range(BF16_BITS)):
        higher = threshold | 1 << bit
        if np.count_nonzero(sums >= higher) >= keep:
            threshold = higher
    alu.additions += -(-2 * BF16_BITS // lanes)
    above = np.flatnonzero(sums > threshold)
    level = np.flatnonzero(sums == threshold)[: max(0, keep - len(above))]
    return np.sort(np.concatenate([above, level]))
