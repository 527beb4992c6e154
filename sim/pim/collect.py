"""Taking down what a generation's tokens do, and adding it up.

Owns ``Collector``. Imports the timeline, the loads and what a generation is made of.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gateformer.hw.pim.device import Device
from gateformer.hw.pim.program import Program, Segment
from gateformer.sim.pim.memory import FIRST, Memory
from gateformer.sim.pim.parts import Clocks, Part, Timeline
from gateformer.sim.pim.timeline import Plan, Works

Placing = Callable[[Program, Plan, Memory, int], tuple[list[int], list[int]]]
"""Program, plan, memory and first clock to the first clock of each step and the one behind it."""


class Collector:
    """A generation's tokens, one after another.

    Parameters
    ----------
    device : Device
        The memory and its ASIC.
    placing : callable
        ``timeline.serial`` or ``timeline.together``.
    memory : Memory
        The memory.
    more : int
        As for ``Works``.
    """

    def __init__(self, device: Device, placing: Placing, memory: Memory, more: int = 0) -> None:
        self.device = device
        self.works = Works(device, more)
        self.clock = FIRST
        self.token_clocks: list[int] = []
        self._placing = placing
        self._memory = memory
        self._shape: tuple[int, ...] = ()
        self._shapes: list[_Shape] = []

    def token(self, program: Program) -> None:
        """Run a token behind the last one."""
        plan = self.works.plan(program)
        shape = (len(plan.works), *(work.part for works, _, _ in plan.groups for work in works))
        if shape != self._shape:
            self._shape = shape
            parts = [work.part for work in plan.works]
            names = self.works.names(program)
            self._shapes.append(_Shape(names, parts, len(self.token_clocks)))
        starts, ends = self._placing(program, plan, self._memory, self.clock)
        self._shapes[-1].add(starts, ends)
        end = max(ends)
        self.token_clocks.append(end - self.clock)
        self.clock = end
        for works, macs, times in plan.groups:
            for work, one in zip(works, macs, strict=True):
                work.uses += times
                work.macs += one * times

    def timelines(self) -> tuple[Timeline, ...]:
        """Return all steps' places in time, counted from 0."""
        names = list(self.works.parts)
        return tuple(shape.timeline(names) for shape in self._shapes)

    def parts(self) -> tuple[Part, ...]:
        """Return the work by operation, in issue order."""
        names = list(self.works.parts)
        clocks, times, macs, lost, link, sent, received = (
            np.zeros(len(names), np.int64) for _ in range(7)
        )
        for shape in self._shapes:
            np.add.at(clocks, shape.parts, shape.durations().sum(axis=0))
        lengthened = self._memory.lost()
        for work in self.works.each():
            times[work.part] += work.uses
            macs[work.part] += work.macs
            if work.segment is not None:
                lost[work.part] += lengthened.get(id(work.segment), 0)
                link[work.part] += work.clocks * work.uses
                sent[work.part] += work.segment.sent * work.uses
                received[work.part] += work.segment.received * work.uses
        return tuple(
            Part(
                name=name,
                on=on,
                clocks=int(clocks[part]),
                refresh=int(lost[part]),
                link=int(link[part]),
                times=int(times[part]),
                macs=int(macs[part]),
                sent=int(sent[part]),
                received=int(received[part]),
            )
            for part, (on, name) in enumerate(names)
        )

    def bank_macs(self) -> Clocks:
        """Return the MAC accesses of each bank."""
        sizes = self.device.organization
        found = np.zeros((sizes.channels, sizes.banks), np.int64)
        for work in self.works.each():
            if work.load is not None:
                found += work.load.macs * work.uses
        return found

    def requests(self) -> Clocks:
        """Return the requests of each channel."""
        found = np.zeros(self.device.organization.channels, np.int64)
        for work in self.works.each():
            if work.load is not None:
                found += work.load.requests * work.uses
        return found

    def samples(self) -> tuple[tuple[str, Segment], ...]:
        """Return the last segment of each operation."""
        names = list(self.works.parts)
        last = {
            names[work.part][1]: work.segment
            for work in self.works.each()
            if work.segment is not None
        }
        return tuple(last.items())


class _Shape:
    """Tokens in a row whose steps have the same names."""

    def __init__(self, names: list[str], parts: list[int], first: int) -> None:
        self.names = names
        self.parts = np.array(parts)
        self.first = first
        self._starts: list[Clocks] = []
        self._ends: list[Clocks] = []

    @property
    def tokens(self) -> int:
        return len(self._starts)

    def add(self, starts: list[int], ends: list[int]) -> None:
        self._starts.append(np.array(starts, np.int64))
        self._ends.append(np.array(ends, np.int64))

    def durations(self) -> Clocks:
        return np.stack(self._ends) - np.stack(self._starts)

    def timeline(self, names: list[tuple[str, str]]) -> Timeline:
        tracks = [names[part][0] for part in self.parts.tolist()]
        return Timeline(
            range(self.first, self.first + self.tokens),
            tuple(zip(tracks, self.names, strict=True)),
            np.stack(self._starts) - FIRST,
            self.durations(),
        )
