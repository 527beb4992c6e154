"""Codes of softmax's shares on powers of sqrt(2), without the shares themselves.

``k = -2 log2(e^-d / sum) = 2 log2(e) d + 2 log2(sum)``: a table of the distance, a table of the
sum's mantissa and the place of its leading one. Owns ``Row``, ``code_weights`` and ``codes``;
imports the exponential's points.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, log2

import numpy as np

from gateformer.quant.expand.context import Lowering
from gateformer.quant.expand.division import unsigned
from gateformer.quant.expand.exponential import (
    DISTANCE_NATS,
    causal_keep,
    distance_type,
    from_largest,
    reals_of,
)
from gateformer.quant.expand.shares import Shares
from gateformer.quant.ops.cast import Cast, Constant, Rescale
from gateformer.quant.ops.elementwise import Add
from gateformer.quant.ops.lookup import Lookup
from gateformer.quant.ops.normalize import Normalize, Shift
from gateformer.quant.types import Fixed, FloatArray, Overflow, Rounding

STEPS = 2.0 / log(2.0)
"""Codes a nat: 2 log2(e)."""

DISTANCE_BITS = 8
"""Index bits of the distance's tables where nothing else is known."""

SUM_NATS = 7.0
"""Least reach of those tables: what lies beyond weighs less than 2^-10 in the row's sum."""

EXP_BITS = 10
"""Bits of a weight: the row's sum alone is made of them."""

MANTISSA_BITS = 6
"""Index bits of the sum's logarithm."""

FRAC = 6
"""Fraction bits of k before it is rounded."""


def reach(shares: Shares) -> float:
    """Nats below a row's largest score beyond which the distance no longer matters."""
    if shares.kind != "log_sqrt2":
        return DISTANCE_NATS
    return max((1 << shares.bits) / STEPS, SUM_NATS)


@dataclass(frozen=True, slots=True)
class Row:
    """Scores on their way to codes.

    Attributes
    ----------
    score : str
        (T, H, S).
    scale : float
        Factor on the scores, in nats.
    direct : bool
        Tables are of the score itself, and not of its distance from the row's largest.
    bits : int
        Of k.
    """

    score: str
    scale: float
    direct: bool
    bits: int

    def exp_bits(self, to: Lowering) -> int:
        """Bits of a weight; a table of raw scores holds rows that lie far below its top."""
        return to.options.exp_bits if self.direct else EXP_BITS


def code_weights(to: Lowering, row: Row) -> tuple[str, str]:
    """Add the tables' index and the weights, of which only the sum is wanted.

    Returns
    -------
    (str, str)
        The index (T, H, S): the score, or its distance from the row's largest; and weights within
        half a step of ``e^-distance``.
    """
    wide = row.exp_bits(to)
    index = row.score
    if not row.direct:
        far = reach(Shares("log_sqrt2", row.bits))
        kind = distance_type(to, row.scale, DISTANCE_BITS, far)
        index = from_largest(to, row.score, kind)
    table = np.rint(((1 << wide) - 1) * np.exp(-_nats(to, row, index)))
    if row.direct:
        table = np.maximum(table, 1)
    return index, to.add(Lookup(table.astype(np.int64), wide), index, point="exp")


def codes(to: Lowering, row: Row, index: str, total: str, causal: bool) -> str:
    """Add the codes ``2^bits - 1 - k``, negative where a share counts as zero.

    Parameters
    ----------
    to : Lowering
        Takes the primitives.
    row : Row
        The scores.
    index : str
        As `code_weights` gave it.
    total : str
        Sums of the weights that count (T, H, 1).
    causal : bool
        Later keys' codes are made negative.

    Returns
    -------
    str
        Codes (T, H, S) of ``bits`` + 1 bits. They are those of the exact shares of the typed scores
        but where ``-2 log2(share)`` is next to a tie, by at most
        ``2 log2(e) (s + 2^-(MANTISSA_BITS + 1) + 2^-w S / least) + 2^-FRAC``: s is the distance's
        step in nats (0 if ``direct``), S the number of keys, w the bits of a weight, ``least`` the
        row's sum (1 or more unless ``direct``). Keys beyond the distance's type weigh what its end
        does.
    """
    nats = _nats(to, row, index)
    step = np.rint(STEPS * nats * (1 << FRAC)).astype(np.int64)
    steps = to.add(Lookup(step, FRAC), index, point="steps")
    level = to.add(Add(subtract=True), _level(to, row, total), steps, point="level")
    if causal:
        tokens, _, keys = to.value(row.score).shape
        # More than any level: the top code and twice the bits of a weight.
        deep = 1 << ((1 << row.bits) + 2 * row.exp_bits(to) + 4).bit_length()
        hidden = Constant((causal_keep(tokens, keys) - 1) * deep, 0)
        offset = to.add(hidden, point="causal_level")
        level = to.add(Add(), level, offset, point="level_seen")
    kind = Fixed(True, row.bits + 1, 0)
    return to.add(Cast(kind, Rounding.TRN, Overflow.SAT), level, point="code")


def _nats(to: Lowering, row: Row, index: str) -> FloatArray:
    """Scaled distance behind each index of a table, never below 0."""
    kind = to.value(index).fixed
    reals = reals_of(kind)
    if row.direct:
        highest = int(to.value(index).bounds[1].max()) * kind.scale
        reals = highest - reals
    return np.maximum(reals, 0.0) * row.scale


def _level(to: Lowering, row: Row, total: str) -> str:
    """A row's ``2^bits - 1/2 - 2 log2(sum)`` (T, H, 1): half a step rounds what is cut."""
    total = unsigned(to, total, "divisor")
    width = to.value(total).fixed.width
    bits = max(1, min(MANTISSA_BITS, width - 1))
    drop = width - 1 - bits
    amount = to.add(Normalize(), total, point="leading_zeros")
    mantissa = Fixed(False, bits, to.value(total).fixed.frac - drop)
    index = to.add(Shift(mantissa, Rounding.TRN, Overflow.WRAP), total, amount, point="mantissa")
    middle = (np.arange(1 << bits) + (0.5 if drop > 0 else 0.0)) / (1 << bits)
    one = log2((1 << row.exp_bits(to)) - 1)
    level = (1 << row.bits) - 0.5 - 2.0 * (width - 1 - one) - 2.0 * np.log2(1.0 + middle)
    table = np.rint(level * (1 << FRAC)).astype(np.int64)
    above = to.add(Lookup(table, FRAC), index, point="level_of_mantissa")
    twice = to.add(Rescale(1), amount, point="level_of_zeros")
    return to.add(Add(), above, twice, point="level_of_row")
