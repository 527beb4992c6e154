"""Segments as a chain of states: what follows what is looked up with one key.

Owns ``Chain``. Imports the closed form and its states.

The same few segments follow one another in every block of every token. A link leads from the state
behind one segment, after so many idle clocks, to the state behind the next one; only refreshes in
the idle time between leave the chain. Rows count from the block's, so all blocks share their links.

States are told apart no further than the next segment can tell: one that works on all banks alike
does not see which bank was left open, nor waits of single banks.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from gateformer.hw.pim.device import Device
from gateformer.hw.pim.isa import OPS, Instruction
from gateformer.hw.pim.program import Loop, Segment
from gateformer.sim.dram.bursts import ALL, Tally
from gateformer.sim.dram.closed_form import ClosedForm, Wait, number_of, row_of
from gateformer.sim.dram.engine import Run
from gateformer.sim.dram.fine import FineShapes, expanded
from gateformer.sim.dram.refresh import Refresh
from gateformer.sim.dram.shapes import Entry, Outcome, Rows, Shape
from gateformer.sim.dram.snapshot import Snapshot, Still, later, power_up
from gateformer.sim.dram.stretches import ELSEWHERE, Passage
from gateformer.sim.dram.tables import AF_ROW, WIDTH

MOST_BANKS = 1 << 20
"""More than the banks of any channel."""


@dataclass(eq=False, slots=True)
class _Node:
    """A state behind a segment; rows count from the segment's offset."""

    snapshot: Snapshot
    rows: tuple[int, ...]
    marked: bool
    links: dict[tuple[int, int, int, int], _Link] = field(default_factory=dict)
    made: dict[tuple[int, int, tuple[int, ...]], _Link] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class _Hop:
    """A link that meets a refresh, or has met some in its idle time."""

    clocks: int
    until: int
    node: _Node
    outcome: Outcome
    wait: Wait | None = None
    uses: int = 0


@dataclass(eq=False, slots=True)
class _Link:
    """A segment behind a state, some idle clocks later."""

    segment: Segment
    before: _Node
    shift: int
    swap: int
    entry: Entry
    idle: int
    reach: int
    clocks: int
    node: _Node
    rows: tuple[int, ...]
    ranges: tuple[Rows, ...]
    uses: int = 0
    hops: dict[int, _Hop] = field(default_factory=dict)
    late: dict[int, _Hop] = field(default_factory=dict)


