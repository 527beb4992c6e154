"""One channel, a burst of equal commands at a time: what the closed form steps with.

Between two refreshes the requests of one instruction that find their row open issue at equal
distances, so a burst is one piece of arithmetic. Owns ``Rules`` (a device's tables by command and
bank), ``Order`` (an instruction as numbers), ``Tally`` and ``Channel``. Imports the instruction set
and the engine's tables.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from gateformer.hw.pim.device import Device
from gateformer.hw.pim.isa import OPS, Instruction
from gateformer.quant.errors import PimError
from gateformer.sim.dram.kernel import MOST_STUCK
from gateformer.sim.dram.refresh import Refresh
from gateformer.sim.dram.tables import (
    AF_ROW,
    AFM,
    FOLLOW_AT,
    LATENCY,
    MODES,
    NUMBER,
    OP_NUMBER,
    ROWS,
    SCOPE,
    SELF_CAUSE,
    SELF_WAIT,
    T_BANKS,
    T_GROUPS,
    T_INTERVAL,
    T_MODES,
    T_PER_BANK,
    T_PER_GROUP,
    T_WINDOW_AT,
    T_WINDOWS,
    WIDTH,
    WINDOW_FIELDS,
    rules,
)

NEVER = 1 << 60
"""A clock that no simulation reaches."""
ARRAY = MODES["array"]
NO_MODE = MODES["none"]
ALL, ONE = ROWS["all"], ROWS["one"]
ACT, ACT16, PRE, PREA = NUMBER["ACT"], NUMBER["ACT16"], NUMBER["PRE"], NUMBER["PREA"]
REFAB, REFPB, TMOD = NUMBER["REFab"], NUMBER["REFpb"], NUMBER["TMOD"]
NOWHERE = (NUMBER["SYNC"], NUMBER["EOC"])
BY_REFAB, BY_REFPB = OP_NUMBER["REFab"], OP_NUMBER["REFpb"]
HOST_CAUSE, COMPLETION_CAUSE = 0, 1
SHIFT = 10
CAUSE = (1 << SHIFT) - 1
"""Low bits that hold a cause beside a clock, so that one comparison picks the later."""
LONG_AGO = -NEVER << SHIFT
HIT, MISS, OPEN = -1, -2, -3

Tally = Counter[int | tuple[int, int]]
"""How often each command: its number, plus WIDTH (bank + 1) where it is of one bank; HIT and MISS:
column commands that found their row open and that did not; OPEN: clocks with a row open; and clocks
waited, by (cause, instruction)."""


@dataclass(frozen=True, slots=True)
class Order:
    """An instruction as a channel needs it.

    Attributes
    ----------
    op : int
        Number of the instruction.
    command : int
        Number of its command, -1 where the host alone acts.
    mode, rows : int
        Mode and rows that it needs.
    size, bank, row : int
        As in the instruction; AF's row is that of register 0.
    latency : int
        Clocks from issue to completion.
    blocks, closes, syncs, activates : bool
        Whether the host waits for it, whether it closes the banks, whether it is no command but a
        mark in the queue, whether its row is AF's.
    mask : int
        Channels that take part; -1 for all.
    value : int
        New value of AF's register, -1 where it stays.
    """

    op: int
    command: int
    mode: int
    rows: int
    size: int
    bank: int
    row: int
    latency: int
    blocks: bool
    closes: bool
    syncs: bool
    activates: bool
    mask: int
    value: int


class Rules:
    """A device's constraints by command and bank.

    A *slot* is one command at one instance of a level; a channel knows for each slot the first
    clock at which the constraints of that level let the command issue there.

    Parameters
    ----------
    device : Device
        The device.
    refresh : Refresh
        How it is refreshed.
    strict : bool
        Whether the edges that the public simulator lacks count too.
    queue : int
        Requests that a channel holds.
    host_per_clock : int
        Instructions that the host decodes a clock.

    Attributes
    ----------
    asks : list of list of tuple of int
        By command and bank: the slots that hold it back.
    tells : list of list of tuple
        By command and bank: (slot, wait) of each slot that it holds back, the wait shifted left by
        SHIFT, plus the cause's number.
    windows : list of list of tuple
        As ``tells`` for rules that count from a command further back: (slot, wait, window, number
        of the history).
    pace : list of tuple of int
        By command: clocks between two of a burst, and why; 0 where they come one by one.
    causes : tuple of str
        What the causes' numbers mean.
    longest : dict of int to int
        A history's number to the wait that counts from it.
    alone : list of bool
        Whether a command is of one bank.
    """

    def __init__(
        self, device: Device, refresh: Refresh, strict: bool, queue: int, host_per_clock: int
    ) -> None:
        flat, self.causes = rules(device, refresh, strict, queue, host_per_clock)
        self.channels = device.organization.channels
        self.banks = flat[T_BANKS]
        self.modes = bool(flat[T_MODES])
        self.interval = flat[T_INTERVAL]
        self.per_bank = bool(flat[T_PER_BANK])
        self.queue = queue
        self.host_per_clock = host_per_clock
        scopes = flat[SCOPE : SCOPE + WIDTH]
        self.alone = [scope > 0 for scope in scopes]
        self.pace = [(flat[SELF_WAIT + one], flat[SELF_CAUSE + one]) for one in range(WIDTH)]
        self._latencies = flat[LATENCY : LATENCY + WIDTH]
        places = [
            (0, 1 + bank // flat[T_PER_GROUP], 1 + flat[T_GROUPS] + bank)
            for bank in range(self.banks)
        ]
        self.longest: dict[int, int] = {}
        self.tells: list[list[tuple[tuple[int, int], ...]]] = []
        self.windows: list[list[tuple[tuple[int, int, int, int], ...]]] = []
        for command in range(WIDTH):
            near = [list(_follow(flat, level, command)) for level in range(scopes[command] + 1)]
            far = [one for one in _windows(flat) if one.after == command]
            self.tells.append(
                [
                    tuple(
                        (place[level] * WIDTH + before, wait << SHIFT | cause)
                        for level, held in enumerate(near)
                        for before, wait, cause in held
                    )
                    for place in places
                ]
            )
            self.windows.append(
                [
                    tuple(
                        (
                            place[one.level] * WIDTH + one.before,
                            one.wait << SHIFT | one.cause,
                            one.size,
                            one.number * (1 + 2 * self.banks) + place[one.level],
                        )
                        for one in far
                        if one.level <= scopes[command]
                    )
                    for place in places
                ]
            )
            for windows in self.windows[command]:
                self.longest |= {history: wait >> SHIFT for _, wait, _, history in windows}
        held = {one[0] for banks in self.tells for told in banks for one in told}
        held |= {one[0] for banks in self.windows for windows in banks for one in windows}
        self.asks = [
            [
                tuple(
                    place[level] * WIDTH + command
                    for level in range(scopes[command] + 1)
                    if place[level] * WIDTH + command in held
                )
                for place in places
            ]
            for command in range(WIDTH)
        ]

    def order(self, one: Instruction) -> Order:
        """Return an instruction as numbers."""
        op = OPS[one.op]
        command = -1 if op.command is None else NUMBER[op.command]
        return Order(
            op=OP_NUMBER[one.op],
            command=command,
            mode=MODES[op.mode] if self.modes else NO_MODE,
            rows=ROWS[op.rows],
            size=one.size,
            bank=max(one.bank, 0),
            row=AF_ROW if one.op == "AF" else one.row,
            latency=0 if op.command is None else self._latencies[command],
            blocks=op.blocks,
            closes=op.closes,
            syncs=command in NOWHERE,
            activates=one.op == "AF",
            mask=-1 if command in NOWHERE else one.channels,
            value=one.value if one.op == "W_CFR" and one.address == AFM else -1,
        )


class _Window(NamedTuple):
    """A constraint that counts from a command further back."""

    number: int
    level: int
    after: int
    before: int
    wait: int
    cause: int
    size: int


def _follow(flat: list[int], level: int, command: int) -> Iterator[tuple[int, int, int]]:
    """Yield who waits after a command at a level: command, wait and cause."""
    span = FOLLOW_AT + level * WIDTH + command
    for at in range(flat[span], flat[span + 1], 3):
        yield flat[at], flat[at + 1], flat[at + 2]


def _windows(flat: list[int]) -> Iterator[_Window]:
    for number in range(flat[T_WINDOWS]):
        at = flat[T_WINDOW_AT] + number * WINDOW_FIELDS
        yield _Window(number, *flat[at : at + 6])


class Channel:
    """One channel between two commands.

    Its commands depend on its own requests alone, in their order, so it runs ahead of the host as
    far as it is given requests.

    Parameters
    ----------
    rules : Rules
        The device's tables.

    Attributes
    ----------
    tally : Tally
        Its commands, hits, misses and stalls.
    ready : dict of int to int
        Slot to its first clock, shifted left by SHIFT, plus the cause's number.
    last : int
        Clock of the last command.
    done : int
        Latest completion of a request.
    mode : int
        Array or register.
    rows : list of int
        Open row of each bank, -1 where closed.
    due : int
        Clock of the next refresh that has not been issued.
    turn : int
        Bank of that refresh where it is of one bank.
    past : dict of int to list of int
        History of the rules that count from a command further back.
    runs : list of tuple of int
        Issue clocks of requests, as (first, distance, number), oldest first.
    since : int
        Clock from which a row has been open; -1 where none is.
    stuck : int
        Refreshes in a row that kept a request from issuing.
    """

    __slots__ = (
        "done", "due", "last", "mode", "past", "ready", "rows", "rules", "runs", "since", "stuck",
        "tally", "turn",
    )  # fmt: skip

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.tally: Tally = Counter()
        self.ready: dict[int, int] = {}
        self.last = 0
        self.done = 0
        self.mode = ARRAY
        self.rows = [-1] * rules.banks
        self.due = NEVER
        self.turn = 0
        self.past: dict[int, list[int]] = {}
        self.runs: list[tuple[int, int, int]] = []
        self.since = -1
        self.stuck = 0

    def serve(self, order: Order, row: int, decode: int) -> None:
        """Serve all requests of an instruction.

        Parameters
        ----------
        order : Order
            The instruction.
        row : int
            Its row.
        decode : int
            Clock at which the host offers the first request. Later ones never wait for the host:
            the queue has at least one place, and a channel issues one command a clock.
        """
        command, bank, left = order.command, order.bank, order.size
        missed = False
        while left:
            wanted = self._wanted(order, row)
            clock, cause = self._legal(wanted, bank)
            switch = order.mode not in (self.mode, NO_MODE)
            if switch:
                other, why = self._legal(TMOD, bank)
                if other > clock:
                    clock, cause = other, why
            clock = max(clock, decode, self.last + 1)
            if self.due <= clock:
                self._make_way(order.op, cause, decode)
                continue
            self._stall(order.op, cause, clock, decode)
            if switch:
                self._issue(TMOD, bank, clock)
                self.mode = order.mode
            elif wanted != command:
                self._issue(wanted, bank, clock)
                self._open(wanted, bank, row)
                missed = True
            else:
                pace, cause = self.rules.pace[command]
                number = min(left, (self.due - 1 - clock) // pace + 1) if pace else 1
                self._issue(command, bank, clock, number, pace or 1)
                self.runs.append((clock, pace or 1, number))
                if number > 1 and pace > 1:
                    self.tally[cause, order.op] += (number - 1) * (pace - 1)
                if order.rows:
                    self.tally[MISS if missed else HIT] += 1
                    self.tally[HIT] += number - 1
                missed = False
                if order.closes:
                    self._open(PREA, bank, row)
                self.stuck = 0
                left -= number
        self.done = max(self.done, self.last + order.latency)

    def mark(self, order: Order, decode: int) -> None:
        """Let SYNC or EOC through the queue: it waits for refreshes and for the last completion."""
        while True:
            clock = max(self.done, decode, self.last + 1)
            if self.due > clock:
                break
            self._make_way(order.op, COMPLETION_CAUSE, decode)
        self._stall(order.op, COMPLETION_CAUSE, clock, decode)
        self.runs.append((clock, 1, 1))
        self.last = clock

    def catch_up(self, op: int, decode: int) -> None:
        """Issue the refreshes that are due up to the clock at which an instruction is decoded."""
        while self.due <= decode:
            self._make_way(op, HOST_CAUSE, decode)

    def accepted(self) -> int:
        """Return the clock at which the queue had room for the last request."""
        back = self.rules.queue
        for first, pace, number in reversed(self.runs):
            if back < number:
                return first + (number - 1 - back) * pace + 1
            back -= number
        return 0

    def _legal(self, command: int, bank: int) -> tuple[int, int]:
        best = LONG_AGO
        ready = self.ready
        for slot in self.rules.asks[command][bank]:
            then = ready.get(slot, LONG_AGO)
            if then > best | CAUSE:
                best = then
        return best >> SHIFT, best & CAUSE

    def _stall(self, op: int, cause: int, clock: int, decode: int) -> None:
        ahead = self.last + 1
        if clock > ahead:
            idle = max(min(decode, clock) - ahead, 0)
            if idle:
                self.tally[HOST_CAUSE, op] += idle
            if clock - ahead - idle:
                self.tally[cause, op] += clock - ahead - idle

    def _make_way(self, op: int, cause: int, decode: int) -> None:
        start = max(self.due, self.last + 1)
        self._stall(op, cause, start, decode)
        self._refresh(start)
        self.stuck = self.stuck + 1 if self.last >= decode else 0
        if self.stuck > MOST_STUCK:
            raise PimError(
                "E805",
                "contradictory timing",
                cause="Refresh leaves no room for any command between one and the next",
                fix="Raise nREFI, or take the all-bank policy",
            )

    def _refresh(self, start: int) -> None:
        """Carry one refresh through from a clock on; nothing else issues until it has."""
        final, bank, op = REFAB, 0, BY_REFAB
        if self.rules.per_bank:
            final, bank, op = REFPB, self.turn, BY_REFPB
        issued = -1
        while issued != final:
            if final == REFAB:
                wanted = REFAB if self.rows.count(-1) == len(self.rows) else PREA
            else:
                wanted = REFPB if self.rows[bank] == -1 else PRE
            clock, cause = self._legal(wanted, bank)
            issued = wanted
            if self.mode != ARRAY:
                other, why = self._legal(TMOD, bank)
                if other > clock:
                    clock, cause = other, why
                issued = TMOD
            if clock > start:
                self.tally[cause, op] += clock - start
            else:
                clock = start
            self._issue(issued, bank, clock)
            if issued == TMOD:
                self.mode = ARRAY
            else:
                self._open(issued, bank, -1)
            start = clock + 1
        if self.rules.per_bank:
            self.turn = (self.turn + 1) % self.rules.banks
        self.due += self.rules.interval

    def _wanted(self, order: Order, row: int) -> int:
        if order.rows == ALL:
            rows = self.rows
            here = rows.count(row)
            if here == len(rows):
                return order.command
            return ACT16 if here + rows.count(-1) == len(rows) else PREA
        if order.rows == ONE:
            found = self.rows[order.bank]
            return order.command if found == row else ACT if found == -1 else PRE
        return order.command

    def _open(self, command: int, bank: int, row: int) -> None:
        if command == ACT16:
            self.rows = [row] * len(self.rows)
        elif command == PREA:
            self.rows = [-1] * len(self.rows)
        elif command == ACT:
            self.rows[bank] = row
        elif command == PRE:
            self.rows[bank] = -1
        else:
            return
        if self.since < 0:
            self.since = self.last
        elif self.rows.count(-1) == len(self.rows):
            self.tally[OPEN] += self.last - self.since
            self.since = -1

    def _issue(self, command: int, bank: int, first: int, number: int = 1, pace: int = 1) -> None:
        """Issue ``number`` commands, ``pace`` clocks apart."""
        clock = first + (number - 1) * pace
        ready = self.ready
        shifted = clock << SHIFT
        for slot, wait in self.rules.tells[command][bank]:
            then = shifted + wait
            if then > ready.get(slot, LONG_AGO) | CAUSE:
                ready[slot] = then
        for slot, wait, window, history in self.rules.windows[command][bank]:
            past = self.past.setdefault(history, [])
            past.extend(range(clock - (min(number, window) - 1) * pace, clock + 1, pace))
            del past[:-window]
            if len(past) == window:
                then = (past[0] << SHIFT) + wait
                if then > ready.get(slot, LONG_AGO) | CAUSE:
                    ready[slot] = then
        self.last = clock
        self.tally[command + WIDTH * (bank + 1) if self.rules.alone[command] else command] += number
