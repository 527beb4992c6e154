"""The memory's commands in order of time: each jumps to the first clock at which it is legal.

One body of code over flat tables of integers: plain Python walks lists with it, and ``compiled``
gives the same functions translated by numba, which walk arrays. Owns what a command does to a
channel and when it may issue. Imports the tables' positions.

What is not obvious: a class stands for channels that are in the same state and get the same
requests. Requests of one kind to one row are issued as a run: after the first, only their own
distance and the next refresh bind, as no other command comes between.
"""

from __future__ import annotations

from gateformer.hw.pim.isa import COMMANDS
from gateformer.sim.dram.tables import (
    ACCEPTED,
    AT,
    CAUSED_BY,
    CLASS,
    DECODE,
    DECODED,
    DISTINCT,
    DONE,
    FINISH,
    LOGGED,
    RESUME,
    STATUS,
    STUCK,
    WIDTH,
    Log,
    Requests,
    State,
    Tables,
)

ACT, ACT16 = COMMANDS.index("ACT"), COMMANDS.index("ACT16")
PRE, PREA = COMMANDS.index("PRE"), COMMANDS.index("PREA")
WRA16, TMOD = COMMANDS.index("WRA16"), COMMANDS.index("TMOD")
REFAB, REFPB = COMMANDS.index("REFab"), COMMANDS.index("REFpb")
SYNC, EOC = COMMANDS.index("SYNC"), COMMANDS.index("EOC")
KINDS = len(CAUSED_BY)
BY_REFAB, BY_REFPB = CAUSED_BY.index("REFab"), CAUSED_BY.index("REFpb")
HOST, COMPLETION = 0, 1
CHANNEL, BANK = 0, 2
ROOM = 8
"""Entries of the log that one step may need."""
MOST_STUCK = 10_000
"""Refreshes in a row, with a request waiting, after which there is no room for work."""
RUNNING, FULL, STARVED = 0, 1, 2
"""Why ``advance`` returned: the program has ended, the log is full, refresh leaves no room."""


