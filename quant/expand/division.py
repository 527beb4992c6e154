"""Division and square roots by leading-one normalization and a small table.

The numerator's barrel shifter and the divisor's table work side by side; one multiply follows.
"""

from __future__ import annotations

import numpy as np

from gateformer.quant.expand.context import Lowering
from gateformer.quant.ops.cast import Cast, Rescale
from gateformer.quant.ops.elementwise import Mul
from gateformer.quant.ops.lookup import Lookup
from gateformer.quant.ops.normalize import Normalize, Shift
from gateformer.quant.types import Fixed, IntArray, Overflow, Rounding

QUOTIENT_BITS = 22
"""Bits that are kept of a quotient."""


def reciprocal_table(index_bits: int, entry_bits: int, exact: bool) -> IntArray:
    """Entries ``2^entry_bits / m`` for m = 1 + i 2^-index_bits, i the index.

    Parameters
    ----------
    index_bits, entry_bits : int
        Sizes of the index and of an entry (unsigned).
    exact : bool
        The index holds all of m; else an entry stands for the bin up to the next index, by the
        value whose largest relative error there is least.

    Returns
    -------
    ndarray of int64, (2^index_bits,)
        Relative error at most 2^-(index_bits + 1) for a bin, and 2^-entry_bits for rounding.
    """
    low = 1.0 + np.arange(1 << index_bits) / (1 << index_bits)
    best = 1.0 / low if exact else 2.0 / (2.0 * low + 2.0**-index_bits)
    return np.minimum(np.rint(best * (1 << entry_bits)), (1 << entry_bits) - 1).astype(np.int64)


def rsqrt_table(index_bits: int, entry_bits: int, exact: bool, gain: float) -> IntArray:
    """Entries ``2^(entry_bits - 1) gain / sqrt(m)`` for m = i 2^(2 - index_bits) in [1, 4).

    Parameters
    ----------
    index_bits, entry_bits : int
        Sizes of the index and of an entry (unsigned).
    exact : bool
        As for ``reciprocal_table``.
    gain : float
        A factor in [1, 2).

    Returns
    -------
    ndarray of int64, (2^index_bits,)
        Relative error at most 2^-index_bits for a bin, and 2^(1 - entry_bits) for rounding.
        The first quarter, which normalization never reaches, repeats the entry of m = 1.
    """
    step = 2.0 ** (2 - index_bits)
    low = np.maximum(np.arange(1 << index_bits) * step, 1.0)
    best = 1.0 / np.sqrt(low) if exact else 2.0 / (np.sqrt(low) + np.sqrt(low + step))
    entries = np.rint(best * gain * (1 << (entry_bits - 1)))
    return np.minimum(entries, (1 << entry_bits) - 1).astype(np.int64)


def divide(to: Lowering, numerator: str, total: str, lo: int, hi: int, point: str) -> str:
    """Add ``numerator / total``, 0 where the total is 0.

    Parameters
    ----------
    to : Lowering
        Takes the primitives.
    numerator : str
        Raw integers between ``lo`` and ``hi`` times the total's.
    total : str
        Not negative; its last axis has size 1.
    lo, hi : int
        Bounds of the quotient of raw integers, such as those of the values of a weighted mean.
    point : str
        Name of the quotient: ``<layer>/<point>``.

    Returns
    -------
    str
        The quotient q. With k = ``table_bits``, p = ``reciprocal_bits``, N = ``numerator_bits``
        and V the magnitude of lo and hi as reals rounded up to a power of two,
        ``|error| <= |q| (2^-(k+1) + 2^-p) + 2^(2-N) V + 2^-19 V``.
    """
    total = unsigned(to, total, "divisor")
    kind, top = to.value(total).fixed, to.value(numerator).fixed
    bits = max(1, min(to.options.table_bits, kind.width - 1))
    drop = kind.width - 1 - bits
    entry = to.options.reciprocal_bits

    amount = to.add(Normalize(), total, point="leading_zeros")
    mantissa = Fixed(False, bits, kind.frac - drop)
    index = to.add(Shift(mantissa, Rounding.TRN, Overflow.WRAP), total, amount, point="mantissa")
    table = Lookup(reciprocal_table(bits, entry, drop <= 0), entry)
    reciprocal = to.add(table, index, point="reciprocal")

    whole = Fixed.for_range(min(lo, 0) << kind.width, max(hi, 1) << kind.width, top.frac)
    excess = max(0, whole.width - to.options.numerator_bits + (not whole.signed))
    held = Fixed(whole.signed, whole.width - excess, whole.frac - excess)
    shifted = to.add(Shift(held, Rounding.TRN, Overflow.WRAP), numerator, amount, point="numerator")
    product = to.add(Mul(), shifted, reciprocal, point="product")
    whole = to.value(product).fixed
    if whole.width > QUOTIENT_BITS:
        # Bits far below the table's error would only lengthen the adders that follow.
        cut = Fixed(whole.signed, QUOTIENT_BITS, whole.frac - whole.width + QUOTIENT_BITS)
        product = to.add(Cast(cut, Rounding.TRN, Overflow.WRAP), product, point="quotient")
    return to.add(Rescale(kind.frac - kind.width + 1), product, point=point)


def unsigned(to: Lowering, name: str, point: str) -> str:
    """The same integers in the narrowest unsigned type: wires, no hardware."""
    x = to.value(name)
    kind = Fixed.for_range(0, max(1, int(x.bounds[1].max())), x.fixed.frac)
    if kind == x.fixed:
        return name
    return to.add(Cast(kind, Rounding.TRN, Overflow.WRAP), name, point=point)
