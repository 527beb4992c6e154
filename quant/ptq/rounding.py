"""Changes that look ahead: what one weight loses, the weights after it make up for.

Owns ``compensated`` and ``spread``. Imports ranges.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from gateformer.quant.ptq.ranges import Steps
from gateformer.quant.types import FloatArray

DAMPING = 0.01
"""Share of the mean diagonal that is added to it (Frantar et al., arXiv 2210.17323, section 3)."""


def spread(
    real: FloatArray, moments: FloatArray, settled: Callable[[int, FloatArray], FloatArray]
) -> FloatArray:
    """Change a matrix input by input, each error spread over the inputs that are left.

    GPTQ (Frantar et al., arXiv 2210.17323, equation 2 and algorithm 1): with H the second moments
    of the inputs, row j of the upper Cholesky factor of H's inverse says how the weights of inputs
    after j best make up for what became of those of j.

    Parameters
    ----------
    real : ndarray of float64, (inputs, outputs)
        Weights.
    moments : ndarray of float64, (inputs, inputs)
        Mean products of the inputs' features.
    settled : callable
        From an input and its present weights (outputs,) to those that they become.

    Returns
    -------
    ndarray of float64, (inputs, outputs)
    """
    left = real.copy()
    diagonal = np.diag(moments)
    damped = moments + np.eye(len(left)) * max(DAMPING * float(diagonal.mean()), 1e-12)
    factor = np.linalg.cholesky(np.linalg.inv(damped)).T
    for row in range(len(left)):
        held = settled(row, left[row])
        error = (left[row] - held) / factor[row, row]
        left[row] = held
        left[row + 1 :] -= factor[row, row + 1 :, None] * error
    return left


def compensated(real: FloatArray, steps: Steps, bits: int, moments: FloatArray) -> Steps:
    """Round a matrix, each input's errors ``spread``; zeros stay zeros, so pruned stays pruned.

    Parameters
    ----------
    real : ndarray of float64, (inputs..., outputs...)
        Weights.
    steps : Steps
        Their steps.
    bits : int
        Width of a step.
    moments : ndarray of float64, (inputs, inputs)
        Mean products of the inputs' features.
    """
    flat = real.reshape(len(moments), -1)
    scale = np.broadcast_to(steps.scale, real.shape).reshape(flat.shape)
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1

    def rounded(row: int, weights: FloatArray) -> FloatArray:
        raw = np.clip(np.rint(weights / scale[row]), low, high)
        return np.where(flat[row] == 0, 0.0, raw * scale[row])

    held = spread(flat, moments, rounded)
    return replace(steps, raw=np.rint(held / scale).reshape(real.shape))
