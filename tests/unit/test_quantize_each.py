"""QuantizeEach, Table and Exact: integers equal reals, element by element."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gateformer.quant.errors import ModelError, Problems, TypeRangeError
from gateformer.quant.execute import run, run_reals
from gateformer.quant.expand import Exact, Linear, Quantize, QuantizeEach, Table
from gateformer.quant.expand.context import Types
from gateformer.quant.expand.float32_functions import SINGLE
from gateformer.quant.expand.functions import FUNCTIONS
from gateformer.quant.graph import Builder, Graph
from gateformer.quant.lower import floor_of, lower
from gateformer.quant.ops.base import Composite
from gateformer.quant.ops.normalize import Shift
from gateformer.quant.serialize import from_json, to_json
from gateformer.quant.types import Fixed, IntArray, Overflow, Rounding

KINDS = st.builds(Fixed, st.booleans(), st.integers(1, 12), st.integers(-3, 9))


def graph_of(*ops: Composite, shape: tuple[int, ...]) -> Graph:
    builder = Builder("net")
    name = builder.input("x", shape)
    for index, op in enumerate(ops):
        name = builder.add(op, name, name=f"y{index}", layer=f"y{index}")
    builder.output(name)
    return builder.build()


def equal(graph: Graph, kind: Fixed, raw: IntArray) -> IntArray:
    """Raw results, which are the reals' and inside the proven range."""
    lowered = lower(graph, Types(given={"x": kind}))
    (name,) = lowered.outputs
    found = run(lowered, {"x": raw})[name]
    expected = run_reals(graph, {"x": kind.to_real(raw)})[name]
    np.testing.assert_array_equal(lowered.values[name].fixed.to_real(found), expected)
    low, high = lowered.values[name].bounds
    assert ((found >= low) & (found <= high)).all()
    return found


@st.composite
def quantizers(draw: st.DrawFn, shape: tuple[int, ...]) -> QuantizeEach:
    own = tuple(draw(st.sampled_from([1, n])) for n in shape)
    signed, width, frac = (
        draw(arrays(np.int64, own, elements=st.integers(*ends)))
        for ends in ((0, 1), (0, 9), (-4, 9))
    )
    rounding = draw(st.sampled_from(Rounding))
    return QuantizeEach(
        signed, width, frac, rounding, draw(st.sampled_from([Overflow.WRAP, Overflow.SAT]))
    )


@given(quantizers((3, 4)), KINDS, st.integers(0, 99))
def test_integers_are_the_reals(op: QuantizeEach, kind: Fixed, seed: int) -> None:
    raw = np.random.default_rng(seed).integers(kind.min, kind.max + 1, (40, 3, 4))
    raw[0], raw[1] = kind.min, kind.max
    equal(graph_of(op, shape=(3, 4)), kind, raw)


@given(quantizers((2, 2, 3)), quantizers((2, 2, 3)))
def test_one_behind_another(first: QuantizeEach, second: QuantizeEach) -> None:
    kind = Fixed(True, 10, 5)
    raw = np.random.default_rng(0).integers(kind.min, kind.max + 1, (40, 2, 2, 3))
    equal(graph_of(first, second, shape=(2, 2, 3)), kind, raw)


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("overflow", [Overflow.WRAP, Overflow.SAT])
def test_each_element_is_its_own_quantizer(rounding: Rounding, overflow: Overflow) -> None:
    """Every value of an input against a quantizer of that element's type alone."""
    kinds = [Fixed(True, 4, 2), Fixed(False, 3, 3), Fixed(True, 1, 0), Fixed(False, 6, -1)]
    signed, width, frac = (
        np.array([[getattr(k, field) for k in kinds]], np.int64)
        for field in ("signed", "width", "frac")
    )
    source = Fixed(True, 9, 4)
    raw = np.arange(source.min, source.max + 1)
    frames = np.repeat(raw[:, None, None], 4, axis=2)
    op = QuantizeEach(signed, width, frac, rounding, overflow)
    lowered = lower(graph_of(op, shape=(1, 4)), Types(given={"x": source}))
    found = lowered.values["y0"].fixed.to_real(run(lowered, {"x": frames})["y0"])[:, 0]
    for column, kind in zip(found.T, kinds, strict=True):
        alone = kind.to_real(kind.from_real(source.to_real(raw), rounding, overflow))
        np.testing.assert_array_equal(column, alone)


def test_elements_without_bits_are_zero() -> None:
    one = np.ones((1, 3), np.int64)
    none = QuantizeEach(one, 0 * one, one, Rounding.RND, Overflow.WRAP)
    kind = Fixed(True, 6, 2)
    raw = np.random.default_rng(0).integers(-32, 32, (9, 2, 3))
    assert not equal(graph_of(none, shape=(2, 3)), kind, raw).any()
    some = QuantizeEach(one, np.array([[3, 0, 2]]), one)
    found = equal(graph_of(some, shape=(2, 3)), kind, raw)
    assert not found[..., 1].any()
    assert found[..., 0].any()


def test_bits_finer_than_the_operand_cost_nothing() -> None:
    """A step of 2^-40, such as HGQ2 gives to what was always zero, leaves a narrow type."""
    op = QuantizeEach(
        np.array([[1, 1]]), np.array([[8, 8]]), np.array([[4, 40]]), Rounding.RND, Overflow.WRAP
    )
    lowered = lower(graph_of(op, shape=(1, 2)), Types(given={"x": Fixed(True, 9, 5)}))
    assert lowered.values["y0"].fixed.width <= 9


