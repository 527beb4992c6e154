"""Quantizers with steps of any size: their meaning, and their integers against float64."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateformer.quant.errors import DataError, ModelError
from gateformer.quant.execute import run, run_reals
from gateformer.quant.expand import Elementwise, Linear, Quantize, Requantize, ScaledQuantize
from gateformer.quant.expand.context import Options, Types
from gateformer.quant.expand.multiplier import multiplier, wires
from gateformer.quant.expand.scaled import quantizer
from gateformer.quant.graph import Builder, Graph
from gateformer.quant.lower import lower, lower_noted
from gateformer.quant.ops.base import Op
from gateformer.quant.ops.cast import Cast, Constant
from gateformer.quant.ops.elementwise import Mul
from gateformer.quant.passes.fold_scales import fold_scales
from gateformer.quant.types import Fixed, FloatArray, IntArray, Overflow, Rounding


def one(op: Op, features: int, kind: Fixed, bounds: tuple[int, int] | None = None) -> Graph:
    builder = Builder("one")
    ends = bounds and tuple(np.full((features,), end) for end in bounds)
    x = builder.input("x", (features,), kind, bounds=ends)  # type: ignore[arg-type] # two arrays
    builder.output(builder.add(op, x, name="y", layer="y"))
    return builder.build()


def steps(op: Requantize, raw: IntArray, kind: Fixed, bits: int = 16) -> IntArray:
    """Integers of the lowered operation on raw operands, (n, features)."""
    lowered = lower_noted(
        one(op, raw.shape[1], kind), Types({"x": kind}), Options(multiplier_bits=bits)
    ).graph
    found = run(lowered, {"x": raw})["y"]
    frac = lowered.values["y"].fixed.frac
    assert frac == op.frac
    return found


def exactly(op: Requantize, raw: IntArray, kind: Fixed) -> IntArray:
    """The same in rational arithmetic, by the definition."""
    factor = np.broadcast_to(op.factor, raw.shape[1:])
    zero = np.broadcast_to(op.zero_point, raw.shape[1:])
    offset = np.broadcast_to(0.0 if op.offset is None else op.offset, raw.shape[1:])
    out = np.empty(raw.shape, np.int64)
    for at in np.ndindex(*raw.shape):
        exact = int(raw[at]) * Fraction(2) ** -kind.frac * Fraction(float(factor[at[1]]))
        moved = exact + int(zero[at[1]]) + Fraction(float(offset[at[1]]))
        if op.rounding is Rounding.RND_CONV:
            step = round(moved)
        elif op.rounding is Rounding.RND:
            step = (moved + Fraction(1, 2)).__floor__()
        else:
            step = moved.__floor__()
        out[at] = min(max(step, op.low), op.high) - int(zero[at[1]])
    return out


def turning(op: Requantize, raw: IntArray, kind: Fixed) -> FloatArray:
    """Distance of every operand from where its rounding turns, in steps."""
    moved = raw * kind.scale * op.factor + op.zero_point
    moved = moved if op.offset is None else moved + op.offset
    if op.rounding is not Rounding.TRN:
        moved = moved - 0.5
    return np.abs(moved - np.rint(moved))


def slack(op: Requantize, raw: IntArray, kind: Fixed, bits: int = 16) -> FloatArray:
    """The stated bound, in steps: ``2^-b |x factor|``, and 2^-12 for an offset."""
    top = max(abs(op.low), abs(op.high), int(np.abs(op.zero_point).max()))
    b = max(4, bits - max(0, 7 - top.bit_length()))
    near = np.abs(raw * kind.scale * op.factor) * 2.0**-b
    return near if op.offset is None else near + 2.0**-12


def test_the_quantizer_of_qonnx() -> None:
    """``clip`` before ``round``, the zero point inside: QONNX's int_quant, written out."""
    rng = np.random.default_rng(0)
    x = rng.normal(0, 3, (500, 6))
    scale, zero = rng.uniform(0.01, 0.5, 6), rng.integers(-3, 4, 6)
    op = ScaledQuantize(scale, zero, -7, 8)
    clipped = np.clip(x / scale + zero, -7, 8)
    expected = (np.round(clipped) - zero) * scale
    found = run_reals(one(op, 6, Fixed(True, 8, 4)), {"x": x})["y"]
    assert (found == expected).all()


