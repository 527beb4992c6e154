"""Ranges: the type, or the steps, with which few bits serve given numbers best.

Owns ``activation_type``, ``weight_steps`` and ``Steps``. Imports types only.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2

import numpy as np

from gateformer.quant.expand.settings import DYADIC_BITS
from gateformer.quant.ptq.observe import Seen
from gateformer.quant.ptq.settings import Method
from gateformer.quant.types import Fixed, FloatArray

FINER = 4
"""How many finer powers of two are tried where the squared error decides."""

CLIPS = np.linspace(0.3, 1.0, 71)
"""Shares of the largest magnitude that are tried as a range's end for a step of any size."""


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """A matrix as whole steps.

    Attributes
    ----------
    raw : ndarray of float64
        Whole numbers, in the matrix' shape.
    scale : ndarray of float64
        Real value of a step, in a shape that broadcasts to it.
    """

    raw: FloatArray
    scale: FloatArray

    @property
    def real(self) -> FloatArray:
        """The matrix that these steps stand for."""
        return self.raw * self.scale


def activation_type(seen: Seen, bits: int, method: Method, percentile: float = 99.9) -> Fixed:
    """Type of a width for a value; unsigned where it was never negative.

    ``max`` holds all that was seen, ``percentile`` that share of the magnitudes, ``mse`` minimizes
    the squared error of rounding and saturation over the sample.
    """
    signed = seen.low < 0
    top = max(abs(seen.low), abs(seen.high))
    if method == "percentile":
        top = float(np.percentile(np.abs(seen.sample), percentile))
    whole = ceil(log2(top)) if top > 0 else 0
    kind = Fixed(signed, bits, bits - whole - signed)
    if top > kind.max * kind.scale:  # at a power of two, which two's complement just misses
        kind = Fixed(signed, bits, kind.frac - 1)
    if method != "mse":
        return kind
    kinds = [Fixed(signed, bits, kind.frac + finer) for finer in range(FINER)]
    return min(kinds, key=lambda k: _error(k, seen.sample))


def activation_scale(
    seen: Seen, bits: int, method: Method, percentile: float = 99.9
) -> tuple[float, int, int]:
    """Step of any size for a value, and its smallest and largest step; ranges as above."""
    low, high = (
        (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if seen.low < 0 else (0, (1 << bits) - 1)
    )
    top = max(abs(seen.low), abs(seen.high)) or 1.0
    if method == "percentile":
        top = float(np.percentile(np.abs(seen.sample), percentile)) or top
    if method != "mse":
        return top / high, low, high

    def error(scale: float) -> float:
        held = np.clip(np.rint(seen.sample / scale), low, high) * scale
        return float(((held - seen.sample) ** 2).sum())

    return min((float(top * clip / high) for clip in CLIPS), key=error), low, high


def weight_steps(
    real: FloatArray,
    bits: int,
    channels: tuple[int, ...],
    method: Method,
    percentile: float = 99.9,
    power_of_two: bool = True,
    importance: FloatArray | None = None,
) -> Steps:
    """Quantize a matrix to signed steps.

    Parameters
    ----------
    real : ndarray of float64
        Weights.
    bits : int
        Width of a step.
    channels : tuple of int
        Axes along which steps differ; empty for one step in all.
    method : {"max", "percentile", "mse"}
        How each range is chosen.
    percentile : float
        For that method.
    power_of_two : bool
        Whether steps are powers of two.
    importance : ndarray of float64, optional
        Weight of each squared error, in a shape that broadcasts to the matrix: the mean square of
        what it multiplies, so that the result's error counts (as the diagonal of the Hessian in
        Frantar et al., arXiv 2210.17323, section 2).
    """
    others = tuple(axis for axis in range(real.ndim) if axis not in channels)
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    size = np.abs(real)
    if method == "percentile":
        top = np.percentile(size, percentile, axis=others, keepdims=True)
    else:
        top = size.max(axis=others, keepdims=True, initial=0.0)
    top = np.where(top > 0, top, size.max(initial=0.0) or 1.0)
    if power_of_two:
        finest = np.floor(np.log2(high / top) + 1e-12)
        scales = [2.0 ** -(finest + finer) for finer in range(FINER if method == "mse" else 1)]
    else:
        scales = [top * clip / high for clip in (CLIPS if method == "mse" else (1.0,))]
    weight = 1.0 if importance is None else importance
    errors = []
    for scale in scales:
        held = np.clip(np.rint(real / scale), low, high) * scale
        errors.append((weight * (held - real) ** 2).sum(axis=others, keepdims=True))
    best = np.argmin(np.stack(errors), axis=0)
    scale = np.choose(best, scales) if len(scales) <= 32 else _pick(best, scales)
    if power_of_two:
        # All channels together must stay exact integers, which a lowering takes as they are.
        scale = np.maximum(scale, scale.max() * 2.0 ** (bits - DYADIC_BITS))
    return Steps(np.clip(np.rint(real / scale), low, high), scale)


def _pick(best: FloatArray, scales: list[FloatArray]) -> FloatArray:
    """As ``np.choose``, which takes 32 choices at most."""
    picked: FloatArray = np.take_along_axis(np.stack(scales), best[None].astype(np.int64), 0)[0]
    return picked


def _error(kind: Fixed, sample: FloatArray) -> float:
    return float(((kind.to_real(kind.from_real(sample)) - sample) ** 2).sum())
