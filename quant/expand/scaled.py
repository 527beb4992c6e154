"""ScaledQuantize: a uniform quantizer whose step may be any real number.

Owns ``ScaledQuantize`` and ``quantizer``, which picks the plain ``Quantize`` where the step is a
power of two. Imports the context, operations and types.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import frexp

import numpy as np

from gateformer.quant.errors import DataError, ModelError
from gateformer.quant.expand.context import Lowering
from gateformer.quant.expand.quantize import Quantize
from gateformer.quant.expand.requantize import Requantize
from gateformer.quant.ops.base import Composite, Probe, Shape, shape_error
from gateformer.quant.types import Fixed, FloatArray, IntArray, Overflow, Rounding, rounded


@dataclass(frozen=True, slots=True, eq=False)
class ScaledQuantize(Composite):
    """``scale (clip(round(x / scale + zero_point), low, high) - zero_point)``.

    QONNX's Quant (Pappalardo et al., arXiv 2206.07527, equation 1), which clips before it rounds:
    the same, since ``low`` and ``high`` are whole. A zero point takes part in the rounding: where
    it is odd, RND_CONV takes ties to the odd step.

    Attributes
    ----------
    scale : ndarray of float64, () or (features,)
        Real value of one step, of the tensor or of each feature; positive.
    zero_point : ndarray of int64, () or (features,)
        Step that stands for zero.
    low, high : int
        Smallest and largest step, the zero point included.
    rounding : Rounding
        How steps are rounded.
    """

    scale: FloatArray
    zero_point: IntArray
    low: int
    high: int
    rounding: Rounding = Rounding.RND_CONV

    def __post_init__(self) -> None:
        fine = np.isfinite(self.scale) & (self.scale > 0)
        if not fine.all() or self.scale.ndim > 1 or self.zero_point.ndim > 1:
            raise ModelError(
                "E109",
                "quantizer with a scale that is no positive number",
                fix="train it again, or give one scale a tensor or a feature",
            )
        if self.low >= self.high:
            raise ModelError(
                "E109",
                f"quantizer from step {self.low} to {self.high}",
                fix="give it at least two steps",
            )

    def shape(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        for name, size in (("scale", self.scale), ("zero point", self.zero_point)):
            if size.ndim and size.shape != x[-1:]:
                raise shape_error(self, x, why=f"the {name} has {size.size} features")
        return x

    def steps(self, real: FloatArray) -> FloatArray:
        """Whole steps of reals, the zero point taken away; refuses NaN (E620)."""
        if np.isnan(real).any():
            raise DataError("E620", "NaN before a quantizer", fix="clean the data")
        with np.errstate(over="ignore"):
            step = rounded(real / self.scale + self.zero_point, self.rounding)
        held: FloatArray = np.clip(step, self.low, self.high) - self.zero_point
        return held

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        return self.steps(inputs[0]) * self.scale

    def expand(self, to: Lowering, output: str, layer: str, *inputs: str) -> str:
        """``Requantize`` to whole steps, then times the scale.

        ``passes.fold_scales`` leaves the second product out.
        """
        steps = Requantize(1.0 / self.scale, self.zero_point, self.low, self.high, self.rounding)
        whole = steps.expand(to, f"{layer}/steps", layer, *inputs)
        return to.scaled(whole, self.scale, output)


def quantizer(
    scale: FloatArray,
    zero_point: IntArray,
    low: int,
    high: int,
    rounding: Rounding = Rounding.RND_CONV,
) -> Quantize | ScaledQuantize:
    """Return the operation for a uniform quantizer.

    Parameters
    ----------
    scale, zero_point, low, high, rounding
        As `ScaledQuantize` has them.

    Returns
    -------
    Quantize or ScaledQuantize
        Quantize where there is one scale, a power of two, no zero point, and the steps are all
        those of a type, or all but the smallest of a signed one (SAT_SYM).
    """
    scale, zero_point = np.asarray(scale, np.float64), np.asarray(zero_point, np.int64)
    if scale.size and zero_point.size and not zero_point.any() and (scale == scale.flat[0]).all():
        mantissa, exponent = frexp(float(scale.flat[0]))
        kind = Fixed.for_range(low, high, 1 - exponent) if low < high else None
        if mantissa == 0.5 and kind is not None:
            for overflow in (Overflow.SAT, Overflow.SAT_SYM):
                if kind.limits(overflow) == (low, high):
                    return Quantize(kind, rounding, overflow)
    return ScaledQuantize(scale, zero_point, low, high, rounding)
