"""Taking down what a generation's tokens do, and adding it up.

Owns ``Collector``. Imports the timeline, the loads and what a generation is made of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter

import numpy as np

from gateformer.hw.pim import energy
from gateformer.hw.pim.device import Device
from gateformer.hw.pim.program import Program
from gateformer.sim.dram.refresh import Refresh
from gateformer.sim.pim.memory import FIRST, ClosedMemory, Memory
from gateformer.sim.pim.parts import Clocks, Part, Timeline
from gateformer.sim.pim.timeline import Work, Works

Placing = Callable[[Program, Sequence[Work], Memory, int], tuple[list[int], list[int]]]
"""Program, works, memory and first clock to the first clock of each step and the one behind it."""

_PART, _MACS = attrgetter("part"), attrgetter("macs")


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
    """

    def __init__(self, device: Device, placing: Placing, memory: Memory) -> None:
        self.device = device
        self.works = Works(device)
        self.clock = FIRST
        self.token_clocks: list[int] = []
        self._placing = placing
        self._memory = memory
        self._parts: list[int] = []
        self._shapes: list[_Shape] = []

    def token(self, program: Program) -> None:
        """Run a token behind the last one."""
        works = self.works.of(program.steps)
        parts = list(map(_PART, works))
        if parts != self._parts:
            self._parts = parts
            self._shapes.append(_Shape(program, parts, len(self.token_clocks)))
        shape = self._shapes[-1]
        starts, ends = self._placing(program, works, self._memory, self.clock)
        shape.add(starts, ends)
        shape.macs += np.array(list(map(_MACS, program.steps)), np.int64)
        end = max(ends)
        self.token_clocks.append(end - self.clock)
        self.clock = end
        for work in works:
            work.uses += 1

    def timelines(self) -> tuple[Timeline, ...]:
        """Return all steps' places in time, counted from 0."""
        names = list(self.works.parts)
        return tuple(shape.timeline(names) for shape in self._shapes)

    def parts(self) -> tuple[Part, ...]:
        """Return the work by operation, in issue order."""
        names = list(self.works.parts)
        sums = np.zeros((len(names), 3), np.int64)
        for shape in self._shapes:
            clocks = shape.durations().sum(axis=0)
            tokens = np.full_like(clocks, shape.tokens)
            for column, values in enumerate((clocks, shape.macs, tokens)):
                np.add.at(sums[:, column], shape.parts, values)
        lost, link, sent, received = (np.zeros(len(names), np.int64) for _ in range(4))
        lengthened = self._memory.lost()
        for work in self.works.each():
            if work.segment is not None:
                lost[work.part] += lengthened.get(id(work.segment), 0)
                link[work.part] += work.clocks * work.uses
                sent[work.part] += work.segment.sent * work.uses
                received[work.part] += work.segment.received * work.uses
        return tuple(
            Part(
                name=name,
                on=on,
                clocks=int(sums[part, 0]),
                refresh=int(lost[part]),
                link=int(link[part]),
                times=int(sums[part, 2]),
                macs=int(sums[part, 1]),
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

    def peak(self, overlap: bool) -> dict[str, tuple[str, float]]:
        """Return, by set of currents, the operation that draws most and its mean power in W.

        The last segment of each is run once more, one behind the other and without refresh.
        """
        names = list(self.works.parts)
        last = {work.part: work for work in self.works.each() if work.segment is not None}
        found: dict[str, tuple[str, float]] = {}
        memory = ClosedMemory(self.device, Refresh("none"))
        clock = FIRST
        before: Mapping[str, int] = {}
        for work in last.values():
            if work.segment is None:
                continue
            end = memory.run(work.segment, clock, 0)
            after = memory.totals(end).counts
            counts = {name: count - before.get(name, 0) for name, count in after.items()}
            clocks, clock, before = end - clock, end, after
            sent = work.segment.sent + work.segment.received
            for power in self.device.powers:
                items = energy.items(
                    counts,
                    clocks,
                    self.device,
                    power=power,
                    link_bytes=sent,
                    asic_clocks=clocks if overlap else 0,
                )
                watts = energy.total(items) / (clocks * self.device.clock_ns * 1e-9)
                if watts > found.get(power.name, ("", -1.0))[1]:
                    found[power.name] = (names[work.part][1], watts)
        return found


class _Shape:
    """Tokens in a row whose steps have the same names."""

    def __init__(self, program: Program, parts: list[int], first: int) -> None:
        self.names = [step.name for step in program.steps]
        self.parts = np.array(parts)
        self.first = first
        self.macs = np.zeros(len(parts), np.int64)
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
