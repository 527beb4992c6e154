"""Elementwise functions of ONNX that neither Keras nor QKeras has.

Registers them in ``expand.functions``. Definitions follow the ONNX operators' specification.
"""

from __future__ import annotations

from math import erf as scalar_erf

import numpy as np

from gateformer.quant.expand.functions import function, sigmoid
from gateformer.quant.types import FloatArray


@function("clip")
def clip(x: FloatArray, low: float = 0.0, high: float = 1.0) -> FloatArray:
    """``x`` held between two bounds."""
    return np.clip(x, low, high)


@function("erf")
def erf(x: FloatArray) -> FloatArray:
    """The error function."""
    return np.vectorize(scalar_erf, otypes=[np.float64])(x)


@function("absolute")
def absolute(x: FloatArray) -> FloatArray:
    """``|x|``."""
    return np.abs(x)


@function("quick_gelu")
def quick_gelu(x: FloatArray, alpha: float = 1.702) -> FloatArray:
    """``x sigmoid(alpha x)`` (Hendrycks and Gimpel, arXiv 1606.08415, section 2)."""
    return x * sigmoid(alpha * x)


@function("thresholded_relu")
def thresholded_relu(x: FloatArray, alpha: float = 1.0) -> FloatArray:
    """``x`` above alpha, 0 elsewhere."""
    return np.where(x > alpha, x, 0.0)


@function("celu")
def celu(x: FloatArray, alpha: float = 1.0) -> FloatArray:
    """``x`` where positive, ``alpha (exp(x / alpha) - 1)`` elsewhere."""
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0) / alpha))
