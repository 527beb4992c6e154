"""LayerNorm and RMSNorm over each token's features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateformer.quant.expand.context import Lowering
from gateformer.quant.ops.base import Composite, Probe, Shape, shape_error
from gateformer.quant.types import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class LayerNorm(Composite):
    """``gamma (x - mean) / sqrt(var + epsilon) + beta`` (Ba et al., arXiv 1607.06450).

    Attributes
    ----------
    gamma, beta : ndarray of float64, (features,)
        Scale and offset.
    epsilon : float
        Added to the variance.
    """

    gamma: FloatArray
    beta: FloatArray
    epsilon: float

    def shape(self, *inputs: Shape) -> Shape:
        if inputs[0][-1] != self.gamma.size or self.gamma.shape != self.beta.shape:
            raise shape_error(self, *inputs, why=f"gamma has {self.gamma.size} features")
        return inputs[0]

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        (x,) = inputs
        features = x.shape[-1]
        centred = x - x.mean(-1, keepdims=True)
        probe("centred", centred * (features / centred_scale(features)))
        unit = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + self.epsilon)
        probe("normalized", unit)
        return unit * self.gamma + self.beta


@dataclass(frozen=True, slots=True, eq=False)
class RMSNorm(Composite):
    """``gamma x / sqrt(mean(x^2) + epsilon)`` (Zhang and Sennrich, arXiv 1910.07467).

    Attributes
    ----------
    gamma : ndarray of float64, (features,)
        Scale.
    epsilon : float
        Added to the mean square.
    """

    gamma: FloatArray
    epsilon: float

    def shape(self, *inputs: Shape) -> Shape:
        if inputs[0][-1] != self.gamma.size:
            raise shape_error(self, *inputs, why=f"gamma has {self.gamma.size} features")
        return inputs[0]

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        (x,) = inputs
        probe("centred", x)
        unit = x / np.sqrt((x**2).mean(-1, keepdims=True) + self.epsilon)
        probe("normalized", unit)
        return unit * self.gamma


def centred_scale(features: int) -> int:
    """Power of two next above the feature count: ``F (x - mean)`` is held divided by it."""
    return 1 << (features - 1).bit_length()
