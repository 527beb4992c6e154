"""The boundary's clocks: joint slots, frame errors, credits and output FIFOs.

Owns the event models of gf_admit, gf_frame_gate and gf_output_fifo. Imports the event kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Protocol

from gateformer.hw.dataflow.design import Design, Port
from gateformer.sim.events import Channel, Kernel, Process, Signal
from gateformer.sim.stalls import Stalls

DRIVE = 0
"""Order of what neighbours set and of what registers change, first in a clock."""
DECIDE = 1
"""Order of handshakes, once all neighbours have set their signals."""
MOVE = 2
"""Order of what enters the pipeline and leaves it."""


class Core(Protocol):
    """What slots are handed to."""

    def enter(self, slot: int) -> None:
        """Take a slot whose beats are in the input register in the next clock."""


class Gate:
    """One input's part in the slots of a frame (gf_frame_gate).

    Attributes
    ----------
    port : Port
        The input.
    lasts : list of bool
        ``tlast`` of every beat that will be sent.
    clocks : list of int
        Clock of every handshake.
    offering, tlast : bool
        What the source shows in this clock.
    """

    def __init__(self, port: Port, lasts: list[bool]) -> None:
        self.port = port
        self.lasts = lasts
        self.clocks: list[int] = []
        self.offering = False
        self.tlast = False
        self.taken = Signal()
        self.filled = False
        self.discarding = False
        self.clear_from = 0  # first clock in which a discarding that has ended is over

    def uses(self, slot: int) -> bool:
        """Whether the slot takes a beat of this input."""
        return not self.filled and slot < self.port.beats

    def accept(self, clock: int) -> bool:
        """Handshake; returns ``tlast``."""
        self.clocks.append(clock)
        self.offering = False
        last = self.tlast
        self.taken.fire()
        return last


class Slots:
    """Opens joint slots, paced and against credits (gf_admit).

    Attributes
    ----------
    starts : list of int
        Clock of every frame's first slot.
    frame_error : int or None
        First clock in which ``frame_error`` is high.
    """

    def __init__(self, kernel: Kernel, design: Design, gates: list[Gate], core: Core) -> None:
        self.fifos: list[OutputFifo] = []
        self.starts: list[int] = []
        self.frame_error: int | None = None
        self._kernel, self._design, self._gates, self._core = kernel, design, gates, core
        self._slots = design.slots
        self._slot = 0
        self._bad = False
        self._next = 0

    def attempt(self) -> None:
        """Drop what is to be dropped, and take the slot if it is open and all inputs offer."""
        clock, gates = self._kernel.now, self._gates
        for gate in gates:
            if gate.discarding and gate.offering:
                self._discard(gate, clock)
        if clock < self._next:
            return
        if self._slot == 0 and (
            any(gate.discarding or clock < gate.clear_from for gate in gates)
            or any(fifo.frames >= self._design.capacity for fifo in self.fifos)
        ):
            return
        using = [gate for gate in gates if gate.uses(self._slot)]
        if all(gate.offering for gate in using):
            self._take(clock, using)

    def _discard(self, gate: Gate, clock: int) -> None:
        if gate.accept(clock):
            gate.discarding = False
            gate.clear_from = clock + 1
            self._kernel.at(clock + 1, self.attempt, order=DECIDE)

    def _take(self, clock: int, using: list[Gate]) -> None:
        slot, end = self._slot, self._slot == self._slots - 1
        if slot == 0:
            self.starts.append(clock)
            for fifo in self.fifos:
                fifo.frames += 1
        for gate in using:
            final = slot == gate.port.beats - 1
            if gate.accept(clock) != final:
                self._bad = True
                self.frame_error = clock + 1 if self.frame_error is None else self.frame_error
                gate.filled, gate.discarding = not final, final
        self._core.enter(slot)
        self._next = clock + self._design.beat_interval
        self._slot = 0 if end else slot + 1
        if end:
            for fifo in self.fifos:
                fifo.status.put((clock + 1, not self._bad))
            for gate in self._gates:
                gate.filled = False
            self._bad = False
        self._kernel.at(self._next, self.attempt, order=DECIDE)


class OutputFifo:
    """Collects one output's beats and offers those of good frames (gf_output_fifo).

    Attributes
    ----------
    port : Port
        The output.
    clocks : list of int
        Clock of every handshake.
    frames : int
        Frames inside.
    peak : int
        Most beats held.
    """

    def __init__(self, kernel: Kernel, port: Port, slots: Slots, stalls: Stalls) -> None:
        self.port = port
        self.clocks: list[int] = []
        self.frames = 0
        self.peak = 0
        self.status = Channel()
        self._beats = Channel()
        self._held = 0
        self._kernel, self._slots, self._stalls = kernel, slots, stalls

    def push(self, frame: int, beat: int) -> None:
        """Take a beat that leaves the core in this clock."""
        self._held += 1
        self.peak = max(self.peak, self._held)
        self._beats.put(self._kernel.now + 1)

    def run(self) -> Process:
        """Offer or drop beat after beat."""
        clock = 0
        for _ in _forever():
            known, good = yield self.status.get()
            for _ in range(self.port.beats):
                stored = yield self._beats.get()
                clock = max(clock, known, stored)
                while good and self._stalls[clock]:
                    clock += 1
                yield self._kernel.until(clock, DECIDE)
                self._held -= 1
                if good:
                    self.clocks.append(clock)
                clock += 1
            self._kernel.at(clock, self._leave, order=DRIVE)

    def _leave(self) -> None:
        self.frames -= 1
        self._kernel.at(self._kernel.now, self._slots.attempt, order=DECIDE)


def _forever() -> Iterator[int]:
    return count()
