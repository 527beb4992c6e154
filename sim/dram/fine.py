"""Long bodies of loops put together from single instructions, each looked up on its own.

Owns ``FineShapes``, ``FinePassage``, ``expanded`` and ``merged``. Imports the closed form's
stretches and shapes.

A generation meets a refresh at every clock of a body, and enters segments in many states. Obeying a
body of twenty instructions anew each time is most of the work; but all that differs is the one
instruction that meets the refresh, and few behind it until the state is as ever.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from gateformer.hw.pim.program import Segment
from gateformer.sim.dram.bursts import NEVER, Order, Rules
from gateformer.sim.dram.shapes import Outcome, Rows, Shape, Shapes
from gateformer.sim.dram.snapshot import Snapshot, Snapshots
from gateformer.sim.dram.stretches import BIAS, ELSEWHERE, Passage, Place, Stretch
from gateformer.sim.dram.tables import AF_ROW

State: TypeAlias = tuple[Snapshot, tuple[int, ...]]
"""A state, and the row of each of its labels."""


@dataclass(eq=False, slots=True)
class _Trail:
    """The way without a refresh, piece by piece.

    Attributes
    ----------
    states : list of (Snapshot, tuple of int)
        Before each piece and behind the last: the state, and each label's row.
    clocks : list of int
        Clocks up to there.
    needs : list of int
        How far, from the start, a refresh must be so that it does not matter up to a piece's end.
    used : list of (Passage, int)
        What all pieces did.
    ends : list of int
        How much of that is in front of each piece.
    """

    states: list[State]
    clocks: list[int]
    needs: list[int]
    used: list[tuple[Passage, int]]
    ends: list[int]
    known: dict[tuple[int, int], list[tuple[Passage, int]]] = field(default_factory=dict)

    def between(self, first: int, last: int) -> list[tuple[Passage, int]]:
        """Return what some pieces did, as one passage."""
        found = self.known.get((first, last))
        if found is None:
            used = self.used[self.ends[first] : self.ends[last]]
            if len(used) > 1:
                used = [(FinePassage(0, used[-1][0].to, (), 0, used), 1)]
            found = self.known[first, last] = used
        return found

    def note(
        self, state: State, clocks: int, need: int, did: Sequence[tuple[Passage, int]]
    ) -> None:
        """Note a piece."""
        self.states.append(state)
        self.clocks.append(clocks)
        self.needs.append(max(need, self.needs[-1] if self.needs else 0))
        self.used.extend(did)
        self.ends.append(len(self.used))


class FineShapes(Shapes):
    """Shapes whose bodies are put together from their instructions."""

    def __init__(self, rules: Rules) -> None:
        super().__init__(rules)
        self._fine: dict[Stretch, FineStretch] = {}

    def forget(self) -> None:
        """Let go of all states, which refer to one another."""
        for shape in self._shapes.values():
            for entry in shape.entries.values():
                entry.met.clear()
                entry.plain = None
            shape.entries.clear()
            vars(shape).clear()
        for stretch in (*self._stretches.values(), *self._fine.values()):
            for place in stretch.places():
                place.met.clear()
                place.plain = None
            vars(stretch).clear()
        vars(self).clear()

    def shape(self, segment: Segment) -> tuple[Shape, tuple[Rows, ...]]:
        """Return a segment's shape, and where its rows lie."""
        found, rows = super().shape(segment)
        if not isinstance(found, FineShape):
            pieces = tuple(found.pieces)
            found = self._shapes[pieces] = FineShape(pieces, self)
        return found, rows

    def whole(
        self, orders: tuple[Order, ...], count: int, stride: int, tracked: bool
    ) -> tuple[Stretch, int, int, int]:
        """Return a loop's stretch as one, its count, its lowest row and its stride."""
        return super().stretch(orders, count, stride, tracked)

    def stretch(
        self, orders: tuple[Order, ...], count: int, stride: int, tracked: bool
    ) -> tuple[Stretch, int, int, int]:
        """Return a loop's stretch, its count, its lowest row and its stride."""
        whole, count, origin, stride = self.whole(orders, count, stride, tracked)
        if len(whole.orders) == 1:
            return whole, count, origin, stride
        found = self._fine.get(whole)
        if found is None:
            pieces = tuple(
                (self.whole((one,), 1, 0, tracked)[0], _row(one)) for one in whole.orders
            )
            found = self._fine[whole] = FineStretch(whole, pieces)
        return found, count, origin, stride


