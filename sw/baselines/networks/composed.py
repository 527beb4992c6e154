"""What quantizers with real steps, softmax's variants and a spelt-out attention mean on reals.

Registers them in ``meaning.MEANINGS``, in the words that every kit has; imports the operations.
"""

from __future__ import annotations

from math import log

import numpy as np

from gateformer.baselines.networks.functions import REALS, clip
from gateformer.baselines.networks.meaning import FAR, Kit, V, means
from gateformer.quant.expand import (
    Attend,
    Attention,
    Exact,
    FoldedAttention,
    LogSqrt2,
    Parameter,
    QuantizeEach,
    Requantize,
    Scale,
    ScaledQuantize,
    Shares,
    Table,
)
from gateformer.quant.expand.causal import Causal
from gateformer.quant.expand.causal import seen as causal_seen
from gateformer.quant.ops.base import Shape
from gateformer.quant.ops.log_matmul import LogMatMul
from gateformer.quant.types import FloatArray, Rounding

TINY = 2.0**-40
"""Share that is certainly below a code's smallest."""


def _aligned(kit: Kit, reals: FloatArray, rank: int) -> V:
    """A constant in the rank of what it meets."""
    return kit.constant(reals.reshape((1,) * (rank - reals.ndim) + reals.shape))


def _stepped(kit: Kit, op: ScaledQuantize | Requantize, moved: V, zero: FloatArray, rank: int) -> V:
    """Whole steps of an operand in steps, the zero point inside, then taken away."""
    point = kit.keep(_aligned(kit, zero, rank)) if zero.any() else None
    moved = moved if point is None else moved + point
    moved = moved + 0.5 if op.rounding is Rounding.RND else moved
    whole = kit.unary("rint" if op.rounding is Rounding.RND_CONV else "floor", moved)
    held = clip(kit, whole, float(op.low), float(op.high))
    return held if point is None else held - point


@means(ScaledQuantize)
def _scaled_quantize(
    kit: Kit, op: ScaledQuantize, x: list[V], given: list[Shape], made: Shape
) -> V:
    rank = len(made)
    moved = x[0] * _aligned(kit, 1.0 / op.scale, rank)
    zero = op.zero_point.astype(np.float64)
    return _stepped(kit, op, moved, zero, rank) * _aligned(kit, op.scale, rank)


@means(Requantize)
def _requantize(kit: Kit, op: Requantize, x: list[V], given: list[Shape], made: Shape) -> V:
    rank = len(made)
    moved = x[0] * _aligned(kit, op.factor, rank)
    if op.offset is not None:
        moved = moved + _aligned(kit, op.offset, rank)
    return _stepped(kit, op, moved, op.zero_point.astype(np.float64), rank) * 2.0**-op.frac


@means(Scale)
def _scale(kit: Kit, op: Scale, x: list[V], given: list[Shape], made: Shape) -> V:
    return x[0] * _aligned(kit, op.factor, len(made))


@means(Parameter)
def _parameter(kit: Kit, op: Parameter, x: list[V], given: list[Shape], made: Shape) -> V:
    return kit.constant(op.real)


@means(Exact)
def _exact(kit: Kit, op: Exact, x: list[V], given: list[Shape], made: Shape) -> V:
    return x[0]


@means(Table)
def _table(kit: Kit, op: Table, x: list[V], given: list[Shape], made: Shape) -> V:
    y = REALS[op.function](kit, x[0], **dict(op.parameters))
    return kit.quantize(y, op.type, op.rounding, op.overflow)


@means(QuantizeEach)
def _quantize_each(kit: Kit, op: QuantizeEach, x: list[V], given: list[Shape], made: Shape) -> V:
    source = kit.keep(x[0])
    total = source * 0.0
    for kind, where in op.kinds.items():
        held = kit.quantize(source, kind, op.rounding, op.overflow)
        total = total + held * _aligned(kit, where.astype(np.float64), len(made))
    return total


