"""Folding scales: equal on reals, integers between, units kept through passes and files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from equiv.networks import NETWORKS, Maker
from hypothesis import given, settings
from hypothesis import strategies as st

from gateformer.quant.calibrate import calibrate
from gateformer.quant.compare import compare
from gateformer.quant.errors import GateformerError
from gateformer.quant.execute import run, run_reals
from gateformer.quant.expand import (
    Affine,
    Elementwise,
    LayerNorm,
    Linear,
    Pool,
    Quantize,
    Requantize,
    RMSNorm,
    Scale,
    ScaledQuantize,
    Softmax,
)
from gateformer.quant.expand.context import Types
from gateformer.quant.graph import Builder, Graph
from gateformer.quant.lower import lower, lower_noted
from gateformer.quant.ops.cast import Constant
from gateformer.quant.ops.elementwise import Add, Mul
from gateformer.quant.ops.layout import Concat, Reshape, Slice, Transpose
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.passes.fold_scales import fold_scales
from gateformer.quant.serialize import from_json, to_json
from gateformer.quant.types import Fixed, FloatArray, Overflow

SCALED = ("scaled_dense", "scaled_attention")


def made(name: str) -> Graph:
    builder = Builder(name)
    NETWORKS[name](Maker(builder, np.random.default_rng(1)))
    return builder.build()


def maker(name: str, *shape: int, seed: int = 0) -> tuple[Maker, str]:
    builder = Builder(name)
    return Maker(builder, np.random.default_rng(seed)), builder.input("x", shape)


def equal(graph: Graph, folded: Graph, data: FloatArray) -> None:
    """Every value that both have is the same on reals, but for float64's rounding."""
    before = run_reals(graph, {"x": data}, keep=True)
    after = run_reals(folded, {"x": data}, keep=True)
    assert set(graph.outputs) == set(folded.outputs)
    for name in after.keys() & before.keys():
        np.testing.assert_allclose(after[name], before[name], rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("name", SCALED)
def test_networks_are_equal_on_reals(name: str) -> None:
    graph = made(name)
    folded = fold_scales(graph)
    data = np.random.default_rng(2).normal(0, 2, (200, *graph.values["x"].shape))
    equal(graph, folded, data)
    assert not any(isinstance(n.op, ScaledQuantize) for n in folded.nodes)
    assert all(n.op.scale is None for n in folded.nodes if isinstance(n.op, Linear))
    assert fold_scales(folded) is folded


def test_graphs_without_scales_are_left_alone() -> None:
    for name in ("dense", "masked", "layer_norm"):
        graph = made(name)
        assert fold_scales(graph) is graph


def test_what_becomes_of_a_block() -> None:
    """Inputs quantized by the host, integer weights, one factor a quantizer, none elsewhere."""
    folded = fold_scales(made("scaled_attention"))
    ops = {n.output: n.op for n in folded.nodes}
    assert isinstance(ops["coded"], Quantize) and folded.scales["x"] == 0.13
    for name in ("query", "key", "value", "project"):
        op = ops[name]
        assert isinstance(op, Linear)
        assert (op.kernel == np.rint(op.kernel)).all() and np.abs(op.kernel).max() == 7
    query = ops["q"] if "q" in ops else ops["q_steps"]
    assert isinstance(query, Requantize) and query.factor.shape == ()
    value = ops["v_steps"]
    assert isinstance(value, Requantize) and value.factor.shape == (1, 2, 2)
    shares = ops["shares"]
    assert isinstance(shares, Softmax) and shares.scale == pytest.approx(0.17 * 0.19)
    assert sum(isinstance(op, Scale) for op in ops.values()) == 2  # of the residual sum alone
    assert isinstance(ops["normed"], Quantize)  # the norm's constants took its scale
    lowered = lower_noted(folded, Types(default=Fixed.parse("fixed<12,5>"))).graph
    assert lowered.values["x"].fixed == Fixed(True, 5, 0)


def test_powers_of_two_cost_nothing() -> None:
    m, x = maker("powers", 3, 4)
    h = m.steps(x, 0.25, 5, "coded")
    kernel = m.rng.integers(-7, 8, (4, 5)).astype(np.float64)
    h = m.one(Linear(kernel, m.weights(5), (5,), np.full(5, 0.125)), h, name="hidden")
    m.builder.output(m.steps(h, 0.5, 6, "y"))
    graph = m.builder.build()
    folded = fold_scales(graph)
    assert not folded.scales
    assert all(isinstance(n.op, Quantize | Linear) for n in folded.nodes)
    lowered = lower(folded, Types())
    assert not any(isinstance(n.op, Mul) for n in lowered.nodes)
    data = np.random.default_rng(0).normal(0, 2, (300, 3, 4))
    equal(graph, folded, data)
    exact = run_reals(graph, {"x": data})["y"]
    found = run(lowered, {"x": lowered.from_real("x", data)})["y"]
    assert (lowered.to_real("y", found) == exact).all()


def test_every_rule() -> None:
    """A unit of one or of many meets every operation; the reals stay."""
    each = np.array([0.3, 0.7, 0.11, 0.9])
    cases = {
        "affine": [Affine(np.array([1.0, -2.0, 0.5, 3.0]), np.arange(4.0))],
        "layer_norm": [LayerNorm(np.arange(1.0, 5.0), np.arange(4.0), 1e-2)],
        "rms_norm": [RMSNorm(np.arange(1.0, 5.0), 1e-2)],
        "softmax": [Softmax()],
        "relu": [Elementwise("relu")],
        "clipped": [Elementwise("relu", (("max_value", 1.0),))],
        "sigmoid": [Elementwise("sigmoid")],
        "identity": [Elementwise("identity")],
        "mean": [Pool("mean")],
        "max": [Pool("max")],
        "reshape": [Reshape((3, 2, 2)), Transpose((0, 2, 1)), Reshape((3, 4))],
        "tokens": [Reshape((4, 3)), Pool("sum")],
        "turned": [Transpose((1, 0)), Pool("mean")],
        "slice": [Slice(1, 3)],
        "wrap": [Quantize(Fixed(True, 5, 2), overflow=Overflow.WRAP)],
        "signs": [Linear(np.eye(4), None, (4,), np.array([0.3, -0.2, 0.0, 0.25]))],
    }
    rng = np.random.default_rng(0)
    for scale in (0.37, each):
        for name, ops in cases.items():
            m, x = maker(name, 3, 4)
            y = m.steps(x, scale, 6, "coded")
            for index, op in enumerate(ops):
                y = m.one(op, y, name=f"y{index}")
            m.builder.output(m.steps(y, 0.19137, 6, "last"))
            m.builder.output(y)
            graph = m.builder.build()
            equal(graph, fold_scales(graph), rng.normal(0, 3, (100, 3, 4)))


def test_sums_and_products_of_unequal_units() -> None:
    each = np.array([0.3, 0.7, 0.11, 0.9])
    rng = np.random.default_rng(0)
    constant = Constant(rng.integers(-9, 9, (3, 4)), 2)
    for a, b in ((0.3, 0.3), (0.3, 0.05), (each, 0.2), (each, each), (each, each[::-1])):
        for end in (0.13137, None):
            m, x = maker("pairs", 3, 4)
            left, right = m.steps(x, a, 5, "left"), m.steps(x, b, 6, "right")
            total = m.one(Add(), left, right, name="total")
            apart = m.one(Add(subtract=True), total, m.one(constant, name="place"), name="apart")
            times = m.one(Mul(), apart, left, name="times")
            joined = m.one(Concat(), times, right, name="joined")
            if end is not None:
                joined = m.steps(joined, end, 8, "last")
            for name in (apart, joined):
                m.builder.output(name)
            graph = m.builder.build()
            equal(graph, fold_scales(graph), rng.normal(0, 2, (50, 3, 4)))


@pytest.mark.parametrize("contract", ["features", "tokens"])
def test_products_of_tensors(contract: str) -> None:
    rng = np.random.default_rng(0)
    unequal = rng.uniform(0.1, 0.9, 3)
    for a in (0.2, unequal):
        for b in (0.3, unequal):
            m, x = maker("matmul", 3, 2, 3)
            left, right = m.steps(x, a, 5, "left"), m.steps(x, b, 6, "right")
            m.builder.output(m.one(MatMul(contract), left, right, name="y"))  # type: ignore[arg-type]
            graph = m.builder.build()
            equal(graph, fold_scales(graph), rng.normal(0, 2, (50, 3, 2, 3)))


def test_an_input_of_two_quantizers_keeps_its_unit() -> None:
    m, x = maker("two", 4)
    m.builder.output(m.steps(x, 0.3, 5, "coarse"))
    m.builder.output(m.steps(x, 0.01, 8, "fine"))
    graph = m.builder.build()
    folded = fold_scales(graph)
    assert "x" not in folded.scales
    equal(graph, folded, np.random.default_rng(0).normal(0, 2, (200, 4)))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 30))
