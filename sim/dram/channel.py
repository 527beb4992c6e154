"""One channel, a burst of equal commands at a time.

Between two refreshes the requests of one instruction that find their row open issue at equal
distances, so a burst is one piece of arithmetic. Owns ``Channel``. Imports the rules.
"""

from __future__ import annotations

from gateformer.sim.dram.bursts import (
    ACT,
    ACT16,
    ALL,
    ARRAY,
    BY_REFAB,
    BY_REFPB,
    HIT,
    LONG_AGO,
    MISS,
    NO_MODE,
    ONE,
    OPEN,
    PRE,
    PREA,
    REFAB,
    REFPB,
    TMOD,
    Order,
    Rules,
    Tally,
)
from gateformer.sim.dram.kernel import MOST_STUCK
from gateformer.sim.dram.tables import CAUSE, COMPLETION, HOST, SHIFT, WIDTH


class Channel:
    """One channel between two commands.

    Its commands depend on its own requests alone, in their order, so it runs ahead of the host as
    far as it is given requests.

    Parameters
    ----------
    rules : Rules
        The device's tables.
    last, done, mode, turn, rows, ready, past, runs, due
        Its state; a row that is open counts as opened at clock 0.

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
    heard : bool
        Whether it has had an instruction.
    """

    __slots__ = (
        "done", "due", "heard", "last", "mode", "past", "ready", "rows", "rules", "runs", "since",
        "stuck", "tally", "turn",
    )  # fmt: skip

    def __init__(
        self,
        rules: Rules,
        last: int,
        done: int,
        mode: int,
        turn: int,
        rows: list[int],
        ready: dict[int, int],
        past: dict[int, list[int]],
        runs: list[tuple[int, int, int]],
        due: int,
    ) -> None:
        self.rules = rules
        self.tally: Tally = {}
        self.last = last
        self.done = done
        self.mode = mode
        self.turn = turn
        self.rows = rows
        self.ready = ready
        self.past = past
        self.runs = runs
        self.due = due
        self.since = -1 if rows.count(-1) == len(rows) else 0
        self.stuck = 0
        self.heard = False

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
        self.heard = True
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
                    self._add((cause, order.op), (number - 1) * (pace - 1))
                if order.rows:
                    self._add(HIT, number - missed)
                    if missed:
                        self._add(MISS, 1)
                missed = False
                if order.closes:
                    self._open(PREA, bank, row)
                self.stuck = 0
                left -= number
        self.done = max(self.done, self.last + order.latency)

    def mark(self, order: Order, decode: int) -> None:
        """Let SYNC or EOC through the queue: it waits for refreshes and for the last completion."""
        self.heard = True
        while True:
            clock = max(self.done, decode, self.last + 1)
            if self.due > clock:
                break
            self._make_way(order.op, COMPLETION, decode)
        self._stall(order.op, COMPLETION, clock, decode)
        self.runs.append((clock, 1, 1))
        self.last = clock

    def catch_up(self, op: int, decode: int) -> None:
        """Issue the refreshes that are due up to the clock at which an instruction is decoded."""
        self.heard = True
        while self.due <= decode:
            self._make_way(op, HOST, decode)

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
                self._add((HOST, op), idle)
            if clock - ahead - idle:
                self._add((cause, op), clock - ahead - idle)

    def _make_way(self, op: int, cause: int, decode: int) -> None:
        start = max(self.due, self.last + 1)
        self._stall(op, cause, start, decode)
        self._refresh(start)
        self.stuck = self.stuck + 1 if self.last >= decode else 0
        if self.stuck > MOST_STUCK:
            raise self.rules.refresh.no_room(self.rules.device)

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
                self._add((cause, op), clock - start)
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
            self._add(OPEN, self.last - self.since)
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
        self._add(command + WIDTH * (bank + 1) if self.rules.alone[command] else command, number)

    def _add(self, key: int | tuple[int, int], number: int) -> None:
        self.tally[key] = self.tally.get(key, 0) + number
