"""Stretches of instructions as automata over relative states: each transition is simulated once.

What a stretch does depends on nothing but the state in which it begins, with clocks counted from
the host's and rows from its own first one, and on how far the next refresh is. So it is obeyed once
from each such state, once for all refreshes that are too far to matter and once for each nearer
distance; from then on it is looked up. Owns ``Stretch``, ``Place`` and ``Passage``. Imports the
states.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateformer.sim.dram.bursts import NEVER, Order, Rules, Tally
from gateformer.sim.dram.snapshot import Snapshot, Snapshots, System
from gateformer.sim.dram.tables import AF_ROW

ELSEWHERE = -2
"""Token of a row that the stretch never asks for. Such rows are told apart as ELSEWHERE - label."""
BIAS = 1 << 27
"""Added to rows that count from a stretch's own, so that they are never below zero."""


@dataclass(eq=False, slots=True)
class Passage:
    """What a stretch did once.

    Attributes
    ----------
    clocks : int
        From its first decode to the next one behind it.
    to : Place
        Where it leads to.
    rows : tuple of int
        Where each label of the new state has its row from: biased, counted from the stretch's own
        rows; from AF_ROW on as it is; from ELSEWHERE down a label of the old state.
    until : int
        Clocks from its end to the next refresh, where one was met.
    of : tuple of int
        Channel to class.
    tallies : tuple of Tally
        What each class did.
    """

    clocks: int
    to: Place
    rows: tuple[int, ...]
    until: int
    of: tuple[int, ...]
    tallies: tuple[Tally, ...]


class Place:
    """A stretch about to be obeyed from a state.

    Attributes
    ----------
    snapshot : Snapshot
        The state.
    tokens : tuple of int
        The row of each label as the stretch sees it: biased, counted from its own; ELSEWHERE.
    reach : int
        Clocks to the next refresh from which on it does not matter; NEVER until ``plain`` is known.
    plain : Passage or None
        Without a refresh.
    met : dict of int to Passage
        By clocks to the next refresh, where that does matter.
    steady : bool
        Whether ``plain`` leads back here.
    """

    __slots__ = ("met", "plain", "reach", "snapshot", "steady", "stretch", "tokens")

    def __init__(self, stretch: Stretch, snapshot: Snapshot, tokens: tuple[int, ...]) -> None:
        self.stretch = stretch
        self.snapshot = snapshot
        self.tokens = tokens
        self.reach = NEVER
        self.plain: Passage | None = None
        self.met: dict[int, Passage] = {}
        self.steady = False

    def explore(self) -> Passage:
        """Find what happens without a refresh, and how far one must be for that."""
        self.plain, self.reach = self.stretch.obey(self, NEVER)
        old = self.plain.rows
        self.steady = self.plain.to is self and all(
            row > ELSEWHERE or row == ELSEWHERE - label for label, row in enumerate(old)
        )
        return self.plain

    def meet(self, until: int) -> Passage:
        """Find what happens with a refresh after so many clocks."""
        found, _ = self.stretch.obey(self, until)
        self.met[until] = found
        return found


class Stretch:
    """Instructions obeyed in a row, over and over; rows count from the stretch's own.

    Parameters
    ----------
    orders : sequence of Order
        The instructions; rows from 0 for the stretch's lowest.
    stride : int
        Rows from one time to the next.
    rules : Rules
        The device's tables.
    kept : Snapshots
        Where states are kept.
    tracked : bool
        Whether the queues' room matters.
    last : bool
        Whether nothing comes behind it before all is completed: the host's clock becomes the end's.
    """

    def __init__(
        self,
        orders: Sequence[Order],
        stride: int,
        rules: Rules,
        kept: Snapshots,
        *,
        tracked: bool,
        last: bool = False,
    ) -> None:
        self.orders = tuple(orders)
        self.stride = stride
        self.rules = rules
        self.kept = kept
        self.tracked = tracked
        self.last = last
        self._rows = sorted({one.row for one in orders if one.rows and not one.activates})
        self._places: dict[tuple[Snapshot, tuple[int, ...]], Place] = {}

    def token(self, row: int) -> int:
        """Return how the stretch sees a row: as it is where it may be asked for, else ELSEWHERE."""
        if row >= AF_ROW:
            return row
        if row < 0:
            return ELSEWHERE
        for own in self._rows:
            moved = row - BIAS - own
            if moved == 0 or (
                self.stride and moved % self.stride == 0 and moved // self.stride > 0
            ):
                return row
        return ELSEWHERE

    def place(self, snapshot: Snapshot, tokens: tuple[int, ...]) -> Place:
        """Return the one place of a state and its rows' tokens."""
        key = (snapshot, tokens)
        found = self._places.get(key)
        if found is None:
            found = self._places[key] = Place(self, snapshot, tokens)
        return found

    def places(self) -> Iterator[Place]:
        """Yield every place known."""
        yield from self._places.values()

    def obey(self, place: Place, until: int) -> tuple[Passage, int]:
        """Obey all instructions once, a refresh being due after so many clocks.

        Returns
        -------
        Passage, int
            What happened, and how far the refresh must be so as not to matter.
        """
        rows = [
            ELSEWHERE - label if token == ELSEWHERE else token
            for label, token in enumerate(place.tokens)
        ]
        snapshot = place.snapshot
        system = System(self.rules, snapshot, rows, until, self.tracked)
        for order in self.orders:
            system.obey(order, order.row + BIAS)
        if self.last:
            system.decode, system.decoded = system.finish, 0
        after, left, remaining = system.freeze(self.kept, merge=self.last)
        needs = [
            max(channel.last + 1, system.decode) - still.behind * self.rules.interval
            for channel, still in zip(system.channels, snapshot.stills, strict=True)
            if channel.heard
        ]
        reach = max(needs, default=-NEVER)
        tokens = tuple(
            self.token(row if row < 0 or row >= AF_ROW else row - self.stride) for row in left
        )
        to = self.place(after, tokens)
        return Passage(system.decode, to, tuple(left), remaining, system.of, system.tallies), reach
