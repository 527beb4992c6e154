"""Functions as a framework computes them in float32, for tables that must equal its own.

Owns the names that end in ``_float32``. Imports the functions by name. Sums, products, quotients
and roots are rounded by IEEE 754 alike everywhere; of a library's transcendental functions the last
bit may differ, which moves a table's entry only where it lies within 2^-22 of a tie.
"""

from __future__ import annotations

import numpy as np

from gateformer.quant.expand.functions import FUNCTIONS, Function, function
from gateformer.quant.types import FloatArray

SINGLE = (
    "elu",
    "gelu",
    "gelu_tanh",
    "hard_sigmoid",
    "leaky_relu",
    "relu",
    "selu",
    "sigmoid",
    "silu",
    "softplus",
    "softsign",
    "tanh",
)
"""Functions of one float32 that are computed exactly and rounded to float32 once."""


@function("exp_float32")
def exponential(x: FloatArray, factor: float = 1.0) -> FloatArray:
    """``exp(x factor)``, the product rounded to float32 before (HGQ2 0.2, ``QSoftmax``)."""
    product = x.astype(np.float32) * np.float32(factor)
    with np.errstate(over="ignore"):
        return np.exp(product.astype(np.float64)).astype(np.float32).astype(np.float64)


@function("reciprocal_float32")
def reciprocal(x: FloatArray, epsilon: float = 1e-7) -> FloatArray:
    """``1 / (x + epsilon)``, each step in float32 (HGQ2 0.2, ``QSoftmax``; Keras' epsilon)."""
    with np.errstate(divide="ignore"):
        inverse = np.float32(1.0) / (x.astype(np.float32) + np.float32(epsilon))
    return inverse.astype(np.float64)


def _single(name: str) -> Function:
    def rounded(x: FloatArray, **parameters: float) -> FloatArray:
        exact = FUNCTIONS[name](x.astype(np.float32).astype(np.float64), **parameters)
        return exact.astype(np.float32).astype(np.float64)

    return rounded


for _name in SINGLE:
    function(f"{_name}_float32")(_single(_name))
