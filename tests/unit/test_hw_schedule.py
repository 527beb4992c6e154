"""The schedule's own promises, without a simulation of the RTL."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from equiv.networks import NETWORKS, Maker, bench, hundred_tokens, network
from hypothesis import given, settings
from hypothesis import strategies as st

from gateformer.hw.dataflow.plan import Plan, plan
from gateformer.hw.dataflow.stages import DotStage
from gateformer.hw.netlist.net import Net
from gateformer.hw.settings import Settings
from gateformer.quant.errors import ConfigError, ScheduleError
from gateformer.quant.expand import Parameter, Pool
from gateformer.quant.graph import Graph
from gateformer.quant.ops.layout import Concat, Reshape, Slice, Transpose
from gateformer.sim.dataflow import simulate_clocks

GRAPHS: dict[tuple[str, str], Graph] = {}


def lowered(name: str, mode: str = "auto") -> Graph:
    if (name, mode) not in GRAPHS:
        GRAPHS[name, mode] = network(NETWORKS[name], softmax=mode)
    return GRAPHS[name, mode]


def planned(name: str, p: int = 1, r: int = 1, mode: str = "auto") -> Plan:
    return plan(lowered(name, mode), Settings(token_parallelism=p, reuse_factor=r))


@settings(max_examples=80)
@given(
    st.sampled_from(sorted(NETWORKS)), st.sampled_from(["direct", "max"]), st.integers(1, 9),
    st.integers(1, 6), st.sampled_from([1.0, 2.0, 3.5, 8.0]),
)  # fmt: skip
def test_every_operand_comes_in_time(name: str, mode: str, p: int, r: int, ns: float) -> None:
    """Delays and depths are no less than zero, and the event simulator sees no contradiction."""
    found = plan(lowered(name, mode), Settings(token_parallelism=p, reuse_factor=r, logic_ns=ns))
    design = found.design
    for stage in design.stages:
        assert stage.latency >= 0
        assert all(link.delay >= 0 and link.depth >= 0 for link in stage.links)
        assert not any(link.delay and link.depth for link in stage.links)
    events = simulate_clocks(design, 3)
    assert events.problems == ()
    assert events.latency_cycles == design.latency_cycles
    assert events.interval_cycles == design.interval_cycles == design.slots * design.beat_interval
    for stage in found.stages:
        if isinstance(stage, DotStage):
            before = 1 - stage.hold if stage.buffered else 0
            assert stage.key_start == stage.start - before


@pytest.mark.parametrize("name", NETWORKS)
def test_folding_slows_and_parallel_tokens_quicken(name: str) -> None:
    by_reuse = [planned(name, 1, r).design.latency_cycles for r in (1, 2, 4)]
    assert by_reuse == sorted(by_reuse)
    by_tokens = [planned(name, p).design.interval_cycles for p in (1, 2, 3, 16)]
    assert by_tokens == sorted(by_tokens, reverse=True)
    assert by_tokens[-1] == 1


@pytest.mark.parametrize("name", ["self_attention", "folded", "gelu", "layer_norm"])
def test_a_tighter_budget_takes_more_clocks(name: str) -> None:
    graph = lowered(name)
    clocks = [plan(graph, Settings(logic_ns=ns)).design.latency_cycles for ns in (1.0, 2.0, 8.0)]
    assert clocks == sorted(clocks, reverse=True)
    assert clocks[0] > clocks[-1]


def test_more_tokens_a_beat_than_there_are() -> None:
    assert planned("dense", 6).design == planned("dense", 600).design


def test_equal_settings_give_equal_plans() -> None:
    first, second = (plan(network(NETWORKS["deep"]), Settings(2, 3)) for _ in range(2))
    assert first.design == second.design


def test_multipliers_fold() -> None:
    def multipliers(r: int) -> int:
        settings = Settings(reuse_factor=r)
        return sum(s.multipliers for s in plan(network(hundred_tokens), settings).design.stages)

    assert multipliers(10) < multipliers(1) / 5


@pytest.mark.parametrize("bad", [{"token_parallelism": 0}, {"reuse_factor": 65537},
                                 {"layers": {"mix": 0}}, {"logic_ns": 0.5}])  # fmt: skip
def test_settings_out_of_range(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="E022"):
        Settings(**bad)


def test_tokens_that_change_places_have_no_hardware() -> None:
    def net(m: Maker) -> None:
        x = m.builder.input("x", (4, 4))
        m.builder.output(m.linear(m.one(Transpose((1, 0)), x, name="turned"), 2, "logits"))

    with pytest.raises(ScheduleError, match=r"E310 .*'turned' \(Transpose\)") as caught:
        plan(network(net), Settings())
    assert "from token to token" in str(caught.value)


def classified(m: Maker, constants: int, behind: bool = False) -> None:
    """Dense, constants joined before its tokens, attention, and the first token's classes."""
    if behind:
        tokens = m.builder.input("x", (5, 3))
    else:
        x = m.builder.input("x", (4, 3))
        flat = m.one(Reshape((12,)), m.linear(x, 3, "embed"), name="flat")
        token = m.one(Parameter(m.weights(constants)), name="token")
        tokens = m.one(Concat(), token, flat, name="joined")
        tokens = m.one(Reshape((-(-(12 + constants) // 3), 3)), tokens, name="tokens")
    mixed = m.attention(tokens, tokens, "mix", 1, 2)
    flat = m.one(Reshape((int(np.prod(m.builder.values[mixed].shape)),)), mixed, name="row")
    m.builder.output(m.linear(m.one(Slice(0, 2), flat, name="first"), 3, "logits"))


@pytest.mark.parametrize("p", [1, 4, 16])
@pytest.mark.parametrize(
    ("constants", "told"),
    [
        (3, "It joins a token of constants (a class token) to 4 others, and a pipeline that takes "
            "4 tokens a frame has no place for 5: "),
        (6, "It joins 2 tokens of constants (class or register tokens) to 4 others, and a pipeline "
            "that takes 4 tokens a frame has no place for 6: "),
    ],
)  # fmt: skip
def test_a_class_token_joined_inside_is_named_with_what_to_do(
    p: int, constants: int, told: str
) -> None:
    with pytest.raises(ScheduleError) as caught:
        plan(network(lambda m: classified(m, constants)), Settings(token_parallelism=p))
    text = str(caught.value)
    assert text.startswith("E310 tokens joined inside the network: 'joined' (Concat). " + told)
    assert text.endswith(
        "reads them all. Leave it out, pool the tokens (their mean or maximum) where the network "
        "picks it, and train again; or export the network from behind 'joined' on, with "
        f"{4 + constants // 3} tokens as its input, of which the host sends the constant ones too."
    )


@pytest.mark.icarus
@pytest.mark.parametrize("p", [1, 2, 5])
def test_a_class_token_that_the_host_sends_has_hardware(p: int, tmp_path: Path) -> None:
    graph = network(lambda m: classified(m, 3, behind=True))
    bench(graph, tmp_path, Settings(token_parallelism=p), count=5)


def test_a_vector_has_no_tokens() -> None:
    def net(m: Maker) -> None:
        x = m.builder.input("x", (4, 3))
        flat = m.one(Reshape((12,)), x, name="flat")
        m.builder.output(m.linear(m.one(Reshape((6, 2)), flat, name="split"), 2, "logits"))

    with pytest.raises(ScheduleError, match=r"E310 .*'split' \(Reshape\). It spreads a vector over "
                       r"6 tokens.* Keep the tokens apart up to there"):  # fmt: skip
        plan(network(net), Settings())


def test_an_output_without_an_input() -> None:
    def net(m: Maker) -> None:
        x = m.builder.input("x", (4, 1, 4))
        m.builder.output(m.one(Reshape((4, 4)), x, name="flat"))
        m.builder.output(m.one(Pool("max"), m.builder._nodes[-1].output, name="peak"))

    found = plan(network(net), Settings())
    assert [port.value for port in found.design.outputs] == ["flat", "peak"]


def test_an_output_that_is_an_input() -> None:
    def net(m: Maker) -> None:
        x = m.builder.input("x", (4, 4))
        m.builder.output(m.linear(x, 2, "logits"))
        m.builder.output(x)

    with pytest.raises(ScheduleError, match=r"E311 .*'x'"):
        plan(network(net), Settings())


def chain(layers: int) -> Graph:
    def net(m: Maker) -> None:
        x = m.builder.input("x", (2, 2))
        for number in range(layers):
            x = m.linear(x, 2, f"dense{number}")
        m.builder.output(x)

    return network(net, "fixed<6,3>")


def calls(work: Callable[[], object]) -> int:
    """Python functions called: a count that no busy machine changes."""
    count = 0

    def tally(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(tally)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def test_planning_grows_with_the_layers_and_no_faster() -> None:
    counts = {}
    for layers in (60, 240):
        graph = chain(layers)
        counts[layers] = calls(lambda g=graph: plan(g, Settings()))
    assert counts[240] < 1.3 * 4 * counts[60]


@pytest.mark.slow
def test_a_thousand_layers() -> None:
    small, large = chain(250), chain(1000)
    few, many = (calls(lambda g=g: plan(g, Settings())) for g in (small, large))
    assert many < 1.2 * 4 * few
    assert len(plan(large, Settings()).design.stages) >= 1000


def test_balanced_sums_are_shallow() -> None:
    net = Net(1e9)
    nodes = [net.input("x", i, -8, 7) for i in range(64)]
    total = net.total([(n, 0, False) for n in nodes])
    depth = np.zeros(len(net.operations), np.int64)
    for number, op in enumerate(net.operations):
        if op.args:
            depth[number] = 1 + max(depth[a] for a in op.args)
    assert depth[total] <= 7
    assert len(net.operations) == 64 + 63
    assert (net.operations[total].lo, net.operations[total].hi) == (-8 * 64, 7 * 64)
