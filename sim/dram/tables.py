"""A device's rules, a program and the channels' state as flat rows of integers for the kernel.

Owns where each number lies, and how the three rows are made. The same rows are lists for Python and
arrays for compiled code. Imports the device and the instruction set.

``rules``
    Numbers of the device and the run at ``T_*``; then, a command an entry, ``SCOPE``,
    ``SELF_WAIT``, ``SELF_CAUSE`` and ``LATENCY``; then ``FOLLOW_AT``: who waits after command x at
    level v is the range from entry ``v * WIDTH + x`` to the next, three numbers each (command,
    wait, cause); then the windowed constraints, ``WINDOW_FIELDS`` numbers each. Last, from
    ``rules[T_SPANS]`` on, the same as it is walked, in pairs of first and last places. Pair
    ``x * (banks + 1) + k + 1``: which commands of single banks wait after command x of bank k (-1:
    none): where in a class's block, and how long by which cause, as ``wait << SHIFT | cause``.
    After these, pair x: after which commands a command x of the whole channel waits: the same two
    numbers, the longest first.
``state``
    The host at ``AT`` to ``STATUS``; from ``CLASSES`` on one block of ``rules[T_BLOCK]`` numbers
    for each class of identical channels: ``LAST`` to ``TAIL``, then parts that begin at
    ``rules[T_*]``.
``program``
    ``FIELDS`` numbers an instruction, in the order ``P_*``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from gateformer.hw.pim.device import Constraint, Device, Level
from gateformer.hw.pim.isa import COMMANDS, OPS, SCOPES, Instruction
from gateformer.quant.errors import PimError
from gateformer.sim.dram.refresh import Refresh

Row: TypeAlias = Any
"""A list of int, or an int64 array: what is indexed by position."""

NUMBER: Mapping[str, int] = {name: number for number, name in enumerate(COMMANDS)}
WIDTH = len(COMMANDS)
LEVELS: tuple[Level, ...] = ("channel", "bankgroup", "bank")
CAUSED_BY = (*OPS, "REFab", "REFpb")
"""What clocks are charged to: an instruction, or a refresh."""
KINDS = len(CAUSED_BY)
OP_NUMBER = {name: number for number, name in enumerate(CAUSED_BY)}
OTHER_CAUSES = ("host", "completion")
"""Waits that no constraint explains: the queue is empty; SYNC or EOC waits for data."""
HOST, COMPLETION = range(2)
MODES = {"array": 0, "register": 1, "none": 2}
ROWS = {"none": 0, "one": 1, "all": 2}
AF_ROW = 1 << 29
"""AF asks for this row plus the register AFM, so that its banks are opened anew."""
AFM = 2
"""Number of the register that AF reads."""

NEVER = 1 << 50
"""A clock that no run reaches."""
SHIFT = 10
CAUSE = (1 << SHIFT) - 1
"""A clock and what it is waited for go as one number, ``clock << SHIFT | cause``."""

(
    T_GROUPS, T_BANKS, T_PER_GROUP, T_MODES, T_INTERVAL, T_POSTPONED, T_PER_BANK, T_QUEUE,
    T_PER_CLOCK, T_CAUSES, T_READY, T_LASTS, T_ROWS, T_RUNS, T_RING, T_SEEN, T_COUNTS,
    T_BANK_COUNTS, T_STALLS, T_BLOCK, T_WINDOW_AT, T_WINDOWS, T_SPANS, SCOPE,
) = range(24)  # fmt: skip
SELF_WAIT = SCOPE + WIDTH
SELF_CAUSE = SELF_WAIT + WIDTH
LATENCY = SELF_CAUSE + WIDTH
FOLLOW_AT = LATENCY + WIDTH
WINDOW_FIELDS = 8
"""Level, after, before, wait, cause, size, place of its clocks, place of its counts."""

(
    AT, CLASS, DONE, DECODE, DECODED, ACCEPTED, RESUME, FINISH, LOGGED, DISTINCT, STUCK, STATUS,
    CLASSES,
) = range(13)  # fmt: skip
(
    LAST, COMPLETED, MODE, SERVED, DUE, OPENED, SAME, OPEN_SINCE, OPEN_CLOCKS, INDEX, HEAD, TAIL,
    SCALARS,
) = range(13)  # fmt: skip
(
    P_OP, P_COMMAND, P_MODE, P_ROWS, P_BLOCKS, P_STRIDE, P_SIZE, P_BANK, P_COLUMN, P_MASK, P_ROW,
    FIELDS,
) = range(12)  # fmt: skip


def latencies(timing: Mapping[str, int]) -> dict[str, int]:
    """Return each command's clocks from issue to completion; a time that is not given counts 0.

    Source: the public AiM simulator's table of latencies.
    """
    names = ("nCLREG", "nCWLGB", "nCWLREG", "nCL", "nCWL", "nBL", "nRP")
    register, buffer, bias, read, write, burst, close = (timing.get(name, 0) for name in names)
    known = {
        "RDMAC16": register + burst,
        "RDAF16": register + burst,
        "WRGB": buffer + burst,
        "WRMAC16": bias + burst,
        "RD": read + burst,
        "WR": write + burst,
        "WRA16": write + burst + close,
    }
    return {name: known.get(name, 1) for name in COMMANDS}


def rules(
    device: Device, refresh: Refresh, strict: bool, queue: int, host_per_clock: int
) -> tuple[list[int], tuple[str, ...]]:
    """Return a device's rules, and the texts of what a wait may be caused by.

    Of parallel constraints the longest is kept, and none that cannot bind.
    """
    follow, windows, causes = _constraints(device, strict, _issued(refresh, device))
    if len(causes) > CAUSE:
        why = f"It has {len(causes)} different waits; the most is {CAUSE}"
        raise PimError("E804", "malformed device file", layer=device.name, cause=why)
    sizes = device.organization
    instances = (1, sizes.bank_groups, sizes.banks)
    ring = seen = 0
    placed: list[int] = []
    for level, after, before, wait, cause, size in windows:
        placed += (level, after, before, wait, cause, size, ring, seen)
        ring += size * instances[level]
        seen += instances[level]
    at, part = [], SCALARS
    for length in (
        WIDTH * sum(instances), WIDTH, sizes.banks, 3 * (queue + 2), ring, seen, WIDTH,
        WIDTH * sizes.banks, len(causes) * KINDS,
    ):  # fmt: skip
        at.append(part)
        part += length
    spans: list[int] = []
    flat: list[int] = []
    for level in range(len(LEVELS)):
        for after in range(WIDTH):
            spans.append(FOLLOW_AT + 3 * WIDTH + 1 + len(flat))
            for before, (wait, cause) in follow.get((level, after), {}).items():
                flat += (before, wait, cause)
    spans.append(FOLLOW_AT + 3 * WIDTH + 1 + len(flat))
    ends = FOLLOW_AT + 3 * WIDTH + 1 + len(flat)
    own = [max([(1, 0), *_own(follow, command)]) for command in range(WIDTH)]
    alone = {NUMBER["WRA16"], *(entry[1] for entry in windows)}  # never issued as runs
    waits = latencies(device.timing)
    found = [
        *(sizes.bank_groups, sizes.banks, sizes.banks_per_group, int(sizes.modes)),
        *(refresh.interval(device), refresh.postponed, int(refresh.policy == "per-bank")),
        *(queue, host_per_clock, len(causes)),
        *(*at, part, ends, len(windows), ends + len(placed)),
        *(LEVELS.index(SCOPES.get(name, "channel")) for name in COMMANDS),
        *(0 if command in alone else own[command][0] for command in range(WIDTH)),
        *(cause for _, cause in own),
        *(waits[name] for name in COMMANDS),
        *spans,
        *flat,
        *placed,
    ]
    found += _spans(device, follow, at[0], at[1], len(found))
    return found, tuple(causes)


Follow: TypeAlias = dict[tuple[int, int], dict[int, tuple[int, int]]]
"""Level and command to who waits, how long, and by which cause."""


def _constraints(
    device: Device, strict: bool, issued: frozenset[int]
) -> tuple[Follow, list[tuple[int, int, int, int, int, int]], dict[str, int]]:
    causes = {name: number for number, name in enumerate(OTHER_CAUSES)}
    follow: Follow = {}
    windows: list[tuple[int, int, int, int, int, int]] = []
    constraints = (*device.constraints, *(device.strict if strict else ()))
    for level, name in enumerate(LEVELS):
        for one in (one for one in constraints if one.level == name):
            for after, before in _pairs(one, issued):
                cause = causes.setdefault(one.text, len(causes))
                if one.window > 1:
                    windows.append((level, after, before, one.wait, cause, one.window))
                    continue
                # One command a clock: a wait of 1 never binds, nor one that a wider level covers.
                wider = (follow.get((above, after), {}).get(before) for above in range(level + 1))
                if one.wait > max((1, *(known[0] for known in wider if known))):
                    follow.setdefault((level, after), {})[before] = (one.wait, cause)
    return follow, windows, causes


def _spans(device: Device, follow: Follow, ready: int, lasts: int, start: int) -> list[int]:
    """Return who waits after each command of each bank, and after whom each channel command waits.

    Commands of single banks are told when they may issue; those of the whole channel, of which
    there are fewer, look back at what was issued last.
    """
    sizes = device.organization
    single = {number for number, name in enumerate(COMMANDS) if SCOPES.get(name) == "bank"}
    pairs: list[int] = []
    entries: list[int] = []
    start += 2 * WIDTH * (sizes.banks + 2)
    for command in range(WIDTH):
        for bank in range(-1, sizes.banks):
            deep = command in single and bank >= 0
            places = (0, 1 + bank // sizes.banks_per_group, 1 + sizes.bank_groups + bank)
            pairs.append(start + len(entries))
            for level, place in enumerate(places[: 3 if deep else 1]):
                for before, (wait, cause) in follow.get((level, command), {}).items():
                    if before in single:
                        entries += (ready + place * WIDTH + before, wait << SHIFT | cause)
            pairs.append(start + len(entries))
    for command in range(WIDTH):
        pairs.append(start + len(entries))
        held = [(after, follow.get((0, after), {}).get(command)) for after in range(WIDTH)]
        if command not in single:
            found = sorted(((*known, after) for after, known in held if known), reverse=True)
            for wait, cause, after in found:
                entries += (lasts + after, wait << SHIFT | cause)
        pairs.append(start + len(entries))
    return pairs + entries


def _issued(refresh: Refresh, device: Device) -> frozenset[int]:
    """Return the commands that a run may issue."""
    names = {op.command for op in OPS.values() if op.command} | {"ACT", "ACT16", "PRE", "PREA"}
    names |= {"TMOD"} if device.organization.modes else set()
    names |= {"all-bank": {"REFab"}, "per-bank": {"REFpb"}}.get(refresh.policy, set())
    return frozenset(NUMBER[name] for name in names)


def _pairs(one: Constraint, issued: frozenset[int]) -> Iterator[tuple[int, int]]:
    for after in (NUMBER[name] for name in one.after):
        for before in (NUMBER[name] for name in one.before):
            if after in issued and before in issued:
                yield after, before


def _own(follow: Follow, command: int) -> Iterator[tuple[int, int]]:
    for level in range(len(LEVELS)):
        known = follow.get((level, command), {})
        if command in known:
            yield known[command]


def state(found: Sequence[int]) -> list[int]:
    """Return the state at power-up: one class, array mode, all rows closed, nothing issued."""
    host = [0] * CLASSES
    host[DECODE] = 1
    block = [0] * found[T_BLOCK]
    block[SAME] = block[HEAD] = -1
    block[DUE] = found[T_INTERVAL] or NEVER
    block[found[T_LASTS] : found[T_LASTS] + WIDTH] = [-NEVER] * WIDTH
    block[found[T_ROWS] : found[T_ROWS] + found[T_BANKS]] = [-1] * found[T_BANKS]
    return host + block


_OPS = {
    name: (
        OP_NUMBER[name],
        -1 if op.command is None else NUMBER[op.command],
        MODES[op.mode],
        ROWS[op.rows],
        int(op.blocks),
        0 if name in ("RD_MEM", "WR_MEM", "SYNC", "EOC") else 1,
    )
    for name, op in OPS.items()
}
"""Instruction to op, command, mode, rows, blocks, and the step from one column to the next."""


def program(
    instructions: Sequence[Instruction], everywhere: int, register: int
) -> tuple[list[int], tuple[int, ...], int]:
    """Return a program's row, its distinct masks, and the register AFM after it.

    Parameters
    ----------
    instructions : sequence of Instruction
        The program.
    everywhere : int
        Mask of all channels.
    register : int
        What AFM holds before it.
    """
    masks: dict[int, int] = {}
    found: list[int] = []
    for one in instructions:
        kind = _OPS[one.op]
        mask, row = one.channels, one.row
        if one.op in ("SYNC", "EOC"):
            mask = everywhere
        elif one.op == "AF":
            row = AF_ROW + register
        elif one.op == "W_CFR" and one.address == AFM:
            register = one.value
        found += kind
        found += (
            one.size,
            one.bank,
            one.column if kind[5] else -1,
            masks.setdefault(mask, len(masks)),
            row,
        )
    return found, tuple(masks), register
