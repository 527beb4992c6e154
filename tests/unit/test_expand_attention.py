"""Attention, folded or not, with every mask: errors within what its parts state."""

from __future__ import annotations

import numpy as np
import pytest

from gateformer.quant.errors import ModelError, TypeRangeError
from gateformer.quant.execute import run, run_reals
from gateformer.quant.expand import Attention, FoldedAttention
from gateformer.quant.expand.context import Options, Types
from gateformer.quant.graph import Builder, Graph
from gateformer.quant.lower import lower, lower_noted
from gateformer.quant.passes.fold_heads import fold
from gateformer.quant.types import Fixed, FloatArray

INPUT = Fixed(True, 6, 4)
SCORE = Fixed(True, 12, 7)
TABLE = 2.0 ** -(Options().table_bits + 1)
GIVEN = {
    "x": INPUT,
    "y": INPUT,
    "a": Fixed(True, 24, 14),
    "a/query": Fixed(True, 18, 12),
    "a/key": Fixed(True, 18, 12),
    "a/value": Fixed(True, 18, 12),
    "a/score": SCORE,
    "a/context": Fixed(True, 18, 13),
}


def weights(rng: np.random.Generator, *shape: int) -> FloatArray:
    return rng.integers(-6, 7, shape) / 16.0


def attention(
    heads: int, causal: bool, masked: bool, features: tuple[int, int] = (3, 3)
) -> Attention:
    rng = np.random.default_rng(heads)
    d, e = features
    return Attention(
        heads,
        weights(rng, d, heads, 4),
        weights(rng, heads, 4),
        weights(rng, e, heads, 4),
        weights(rng, heads, 4),
        weights(rng, e, heads, 5),
        weights(rng, heads, 5),
        weights(rng, heads, 5, 3) / 2,
        weights(rng, 3),
        0.5,
        causal,
        masked,
    )


def network(op: Attention | FoldedAttention, cross: bool = False) -> Graph:
    builder = Builder("net")
    x = builder.input("x", (7, 3))
    y = builder.input("y", (7, 3)) if cross else x
    mask = [builder.input("m", (7, 1), masks=y)] if op.masked else []
    builder.output(builder.add(op, x, y, y, *mask, name="a", layer="a"))
    return builder.build()


def data(graph: Graph, seed: int = 0) -> dict[str, FloatArray]:
    rng = np.random.default_rng(seed)
    found = {
        name: INPUT.to_real(rng.integers(INPUT.min, INPUT.max + 1, (60, 7, 3)))
        for name in graph.inputs
        if name != "m"
    }
    found["x"][0], found["x"][1] = INPUT.min * INPUT.scale, INPUT.max * INPUT.scale
    found["x"][2] = np.eye(7, 3)
    if "m" in graph.inputs:
        found["m"] = (rng.random((60, 7, 1)) < 0.6).astype(np.float64)
        found["m"][3], found["m"][4] = 0.0, 1.0
    return found


def integers(graph: Graph, lowered: Graph, reals: dict[str, FloatArray]) -> dict[str, FloatArray]:
    raw = {n: lowered.values[n].fixed.from_real(reals[n]) for n in graph.inputs}
    found = run(lowered, raw, keep=True)
    return {n: lowered.values[n].fixed.to_real(v) for n, v in found.items()}