def earliest(t: Tables, s: State, c: int, command: int, bank: int) -> tuple[int, int]:
    """Return the first clock at which no constraint holds a command back, and what held it."""
    at = c * t.width + command
    clock, cause = s.ready[at], s.cause[at]
    if t.scope[command] == BANK:
        near = at + (1 + bank // t.per_group) * WIDTH
        if s.ready[near] > clock:
            clock, cause = s.ready[near], s.cause[near]
        near = at + (1 + t.groups + bank) * WIDTH
        if s.ready[near] > clock:
            clock, cause = s.ready[near], s.cause[near]
    return clock, cause


def follow(t: Tables, s: State, base: int, level: int, command: int, clock: int) -> None:
    """Hold back all that must wait after a command, at one instance of a level."""
    ready, cause, commands, waits = s.ready, s.cause, t.follow_command, t.follow_wait
    span = level * WIDTH + command
    for entry in range(t.follow_at[span], t.follow_at[span + 1]):
        at = base + commands[entry]
        until = clock + waits[entry]
        if until > ready[at]:
            ready[at] = until
            cause[at] = t.follow_cause[entry]


def widen(t: Tables, s: State, c: int, bank: int, command: int, clock: int) -> None:
    """Note a command in every window that counts it, and hold back what the window does."""
    for entry in range(t.windows):
        if t.window_after[entry] != command:
            continue
        level, instance, base = t.window_level[entry], 0, c * t.width
        if level == 1:
            instance = bank // t.per_group
            base += (1 + instance) * WIDTH
        elif level == BANK:
            instance = bank
            base += (1 + t.groups + bank) * WIDTH
        size = t.window_size[entry]
        ring = c * t.ring_width + t.window_ring[entry] + instance * size
        at = c * t.count_width + t.window_count[entry] + instance
        seen = s.window_seen[at]
        s.window_clock[ring + seen % size] = clock
        s.window_seen[at] = seen + 1
        if seen + 1 >= size:
            until = s.window_clock[ring + (seen + 1) % size] + t.window_wait[entry]
            held = base + t.window_before[entry]
            if until > s.ready[held]:
                s.ready[held] = until
                s.cause[held] = t.window_cause[entry]


def issue(
    t: Tables,
    s: State,
    log: Log,
    c: int,
    command: int,
    bank: int,
    row: int,
    column: int,
    step: int,
    clock: int,
    count: int,
    gap: int,
) -> None:
    """Issue a run of one command: count it, log it, and note what must wait for it."""
    final = clock + (count - 1) * gap
    base = c * t.width
    follow(t, s, base, 0, command, final)
    s.counts[c * WIDTH + command] += count
    if t.scope[command] == BANK:
        follow(t, s, base + (1 + bank // t.per_group) * WIDTH, 1, command, final)
        follow(t, s, base + (1 + t.groups + bank) * WIDTH, 2, command, final)
        s.bank_counts[(c * t.banks + bank) * WIDTH + command] += count
    if t.windows > 0:
        for one in range(count):
            widen(t, s, c, bank, command, clock + one * gap)
    s.last[c] = final
    s.host[DISTINCT] += count
    if len(log.clock) > 0:
        at = s.host[LOGGED]
        s.host[LOGGED] = at + 1
        log.clock[at] = clock
        log.count[at] = count
        log.gap[at] = gap
        log.command[at] = command
        log.channels[at] = c
        log.bank[at] = bank
        log.row[at] = row
        log.column[at] = column
        log.step[at] = step


def effect(t: Tables, s: State, c: int, command: int, bank: int, row: int, clock: int) -> None:
    """Open and close rows, and switch the mode, as a command does."""
    first = c * t.banks
    was = s.opened[c]
    if command == ACT:
        s.open_row[first + bank] = row
        s.opened[c] = was + 1
        if was + 1 == t.banks:
            s.same[c] = row
            for other in range(first, first + t.banks):
                if s.open_row[other] != row:
                    s.same[c] = -1
    elif command == ACT16:
        for other in range(first, first + t.banks):
            s.open_row[other] = row
        s.opened[c] = t.banks
        s.same[c] = row
    elif command == PRE:
        s.open_row[first + bank] = -1
        s.opened[c] = was - 1
        s.same[c] = -1
    elif command in (PREA, WRA16):
        for other in range(first, first + t.banks):
            s.open_row[other] = -1
        s.opened[c] = 0
        s.same[c] = -1
    elif command == TMOD:
        s.mode[c] = 1 - s.mode[c]
    if was == 0 and s.opened[c] > 0:
        s.open_since[c] = clock
    elif was > 0 and s.opened[c] == 0:
        s.open_clocks[c] += clock - s.open_since[c]


def prerequisite(t: Tables, s: State, c: int, command: int, rows: int, bank: int, row: int) -> int:
    """Return the command that a request needs next: its own, or one that opens or closes rows."""
    first = c * t.banks
    if rows == 2:
        if s.same[c] == row:
            return command
        for other in range(first, first + t.banks):
            if s.open_row[other] != -1 and s.open_row[other] != row:
                return PREA
        return ACT16
    if rows == 1:
        found = s.open_row[first + bank]
        if found == row:
            return command
        return ACT if found == -1 else PRE
    if command == REFAB and s.opened[c] > 0:
        return PREA
    if command == REFPB and s.open_row[first + bank] != -1:
        return PRE
    return command


def next_refresh(t: Tables, s: State, c: int) -> tuple[int, int, int, int, bool]:
    """Return a refresh's next command, its bank, clock and cause, and whether TMOD comes first."""
    final, bank = REFAB, -1
    if t.per_bank:
        final, bank = REFPB, s.served[c] % t.banks
    command = prerequisite(t, s, c, final, 0, bank, -1)
    clock, cause = earliest(t, s, c, command, bank)
    switch = t.modes == 1 and s.mode[c] == 1
    if switch:
        other, why = earliest(t, s, c, TMOD, bank)
        if other > clock:
            clock, cause = other, why
    return command, bank, clock, cause, switch


def refresh(t: Tables, s: State, log: Log, c: int, start: int) -> None:
    """Carry one refresh through, from a clock on; nothing else issues until it has."""
    kind = BY_REFPB if t.per_bank else BY_REFAB
    while True:
        command, bank, clock, cause, switch = next_refresh(t, s, c)
        clock = max(clock, start)
        s.stalls[(c * t.causes + cause) * KINDS + kind] += clock - start
        if switch:
            command = TMOD
        issue(t, s, log, c, command, bank, -1, -1, 0, clock, 1, 1)
        effect(t, s, c, command, bank, -1, clock)
        start = clock + 1
        if command in (REFAB, REFPB):
            s.served[c] += 1
            return


def enqueue(t: Tables, s: State, c: int, clock: int, count: int, gap: int) -> None:
    """Note when a run of requests left the queue, as far back as the queue is long."""
    first = s.index[c]
    s.index[c] = first + count
    ring, size = c * (t.queue + 2), t.queue + 2
    head = s.head[c] + 1
    s.head[c] = head
    s.run_first[ring + head % size] = first
    s.run_clock[ring + head % size] = clock
    s.run_gap[ring + head % size] = gap
    oldest, tail = first + count - 1 - t.queue, s.tail[c]
    while tail < head and s.run_first[ring + (tail + 1) % size] <= oldest:
        tail += 1
    s.tail[c] = tail


def accepted(t: Tables, s: State, c: int) -> int:
    """Return the clock at which the queue had room for the last request served."""
    wanted = s.index[c] - 1 - t.queue
    if wanted < 0:
        return 0
    at = c * (t.queue + 2) + s.tail[c] % (t.queue + 2)
    return s.run_clock[at] + (wanted - s.run_first[at]) * s.run_gap[at] + 1


def make_way(
    t: Tables, s: State, log: Log, c: int, op: int, clock: int, cause: int, decode: int
) -> bool:
    """Refresh where that comes before a request that could issue at a clock; say whether it did."""
    ahead = s.last[c] + 1
    due = (s.served[c] + 1) * t.interval
    urgent = due + t.postponed * t.interval
    start = max(due, ahead)
    idle = t.postponed > 0 and start < decode and max(next_refresh(t, s, c)[2], start) < decode
    if not idle:
        if clock < urgent:
            return False
        start = max(urgent, ahead)
    empty = max(min(decode, start) - ahead, 0)
    s.stalls[(c * t.causes + HOST) * KINDS + op] += empty
    s.stalls[(c * t.causes + cause) * KINDS + op] += start - ahead - empty
    refresh(t, s, log, c, start)
    s.host[STUCK] = s.host[STUCK] + 1 if s.last[c] >= decode else 0
    if s.host[STUCK] > MOST_STUCK:
        s.host[STATUS] = STARVED
    return True


def step(t: Tables, s: State, log: Log, p: Requests, i: int, c: int, done: int, decode: int) -> int:
    """Issue the next command, or run of commands, of an instruction; return the requests served."""
    op, command, mode, bank, row = p.op[i], p.command[i], p.mode[i], p.bank[i], p.row[i]
    ahead = s.last[c] + 1
    begin = max(decode, ahead)
    wanted, switch = command, False
    if command in (SYNC, EOC):
        clock, cause = s.completed[c], COMPLETION
    else:
        wanted = prerequisite(t, s, c, command, p.rows[i], bank, row)
        clock, cause = earliest(t, s, c, wanted, bank)
        if t.modes == 1 and s.mode[c] != mode:
            switch = True
            other, why = earliest(t, s, c, TMOD, bank)
            if other > clock:
                clock, cause = other, why
    clock = max(clock, begin)
    if t.interval > 0 and make_way(t, s, log, c, op, clock, cause, decode):
        return 0
    s.stalls[(c * t.causes + HOST) * KINDS + op] += begin - ahead
    s.stalls[(c * t.causes + cause) * KINDS + op] += clock - begin
    column = p.column[i] + done * p.stride[i]
    if switch or wanted != command:
        if switch:
            wanted = TMOD
        issue(t, s, log, c, wanted, bank, row, column, 0, clock, 1, 1)
        effect(t, s, c, wanted, bank, row, clock)
        return 0
    count, gap = 1, max(t.self_wait[command], 1)
    if done + 1 < p.size[i] and t.self_wait[command] > 0:
        count = p.size[i] - done
        if t.interval > 0:
            urgent = (s.served[c] + 1 + t.postponed) * t.interval
            count = min(count, (urgent - 1 - clock) // gap + 1)
        cause = t.self_cause[command]
        s.stalls[(c * t.causes + cause) * KINDS + op] += (count - 1) * (gap - 1)
    enqueue(t, s, c, clock, count, gap)
    s.host[STUCK] = 0
    if command in (SYNC, EOC):
        s.last[c] = clock
        return 1
    issue(t, s, log, c, command, bank, row, column, p.stride[i], clock, count, gap)
    s.completed[c] = max(s.completed[c], s.last[c] + t.latency[command])
    if command == WRA16:
        effect(t, s, c, command, bank, row, clock)
    return count


def advance(t: Tables, s: State, log: Log, p: Requests) -> int:
    """Run a program from where the host stands to its end, or until the log is full.

    Returns
    -------
    int
        ``RUNNING`` at the end or after an EOC; ``FULL``: empty the log, call again; ``STARVED``.
    """
    host = s.host
    while host[AT] < len(p.op):
        i, decode = host[AT], host[DECODE]
        command = p.command[i]
        if command >= 0 and p.size[i] > 0:
            mask = p.mask[i]
            for position in range(p.class_at[mask] + host[CLASS], p.class_at[mask + 1]):
                c = p.classes[position]
                while host[DONE] < p.size[i]:
                    if len(log.clock) > 0 and host[LOGGED] + ROOM > len(log.clock):
                        return FULL
                    host[DONE] += step(t, s, log, p, i, c, host[DONE], decode)
                    if host[STATUS] == STARVED:
                        return STARVED
                host[DONE] = 0
                host[CLASS] += 1
                host[ACCEPTED] = max(host[ACCEPTED], accepted(t, s, c))
                if p.blocks[i] == 1:
                    host[RESUME] = max(host[RESUME], s.last[c] + t.latency[command] + 1)
                if command in (SYNC, EOC):
                    host[FINISH] = max(host[FINISH], s.last[c] + 1)
        host[AT] = i + 1
        next_decode(t, s)
        if command == EOC:
            break
    return RUNNING


def next_decode(t: Tables, s: State) -> None:
    """Move the host on to the clock of its next decode."""
    host = s.host
    taken = max(host[DECODE], host[ACCEPTED])
    if host[RESUME] > 0:
        host[DECODE], host[DECODED] = host[RESUME], 0
    elif taken == host[DECODE] and host[DECODED] + 1 < t.host_per_clock:
        host[DECODED] += 1
    else:
        host[DECODE], host[DECODED] = taken + 1, 0
    host[CLASS], host[ACCEPTED], host[RESUME] = 0, 0, 0
