"""Weights under QKeras 0.9's computed scales (``alpha="auto"`` and ``"auto_po2"``), in float32."""

from __future__ import annotations

import numpy as np

from gateformer.quant.expand.qkeras_functions import EPSILON, LOG2, Single, single
from gateformer.quant.types import FloatArray

ROUNDS = 5
"""Iterations of quantized_bits' scale."""


def least_squares(x: Single, q: Single, po2: bool) -> Single:
    """Scale of each output channel that brings ``q`` closest to ``x``; of a vector's elements."""
    qx, qq = x * q, q * q
    if x.ndim > 1:
        axes = tuple(range(x.ndim - 1))
        qx, qq = (v.mean(axes, keepdims=True, dtype=np.float32) for v in (qx, qq))
    scale: Single = qx / (qq + EPSILON)
    return nearest_po2(scale) if po2 else scale


def nearest_po2(scale: Single) -> Single:
    """Nearest power of two by logarithm; a scale of zero becomes ``2^-23``, a negative one NaN."""
    with np.errstate(invalid="ignore", divide="ignore"):
        exponent = np.rint(np.log(scale + EPSILON) / LOG2)
    power: Single = np.exp2(exponent)
    return power


def bits_auto(w: FloatArray, bits: int, integer: int, po2: bool) -> tuple[FloatArray, FloatArray]:
    """``quantized_bits``: values and scales."""
    m, m_i = np.float32(2.0 ** (bits - 1)), np.float32(2.0**integer)
    x = single(w) / m_i
    half = np.float32(2.0 ** (bits - 1) - 1)
    axes = tuple(range(x.ndim - 1)) if x.ndim > 1 else (0,)
    scale: Single = np.abs(x).max(axes, keepdims=True) * np.float32(2) / (half * np.float32(2))
    if po2:
        scale = nearest_po2(scale)
    z = _steps(x, scale, half)
    for _ in range(ROUNDS if po2 else 0):
        z = _steps(x, scale, half)
        scale = least_squares(x, z, po2=True)
    scale = scale * m
    return (scale * (m_i * z / m)).astype(np.float64), scale.astype(np.float64)


def binary_auto(w: FloatArray, zero_one: bool, po2: bool) -> tuple[FloatArray, FloatArray]:
    """``binary``: values and scales."""
    x = single(w)
    sign = np.where(x >= 0, np.float32(1), np.float32(0 if zero_one else -1))
    scale = least_squares(x, sign, po2)
    return (scale * sign).astype(np.float64), scale.astype(np.float64)


def ternary_auto(w: FloatArray, unrolls: int, po2: bool) -> tuple[FloatArray, FloatArray]:
    """``ternary``: values and scales; threshold and scale are found in turn (arXiv 1605.04711)."""
    x = single(w)
    axes = tuple(range(x.ndim - 1)) if x.ndim > 1 else None
    scale: Single = np.float32(2) * np.abs(x).max(axes, keepdims=True) / np.float32(3)
    if po2:
        scale = nearest_po2(scale)
    q = np.zeros_like(x)
    for _ in range(unrolls):
        with np.errstate(invalid="ignore", divide="ignore"):
            v = scale * np.rint(x / scale)
        q = np.where(np.abs(v) >= scale / np.float32(2), np.sign(x), np.float32(0))
        scale = least_squares(x, q, po2)
    return (scale * q).astype(np.float64), scale.astype(np.float64)


def _steps(x: Single, scale: Single, half: np.float32) -> Single:
    with np.errstate(invalid="ignore", divide="ignore"):
        v = np.floor(np.abs(x) / scale + np.float32(0.5))
    return np.sign(x) * np.where(v < half, v, half)
