"""What becomes of softmax's shares before they weigh the values: clipped, or powers of sqrt(2).

Owns ``Shares`` and the quantizer on the sqrt(2) grid. Imports types and errors only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from gateformer.quant.errors import ModelError
from gateformer.quant.types import FloatArray

MAX_LOG_BITS = 6
"""Most bits of a code; 6 reach down to 2^-31.5."""


def log_codes(p: FloatArray, bits: int) -> FloatArray:
    """Codes ``2^bits - 1 - k``, ``k = round(-2 log2 p)`` half to even; negative for 0.

    RepQ-ViT (arXiv 2212.08254, equations 12 to 14) has k; its code sets shares with
    ``k >= 2^bits`` to zero, and so does this.
    """
    with np.errstate(divide="ignore"):
        k = np.rint(-2.0 * np.log2(np.maximum(p, 0.0)))
    return np.where(k < 1 << bits, (1 << bits) - 1 - np.maximum(k, 0.0), -1.0)


def log_sqrt2(p: FloatArray, bits: int) -> FloatArray:
    """Shares on the grid of powers of sqrt(2): ``2^-ceil(k/2)``, times sqrt(2) for an odd k.

    Parameters
    ----------
    p : ndarray of float64
        Shares, 0 to 1.
    bits : int
        Of k.

    Returns
    -------
    ndarray of float64
        ``2^(-k/2)``, 0 where ``k >= 2^bits``.
    """
    codes = log_codes(p, bits)
    return np.where(codes < 0, 0.0, np.exp2((codes - (1 << bits) + 1) / 2.0))


@dataclass(frozen=True, slots=True)
class Shares:
    """A function of softmax's shares p.

    Attributes
    ----------
    kind : {"plain", "clipped", "log_sqrt2"}
        ``p``; ``clip((zeta - gamma) p + gamma, 0, 1)`` (Bondarenko et al., arXiv 2306.12929,
        equation 4); ``log_sqrt2(p, bits)`` (RepQ-ViT, arXiv 2212.08254).
    bits : int
        Of ``log_sqrt2``.
    gamma, zeta : float
        Of ``clipped``: at most 0, at least 1. The paper takes zeta = 1 and gamma = -alpha / T with
        alpha of 2 to 4, T the sequence's length.
    """

    kind: Literal["plain", "clipped", "log_sqrt2"] = "plain"
    bits: int = 4
    gamma: float = 0.0
    zeta: float = 1.0

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= MAX_LOG_BITS or not (-1.0 <= self.gamma <= 0.0):
            raise self._wrong(f"{self.bits} bits, gamma {self.gamma}")
        if not 1.0 <= self.zeta <= 2.0:
            raise self._wrong(f"zeta {self.zeta}")

    def of(self, p: FloatArray) -> FloatArray:
        """The function on reals."""
        if self.kind == "log_sqrt2":
            return log_sqrt2(p, self.bits)
        if self.kind == "clipped":
            return np.clip((self.zeta - self.gamma) * p + self.gamma, 0.0, 1.0)
        return p

    def _wrong(self, found: str) -> ModelError:
        return ModelError(
            "E102",
            "unsupported form of a softmax",
            cause=found,
            fix=f"use 2 to {MAX_LOG_BITS} bits, gamma in -1..0 and zeta in 1..2",
        )


PLAIN = Shares()
"""Shares as softmax gives them."""
