"""Linear, activations, softmax, norms, pools, embedding and affine: integers against reals."""

from __future__ import annotations

import numpy as np
import pytest

from gateformer.quant.errors import ModelError, TypeRangeError
from gateformer.quant.execute import run, run_reals
from gateformer.quant.expand import (
    FUNCTIONS,
    Affine,
    Elementwise,
    Embedding,
    LayerNorm,
    Linear,
    Pool,
    Quantize,
    RMSNorm,
    Softmax,
)
from gateformer.quant.expand.context import Options, Types
from gateformer.quant.graph import Builder, Graph
from gateformer.quant.lower import lower, lower_noted
from gateformer.quant.ops.base import Composite
from gateformer.quant.types import Fixed, FloatArray, Overflow, Rounding

PLAIN = sorted(n for n, f in FUNCTIONS.items() if f.__module__.endswith("expand.functions"))
X = Fixed(True, 8, 4)
OUT = Fixed(True, 24, 14)
TABLE = 2.0 ** -(Options().table_bits + 1)


def graph_of(*ops: Composite, shape: tuple[int, ...] = (5, 4), masked: bool = False) -> Graph:
    builder = Builder("net")
    name = builder.input("x", shape)
    extra = [builder.input("m", (shape[0], 1), masks="x")] if masked else []
    for index, op in enumerate(ops):
        name = builder.add(op, name, *extra, name=f"y{index}", layer=f"y{index}")
    builder.output(name)
    return builder.build()


def both(
    graph: Graph,
    given: dict[str, Fixed],
    reals: dict[str, FloatArray] | None = None,
    options: Options | None = None,
) -> tuple[FloatArray, FloatArray, Graph]:
    """Output as integers compute it, and as reals do, on extremes and random data."""
    if reals is None:
        rng = np.random.default_rng(0)
        shape = graph.values["x"].shape
        raw = rng.integers(X.min, X.max + 1, (80, *shape))
        raw[0], raw[1], raw[2] = X.min, X.max, 0
        reals = {"x": X.to_real(raw)}
        if "m" in graph.inputs:
            reals["m"] = (rng.random((80, shape[0], 1)) < 0.5).astype(np.float64)
            reals["m"][3], reals["m"][4] = 0.0, 1.0
    (output,) = graph.outputs
    lowered = lower(graph, Types({"x": X, output: OUT, **given}), options)
    raw_inputs = {n: lowered.values[n].fixed.from_real(reals[n]) for n in graph.inputs}
    found = lowered.values[output].fixed.to_real(run(lowered, raw_inputs)[output])
    return found, run_reals(graph, reals)[output], lowered


def test_linear_is_exact() -> None:
    rng = np.random.default_rng(1)
    kernel, bias = rng.integers(-99, 99, (4, 6)) / 64.0, rng.integers(-99, 99, 6) / 1024.0
    for shape in [(5, 4), (4,), (5, 2, 2)]:
        found, exact, _ = both(graph_of(Linear(kernel, bias, (2, 3)), shape=shape), {})
        assert (found == exact).all()


def test_float_kernels_are_quantized_and_reported() -> None:
    kernel = np.random.default_rng(1).normal(size=(4, 3))
    graph = graph_of(Linear(kernel, None, (3,)))
    done = lower_noted(graph, Types({"x": X, "y0": OUT}))
    assert [n.choice for n in done.notes] == ["weights"]
    given = {"y0/kernel": Fixed(True, 16, 12)}
    found, exact, _ = both(graph, given)
    assert np.abs(found - exact).max() <= 4 * 8.0 * 2.0**-13 + 2.0**-15


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("overflow", Overflow)
def test_quantizer_after_an_accumulator_is_the_frameworks(
    rounding: Rounding, overflow: Overflow
) -> None:
    rng = np.random.default_rng(2)
    linear = Linear(rng.integers(-99, 99, (4, 6)) / 64.0, rng.integers(-9, 9, 6) / 512.0, (6,))
    graph = graph_of(linear, Quantize(Fixed(True, 6, 3), rounding, overflow))
    found, exact, lowered = both(graph, {})
    assert (found == exact).all()
    assert [type(n.op).__name__ for n in lowered.nodes] == ["Dense", "Cast"]


