"""The FPGA pipeline event by event: every handshake's clock, with stalling neighbours.

Owns ``simulate_clocks``: boundary, stages and output FIFOs of a `Design`, equal to the RTL in
every clock. Imports the design records, the event kernel and the stall patterns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateformer.hw.dataflow.design import Design, Port
from gateformer.sim.boundary import DECIDE, DRIVE, Gate, OutputFifo, Slots
from gateformer.sim.events import Kernel, Process, Signal
from gateformer.sim.pipeline import Pipeline
from gateformer.sim.stalls import StallPattern, stalls_of

ClockArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Clocks:
    """What the event simulator gives; clock 0 is the first one after reset.

    Attributes
    ----------
    sent, received : mapping of str to ndarray of int
        Clock of every input and output handshake, by port.
    latency_cycles : int or None
        Most clocks from a frame's first input handshake to its last output handshake; of
        meaning without stalls, and None once a frame was dropped.
    interval_cycles : int or None
        Most clocks between first beats of consecutive frames; None for a single frame.
    peaks : mapping of str to int
        Most beats held, of each output FIFO (by port) and skip FIFO (``source -> stage``).
    spans : mapping of str to ndarray of int, (frames, 2)
        Clock of each frame's first and last beat at every stage's output.
    problems : tuple of str
        Where the stages' clocks contradict each other.
    frame_error : int or None
        First clock in which ``frame_error`` is high.
    events : int
        Events run.
    """

    sent: Mapping[str, ClockArray]
    received: Mapping[str, ClockArray]
    latency_cycles: int | None
    interval_cycles: int | None
    peaks: Mapping[str, int]
    spans: Mapping[str, ClockArray]
    problems: tuple[str, ...]
    frame_error: int | None
    events: int


def simulate_clocks(
    design: Design,
    frames: int = 1,
    stalls: StallPattern | None = None,
    last: Mapping[str, Sequence[bool]] | None = None,
) -> Clocks:
    """Simulate a design's clocks.

    Parameters
    ----------
    design : Design
        The scheduled design.
    frames : int
        Frames that the sources send, as fast as they may.
    stalls : StallPattern, optional
        Clocks in which sources offer nothing new and sinks are not ready.
    last : mapping of str to sequence of bool, optional
        ``tlast`` of every beat sent, by input port; well-formed frames by default.

    Returns
    -------
    Clocks
    """
    kernel = Kernel()
    pipeline = Pipeline(kernel, design)
    gates = [Gate(port, _lasts(port, frames, last)) for port in design.inputs]
    slots = Slots(kernel, design, gates, pipeline)
    fifos = [
        OutputFifo(kernel, port, slots, stalls_of(stalls, port.name, source=False))
        for port in design.outputs
    ]
    slots.fifos = fifos
    for fifo, source in zip(fifos, design.output_stages, strict=True):
        pipeline.tap(source, fifo.push)
    for gate in gates:
        kernel.start(_source(kernel, gate, slots, stalls))
    for fifo in fifos:
        kernel.start(fifo.run())
    kernel.run()
    peaks = {f.port.name: f.peak for f in fifos} | pipeline.peaks()
    received = {f.port.name: np.array(f.clocks, np.int64) for f in fifos}
    starts = np.array(slots.starts, np.int64)
    return Clocks(
        {g.port.name: np.array(g.clocks, np.int64) for g in gates},
        received,
        _latency(design, starts, received),
        int(np.diff(starts).max()) if len(starts) > 1 else None,
        peaks,
        pipeline.spans(),
        tuple(pipeline.problems),
        slots.frame_error,
        kernel.events,
    )


def _lasts(port: Port, frames: int, last: Mapping[str, Sequence[bool]] | None) -> list[bool]:
    if last is not None and port.name in last:
        return [bool(x) for x in last[port.name]]
    return [i == port.beats - 1 for _ in range(frames) for i in range(port.beats)]


def _source(kernel: Kernel, gate: Gate, slots: Slots, stalls: StallPattern | None) -> Process:
    """Offer beat after beat; one that is offered stays until it is taken."""
    idle = stalls_of(stalls, gate.port.name, source=True)
    gate.taken = Signal()
    clock = 0
    for last in gate.lasts:
        while idle[clock]:
            clock += 1
        yield kernel.until(clock, DRIVE)
        gate.offering, gate.tlast = True, last
        kernel.at(clock, slots.attempt, order=DECIDE)
        yield gate.taken
        clock = kernel.now + 1


def _latency(design: Design, starts: ClockArray, received: Mapping[str, ClockArray]) -> int | None:
    ends = [received[p.name][p.beats - 1 :: p.beats] for p in design.outputs]
    if not len(starts) or any(len(end) != len(starts) for end in ends):
        return None
    return int((np.max(ends, axis=0) - starts).max())