class Chain(ClosedForm):
    """A memory that runs segments of blocks; as ``ClosedForm``.

    Parameters
    ----------
    device, refresh
        As for ``ClosedForm``.

    Attributes
    ----------
    lengthened : dict of int to int
        By a segment's id, the clocks by which refreshes lengthened it, once ``result`` was asked.
    """

    def __init__(self, device: Device, refresh: Refresh) -> None:
        super().__init__(device, refresh)
        self._shapes = self._fine = FineShapes(self._rules)
        self._nodes: dict[tuple[Snapshot, tuple[int, ...]], _Node] = {}
        self._links: list[_Link] = []
        self._times: Counter[Passage] = Counter()
        self._first: dict[Shape, int] = {}
        self._twins: dict[tuple[int, int, int], Segment] = {}
        self._renamed: dict[tuple[Loop, ...], Segment] = {}
        self._used: dict[int, tuple[int, int]] = {}
        self._swap = 0
        sizes = device.organization
        counts = (sizes.bank_groups, sizes.banks_per_group)
        self._xors = not self._rules.per_bank and all(n & (n - 1) == 0 for n in counts)
        self._node = self._known_node(power_up(self._rules, self._shapes.kept), ())
        self._offset = 0
        self.lengthened: dict[int, int] = {}

    def run(self, segment: Segment, start: int = 1, offset: int = 0) -> int:
        """Run a segment, and wait for its last completion."""
        until = self._due - start
        link = self._node.links.get(
            (id(segment), start - self._end, offset - self._offset, self._swap)
        )
        if link is None:
            if self.falls_back:
                return super().run(segment, start, offset)
            link = self._link(segment, start - self._end, offset)
        self._offset = offset
        if until >= link.reach and until > 0:
            link.uses += 1
            self._node = node = link.node
            self._swap = link.swap if node.marked else 0
            self._end = end = start + link.clocks
            return end
        if until > 0:
            hop = link.hops.get(until) or self._hop(link, until)
        else:
            owed = self._due - self._end
            hop = link.late.get(owed) or self._late(link, owed)
        hop.uses += 1
        self._node = node = hop.node
        self._swap = link.swap if node.marked else 0
        self._end = end = start + hop.clocks
        self._due = end + hop.until
        return end

    def result(self, clocks: int | None = None) -> Run:
        """Return what has been done from the start, as ``Machine.result`` does."""
        if not self.falls_back:
            self._settle()
        return super().result(clocks)

    def forget(self) -> None:
        """Let go of all states, which refer to one another; nothing can be run from then on."""
        for node in self._nodes.values():
            node.links.clear()
            node.made.clear()
        self._links.clear()
        self._times.clear()
        self._fine.forget()

    def _done(self) -> list[tuple[tuple[int, ...], list[Tally]]]:
        """Return what has been done, as channel to class and a tally of each class."""
        sums: dict[tuple[int, ...], list[Tally]] = {}
        for done, number in expanded(self._times.copy()).items():
            into = sums.setdefault(done.of, [Counter() for _ in done.tallies])
            for tally, own in zip(into, done.tallies, strict=True):
                for key, count in own.items():
                    tally[key] += count * number
        return [*super()._done(), *sums.items()]

    def _settle(self) -> None:
        """Note what the links have done since the last time."""
        self._snapshot = self._node.snapshot
        times = self._times
        for link in self._links:
            idle = link.uses
            if link.uses:
                for passage, number in _plain(link.entry).parts:
                    times[passage] += number * link.uses
                link.uses = 0
            for hop in (*link.hops.values(), *link.late.values()):
                uses = hop.uses
                if not uses:
                    continue
                hop.uses = 0
                for passage, number in hop.outcome.parts:
                    times[passage] += number * uses
                if hop.wait is None:
                    idle += uses
                else:
                    hop.wait.uses += uses
                self._lose(link.segment, (hop.clocks - link.clocks) * uses)
            link.entry.idle += link.idle * idle

    def _lose(self, segment: Segment, clocks: int) -> None:
        if clocks:
            self.lengthened[id(segment)] = self.lengthened.get(id(segment), 0) + clocks

    def _link(self, segment: Segment, idle: int, offset: int) -> _Link:
        """Make a link from the state reached so far."""
        node = self._node
        snapshot = node.snapshot
        twin, swap = self._twin(segment, snapshot)
        shape, ranges, _ = self._known.get(id(twin)) or self._learn(twin)
        if offset:
            self._check(twin, ranges, offset)
        shift = self._offset - offset
        rows = tuple([row if row >= AF_ROW else row + shift for row in node.rows])
        made = node.made.get((id(twin), idle, rows))
        if made is None:
            wait = min(idle, snapshot.settles)
            if wait:
                snapshot = later(snapshot, wait, self._shapes.kept)
            entry, seen = self._entry(shape, ranges, snapshot, rows)
            plain = _plain(entry)
            behind = self._behind(plain, ranges, seen)
            link = _Link(
                segment, node, shift, swap, entry, idle, entry.reach, plain.clocks, behind, seen,
                ranges,
            )  # fmt: skip
            node.made[(id(twin), idle, rows)] = link
        else:
            link = _Link(
                segment, node, shift, swap, made.entry, idle, made.reach, made.clocks, made.node,
                made.rows, made.ranges, 0, made.hops, made.late,
            )  # fmt: skip
        node.links[(id(segment), idle, -shift, self._swap)] = link
        self._links.append(link)
        return link

    def _twin(self, segment: Segment, snapshot: Snapshot) -> tuple[Segment, int]:
        """Return a segment with channels and banks called otherwise, and how they are called now.

        Where all channels are in one state, the only one that a segment asks for may as well be the
        first; likewise banks. From then on that is what they are called until all are alike again.
        """
        channel, bank = divmod(self._swap, MOST_BANKS)
        used = self._used.get(id(segment))
        if used is None:
            used = self._used[id(segment)] = _only(segment, self._rules.channels)
        if not any(still.past for still in snapshot.stills):
            if len(snapshot.stills) == 1:
                channel = used[0]
            if self._xors and not _banked(snapshot):
                bank = used[1]
        key = (id(segment), channel, bank)
        found = self._twins.get(key)
        if found is None:
            found = segment
            if used != (-1, -1):
                loops = _renamed(segment, max(channel, 0), max(bank, 0))
                found = self._renamed.setdefault(loops, replace(segment, loops=loops))
            self._twins[key] = found
        return found, max(channel, 0) * MOST_BANKS + max(bank, 0)

    def _hop(self, link: _Link, until: int) -> _Hop:
        """Find what a link does that meets a refresh after so many clocks."""
        outcome = link.entry.met.get(until) or link.entry.meet(until)
        node = self._behind(outcome, link.ranges, link.rows)
        hop = link.hops[until] = _Hop(outcome.clocks, outcome.until, node, outcome)
        return hop

    def _late(self, link: _Link, owed: int) -> _Hop:
        """Find what a link does in whose idle time refreshes came due."""
        wait = self._refreshed(link.before.snapshot, link.entry.shape, link.idle)
        wait.uses -= 1  # it is counted with the hop
        rows = tuple(
            row if row >= AF_ROW else row + link.shift
            for row in (link.before.rows[label] for label in wait.labels)
        )
        entry, rows = self._entry(link.entry.shape, link.ranges, wait.snapshot, rows)
        outcome = _plain(entry)
        until = wait.until - outcome.clocks
        if wait.until < entry.reach:
            outcome = entry.met.get(wait.until) or entry.meet(wait.until)
            until = outcome.until
        node = self._behind(outcome, link.ranges, rows)
        hop = link.late[owed] = _Hop(outcome.clocks, until, node, outcome, wait)
        return hop

    def _entry(
        self,
        shape: Shape,
        ranges: tuple[Rows, ...],
        snapshot: Snapshot,
        rows: tuple[int, ...],
    ) -> tuple[Entry, tuple[int, ...]]:
        """Return a shape's entry, and the row of each label of its state."""
        numbers = tuple(number_of(ranges, row, row) for row in rows)
        first = self._first.get(shape, -2)
        if first == -2:
            first = self._first[shape] = _first_row(shape, self._rules.per_bank)
        if first >= 0:
            seen, labels = self._seen(snapshot, numbers, first)
            entry = shape.entry(
                seen,
                tuple(numbers[label] if numbers[label] == first else ELSEWHERE for label in labels),
            )
            if _plain(entry).clocks >= snapshot.settles:
                return entry, tuple(rows[label] for label in labels)
        return shape.entry(snapshot, numbers), rows

    def _seen(
        self, snapshot: Snapshot, numbers: tuple[int, ...], first: int
    ) -> tuple[Snapshot, tuple[int, ...]]:
        """Return a state as seen by a segment that works on all banks alike, and its labels.

        Its first row is that of number ``first``. Any other open row means one precharge of all
        banks, whichever it is and wherever; waits of bank groups and banks hold nothing back.
        """
        key = ("seen", numbers, first)
        found: tuple[Snapshot, tuple[int, ...]] | None = snapshot.memo.get(key)
        if found is not None:
            return found
        labels: dict[int, int] = {}
        stills: dict[Still, int] = {}
        classes = []
        other = next((label for label, number in enumerate(numbers) if number != first), -1)
        for still in snapshot.stills:
            rows = still.rows if isinstance(still.rows, tuple) else (still.rows,)
            if any(row >= 0 and numbers[row] != first for row in rows):
                rows = (other,)
            own = tuple(labels.setdefault(row, len(labels)) if row >= 0 else -1 for row in rows)
            ready = tuple(one for one in still.ready if one[0] < WIDTH)
            one = still._replace(rows=own[0] if len(own) == 1 else own, ready=ready)
            classes.append(stills.setdefault(one, len(stills)))
        of = tuple(classes[c] for c in snapshot.of)
        seen = self._shapes.kept.keep(
            snapshot.register, snapshot.decoded, of, tuple(stills), snapshot.settles
        )
        found = snapshot.memo[key] = (seen, tuple(labels))
        return found

    def _behind(self, outcome: Outcome, ranges: tuple[Rows, ...], rows: tuple[int, ...]) -> _Node:
        behind = tuple(row_of(ranges, number, rows, 0) for number in outcome.rows)
        return self._known_node(outcome.snapshot, behind)

    def _known_node(self, snapshot: Snapshot, rows: tuple[int, ...]) -> _Node:
        found = self._nodes.get((snapshot, rows))
        if found is None:
            marked = len(snapshot.stills) > 1 or bool(snapshot.stills[0].past) or _banked(snapshot)
            found = self._nodes[(snapshot, rows)] = _Node(snapshot, rows, marked)
        return found