def test_a_quantizer_on_the_input_is_its_type() -> None:
    kind = Fixed(True, 5, 2)
    lowered = lower(graph_of(Quantize(kind, overflow=Overflow.SAT_SYM)), Types())
    assert lowered.values["x"].fixed == kind


@pytest.mark.parametrize("name", PLAIN)
def test_functions_of_a_narrow_operand_are_rounded_once(name: str) -> None:
    kind = Fixed(True, 9, 5)
    found, exact, _ = both(graph_of(Elementwise(name), Quantize(kind)), {})
    assert (found == exact).all()


@pytest.mark.parametrize("name", ["gelu", "tanh", "sigmoid", "silu", "softplus"])
def test_functions_of_a_wide_operand_cast_to_an_index(name: str) -> None:
    kernel = np.random.default_rng(3).integers(-9, 9, (4, 4)) / 64.0
    graph = graph_of(Linear(kernel, None, (4,)), Elementwise(name))
    found, exact, lowered = both(graph, {"y1/index": Fixed(True, 12, 8)})
    assert lowered.values["y1/index"].fixed.width == 12
    assert np.abs(found - exact).max() <= 1.13 * 2.0**-9 + 2.0**-15  # |gelu'|, |silu'| < 1.13


@pytest.mark.parametrize("overflow", [Overflow.SAT, Overflow.SAT_SYM, Overflow.WRAP])
@pytest.mark.parametrize("signed", [False, True])
def test_relu_and_its_quantizer_are_the_frameworks(overflow: Overflow, signed: bool) -> None:
    kernel = np.random.default_rng(4).integers(-99, 99, (4, 4)) / 64.0
    quantize = Quantize(Fixed(signed, 6, 3), Rounding.RND_CONV, overflow)
    graph = graph_of(Linear(kernel, None, (4,)), Elementwise("relu"), quantize)
    found, exact, lowered = both(graph, {})
    assert (found == exact).all()
    casts = [n for n in lowered.nodes if type(n.op).__name__ == "Cast"]
    assert len(casts) == (2 if overflow is Overflow.WRAP else 1)


def test_relu_alone_is_exact_or_cast_once() -> None:
    graph = graph_of(Elementwise("relu"), Elementwise("relu"))
    found, exact, lowered = both(graph, {})
    assert (found == exact).all()
    assert not lowered.values["y1"].fixed.signed


def test_unknown_function() -> None:
    with pytest.raises(ModelError, match="unsupported activation"):
        Elementwise("mish2")


def test_a_causal_softmax_sees_no_later_key() -> None:
    for mode in ("direct", "max"):
        graph = graph_of(Softmax(0.25, causal=True), shape=(4, 2, 4))
        given = {"y0": Fixed(False, 17, 16), "y0/score": X, "y0/distance": Fixed(False, 10, 6)}
        found, exact, _ = both(graph, given, options=Options(softmax=mode))  # type: ignore[arg-type]
        later = np.triu(np.ones((4, 4)), 1)[:, None, :] != 0
        assert not found[:, np.broadcast_to(later, (4, 2, 4))].any()
        assert (found[:, 0, :, 0] >= 1.0 - 2.0**-8).all()
        assert np.abs(found - exact).max() <= 0.01


@pytest.mark.parametrize("shape", [(3,), (5, 3), (5, 1)])
def test_softmax(shape: tuple[int, ...]) -> None:
    given = {"y0": Fixed(False, 17, 16), "y0/score": X, "y0/distance": Fixed(False, 10, 6)}
    found, exact, lowered = both(graph_of(Softmax(), shape=shape), given)
    weight = np.expm1(2.0**-7) + 2.0**-17
    assert np.abs(found - exact).max() <= 2 * weight + TABLE + 2.0**-16 + 2.0**-15
    assert not lowered.values["y0"].fixed.signed
    assert np.abs(found.sum(-1) - 1.0).max() <= 2 * TABLE + shape[-1] * 2.0**-15


