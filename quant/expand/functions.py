"""Elementwise functions by name: the one vocabulary of activations and odd quantizers.

Owns ``FUNCTIONS``. Frontends register further named functions with ``function``.
Definitions follow Keras 3 (keras.activations) and QKeras 0.9 (qkeras.quantizers).
"""

from __future__ import annotations

from collections.abc import Callable
from math import erf, inf, log, pi, sqrt

import numpy as np

from gateformer.quant.types import FloatArray

Function = Callable[..., FloatArray]

FUNCTIONS: dict[str, Function] = {}
"""Name -> ``f(x, **parameters)`` in float64."""

FLAT_BEYOND: dict[str, float] = {
    "sigmoid": 16.0,
    "tanh": 8.0,
    "hard_sigmoid": 4.0,
    "hard_tanh": 1.0,
}
"""Magnitude of x beyond which the function no longer moves by 2^-17; the index may saturate."""


def function(name: str) -> Callable[[Function], Function]:
    """Register an elementwise function under a name."""

    def register(body: Function) -> Function:
        FUNCTIONS[name] = body
        return body

    return register


@function("identity")
def identity(x: FloatArray) -> FloatArray:
    """``x``."""
    return x


@function("relu")
def relu(
    x: FloatArray, negative_slope: float = 0.0, max_value: float = inf, threshold: float = 0.0
) -> FloatArray:
    """``min(x, max_value)`` from ``threshold`` on, ``negative_slope (x - threshold)`` below."""
    return np.where(x >= threshold, np.minimum(x, max_value), negative_slope * (x - threshold))


@function("leaky_relu")
def leaky_relu(x: FloatArray, alpha: float = 0.2) -> FloatArray:
    """``x`` where positive, ``alpha x`` elsewhere."""
    return np.where(x > 0, x, alpha * x)


@function("gelu")
def gelu(x: FloatArray) -> FloatArray:
    """``x Phi(x)``, Phi the normal distribution (Hendrycks and Gimpel, arXiv 1606.08415)."""
    return x * 0.5 * (1.0 + np.vectorize(erf, otypes=[np.float64])(x / sqrt(2.0)))


@function("gelu_tanh")
def gelu_tanh(x: FloatArray) -> FloatArray:
    """GELU by its tanh approximation."""
    return 0.5 * x * (1.0 + np.tanh(sqrt(2.0 / pi) * (x + 0.044715 * x**3)))


@function("sigmoid")
def sigmoid(x: FloatArray) -> FloatArray:
    """``1 / (1 + exp(-x))``, without overflow."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0 / (1.0 + small), small / (1.0 + small))


@function("silu")
def silu(x: FloatArray) -> FloatArray:
    """``x sigmoid(x)``."""
    return x * sigmoid(x)


@function("tanh")
def tanh(x: FloatArray) -> FloatArray:
    """Hyperbolic tangent."""
    return np.tanh(x)


@function("hard_sigmoid")
def hard_sigmoid(x: FloatArray, slope: float = 1.0 / 6.0, offset: float = 0.5) -> FloatArray:
    """``slope x + offset`` clipped to 0..1; Keras 2 has a slope of 0.2, QKeras of 0.5."""
    return np.clip(slope * x + offset, 0.0, 1.0)


@function("hard_tanh")
def hard_tanh(x: FloatArray) -> FloatArray:
    """``x`` clipped to -1..1."""
    return np.clip(x, -1.0, 1.0)


@function("softplus")
def softplus(x: FloatArray) -> FloatArray:
    """``log(1 + exp(x))``, without overflow."""
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


@function("softsign")
def softsign(x: FloatArray) -> FloatArray:
    """``x / (1 + |x|)``."""
    return x / (1.0 + np.abs(x))


@function("elu")
def elu(x: FloatArray, alpha: float = 1.0) -> FloatArray:
    """``x`` where positive, ``alpha (exp(x) - 1)`` elsewhere."""
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0)))


@function("selu")
def selu(x: FloatArray) -> FloatArray:
    """Scaled ELU (Klambauer et al., arXiv 1706.02515)."""
    return 1.0507009873554805 * elu(x, 1.6732632423543772)


@function("exp")
def exp(x: FloatArray) -> FloatArray:
    """``e^x``, held below 2^60."""
    return np.exp(np.minimum(x, 60.0 * log(2.0)))


@function("step")
def step(x: FloatArray, low: float = -1.0, high: float = 1.0) -> FloatArray:
    """``high`` from 0 on, ``low`` below: a one-bit quantizer."""
    return np.where(x >= 0, high, low)
