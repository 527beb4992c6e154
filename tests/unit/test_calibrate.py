"""Types from data: ranges hold, budgets are met, errors and saturation are counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gateformer.quant.calibrate import Budget, calibrate, observe, type_for
from gateformer.quant.compare import compare
from gateformer.quant.errors import DataError, TypeRangeError
from gateformer.quant.expand import Attention, Elementwise, Linear, Quantize, Softmax
from gateformer.quant.expand.context import Options, Types
from gateformer.quant.frontends.keras_file import load
from gateformer.quant.graph import Builder, Graph
from gateformer.quant.lower import lower
from gateformer.quant.metrics import auc
from gateformer.quant.ops.elementwise import Add
from gateformer.quant.ops.layout import Reshape
from gateformer.quant.passes.fold_heads import fold_heads
from gateformer.quant.types import Fixed

BTAG = Path(__file__).parents[2] / "fpga_projects" / "btag"


def network(size: float = 1.0) -> Graph:
    rng = np.random.default_rng(0)

    def w(*shape: int) -> np.ndarray:
        return rng.integers(-30, 31, shape) / 64.0

    attention = Attention(
        2, w(4, 2, 8) * size, w(2, 8), w(4, 2, 8), w(2, 8), w(4, 2, 8), w(2, 8),
        w(2, 8, 4), w(4), 8**-0.5,
    )  # fmt: skip
    builder = Builder("net")
    x = builder.input("x", (6, 4))
    a = builder.add(attention, x, x, x, name="a", layer="a")
    s = builder.add(Add(), a, x, name="s", layer="s")
    t = builder.add(Elementwise("tanh"), s, name="t", layer="t")
    f = builder.add(Reshape((24,)), t, name="f", layer="f")
    h = builder.add(Linear(w(24, 3), w(3), (3,)), f, name="h", layer="h")
    builder.output(builder.add(Softmax(), h, name="y", layer="y"))
    return builder.build()


def data(count: int = 300) -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(1).normal(0.0, 0.7, (count, 6, 4))}


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (-1.0, 0.9, "fixed<8,1>"),
        (-1.0, 1.0, "fixed<8,2>"),
        (0.0, 0.99, "ufixed<8,0>"),
        (0.0, 1.0, "ufixed<8,1>"),
        (0.0, 0.0, "ufixed<8,0>"),
        (-0.01, 0.001, "fixed<8,-5>"),
        (-200.0, 3.0, "fixed<8,9>"),
    ],
)
def test_type_for(low: float, high: float, text: str) -> None:
    kind = type_for(low, high, 8)
    assert str(kind) == text
    assert kind.min * kind.scale <= low and high <= kind.max * kind.scale


def test_observed_ranges_hold_every_point() -> None:
    ranges = observe(network(), data())
    assert {"x", "a", "a/query", "a/score", "a/distance", "a/context", "t/index", "y"} <= set(
        ranges
    )
    assert ranges["a/distance"][0] == 0.0


def test_nothing_saturates_on_the_calibration_data() -> None:
    for graph in (network(), fold_heads(network())[0]):
        done = calibrate(graph, data())
        assert {
            r.value: r.saturated for r in done.rows if r.saturated and "distance" not in r.value
        } == {}
        assert done.cost < 0.01
        assert {"x", "a", "a/query", "a/score", "y"} <= {r.value for r in done.rows}


def test_saturation_beyond_the_calibrated_range_is_counted() -> None:
    graph = network()
    done = calibrate(graph, data())
    rows, _, _ = compare(graph, lower(graph, done.types), {"x": np.full((2, 6, 4), 99.0)})
    assert next(r for r in rows if r.value == "x").saturated == 48


@pytest.mark.parametrize("frac", [50, 80])
def test_saturation_is_counted_where_steps_lie_far_apart(frac: int) -> None:
    """What a cast cuts is shifted beyond 64 bits first."""
    b = Builder("m")
    b.input("x", (2,))
    b.output(b.add(Quantize(Fixed(True, 8, frac)), "x", name="q", layer="q"))
    graph = b.build()
    lowered = lower(graph, Types(given={"x": Fixed.parse("fixed<16,8>")}))
    rows, _, _ = compare(graph, lowered, {"x": np.array([[0.0, 64.0], [0.5, 1.0]])})
    assert next(r for r in rows if r.value == "q").saturated == 3


def test_budget_narrows_and_widens() -> None:
    graph = network()
    loose, tight = (calibrate(graph, data(), budget=Budget("rms", b)) for b in (0.02, 1e-3))
    assert loose.width < 16 and loose.cost <= 0.02
    assert loose.width < tight.width and tight.cost <= 1e-3
    wider = calibrate(graph, data(), budget=Budget("rms", 1e-3, width=5))
    assert wider.width > 5


def test_a_budget_that_cannot_be_met() -> None:
    with pytest.raises(TypeRangeError, match="E205"):
        calibrate(network(), data(), budget=Budget("max", 1e-9))


def test_a_metric_needs_labels_and_reports_both_values() -> None:
    with pytest.raises(DataError, match="labels"):
        calibrate(network(), data(), budget=Budget("auc", 0.01))
    labels = np.random.default_rng(2).integers(0, 3, 300)
    with pytest.raises(DataError, match="E604 labels up to 4 for 3 classes"):
        calibrate(network(), data(), budget=Budget("accuracy", 0.01), labels=labels + 2)
    done = calibrate(network(), data(), budget=Budget("auc", 0.01), labels=labels)
    assert done.metric["integer"] >= 0.99 * done.metric["float"]


def test_given_types_win_and_a_default_covers_the_rest() -> None:
    base = Types({"a/query": Fixed(True, 9, 4)}, default=Fixed.parse("fixed<17,7>"))
    done = calibrate(network(), data(), base)
    lowered = lower(network(), done.types)
    assert lowered.values["a/query"].fixed == Fixed(True, 9, 4)
    assert lowered.values["s" if "s" in lowered.values else "x"].fixed is not None
    assert lowered.values["x"].fixed == Fixed.parse("fixed<17,7>")
    assert "a/score" in done.types.calibrated and "x" not in done.types.calibrated


def test_bounded_scores_take_the_direct_table() -> None:
    small, large = (calibrate(network(size), data()) for size in (0.25, 64.0))
    assert next(n for n in small.notes if n.layer == "a").detail.startswith("direct")
    assert next(n for n in large.notes if n.layer == "a").detail.startswith("largest")
    forced = calibrate(network(0.25), data(), options=Options(softmax="max"))
    assert next(n for n in forced.notes if n.layer == "a").detail.startswith("largest")


@pytest.mark.parametrize("folded", [False, True])
def test_the_b_tagging_network_keeps_its_area_under_the_curve(folded: bool) -> None:
    graph = fold_heads(load(BTAG / "model.h5"), enabled=folded)[0]
    jets = np.load(BTAG / "jets.npz")
    (name,) = graph.inputs
    done = calibrate(graph, {name: jets["x_calib"][:500]})
    unseen = {name: jets["x_test"][:3000].astype(np.float64)}
    rows, exact, integer = compare(graph, lower(graph, done.types), unseen)
    before, after = (auc(y[graph.outputs[0]], jets["y_test"][:3000]) for y in (exact, integer))
    assert after >= 0.995 * before
    inner = [r for r in rows if "/" in r.value and "distance" not in r.value]
    assert all(r.saturated <= 1e-3 * r.elements for r in inner), inner


def test_unusable_data() -> None:
    with pytest.raises(DataError, match="E604"):
        calibrate(network(), {"x": np.zeros((0, 6, 4))})
    with pytest.raises(DataError, match="E603"):
        calibrate(network(), {"x": np.full((3, 6, 4), np.nan)})
    with pytest.raises(DataError, match="E603 number too large"):
        calibrate(network(), {"x": np.full((3, 6, 4), 1e300)})
