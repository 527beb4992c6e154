"""How long each part of the way from a graph to its clocks takes, side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from equiv.networks import NETWORKS, hundred_tokens, network, vectors

from gateformer.hw.dataflow.plan import plan
from gateformer.hw.rtl.emit import emit
from gateformer.hw.settings import Settings
from gateformer.quant.execute import run
from gateformer.sim.dataflow import simulate_clocks

MAKERS = {"deep": NETWORKS["deep"], "hundred_tokens": hundred_tokens}
Benchmark = Callable[..., Any]


@pytest.fixture(params=MAKERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_bench_lower(benchmark: Benchmark, name: str) -> None:
    assert benchmark(network, MAKERS[name]).typed


def test_bench_execute(benchmark: Benchmark, name: str) -> None:
    graph = network(MAKERS[name])
    assert set(benchmark(run, graph, vectors(graph, 100))) == set(graph.outputs)


def test_bench_plan(benchmark: Benchmark, name: str) -> None:
    graph = network(MAKERS[name])
    assert benchmark(plan, graph, Settings()).graph is graph


def test_bench_emit(benchmark: Benchmark, name: str) -> None:
    planned = plan(network(MAKERS[name]), Settings())
    assert benchmark(emit, planned).core == f"gf_{planned.design.name}"


def test_bench_events(benchmark: Benchmark, name: str) -> None:
    design = plan(network(MAKERS[name]), Settings()).design
    assert benchmark(simulate_clocks, design, 20).latency_cycles == design.latency_cycles
