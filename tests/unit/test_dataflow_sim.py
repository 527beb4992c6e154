"""The event simulator against the schedule's formulas; the RTL tests hold it to the hardware."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateformer.hw.dataflow.design import Design, Link, Port, Stage
from gateformer.quant.types import Fixed
from gateformer.sim.dataflow import simulate_clocks
from gateformer.sim.stalls import StallPattern
from gateformer.sim.trace import chrome_trace, critical_path

KIND = Fixed(True, 8, 0)


def attention(tokens: int = 6, lanes: int = 1, interval: int = 1, capacity: int = 9,
              latencies: tuple[int, int, int] = (3, 7, 2)) -> Design:  # fmt: skip
    """project (stream) -> attend (gather, rows from project by FIFO) -> add the input -> sum."""
    project, attend, add = latencies
    beats = -(-tokens // lanes)
    start = project + attend
    stages = (
        Stage("project", "stream", (Link("x", "stream"),), project, beats, 1, "input", project),
        Stage("attend", "gather",
              (Link("project", "frame"), Link("project", "stream", depth=beats + 1)),
              attend, beats, interval, "frame", start),
        Stage("add", "stream", (Link("attend", "stream"), Link("x", "stream", depth=64)),
              add, beats, 1, "frame", start + add),
        Stage("sum", "reduce", (Link("add", "stream"),), 4, 1, 1, "frame",
              start + add + (beats - 1) * interval + 4),
    )  # fmt: skip
    outputs = (
        Port("m_axis", "y", tokens, 2, KIND, lanes),
        Port("m_axis_s", "s", 1, 2, KIND, 1),
    )
    return Design("toy", (Port("s_axis", "x", tokens, 2, KIND, lanes),), outputs, stages,
                  interval, ("add", "sum"), capacity)  # fmt: skip


@given(
    st.integers(1, 17),
    st.integers(1, 5),
    st.integers(1, 4),
    st.tuples(st.integers(0, 9), st.integers(1, 9), st.integers(0, 9)),
)
def test_latency_and_interval_are_the_schedules(
    tokens: int, lanes: int, interval: int, latencies: tuple[int, int, int]
) -> None:
    attend = max(latencies[1], 2)
    design = attention(tokens, lanes, interval, 60, (latencies[0], attend, latencies[2]))
    clocks = simulate_clocks(design, 5)
    assert clocks.problems == ()
    assert clocks.latency_cycles == design.latency_cycles
    assert clocks.interval_cycles == design.interval_cycles
    assert clocks.peaks["m_axis"] <= 60 * design.outputs[0].beats
    assert sum(s.cycles for s in critical_path(design, clocks)) == design.latency_cycles


def test_too_few_credits_slow_the_frames_but_not_each_one() -> None:
    design = attention(capacity=1)
    clocks = simulate_clocks(design, 4)
    assert clocks.latency_cycles == design.latency_cycles
    assert clocks.interval_cycles == design.latency_cycles + 1


def test_stalls_on_both_sides_lose_nothing() -> None:
    design = attention(lanes=2, interval=2, capacity=3)
    for seed in range(10):
        clocks = simulate_clocks(design, 30, StallPattern(seed=seed, probability=0.1 * seed))
        assert clocks.problems == ()
        assert [len(clocks.received[p.name]) for p in design.outputs] == [90, 30]
        assert (np.diff(clocks.sent["s_axis"]) >= 2).all()
        assert clocks.peaks["m_axis"] <= 9 and clocks.peaks["m_axis_s"] <= 3


def test_bad_frames_are_dropped() -> None:
    design = attention(tokens=3)
    last = [False, True, False, False, True, False, False, False, True, False, False, True]
    clocks = simulate_clocks(design, last={"s_axis": last})
    assert [len(clocks.received[p.name]) for p in design.outputs] == [6, 2]
    assert clocks.frame_error == 2
    assert clocks.latency_cycles is None
    assert len(clocks.sent["s_axis"]) == len(last)


@pytest.mark.parametrize(
    ("stage", "change", "told"),
    [
        (1, {"latency": 8}, "leaves in clock"),
        (2, {"links": (Link("attend", "stream"), Link("project", "stream"))}, "operand comes"),
        (2, {"links": (Link("attend", "stream"), Link("x", "stream", depth=3))}, "holds 3 beats"),
        (3, {"offset": 30}, "by the schedule"),
    ],
)
def test_contradictions_are_listed(stage: int, change: dict[str, object], told: str) -> None:
    design = attention()
    stages = list(design.stages)
    stages[stage] = replace(stages[stage], **change)  # type: ignore[arg-type]
    clocks = simulate_clocks(replace(design, stages=tuple(stages)), 3)
    assert any(told in problem for problem in clocks.problems), clocks.problems


def test_a_frame_that_is_read_too_early() -> None:
    design = attention(tokens=1)
    stages = list(design.stages)
    links = (Link("project", "stream"), Link("project", "stream", depth=2))
    stages[1] = Stage("attend", "stream", links, 7, 1, 1, "frame", 10)
    clocks = simulate_clocks(replace(design, stages=tuple(stages)))
    assert any("too late for use" in problem for problem in clocks.problems)


def test_inputs_of_different_lengths_wait_for_the_schedule() -> None:
    long, short = (Port(n, v, t, 1, KIND, 1) for n, v, t in
                   (("s_axis", "q", 6), ("s_axis_k", "k", 2)))  # fmt: skip
    stage = Stage("cross", "gather", (Link("k", "frame"), Link("q", "stream", depth=8)),
                  3, 6, 1, "frame", 3)  # fmt: skip
    output = Port("m_axis", "y", 6, 1, KIND, 1)
    design = Design("toy", (long, short), (output,), (stage,), 1, ("cross",), 5)
    clocks = simulate_clocks(design, 4, StallPattern(seed=1))
    assert clocks.problems == ()
    assert simulate_clocks(design, 1).latency_cycles == design.latency_cycles


def test_work_grows_linearly_with_the_frames() -> None:
    design = attention(tokens=15)
    few, many = (simulate_clocks(design, frames).events for frames in (200, 400))
    assert many < 2.01 * few


def test_a_trace_whose_slices_add_up() -> None:
    design = attention(interval=2)
    clocks = simulate_clocks(design, 3)
    trace = chrome_trace(design, clocks, clock_ns=5.0)
    assert json.loads(json.dumps(trace)) == trace
    events = trace["traceEvents"]
    assert isinstance(events, list)
    names = {e["tid"]: e["args"]["name"] for e in events if e["ph"] == "M"}
    assert list(names.values()) == ["frames", "latency", "s_axis", "project", "attend", "add",
                                    "sum", "m_axis", "m_axis_s"]  # fmt: skip
    path = [e for e in events if e["ph"] == "X" and names[e["tid"]] == "latency"]
    assert sum(e["args"]["cycles"] for e in path) == design.latency_cycles
    for one, following in pairwise(path):
        assert one["args"]["clock"] + one["args"]["cycles"] == following["args"]["clock"]
    frames = [e for e in events if e["ph"] == "X" and names[e["tid"]] == "frames"]
    assert [e["args"]["cycles"] for e in frames] == [design.latency_cycles] * 3
    assert frames[0]["dur"] == design.latency_cycles * 0.005