def _shares(kit: Kit, shares: Shares, p: V) -> V:
    """What becomes of softmax's shares."""
    if shares.kind == "clipped":
        return clip(kit, p * (shares.zeta - shares.gamma) + shares.gamma, 0.0, 1.0)
    if shares.kind == "plain":
        return p
    code = kit.unary("log", kit.maximum(p, TINY)) * (-2.0 / log(2.0))
    code = kit.keep(kit.unary("rint", code))
    power = kit.unary("exp", code * (-0.5 * log(2.0)))
    return kit.where(kit.at_least(code, float(1 << shares.bits)), 0.0, power)


@means(LogSqrt2)
def _log_sqrt2(kit: Kit, op: LogSqrt2, x: list[V], given: list[Shape], made: Shape) -> V:
    return _shares(kit, Shares("log_sqrt2", op.bits), x[0])


@means(LogMatMul)
def _log_matmul(kit: Kit, op: LogMatMul, x: list[V], given: list[Shape], made: Shape) -> V:
    top = float((1 << op.bits) - 1)
    power = kit.unary("exp", (x[0] - top) * (0.5 * log(2.0)))
    return kit.matmul(kit.keep(kit.where(kit.at_least(x[0], 0.0), power, 0.0)), x[1], "tokens")


@means(Causal)
def _causal(kit: Kit, op: Causal, x: list[V], given: list[Shape], made: Shape) -> V:
    """What is not seen, far below: its own value has no meaning."""
    hidden = causal_seen(made[0], made[2]) - 1.0
    return kit.keep(x[0] + kit.constant(hidden * FAR))


@means(Attend)
def _attend(kit: Kit, op: Attend, x: list[V], given: list[Shape], made: Shape) -> V:
    score = x[0] * op.scale
    if op.causal:
        seen = np.arange(given[0][2]) <= np.arange(given[0][0])[:, None]
        score = kit.keep(score + kit.constant((seen[:, None, :].astype(np.float64) - 1.0) * FAR))
    # A token sees itself, so hidden keys weigh nothing at all.
    p = kit.softmax(score)
    return kit.matmul(kit.keep(_shares(kit, op.shares, p)), x[1], "tokens")


def spelt_out(
    kit: Kit, op: Attention | FoldedAttention, x: list[V], given: list[Shape], made: Shape
) -> V:
    """An attention with gates, or whose shares softmax alone does not give."""
    tokens, (keys, other) = given[0][0], given[1]

    def projected(at: int, w: FloatArray, b: FloatArray | None) -> V:
        flat = None if b is None else b.reshape(-1)
        size = (given[at][0], *w.shape[1:])
        return kit.keep(kit.linear(x[at], w.reshape(w.shape[0], -1), flat, given[at], size))

    if isinstance(op, Attention):
        query, key = projected(0, op.wq, op.bq), projected(1, op.wk, op.bk)
        value = projected(2, op.wv, op.bv)
    else:
        query, key = projected(0, op.wm, op.bm), kit.reshape(x[1], (keys, 1, other))
        value = projected(2, op.wn, op.bn)
    score = kit.matmul(query, key, "features") * op.scale
    hiding = []
    if op.causal:
        seen = np.arange(keys) <= np.arange(tokens)[:, None]
        hiding.append(kit.constant(seen[:, None, :].astype(np.float64)))
    if op.masked:
        hiding.append(kit.keep(kit.reshape(x[3], (1, 1, keys))))
    for keep in hiding:
        score = score + (keep - 1.0) * FAR
    p = kit.softmax(kit.keep(score))
    for keep in hiding:  # a row without any key spreads its shares over hidden ones
        p = p * keep
    p = _shares(kit, op.shares, kit.keep(p))
    context = kit.keep(kit.matmul(kit.keep(p), value, "tokens"))
    if op.wg is not None:
        heads = op.wg.shape[1]
        level = kit.linear(x[0], op.wg, op.bg, given[0], (tokens, heads))
        gate = kit.reshape(kit.keep(kit.unary("sigmoid", level)), (tokens, heads, 1))
        context = kit.keep(context * gate)
    if isinstance(op, Attention):
        size = (tokens, *op.wo.shape[:2])
        return kit.linear(context, op.wo.reshape(-1, op.wo.shape[2]), op.bo, size, made)
    turned = kit.transpose(context, (0, 2, 1))
    total = kit.reshape(kit.keep(kit.reduce(turned, "sum", "features")), made)
    return total + kit.constant(op.bo[None])