def test_ties_go_to_the_even_step_with_the_zero_point() -> None:
    for zero, expected in ((0, [-2, -2, 0, 0, 2, 2]), (1, [-3, -1, -1, 1, 1, 3])):
        op = ScaledQuantize(np.array(3.0), np.array(zero), -8, 8)
        x = np.array([[-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]]) * 3.0
        assert (op.steps(x) == expected).all()
        whole = Requantize(np.array(0.5), np.array(zero), -8, 8)
        raw = np.array([[-5, -3, -1, 1, 3, 5]])
        assert (steps(whole, raw, Fixed(True, 8, 0)) == expected).all()


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize(
    ("low", "high", "zero"),
    [(-8, 7, 0), (-7, 7, 0), (0, 15, 8), (0, 14, 3), (-9, 20, -2), (0, 1, 0), (1, 6, 5)],
)
def test_all_integers_of_a_type(rounding: Rounding, low: int, high: int, zero: int) -> None:
    """Every operand, far beyond saturation; equal where no tie is within the error bound."""
    kind = Fixed(True, 9, 2)
    raw = np.arange(kind.min, kind.max + 1)[:, None]
    for factor in (0.0371, 0.25, 0.5 + 1e-7):
        op = Requantize(np.array(factor), np.array(zero), low, high, rounding, frac=3)
        found, exact = steps(op, raw, kind), exactly(op, raw, kind)
        assert found.min() >= low - zero and found.max() <= high - zero
        assert (found == exact)[turning(op, raw, kind) > slack(op, raw, kind)].all()
        assert np.abs(found - exact).max() <= 1
        if factor == 0.25:
            assert (found == exact).all()


def test_a_factor_a_feature() -> None:
    rng = np.random.default_rng(3)
    kind = Fixed(True, 14, 0)
    factor = np.array([1e-3, 0.77, 0.0123, 0.5])
    op = Requantize(factor, np.array([0, 1, -2, 3]), -16, 15)
    raw = rng.integers(kind.min, kind.max + 1, (400, 4))
    found, exact = steps(op, raw, kind), exactly(op, raw, kind)
    assert (found == exact)[turning(op, raw, kind) > slack(op, raw, kind)].all()


def test_a_bias_of_each_feature() -> None:
    """Between saturated ends the bias alone may decide; factors beside it are huge and tiny."""
    kind = Fixed(True, 9, 0)
    factor = np.array([1e-30, 1e-3, 0.3, 40.0, 1e25])
    offset = np.array([2.5001, -3.4999, 0.25, 11.75, -0.2])
    op = Requantize(factor, np.array(0), -8, 7, offset=offset)
    raw = np.repeat(np.arange(kind.min, kind.max + 1)[:, None], 5, axis=1)
    found, exact = steps(op, raw, kind), exactly(op, raw, kind)
    assert (found == exact)[turning(op, raw, kind) > slack(op, raw, kind)].all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("offset", [3e15, -3e15, 1e25])
def test_offsets_beyond_all_steps_saturate(offset: float) -> None:
    kind = Fixed(True, 8, 0)
    raw = np.repeat(np.arange(kind.min, kind.max + 1)[:, None], 2, axis=1)
    op = Requantize(np.array([0.3, 7.0]), np.array(0), -8, 7, offset=np.array([offset, 0.25]))
    assert (steps(op, raw, kind) == exactly(op, raw, kind)).all()


@pytest.mark.parametrize("each", ["scale", "zero"])
def test_a_quantizer_a_feature_behind_a_function_is_no_table_of_it(each: str) -> None:
    """One table serves all features, so that it cannot take such a quantizer in."""
    scale = np.array([0.5, 0.5, 0.5] if each == "zero" else [0.5, 0.25, 0.07])
    zero = np.array([0, 2, -3] if each == "zero" else [0, 0, 0])
    builder = Builder("one")
    x = builder.input("x", (3,))
    g = builder.add(Elementwise("gelu"), x, name="g", layer="g")
    op = ScaledQuantize(scale, zero, -8, 7)
    builder.output(builder.add(op, g, name="q", layer="q"))
    kind = Fixed(True, 7, 4)
    graph = fold_scales(builder.build())
    lowered = lower(graph, Types({"x": kind, "g": Fixed(True, 12, 8)}))
    raw = np.repeat(np.arange(kind.min, kind.max + 1)[:, None], 3, axis=1)
    found = lowered.to_real("q", run(lowered, {"x": raw})["q"])
    exact = run_reals(builder.build(), {"x": kind.to_real(raw)})["q"]
    assert np.abs(found - exact).max() <= scale.max() * 1.001
    assert (found == exact).mean() > 0.9