@pytest.mark.parametrize("features", [1, 2, 5, 6, 32])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_layer_norm(features: int, rank: int) -> None:
    rng = np.random.default_rng(features)
    gamma, beta = 2.0 ** rng.integers(-2, 2, features), rng.integers(-9, 9, features) / 8.0
    graph = graph_of(LayerNorm(gamma, beta, 1e-3), shape=(*(5, 2)[: rank - 1], features))
    found, exact, _ = both(graph, {"y0/normalized": Fixed(True, 18, 14)})
    assert (found[2] == beta).all()  # zero variance
    assert (found[0] == beta).all()
    size = np.sqrt(features)
    unit = size * (TABLE + 2.0**-15) + 2.0**-15 * size + 2.0**-14
    assert np.abs(found - exact).max() <= 2 * (unit + 0.004) + 2.0**-15  # epsilon: 0.1 of a step


def test_layer_norm_without_gamma_or_beta() -> None:
    graph = graph_of(LayerNorm(np.ones(4), np.zeros(4), 1e-2))
    found, exact, lowered = both(graph, {})
    assert np.abs(found - exact).max() <= 0.01
    assert "y0/gamma" not in lowered.values and "y0/beta" not in lowered.values


def test_rms_norm() -> None:
    graph = graph_of(RMSNorm(np.array([1.0, 0.5, 2.0, 1.0]), 1e-2))
    found, exact, _ = both(graph, {"y0/normalized": Fixed(True, 18, 14)})
    assert np.abs(found - exact).max() <= 2 * (2 * TABLE + 2.0**-12) + 0.005
    assert (found[2] == 0).all()


@pytest.mark.parametrize("kind", ["sum", "max", "mean"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", [(5, 4), (8, 4), (7, 2, 3), (1, 4)])
def test_pool(kind: str, masked: bool, shape: tuple[int, ...]) -> None:
    graph = graph_of(Pool(kind, masked), shape=shape, masked=masked)  # type: ignore[arg-type]
    found, exact, _ = both(graph, {})
    if kind != "mean":
        assert (found == exact).all()
    else:
        largest = 8.0 * (TABLE + 2.0**-16 + 2.0**-16) + 2.0**-15
        assert np.abs(found - exact).max() <= largest
        if not masked and shape[0] in (1, 8):
            assert (found == exact).all()
    if masked:
        assert (found[3] == 0).all()


@pytest.mark.parametrize("shape", [(6,), (6, 1)])
def test_embedding(shape: tuple[int, ...]) -> None:
    table = np.random.default_rng(0).integers(-50, 50, (5, 3)) / 16.0
    graph = graph_of(Embedding(table), shape=shape)
    reals = {"x": np.random.default_rng(1).integers(0, 8, (9, *shape)).astype(np.float64)}
    lowered = lower(graph, Types({"y0": OUT}))
    assert lowered.values["x"].fixed == Fixed(False, 3, 0)
    kind = lowered.values["y0"].fixed
    found = kind.to_real(run(lowered, {"x": reals["x"].astype(np.int64)})["y0"])
    assert (found == run_reals(graph, reals)["y0"]).all()


def test_embedding_needs_a_whole_index() -> None:
    graph = graph_of(Embedding(np.ones((4, 2))), shape=(3,))
    with pytest.raises(TypeRangeError, match="E206"):
        lower(graph, Types({"x": X, "y0": OUT}))


def test_affine_is_exact_if_dyadic() -> None:
    scale = np.array([0.5, -1.25, 3.0, 0.0])
    for offset in (np.array([0.125, 0.0, -7.0, 1.0]), np.zeros(4)):
        for shape in [(5, 4), (4,)]:
            found, exact, _ = both(graph_of(Affine(scale, offset), shape=shape), {})
            assert (found == exact).all()
