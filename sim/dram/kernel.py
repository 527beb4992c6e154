"""The memory's commands in order of time: each jumps to the first clock at which it is legal.

One body of code over flat rows of integers: plain Python walks lists with it, and ``compiled``
gives the same functions translated by numba, which walk arrays. Owns what a command does to a
channel and when it may issue. Imports where the numbers lie.

``t`` is the rules, ``s`` the state, ``b`` where a class's block begins in it, ``log`` the log,
``p`` the program and ``q`` the classes of each mask. A class stands for channels that are in the
same state and get the same requests. Requests of one kind to one row are issued as a run: after the
first, only their own distance and the next refresh bind, as no other command comes between.
"""

from __future__ import annotations

from gateformer.sim.dram.tables import (
    ACCEPTED,
    AT,
    CAUSE,
    CLASS,
    CLASSES,
    COMPLETED,
    COMPLETION,
    DECODE,
    DECODED,
    DISTINCT,
    DONE,
    DUE,
    FIELDS,
    FINISH,
    HEAD,
    HOST,
    INDEX,
    KINDS,
    LAST,
    LATENCY,
    LEVELS,
    LOGGED,
    MODE,
    NUMBER,
    OP_NUMBER,
    OPEN_CLOCKS,
    OPEN_SINCE,
    OPENED,
    P_BANK,
    P_BLOCKS,
    P_COLUMN,
    P_COMMAND,
    P_MASK,
    P_MODE,
    P_ROW,
    P_ROWS,
    P_SIZE,
    P_STRIDE,
    RESUME,
    SAME,
    SCOPE,
    SELF_CAUSE,
    SELF_WAIT,
    SERVED,
    SHIFT,
    STATUS,
    STUCK,
    T_BANK_COUNTS,
    T_BANKS,
    T_BLOCK,
    T_COUNTS,
    T_GROUPS,
    T_INTERVAL,
    T_LASTS,
    T_MODES,
    T_PER_BANK,
    T_PER_CLOCK,
    T_PER_GROUP,
    T_POSTPONED,
    T_QUEUE,
    T_READY,
    T_RING,
    T_ROWS,
    T_RUNS,
    T_SEEN,
    T_SPANS,
    T_STALLS,
    T_WINDOW_AT,
    T_WINDOWS,
    TAIL,
    WIDTH,
    WINDOW_FIELDS,
    Row,
)

ACT, ACT16, PRE, PREA = (NUMBER[name] for name in ("ACT", "ACT16", "PRE", "PREA"))
WRA16, TMOD, SYNC, EOC = (NUMBER[name] for name in ("WRA16", "TMOD", "SYNC", "EOC"))
REFAB, REFPB = NUMBER["REFab"], NUMBER["REFpb"]
BY_REFAB, BY_REFPB = OP_NUMBER["REFab"], OP_NUMBER["REFpb"]
BANK = LEVELS.index("bank")
LOG_FIELDS = 9
"""Clock, count, gap, command, class, bank, row, column, step of a run of commands."""
ROOM = 8 * LOG_FIELDS
"""Numbers of the log that one step may need."""
MOST_STUCK = 10_000
"""Refreshes in a row, with a request waiting, after which there is no room for work."""
ENDED, FULL, STARVED = range(3)
"""Why ``advance`` returned: the program has ended, the log is full, refresh leaves no room."""