def test_random_chains(seed: int) -> None:
    rng = np.random.default_rng(seed)
    m, y = maker("chain", 3, 4, seed=seed)
    kept = y
    for index in range(int(rng.integers(2, 9))):
        name = f"n{index}"
        match int(rng.integers(7)):
            case 0:
                y = m.scaled(y, 4, name, each=bool(rng.integers(2)))
            case 1:
                y = m.one(Elementwise(str(rng.choice(["relu", "gelu", "tanh"]))), y, name=name)
            case 2:
                y = m.one(Add(), y, kept, name=name)
            case 3:
                y = m.one(LayerNorm(m.weights(4) + 1.5, m.weights(4), 0.1), y, name=name)
            case 4:
                y = m.one(Affine(m.weights(4), m.weights(4)), y, name=name)
            case _:
                size = 4 if rng.integers(2) else ()
                zero = int(rng.integers(-3, 4))
                scale = 2.0 ** rng.uniform(-6, 0, size)
                y = kept = m.steps(y, scale, int(rng.integers(2, 9)), name, zero=zero)
    m.builder.output(y)
    graph = m.builder.build()
    folded = fold_scales(graph)
    data = rng.normal(0, 1, (20, 3, 4))
    before, after = (run_reals(g, {"x": data}, keep=True) for g in (graph, folded))
    for name in after.keys() & before.keys():
        # A tie may fall either way: whatever comes after it is not compared.
        near = np.isclose(after[name], before[name], rtol=1e-7, atol=1e-7)
        if near.mean() < 0.98:
            raise AssertionError(f"{name}: {near.mean():.3f} of {seed}")
        if not near.all():
            break


