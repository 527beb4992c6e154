"""Techniques by name: the network on reals stays what it is where that is said, and gains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from unit.ptq_networks import D, H, T, data, network

from gateformer.quant.errors import ConfigError, Problems
from gateformer.quant.execute import run_reals
from gateformer.quant.expand import Affine, Attention, LayerNorm, Linear, RMSNorm, Softmax
from gateformer.quant.graph import Builder, Graph
from gateformer.quant.ops.layout import Reshape, Slice
from gateformer.quant.ops.matmul import MatMul
from gateformer.quant.passes.join_attention import join_attention
from gateformer.quant.passes.repq import repq
from gateformer.quant.passes.rewrite import rebuilt, steps_of
from gateformer.quant.ptq.evaluate import outputs
from gateformer.quant.ptq.observe import observe
from gateformer.quant.ptq.pipeline import make
from gateformer.quant.ptq.pruning import prune_weights
from gateformer.quant.ptq.settings import Recipe
from gateformer.quant.ptq.techniques import TECHNIQUES, parse


def moved(graph: Graph) -> tuple[Graph, list[str]]:
    seen = observe(graph, data())
    found, notes = repq(graph, {name: (s.lowest, s.highest) for name, s in seen.items()})
    return found, [note.detail for note in notes]


def gated(graph: Graph) -> Graph:
    """The same with a gate on its attention."""
    rng = np.random.default_rng(9)
    steps = steps_of(graph)
    for step in steps:
        if isinstance(step.op, Attention):
            step.op = replace(step.op, wg=rng.normal(size=(D, H)), bg=rng.normal(size=H))
    return rebuilt(graph, steps)


@pytest.mark.parametrize("gate", [False, True])
def test_repq_changes_no_result(gate: bool) -> None:
    graph = gated(network(spread=1.0)) if gate else network(spread=1.0)
    found, notes = moved(graph)
    assert all(note.startswith("moved") for note in notes) and len(notes) == 2
    x = data()
    assert np.allclose(outputs(found, x), outputs(graph, x), rtol=0, atol=1e-10)
    seen = observe(found, x)
    for node in found.nodes:
        if isinstance(node.op, LayerNorm):
            assert (np.log2(np.abs(node.op.gamma)) % 1 == 0).all()
            half = (seen[node.output].highest - seen[node.output].lowest) / 2
            assert half.max() / half.min() <= 2.0 + 1e-9  # rounded to a power of two each
            middle = (seen[node.output].highest + seen[node.output].lowest) / 2
            assert np.abs(middle).max() < 1e-9


def test_repq_gains_where_ranges_differ() -> None:
    graph, x = network(spread=1.0), data()
    exact = outputs(graph, x)
    recipe = Recipe(12, 12, widths={"norm1": 6, "norm2": 6})
    errors = {}
    for names in ((), ("repq",)):
        typed = make(graph, x, recipe, techniques=parse(names)).typed
        errors[names] = float(((outputs(typed, x) - exact) ** 2).mean())
    assert errors["repq",] < 0.25 * errors[()]


def test_repq_leaves_what_others_read() -> None:
    builder = Builder("post")
    x = builder.input("x", (T, D))
    rng = np.random.default_rng(0)
    n = builder.add(RMSNorm(np.exp2(rng.normal(0, 1, D)), 1e-3), x, name="n", layer="n")
    f = builder.add(Reshape((T * D,)), n, name="f", layer="f")
    kernel = rng.normal(size=(T * D, 2))
    builder.output(builder.add(Linear(kernel, None, (2,)), f, name="y", layer="y"))
    m = builder.add(LayerNorm(np.ones(D), np.ones(D), 1e-3), x, name="m", layer="m")
    builder.output(m)
    graph, inputs = builder.build(), {"x": rng.normal(size=(30, T, D)) + 0.5}
    seen = observe(graph, inputs)
    found, notes = repq(graph, {name: (s.lowest, s.highest) for name, s in seen.items()})
    assert {note.layer: note.detail.split(":")[0] for note in notes} == {"n": "moved", "m": "kept"}
    assert np.allclose(outputs(found, inputs), outputs(graph, inputs), rtol=0, atol=1e-10)


def test_a_dead_feature_stays() -> None:
    steps = steps_of(network())
    norm = next(s for s in steps if isinstance(s.op, LayerNorm))
    assert isinstance(norm.op, LayerNorm)
    norm.op = replace(norm.op, gamma=np.where(np.arange(D) == 2, 0.0, norm.op.gamma))
    graph = rebuilt(network(), steps)
    found, _ = moved(graph)
    assert np.allclose(outputs(found, data()), outputs(graph, data()), rtol=0, atol=1e-10)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5])
def test_pruning_zeros_a_share_of_each_output(share: float) -> None:
    graph, x = network(), data()
    seen = observe(graph, x)
    found, notes = prune_weights(graph, seen, share)
    for node in found.nodes:
        if isinstance(node.op, Linear):
            zeros = (node.op.kernel == 0).sum(0)
            assert (zeros == round(share * node.op.kernel.shape[0])).all()
        if isinstance(node.op, Attention):
            assert ((node.op.wq == 0).sum(0) == round(share * D)).all()
            assert ((node.op.wo == 0).sum((0, 1)) == round(share * H * 4)).all()
    first = next(n for n in found.nodes if n.output == "embed")
    before, after = run_reals(graph, x, keep=True), run_reals(found, x, keep=True)
    assert np.allclose(before["embed"].mean((0, 1)), after["embed"].mean((0, 1)))
    assert isinstance(first.op, Linear) and len(notes) == 8
    if not share:
        assert np.allclose(outputs(found, x), outputs(graph, x))


def test_pruning_keeps_what_large_inputs_meet() -> None:
    builder = Builder("w")
    x = builder.input("x", (4,))
    kernel = np.array([[0.1], [1.0], [0.2], [0.5]])
    builder.output(builder.add(Linear(kernel, None, (1,)), x, name="y", layer="y"))
    graph = builder.build()
    inputs = np.random.default_rng(0).normal(size=(300, 4)) * [100.0, 1.0, 1.0, 1.0]
    found, _ = prune_weights(graph, observe(graph, {"x": inputs}), 0.5)
    op = found.nodes[0].op
    assert isinstance(op, Linear) and (op.kernel[:, 0] != 0).tolist() == [True, True, False, False]


def test_softmax_by_name() -> None:
    graph, x = network(), data(60)
    for name, kind in (("log_sqrt2", "log_sqrt2"), ("clipped_softmax=2", "clipped")):
        found = make(graph, x, Recipe(8, 8), techniques=parse([name]))
        (op,) = (n.op for n in found.graph.nodes if isinstance(n.op, Attention))
        assert op.shares.kind == kind
        if kind == "clipped":
            assert op.shares.gamma == -2 / T
        exact = outputs(found.graph, x)
        error = np.sqrt(((outputs(found.typed, x) - exact) ** 2).mean() / exact.var())
        assert error < 0.1


def test_techniques_that_are_none() -> None:
    assert parse(["prune=0.5", "repq"]) == {"repq": 0.0, "prune": 0.5}
    with pytest.raises(Problems) as raised:
        parse(["repqq", "prune", "log_sqrt2=x", "prune=nan"])
    assert [error.code for error in raised.value.errors] == ["E005"] * 4
    assert "Did you mean 'repq'" in str(raised.value)
    with pytest.raises(ConfigError, match="E022"):
        make(network(), data(20), Recipe(), techniques={"prune": 1.0})
    assert all(technique.meaning for technique in TECHNIQUES.values())


@pytest.mark.parametrize("causal", [False, True])
def test_attention_in_parts_is_joined(causal: bool) -> None:
    rng = np.random.default_rng(4)

    def w(*shape: int) -> np.ndarray:
        return rng.normal(size=shape) / 2

    builder = Builder("parts")
    x = builder.input("x", (T, D))
    joint = builder.add(Linear(w(D, 24), w(24), (24,)), x, name="qkv", layer="a")
    parts = [builder.add(Slice(8 * i, 8 * i + 8), joint, name="part", layer="a") for i in range(3)]
    gains = (np.full(8, 0.5), np.exp2(rng.normal(size=8)), np.ones(8))
    offsets = (np.zeros(8), w(8), np.zeros(8))
    q, k, v = (
        builder.add(
            Reshape((T, H, 4)),
            builder.add(Affine(gain, offset), part, name="scaled", layer="a"),
            name="shaped",
            layer="a",
        )
        for part, gain, offset in zip(parts, gains, offsets, strict=True)
    )
    score = builder.add(MatMul("features"), q, k, name="score", layer="a")
    share = builder.add(Softmax(0.5, causal), score, name="share", layer="a")
    mean = builder.add(MatMul("tokens"), share, v, name="mean", layer="a")
    flat = builder.add(Reshape((T, 8)), mean, name="flat", layer="a")
    builder.output(builder.add(Linear(w(8, 5), None, (5,)), flat, name="y", layer="y"))
    graph = builder.build()
    found, notes = join_attention(graph)
    assert [type(n.op) for n in found.nodes] == [Attention] and len(notes) == 1
    inputs = {"x": rng.normal(size=(20, T, D))}
    assert np.allclose(outputs(found, inputs), outputs(graph, inputs), rtol=0, atol=1e-12)
    assert join_attention(found) == (found, ())
