"""Number types: what an integer on a wire means.

Owns ``Fixed`` (value = integer x 2^-frac) and conversion between reals and raw integers.
Imports only numpy and the errors.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from gateformer.quant.errors import ConfigError, DataError

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

MAX_WIDTH = 256
"""Widest integer that a type may name; wider than any exact accumulator of a sane network."""

MAX_SHIFT = 1000
"""Largest power of two, either way, that a step may be: a double holds up to 2**1023."""


class Rounding(Enum):
    """How dropped fraction bits are rounded; names as in ap_fixed (Vitis HLS UG1399)."""

    TRN = "TRN"
    RND = "RND"
    RND_CONV = "RND_CONV"


class Overflow(Enum):
    """What happens beyond the range; names as in ap_fixed (Vitis HLS UG1399)."""

    WRAP = "WRAP"
    SAT = "SAT"
    SAT_SYM = "SAT_SYM"


_PATTERN = re.compile(r"^(u?)fixed<\s*(\d{1,4})\s*,\s*(-?\d{1,4})\s*>$", re.ASCII)


@dataclass(frozen=True, slots=True)
class Fixed:
    """A fixed-point type: ``value = raw * 2**-frac`` with ``width`` bits of raw integer.

    Attributes
    ----------
    signed : bool
        Two's complement if true, unsigned otherwise.
    width : int
        Bits in all, the sign included; 1 to ``MAX_WIDTH``.
    frac : int
        Fraction bits; negative where the step is larger than one.
    """

    signed: bool
    width: int
    frac: int

    def __post_init__(self) -> None:
        if not 1 <= self.width <= MAX_WIDTH:
            raise ConfigError(
                "E021",
                f"width {self.width} of a fixed-point type is outside 1..{MAX_WIDTH}",
                fix="use a narrower type",
            )
        if abs(self.frac) > MAX_SHIFT:
            raise ConfigError(
                "E021",
                f"step 2**{-self.frac} of a fixed-point type is beyond 2**+-{MAX_SHIFT}",
                fix="give it integer bits nearer to its width",
            )

    @classmethod
    def parse(cls, text: str) -> Fixed:
        """Read ``fixed<W,I>`` or ``ufixed<W,I>`` (I integer bits, the sign included)."""
        found = _PATTERN.match(text.strip())
        if not found:
            raise ConfigError(
                "E020",
                f"not a type: {text!r}",
                fix="write fixed<W,I> or ufixed<W,I>, for example fixed<17,7>",
            )
        width, integer = int(found[2]), int(found[3])
        return cls(found[1] == "", width, width - integer)

    @classmethod
    def for_range(cls, lo: int, hi: int, frac: int) -> Fixed:
        """Return the narrowest type that holds every raw integer in ``lo..hi``."""
        if lo >= 0:
            return cls(False, max(1, int(hi).bit_length()), frac)
        return cls(True, max(int(hi).bit_length(), (-int(lo) - 1).bit_length()) + 1, frac)

    @property
    def min(self) -> int:
        """Smallest raw integer."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def max(self) -> int:
        """Largest raw integer."""
        return (1 << (self.width - 1 if self.signed else self.width)) - 1

    @property
    def scale(self) -> float:
        """Real value of raw integer 1."""
        return float(2.0**-self.frac)

    @property
    def integer(self) -> int:
        """Integer bits, the sign included: the I of ``fixed<W,I>``."""
        return self.width - self.frac

    def __str__(self) -> str:
        return f"{'' if self.signed else 'u'}fixed<{self.width},{self.integer}>"

    def to_real(self, raw: IntArray) -> FloatArray:
        """Real values of raw integers."""
        return np.asarray(raw).astype(np.float64) * self.scale

    def from_real(
        self,
        real: FloatArray,
        rounding: Rounding = Rounding.RND_CONV,
        overflow: Overflow = Overflow.SAT,
    ) -> IntArray:
        """Quantize reals on the host: to the nearest step, saturating; refuses NaN.

        Raises
        ------
        DataError
            E620 if a value is NaN, or infinite where it would wrap.
        """
        real = np.asarray(real, dtype=np.float64)
        if np.isnan(real).any():
            where = tuple(int(i) for i in np.argwhere(np.isnan(real))[0])
            raise DataError(
                "E620",
                f"NaN at index {where}",
                cause="a NaN has no fixed-point value",
                fix="clean the data",
            )
        with np.errstate(over="ignore"):
            scaled = np.ldexp(real, self.frac)
        steps = rounded(scaled, rounding)
        low, high = self.limits(overflow)
        if overflow is Overflow.WRAP:
            if not np.isfinite(steps).all():
                raise DataError("E620", "infinity cannot wrap", fix="clean the data")
            return wrap(_whole(steps), self).astype(np.int64 if self.width < 63 else object)
        if self.width <= 53:
            return np.clip(steps, low, high).astype(np.int64)
        far = 2.0**self.width
        held = np.minimum(np.maximum(_whole(np.clip(steps, -far, far)), low), high)
        return held.astype(np.int64 if self.width < 63 else object)

    def limits(self, overflow: Overflow) -> tuple[int, int]:
        """Smallest and largest raw integer under an overflow mode."""
        if overflow is Overflow.SAT_SYM and self.signed:
            return -self.max, self.max
        return self.min, self.max


def rounded(scaled: FloatArray, rounding: Rounding) -> FloatArray:
    """Reals rounded to whole numbers; exact also where adding one half would round."""
    if rounding is Rounding.RND_CONV:
        return np.rint(scaled)
    below = np.floor(scaled)
    if rounding is Rounding.TRN:
        return below
    with np.errstate(invalid="ignore"):
        up = scaled - below >= 0.5
    return np.where(up, below + 1.0, below)


def _whole(steps: FloatArray) -> IntArray:
    """Whole floats as Python integers of any size."""
    flat = [int(step) for step in steps.ravel().tolist()]
    return np.array(flat, dtype=object).reshape(steps.shape)


def wrap(raw: IntArray, to: Fixed) -> IntArray:
    """Keep the low ``to.width`` bits, read as ``to`` reads them."""
    if to.width > 62:
        raw = raw.astype(object)
    low = raw & ((1 << to.width) - 1)
    if not to.signed:
        return low
    return np.where(low > to.max, low - (1 << to.width), low)


def dyadic(real: FloatArray, max_width: int = 32) -> tuple[IntArray, int] | None:
    """Write reals as integers x 2^-frac with the smallest frac, or None where none fits.

    Parameters
    ----------
    real : ndarray of float64
        Any shape; finite.
    max_width : int
        Most bits that the integers may take.

    Returns
    -------
    (raw, frac) or None
        ``real == raw * 2**-frac`` exactly; ``frac`` may be negative.
    """
    flat = np.asarray(real, dtype=np.float64)
    nonzero = flat[flat != 0]
    if not nonzero.size:
        return np.zeros(flat.shape, np.int64), 0
    mantissa, exponent = np.frexp(nonzero)
    whole = np.ldexp(mantissa, 53).astype(np.int64)
    trailing = np.log2((whole & -whole).astype(np.float64)).astype(np.int64)
    frac = int(np.max(53 - exponent - trailing))
    if int(np.max(exponent)) + frac > max_width:
        return None
    return np.rint(np.ldexp(flat, frac)).astype(np.int64), frac
