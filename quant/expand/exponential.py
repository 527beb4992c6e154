"""Softmax weights from scores: one table, with or without the row's largest score taken away."""

from __future__ import annotations

from math import ceil, log, log2

import numpy as np

from gateformer.quant.errors import TypeRangeError
from gateformer.quant.expand.context import TABLE_BITS, Lowering
from gateformer.quant.expand.settings import GIVEN_LIMITS, narrowed
from gateformer.quant.ops.cast import Cast, Constant
from gateformer.quant.ops.elementwise import Add, Mul
from gateformer.quant.ops.lookup import Lookup
from gateformer.quant.ops.reduce import Reduce
from gateformer.quant.types import Fixed, FloatArray, IntArray, Overflow, Rounding

DISTANCE_NATS = 9.0
"""Reach of the table below the largest score; e^-9 is 2^-13."""

DISTANCE_BITS = 9
"""Index bits of that table where nothing else is known: it is read just before a multiplier."""

SHARE_BITS = 13
"""The same for shares that are compared: one class in some 3,000 then ties with the largest."""

SPLIT_BITS = 10
"""Widest index of one table; a wider one is split in two whose entries are multiplied."""

SPLIT_GUARD = 7
"""More bits in the table of the high half, so that no distance weighs more than a shorter one;
24 bits in all fit the wide port of a DSP48E1 (25 bits, AMD UG479)."""


def reals_of(kind: Fixed) -> FloatArray:
    """Real value behind each index of a table whose operand has a type, (2^width,)."""
    raw = np.arange(1 << kind.width)
    if kind.signed:
        raw = np.where(raw > kind.max, raw - (1 << kind.width), raw)
    return kind.to_real(raw)


def score_type(to: Lowering, direct: bool, scale: float, bits: int = DISTANCE_BITS) -> Fixed:
    """Type of ``<layer>/score``; calibrated as ``/relative`` where it indexes no table.

    Where the largest score is subtracted, fraction bits that ``/distance`` would round away are
    left out, so that no adder rounds between the subtraction and the table.
    """
    kind, origin = to.find(f"{to.layer}/score", None if direct else f"{to.layer}/relative")
    if not direct and origin != "given":
        if origin == "default" and to.types.default is not None:
            kind = narrowed(to.types.default, GIVEN_LIMITS["score"])
        excess = min(kind.frac - distance_type(to, scale, bits).frac, kind.width - 2)
        kind = narrowed(kind, kind.width - max(0, excess))
    if direct and kind.width > TABLE_BITS:
        raise TypeRangeError(
            "E206",
            f"scores of {kind.width} bits make too large a table",
            layer=to.layer,
            fix=f"give '{to.layer}/score' at most {TABLE_BITS} bits, or subtract the largest score",
        )
    return kind


def is_direct(to: Lowering, scale: float) -> bool:
    """Whether exp is tabled on the raw score of the present layer; the choice is reported."""
    kind, origin = to.find(f"{to.layer}/score")
    span = (kind.max - kind.min) * kind.scale * scale
    mode = to.options.softmax
    fewer = to.options.exp_bits - exp_bits(to)
    reach = to.options.direct_span - fewer * log(2)
    direct = mode == "direct" or (mode == "auto" and origin == "calibrated" and span <= reach)
    why = f"scores of type {kind} ({origin}) span {span:.3g} nats"
    to.note("softmax", f"{'direct table' if direct else 'largest score subtracted'}: {why}")
    return direct


def exp_bits(to: Lowering) -> int:
    """Bits of a weight: of the type given for ``<layer>/exp``, else of the options."""
    given = to.given(f"{to.layer}/exp")
    return to.options.exp_bits if given is None else given.width


