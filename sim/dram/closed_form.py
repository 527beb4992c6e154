"""The memory over whole segments: the command engine's clocks and counts without its commands.

Owns ``ClosedForm``, ``Wait`` and how rows are numbered. Imports the shapes of segments, and the
engine for what they leave out.

A segment's end, commands and stalls depend only on the state that it begins in (constraints in
force, open rows, modes), on which of its rows are open, and on how far the next refresh is.
Between two refreshes a loop over rows soon comes back to the state that it was in, so the rest of
the way to the refresh is one division; a refresh is met in few different ways, each simulated once.
Nothing is approximated: a state that was not seen before is simulated burst by burst. So it is for
every device: where states do not come back (in a loop that leaves channels out, as their waits age)
each time round is simulated. Postponed refreshes alone depend on how full the queues are: they run
on the command engine (``falls_back`` says so).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from gateformer.hw.pim.device import Device
from gateformer.hw.pim.isa import COMMANDS, Instruction
from gateformer.hw.pim.program import Loop, Segment
from gateformer.sim.dram.bursts import HIT, MISS, NEVER, OPEN, Rules, Tally
from gateformer.sim.dram.engine import QUEUE, Machine, Run, check
from gateformer.sim.dram.refresh import Refresh
from gateformer.sim.dram.shapes import Rows, Shape, Shapes
from gateformer.sim.dram.snapshot import Snapshot, System, later, power_up
from gateformer.sim.dram.stretches import ELSEWHERE, Passage
from gateformer.sim.dram.tables import AF_ROW, CAUSED_BY, HOST, WIDTH


@dataclass(eq=False, slots=True)
class Wait:
    """What refresh did between two segments, up to the second one's start."""

    snapshot: Snapshot
    labels: tuple[int, ...]
    until: int
    of: tuple[int, ...]
    tallies: tuple[Tally, ...]
    uses: int = 0


