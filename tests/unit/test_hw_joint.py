"""Adder graphs of several matrices, and of chains: fewer adders, the same sums; never more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from equiv.networks import NETWORKS, Maker, bench, network

from gateformer.hw import cmvm
from gateformer.hw.dataflow import joint
from gateformer.hw.dataflow.classify import classify
from gateformer.hw.dataflow.clusters import Cluster, clusters
from gateformer.hw.dataflow.plan import plan
from gateformer.hw.dataflow.stages import LaneStage
from gateformer.hw.settings import Settings
from gateformer.quant.expand import Elementwise, Linear
from gateformer.quant.expand.context import Types
from gateformer.quant.expand.shares import Shares
from gateformer.quant.graph import Builder, Graph
from gateformer.quant.lower import lower
from gateformer.quant.ops.cast import Cast
from gateformer.quant.ops.dense import Dense
from gateformer.quant.ops.elementwise import Add
from gateformer.quant.ops.layout import Slice
from gateformer.quant.types import Fixed

RNG = np.random.default_rng(3)
APART, JOINT = Settings(), Settings(joint=True)
THREES = Settings(joint=True, ternary=True)


def luts(graph: Graph, settings: Settings) -> float:
    return plan(graph, settings).design.cost.lut


def siblings(equal: int) -> Graph:
    """Three matrices on one value, whose first rows are equal; one of them behind a gate."""
    builder = Builder("siblings")
    m = Maker(builder, np.random.default_rng(1), 5)
    x = builder.input("x", (4, 6))
    shared = m.weights(6, equal)
    for name in ("query", "key", "gate"):
        kernel = np.concatenate([shared, m.weights(6, 5 - equal)], 1)
        y = m.one(Linear(kernel, m.weights(5), (5,)), x, name=name)
        builder.output(m.one(Elementwise("sigmoid"), y, name="open") if name == "gate" else y)
    return lower(builder.build(), Types(default=Fixed.parse("fixed<10,4>")))


def chain(second: Linear, residual: bool, sliced: bool = False, shown: bool = False) -> Graph:
    """Matrix behind matrix with nothing rounded between: every sum's own type is wide enough."""
    builder = Builder("chain")
    m = Maker(builder, np.random.default_rng(2), 4)
    x = builder.input("x", (3, 4))
    h = m.one(Linear(m.weights(4, 4), m.weights(4), (4,)), x, name="first")
    if shown:
        builder.output(h)
    if residual:
        h = m.one(Add(True), h, x, name="sum")
    if sliced:
        h = m.one(Slice(1, 3), h, name="middle")
    builder.output(m.one(second, h, name="second"))
    given = dict.fromkeys(("first", "sum", "second"), Fixed.parse("fixed<30,12>"))
    return lower(builder.build(), Types(default=Fixed.parse("fixed<6,2>"), given=given))


def summing(inputs: int) -> Linear:
    """All weights one: what is multiplied out is as dense, but a single row."""
    return Linear(np.ones((inputs, 1)), np.array([0.5]), (1,))