def test_calibration_and_comparison_speak_the_models_units() -> None:
    """A scale of the input changes no error that is reported, nor an output's reals."""
    graph = made("scaled_attention")
    folded = fold_scales(graph)
    data = {"x": np.random.default_rng(0).normal(0, 1, (200, 4, 4))}
    found = calibrate(folded, data)
    rows = {row.value: row for row in found.rows}
    assert rows["x"].largest <= 0.13 / 2 + 1e-9 or rows["x"].saturated
    lowered = lower(folded, found.types)
    _, exact, integer = compare(folded, lowered, data)
    wanted = run_reals(graph, data)["normed"]
    np.testing.assert_allclose(exact["normed"], wanted, atol=1e-9)
    assert np.median(np.abs(integer["normed"] - wanted)) < 0.05 + 1e-9


def test_units_survive_files_and_lowering() -> None:
    folded = fold_scales(made("scaled_dense"))
    again = from_json(json.loads(json.dumps(to_json(folded), allow_nan=False)))
    assert json.dumps(to_json(again)) == json.dumps(to_json(folded))
    lowered = lower(folded, Types(default=Fixed.parse("fixed<12,5>")))
    assert lowered.scales["logits"].shape == (1, 3)
    assert set(lowered.scales) == {n for n in folded.scales if n in lowered.values}


@pytest.mark.parametrize(
    "scales",
    [
        {"nowhere": {"dtype": "float64", "shape": [], "data": [1.0]}},
        {"x": {"dtype": "float64", "shape": [], "data": [0.0]}},
        {"x": {"dtype": "float64", "shape": [3], "data": [1.0, 1.0, 1.0]}},
        {"x": {"dtype": "float64", "shape": [1, 1, 1], "data": [1.0]}},
        {"x": 2.0},
        [],
    ],
)
def test_scales_of_a_file_that_do_not_fit(scales: object) -> None:
    document = {**to_json(made("scaled_dense")), "scales": scales}
    with pytest.raises(GateformerError, match="E1"):
        from_json(document)


def test_the_frozen_file_of_version_2_is_read_and_gives_the_same_results() -> None:
    golden = Path(__file__).parent.parent / "golden"
    graph = from_json(json.loads((golden / "graph_v2.json").read_text()))
    expected = json.loads((golden / "graph_v2_results.json").read_text())
    found = run(graph, {"x": np.array(expected["x"])})["logits"]
    assert found.tolist() == expected["logits"]
    assert graph.to_real("logits", found).round(9).tolist() == expected["reals"]
