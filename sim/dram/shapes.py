"""A segment as stretches, and what it does from each state: looked up, or put together from them.

Two segments are of one shape if they differ only in where their rows lie: rows matter only by which
are equal. Owns ``Shape``, ``Shapes``, ``Entry`` and ``Outcome``. Imports the stretches.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gateformer.hw.pim.isa import Instruction
from gateformer.hw.pim.program import Segment
from gateformer.sim.dram.bursts import NEVER, Order, Rules
from gateformer.sim.dram.snapshot import Snapshot, Snapshots
from gateformer.sim.dram.stretches import BIAS, ELSEWHERE, Passage, Stretch
from gateformer.sim.dram.tables import AF_ROW


class Rows(NamedTuple):
    """Rows of a segment, and the numbers that they go by in its shape."""

    first: int
    last: int
    number: int


class Outcome:
    """What a segment did once.

    Attributes
    ----------
    clocks : int
        From its first decode to its end.
    snapshot : Snapshot
        The state at its end.
    rows : tuple of int
        Where each label of that state has its row from: a number of the shape's rows; from AF_ROW
        on as it is; from ELSEWHERE down a label of the state before.
    until : int
        Clocks from its end to the next refresh, where one was met.
    parts : list of (Passage, int)
        Passages that it is put together from, and how often each.
    uses : int
        How often it was looked up.
    """

    __slots__ = ("clocks", "parts", "rows", "snapshot", "until", "uses")

    def __init__(
        self,
        clocks: int,
        snapshot: Snapshot,
        rows: tuple[int, ...],
        until: int,
        parts: list[tuple[Passage, int]],
    ) -> None:
        self.clocks = clocks
        self.snapshot = snapshot
        self.rows = rows
        self.until = until
        self.parts = parts
        self.uses = 0


class Entry:
    """A shape about to begin from a state.

    Attributes
    ----------
    reach : int
        Clocks to the next refresh from which on it does not matter; NEVER until ``plain`` is known.
    plain : Outcome or None
        Without a refresh.
    met : dict of int to Outcome
        By clocks to the next refresh, where that does matter.
    idle : int
        Clocks before it in which nothing happened, in all.
    """

    __slots__ = ("idle", "met", "plain", "reach", "rows", "shape", "snapshot")

    def __init__(self, shape: Shape, snapshot: Snapshot, rows: tuple[int, ...]) -> None:
        self.shape = shape
        self.snapshot = snapshot
        self.rows = rows
        self.reach = NEVER
        self.plain: Outcome | None = None
        self.met: dict[int, Outcome] = {}
        self.idle = 0

    def explore(self) -> Outcome:
        """Find what happens without a refresh, and how far one must be for that."""
        self.plain, self.reach = self.shape.walk(self.snapshot, self.rows, NEVER)
        return self.plain

    def meet(self, until: int) -> Outcome:
        """Find what happens with a refresh after so many clocks."""
        found, _ = self.shape.walk(self.snapshot, self.rows, until)
        self.met[until] = found
        return found


class Shape:
    """A segment but for where its rows lie.

    Parameters
    ----------
    pieces : sequence of (tuple of Order, int, int)
        Each loop's orders, with the numbers of their rows, its count and its stride.
    shapes : Shapes
        Whose stretches it is made of.
    """

    def __init__(
        self, pieces: Sequence[tuple[tuple[Order, ...], int, int]], shapes: Shapes
    ) -> None:
        self._shapes = shapes
        rules = shapes.rules
        everywhere = (1 << rules.channels) - 1
        orders = [one for body, _, _ in pieces for one in body if one.command >= 0 and one.size > 0]
        self.masks = sorted({one.mask & everywhere for one in orders} - {everywhere})
        self.first = tuple(
            next((one.op for one in orders if one.mask >> channel & 1), shapes.mark.op)
            for channel in range(rules.channels)
        )
        """First instruction that each channel takes part in."""
        self._tracked = bool(self.masks) or _host_lag(pieces) > rules.queue - 2
        self.pieces = pieces
        self._stretches: dict[bool, list[tuple[Stretch, int, int, int]]] = {}
        self._parted: dict[Snapshot, Snapshot] = {}
        self.entries: dict[tuple[Snapshot, tuple[int, ...]], Entry] = {}

    def entry(self, snapshot: Snapshot, rows: tuple[int, ...]) -> Entry:
        """Return the one entry from a state, whose labels have these rows of the shape's."""
        key = (snapshot, rows)
        found = self.entries.get(key)
        if found is None:
            found = self.entries[key] = Entry(self, snapshot, rows)
        return found

    def walk(self, snapshot: Snapshot, rows: tuple[int, ...], until: int) -> tuple[Outcome, int]:
        """Go through all loops from a state.

        Parameters
        ----------
        snapshot : Snapshot
            The state.
        rows : tuple of int
            The row of each of its labels, by the shape's numbers; ELSEWHERE if none of them.
        until : int
            Clocks until the next refresh is due.

        Returns
        -------
        Outcome, int
            What happens, and how far the refresh must be so as not to matter.
        """
        snapshot = self.part(snapshot)
        clocks = reach = 0
        parts: list[tuple[Passage, int]] = []
        left = [ELSEWHERE - n if row == ELSEWHERE else row for n, row in enumerate(rows)]
        for stretch, count, origin, stride in self._ways(len(snapshot.stills) > 1):
            shift = BIAS - origin
            place = stretch.place(
                snapshot,
                tuple(stretch.token(row + shift if 0 <= row < AF_ROW else row) for row in left),
            )
            path: list[tuple[Passage, int, int]] = []
            remaining = count
            while remaining:
                passage = place.plain or place.explore()
                if until >= place.reach:
                    times = 1
                    if place.steady and passage.clocks:
                        times = min(remaining, (until - place.reach) // passage.clocks + 1)
                    spent = times * passage.clocks
                    reach = max(reach, place.reach + clocks + spent - passage.clocks)
                    until -= spent
                    clocks += spent
                else:
                    passage = place.met.get(until) or place.meet(until)
                    times = 1
                    clocks += passage.clocks
                    until = passage.until
                remaining -= times
                origin += stride * times
                path.append((passage, times, origin - stride))
                place = passage.to
            snapshot = place.snapshot
            left = [_trace(path, label, left) for label in range(snapshot.labels)]
            parts.extend([(passage, times) for passage, times, _ in path])
        return Outcome(clocks, snapshot, tuple(left), until, parts), reach

    def _ways(self, parted: bool) -> list[tuple[Stretch, int, int, int]]:
        tracked = parted or self._tracked
        found = self._stretches.get(tracked)
        if found is None:
            found = [self._shapes.stretch(*piece, tracked) for piece in self.pieces]
            found.append((self._shapes.end(tracked), 1, 0, 0))
            self._stretches[tracked] = found
        return found

    def part(self, snapshot: Snapshot) -> Snapshot:
        """Part the classes of a state until each mask takes or leaves each whole."""
        if not self.masks:
            return snapshot
        found = self._parted.get(snapshot)
        if found is None:
            signs = [
                (c, *(mask >> channel & 1 for mask in self.masks))
                for channel, c in enumerate(snapshot.of)
            ]
            distinct = list(dict.fromkeys(signs))
            found = self._parted[snapshot] = self._shapes.kept.keep(
                snapshot.register,
                snapshot.decoded,
                tuple(distinct.index(sign) for sign in signs),
                tuple(snapshot.stills[sign[0]] for sign in distinct),
            )
        return found


class Shapes:
    """Keeps each shape and each stretch once.

    Parameters
    ----------
    rules : Rules
        The device's tables.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.kept = Snapshots(rules)
        self.mark = rules.order(Instruction("SYNC"))
        self._shapes: dict[tuple[object, ...], Shape] = {}
        self._stretches: dict[tuple[object, ...], Stretch] = {}
        self._orders: dict[Instruction, Order] = {}

    def shapes(self) -> Iterable[Shape]:
        """Return all shapes known."""
        return self._shapes.values()

    def shape(self, segment: Segment) -> tuple[Shape, tuple[Rows, ...]]:
        """Return a segment's shape, and where its rows lie."""
        pieces = []
        spans = []
        for loop in segment.loops:
            if loop.body and loop.count > 0:
                orders = tuple(self._order(one) for one in loop.body)
                stride = loop.stride if loop.count > 1 else 0
                pieces.append((orders, loop.count, stride))
                far = (loop.count - 1) * stride
                for order in orders:
                    if order.rows and not order.activates:
                        spans.append(
                            (min(order.row, order.row + far), max(order.row, order.row + far))
                        )
        rows = _number(spans)
        numbered = tuple(
            (tuple(_renumber(order, rows) for order in orders), count, stride)
            for orders, count, stride in pieces
        )
        found = self._shapes.get(numbered)
        if found is None:
            found = self._shapes[numbered] = Shape(numbered, self)
        return found, rows

    def stretch(
        self, orders: tuple[Order, ...], count: int, stride: int, tracked: bool
    ) -> tuple[Stretch, int, int, int]:
        """Return a loop's stretch, its count, its lowest row and its stride."""
        origin = min((one.row for one in orders if one.rows and not one.activates), default=0)
        own = tuple(
            one._replace(row=one.row - origin) if one.rows and not one.activates else one
            for one in orders
        )
        key = (own, stride, tracked)
        found = self._stretches.get(key)
        if found is None:
            found = self._stretches[key] = Stretch(
                own, stride, self.rules, self.kept, tracked=tracked
            )
        return found, count, origin, stride

    def end(self, tracked: bool) -> Stretch:
        """Return the stretch that waits until all is completed."""
        found = self._stretches.get((tracked,))
        if found is None:
            found = self._stretches[(tracked,)] = Stretch(
                (self.mark,), 0, self.rules, self.kept, tracked=tracked, last=True
            )
        return found

    def _order(self, one: Instruction) -> Order:
        found = self._orders.get(one)
        if found is None:
            found = self._orders[one] = self.rules.order(one)
        return found


def _number(spans: list[tuple[int, int]]) -> tuple[Rows, ...]:
    """Number all rows that are asked for, leaving out those between."""
    found: list[Rows] = []
    for first, last in sorted(spans):
        if found and first <= found[-1].last:
            found[-1] = found[-1]._replace(last=max(last, found[-1].last))
        else:
            number = found[-1].number + found[-1].last - found[-1].first + 1 if found else 0
            found.append(Rows(first, last, number))
    return tuple(found)


def _renumber(order: Order, rows: tuple[Rows, ...]) -> Order:
    if not order.rows or order.activates:
        return order
    number = next(
        one.number + order.row - one.first for one in rows if one.first <= order.row <= one.last
    )
    return order if number == order.row else order._replace(row=number)


def _host_lag(pieces: Sequence[tuple[tuple[Order, ...], int, int]]) -> int:
    """Return how many more decodes than requests any stretch of a segment has at most.

    The host, held back by a full queue, is a queue's length ahead of the channel. It falls behind
    the channel, so that having been held back matters, only by so many decodes more than requests.
    """
    most = lag = 0
    for orders, count, _ in pieces:
        steps = [1 if order.command < 0 else 1 - order.size for order in orders]
        for time in range(min(count, 2)):
            if time == 1:
                lag += max(sum(steps), 0) * (count - 2)
            for step in steps:
                lag = max(lag + step, 0)
                most = max(most, lag)
    return most


def _trace(path: list[tuple[Passage, int, int]], label: int, before: list[int]) -> int:
    """Return the row of a label behind a path, by the shape's numbers."""
    for passage, _, origin in reversed(path):
        row = passage.rows[label]
        if row >= AF_ROW:
            return row
        if row >= 0:
            return row - BIAS + origin
        label = ELSEWHERE - row
    return before[label]