def test_a_sum_of_n_takes_half_as_many_adders_of_three() -> None:
    for terms in range(1, 12):
        graph = cmvm.csd(np.ones((1, terms), np.int64))
        assert cmvm.additions(graph) == terms - 1
        assert cmvm.additions(graph, ternary=True) == -(-(terms - 1) // 2)
        assert cmvm.additions(graph, more=1) == terms


def test_shared_terms_are_added_once() -> None:
    """(a + b) is read twice: it is an adder of its own."""
    graph = cmvm.AdderGraph(
        3, ((0, 1, 0, False), (3, 2, 0, False), (3, 2, 1, True)), ((4, 0, False), (5, 0, True))
    )
    assert cmvm.used_once(graph) == {1, 2}
    assert (cmvm.additions(graph), cmvm.additions(graph, ternary=True)) == (3, 3)
    assert cmvm.additions(graph, ternary=True, more=1) == 3


@pytest.mark.icarus
@pytest.mark.parametrize("equal", [0, 3])
def test_matrices_that_read_one_value_share_a_stage_where_that_saves(
    equal: int, tmp_path: Path
) -> None:
    graph = siblings(equal)
    for number, settings in enumerate((JOINT, THREES)):
        planned = bench(graph, tmp_path / str(number), settings, count=7)
        stages = [s for s in planned.stages if isinstance(s, LaneStage)]
        assert luts(graph, settings) <= luts(graph, APART)
        if equal:
            assert len(stages) < len(plan(graph, APART).stages)
            assert luts(graph, settings) < luts(graph, APART)
    stage = next(s for s in plan(siblings(3), JOINT).stages if len(s.outputs) == 3)
    assert set(stage.outputs) == {"query", "key", "gate"}


def readers(count: int) -> Graph:
    """So many matrices on one value."""
    builder = Builder("readers")
    x = builder.input("x", (2, 2), Fixed(True, 6, 2))
    for number in range(count):
        op = Dense(np.array([[1, 3], [2, 1]]), 0, np.zeros(2, np.int64), 0, (2,))
        builder.output(builder.add(op, x, name=f"r{number}", layer=f"r{number}"))
    return builder.build()


def stages(found: list[Cluster]) -> list[list[int]]:
    """Stages by the readers in them."""
    return [[int(node.output.removeprefix("r")) for node in one.nodes] for one in found]


def all_pairs(count: int, gains: Callable[[list[int], list[int]], bool]) -> list[list[int]]:
    """What trying every pair of `count` stages gives."""
    found = [[number] for number in range(count)]
    gone: set[int] = set()
    for i, first in enumerate(found):
        for k, other in enumerate(found):
            if i != k and not {i, k} & gone and gains(first, other):
                first[:] = sorted(first + other)
                gone.add(k)
    return [one for i, one in enumerate(found) if i not in gone]


Rule = Callable[[list[int], list[int]], bool]
RULES: dict[str, Rule] = {
    "never": lambda a, b: False,
    "always": lambda a, b: True,
    "of a kind": lambda a, b: a[0] % 7 == b[0] % 7,
    "few": lambda a, b: len(a) + len(b) < 6 and (3 * a[0] + b[-1]) % 5 == 0,
    "later first": lambda a, b: a[0] > b[0] and sum(a + b) % 3 == 0,
}


def counted(monkeypatch: pytest.MonkeyPatch, rule: Rule, count: int) -> tuple[list[list[int]], int]:
    """What `merged` makes of `count` readers under a rule, and how often it asked."""
    asked = 0

    def gains(self: object, first: Any, other: Any) -> bool:
        nonlocal asked
        asked += 1
        return rule(*([int(n.output.removeprefix("r")) for n in nodes] for nodes in (first, other)))

    monkeypatch.setattr(joint._Costs, "gains", gains)
    facts = classify(readers(count), JOINT)
    return stages(joint.merged(facts, clusters(facts))), asked


@pytest.mark.parametrize("rule", RULES)
def test_neighbours_that_gain_are_found_as_among_all_pairs(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for count in (2, 9, joint.NEAR + 1):
        found, _ = counted(monkeypatch, RULES[rule], count)
        assert found == all_pairs(count, RULES[rule])


@pytest.mark.parametrize("rule", RULES)
def test_a_thousand_readers_are_not_tried_in_all_pairs(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, asked = counted(monkeypatch, RULES[rule], 1000)
    assert sorted(number for one in found for number in one) == [*range(1000)]
    assert asked <= 1000 * (2 * joint.NEAR + 1)
    _, half = counted(monkeypatch, RULES[rule], 500)
    assert asked < 2.2 * half
    if rule in ("never", "always", "of a kind"):
        assert sorted(map(sorted, found)) == sorted(all_pairs(1000, RULES[rule]))


@pytest.mark.icarus
@pytest.mark.parametrize("sliced", [False, True])
@pytest.mark.parametrize("residual", [False, True])
def test_chains_are_multiplied_out_where_that_saves(
    residual: bool, sliced: bool, tmp_path: Path
) -> None:
    graph = chain(summing(2 if sliced else 4), residual, sliced)
    assert sum(isinstance(n.op, Dense) for n in graph.nodes) == 2
    for number, settings in enumerate((JOINT, THREES)):
        bench(graph, tmp_path / str(number), settings, count=7)
    assert luts(graph, JOINT) < luts(graph, APART)


def test_a_chain_that_gains_nothing_stays_as_it_is() -> None:
    """Eight outputs of four: the product has more weights than both."""
    wide = Linear(np.kron(np.eye(4), np.ones((1, 4))), None, (16,))
    graph = chain(wide, residual=False)
    assert luts(graph, JOINT) == luts(graph, APART)


@pytest.mark.icarus
def test_a_sum_that_is_read_elsewhere_is_still_made(tmp_path: Path) -> None:
    graph = chain(summing(4), residual=False, shown=True)
    for number, settings in enumerate((JOINT, THREES)):
        bench(graph, tmp_path / str(number), settings, count=7)


@pytest.mark.icarus
@pytest.mark.parametrize("name", ["dense", "self_attention", "layer_norm", "two_outputs"])
def test_threes_take_fewer_luts_and_no_more_clocks(name: str, tmp_path: Path) -> None:
    graph = network(NETWORKS[name])
    settings = Settings(token_parallelism=2, joint=True, ternary=True)
    bench(graph, tmp_path, settings, count=7)
    before, after = (plan(graph, s).design for s in (APART, THREES))
    assert after.cost.lut < before.cost.lut
    assert after.latency_cycles <= before.latency_cycles


@pytest.mark.slow
@pytest.mark.icarus
@pytest.mark.parametrize("p", [1, 3, 16])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_joined(name: str, p: int, tmp_path: Path) -> None:
    for r in (1, 3):
        settings = Settings(token_parallelism=p, reuse_factor=r, joint=True, ternary=True)
        bench(network(NETWORKS[name]), tmp_path / str(r), settings, count=7)


@pytest.mark.icarus
@pytest.mark.parametrize("kind", ["log_sqrt2", "clipped"])
def test_constants_of_all_keys_meet_a_few_at_a_time(kind: str, tmp_path: Path) -> None:
    """A causal mask's constants are of all keys, scores come in groups where keys are folded."""

    def make(m: Maker) -> None:
        x = m.builder.input("x", (4, 2))
        shares = Shares(kind, bits=4) if kind == "log_sqrt2" else Shares(kind, gamma=-0.1)
        m.builder.output(m.attention(x, x, "mix", 1, 2, causal=True, shares=shares))

    for r in (1, 2, 4):
        settings = Settings(token_parallelism=1, reuse_factor=r, joint=True)
        bench(network(make), tmp_path / str(r), settings, count=4)


@pytest.mark.icarus
def test_a_wide_bias_leaves_the_matrix_as_it_is(tmp_path: Path) -> None:
    """Beside it weights are Python's integers, and still those that the adders are made of."""
    builder = Builder("wide")
    x = builder.input("x", (2, 2), Fixed(True, 12, 6))
    weight = np.array([[-2, -3], [1, -1], [2, 0], [0, 2]])
    op = Dense(weight, 2, np.array([30, 15, -45, 0]), -60, (4,))
    y = builder.add(op, x, name="exact", layer="y")
    builder.output(builder.add(Cast(Fixed(True, 12, 6)), y, name="y", layer="y"))
    bench(builder.build(), tmp_path, Settings(), count=4)
