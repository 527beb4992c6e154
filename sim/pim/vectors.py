"""What the ASIC does with vectors: as its units do it, or exactly.

Owns ``Vectors``, ``AsicVectors`` and ``ExactVectors``. Imports the decoder and the ASIC's
functions. Both take many vectors at once, along the last axis, and return FP32, which is rounded to
BF16 where it is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gateformer.hw.pim import functions
from gateformer.hw.pim.functions import Alu
from gateformer.hw.pim.layout import Floats
from gateformer.quant.decoder import Activation, Decoder


class Vectors(Protocol):
    """The functions of a decoder that are no products of matrices."""

    def norm(self, decoder: Decoder, x: Floats, gain: Floats, bias: Floats) -> Floats:
        """LayerNorm, or RMSNorm, which has no use for a bias."""
        ...

    def softmax(self, scores: Floats) -> Floats:
        """Softmax; a score of -infinity gets no weight."""
        ...

    def activated(self, kind: Activation, x: Floats) -> Floats:
        """A nonlinearity."""
        ...

    def rotary(self, heads: Floats, angles: NDArray[np.float64]) -> Floats:
        """Turn heads, a first half with its second, by angles."""
        ...


@dataclass(frozen=True, slots=True)
class AsicVectors:
    """The ASIC's own: ``functions``, bit by bit.

    Attributes
    ----------
    lanes : int
        Numbers that a sum takes at once.
    """

    lanes: int

    def norm(self, decoder: Decoder, x: Floats, gain: Floats, bias: Floats) -> Floats:
        """LayerNorm or RMSNorm."""
        if decoder.norm == "layer":
            return functions.layernorm(x, gain, bias, self.lanes, decoder.epsilon)
        return functions.rmsnorm(x, gain, self.lanes, decoder.epsilon)

    def softmax(self, scores: Floats) -> Floats:
        """Softmax."""
        return functions.softmax(scores, self.lanes)

    def activated(self, kind: Activation, x: Floats) -> Floats:
        """GELU, SiLU or ReLU."""
        if kind == "relu":
            return functions.relu(x)
        return {"gelu": functions.gelu, "silu": functions.silu}[kind](Alu(), x)

    def rotary(self, heads: Floats, angles: NDArray[np.float64]) -> Floats:
        """Rotary positions, cosines and sines in BF16."""
        return functions.rotary(heads, np.cos(angles), np.sin(angles))


@dataclass(frozen=True, slots=True)
class ExactVectors:
    """The same in float64, rounded once: what approximating costs shows against it."""

    def norm(self, decoder: Decoder, x: Floats, gain: Floats, bias: Floats) -> Floats:
        """LayerNorm or RMSNorm."""
        exact = x.astype(np.float64)
        if decoder.norm == "layer":
            exact -= exact.mean(-1, keepdims=True)
        scale = np.sqrt(np.square(exact).mean(-1, keepdims=True) + decoder.epsilon)
        found = exact / scale * gain
        return (found + bias if decoder.norm == "layer" else found).astype(np.float32)

    def softmax(self, scores: Floats) -> Floats:
        """Softmax."""
        exps = np.exp(scores.astype(np.float64) - scores.max(-1, keepdims=True))
        return (exps / exps.sum(-1, keepdims=True)).astype(np.float32)

    def activated(self, kind: Activation, x: Floats) -> Floats:
        """GELU in its tanh form, SiLU or ReLU."""
        exact = x.astype(np.float64)
        if kind == "relu":
            return functions.relu(x)
        slope = exact
        if kind == "gelu":
            slope = 2 * np.sqrt(2 / np.pi) * (exact + 0.044715 * exact**3)
        with np.errstate(over="ignore"):
            return (exact / (1 + np.exp(-slope))).astype(np.float32)

    def rotary(self, heads: Floats, angles: NDArray[np.float64]) -> Floats:
        """Rotary positions."""
        half = heads.shape[-1] // 2
        first, second = heads[..., :half], heads[..., half : 2 * half]
        c, s = np.cos(angles), np.sin(angles)
        turned = (first * c - second * s, second * c + first * s, heads[..., 2 * half :])
        return np.concatenate(turned, -1).astype(np.float32)
