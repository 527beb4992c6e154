"""Packing, comparing and measuring what a simulation gave."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateformer.hw.dataflow.design import Design, Port
from gateformer.quant.errors import DataError
from gateformer.quant.types import Fixed, IntArray, wrap
from gateformer.sim.rtl.jobs import Job, Record, Watch, load_jobs, load_records, save_jobs
from gateformer.sim.rtl.jobs import save_records as save
from gateformer.sim.rtl.scoreboard import compare, interval_of, latency_of
from gateformer.sim.rtl.streams import pack, unpack
from gateformer.sim.stalls import StallPattern, stalls_of

PORT = Port("m_axis", "y", 5, 2, Fixed(True, 11, 4), 2)


def values(port: Port, count: int, seed: int = 0) -> IntArray:
    random = np.random.default_rng(seed)
    shape = (count, port.tokens, port.features)
    bits = random.integers(0, 2, (*shape, port.type.width)).astype(object)
    raw = wrap((bits << np.arange(port.type.width).astype(object)).sum(-1), port.type)
    return raw.astype(np.int64 if port.type.width < 63 else object)


def record(port: Port, frames: IntArray, clocks: list[int] | None = None) -> Record:
    beats = pack(port, {port.value: frames})
    when = np.arange(len(beats)) if clocks is None else np.array(clocks)
    return Record({}, {port.name: when}, {port.name: beats.data}, {port.name: beats.last})


@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 5), st.integers(1, 100), st.booleans())
def test_packing_is_undone_by_unpacking(
    tokens: int, features: int, lanes: int, width: int, signed: bool
) -> None:
    port = Port("m_axis", "y", tokens, features, Fixed(signed, width, 0), min(lanes, tokens))
    frames = values(port, 3)
    beats = pack(port, {"y": frames})
    assert beats.data.shape == (3 * port.beats, port.axis_bits // 8)
    back, problems = unpack(port, beats.data)
    assert (back == frames).all() and problems == []


def test_a_beat_as_documented() -> None:
    port = Port("s_axis", "x", 3, 2, Fixed(True, 12, 0), 2, mask="m")
    frames = {"x": np.array([[[1, -2], [3, 4], [-5, 6]]]), "m": np.array([[1, 0, 1]])}
    beats = pack(port, frames)
    assert beats.data.tobytes().hex(" ", 2) == "0100 feff 0300 0400 fbff 0600 0000 0000"
    assert beats.last.tolist() == [False, True]
    assert beats.user is not None and beats.user.tolist() == [[True, False], [True, False]]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match="leave fixed<11,7>"):
        pack(PORT, {"y": np.full((1, 5, 2), 1024)})
    with pytest.raises(DataError, match="a frame is 5 tokens of 2"):
        pack(PORT, {"y": np.zeros((1, 4, 2), np.int64)})
    with pytest.raises(DataError, match="no data for 'y'"):
        pack(PORT, {})


def test_equal_frames_match() -> None:
    frames = values(PORT, 6)
    found = compare(PORT, record(PORT, frames), {"y": frames.reshape(6, -1)})
    assert (found.mismatches, found.first, found.problems) == (0, None, ())


def test_the_first_wrong_integer_is_named() -> None:
    frames = values(PORT, 6)
    wrong = frames.copy()
    wrong[4, 3, 1] ^= 1
    wrong[5] = 0
    found = compare(PORT, record(PORT, wrong), {"y": frames})
    assert found.mismatches == 2 and found.first is not None
    first = found.first
    assert (first.frame, first.index, first.kind) == (4, (3, 1), "value")
    assert (first.expected, first.actual) == (frames[4, 3, 1], wrong[4, 3, 1])
    assert "'y' frame 4 element (3, 1)" in str(first)


@pytest.mark.parametrize(
    ("order", "kind", "frame"),
    [
        ([0, 1, 3, 4, 5], "lost", 2),
        ([0, 1, 1, 2, 3, 4, 5], "repeated", 2),
        ([0, 1, 4, 3, 2, 5], "reordered", 2),
        ([0, 1, 2, 3, 4], "lost", 5),
        ([0, 1, 2, 3, 4, 5, 0], "surplus", 6),
        ([], "lost", 0),
    ],
)
def test_frames_in_the_wrong_place(order: list[int], kind: str, frame: int) -> None:
    frames = values(PORT, 6)
    found = compare(PORT, record(PORT, frames[order]), {"y": frames})
    assert found.first is not None
    assert (found.first.kind, found.first.frame) == (kind, frame)


def test_wrong_padding_and_tlast_are_problems() -> None:
    frames = values(PORT, 2)
    good = record(PORT, frames)
    data, last = good.data["m_axis"].copy(), good.last["m_axis"].copy()
    data[2, 4] = 1  # lane 1 of a last beat is unused
    data[0, 1] ^= 0x40  # bit 14 of an 11-bit element
    last[1] = True
    bad = Record({}, good.received, {"m_axis": data}, {"m_axis": last})
    problems = compare(PORT, bad, {"y": frames}).problems
    assert problems == (
        "m_axis: tlast is wrong at beat 1",
        "m_axis: unused lanes of frame 0 are not zero",
        "m_axis: padding bits do not extend fixed<11,7>",
    )


def test_latency_and_interval() -> None:
    source = Port("s_axis", "x", 2, 1, Fixed(True, 8, 0), 1)
    sink = Port("m_axis", "y", 2, 1, Fixed(True, 8, 0), 1)
    design = Design("d", (source,), (sink,), (), 1, (), 4)
    empty = {"m_axis": np.zeros((0, 1), np.uint8)}
    run = Record({"s_axis": np.array([0, 1, 4, 5, 7, 8])}, {"m_axis": np.array([6, 7, 9, 12])},
                 empty, {"m_axis": np.zeros(0, np.bool_)})  # fmt: skip
    assert latency_of(design, run) == 8
    assert interval_of(design, run) == 4
    alone = Record({"s_axis": np.array([0, 1])}, {"m_axis": np.array([], np.int64)}, empty, {})
    assert latency_of(design, alone) is None and interval_of(design, alone) is None


def test_stall_patterns_repeat_and_differ() -> None:
    for kind in ("random", "bursts"):
        pattern = StallPattern(kind, seed=3, probability=0.4)  # type: ignore[arg-type]
        source = [stalls_of(pattern, "s_axis", source=True) for _ in range(2)]
        sink = stalls_of(pattern, "m_axis", source=False)
        one = [source[0][i] for i in range(20_000)]
        again, other = ([stalls[i] for i in range(200)] for stalls in (source[1], sink))
        assert one[:200] == again != other
        assert 0.3 < np.mean(one) < 0.5
    assert not stalls_of(None, "s_axis", source=True)[99]
    sinks_only = StallPattern(probability=1.0, sources=False)
    assert not sinks_only.source("s_axis")[0] and sinks_only.sink("m_axis")[0]


def test_jobs_and_records_survive_their_files(tmp_path: Path) -> None:
    port = Port("s_axis", "x", 3, 2, Fixed(True, 12, 0), 2, mask="m")
    frames = {"x": values(port, 2), "m": np.ones((2, 3), np.int64)}
    job = Job({"s_axis": pack(port, frames)}, {"m_axis": 4}, StallPattern(seed=2), 10, 99, 7,
              {"a/b": Watch("a", "a_valid", 24)})  # fmt: skip
    save_jobs(tmp_path, [job, Job({}, {})])
    one, two = load_jobs(tmp_path)
    assert (one.outputs, one.stalls, one.drain, one.patience, one.abort, one.watches) == (
        job.outputs, job.stalls, 10, 99, 7, job.watches)  # fmt: skip
    assert one.inputs["s_axis"].data.tolist() == job.inputs["s_axis"].data.tolist()
    assert two.stalls is None and two.abort is None
    run = record(PORT, values(PORT, 2))
    save(tmp_path, [run])
    (back,) = load_records(tmp_path)
    assert back.data["m_axis"].tolist() == run.data["m_axis"].tolist()
    assert back.frame_error is None and back.problems == ()
