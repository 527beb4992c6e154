"""A device's rules and instructions as the closed form steps with them.

Owns ``Rules`` (the engine's tables by command and bank), ``Order`` (an instruction as numbers),
``Tally`` and the numbers that commands go by. Imports the instruction set and the engine's tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from gateformer.hw.pim.device import Device
from gateformer.hw.pim.isa import OPS, Instruction
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
    SHIFT,
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
LONG_AGO = -NEVER << SHIFT
HIT, MISS, OPEN = -1, -2, -3

Tally: TypeAlias = dict[int | tuple[int, int], int]
"""How often each command: its number, plus WIDTH (bank + 1) where it is of one bank; HIT and MISS:
column commands that found their row open and that did not; OPEN: clocks with a row open; and clocks
waited, by (cause, instruction)."""


class Order(NamedTuple):
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
    device, refresh
        As given.
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
        self.device, self.refresh = device, refresh
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
