"""QKeras 0.9's non-uniform quantizers as named elementwise functions.

Each repeats qkeras/quantizers.py at inference, in float32 where it computes in float32.
The straight-through estimator ``x + (q - x)`` is left out: it can leave one unit in the last
place of float32 beside the quantizer's own value ``q``, which is what hardware gives.
"""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateformer.quant.expand.functions import function
from gateformer.quant.types import FloatArray

Single = NDArray[np.float32]

EPSILON = np.float32(1e-7)
"""keras.backend.epsilon()."""

LOG2 = np.float32(np.log(2.0))


def single(x: FloatArray) -> Single:
    """Values as Keras holds them."""
    return np.asarray(x).astype(np.float32)


def double(x: NDArray[np.floating[Any]]) -> FloatArray:
    """Values in float64."""
    return np.asarray(x, np.float64)


def hard(x: Single) -> Single:
    """QKeras's default sigmoid: ``x / 2 + 1 / 2`` clipped to 0..1."""
    y: Single = np.clip(np.float32(0.5) * x + np.float32(0.5), np.float32(0), np.float32(1))
    return y


def round_log2(x: Single, floor: bool = False) -> Single:
    """Exponent of the nearest power of two by logarithm, or of the next below."""
    exponent = np.log(x) / LOG2
    return np.floor(exponent) if floor else np.rint(exponent)


@function("smooth_tanh")
def smooth_tanh(x: FloatArray) -> FloatArray:
    """``2 smooth_sigmoid(x) - 1``."""
    return double(2.0 * np.clip(0.1875 * x + 0.5, 0.0, 1.0) - 1.0)


@function("binary_sigmoid")
def binary_sigmoid(x: FloatArray) -> FloatArray:
    """0 or 1: the hard sigmoid, rounded half to even."""
    return double(np.rint(hard(single(x))))


@function("binary_tanh")
def binary_tanh(x: FloatArray) -> FloatArray:
    """-1 or 1."""
    return double(2.0 * binary_sigmoid(x) - 1.0)


@function("hard_silu")
def hard_silu(x: FloatArray) -> FloatArray:
    """``x`` times Keras 3's hard sigmoid."""
    return double(x * np.clip(x / 6.0 + 0.5, 0.0, 1.0))


@function("mish")
def mish(x: FloatArray) -> FloatArray:
    """``x tanh(softplus(x))``."""
    return double(x * np.tanh(np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))))


@function("quantized_relu")
def quantized_relu(
    x: FloatArray, bits: float, integer: float, use_sigmoid: float = 0, bound: float = inf
) -> FloatArray:
    """Rectifier to ``bits`` unsigned bits, over a hard sigmoid or up to a bound."""
    m, m_i = np.float32(2.0**bits), np.float32(2.0**integer)
    top = np.float32(1) - np.float32(1) / m
    x32 = single(x)
    if use_sigmoid:
        unit = np.float32(2) * (np.rint(hard(x32 / m_i) * m) / m) - np.float32(1)
    else:
        unit = np.rint(x32 * m / m_i) / m
    return double(np.minimum(m_i * np.clip(unit, np.float32(0), top), np.float32(bound)))


@function("quantized_leaky_relu")
def quantized_leaky_relu(x: FloatArray, bits: float, integer: float, power: float) -> FloatArray:
    """Rectifier to ``bits`` and a sign; below zero a slope of ``2^power``."""
    m, step, slope = 2.0**bits, 2.0 ** (integer - bits), 2.0**power
    up = np.clip(np.rint(x / step), 0.0, m - 1.0)
    return double(step * (up + np.clip(np.rint(x / step * slope), -m * slope, 0.0)))


@function("quantized_sigmoid")
def quantized_sigmoid(
    x: FloatArray, bits: float, symmetric: float = 0, real: float = 0
) -> FloatArray:
    """Sigmoid (``real``) or hard sigmoid to ``bits`` fraction bits."""
    m = 2.0**bits
    p = 1.0 / (1.0 + np.exp(-np.clip(x, -60.0, 60.0))) if real else hard(single(x))
    return double(np.clip(np.rint(p * m) / m, symmetric / m, 1.0 - 1.0 / m))