class ClosedForm:
    """A memory that runs one segment after another on one clock, as ``Machine`` does.

    Parameters
    ----------
    device, refresh, strict, queue, host_per_clock
        As for ``engine.run``.

    Attributes
    ----------
    device : Device
        The device.
    refresh : Refresh
        How it is refreshed.
    falls_back : str
        Why all runs on the command engine; empty where nothing does.
    """

    def __init__(
        self,
        device: Device,
        refresh: Refresh | None = None,
        *,
        strict: bool = False,
        queue: int = QUEUE,
        host_per_clock: int = 1,
    ) -> None:
        self.device = device
        self.refresh = Refresh.of(device) if refresh is None else refresh
        # The engine checks the settings, and runs what is left to it.
        self._machine = Machine(
            device, self.refresh, strict=strict, queue=queue, host_per_clock=host_per_clock
        )
        self.falls_back = "refreshes are postponed" if self.refresh.postponed else ""
        self._rules = Rules(device, self.refresh, strict, queue, host_per_clock)
        self._shapes = Shapes(self._rules)
        self._known: dict[int, tuple[Shape, tuple[Rows, ...], Segment]] = {}
        self._waits: list[Wait] = []
        self._snapshot = power_up(self._rules, self._shapes.kept)
        self._rows: tuple[int, ...] = ()
        self._end = 1
        self._due = self._rules.interval or NEVER

    def run(self, segment: Segment, start: int = 1, offset: int = 0) -> int:
        """Run a segment, and wait for its last completion.

        Parameters
        ----------
        segment : Segment
            The segment.
        start : int
            Clock at which the host decodes the first instruction, not before the end of the segment
            before.
        offset : int
            Added to every row.

        Returns
        -------
        int
            Clock at which the segment has ended, as ``Machine.run`` returns it.

        Raises
        ------
        PimError
            E803 for an address that the device lacks, E805 where refresh leaves no room for work.
        ValueError
            If the clock has passed.
        """
        if self.falls_back:
            self._end = self._machine.run(segment.expand(offset), start)
            return self._end
        known = self._known.get(id(segment))
        if known is None:
            known = self._learn(segment)
        shape, ranges, _ = known
        if offset:
            self._check(segment, ranges, offset)
        snapshot, rows = self._snapshot, self._rows
        until = self._due - start
        idle = start - self._end
        if idle < 0:
            raise ValueError(f"clock {start} has passed, it is {self._end}")
        if until > 0:
            wait = snapshot.settles
            if idle < wait:
                wait = idle
            if wait:
                snapshot = snapshot.memo.get(wait) or later(snapshot, wait, self._shapes.kept)
        else:
            waited = self._refreshed(snapshot, shape, idle)
            snapshot, until, idle = waited.snapshot, waited.until, 0
            rows = tuple([rows[label] for label in waited.labels])
        key = (snapshot, tuple([number_of(ranges, row - offset, row) for row in rows]))
        entry = shape.entries.get(key) or shape.entry(*key)
        entry.idle += idle
        outcome = entry.plain or entry.explore()
        if until >= entry.reach:
            self._due = start + until
        else:
            outcome = entry.met.get(until) or entry.meet(until)
            self._due = start + outcome.clocks + outcome.until
        outcome.uses += 1
        self._snapshot = outcome.snapshot
        self._rows = tuple([row_of(ranges, number, rows, offset) for number in outcome.rows])
        self._end = start + outcome.clocks
        return self._end

    def result(self, clocks: int | None = None) -> Run:
        """Return what has been done from the start, as ``Machine.result`` does.

        Parameters
        ----------
        clocks : int, optional
            Up to which clock rows stay open; the end of the last segment where absent.
        """
        clocks = self._end if clocks is None else clocks
        if self.falls_back:
            return self._machine.result(clocks)
        sizes = self.device.organization
        counts = np.zeros((sizes.channels, WIDTH), np.int64)
        banks = np.zeros((sizes.channels, sizes.banks, WIDTH), np.int64)
        opened = np.zeros(sizes.channels, np.int64)
        stalls: Counter[tuple[int, int]] = Counter()
        distinct = 0
        for of, tallies in self._done():
            for channel, c in enumerate(of):
                for key, number in tallies[c].items():
                    if isinstance(key, tuple):
                        stalls[key] += number
                    elif key >= 0:
                        command = key % WIDTH
                        counts[channel, command] += number
                        distinct += number if channel == of.index(c) else 0
                        if key >= WIDTH:
                            banks[channel, key // WIDTH - 1, command] += number
                    elif key == OPEN:
                        opened[channel] += number
        for channel, c in enumerate(self._snapshot.of):
            if self._snapshot.stills[c].rows != -1:
                opened[channel] += clocks - self._end
        total = counts.sum(axis=0)
        return Run(
            clocks=clocks,
            counts={COMMANDS[one]: int(total[one]) for one in np.flatnonzero(total)},
            channel_counts=counts,
            bank_counts=banks,
            open_clocks=opened,
            distinct=distinct,
            stalls={
                (self._rules.causes[cause], CAUSED_BY[kind]): number
                for (cause, kind), number in sorted(stalls.items())
                if number
            },
        )

    @property
    def hits(self) -> int:
        """Column commands that found their row open, of all channels."""
        return self._sum(HIT)

    @property
    def misses(self) -> int:
        """Column commands for which a row was opened first, of all channels."""
        return self._sum(MISS)

    def _sum(self, key: int) -> int:
        return sum(tallies[c][key] for of, tallies in self._done() for c in of)

    def _done(self) -> list[tuple[tuple[int, ...], list[Tally]]]:
        """Return what has been done, as channel to class and a tally of each class."""
        times: Counter[Passage | Wait] = Counter()
        sums: dict[tuple[int, ...], list[Tally]] = {}
        each = tuple(range(self._rules.channels))
        alone: list[Tally] = [Counter() for _ in each]
        for shape in self._shapes.shapes():
            for entry in shape.entries.values():
                for outcome in (entry.plain, *entry.met.values()):
                    if outcome is not None and outcome.uses:
                        for passage, number in outcome.parts:
                            times[passage] += number * outcome.uses
                for channel, c in enumerate(entry.snapshot.of if entry.idle else ()):
                    alone[channel][HOST, shape.first[channel]] += entry.idle
                    if entry.snapshot.stills[c].rows != -1:
                        alone[channel][OPEN] += entry.idle
        for wait in self._waits:
            times[wait] += wait.uses
        for done, number in times.items():
            into = sums.setdefault(done.of, [Counter() for _ in done.tallies])
            for tally, own in zip(into, done.tallies, strict=True):
                for key, count in own.items():
                    tally[key] += count * number
        return [*sums.items(), (each, alone)]

    def _learn(self, segment: Segment) -> tuple[Shape, tuple[Rows, ...], Segment]:
        """Look at a segment for the first time; keeping it keeps its identity from being reused."""
        rows = self.device.organization.rows
        check([one for loop in segment.loops for one in _ends(loop, rows)], self.device)
        found = self._known[id(segment)] = (*self._shapes.shape(segment), segment)
        return found

    def _check(self, segment: Segment, ranges: tuple[Rows, ...], offset: int) -> None:
        if ranges and (
            ranges[0].first + offset < 0
            or ranges[-1].last + offset >= self.device.organization.rows
        ):
            check(list(segment.expand(offset)), self.device)

    def _refreshed(self, snapshot: Snapshot, shape: Shape, clocks: int) -> Wait:
        """Refresh up to a segment's start, so many clocks behind the end of the one before."""
        until = self._due - self._end
        snapshot = shape.part(snapshot)
        key = (until, clocks, shape.first)
        found: Wait | None = snapshot.memo.get(key)
        if found is None:
            system = System(self._rules, snapshot, range(snapshot.labels), until, tracked=True)
            system.decode = clocks
            for channel, c in enumerate(snapshot.of):
                if channel == snapshot.of.index(c):
                    system.channels[c].catch_up(shape.first[channel], clocks)
            after, labels, left = system.freeze(self._shapes.kept)
            found = Wait(after, tuple(labels), left, system.of, system.tallies)
            snapshot.memo[key] = found
            self._waits.append(found)
        found.uses += 1
        return found


def _ends(loop: Loop, rows: int) -> list[Instruction]:
    """Return a loop's instructions as they are first, and those that leave the rows at last."""
    far = (loop.count - 1) * loop.stride
    moved = [replace(one, row=one.row + far) for one in loop.body if one.row >= 0 > one.row + far]
    moved += [replace(one, row=one.row + far) for one in loop.body if one.row + far >= rows]
    return [*loop.body, *moved]


def number_of(ranges: tuple[Rows, ...], row: int, absolute: int) -> int:
    """Return a row by the shape's numbers; ELSEWHERE if it is none of them."""
    if absolute >= AF_ROW:
        return absolute
    for one in ranges:
        if one.first <= row <= one.last:
            return one.number + row - one.first
    return ELSEWHERE


def row_of(ranges: tuple[Rows, ...], number: int, before: tuple[int, ...], offset: int) -> int:
    """Return the row behind one of the shape's numbers, or that of a label of the state before."""
    if number >= AF_ROW:
        return number
    if number < 0:
        return before[ELSEWHERE - number]
    own = next(one for one in reversed(ranges) if one.number <= number)
    return number - own.number + own.first + offset
