"""All channels and the host between two instructions, taken down relative to the clock.

Owns ``Snapshot`` (a whole state with clocks counted from the host's and rows replaced by labels),
``Snapshots`` (which keeps each once) and ``System``, which obeys instructions. Imports the channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gateformer.sim.dram.bursts import NEVER, OPEN, Order, Rules, Tally
from gateformer.sim.dram.channel import Channel
from gateformer.sim.dram.tables import AF_ROW, CAUSE, SHIFT


class Still(NamedTuple):
    """A channel's state, clocks counted from the host's.

    Attributes
    ----------
    last, done : int
        Clock of the last command; latest completion, 0 where nothing waits for it any more.
    mode, turn : int
        As in ``Channel``.
    rows : int or tuple of int
        Label of each bank's row, -1 where closed; one number where all are alike.
    ready, past, runs : tuple
        As in ``Channel``, without what binds no more.
    behind : int
        Refreshes that the channel owes more than the one that owes fewest.
    """

    last: int
    done: int
    mode: int
    turn: int
    rows: int | tuple[int, ...]
    ready: tuple[tuple[int, int], ...]
    past: tuple[tuple[int, tuple[int, ...]], ...]
    runs: tuple[tuple[int, int, int], ...]
    behind: int


@dataclass(eq=False, slots=True)
class Snapshot:
    """A state of the whole memory, kept once: equal ones are the same object.

    Attributes
    ----------
    register : int
        AF's register.
    decoded : int
        Instructions decoded in the host's clock.
    of : tuple of int
        Channel to its class.
    stills : tuple of Still
        State of each class.
    labels : int
        Rows that have a label.
    settles : int
        Clocks after which nothing binds any more.
    """

    register: int
    decoded: int
    of: tuple[int, ...]
    stills: tuple[Still, ...]
    labels: int
    settles: int
    memo: dict[Any, Any] = field(default_factory=dict)


class Snapshots:
    """Keeps each state once.

    Parameters
    ----------
    rules : Rules
        The device's tables.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._known: dict[tuple[Any, ...], Snapshot] = {}

    def keep(
        self,
        register: int,
        decoded: int,
        of: tuple[int, ...],
        stills: tuple[Still, ...],
        settles: int = -1,
    ) -> Snapshot:
        """Return the state's one object; ``settles`` may be given where it is known."""
        key = (register, decoded, of, stills)
        found = self._known.get(key)
        if found is None:
            labels = 1 + max(
                max(still.rows) if isinstance(still.rows, tuple) else still.rows for still in stills
            )
            if settles < 0:
                settles = max([0, *(self._settles(still) for still in stills)])
            found = self._known[key] = Snapshot(register, decoded, of, stills, labels, settles)
        return found

    def _settles(self, still: Still) -> int:
        """Return the clocks after which nothing of a state binds any more."""
        clocks = [still.last + 1, still.done, *(then >> SHIFT for _, then in still.ready)]
        clocks += [first + number * pace + 1 for first, pace, number in still.runs]
        clocks += [past[-1] + self._rules.longest[history] for history, past in still.past]
        return max(clocks)