@pytest.mark.parametrize("power", [-900, -300, -60, 60, 300])
def test_tiny_and_huge_factors(power: int) -> None:
    kind = Fixed(True, 8, 0)
    raw = np.arange(kind.min, kind.max + 1)[:, None]
    factor = np.array(1.37 * 2.0**power)
    for zero in (0, 3):
        op = Requantize(factor, np.array(zero), -8, 7)
        assert (steps(op, raw, kind) == exactly(op, raw, kind)).all()


@settings(max_examples=60, deadline=None)
@given(
    st.floats(1e-6, 1e3),
    st.integers(-20, 20),
    st.integers(-40, 39),
    st.integers(1, 80),
    st.sampled_from(Rounding),
    st.integers(2, 13),
    st.integers(-3, 6),
    st.integers(4, 20),
    st.none() | st.floats(-300.0, 300.0),
    st.integers(0, 1 << 30),
)
def test_the_error_statement(
    factor: float, zero: int, low: int, span: int, rounding: Rounding,
    width: int, frac: int, bits: int, offset: float | None, seed: int,
) -> None:  # fmt: skip
    """A step differs from the exact one only within ``2^-b |x factor|`` of where it turns."""
    kind = Fixed(True, width, frac)
    bias = None if offset is None else np.array(offset)
    op = Requantize(np.array(factor), np.array(zero), low, low + span, rounding, 0, bias)
    raw = np.random.default_rng(seed).integers(kind.min, kind.max + 1, (30, 1))
    raw[:2, 0] = kind.min, kind.max
    found, exact = steps(op, raw, kind, bits), exactly(op, raw, kind)
    near = slack(op, raw, kind, bits)
    assert (found == exact)[turning(op, raw, kind) > near * (1 + 1e-9) + 1e-9].all()
    assert (np.abs(found - exact) <= 1 + near).all()


@settings(max_examples=200, deadline=None)
@given(st.floats(1e-300, 1e300), st.integers(2, 30))
def test_multipliers(factor: float, bits: int) -> None:
    """Near enough, with no more digits than rounding to ``bits`` bits would have."""
    (raw,), frac = multiplier(np.array([factor]), bits)
    exact = Fraction(int(raw)) * Fraction(2) ** -frac / Fraction(factor)
    assert abs(exact - 1) <= Fraction(2) ** -bits
    plain = round(Fraction(factor) * Fraction(2) ** (bits - int(np.frexp(factor)[1])))
    assert csd_digits(int(raw)) <= csd_digits(plain)


def csd_digits(m: int) -> int:
    count = 0
    while m:
        if m & 1:
            m -= 2 - (m & 3)
            count += 1
        m >>= 1
    return count


def test_multipliers_far_apart_share_their_fraction_bits() -> None:
    factor = np.array([1e-12, 1.0, 3e9])
    raw, frac = multiplier(factor, 12)
    exact = [
        Fraction(int(m)) * Fraction(2) ** -frac / Fraction(f) - 1
        for m, f in zip(raw, factor, strict=True)
    ]
    assert max(abs(x) for x in exact) <= Fraction(1, 1 << 12)
    assert wires(np.array([4.0, 4.0])) == 2 and wires(np.array([4.0, 2.0])) is None


def test_the_note_says_the_relative_error() -> None:
    op = Requantize(np.array([0.3, 0.007]), np.array(0), -8, 7)
    lowered = lower_noted(one(op, 2, Fixed(True, 8, 0)), Types({"x": Fixed(True, 8, 0)}))
    (note,) = (note for note in lowered.notes if note.choice == "scale")
    told = float(note.detail.rsplit(" ", 1)[1])
    (constant,) = (n.op for n in lowered.graph.nodes if isinstance(n.op, Constant))
    made = np.ldexp(constant.raw.ravel().astype(float), -constant.frac)
    assert told == pytest.approx(np.abs(made / op.factor - 1).max(), rel=1e-2)