class FineShape(Shape):
    """A segment but for where its rows lie, which knows its way without a refresh.

    Parameters
    ----------
    pieces, shapes
        As in ``Shape``.
    """

    def __init__(
        self, pieces: Sequence[tuple[tuple[Order, ...], int, int]], shapes: FineShapes
    ) -> None:
        super().__init__(pieces, shapes)
        self._fine = shapes
        self._trails: dict[State, _Trail] = {}
        self._begins: dict[tuple[int, State], Place] = {}

    def walk(self, snapshot: Snapshot, rows: tuple[int, ...], until: int) -> tuple[Outcome, int]:
        """Go through all loops from a state; see ``Shape``.

        Up to the loop that meets a refresh, and from where the state is again as without one, the
        way is known.
        """
        snapshot = self.part(snapshot)
        left = tuple([ELSEWHERE - n if row == ELSEWHERE else row for n, row in enumerate(rows)])
        ways = self._ways(len(snapshot.stills) > 1)
        trail = self._trails.get((snapshot, left))
        if trail is None:
            trail = self._trails[(snapshot, left)] = self._plain(ways, (snapshot, left))
        at = bisect_right(trail.needs, until)
        clocks = trail.clocks[at]
        state = trail.states[at]
        until -= clocks
        parts = trail.between(0, at).copy()
        while at < len(ways):
            state, path, spent, until, _ = self._way(at, ways[at], state, until)
            clocks += spent
            parts += path
            at += 1
            if state == trail.states[at] and until >= trail.needs[-1] - trail.clocks[at]:
                rest = trail.clocks[-1] - trail.clocks[at]
                parts += trail.between(at, len(ways))
                clocks += rest
                until -= rest
                state = trail.states[-1]
                break
        return Outcome(clocks, state[0], state[1], until, parts), trail.needs[-1]

    def _ways(self, parted: bool) -> list[tuple[Stretch, int, int, int]]:
        if not self.masks or True in self._stretches:
            return super()._ways(parted)
        # What the queues hold tells too many states apart for single instructions to be met again.
        found = [self._fine.whole(*piece, True) for piece in self.pieces]
        found.append((self._fine.end(True), 1, 0, 0))
        self._stretches[True] = found
        return found

    def _plain(self, ways: list[tuple[Stretch, int, int, int]], state: State) -> _Trail:
        trail: _Trail = _Trail([state], [0], [], [], [0])
        for at, way in enumerate(ways):
            before = trail.clocks[-1]
            state, path, spent, _, need = self._way(at, way, state, NEVER)
            trail.note(state, before + spent, before + need, path)
        return trail

    def _begin(self, at: int, way: tuple[Stretch, int, int, int], state: State) -> Place:
        snapshot, left = state
        stretch, _, origin, _ = way
        shift = BIAS - origin
        if self.masks:
            alike = for_all(stretch)
            snapshot = merged(snapshot, stretch.kept) if alike else self.part(snapshot)
        tokens = (stretch.token(row + shift if 0 <= row < AF_ROW else row) for row in left)
        found = self._begins[(at, state)] = stretch.place(snapshot, tuple(tokens))
        return found

    def _way(
        self, at: int, way: tuple[Stretch, int, int, int], state: State, until: int
    ) -> tuple[State, list[tuple[Passage, int]], int, int, int]:
        """Go through one loop.

        Returns
        -------
        tuple
            The state behind it, its passages and how often each, its clocks, those until the next
            refresh, and how far that must be so as not to matter.
        """
        place = self._begins.get((at, state)) or self._begin(at, way, state)
        left = state[1]
        _, remaining, origin, stride = way
        clocks = need = 0
        path: list[tuple[Passage, int]] = []
        while remaining:
            passage = place.plain or place.explore()
            times = 1
            if until >= place.reach:
                if place.steady and passage.clocks:
                    times = min(remaining, (until - place.reach) // passage.clocks + 1)
                spent = times * passage.clocks
                need = max(need, place.reach + clocks + spent - passage.clocks)
                until -= spent
                clocks += spent
            else:
                passage = place.met.get(until) or place.meet(until)
                clocks += passage.clocks
                until = passage.until
            remaining -= times
            behind = origin + stride * (times - 1) - BIAS
            origin += stride * times
            rows = passage.rows
            if len(rows) == 1 and 0 <= rows[0] < AF_ROW:  # by far the most
                left = (rows[0] + behind,)
            else:
                left = tuple(
                    [
                        row
                        if row >= AF_ROW
                        else row + behind
                        if row >= 0
                        else left[ELSEWHERE - row]
                        for row in rows
                    ]
                )
            path.append((passage, times))
            place = passage.to
        return (place.snapshot, left), path, clocks, until, need


class FineStretch(Stretch):
    """A body of a loop.

    Parameters
    ----------
    whole : Stretch
        The body as one.
    pieces : tuple of (Stretch, int)
        Each instruction, and its row.
    """

    def __init__(self, whole: Stretch, pieces: tuple[tuple[Stretch, int], ...]) -> None:
        super().__init__(whole.orders, whole.stride, whole.rules, whole.kept, tracked=whole.tracked)
        self.pieces = pieces
        self._merging = for_all(whole)
        self._trails: dict[Place, _Trail] = {}
        self._begins: dict[tuple[int, Snapshot, tuple[int, ...]], Place] = {}

    def obey(self, place: Place, until: int) -> tuple[Passage, int]:
        """Obey all instructions once; see ``Stretch``."""
        known = self._trails.get(place)
        if known is None:
            known = self._trails[place] = self._plain(place)
        last = len(self.pieces)
        at = bisect_right(known.needs, until)
        state, clocks = known.states[at], known.clocks[at]
        used = known.used[: known.ends[at]]
        until -= clocks
        while at < last:
            state, passage, until = self._step(at, *state, until)
            clocks += passage.clocks
            used.append((passage, 1))
            at += 1
            if state == known.states[at] and until >= known.needs[-1] - known.clocks[at]:
                rest = known.clocks[-1] - known.clocks[at]
                used += known.used[known.ends[at] :]
                clocks += rest
                until -= rest
                state = known.states[-1]
                break
        snapshot, left = state
        tokens = tuple(
            self.token(row if row < 0 or row >= AF_ROW else row - self.stride) for row in left
        )
        to = self.place(snapshot, tokens)
        return FinePassage(clocks, to, left, until, used), known.needs[-1]

    def _plain(self, place: Place) -> _Trail:
        """Go through all instructions without a refresh, and note the way."""
        left = tuple(
            ELSEWHERE - label if token == ELSEWHERE else token
            for label, token in enumerate(place.tokens)
        )
        state = (place.snapshot, left)
        trail: _Trail = _Trail([state], [0], [], [], [0])
        for at in range(len(self.pieces)):
            before = trail.clocks[-1]
            place = self._place(at, *state)
            state, passage, _ = self._step(at, *state, NEVER)
            trail.note(state, before + passage.clocks, before + place.reach, [(passage, 1)])
        return trail

    def _place(self, at: int, snapshot: Snapshot, left: tuple[int, ...]) -> Place:
        key = (at, snapshot, left)
        found = self._begins.get(key)
        if found is None:
            piece, origin = self.pieces[at]
            tokens = (piece.token(row - origin if 0 <= row < AF_ROW else row) for row in left)
            found = self._begins[key] = piece.place(snapshot, tuple(tokens))
        return found

    def _step(
        self, at: int, snapshot: Snapshot, left: tuple[int, ...], until: int
    ) -> tuple[tuple[Snapshot, tuple[int, ...]], Passage, int]:
        """Obey one instruction; return the state behind it, what it did, and what is left."""
        place = self._place(at, snapshot, left)
        passage = place.plain or place.explore()
        if until >= place.reach:
            until -= passage.clocks
        else:
            passage = place.met.get(until) or place.meet(until)
            until = passage.until
        origin = self.pieces[at][1]
        left = tuple(
            [
                row if row >= AF_ROW else row + origin if row >= 0 else left[ELSEWHERE - row]
                for row in passage.rows
            ]
        )
        snapshot = passage.to.snapshot
        if self._merging and len(snapshot.stills) > 1:
            snapshot = merged(snapshot, self.kept)
        return (snapshot, left), passage, until


class FinePassage(Passage):
    """Several passages behind one another. It has no tallies of its own; theirs count.

    Parameters
    ----------
    clocks, to, rows, until
        As in ``Passage``.
    used : sequence of (Passage, int)
        The passages, and how often each.
    """

    __slots__ = ("used",)

    def __init__(
        self,
        clocks: int,
        to: Place,
        rows: tuple[int, ...],
        until: int,
        used: Sequence[tuple[Passage, int]],
    ) -> None:
        super().__init__(clocks, to, rows, until, (), ())
        self.used = used


def expanded(times: Counter[Passage]) -> Counter[Passage]:
    """Return what passages are made of, down to those that are not put together."""
    found: Counter[Passage] = Counter()
    while times:
        whole, number = times.popitem()
        if isinstance(whole, FinePassage):
            for passage, count in whole.used:
                times[passage] += count * number
        else:
            found[whole] += number
    return found


def for_all(stretch: Stretch) -> bool:
    """Return whether all channels get all instructions of a stretch."""
    everywhere = (1 << stretch.rules.channels) - 1
    return all(
        one.mask & everywhere == everywhere
        for one in stretch.orders
        if one.command >= 0 and one.size > 0
    )


def merged(snapshot: Snapshot, kept: Snapshots) -> Snapshot:
    """Return a state in which classes of channels that are alike are one."""
    found: Snapshot | None = snapshot.memo.get("merged")
    if found is None:
        stills = tuple(dict.fromkeys(snapshot.stills))
        found = snapshot
        if len(stills) < len(snapshot.stills):
            of = tuple(stills.index(snapshot.stills[c]) for c in snapshot.of)
            found = kept.keep(snapshot.register, snapshot.decoded, of, stills, snapshot.settles)
        snapshot.memo["merged"] = found
    return found


def _row(order: Order) -> int:
    return order.row if order.rows and not order.activates else 0
