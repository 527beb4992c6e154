"""gf_<name>_axis around toy cores on Icarus: integers, clocks, frame errors, reset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from gateformer.quant.types import IntArray
from gateformer.sim.dataflow import simulate_clocks
from gateformer.sim.rtl.build import build
from gateformer.sim.rtl.jobs import Job, Record
from gateformer.sim.rtl.scoreboard import compare
from gateformer.sim.rtl.simulate import job_of, judge, run_jobs, simulate
from gateformer.sim.rtl.streams import Beats, pack
from gateformer.sim.stalls import StallPattern

pytestmark = pytest.mark.icarus

PATTERNS = [
    StallPattern("random", seed=1, probability=0.3),
    StallPattern("random", seed=2, probability=0.7),
    StallPattern("bursts", seed=3, probability=0.5),
    StallPattern("random", seed=4, probability=0.5, sinks=False),
    StallPattern("bursts", seed=5, probability=0.6, burst=20, sources=False),
]

CORES: list[tuple[str, dict[str, Any]]] = [
    *(("affine", {"tokens": t, "lanes": 1 + t % 4, "interval": 1 + t % 3}) for t in range(1, 18)),
    ("affine", {"tokens": 4, "lanes": 4, "capacity": 1}),
    ("affine", {"tokens": 9, "lanes": 2, "capacity": 1, "latency": 0}),
    ("affine", {"tokens": 3, "lanes": 1, "capacity": 9, "latency": 20}),
    ("affine", {"tokens": 3, "features": 1, "lanes": 1, "width": 1, "signed": False}),
    ("affine", {"tokens": 6, "lanes": 5, "width": 24, "interval": 4}),
    ("affine", {"tokens": 2, "features": 3, "lanes": 2, "width": 61, "signed": False}),
    ("affine", {"tokens": 2, "features": 2, "lanes": 1, "width": 70}),
    ("mixer", {}),
    ("mixer", {"other": None, "interval": 2}),
    ("mixer", {"tokens": 6, "lanes": 1, "other": 6, "masked": True, "capacity": 1}),
    ("mixer", {"tokens": 1, "lanes": 1, "other": 1, "interval": 3}),
    ("mixer", {"tokens": 17, "lanes": 5, "other": 2, "interval": 4, "reverse": 5, "masked": True}),
]


def _run(toy: Any, jobs: list[Job], builds: Path, work: Path) -> list[Record]:
    built = build("icarus", toy.files, f"gf_{toy.design.name}_axis", builds)
    return run_jobs(built, jobs, work)


@pytest.mark.parametrize(("core", "settings"), CORES)
def test_integers_and_clocks(
    toys: ModuleType, core: str, settings: dict[str, Any], builds: Path, tmp_path: Path
) -> None:
    toy = getattr(toys, core)(**settings)
    frames, design = toy.frames(12), toy.design
    expected = toy.run(frames)
    patterns = [None, *PATTERNS]
    records = _run(toy, [job_of(design, frames, p) for p in patterns], builds, tmp_path)
    for pattern, record in zip(patterns, records, strict=True):
        result = judge(design, record, expected, "icarus", vectors=12, seconds=(0, 0),
                       stalled=pattern is not None)  # fmt: skip
        assert result.passed, (pattern, result.first, result.problems)
        clocks = simulate_clocks(design, 12, pattern)
        assert clocks.problems == ()
        for name, sent in record.sent.items():
            np.testing.assert_array_equal(clocks.sent[name], sent)
        for name, received in record.received.items():
            np.testing.assert_array_equal(clocks.received[name], received)
        if pattern is None:
            assert result.latency_cycles == clocks.latency_cycles == design.latency_cycles
            assert result.interval_cycles == clocks.interval_cycles
            needed = design.latency_cycles + 1
            if design.capacity * design.interval_cycles >= needed:
                assert result.interval_cycles == design.interval_cycles


def _malformed(toy: Any, frames: Mapping[str, IntArray], faults: Mapping[str, Mapping[int, int]]
               ) -> tuple[dict[str, Beats], list[int]]:  # fmt: skip
    """Move a frame's tlast by a number of beats (0: leave it out); also says what remains."""
    inputs, bad = {}, set()
    for port in toy.design.inputs:
        whole = pack(port, frames)
        pieces = []
        for frame in range(len(whole) // port.beats):
            rows = np.arange(frame * port.beats, (frame + 1) * port.beats)
            last = whole.last[rows].copy()
            move = faults.get(port.name, {}).get(frame)
            if move is not None:
                bad.add(frame)
                if move < 0:
                    rows, last = rows[:move], last[-move:]
                else:
                    rows = np.concatenate([rows, rows[:1].repeat(move)])
                    last = np.concatenate([np.zeros(len(rows) - 1, np.bool_), [True]])
            pieces.append((rows, last))
        rows = np.concatenate([p[0] for p in pieces])
        user = None if whole.user is None else whole.user[rows]
        inputs[port.name] = Beats(whole.data[rows], np.concatenate([p[1] for p in pieces]), user)
    return inputs, [i for i in range(len(next(iter(frames.values())))) if i not in bad]


FAULTS: list[dict[str, dict[int, int]]] = [
    {"s_axis": {0: -1}},
    {"s_axis": {0: 2}},
    {"s_axis": {3: -3}},
    {"s_axis": {7: -2}},
    {"s_axis": {7: 1}},
    {"s_axis_b": {0: -1}},
    {"s_axis_b": {2: 5}},
    {"s_axis": {1: -3, 2: -1, 3: 4, 4: 1}, "s_axis_b": {2: -2, 4: 3, 5: -1, 7: 2}},
]


@pytest.mark.parametrize("interval", [1, 3])
@pytest.mark.parametrize("capacity", [1, 3])
def test_malformed_frames_are_dropped(
    toys: ModuleType, interval: int, capacity: int, builds: Path, tmp_path: Path
) -> None:
    toy = toys.mixer(7, 2, 3, interval=interval, capacity=capacity)
    design, frames = toy.design, toy.frames(8)
    jobs, kept, stalls = [], [], [None, *PATTERNS[:3]]
    for faults in FAULTS:
        inputs, good = _malformed(toy, frames, faults)
        outputs = {p.name: p.beats * len(good) for p in design.outputs}
        for pattern in stalls:
            jobs.append(Job(inputs, outputs, pattern, 100))
            kept.append(good)
    for job, good, record in zip(jobs, kept, _run(toy, jobs, builds, tmp_path), strict=True):
        assert record.problems == ()
        assert record.frame_error is not None
        expected = {name: value[good] for name, value in toy.run(frames).items()}
        for port in design.outputs:
            found = compare(port, record, expected)
            assert (found.mismatches, found.first, found.problems) == (0, None, ())
        lasts = {name: beats.last.tolist() for name, beats in job.inputs.items()}
        clocks = simulate_clocks(design, 8, job.stalls, lasts)
        assert clocks.frame_error == record.frame_error
        for name, sent in record.sent.items():
            assert len(sent) == len(lasts[name])
            np.testing.assert_array_equal(clocks.sent[name], sent)
        for name, received in record.received.items():
            np.testing.assert_array_equal(clocks.received[name], received)


@pytest.mark.parametrize("core", ["affine", "mixer"])
def test_reset_in_the_middle_leaves_nothing_behind(
    toys: ModuleType, core: str, builds: Path, tmp_path: Path
) -> None:
    toy = getattr(toys, core)()
    frames = toy.frames(6)
    whole = [job_of(toy.design, frames, p) for p in (None, PATTERNS[0])]
    broken, _ = _malformed(toy, frames, {"s_axis": {0: -1}})
    jobs = []
    for clock in range(1, 30, 3):
        for job, inputs in ((whole[0], whole[0].inputs), (whole[1], broken)):
            jobs += [
                Job(inputs, job.outputs, job.stalls, abort=clock),
                whole[clock % 2],
            ]
    records = _run(toy, jobs, builds, tmp_path)
    for record in records[1::2]:
        result = judge(toy.design, record, toy.run(frames), "icarus", vectors=6, seconds=(0, 0))
        assert result.passed, (result.first, result.problems)


def test_senders_padding_does_not_matter(toys: ModuleType, builds: Path, tmp_path: Path) -> None:
    toy = toys.mixer(5, 3, 2, masked=True)
    frames = toy.frames(6)
    job = job_of(toy.design, frames)
    beats = job.inputs["s_axis"]
    port = toy.design.inputs[0]
    data, user = beats.data.copy(), beats.user.copy()  # type: ignore[union-attr]
    data[port.beats - 1 :: port.beats, 2 * port.features :] = 0xA5
    user[port.beats - 1 :: port.beats, 2:] = True
    dirty = {**job.inputs, "s_axis": Beats(data, beats.last, user)}
    (record,) = _run(toy, [Job(dirty, job.outputs)], builds, tmp_path)
    assert judge(toy.design, record, toy.run(frames), "icarus", vectors=6, seconds=(0, 0)).passed


def test_a_fault_is_found_and_told(toys: ModuleType, builds: Path, tmp_path: Path) -> None:
    toy = toys.mixer(fault="mix")
    frames = toy.frames(5)
    result = simulate(
        toy.design, toy.files, frames, toy.run(frames), work=tmp_path, cache=builds, waves=True
    )
    assert result.mismatches == 5 and result.first is not None
    assert (result.first.value, result.first.frame, result.first.index) == ("y", 0, (0, 0))
    assert result.first.actual == (result.first.expected or 0) + 1
    assert result.waves is not None and result.waves.stat().st_size > 100
    assert result.latency_cycles == toy.design.latency_cycles
