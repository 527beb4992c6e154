"""A device's rules and a program's requests as flat tables of integers, which the kernel walks.

Owns ``Tables``, ``Requests`` and ``State`` and how each is made. The same tables are lists for
Python and arrays for compiled code. Imports the device and the instruction set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from gateformer.hw.pim.device import Constraint, Device, Level
from gateformer.hw.pim.isa import COMMANDS, OPS, SCOPES, Instruction
from gateformer.sim.dram.refresh import Refresh

Ints: TypeAlias = Any
"""A list of int, or an int64 array: whatever is indexed by position."""

NUMBER: Mapping[str, int] = {name: number for number, name in enumerate(COMMANDS)}
WIDTH = len(COMMANDS)
LEVELS: tuple[Level, ...] = ("channel", "bankgroup", "bank")
REFRESHES = ("REFab", "REFpb")
CAUSED_BY = (*OPS, *REFRESHES)
"""What clocks are charged to: an instruction, or a refresh."""
OP_NUMBER = {name: number for number, name in enumerate(CAUSED_BY)}
HOST, COMPLETION = "host", "completion"
"""Waits that no constraint explains: the queue is empty; SYNC or EOC waits for data."""
MODES = {"array": 0, "register": 1, "none": 2}
ROWS = {"none": 0, "one": 1, "all": 2}
AF_ROW = 1 << 29
"""AF asks for this row plus the register AFM, so that its banks are opened anew."""
AFM = 2
"""Number of the register that AF reads."""


class Tables(NamedTuple):
    """The rules of a device, and the settings of a run.

    ``follow_at[level * WIDTH + command]`` to the next entry is the range of ``follow_command``,
    ``follow_wait`` and ``follow_cause``: who waits after that command, how long, and by which text.
    A windowed rule has one entry of ``window_*``; its clocks lie in a ring at ``window_ring``.
    """

    follow_at: Ints
    follow_command: Ints
    follow_wait: Ints
    follow_cause: Ints
    scope: Ints
    self_wait: Ints
    self_cause: Ints
    latency: Ints
    window_level: Ints
    window_after: Ints
    window_before: Ints
    window_wait: Ints
    window_cause: Ints
    window_size: Ints
    window_ring: Ints
    window_count: Ints
    windows: int
    ring_width: int
    count_width: int
    groups: int
    banks: int
    per_group: int
    width: int
    causes: int
    modes: int
    interval: int
    postponed: int
    per_bank: int
    queue: int
    host_per_clock: int


class Requests(NamedTuple):
    """A program: one entry an instruction; and which classes of channels each mask means."""

    op: Ints
    command: Ints
    mode: Ints
    rows: Ints
    blocks: Ints
    size: Ints
    mask: Ints
    bank: Ints
    row: Ints
    column: Ints
    stride: Ints
    class_at: Ints
    classes: Ints


class State(NamedTuple):
    """What the channels remember, by class of identical channels; ``host`` by the names below."""

    ready: Ints
    cause: Ints
    open_row: Ints
    last: Ints
    completed: Ints
    mode: Ints
    served: Ints
    opened: Ints
    same: Ints
    open_since: Ints
    open_clocks: Ints
    index: Ints
    head: Ints
    tail: Ints
    run_first: Ints
    run_clock: Ints
    run_gap: Ints
    window_clock: Ints
    window_seen: Ints
    counts: Ints
    bank_counts: Ints
    stalls: Ints
    host: Ints


PER_CHANNEL = State._fields[:-1]
AT, CLASS, DONE, DECODE, DECODED, ACCEPTED, RESUME, FINISH, LOGGED, DISTINCT, STUCK, STATUS = range(
    12
)
"""Positions of ``State.host``: where the host stands, and what it has seen of this instruction."""


class Log(NamedTuple):
    """Runs of commands as they are issued: ``count``, ``gap`` clocks and ``step`` columns apart."""

    clock: Ints
    count: Ints
    gap: Ints
    command: Ints
    channels: Ints
    bank: Ints
    row: Ints
    column: Ints
    step: Ints


def latencies(timing: Mapping[str, int]) -> dict[str, int]:
    """Return each command's clocks from issue to completion; a device without a time counts it 0.

    Source: the public AiM simulator's table of latencies.
    """
    t = {name: timing.get(name, 0) for name in _LATENCY_NAMES}
    known = {
        "RDMAC16": t["nCLREG"] + t["nBL"],
        "RDAF16": t["nCLREG"] + t["nBL"],
        "WRGB": t["nCWLGB"] + t["nBL"],
        "WRMAC16": t["nCWLREG"] + t["nBL"],
        "RD": t["nCL"] + t["nBL"],
        "WR": t["nCWL"] + t["nBL"],
        "WRA16": t["nCWL"] + t["nBL"] + t["nRP"],
    }
    return {name: known.get(name, 1) for name in COMMANDS}


_LATENCY_NAMES = ("nCLREG", "nCWLGB", "nCWLREG", "nCL", "nCWL", "nBL", "nRP")


def tables(
    device: Device, refresh: Refresh, strict: bool, queue: int, host_per_clock: int
) -> tuple[Tables, tuple[str, ...]]:
    """Return a device's rules, of parallel ones the longest, and the texts of the causes."""
    causes: dict[str, int] = {HOST: 0, COMPLETION: 1}
    follow: dict[tuple[int, int], dict[int, tuple[int, int]]] = {}
    windowed: list[tuple[int, int, int, int, int, int]] = []
    for one in (*device.constraints, *(device.strict if strict else ())):
        level = LEVELS.index(one.level)
        for after, before in _pairs(one):
            cause = causes.setdefault(one.text, len(causes))
            if one.window > 1:
                windowed.append((level, after, before, one.wait, cause, one.window))
                continue
            known = follow.setdefault((level, after), {})
            if one.wait > known.get(before, (1, 0))[0]:  # one command a clock: 1 never binds
                known[before] = (one.wait, cause)
    at, flat = [0], []
    for level in range(len(LEVELS)):
        for after in range(WIDTH):
            flat += [(b, *pair) for b, pair in follow.get((level, after), {}).items()]
            at.append(len(flat))
    own = [max([(1, 0), *_own(follow, number)]) for number in range(WIDTH)]
    alone = {NUMBER["WRA16"], *(entry[1] for entry in windowed)}  # never issued as runs
    organization = device.organization
    instances = (1, organization.bank_groups, organization.banks)
    rings, counts, ring_width, count_width = [], [], 0, 0
    for level, _, _, _, _, size in windowed:
        rings.append(ring_width)
        counts.append(count_width)
        ring_width += size * instances[level]
        count_width += instances[level]
    waits = latencies(device.timing)
    found = Tables(
        follow_at=at,
        follow_command=[entry[0] for entry in flat],
        follow_wait=[entry[1] for entry in flat],
        follow_cause=[entry[2] for entry in flat],
        scope=[LEVELS.index(SCOPES.get(name, "channel")) for name in COMMANDS],
        self_wait=[0 if number in alone else wait for number, (wait, _) in enumerate(own)],
        self_cause=[cause for _, cause in own],
        latency=[waits[name] for name in COMMANDS],
        window_level=[entry[0] for entry in windowed],
        window_after=[entry[1] for entry in windowed],
        window_before=[entry[2] for entry in windowed],
        window_wait=[entry[3] for entry in windowed],
        window_cause=[entry[4] for entry in windowed],
        window_size=[entry[5] for entry in windowed],
        window_ring=rings,
        window_count=counts,
        windows=len(windowed),
        ring_width=ring_width,
        count_width=count_width,
        groups=organization.bank_groups,
        banks=organization.banks,
        per_group=organization.banks_per_group,
        width=WIDTH * sum(instances),
        causes=len(causes),
        modes=int(organization.modes),
        interval=refresh.interval(device),
        postponed=refresh.postponed,
        per_bank=int(refresh.policy == "per-bank"),
        queue=queue,
        host_per_clock=host_per_clock,
    )
    return found, tuple(causes)


