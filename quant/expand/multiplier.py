"""Real factors as integers times a power of two, with as few signed digits as their error allows.

Owns ``multiplier`` and ``wires``. Imports types only.
"""

from __future__ import annotations

from math import ceil, floor, frexp, ldexp

import numpy as np

from gateformer.quant.types import FloatArray, IntArray

TRIED = 3
"""Bits below the shortest m that are searched for one of fewer digits."""


def wires(factor: FloatArray) -> int | None:
    """Exponent k where every factor is 2^k, so that a product is wires alone."""
    mantissa, exponent = np.frexp(factor)
    same = (mantissa == 0.5).all() and (exponent == exponent.flat[0]).all()
    return int(exponent.flat[0]) - 1 if same else None


def multiplier(factor: FloatArray, bits: int) -> tuple[IntArray, int]:
    """Write real factors as ``m 2^-n``, one n for all.

    Hardware adds one shifted operand a signed digit of m (canonical signed digits: Reitwieser,
    Advances in Computers 1, 1960), so m is the number of fewest digits that is near enough.

    Parameters
    ----------
    factor : ndarray of float64
        Positive.
    bits : int
        ``|m 2^-n - factor| <= 2^-bits factor``.

    Returns
    -------
    (m, n)
        m of int64, or Python integers where factors lie far apart; n as small as it can be.
    """
    found = [_shortest(float(x), bits) for x in factor.ravel()]
    frac = max(n for _, n in found)
    raw = np.array([m << (frac - n) for m, n in found], dtype=object).reshape(factor.shape)
    narrow = max(int(m) for m in raw.ravel()) < 1 << 62
    return raw.astype(np.int64) if narrow else raw, frac


def _shortest(factor: float, bits: int) -> tuple[int, int]:
    """Odd m and n of one factor."""
    mantissa, exponent = frexp(factor)
    frac = bits + TRIED + 1
    low = ceil(ldexp(mantissa * (1.0 - 2.0**-bits), frac))
    high = floor(ldexp(mantissa * (1.0 + 2.0**-bits), frac))
    # Multiples of ever smaller powers of two: the first are the shortest.
    shift = max(k for k in range(frac + 1) if low <= (high >> k) << k)
    tried: list[int] = []
    for k in range(shift, max(-1, shift - TRIED - 1), -1):
        tried += [m << k for m in range(-(-low >> k), (high >> k) + 1)]
    target = ldexp(mantissa, frac)
    best = min(tried, key=lambda m: (_digits(m), abs(m - target)))
    trailing = (best & -best).bit_length() - 1
    return best >> trailing, frac - exponent - trailing


def _digits(m: int) -> int:
    """Non-zero canonical signed digits of a number."""
    return (m ^ (3 * m)).bit_count()