@pytest.mark.parametrize("heads", [1, 2, 8])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("mode", ["max", "direct"])
@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("cross", [False, True])
def test_error(
    heads: int, causal: bool, masked: bool, mode: str, folded: bool, cross: bool
) -> None:
    op: Attention | FoldedAttention = attention(heads, causal, masked)
    graph = network(fold(op) if folded else op, cross)
    reals = data(graph)
    exact = run_reals(graph, reals)["a"]
    lowered = lower(graph, Types(given=GIVEN), Options(softmax=mode))
    found = integers(graph, lowered, reals)

    value = np.abs(found["a/value"]).max()
    steps = (0.5 + 0.5) * SCORE.scale + (0.0 if mode == "direct" else 2.0**-5)  # of max and score
    weight = np.expm1(0.5 * steps) + (2.0**-10 if mode == "direct" else 7 * np.exp(-9.0))
    context = 2 * value * weight + value * (TABLE + 2.0**-16) + 2.0**-16 * 2 * value
    context += 2.0**-14 if not folded else 0.0
    norm = 1.0 if folded else np.abs(op.wo).sum((0, 1)).max()
    bound = context * norm * (heads if folded else 1) + 2.0**-14 + 2.0**-10
    assert np.abs(found["a"] - exact).max() <= bound
    if masked:
        bare = lowered.values["a/context/exact"]
        assert (found["a/context/exact"][3] == 0).all(), bare.type


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("mode", ["max", "direct"])
def test_masked_keys_have_no_influence(folded: bool, mode: str) -> None:
    op = attention(2, False, True)
    graph = network(fold(op) if folded else op)
    lowered = lower(graph, Types(given=GIVEN), Options(softmax=mode))
    reals = data(graph)
    other = {**reals, "x": np.where(reals["m"] > 0, reals["x"], INPUT.max * INPUT.scale)}
    first, second = (integers(graph, lowered, part)["a"] for part in (reals, other))
    kept = np.broadcast_to(reals["m"] > 0, first.shape)
    assert (first[kept] == second[kept]).all()


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("mode", ["max", "direct"])
def test_later_keys_have_no_influence(folded: bool, mode: str) -> None:
    op = attention(2, True, False)
    graph = network(fold(op) if folded else op)
    lowered = lower(graph, Types(given=GIVEN), Options(softmax=mode))
    reals = data(graph)
    changed = reals["x"].copy()
    changed[:, 4:] = INPUT.min * INPUT.scale
    first, second = (integers(graph, lowered, {"x": x})["a"] for x in (reals["x"], changed))
    assert (first[:, :4] == second[:, :4]).all()


def test_multipliers_fit_one_dsp() -> None:
    for causal, masked, folded in [(c, m, f) for c in (0, 1) for m in (0, 1) for f in (0, 1)]:
        op = attention(2, bool(causal), bool(masked))
        graph = network(fold(op) if folded else op)
        lowered = lower(graph, Types(default=Fixed(True, 24, 12)), Options())
        for node in lowered.nodes:
            if type(node.op).__name__ in ("MatMul", "Mul"):
                widths = sorted(lowered.values[n].fixed.width for n in node.inputs)
                assert widths[0] <= 18 and widths[1] <= 25, node.output


def test_choice_of_the_softmax_is_reported() -> None:
    graph = network(attention(1, False, False))
    narrow, wide = Fixed(True, 10, 6), Fixed(True, 12, 5)
    for kind, origin, mode, chosen in [
        (narrow, "calibrated", "auto", "direct"),
        (wide, "calibrated", "auto", "largest"),
        (narrow, "given", "auto", "largest"),
        (narrow, "given", "direct", "direct"),
    ]:
        types = Types(**{origin: {"a/score": kind}}, default=Fixed(True, 16, 10))
        notes = lower_noted(graph, types, Options(softmax=mode)).notes
        assert any(n.choice == "softmax" and n.detail.startswith(chosen) for n in notes)


def test_types_beyond_the_hardware_are_refused() -> None:
    graph = network(attention(1, False, False))
    with pytest.raises(TypeRangeError, match="a/query"):
        lower(graph, Types({**GIVEN, "a/query": Fixed(True, 20, 10)}))
    with pytest.raises(TypeRangeError, match="too large a table"):
        lower(graph, Types({**GIVEN, "a/score": Fixed(True, 16, 8)}), Options(softmax="direct"))


def test_operands_are_checked() -> None:
    op = attention(1, False, True)
    for shapes in [
        [(7, 3)] * 3,
        [(7, 3), (7, 3), (6, 3), (7, 1)],
        [(7, 3), (7, 3), (7, 3), (7, 2)],
        [(7, 4), (7, 3), (7, 3), (7, 1)],
        [(7,), (7, 3), (7, 3), (7, 1)],
    ]:
        with pytest.raises(ModelError):
            op.shape(*shapes)
        with pytest.raises(ModelError):
            fold(op).shape(*shapes)
