"""Timelines for chrome://tracing and Perfetto, and where a frame's latency goes.

Owns ``critical_path`` and ``chrome_trace``. Imports the event simulator's result.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateformer.hw.dataflow.design import Design
from gateformer.sim.dataflow import ClockArray, Clocks


@dataclass(frozen=True, slots=True)
class Slice:
    """A stretch of clocks that one part takes.

    Attributes
    ----------
    name : str
        Stage, or ``input``, ``register``, ``output fifo``.
    start : int
        First clock, counted from the frame's first input handshake.
    cycles : int
        Clocks.
    """

    name: str
    start: int
    cycles: int


def critical_path(design: Design, clocks: Clocks, frame: int = 0) -> list[Slice]:
    """Split a frame's latency: the slices touch, and their cycles add up to it.

    Parameters
    ----------
    design : Design
        The scheduled design.
    clocks : Clocks
        A simulation of good frames.
    frame : int
        The frame looked at.
    """
    ends = {p.name: int(clocks.received[p.name][(frame + 1) * p.beats - 1]) for p in design.outputs}
    latest = max(design.outputs, key=lambda p: ends[p.name])
    begin = min(int(clocks.sent[p.name][frame * p.beats]) for p in design.inputs)
    taken = {p.value: int(clocks.sent[p.name][(frame + 1) * p.beats - 1]) for p in design.inputs}
    taken |= {p.mask: taken[p.value] for p in design.inputs if p.mask is not None}
    stages = {stage.name: stage for stage in design.stages}

    def left(source: str) -> int:
        return int(clocks.spans[source][frame, 1]) if source in stages else taken[source] + 1

    marks = [("output fifo", ends[latest.name])]
    source = design.output_stages[design.outputs.index(latest)]
    while source in stages:
        marks.append((source, left(source)))
        source = max((link.source for link in stages[source].links), key=left)
    marks += [("register", taken[source] + 1), ("input", taken[source])]
    slices, at = [], begin
    for name, clock in reversed(marks):
        slices.append(Slice(name, at - begin, clock - at))
        at = clock
    return slices


def chrome_trace(design: Design, clocks: Clocks, clock_ns: float = 1.0) -> dict[str, object]:
    """Return a trace: a track a stream and stage, one for frames, one for the critical path.

    Parameters
    ----------
    design : Design
        The scheduled design.
    clocks : Clocks
        A simulation of good frames.
    clock_ns : float
        Clock period; the trace's times are microseconds.

    Returns
    -------
    dict
        To be written as JSON.
    """
    begins = [clocks.sent[p.name][:: p.beats] for p in design.inputs]
    ends = [clocks.received[p.name][p.beats - 1 :: p.beats] for p in design.outputs]
    count = min(len(clock) for clock in (*begins, *ends))
    whole = [(int(min(b[i] for b in begins)), int(max(e[i] for e in ends))) for i in range(count)]
    tracks: list[tuple[str, list[tuple[str, int, int]]]] = [
        ("frames", [(f"frame {i}", a, b - a) for i, (a, b) in enumerate(whole)])
    ]
    if count:
        path = critical_path(design, clocks)
        tracks.append(("latency", [(s.name, whole[0][0] + s.start, s.cycles) for s in path]))
    tracks += [(p.name, list(_beats(clocks.sent[p.name], p.beats))) for p in design.inputs]
    tracks += [
        (name, [(f"frame {i}", int(a), int(b - a) + 1) for i, (a, b) in enumerate(spans)])
        for name, spans in clocks.spans.items()
    ]
    tracks += [(p.name, list(_beats(clocks.received[p.name], p.beats))) for p in design.outputs]
    events: list[dict[str, object]] = []
    for track, (name, slices) in enumerate(tracks):
        events.append(
            {"ph": "M", "pid": 0, "tid": track, "name": "thread_name", "args": {"name": name}}
        )
        events += [
            {
                "ph": "X",
                "pid": 0,
                "tid": track,
                "name": label,
                "ts": start * clock_ns / 1000,
                "dur": cycles * clock_ns / 1000,
                "args": {"clock": start, "cycles": cycles},
            }
            for label, start, cycles in slices
        ]
    return {"traceEvents": events, "displayTimeUnit": "ns"}


def _beats(clocks: ClockArray, beats: int) -> Iterable[tuple[str, int, int]]:
    for frame in range(len(clocks) // beats):
        first, last = int(clocks[frame * beats]), int(clocks[(frame + 1) * beats - 1])
        yield f"frame {frame}", first, last - first + 1
