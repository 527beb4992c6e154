"""Clipped shares before the division: a row's sum times constants, and a subtraction a key.

``clip((zeta - gamma) e / t + gamma, 0, 1) = clip(e - h, 0, d) / d`` with the divisor
``d = t / (zeta - gamma)`` and the threshold ``h = -gamma d``. Owns ``clipped``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from gateformer.quant.expand.context import Lowering
from gateformer.quant.expand.shares import Shares
from gateformer.quant.ops.cast import Cast, Constant
from gateformer.quant.ops.elementwise import Add, Mul
from gateformer.quant.types import Fixed, Overflow, Rounding

FACTOR_BITS = 16
"""Fraction bits of the two constants."""


@dataclass(frozen=True, slots=True)
class Clipped:
    """What is summed and what it is divided by.

    Attributes
    ----------
    weight : str
        ``clip(e - h, 0, d)`` (T, H, S).
    divisor : str
        d (T, H, 1), rounded up, so that no quotient leaves ``bounds``.
    gain : float
        Largest ratio of a row's sum to d.
    """

    weight: str
    divisor: str
    gain: float

    def bounds(self, lo: int, hi: int) -> tuple[int, int]:
        """Bounds of a mean of raw integers weighed so."""
        return -ceil(-lo * self.gain) if lo < 0 else 0, ceil(hi * self.gain) if hi > 0 else 0


def clipped(to: Lowering, weight: str, total: str, shares: Shares) -> Clipped:
    """Add clipped weights and their divisor.

    Parameters
    ----------
    to : Lowering
        Takes the primitives.
    weight : str
        Unsigned softmax weights e (T, H, S).
    total : str
        A row's sum t of those that count (T, H, 1).
    shares : Shares
        ``gamma`` and ``zeta``.

    Returns
    -------
    Clipped
        Its quotients are off by at most ``2^-15 + 2 / t``, t as a raw integer, beside what the
        weights and the division are off by.
    """
    kind = to.value(weight).fixed
    span = shares.zeta - shares.gamma
    inverse = ceil((1 << FACTOR_BITS) / span)
    divisor = _times(to, total, inverse, (1 << FACTOR_BITS) - 1, "divisor")
    gain = (1 << FACTOR_BITS) / inverse
    factor = round(-shares.gamma / span * (1 << FACTOR_BITS))
    kept = weight
    if factor:
        threshold = _times(to, total, factor, 0, "threshold")
        above = to.add(Add(subtract=True), weight, threshold, point="exp_above")
        kept = to.add(Cast(kind, Rounding.TRN, Overflow.SAT), above, point="exp_kept")
    if shares.zeta > 1.0:
        rest = to.add(Add(subtract=True), divisor, kept, point="exp_below")
        room = to.value(divisor).fixed
        rest = to.add(Cast(room, Rounding.TRN, Overflow.SAT), rest, point="exp_room")
        least = to.add(Add(subtract=True), divisor, rest, point="exp_least")
        # Never negative, and never more than before.
        kept = to.add(Cast(kind, Rounding.TRN, Overflow.WRAP), least, point="exp_clipped")
    return Clipped(kept, divisor, gain)


def _times(to: Lowering, total: str, factor: int, offset: int, point: str) -> str:
    """``floor((t factor + offset) 2^-FACTOR_BITS)`` of raw integers."""
    frac = to.value(total).fixed.frac
    shape = (1, 1, 1)
    by = to.add(Constant(np.full(shape, factor, np.int64), FACTOR_BITS), point=f"{point}_factor")
    product = to.add(Mul(), total, by, point=f"{point}_product")
    if offset:
        more = Constant(np.full(shape, offset, np.int64), frac + FACTOR_BITS)
        up = to.add(more, point=f"{point}_up")
        product = to.add(Add(), product, up, point=f"{point}_raised")
    top = int(to.value(product).bounds[1].max()) >> FACTOR_BITS
    kind = Fixed.for_range(0, max(1, top), frac)
    return to.add(Cast(kind, Rounding.TRN, Overflow.WRAP), product, point=point)
