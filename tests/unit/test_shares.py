"""Clipped shares and shares on powers of sqrt(2): integers against exact shares."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gateformer.quant.errors import ModelError
from gateformer.quant.execute import run, run_reals
from gateformer.quant.expand import (
    Affine,
    Attend,
    Attention,
    Elementwise,
    LogSqrt2,
    Quantize,
    Shares,
    Softmax,
)
from gateformer.quant.expand.context import Options, Types
from gateformer.quant.expand.log_shares import EXP_BITS, FRAC, MANTISSA_BITS
from gateformer.quant.expand.shares import log_codes, log_sqrt2
from gateformer.quant.graph import Builder, Graph
from gateformer.quant.lower import lower
from gateformer.quant.ops.base import Op
from gateformer.quant.ops.log_matmul import LogMatMul
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.passes.fold_heads import fold
from gateformer.quant.passes.fuse_attend import fuse_attend
from gateformer.quant.serialize import from_json, to_json
from gateformer.quant.types import Fixed, FloatArray

RNG = np.random.default_rng(2)
SCORE, VALUE = Fixed(True, 12, 8), Fixed(True, 8, 5)
NARROW = Fixed(True, 12, 9)
"""Scores that span 8 nats, for a table of exp itself."""

KEYS = 6


def test_powers_of_sqrt2_by_hand() -> None:
    p = np.array([1.0, 0.75, 0.5, 0.4, 2**-7.5, 2**-7.8, 0.0])
    k = [0, 1, 2, 3, 15]
    assert_array_equal(log_codes(p, 4), [*(15 - n for n in k), -1, -1])
    wanted = [2.0 ** -np.ceil(n / 2) * (2**0.5 if n % 2 else 1.0) for n in k]
    assert_allclose(log_sqrt2(p, 4), [*wanted, 0.0, 0.0], rtol=1e-15)


@pytest.mark.parametrize("wrong", [{"bits": 1}, {"bits": 7}, {"gamma": 0.1}, {"zeta": 0.9}])
def test_forms_that_are_none(wrong: dict[str, float]) -> None:
    with pytest.raises(ModelError, match="E102"):
        Shares("clipped", **wrong)  # type: ignore[arg-type]


def test_weights_of_codes() -> None:
    """Odd codes are exact; even ones miss by less than half a step of the constant."""
    op = LogMatMul(bits=4)
    codes = np.arange(-16, 16)
    real = np.where(codes < 0, 0.0, 2.0 ** ((codes - 15) / 2))
    found = op.weights(codes) * 2.0**-op.frac
    assert_array_equal(found[codes % 2 == 1], real[codes % 2 == 1])
    following = 2.0 ** ((codes - 14) / 2)
    assert (np.abs(found - real) <= 2.0 ** -(op.guard + 1) * following).all()


def spelt(*between: Op, shares: Shares | None = None, scale: float = 1.0) -> Graph:
    """Softmax, what is given, and a weighted sum; or an Attend in their place."""
    builder = Builder("spelt")
    x = builder.input("x", (4, 2, KEYS))
    v = builder.input("v", (KEYS, 2, 3))
    if shares is not None:
        builder.output(builder.add(Attend(scale, shares), x, v, name="y", layer="y"))
        return builder.build()
    p = builder.add(Softmax(scale), x, name="p", layer="p")
    for number, op in enumerate(between):
        p = builder.add(op, p, name=f"q{number}", layer=f"q{number}")
    builder.output(builder.add(MatMul("tokens"), p, v, name="y", layer="y"))
    return builder.build()


def reals(count: int = 300, mode: str = "max") -> dict[str, FloatArray]:
    kind = NARROW if mode == "direct" else SCORE
    x = kind.to_real(RNG.integers(kind.min, kind.max + 1, (count, 4, 2, KEYS)))
    x *= RNG.choice([0.1, 0.3, 1.0], (count, 1, 1, 1))
    x = kind.to_real(kind.from_real(x))
    v = VALUE.to_real(RNG.integers(VALUE.min, VALUE.max + 1, (count, KEYS, 2, 3)))
    return {"x": x, "v": v}


def lowered(graph: Graph, mode: str) -> Graph:
    kind = NARROW if mode == "direct" else SCORE
    types = {"x": SCORE, "v": VALUE, "y": Fixed(True, 24, 18), "y/score": kind}
    return lower(graph, Types(types), Options(softmax=mode))  # type: ignore[arg-type]


def raw(data: dict[str, FloatArray]) -> dict[str, np.ndarray]:
    return {"x": SCORE.from_real(data["x"]), "v": VALUE.from_real(data["v"])}


@pytest.mark.parametrize("bits", [2, 4, 5])
@pytest.mark.parametrize("mode", ["direct", "max"])
def test_codes_differ_from_exact_ones_only_next_to_ties(mode: str, bits: int) -> None:
    graph = lowered(spelt(shares=Shares("log_sqrt2", bits=bits)), mode)
    data = reals(mode=mode)
    held = run(graph, raw(data), keep=True)
    x = data["x"]
    p = np.exp(x - x.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    k = -2.0 * np.log2(p)
    s = 0.0 if mode == "direct" else graph.values["y/distance"].fixed.scale
    if mode == "direct":
        wide = Options().exp_bits
        spread = KEYS / held["y/total"].min()
    else:
        wide, spread = EXP_BITS, KEYS * 2.0**-EXP_BITS
    assert wide == graph.values["y/exp"].fixed.frac
    bound = 2 / np.log(2) * (s + 2.0 ** -(MANTISSA_BITS + 1) + spread) + 2.0**-FRAC
    if mode == "max":
        # What lies beyond the distance's type is taken to lie at its end.
        bound += 2 / np.log(2) * KEYS * np.exp(-graph.values["y/distance"].fixed.max * s)
    found = np.maximum(held["y/code"], -1)
    wanted = log_codes(p, bits)
    tie = np.abs(k - np.floor(k) - 0.5) <= bound
    assert (np.abs(found - wanted)[~tie] == 0).all()
    assert np.abs(found - wanted).max() <= 1
    assert (found != wanted).mean() < 0.12
    assert (found < 0).any() or bits == 5  # 2^-15.5 is 10.7 nats away
    weights = np.where(found < 0, 0.0, 2.0 ** ((found - (1 << bits) + 1) / 2))
    exact = MatMul("tokens").reference(weights, data["v"], probe=lambda *_: None)
    y = graph.values["y"].fixed.to_real(held["y"])
    assert np.abs(y - exact).max() < 2.0**-9 * KEYS * 4 + 2.0**-18


@pytest.mark.parametrize("zeta", [1.0, 1.15])
@pytest.mark.parametrize("gamma", [0.0, -0.04, -0.3])
@pytest.mark.parametrize("mode", ["direct", "max"])
def test_clipped_shares(mode: str, gamma: float, zeta: float) -> None:
    graph = lowered(spelt(shares=Shares("clipped", gamma=gamma, zeta=zeta)), mode)
    data = reals(mode=mode)
    exact = run_reals(spelt(shares=Shares("clipped", gamma=gamma, zeta=zeta)), data)["y"]
    y = graph.values["y"].fixed.to_real(run(graph, raw(data))["y"])
    # The table's 2^-9 of a quotient, a distance's half step of 2^-6 nats, and the constants.
    tolerance = 4.0 * (2.0**-7 + (0.0 if mode == "direct" else 2.0**-5))
    assert np.abs(y - exact).max() < tolerance
    assert np.abs(y - exact).mean() < tolerance / 8


def test_a_clipped_share_is_zero_exactly() -> None:
    graph = lowered(spelt(shares=Shares("clipped", gamma=-0.3)), "max")
    data = reals(40)
    held = run(graph, raw(data), keep=True)
    assert (held["y/exp_kept"] == 0).mean() > 0.3
    even = {"x": np.zeros((1, 4, 2, KEYS), np.int64), "v": raw(data)["v"][:1]}
    assert not run(graph, even)["y"].any()  # 1.3 / 6 is less than 0.3


CLIP = Elementwise("relu", (("max_value", 1.0),))


@pytest.mark.parametrize(
    ("between", "shares"),
    [
        ((), Shares()),
        ((LogSqrt2(3),), Shares("log_sqrt2", bits=3)),
        ((Affine(np.full(1, 1.1), np.full(1, -0.1)), CLIP), Shares("clipped", gamma=-0.1)),
        (
            (Affine(np.full(6, 1.3), np.zeros(6)), Affine(np.ones(6), np.full(6, -0.1)), CLIP),
            Shares("clipped", gamma=-0.1, zeta=1.2),
        ),
    ],
)
def test_a_spelt_out_attention_is_one_step(between: tuple[Op, ...], shares: Shares) -> None:
    if between and isinstance(between[0], Affine) and between[0].scale.size == 1:
        between = (Affine(np.full(6, 1.1), np.full(6, -0.1)), CLIP)
    graph = spelt(*between, scale=0.5)
    fused = fuse_attend(graph)
    (node,) = fused.nodes
    assert isinstance(node.op, Attend)
    assert node.op.scale == 0.5
    assert (node.op.shares.kind, node.op.shares.bits) == (shares.kind, shares.bits)
    assert_allclose(
        (node.op.shares.gamma, node.op.shares.zeta), (shares.gamma, shares.zeta), atol=1e-12
    )
    data = reals(20)
    assert_allclose(run_reals(fused, data)["y"], run_reals(graph, data)["y"], atol=1e-12)
    again = from_json(to_json(fused)).nodes[0].op
    assert again == node.op


@pytest.mark.parametrize(
    "between",
    [
        (Quantize(Fixed(False, 8, 8)),),
        (Affine(np.full(6, 1.1), np.full(6, -0.1)),),
        (Affine(np.arange(1.0, 7.0), np.full(6, -0.1)), CLIP),
        (Affine(np.full(6, 3.5), np.full(6, -0.1)), CLIP),
    ],
)
def test_other_shares_stay_as_they_are(between: tuple[Op, ...]) -> None:
    graph = spelt(*between)
    assert [type(n.op) for n in fuse_attend(graph).nodes] == [type(n.op) for n in graph.nodes]


@pytest.mark.parametrize("mode", ["direct", "max"])
@pytest.mark.parametrize("between", [(), (LogSqrt2(4),)])
def test_a_causal_softmax_stays_causal(between: tuple[Op, ...], mode: str) -> None:
    builder = Builder("causal")
    x, v = builder.input("x", (5, 2, 5)), builder.input("v", (5, 2, 3))
    p = builder.add(Softmax(0.5, True), x, name="p", layer="p")
    for op in between:
        p = builder.add(op, p, name="q", layer="q")
    builder.output(builder.add(MatMul("tokens"), p, v, name="y", layer="y"))
    graph = builder.build()
    fused = fuse_attend(graph)
    assert [type(node.op) for node in fused.nodes] == [Attend]
    kind = NARROW if mode == "direct" else SCORE
    x_raw = RNG.integers(kind.min, kind.max + 1, (50, 5, 2, 5))
    v_raw = RNG.integers(VALUE.min, VALUE.max + 1, (50, 5, 2, 3))
    data = {"x": kind.to_real(x_raw), "v": VALUE.to_real(v_raw)}
    assert_allclose(run_reals(fused, data)["y"], run_reals(graph, data)["y"], atol=1e-12)
    types = {"x": kind, "v": VALUE, "y": Fixed(True, 24, 18), "y/score": kind}
    typed = lower(fused, Types(types), Options(softmax=mode))  # type: ignore[arg-type]
    before = run(typed, {"x": x_raw, "v": v_raw})["y"]
    later = x_raw.copy()
    later[..., 3:] = -later[..., 3:] - 1
    after = run(typed, {"x": later, "v": v_raw})["y"]
    assert_array_equal(before[:, :3], after[:, :3])
    assert (before[:, 3:] != after[:, 3:]).any()
    error = np.abs(typed.values["y"].fixed.to_real(before) - run_reals(fused, data)["y"])
    assert error.mean() < 0.05


def test_shares_that_others_read_stay() -> None:
    builder = Builder("read")
    x, v = builder.input("x", (4, 2, KEYS)), builder.input("v", (KEYS, 2, 3))
    p = builder.add(Softmax(), x, name="p", layer="p")
    builder.output(builder.add(MatMul("tokens"), p, v, name="y", layer="y"))
    builder.output(p)
    graph = builder.build()
    assert len(fuse_attend(graph).nodes) == 2


@pytest.mark.parametrize("shares", [Shares("log_sqrt2"), Shares("clipped", gamma=-0.2)])
@pytest.mark.parametrize("gated", [True, False])
def test_a_values_bias_stays_with_the_values_where_shares_do_not_add_up(
    shares: Shares, gated: bool
) -> None:
    def w(*shape: int) -> FloatArray:
        return RNG.normal(size=shape)

    gate = (w(4, 2), w(2)) if gated else ()
    op = Attention(
        2, w(4, 2, 6), w(2, 6), w(4, 2, 6), w(2, 6), w(4, 2, 6), w(2, 6), w(2, 6, 4), w(4), 0.4,
        False, False, shares, *gate,
    )  # fmt: skip
    x = w(9, 5, 4)

    def silent(name: str, values: FloatArray) -> None:
        del name, values

    wanted = op.reference(x, x, x, probe=silent)
    assert_allclose(fold(op).reference(x, x, x, probe=silent), wanted, atol=1e-10)


def test_the_table_by_itself() -> None:
    builder = Builder("table")
    kind = Fixed(False, 10, 10)
    p = builder.input("p", (3, 8), kind)
    builder.output(builder.add(LogSqrt2(4), p, name="y", layer="y"))
    graph = builder.build()
    typed = lower(graph, Types({"p": kind}))
    every = np.arange(1 << 10)[: 42 * 24].reshape(-1, 3, 8)
    y = typed.values["y"].fixed.to_real(run(typed, {"p": every})["y"])
    wanted = run_reals(graph, {"p": kind.to_real(every)})["y"]
    assert np.abs(y - wanted).max() <= 2.0**-16
