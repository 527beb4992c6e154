"""Post-training quantization: widths hold, errors shrink with them, what was asked for is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from unit.ptq_networks import data, network

from gateformer.quant.errors import ConfigError, DataError
from gateformer.quant.expand import Elementwise, Linear, Quantize, Softmax
from gateformer.quant.expand.context import Options
from gateformer.quant.graph import Builder, Graph
from gateformer.quant.passes.fold_heads import fold_heads
from gateformer.quant.ptq.apply import quantize
from gateformer.quant.ptq.bits import average_bits, row_bits
from gateformer.quant.ptq.evaluate import lowered, outputs
from gateformer.quant.ptq.observe import Seen, observe
from gateformer.quant.ptq.pipeline import make
from gateformer.quant.ptq.places import places, values
from gateformer.quant.ptq.ranges import activation_scale, activation_type, weight_steps
from gateformer.quant.ptq.rounding import spread
from gateformer.quant.ptq.settings import Recipe
from gateformer.quant.types import Fixed, dyadic

METHODS: tuple[Literal["max", "percentile", "mse"], ...] = ("max", "percentile", "mse")


def seen_of(sample: np.ndarray) -> Seen:
    flat = sample.reshape(-1, 1)
    low, high = flat.min(0), flat.max(0)
    return Seen(float(low[0]), float(high[0]), sample, flat.mean(0), (flat**2).mean(0), low, high)


def relative_error(graph: Graph, recipe: Recipe) -> float:
    x = data()
    exact, integer = outputs(graph, x), outputs(make(graph, x, recipe).typed, x)
    return float(np.sqrt(((integer - exact) ** 2).mean() / exact.var()))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sign", [1, -1, 0])
def test_a_type_for_what_was_seen(method: Literal["max", "percentile", "mse"], sign: int) -> None:
    sample = np.random.default_rng(0).normal(size=4000)
    sample = np.abs(sample) if sign > 0 else -np.abs(sample) if sign < 0 else sample
    kind = activation_type(seen_of(sample), 6, method, 99.0)
    assert kind.width == 6 and kind.signed == (sign <= 0)
    held = kind.to_real(kind.from_real(sample))
    if method == "max":
        assert np.abs(held - sample).max() <= kind.scale / 2
        assert kind.max * kind.scale < 2 * np.abs(sample).max() * (1 + kind.scale)
    else:
        widest = activation_type(seen_of(sample), 6, "max")
        assert kind.frac >= widest.frac
    if method == "mse":
        others = [Fixed(kind.signed, 6, kind.frac + d) for d in (-1, 1)]
        squares = [((k.to_real(k.from_real(sample)) - sample) ** 2).sum() for k in (kind, *others)]
        assert squares[0] == min(squares)


def test_a_range_that_ends_at_a_power_of_two() -> None:
    for top in (1.0, -1.0, 0.0, 2.0**-30, 3e7):
        kind = activation_type(seen_of(np.array([0.0, top])), 8, "max")
        held = kind.to_real(kind.from_real(np.array([top])))
        assert abs(held[0] - top) <= kind.scale / 2
    scale, low, high = activation_scale(seen_of(np.array([0.0, 1.0])), 8, "max")
    assert (low, high) == (0, 255) and high * scale == pytest.approx(1.0)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_steps_of_a_matrix(bits: int) -> None:
    rng = np.random.default_rng(3)
    real = rng.normal(size=(20, 7)) * np.exp2(rng.normal(0, 2, 7))
    errors = {}
    for channels in ((), (1,)):
        for method in METHODS:
            for power in (True, False):
                steps = weight_steps(real, bits, channels, method, 99.0, power)
                assert (np.rint(steps.raw) == steps.raw).all()
                assert steps.raw.min() >= -(1 << (bits - 1)) and steps.raw.max() < 1 << (bits - 1)
                assert steps.scale.size == (7 if channels else 1)
                if power:
                    assert (np.log2(steps.scale) % 1 == 0).all()
                    assert dyadic(steps.real, 24) is not None
                errors[channels, method, power] = float(((steps.real - real) ** 2).sum())
    for power in (True, False):
        assert errors[(1,), "mse", power] <= errors[(), "mse", power]
        for channels in ((), (1,)):
            assert errors[channels, "mse", power] <= errors[channels, "max", power] * (1 + 1e-9)


def test_channels_far_apart_stay_exact_integers_together() -> None:
    real = np.ones((3, 4)) * np.exp2([0.0, -10.0, -30.0, -60.0])
    steps = weight_steps(real, 6, (1,), "max")
    assert dyadic(steps.real, 24) is not None
    assert np.abs(steps.real - real).max() <= 2.0**-17


def test_importance_decides_which_weights_may_be_cut() -> None:
    real = np.array([[8.0], [0.3], [0.3], [0.3]])
    even = weight_steps(real, 3, (), "mse")
    told = weight_steps(real, 3, (), "mse", importance=np.array([[1e-6], [1.0], [1.0], [1.0]]))
    assert told.scale[0, 0] < even.scale[0, 0]


@pytest.mark.parametrize("scheme", ["per-tensor", "per-channel"])
@pytest.mark.parametrize("fold", [True, False])
def test_bits_are_those_asked_for(scheme: Literal["per-tensor", "per-channel"], fold: bool) -> None:
    found = make(network(value=9), data(), Recipe(5, 6, scheme=scheme), fold=fold)
    assert found.bits.weights == 5.0
    assert found.bits.activations == 6.0
    graph, _ = fold_heads(network(value=9), fold)
    assert {place.name for place in places(graph)} == set(found.recipe.widths) == set(found.steps)


def test_errors_fall_with_the_width() -> None:
    errors = [relative_error(network(), Recipe(b, b)) for b in (3, 5, 7, 9, 12)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.01


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("step", ["power-of-two", "float"])
def test_eight_bits_are_near_the_network(
    method: Literal["max", "percentile", "mse"], step: Literal["power-of-two", "float"]
) -> None:
    recipe = Recipe(8, 8, step=step, weight_method=method, activation_method=method)
    assert relative_error(network(), recipe) < 0.08


def test_scales_of_any_size_are_integers_with_a_scale() -> None:
    graph = make(network(), data(), Recipe(6, 6, step="float")).graph
    dense = [n.op for n in graph.nodes if isinstance(n.op, Linear)]
    for op in dense:
        assert op.scale is not None and np.abs(op.kernel).max() <= 32
        assert (np.rint(op.kernel) == op.kernel).all()


@pytest.mark.parametrize("scheme", ["per-tensor", "per-channel"])
def test_weights_make_up_for_each_others_rounding(
    scheme: Literal["per-tensor", "per-channel"],
) -> None:
    graph, x = network(), data()
    seen, exact = observe(graph, x), outputs(graph, x)
    errors = {}
    for rounding in ("nearest", "compensated"):
        recipe = Recipe(3, 12, scheme=scheme, rounding=rounding)
        made = quantize(graph, seen, recipe)
        errors[rounding] = float(((outputs(made.graph, x) - exact) ** 2).mean())
    assert errors["compensated"] < 0.8 * errors["nearest"]


def test_changes_are_spread_as_least_squares_say() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 3))
    real = rng.normal(size=(3, 2))

    def settled(row: int, weights: np.ndarray) -> np.ndarray:
        return np.zeros_like(weights) if row == 0 else weights

    found = spread(real, x.T @ x / len(x), settled)
    rest, *_ = np.linalg.lstsq(x[:, 1:], x @ real, rcond=None)
    assert (found[0] == 0).all() and np.allclose(found[1:], rest, rtol=0.1, atol=0.1)
    exact = spread(real, x.T @ x / len(x), lambda row, weights: weights)
    assert np.allclose(exact, real)


def test_the_mean_error_of_weights_goes_into_the_bias() -> None:
    graph, x = network(), data()
    seen = observe(graph, x)
    shift = {}
    for correct in (True, False):
        made = quantize(graph, seen, Recipe(3, 12, correct_bias=correct))
        shift[correct] = np.abs((outputs(made.graph, x) - outputs(graph, x)).mean(0)).max()
    assert shift[True] < shift[False]


def test_what_the_model_quantizes_itself_stays() -> None:
    builder = Builder("own")
    x = builder.input("x", (4,))
    q = builder.add(Quantize(Fixed(True, 4, 2)), x, name="q", layer="q")
    kernel = np.array([[0.5], [-0.25], [0.75], [0.0]])
    h = builder.add(Linear(kernel, None, (1,)), q, name="h", layer="h")
    builder.output(h)
    graph = builder.build()
    found = make(graph, {"x": np.random.default_rng(0).normal(size=(50, 4))}, Recipe(6, 6))
    assert values(graph) == frozenset()
    assert [type(n.op) for n in found.graph.nodes] == [Quantize, Linear]
    linear = found.graph.nodes[1].op
    assert isinstance(linear, Linear) and (linear.kernel == kernel).all()
    assert found.bits.activations == 4.0 and found.bits.weights == 3.0


def test_what_is_only_looked_up_is_not_rounded_before() -> None:
    builder = Builder("table")
    x = builder.input("x", (4, 2))
    h = builder.add(Linear(np.eye(2) / 3, None, (2,)), x, name="h", layer="h")
    t = builder.add(Elementwise("tanh"), h, name="t", layer="t")
    y = builder.add(Linear(np.eye(2), None, (2,)), t, name="z", layer="z")
    builder.output(builder.add(Softmax(), y, name="y", layer="y"))
    assert values(builder.build()) == {"x", "t"}


def test_average_bits() -> None:
    assert row_bits(np.array([[4, -8], [0, 0]])) == 2  # -2..1 at a step of 4
    assert row_bits(np.array([[3, -4]])) == 3
    assert row_bits(np.array([[-1, 1]])) == 2
    assert row_bits(np.array([[7]])) == 4
    graph, x = network(), data(50)
    made = lowered(quantize(graph, observe(graph, x), Recipe(4, 7)), x, Options(), 9)
    bits = average_bits(made.lowered.graph)
    projections = 3 * 6 * 2 * 4 + 2 * 4 * 6
    assert bits.weight_count == 3 * 6 + projections + 6 * 8 + 8 * 6 + 24 * 3
    tokens = 3 + 6 + 3 * 8 + 8 + 6 + 8 + 6  # x, norm1, projections, context, norm2, up, flat
    assert bits.activation_count == 4 * tokens + 4 * 2 * 4  # and a weight a pair of tokens
    assert (bits.weights, bits.activations) == (4.0, 7.0)


def test_a_place_may_have_its_own_width() -> None:
    found = make(network(), data(), Recipe(8, 8, widths={"up/kernel": 3, "attention/key": 4}))
    assert str(found.types["attention/key"]).startswith("fixed<4,")
    up = next(n.op for n in found.graph.nodes if n.output == "up/linear")
    assert isinstance(up, Linear)
    raw, _ = dyadic(up.kernel) or (np.array([]), 0)
    assert row_bits(raw.T) <= 3


def test_the_users_types_win() -> None:
    types = {"head": Fixed(True, 10, 5), "attention/query": Fixed(True, 7, 4)}
    found = make(network(), data(), Recipe(6, 6), types=types)
    assert found.types["head"] == types["head"] == found.typed.values["head"].type
    assert found.typed.values["attention/query"].type == types["attention/query"]


def test_wrong_settings() -> None:
    for wrong in ({"weights": 1}, {"activations": 17}, {"widths": {"x": 0}}, {"percentile": 20.0}):
        with pytest.raises(ConfigError, match="E022"):
            replace(Recipe(), **wrong)
    with pytest.raises(DataError, match="E604"):
        make(network(), {"x": np.zeros((0, 4, 3))}, Recipe())
    with pytest.raises(DataError, match="E603"):
        make(network(), {"x": np.full((3, 4, 3), np.nan)}, Recipe())
    with pytest.raises(DataError, match=r"E603 number too large to quantize: 'x'. it reaches"):
        make(network(), {"x": np.full((3, 4, 3), -1e160)}, Recipe())