def test_a_power_of_two_costs_one_cast() -> None:
    op = Requantize(np.array(0.125), np.array(0), -8, 7)
    lowered = lower_noted(one(op, 2, Fixed(True, 12, 0)), Types({"x": Fixed(True, 12, 0)}))
    ops = [n.op for n in lowered.graph.nodes]
    assert sum(isinstance(op, Cast) for op in ops) == 1
    assert not any(isinstance(op, Mul | Constant) for op in ops)


@pytest.mark.parametrize(
    ("scale", "low", "high", "kind", "overflow"),
    [
        (0.25, -8, 7, Fixed(True, 4, 2), Overflow.SAT),
        (0.25, -7, 7, Fixed(True, 4, 2), Overflow.SAT_SYM),
        (4.0, 0, 255, Fixed(False, 8, -2), Overflow.SAT),
        ([0.5, 0.5], 0, 1, Fixed(False, 1, 1), Overflow.SAT),
    ],
)
def test_plain_quantizers(
    scale: float, low: int, high: int, kind: Fixed, overflow: Overflow
) -> None:
    op = quantizer(np.array(scale), np.array(0), low, high)
    assert op == Quantize(kind, Rounding.RND_CONV, overflow)
    other = ScaledQuantize(np.array(scale), np.array(0), low, high)
    x = np.random.default_rng(0).normal(0, 4, (300, 2))
    reals = [run_reals(one(o, 2, Fixed(True, 8, 0)), {"x": x})["y"] for o in (op, other)]
    assert (reals[0] == reals[1]).all()


@pytest.mark.parametrize(
    ("scale", "zero", "low", "high"),
    [(0.3, 0, -8, 7), (0.25, 1, -8, 7), (0.25, 0, -8, 6), ([0.5, 0.25], 0, -8, 7)],
)
def test_quantizers_that_are_not_plain(scale: float, zero: int, low: int, high: int) -> None:
    assert isinstance(quantizer(np.array(scale), np.array(zero), low, high), ScaledQuantize)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.inf, np.nan, [1.0, 0.0], [[1.0]]])
def test_scales_that_are_none(scale: object) -> None:
    with pytest.raises(ModelError, match="E109"):
        ScaledQuantize(np.array(scale, np.float64), np.array(0), -8, 7)


def test_what_else_is_refused() -> None:
    with pytest.raises(ModelError, match="E109"):
        ScaledQuantize(np.array(1.0), np.array(0), 7, 7)
    with pytest.raises(ModelError, match="E110"):
        one(ScaledQuantize(np.ones(3), np.array(0), 0, 7), 4, Fixed(True, 8, 0))
    with pytest.raises(ModelError, match="E110"):
        one(Requantize(np.ones(3), np.array(0), 0, 7), 4, Fixed(True, 8, 0))
    with pytest.raises(ModelError, match="E110"):
        one(Linear(np.ones((4, 2)), None, (2,), np.ones(3)), 4, Fixed(True, 8, 0))
    with pytest.raises(DataError, match="E620"):
        ScaledQuantize(np.array(1.0), np.array(0), 0, 7).steps(np.array([np.nan]))


def test_both_work_without_folding() -> None:
    """The composites alone: the scale is multiplied in, and the result gets its type."""
    rng = np.random.default_rng(5)
    kernel, scale = rng.integers(-7, 8, (4, 3)).astype(float), rng.uniform(0.1, 0.4, 3)
    builder = Builder("unfolded")
    x = builder.input("x", (4,))
    h = builder.add(Linear(kernel, rng.normal(size=3), (3,), scale), x, name="h", layer="h")
    q = builder.add(ScaledQuantize(np.array(0.37), np.array(1), -8, 7), h, name="q", layer="q")
    builder.output(q)
    graph = builder.build()
    kind = Fixed(True, 9, 5)
    lowered = lower_noted(graph, Types({"x": kind}, default=Fixed(True, 16, 9))).graph
    raw = rng.integers(kind.min, kind.max + 1, (300, 4))
    found = lowered.to_real("q", run(lowered, {"x": raw})["q"])
    exact = run_reals(graph, {"x": kind.to_real(raw)})["q"]
    off = np.abs(found - exact) > 0.01
    assert off.mean() < 0.01 and np.abs(found - exact).max() < 0.38