@function("quantized_tanh")
def quantized_tanh(x: FloatArray, bits: float, symmetric: float = 0) -> FloatArray:
    """Hyperbolic tangent to ``bits`` bits."""
    m = 2.0 ** (bits - 1)
    return double(np.clip(np.rint(np.tanh(x) * m) / m, -1.0 + symmetric / m, 1.0 - 1.0 / m))


@function("quantized_ulaw")
def quantized_ulaw(
    x: FloatArray, bits: float, integer: float = 0, symmetric: float = 0, u: float = 255.0
) -> FloatArray:
    """Mu-law companding of a quantized hard sigmoid; its values are no fixed-point numbers."""
    m, m_i = 2.0 ** (bits - 1), 2.0**integer
    rp = 2.0 * (np.rint(hard(single(x) / np.float32(m_i)) * m) / m) - 1.0
    law = np.sign(rp) * np.log(1 + u * np.abs(rp)) / np.log(1 + u)
    return double(m_i * np.clip(law, -1.0 + symmetric / m, 1.0 - 1.0 / m))


@function("quantized_hswish")
def quantized_hswish(
    x: FloatArray,
    bits: float,
    integer: float = 0,
    symmetric: float = 0,
    shift: float = 3,
    bound: float = 6,
) -> FloatArray:
    """``x relu(x + shift, bound) / bound``, then ``quantized_bits``."""
    x32 = single(x)
    gate = np.clip(x32 + np.float32(shift), np.float32(0), np.float32(bound))
    y = x32 * gate / np.float32(bound)
    m, m_i = np.float32(2.0 ** (bits - 1)), np.float32(2.0**integer)
    raw = np.clip(np.rint(y * m / m_i), -m + np.float32(symmetric), m - 1)
    return double(m_i * raw / m)


@function("quantized_po2")
def quantized_po2(
    x: FloatArray, low: float, high: float, bound: float = inf, even: float = 0, floor: float = 0
) -> FloatArray:
    """Sign times a power of two between ``2^low`` and ``2^high``; 0 is positive."""
    size = _power(np.abs(single(x)), low, high, bound, even, floor)
    return np.where(single(x) < 0, -size, size)


@function("quantized_relu_po2")
def quantized_relu_po2(
    x: FloatArray,
    low: float,
    high: float,
    bound: float = inf,
    even: float = 0,
    floor: float = 0,
    slope: float = 0,
) -> FloatArray:
    """Power of two of the positive part; below zero ``2^low``, or that of ``slope x``."""
    x32 = single(x)
    up = _power(np.maximum(x32, np.float32(0)), low, high, bound, even, floor)
    if slope == 0:
        return up
    down = _power(
        np.maximum(-x32, np.float32(0)) * np.float32(slope), low, high, bound, even, floor
    )
    return np.where(x32 >= 0, up, -down)


@function("ternary")
def ternary(x: FloatArray, threshold: float = 0.33, scale: float = 1.0) -> FloatArray:
    """``scale sign(x)`` from ``threshold`` on, else 0."""
    x32 = single(x)
    keep = np.abs(x32) >= np.float32(threshold)
    return np.where(keep, np.sign(x32), np.float32(0)).astype(np.float64) * scale


def _power(
    size: Single, low: float, high: float, bound: float, even: float, floor: float
) -> FloatArray:
    held = np.where(size < EPSILON, EPSILON, size)
    held = np.where(held >= np.float32(bound), np.float32(bound), held)
    factor = 2.0 if even else 1.0
    exponent = factor * np.clip(round_log2(np.sqrt(held) if even else held, bool(floor)), low, high)
    return np.exp2(np.where(size < EPSILON, low, exponent).astype(np.float64))