def exponential(
    to: Lowering, score: str, scale: float, direct: bool, bits: int = DISTANCE_BITS
) -> str:
    """Add softmax weights, up to a factor common to the row.

    Parameters
    ----------
    to : Lowering
        Takes the primitives.
    score : str
        Scores; a row is the last axis.
    scale : float
        Factor on the scores.
    direct : bool
        Table exp(score) itself.
    bits : int
        Index bits where the distance's type is not known.

    Returns
    -------
    str
        Unsigned weights e of E bits: those given for ``<layer>/exp``, or ``exp_bits``. ``direct``:
        largest at the top of the score's range and at least 1, within 2^-E of exp relative to that
        top. Else: within 2^-E of exp(-distance) relative to the row's largest (1.1 x that from a
        split table), plus the distance's rounding (relative error ``scale`` x half its step) and
        its saturation at the end of its range.
    """
    wide = exp_bits(to)
    full = (1 << wide) - 1
    if direct:
        kind = to.value(score).fixed
        reals = reals_of(kind)
        highest = int(to.value(score).bounds[1].max()) * kind.scale
        table = np.maximum(np.rint(full * np.exp(np.minimum(reals - highest, 0.0) * scale)), 1)
        return to.add(Lookup(table.astype(np.int64), wide), score, point="exp")
    distance = from_largest(to, score, distance_type(to, scale, bits))
    kind = to.value(distance).fixed
    if kind.width <= SPLIT_BITS:
        return _decay(to, distance, scale, wide, "exp")
    rest = kind.width // 2
    coarse = Cast(Fixed(False, kind.width - rest, kind.frac - rest), Rounding.TRN)
    fine = Cast(Fixed(False, rest, kind.frac), Rounding.TRN, Overflow.WRAP)
    high, low = (
        _decay(to, to.add(half, distance, point=f"distance_{end}"), scale, bits, f"exp_{end}")
        for half, end, bits in ((coarse, "high", wide + SPLIT_GUARD), (fine, "low", wide))
    )
    product = to.add(Mul(), high, low, point="exp/exact")
    return to.add(Cast(Fixed(False, wide, wide)), product, point="exp")


def from_largest(to: Lowering, score: str, kind: Fixed) -> str:
    """Add how far each score is below its row's largest, in a type."""
    largest = to.add(Reduce("max", "features"), score, point="largest")
    apart = to.add(Add(subtract=True), largest, score, point="apart")
    return to.cast_to(apart, kind, "distance")


def _decay(to: Lowering, distance: str, scale: float, bits: int, point: str) -> str:
    """Look up exp(-distance) in so many bits, just below 1 at distance 0."""
    reals = np.abs(reals_of(to.value(distance).fixed))
    table = np.rint(((1 << bits) - 1) * np.exp(-reals * scale))
    return to.add(Lookup(table.astype(np.int64), bits), distance, point=point)


def distance_type(
    to: Lowering, scale: float, bits: int = DISTANCE_BITS, reach: float = DISTANCE_NATS
) -> Fixed:
    """Type of ``<layer>/distance``: given, calibrated, or ``bits`` over the reach in nats."""
    kind = to.chosen("distance")
    if kind is None:
        return Fixed(False, bits, bits - ceil(log2(reach / scale)))
    return Fixed(False, kind.width - kind.signed, kind.frac)


def causal_keep(tokens: int, keys: int) -> IntArray:
    """1 where token t sees key s, (T, 1, S)."""
    keep = np.arange(keys) <= np.arange(tokens)[:, None]
    return keep[:, None, :].astype(np.int64)


def hide_future(to: Lowering, score: str, kind: Fixed) -> str:
    """Lower the scores of later keys so far that a Cast to ``kind`` puts them at its minimum."""
    x = to.value(score)
    deep = max(0.0, float(x.bounds[1].max()) * x.fixed.scale) - kind.min * kind.scale
    drop = -(1 << max(0, ceil(log2(max(deep, kind.scale)) + x.fixed.frac)))
    keep = causal_keep(x.shape[0], x.shape[2])
    offset = to.add(Constant((1 - keep) * drop, x.fixed.frac), point="causal_offset")
    return to.add(Add(), score, offset, point="causal_score")


def keep_past(to: Lowering, weight: str) -> str:
    """Set the weights of later keys to zero."""
    tokens, _, keys = to.value(weight).shape
    keep = to.add(Constant(causal_keep(tokens, keys), 0), point="causal_keep")
    return to.add(Mul(), weight, keep, point="causal_exp")