def test_amounts_that_tokens_share_are_constants_of_one_token() -> None:
    width = np.array([[3, 5, 4]])
    op = QuantizeEach(np.ones_like(width), width, width - 2, Rounding.RND, Overflow.WRAP)
    lowered = lower(graph_of(op, shape=(4, 3)), Types(given={"x": Fixed(True, 12, 6)}))
    amounts = [node.inputs[1] for node in lowered.nodes if isinstance(node.op, Shift)]
    assert amounts
    assert all(lowered.values[name].shape[0] == 1 for name in amounts)


def test_what_it_refuses() -> None:
    one = np.ones((1, 3), np.int64)
    with pytest.raises(ModelError, match=r"E110.*do not fit"):
        graph_of(QuantizeEach(one, one, one), shape=(2, 4))
    with pytest.raises(ModelError, match=r"E110.*wraps or saturates"):
        graph_of(QuantizeEach(one, one, one, Rounding.RND, Overflow.SAT_SYM), shape=(2, 3))


def test_a_table_holds_the_quantized_function_at_every_index() -> None:
    kind, out = Fixed(True, 7, 4), Fixed(True, 6, 4)
    raw = np.arange(kind.min, kind.max + 1)[:, None]
    for name in SINGLE:
        op = Table(f"{name}_float32", (), out, Rounding.RND, Overflow.SAT)
        found = equal(graph_of(op, shape=(1,)), kind, raw)
        exact = FUNCTIONS[name](kind.to_real(raw))
        np.testing.assert_array_equal(found, out.from_real(exact.astype("f"), Rounding.RND))


def test_a_table_is_never_indexed_by_a_cast() -> None:
    op = Table("tanh_float32", (), Fixed(True, 6, 4))
    with pytest.raises(TypeRangeError, match=r"E206.*at most 16 bits"):
        lower(graph_of(op, shape=(1,)), Types(given={"x": Fixed(True, 17, 4)}))
    with pytest.raises(ModelError, match="E102"):
        Table("no such", (), Fixed(True, 6, 4))


def test_exact_values_need_no_type() -> None:
    """Behind a dense layer whose accumulator is wider than any default type."""
    linear = Linear(np.array([[0.5, 3.25], [1.0, -0.125]]), None, (2,))
    kind = Fixed(True, 20, 9)
    graph = graph_of(Quantize(kind, Rounding.RND), linear, Exact(), shape=(3, 2))
    raw = np.random.default_rng(0).integers(kind.min, kind.max + 1, (30, 3, 2))
    equal(graph, kind, raw)


@pytest.mark.parametrize("overflow", [Overflow.WRAP, Overflow.SAT])
@given(seed=st.integers(0, 9999))
def test_the_input_follows_from_what_reads_it(overflow: Overflow, seed: int) -> None:
    """Any reals, in range or not, rounded down by the host: as if quantized themselves."""
    rng = np.random.default_rng(seed)
    builder = Builder("net")
    builder.input("x", (3, 4))
    for number in range(2):
        shape = (3 if rng.random() < 0.5 else 1, 4)
        signed, width, frac = (rng.integers(*ends, shape) for ends in ((0, 2), (1, 8), (-3, 8)))
        rounding = rng.choice([Rounding.RND, Rounding.TRN])
        op = QuantizeEach(signed, width, frac, rounding, overflow)
        builder.output(builder.add(op, "x", name=f"y{number}", layer="y"))
    graph = builder.build()
    lowered = lower(graph, Types())
    assert lowered.floors == {"x": overflow}
    x = rng.normal(size=(50, 3, 4)) * 10.0 ** rng.integers(-2, 3)
    found = run(lowered, {"x": lowered.from_real("x", x)})
    for name, exact in run_reals(graph, {"x": x}).items():
        np.testing.assert_array_equal(lowered.to_real(name, found[name]), exact)
    again = from_json(to_json(lowered))
    assert (again.floors, to_json(again)) == (lowered.floors, to_json(lowered))


def test_inputs_that_are_rounded_to_the_nearest_step() -> None:
    kind = Fixed(True, 6, 3)
    even = Quantize(kind, Rounding.RND_CONV, Overflow.SAT)
    wraps, clips = (Quantize(kind, Rounding.RND, o) for o in (Overflow.WRAP, Overflow.SAT))
    wide = Quantize(Fixed(True, 32, 3), Rounding.RND, Overflow.WRAP)
    assert floor_of([even]) is None
    assert floor_of([wraps, clips]) is None
    assert floor_of([wide]) is None
    assert floor_of([wraps, wraps]) == (Fixed(True, 7, 4), Overflow.WRAP)
    assert floor_of([Exact()]) is None
    given = lower(graph_of(wraps, shape=(2, 2)), Types(given={"x": Fixed(True, 9, 5)}))
    assert not given.floors


def test_only_inputs_are_rounded_down() -> None:
    builder = Builder("net")
    builder.input("x", (2, 2))
    builder.output(builder.add(Exact(), "x", name="y", layer="y"))
    builder.floor("y", Overflow.WRAP)
    with pytest.raises(Problems, match=r"E130.*rounded down"):
        builder.build()


def test_they_survive_their_file() -> None:
    one = np.array([[1, 0]])
    each = QuantizeEach(one, one + 3, one + 1, Rounding.TRN, Overflow.SAT)
    table = Table("exp_float32", (("factor", -0.5),), Fixed(False, 5, 5))
    graph = graph_of(each, Exact(), table, shape=(2, 2))
    assert to_json(from_json(to_json(graph))) == to_json(graph)