def earliest(t: Row, s: Row, b: int, command: int, bank: int) -> int:
    """Return the first clock at which nothing holds a command back, and what did, as one number."""
    at = b + t[T_READY] + command
    best = s[at]
    if t[SCOPE + command] == BANK:
        near = s[at + (1 + bank // t[T_PER_GROUP]) * WIDTH]
        if near > best | CAUSE:
            best = near
        near = s[at + (1 + t[T_GROUPS] + bank) * WIDTH]
        return near if near > best | CAUSE else best
    pair = t[T_SPANS] + 2 * (WIDTH * (t[T_BANKS] + 1) + command)
    for entry in range(t[pair], t[pair + 1], 2):
        until = s[b + t[entry]] + t[entry + 1]
        if until > best | CAUSE:
            best = until
    return best


def widen(t: Row, s: Row, b: int, bank: int, command: int, clock: int) -> None:
    """Note a command in every window that counts it, and hold back what the window does."""
    for number in range(t[T_WINDOWS]):
        entry = t[T_WINDOW_AT] + number * WINDOW_FIELDS
        if t[entry + 1] != command:
            continue
        instance, at = 0, b + t[T_READY]
        if t[entry] == 1:
            instance = bank // t[T_PER_GROUP]
            at += (1 + instance) * WIDTH
        elif t[entry] == BANK:
            instance = bank
            at += (1 + t[T_GROUPS] + bank) * WIDTH
        size = t[entry + 5]
        ring = b + t[T_RING] + t[entry + 6] + instance * size
        counted = b + t[T_SEEN] + t[entry + 7] + instance
        s[ring + s[counted] % size] = clock
        s[counted] += 1
        if s[counted] >= size:
            until = s[ring + s[counted] % size] + t[entry + 3]
            held = at + t[entry + 2]
            if until > s[held] >> SHIFT:
                s[held] = until << SHIFT | t[entry + 4]


def issue(
    t: Row, s: Row, log: Row, b: int, command: int, bank: int, row: int, column: int, step: int,
    clock: int, count: int, gap: int,
) -> None:  # fmt: skip
    """Issue a run of one command: count it, log it, and tell single banks how long they wait."""
    final = clock + (count - 1) * gap
    s[b + LAST] = final
    shifted = final << SHIFT
    s[b + t[T_LASTS] + command] = shifted
    s[DISTINCT] += count
    s[b + t[T_COUNTS] + command] += count
    if t[SCOPE + command] == BANK:
        s[b + t[T_BANK_COUNTS] + bank * WIDTH + command] += count
    pair = t[T_SPANS] + 2 * (command * (t[T_BANKS] + 1) + bank + 1)
    for entry in range(t[pair], t[pair + 1], 2):
        held = b + t[entry]
        until = shifted + t[entry + 1]
        if until > s[held] | CAUSE:
            s[held] = until
    if t[T_WINDOWS] > 0:
        widen(t, s, b, bank, command, clock)
    if len(log) > 0:
        at = s[LOGGED]
        s[LOGGED] = at + LOG_FIELDS
        log[at] = clock
        log[at + 1] = count
        log[at + 2] = gap
        log[at + 3] = command
        log[at + 4] = (b - CLASSES) // t[T_BLOCK]
        log[at + 5] = bank
        log[at + 6] = row
        log[at + 7] = column
        log[at + 8] = step


def effect(t: Row, s: Row, b: int, command: int, bank: int, row: int, clock: int) -> None:
    """Open and close rows, and switch the mode, as a command does."""
    first, banks = b + t[T_ROWS], t[T_BANKS]
    was = s[b + OPENED]
    if command == ACT:
        s[first + bank] = row
        s[b + OPENED] = was + 1
        if was + 1 == banks:
            s[b + SAME] = row
            for other in range(first, first + banks):
                if s[other] != row:
                    s[b + SAME] = -1
    elif command == ACT16:
        for other in range(first, first + banks):
            s[other] = row
        s[b + OPENED] = banks
        s[b + SAME] = row
    elif command == PRE:
        s[first + bank] = -1
        s[b + OPENED] = was - 1
        s[b + SAME] = -1
    elif command in (PREA, WRA16):
        for other in range(first, first + banks):
            s[other] = -1
        s[b + OPENED] = 0
        s[b + SAME] = -1
    elif command == TMOD:
        s[b + MODE] = 1 - s[b + MODE]
    if was == 0 and s[b + OPENED] > 0:
        s[b + OPEN_SINCE] = clock
    elif was > 0 and s[b + OPENED] == 0:
        s[b + OPEN_CLOCKS] += clock - s[b + OPEN_SINCE]


def prerequisite(t: Row, s: Row, b: int, command: int, rows: int, bank: int, row: int) -> int:
    """Return the command that a request needs next: its own, or one that opens or closes rows."""
    first = b + t[T_ROWS]
    if rows == 2:
        if s[b + SAME] == row:
            return command
        for other in range(first, first + t[T_BANKS]):
            if s[other] != -1 and s[other] != row:
                return PREA
        return ACT16
    if rows == 1:
        found = s[first + bank]
        if found == row:
            return command
        return ACT if found == -1 else PRE
    if command == REFAB and s[b + OPENED] > 0:
        return PREA
    if command == REFPB and s[first + bank] != -1:
        return PRE
    return command


def next_refresh(t: Row, s: Row, b: int) -> tuple[int, int, int, bool]:
    """Return a refresh's next command, its bank, its clock and cause, and if TMOD comes first."""
    final, bank = REFAB, -1
    if t[T_PER_BANK] == 1:
        final, bank = REFPB, s[b + SERVED] % t[T_BANKS]
    command = prerequisite(t, s, b, final, 0, bank, -1)
    best = earliest(t, s, b, command, bank)
    switch = t[T_MODES] == 1 and s[b + MODE] == 1
    if switch:
        other = earliest(t, s, b, TMOD, bank)
        if other > best | CAUSE:
            best = other
    return command, bank, best, switch


def refresh(t: Row, s: Row, log: Row, b: int, start: int) -> None:
    """Carry one refresh through, from a clock on; nothing else issues until it has."""
    kind = BY_REFPB if t[T_PER_BANK] == 1 else BY_REFAB
    while True:
        command, bank, best, switch = next_refresh(t, s, b)
        clock = max(best >> SHIFT, start)
        s[b + t[T_STALLS] + (best & CAUSE) * KINDS + kind] += clock - start
        if switch:
            command = TMOD
        issue(t, s, log, b, command, bank, -1, -1, 0, clock, 1, 1)
        effect(t, s, b, command, bank, -1, clock)
        start = clock + 1
        if command in (REFAB, REFPB):
            s[b + SERVED] += 1
            s[b + DUE] += t[T_INTERVAL]
            return


def enqueue(t: Row, s: Row, b: int, clock: int, count: int, gap: int) -> None:
    """Note when a run of requests left the queue, as far back as the queue is long."""
    first, head, tail = s[b + INDEX], s[b + HEAD] + 1, s[b + TAIL]
    size = t[T_QUEUE] + 2
    ring = b + t[T_RUNS]
    at = ring + head % size * 3
    s[at], s[at + 1], s[at + 2] = first, clock, gap
    oldest = first + count - 1 - t[T_QUEUE]
    while tail < head and s[ring + (tail + 1) % size * 3] <= oldest:
        tail += 1
    s[b + INDEX], s[b + HEAD], s[b + TAIL] = first + count, head, tail


def accepted(t: Row, s: Row, b: int) -> int:
    """Return the clock at which the queue had room for the last request served."""
    wanted = s[b + INDEX] - 1 - t[T_QUEUE]
    if wanted < 0:
        return 0
    at = b + t[T_RUNS] + s[b + TAIL] % (t[T_QUEUE] + 2) * 3
    return s[at + 1] + (wanted - s[at]) * s[at + 2] + 1


def make_way(
    t: Row, s: Row, log: Row, b: int, op: int, clock: int, cause: int, decode: int
) -> bool:
    """Refresh where that comes before a request that could issue at a clock; say whether it did."""
    ahead = s[b + LAST] + 1
    due = s[b + DUE]
    urgent = due + t[T_POSTPONED] * t[T_INTERVAL]
    start = max(due, ahead)
    idle = t[T_POSTPONED] > 0 and start < decode and next_refresh(t, s, b)[2] >> SHIFT < decode
    if not idle:
        if clock < urgent:
            return False
        start = max(urgent, ahead)
    empty = max(min(decode, start) - ahead, 0)
    stalls = b + t[T_STALLS] + op
    s[stalls + HOST * KINDS] += empty
    s[stalls + cause * KINDS] += start - ahead - empty
    refresh(t, s, log, b, start)
    s[STUCK] = s[STUCK] + 1 if s[b + LAST] >= decode else 0
    if s[STUCK] > MOST_STUCK:
        s[STATUS] = STARVED
    return True


def serve(t: Row, s: Row, log: Row, p: Row, i: int, b: int, decode: int) -> bool:
    """Serve an instruction's requests in one class of channels; say whether all are served."""
    op, command, size, column = p[i], p[i + P_COMMAND], p[i + P_SIZE], p[i + P_COLUMN]
    rows, bank, row, stride = p[i + P_ROWS], p[i + P_BANK], p[i + P_ROW], p[i + P_STRIDE]
    switches = t[T_MODES] == 1 and s[b + MODE] != p[i + P_MODE]
    stalls, open_row = b + t[T_STALLS] + op, b + t[T_ROWS] + bank
    done = s[DONE]
    while done < size:
        if len(log) > 0 and s[LOGGED] + ROOM > len(log):
            s[DONE] = done
            return False
        wanted = command
        if rows == 1:
            if s[open_row] != row:
                wanted = ACT if s[open_row] == -1 else PRE
        elif rows == 2 and s[b + SAME] != row:
            wanted = prerequisite(t, s, b, command, rows, bank, row)
        best = earliest(t, s, b, wanted, bank)
        switch = switches and s[b + MODE] != p[i + P_MODE]
        if switch:
            wanted = TMOD
            other = earliest(t, s, b, TMOD, bank)
            if other > best | CAUSE:
                best = other
        clock = best >> SHIFT
        ahead = s[b + LAST] + 1
        begin = decode if decode > ahead else ahead
        if clock < begin:
            clock = begin
        if clock >= s[b + DUE] and make_way(t, s, log, b, op, clock, best & CAUSE, decode):
            if s[STATUS] == STARVED:
                return False
            switches = t[T_MODES] == 1
            continue
        if begin > ahead:
            s[stalls + HOST * KINDS] += begin - ahead
        if clock > begin:
            s[stalls + (best & CAUSE) * KINDS] += clock - begin
        if wanted != command:
            issue(t, s, log, b, wanted, bank, row, column + done * stride, 0, clock, 1, 1)
            effect(t, s, b, wanted, bank, row, clock)
            continue
        count, gap = 1, 1
        if done + 1 < size and t[SELF_WAIT + command] > 0:
            gap = t[SELF_WAIT + command]
            urgent = s[b + DUE] + t[T_POSTPONED] * t[T_INTERVAL]
            count = min(size - done, (urgent - 1 - clock) // gap + 1)
            s[stalls + t[SELF_CAUSE + command] * KINDS] += (count - 1) * (gap - 1)
        issue(t, s, log, b, command, bank, row, column + done * stride, stride, clock, count, gap)
        enqueue(t, s, b, clock, count, gap)
        done += count
        if command == WRA16:
            effect(t, s, b, command, bank, row, clock)
    completed = s[b + LAST] + t[LATENCY + command]
    if completed > s[b + COMPLETED]:
        s[b + COMPLETED] = completed
    s[DONE] = s[STUCK] = 0
    return True


def wait_for_all(t: Row, s: Row, log: Row, b: int, op: int, decode: int) -> bool:
    """Let SYNC or EOC through the queue once all has completed; say whether it went."""
    while True:
        if len(log) > 0 and s[LOGGED] + ROOM > len(log):
            return False
        ahead = s[b + LAST] + 1
        begin = max(decode, ahead)
        clock = max(s[b + COMPLETED], begin)
        if clock < s[b + DUE] or not make_way(t, s, log, b, op, clock, COMPLETION, decode):
            break
        if s[STATUS] == STARVED:
            return False
    stalls = b + t[T_STALLS] + op
    s[stalls + HOST * KINDS] += begin - ahead
    s[stalls + COMPLETION * KINDS] += clock - begin
    enqueue(t, s, b, clock, 1, 1)
    s[b + LAST] = clock
    s[FINISH] = max(s[FINISH], clock + 1)
    s[STUCK] = 0
    return True


def next_decode(t: Row, s: Row) -> None:
    """Move the host on to the clock of its next decode."""
    taken = s[DECODE] if s[DECODE] > s[ACCEPTED] else s[ACCEPTED]
    if s[RESUME] > 0:
        s[DECODE], s[DECODED] = s[RESUME], 0
    elif taken == s[DECODE] and s[DECODED] + 1 < t[T_PER_CLOCK]:
        s[DECODED] += 1
    else:
        s[DECODE], s[DECODED] = taken + 1, 0
    s[CLASS], s[ACCEPTED], s[RESUME] = 0, 0, 0


def advance(t: Row, s: Row, log: Row, p: Row, q: Row) -> int:
    """Run a program from where the host stands to its end, or until the log is full.

    Returns
    -------
    int
        ``ENDED`` at the end or after an EOC; ``FULL``: empty the log, call again; ``STARVED``.
    """
    while s[AT] * FIELDS < len(p):
        i, decode = s[AT] * FIELDS, s[DECODE]
        command = p[i + P_COMMAND]
        if command >= 0 and p[i + P_SIZE] > 0:
            mask = p[i + P_MASK]
            for position in range(q[mask] + s[CLASS], q[mask + 1]):
                b = CLASSES + q[position] * t[T_BLOCK]
                if command in (SYNC, EOC):
                    served = wait_for_all(t, s, log, b, p[i], decode)
                else:
                    served = serve(t, s, log, p, i, b, decode)
                if not served:
                    return STARVED if s[STATUS] == STARVED else FULL
                s[CLASS] += 1
                room = accepted(t, s, b)
                if room > s[ACCEPTED]:
                    s[ACCEPTED] = room
                if p[i + P_BLOCKS] == 1:
                    s[RESUME] = max(s[RESUME], s[b + LAST] + t[LATENCY + command] + 1)
        s[AT] += 1
        next_decode(t, s)
        if command == EOC:
            break
    return ENDED
