"""LayerNorm and RMSNorm over each token's features."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log2, prod, sqrt

import numpy as np

from gateformer.quant.expand.context import LIMITS, Lowering
from gateformer.quant.expand.division import rsqrt_table, unsigned
from gateformer.quant.ops.base import Composite, Probe, Shape, shape_error, single
from gateformer.quant.ops.cast import Constant, Rescale
from gateformer.quant.ops.dense import Dense
from gateformer.quant.ops.elementwise import Add, Mul
from gateformer.quant.ops.lookup import Lookup
from gateformer.quant.ops.normalize import Normalize, Shift
from gateformer.quant.ops.reduce import Reduce
from gateformer.quant.types import Fixed, FloatArray, Overflow, Rounding


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
        x = single(self, inputs)
        if x[-1] != self.gamma.size or self.gamma.shape != self.beta.shape:
            raise shape_error(self, x, why=f"gamma has {self.gamma.size} features")
        return x

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        (x,) = inputs
        features = x.shape[-1]
        centred = x - x.mean(-1, keepdims=True)
        probe("centred", centred * (features / centred_scale(features)))
        unit = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + self.epsilon)
        probe("normalized", unit)
        return unit * self.gamma + self.beta

    def expand(self, to: Lowering, output: str, layer: str, *inputs: str) -> str:
        """``c`` = x minus its mean, held times F / 2^ceil(log2 F): exact; then ``scaled_unit``."""
        features = self.gamma.size
        spread = centred_scale(features)
        frac = spread.bit_length() - 1
        shape = to.value(inputs[0]).shape
        whole = shape[1:] if len(shape) > 1 else shape
        heads = np.eye(prod(whole) // features, dtype=np.int64)
        matrix = np.kron(heads, features * np.eye(features, dtype=np.int64) - 1)
        centre = Dense(matrix, frac, np.zeros(len(matrix), np.int64), 0, whole)
        centred = to.point(centre, inputs[0], point="centred")
        epsilon = self.epsilon * features**3 / spread**2
        unit = scaled_unit(to, centred, features, epsilon)
        return scale_offset(to, unit, self.gamma, self.beta, output)


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
        x = single(self, inputs)
        if x[-1] != self.gamma.size:
            raise shape_error(self, x, why=f"gamma has {self.gamma.size} features")
        return x

    def reference(self, *inputs: FloatArray, probe: Probe) -> FloatArray:
        (x,) = inputs
        probe("centred", x)
        unit = x / np.sqrt((x**2).mean(-1, keepdims=True) + self.epsilon)
        probe("normalized", unit)
        return unit * self.gamma

    def expand(self, to: Lowering, output: str, layer: str, *inputs: str) -> str:
        """As LayerNorm, with x itself for c."""
        features = self.gamma.size
        x = to.cast(inputs[0], "centred")
        unit = scaled_unit(to, x, features, self.epsilon * features)
        return scale_offset(to, unit, self.gamma, np.zeros(features), output)


def centred_scale(features: int) -> int:
    """Power of two next above the feature count: ``F (x - mean)`` is held divided by it."""
    return 1 << (features - 1).bit_length()


def scaled_unit(to: Lowering, centred: str, features: int, epsilon: float) -> str:
    """Add ``c sqrt(F) / sqrt(sum(c^2) + epsilon)``; zeros where c is zero.

    Parameters
    ----------
    to : Lowering
        Takes the primitives.
    centred : str
        c, at most 18 bits, so that its square is one DSP's.
    features : int
        F, the size of the last axis.
    epsilon : float
        In units of the sum; rounded to its step.

    Returns
    -------
    str
        The unit u, uncast. With k = ``table_bits``, p = ``reciprocal_bits``, N =
        ``numerator_bits`` and E the rounded epsilon,
        ``|error| <= |u| (2^-(k+1) + 2^(1-p)) + 2^(3-N) sqrt(F)`` against epsilon = E.
    """
    square = to.add(Mul(), centred, centred, point="square")
    total = to.add(Reduce("sum", "features"), square, point="square_sum")
    step = to.value(total).fixed.frac
    offset = round(epsilon * 2.0**step)
    if offset:
        shape = (1,) * len(to.value(total).shape)
        constant = Constant(np.full(shape, offset), step)
        total = to.add(Add(), total, to.add(constant, point="epsilon"), point="power")
    total = unsigned(to, total, "power_unsigned")
    kind, c = to.value(total).fixed, to.value(centred).fixed
    bits = min(to.options.table_bits + 1, max(2, kind.width))
    drop = kind.width - bits

    amount = to.add(Normalize(even=True), total, point="leading_zeros")
    mantissa = Fixed(False, bits, kind.frac - drop)
    index = to.add(Shift(mantissa, Rounding.TRN, Overflow.WRAP), total, amount, point="mantissa")
    exponent = kind.width - 2 - kind.frac
    factor = sqrt(features) * 2.0 ** (-exponent / 2)
    power = floor(log2(factor))
    entry = to.options.reciprocal_bits
    table = rsqrt_table(bits, entry, drop <= 0, factor / 2.0**power)
    root = to.add(Lookup(table, entry - 1), index, point="rsqrt")

    halves = np.arange(1 << to.value(amount).fixed.width, dtype=np.int64) // 2
    half = to.add(Lookup(halves, 0), amount, point="half_zeros")
    whole = ceil(kind.width / 2) + 1
    held_bits = min(whole, to.options.numerator_bits)
    held = Fixed(True, held_bits, c.frac - (whole - held_bits))
    shifted = to.add(Shift(held, Rounding.TRN, Overflow.WRAP), centred, half, point="numerator")
    product = to.add(Mul(), shifted, root, point="product")
    return to.add(Rescale(power), product, point="unit")


def scale_offset(to: Lowering, unit: str, gamma: FloatArray, beta: FloatArray, output: str) -> str:
    """Finish with ``gamma u + beta``, u cast to ``<layer>/normalized``, exact from there."""
    shape = (1,) * (len(to.value(unit).shape) - 1) + (gamma.size,)
    kind = to.chosen("normalized")
    if kind is None:
        width = LIMITS["normalized"]
        kind = Fixed(True, width, width - 1 - ceil(log2(sqrt(gamma.size) + 2.0**-8)))
    scaled, moved = bool((gamma != 1.0).any()), bool(beta.any())
    if not (scaled or moved):
        return to.finish(Rescale(0), unit, output=output)
    unit = to.cast_to(unit, kind, "normalized")
    wide = 2 * to.options.weight_bits
    if scaled:
        factor = to.constant(gamma.reshape(shape), "gamma", wide)
        if not moved:
            return to.finish(Mul(), unit, factor, output=output)
        unit = to.add(Mul(), unit, factor, point="scaled")
    offset = to.constant(beta.reshape(shape), "beta", wide)
    return to.finish(Add(), unit, offset, output=output)
