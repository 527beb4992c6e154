"""Affine maps beside linear layers: equal on reals, gone from the graph, exact where they were."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gateformer.quant.execute import run, run_reals
from gateformer.quant.expand import Affine, Elementwise, LayerNorm, Linear
from gateformer.quant.expand.context import Types
from gateformer.quant.graph import Builder, Graph
from gateformer.quant.lower import lower
from gateformer.quant.ops.elementwise import Add
from gateformer.quant.passes.fold_affine import fold_affine
from gateformer.quant.passes.prepare import prepare
from gateformer.quant.types import Fixed, FloatArray, Rounding

RNG = np.random.default_rng(4)
X = RNG.normal(size=(20, 5, 4))


def whole(*shape: int) -> FloatArray:
    """Weights of six bits."""
    return RNG.integers(-31, 32, shape) / 32


def kinds(graph: Graph) -> list[str]:
    return [type(node.op).__name__ for node in graph.nodes]


def same(before: Graph, after: Graph) -> None:
    for name, wanted in run_reals(before, {"x": X}).items():
        assert_allclose(run_reals(after, {"x": X})[name], wanted, atol=1e-12)


@pytest.mark.parametrize("features", [(6,), (2, 3)])
@pytest.mark.parametrize("biased", [True, False])
def test_behind_a_linear(features: tuple[int, ...], biased: bool) -> None:
    builder = Builder("behind")
    x = builder.input("x", (5, 4))
    linear = Linear(whole(4, 6), whole(6) if biased else None, features)
    h = builder.add(linear, x, name="h", layer="h")
    size = features[-1]
    op = Affine(RNG.uniform(-2, 2, size), RNG.normal(size=size))
    builder.output(builder.add(op, h, name="norm", layer="norm"))
    graph = builder.build()
    folded, notes = fold_affine(graph)
    assert kinds(folded) == ["Linear"]
    assert [note.layer for note in notes] == ["h"]
    same(graph, folded)
    (node,) = folded.nodes
    assert isinstance(node.op, Linear)
    assert node.op.scale is not None
    assert_array_equal(node.op.kernel, linear.kernel)  # still exact integers


def test_powers_of_two_stay_in_the_kernel() -> None:
    builder = Builder("powers")
    x = builder.input("x", (5, 4))
    h = builder.add(Linear(whole(4, 3), None, (3,)), x, name="h", layer="h")
    op = Affine(np.array([0.5, -2.0, 4.0]), np.zeros(3))
    builder.output(builder.add(op, h, name="y", layer="y"))
    graph = builder.build()
    folded, _ = fold_affine(graph)
    (node,) = folded.nodes
    assert isinstance(node.op, Linear)
    assert node.op.scale is None
    same(graph, folded)
    # Without the map between them, nothing is rounded before the last cast.
    kind = Fixed(True, 24, 10)
    raw = {"x": kind.from_real(X)}
    exact = run_reals(graph, {"x": kind.to_real(raw["x"])})["y"]
    assert_array_equal(
        run(lower(folded, Types(default=kind)), raw)["y"], kind.from_real(exact, Rounding.RND)
    )


def two_readers(scale: FloatArray, kernels: tuple[FloatArray, FloatArray]) -> Graph:
    builder = Builder("before")
    x = builder.input("x", (5, 4))
    r = builder.add(Elementwise("relu"), x, name="r", layer="r")
    n = builder.add(Affine(scale, RNG.normal(size=4)), r, name="norm", layer="norm")
    for number, kernel in enumerate(kernels):
        linear = Linear(kernel, None, (3,))
        builder.output(builder.add(linear, n, name=f"y{number}", layer=f"y{number}"))
    return builder.build()


def test_before_linears_of_real_weights() -> None:
    graph = two_readers(RNG.uniform(0.5, 2, 4), (RNG.normal(size=(4, 3)), RNG.normal(size=(4, 3))))
    folded, notes = fold_affine(graph)
    assert kinds(folded) == ["Elementwise", "Linear", "Linear"]
    assert [note.layer for note in notes] == ["y0", "y1"]
    same(graph, folded)


def test_exact_weights_are_not_made_inexact() -> None:
    graph = two_readers(np.full(4, 1.1), (whole(4, 3), whole(4, 3)))
    assert kinds(fold_affine(graph)[0]) == kinds(graph)
    graph = two_readers(np.full(4, 0.25), (whole(4, 3), whole(4, 3)))
    assert "Affine" not in kinds(fold_affine(graph)[0])


def test_what_others_read_stays() -> None:
    builder = Builder("kept")
    x = builder.input("x", (5, 4))
    h = builder.add(Linear(whole(4, 4), None, (4,)), x, name="h", layer="h")
    n = builder.add(Affine(np.full(4, 1.1), np.zeros(4)), h, name="norm", layer="norm")
    builder.output(builder.add(Add(), n, h, name="sum", layer="sum"))
    graph = builder.build()
    assert kinds(fold_affine(graph)[0]) == kinds(graph)


def test_a_normalization_costs_and_its_affine_form_does_not() -> None:
    def block(affine: bool) -> Graph:
        rng = np.random.default_rng(1)
        builder = Builder("block")
        x = builder.input("x", (5, 4))
        first = Linear(rng.normal(size=(4, 8)), None, (8,))
        h = builder.add(first, x, name="h", layer="h")
        gamma, beta = rng.uniform(0.5, 2, 8), rng.normal(size=8)
        norm = Affine(gamma, beta) if affine else LayerNorm(gamma, beta, 1e-3)
        n = builder.add(norm, h, name="norm", layer="norm")
        r = builder.add(Elementwise("relu"), n, name="r", layer="r")
        builder.output(builder.add(Linear(whole(8, 3), None, (3,)), r, name="y", layer="y"))
        return builder.build()

    from gateformer.study.area import area

    kind = Types(default=Fixed(True, 10, 5))
    kept = area(lower(prepare(block(False))[0], kind))
    folded, _ = prepare(block(True), affine=True)
    gone = area(lower(folded, kind))
    assert "Affine" not in kinds(folded)
    assert gone.lut < 0.5 * kept.lut
    assert gone.latency < kept.latency
