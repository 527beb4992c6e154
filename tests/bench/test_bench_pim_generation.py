"""Whole generations of 1,024 tokens in closed form: all layers, KV growth, refresh, one core.

Times are CPU time of this process, plain Python, so that other work on the machine hardly counts.
"""

from __future__ import annotations

from collections.abc import Callable
from time import process_time
from typing import Any

import pytest

from gateformer.quant import models
from gateformer.sim.pim import simulate

Benchmark = Callable[..., Any]
XL_SECONDS, ALL_SECONDS = 2.0, 10.0


def timed(name: str, **settings: Any) -> float:
    start = process_time()
    found = simulate(name, 1024, **settings)
    taken = process_time() - start
    assert len(found.token_clocks) == 1024
    assert found.token_clocks[-1] > found.token_clocks[0]
    assert found.counts.get("REFab", 0) + found.counts.get("REFpb", 0) > 0
    return taken


@pytest.fixture(autouse=True, scope="module")
def imported() -> None:
    simulate("gpt2-small", 1)


def test_bench_gpt3_xl(benchmark: Benchmark) -> None:
    taken = benchmark.pedantic(timed, ("gpt3-xl",), rounds=3)  # type: ignore[attr-defined]
    assert taken < XL_SECONDS


def test_bench_all_eight_models(benchmark: Benchmark) -> None:
    def all_models() -> float:
        return sum(timed(name) for name in models.names())

    assert benchmark.pedantic(all_models, rounds=1) < ALL_SECONDS  # type: ignore[attr-defined]


@pytest.mark.parametrize("settings", [{"overlap": True}, {"refresh": "per-bank"}], ids=str)
def test_bench_other_settings(benchmark: Benchmark, settings: dict[str, Any]) -> None:
    assert benchmark.pedantic(timed, ("gpt3-xl",), settings, rounds=1) > 0  # type: ignore[attr-defined]