class System:
    """The memory and its host, obeying instructions from a snapshot on.

    Parameters
    ----------
    rules : Rules
        The device's tables.
    snapshot : Snapshot
        The state at clock 0.
    rows : sequence of int
        The row of each of its labels.
    until : int
        Clocks until the first refresh is due, of the channel that owes most.
    tracked : bool
        Whether the queues' room matters. Where all channels get the same requests, it does not:
        the host is ahead of a full queue.
    """

    def __init__(
        self, rules: Rules, snapshot: Snapshot, rows: Sequence[int], until: int, tracked: bool
    ) -> None:
        self.rules = rules
        self.of = snapshot.of
        self.register = snapshot.register
        self.decoded = snapshot.decoded
        self.decode = 0
        self.finish = 0
        self.tracked = tracked
        self.channels = [_channel(rules, still, rows, until) for still in snapshot.stills]
        self._first = [snapshot.of.index(c) for c in range(len(snapshot.stills))]

    @property
    def tallies(self) -> tuple[Tally, ...]:
        """What each class has done."""
        return tuple(channel.tally for channel in self.channels)

    def obey(self, order: Order, row: int) -> None:
        """Obey one instruction at a row, and move the host on to the next."""
        if order.value >= 0:
            self.register = order.value
        accepted = resume = 0
        if order.command >= 0 and order.size > 0:
            for first, channel in zip(self._first, self.channels, strict=True):
                if not order.mask >> first & 1:
                    continue
                if order.syncs:
                    channel.mark(order, self.decode)
                    self.finish = max(self.finish, channel.last + 1)
                else:
                    channel.serve(
                        order, AF_ROW + self.register if order.activates else row, self.decode
                    )
                if self.tracked:
                    accepted = max(accepted, channel.accepted())
                if order.blocks:
                    resume = max(resume, channel.last + order.latency + 1)
        if resume:
            self.decode, self.decoded = resume, 0
        elif accepted <= self.decode and self.decoded + 1 < self.rules.host_per_clock:
            self.decoded += 1
        else:
            self.decode, self.decoded = max(self.decode, accepted) + 1, 0

    def freeze(self, kept: Snapshots, *, merge: bool = False) -> tuple[Snapshot, list[int], int]:
        """Take the state down at the host's clock.

        Parameters
        ----------
        kept : Snapshots
            Where snapshots are kept.
        merge : bool
            Whether classes that have come to the same state become one.

        Returns
        -------
        Snapshot, list of int, int
            The state, the row of each label, and clocks until the first refresh is due.
        """
        if not self.tracked:
            ahead = max(channel.last for channel in self.channels) + 1
            if ahead - self.decode >= self.rules.queue:
                self.decode, self.decoded = ahead - self.rules.queue + 1, 0
        at = self.decode
        due = min(channel.due for channel in self.channels)
        labels: dict[int, int] = {-1: -1}
        stills = [self._still(channel, labels, due) for channel in self.channels]
        of = self.of
        if merge and len(stills) > 1:
            distinct = list(dict.fromkeys(stills[c] for c in of))
            of = tuple(distinct.index(stills[c]) for c in of)
            stills = distinct
        snapshot = kept.keep(self.register, self.decoded, of, tuple(stills))
        return snapshot, [row for row in labels if row != -1], due - at

    def _still(self, channel: Channel, labels: dict[int, int], due: int) -> Still:
        at = self.decode
        # A refresh may be due before the host's clock. A channel that heard nothing just ages.
        base = max(min(at, channel.due), channel.last + 1) if channel.heard else -NEVER
        shift, bound = at << SHIFT, base << SHIFT | CAUSE
        ready = [(slot, then - shift) for slot, then in channel.ready.items() if then > bound]
        ready.sort()
        first = channel.rows[0]
        rows: int | tuple[int, ...] = labels.setdefault(first, len(labels) - 1)
        if channel.rows.count(first) < len(channel.rows):
            rows = tuple([labels.setdefault(row, len(labels) - 1) for row in channel.rows])
        if channel.since >= 0:
            channel.tally[OPEN] = channel.tally.get(OPEN, 0) + at - channel.since
        return Still(
            channel.last - at,
            max(channel.done - at, 0),
            channel.mode,
            channel.turn,
            rows,
            tuple(ready),
            self._past(channel, base) if channel.past else (),
            self._runs(channel) if self.tracked else (),
            (channel.due - due) // self.rules.interval if self.rules.interval else 0,
        )

    def _past(self, channel: Channel, base: int) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """Return the histories, without clocks from which nothing waits any more."""
        found = []
        for history, clocks in sorted(channel.past.items()):
            wait = self.rules.longest[history]
            left = tuple(clock - self.decode for clock in clocks if clock + wait > base)
            if left:
                found.append((history, left))
        return tuple(found)

    def _runs(self, channel: Channel) -> tuple[tuple[int, int, int], ...]:
        """Return the requests that still are in the queue at the host's clock, or leave it then."""
        at, room = self.decode, self.rules.queue
        found: list[tuple[int, int, int]] = []
        for first, pace, number in reversed(channel.runs):
            count = min(number, room)
            start = first + (number - count) * pace
            if start < at:
                gone = min((at - start + pace - 1) // pace, count)
                count -= gone
                start += gone * pace
            if count:
                found.append((start - at, pace if count > 1 else 1, count))
            room -= number
            if room <= 0 or first < at:
                break
        return tuple(reversed(found))


def _channel(rules: Rules, still: Still, rows: Sequence[int], until: int) -> Channel:
    last, done, mode, turn, labels, ready, past, runs, behind = still
    if isinstance(labels, tuple):
        opened = [rows[label] if label >= 0 else -1 for label in labels]
    else:
        opened = [rows[labels] if labels >= 0 else -1] * rules.banks
    histories = {history: list(clocks) for history, clocks in past}
    due = until + behind * rules.interval
    return Channel(rules, last, done, mode, turn, opened, dict(ready), histories, list(runs), due)


def power_up(rules: Rules, kept: Snapshots) -> Snapshot:
    """Return the state at power-up: array mode, all rows closed, nothing issued."""
    still = Still(last=-1, done=0, mode=0, turn=0, rows=-1, ready=(), past=(), runs=(), behind=0)
    return kept.keep(0, 0, (0,) * rules.channels, (still,))


def later(snapshot: Snapshot, clocks: int, kept: Snapshots) -> Snapshot:
    """Return a state some clocks on, in which nothing happens; last commands stay as far back."""
    found = snapshot.memo.get(clocks)
    if found is None:
        shift = clocks << SHIFT
        stills = tuple(
            still._replace(
                done=0,
                ready=tuple(
                    (slot, then - shift) for slot, then in still.ready if then > shift | CAUSE
                ),
                past=tuple(
                    (history, tuple(c - clocks for c in past)) for history, past in still.past
                )
                if clocks < snapshot.settles
                else (),
                runs=(),
            )
            for still in snapshot.stills
        )
        found = kept.keep(snapshot.register, 0, snapshot.of, stills)
        snapshot.memo[clocks] = found
    return found
