"""Truncated sums: integers by hand, errors inside the stated bounds, fewer LUTs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateformer.hw import cmvm
from gateformer.hw.dataflow.truncate import cut, truncate
from gateformer.quant.execute import run
from gateformer.quant.graph import Builder, Graph
from gateformer.quant.ops.cast import Cast
from gateformer.quant.ops.dense import Dense
from gateformer.quant.ops.elementwise import Add
from gateformer.quant.ops.layout import Reshape
from gateformer.quant.ops.lookup import Lookup
from gateformer.quant.ops.shift_add import ShiftAdd
from gateformer.quant.serialize import from_json, to_json
from gateformer.quant.types import Fixed
from gateformer.study.area import area

X = Fixed(True, 8, 6)


def dense(rng: np.random.Generator, inputs: int, outputs: int, bits: int = 6) -> Dense:
    top = 1 << (bits - 1)
    weight = rng.integers(-top + 1, top, (outputs, inputs))
    return Dense(weight, bits - 1, rng.integers(-900, 900, outputs), 11, (outputs,))


def graph(op: Dense, keep: int = 3) -> Graph:
    builder = Builder("one")
    x = builder.input("x", (3, op.weight.shape[1]), X)
    y = builder.add(op, x, name="y/exact", layer="y")
    builder.output(builder.add(Cast(Fixed(True, 8, keep)), y, name="y", layer="y"))
    return builder.build()


def test_by_hand() -> None:
    """Two steps, one of them cut: 5 x0 + 3 x1 without its two lowest bits."""
    steps = np.array([[0, 0, 0, -2, 0], [1, 2, -1, 0, 1]])
    op = ShiftAdd(steps, np.array([[3, -1, 1], [-1, 0, 0]]), np.array([7, -2]), -2, (2,), 2)
    x = np.array([[[13, -5]]])
    first = 13 + (13 >> 2)
    second = (-5 >> 1) - first
    assert op.execute((X,), x).tolist() == [[[-(second >> 1) + 7, -2]]]


@pytest.mark.parametrize("solver", ["csd", "da4ml"])
@pytest.mark.parametrize("bits", [1, 3, 6, 9, 14])
def test_errors_stay_inside_their_bounds(bits: int, solver: str) -> None:
    rng = np.random.default_rng(bits)
    op = dense(rng, 7, 5)
    found = cut(op, X, bits, solver)  # type: ignore[arg-type]
    x = rng.integers(X.min, X.max + 1, (4000, 2, 7))
    error = found.op.execute((X,), x) - op.execute((X,), x) / 2.0**bits
    assert found.low <= error.min() <= error.max() <= found.high
    # Means are made up for by the bias, which is whole; the bound is no wild guess.
    assert np.abs(error.mean((0, 1))).max() < 0.75
    assert found.high - found.low < 4 * (error.max() - error.min())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 5), st.integers(0, 12))
def test_any_matrix(seed: int, inputs: int, outputs: int, bits: int) -> None:
    rng = np.random.default_rng(seed)
    op = dense(rng, inputs, outputs, int(rng.integers(2, 9)))
    op.weight[rng.random(op.weight.shape) < 0.3] = 0
    found = cut(op, X, bits, "csd")
    x = rng.integers(X.min, X.max + 1, (200, 1, inputs))
    y = found.op.execute((X,), x)
    error = y - op.execute((X,), x) / 2.0**bits
    assert found.low <= error.min() <= error.max() <= found.high
    builder = Builder("g")
    name = builder.add(found.op, builder.input("x", (1, inputs), X), name="y", layer="y")
    value = builder.values[name]
    lo, hi = value.bounds
    assert (y >= lo).all()
    assert (y <= hi).all()
    if bits == 0:
        np.testing.assert_array_equal(y, op.execute((X,), x))


def test_only_what_a_cast_drops_is_cut() -> None:
    op = dense(np.random.default_rng(0), 6, 4)
    exact = graph(op)
    same, notes = truncate(exact, 8)
    assert not notes
    assert isinstance(same.nodes[0].op, Dense)
    less, (note,) = truncate(exact, 2)
    assert note.choice == "truncate"
    assert "6 low bits" in note.detail
    assert less.values["y/exact"].fixed.frac == 5
    x = np.random.default_rng(1).integers(X.min, X.max + 1, (500, 3, 6))
    error = run(less, {"x": x})["y"] - run(exact, {"x": x})["y"]
    assert 0 < np.abs(error).max() <= 3
    again = from_json(to_json(less))
    np.testing.assert_array_equal(run(again, {"x": x})["y"], run(less, {"x": x})["y"])


def test_a_matrix_over_flattened_tokens_stays_for_its_multipliers() -> None:
    builder = Builder("flat")
    flat = builder.add(Reshape((12,)), builder.input("x", (3, 4), X), name="flat", layer="flat")
    rng = np.random.default_rng(0)
    y = builder.add(dense(rng, 12, 4), flat, name="y/exact", layer="y")
    h = builder.add(Cast(X), y, name="y", layer="y")
    z = builder.add(dense(rng, 4, 4), h, name="z/exact", layer="z")
    builder.output(builder.add(Cast(Fixed(True, 8, 3)), z, name="z", layer="z"))
    kinds = [type(node.op) for node in truncate(builder.build(), 0)[0].nodes]
    assert kinds == [Reshape, Dense, Cast, ShiftAdd, Cast]


def test_tables_keep_the_type_that_they_were_made_for() -> None:
    """Cut sums have other ranges, and what is exact behind their casts other types."""
    kinds = set()
    for bias in range(-60, 60):
        builder = Builder("table")
        x = builder.input("x", (3, 1), Fixed(True, 3, 1))
        op = Dense(np.array([[5]]), 4, np.array([bias]), 5, (1,))
        held = builder.add(Cast(Fixed(True, 9, 1)), builder.add(op, x, name="e", layer="y"),
                           name="y", layer="y")  # fmt: skip
        twice = builder.add(Add(), held, held, name="twice", layer="y")
        size = 1 << builder.values[twice].fixed.width
        table = builder.add(Lookup(np.arange(size), 0), twice, name="t", layer="y")
        builder.output(table)
        cut_graph, notes = truncate(builder.build(), 0)
        assert notes
        assert cut_graph.values["t"].shape == (3, 1)
        kinds.add(tuple(type(node.op) for node in cut_graph.nodes))
    assert kinds == {(ShiftAdd, Cast, Add, Lookup), (ShiftAdd, Cast, Add, Cast, Lookup)}


def test_weights_beyond_the_solvers_stay() -> None:
    op = Dense(np.array([[1 << 70, 3]], object), 71, np.array([0]), 0, (1,))
    assert isinstance(truncate(graph(op), 0)[0].nodes[0].op, Dense)


def test_an_output_stays_exact() -> None:
    builder = Builder("out")
    x = builder.input("x", (3, 4), X)
    builder.output(builder.add(dense(np.random.default_rng(0), 4, 2), x, name="y", layer="y"))
    exact = builder.build()
    assert truncate(exact, 0)[0].nodes[0].op is exact.nodes[0].op


def test_fewer_luts() -> None:
    op = dense(np.random.default_rng(3), 16, 16)
    exact = graph(op)
    assert area(truncate(exact, 2)[0]).lut < 0.8 * area(exact).lut


def test_pruned_weights_shrink_adder_graphs() -> None:
    """Zeros are adders that are not there: at half the weights, well under two thirds of them."""
    rng = np.random.default_rng(5)
    weight = rng.integers(-31, 32, (16, 16))
    order = np.argsort(np.abs(weight), axis=None)
    counts = []
    for share in (0.0, 0.5, 0.75):
        kept = weight.copy()
        kept.ravel()[order[: int(share * weight.size)]] = 0
        counts.append(len(cmvm.solve(kept).steps))
    assert counts[1] < 0.67 * counts[0]
    assert counts[2] < 0.67 * counts[1]


def test_a_bound_on_weights_makes_accumulators_narrow() -> None:
    """A2Q (Colbert et al., arXiv 2308.13504): |w|_1 <= (2^(P-1) - 1) 2^(s-N) fits P bits."""
    rng = np.random.default_rng(6)
    for bits in (10, 12, 14):
        limit = ((1 << (bits - 1)) - 1) / 2.0 ** (X.width - 1)
        weight = rng.laplace(size=(8, 16))
        scale = np.abs(weight).sum(1, keepdims=True) / limit
        held = np.trunc(weight / scale).astype(np.int64)
        op = Dense(held, 5, np.zeros(8, np.int64), 0, (8,))
        value = graph(op).values["y/exact"]
        assert value.fixed.width <= bits