def _plain(entry: Entry) -> Outcome:
    return entry.plain or entry.explore()


def _first_row(shape: Shape, per_bank: bool) -> int:
    """Return the number of the first row of a shape that works on all banks alike; -1 of others."""
    orders = [one for body, _, _ in shape.pieces for one in body if one.command >= 0 and one.size]
    placed = [one for one in orders if one.rows]
    alike = not shape.masks and all(one.rows == ALL and not one.activates for one in placed)
    return placed[0].row if alike and placed and not per_bank else -1


def _banked(snapshot: Snapshot) -> bool:
    """Return whether a state tells one bank from another."""
    return any(
        isinstance(still.rows, tuple) or any(slot >= WIDTH for slot, _ in still.ready)
        for still in snapshot.stills
    )


def _only(segment: Segment, channels: int) -> tuple[int, int]:
    """Return the only channel and the only bank that a segment takes apart.

    0 where there are several; both -1 where it tells no channel or bank from another.
    """
    everywhere = (1 << channels) - 1
    body = [one for loop in segment.loops for one in loop.body]
    masks = {one.channels & everywhere for one in body if OPS[one.op].command} - {everywhere}
    banks = {one.bank for one in body if OPS[one.op].rows == "one"}
    if not masks and not banks:
        return -1, -1
    mask = masks.pop() if len(masks) == 1 else 1
    channel = mask.bit_length() - 1 if mask.bit_count() == 1 else 0
    return channel, banks.pop() if len(banks) == 1 else 0


def _renamed(segment: Segment, channel: int, bank: int) -> tuple[Loop, ...]:
    """Return loops with a channel and the first one swapped, and banks by exclusive or.

    The latter keeps banks of a group together. Columns take no part in timing: all become 0.
    """

    def mask(old: int) -> int:
        moved = (old ^ old >> channel) & 1
        return old ^ (moved | moved << channel) if channel else old

    return tuple(
        Loop(
            tuple(
                Instruction(
                    one.op,
                    one.size,
                    mask(one.channels),
                    one.bank ^ bank if one.bank >= 0 else one.bank,
                    one.row,
                    one.value,
                    one.address,
                )
                for one in loop.body
            ),
            loop.count,
            loop.stride,
        )
        for loop in segment.loops
    )