def _pairs(one: Constraint) -> Iterable[tuple[int, int]]:
    return ((NUMBER[after], NUMBER[before]) for after in one.after for before in one.before)


def _own(
    follow: Mapping[tuple[int, int], Mapping[int, tuple[int, int]]], command: int
) -> Iterable[tuple[int, int]]:
    for level in range(len(LEVELS)):
        known = follow.get((level, command), {})
        if command in known:
            yield known[command]


def state(rules: Tables, classes: int) -> State:
    """Return the state at power-up: array mode, all rows closed, nothing issued."""
    sizes = per_channel(rules)
    clear = {name: [0] * (size * classes) for name, size in sizes.items()}
    clear["open_row"] = [-1] * (rules.banks * classes)
    clear["same"] = [-1] * classes
    clear["head"] = [-1] * classes
    clear["host"] = [0] * 12
    clear["host"][DECODE] = 1
    return State(**clear)


def per_channel(rules: Tables) -> dict[str, int]:
    """Return how many entries of each table of ``State`` belong to one class of channels."""
    sizes = dict.fromkeys(PER_CHANNEL, 1)
    sizes["ready"] = sizes["cause"] = rules.width
    sizes["open_row"] = rules.banks
    sizes["run_first"] = sizes["run_clock"] = sizes["run_gap"] = rules.queue + 2
    sizes["window_clock"] = rules.ring_width
    sizes["window_seen"] = rules.count_width
    sizes["counts"] = WIDTH
    sizes["bank_counts"] = WIDTH * rules.banks
    sizes["stalls"] = rules.causes * len(CAUSED_BY)
    return sizes


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


def requests(
    instructions: Sequence[Instruction], everywhere: int, register: int
) -> tuple[Requests, tuple[int, ...], int]:
    """Return a program's table without its classes, its distinct masks, and the register AFM.

    Parameters
    ----------
    instructions : sequence of Instruction
        The program.
    everywhere : int
        Mask of all channels.
    register : int
        What AFM holds before it.
    """
    kinds = [_OPS[one.op] for one in instructions]
    op, command, mode, rows, blocks, stride = ([kind[part] for kind in kinds] for part in range(6))
    masks: dict[int, int] = {}
    for_all = (OP_NUMBER["SYNC"], OP_NUMBER["EOC"])
    mask = [
        masks.setdefault(everywhere if kind in for_all else one.channels & everywhere, len(masks))
        for kind, one in zip(op, instructions, strict=True)
    ]
    row = [one.row for one in instructions]
    activate, configure = OP_NUMBER["AF"], OP_NUMBER["W_CFR"]
    if activate in op or configure in op:
        for position, one in enumerate(instructions):
            if op[position] == activate:
                row[position] = AF_ROW + register
            elif op[position] == configure and one.address == AFM:
                register = one.value
    column = [one.column if s else -1 for one, s in zip(instructions, stride, strict=True)]
    size, bank = [one.size for one in instructions], [one.bank for one in instructions]
    found = Requests(
        op, command, mode, rows, blocks, size, mask, bank, row, column, stride, [0], []
    )
    return found, tuple(masks), register
