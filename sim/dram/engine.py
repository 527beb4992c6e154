"""The memory, command by command: every activate, MAC, read, write, precharge, refresh and switch.

Owns ``run``, ``Run`` and ``Machine``. Imports the tables and the kernel, the log and the device.

A host decodes instructions in order and fills one queue a channel; each channel issues at most one
command a clock, in its queue's order, at the first clock at which every constraint is met. Channels
that are in the same state and get the same instructions are simulated once.

The public AiM simulator is replayed command by command, with two deviations: it may serve reads and
writes of single banks out of order, and answers a read from a write that still waits; here each
queue keeps its order, and every read goes to the memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from gateformer.hw.pim.device import Device
from gateformer.hw.pim.device_limits import MOST_CHANNELS
from gateformer.hw.pim.isa import COMMANDS, OPS, Instruction
from gateformer.quant.errors import PimError
from gateformer.sim.dram import kernel as python_kernel
from gateformer.sim.dram import tables
from gateformer.sim.dram.commands import CommandLog
from gateformer.sim.dram.compiled import compiled_kernel
from gateformer.sim.dram.refresh import Refresh
from gateformer.sim.dram.tables import CAUSED_BY, KINDS, WIDTH, Row

QUEUE = 33
"""Requests that a channel's queue holds, as in the public AiM simulator."""
MOST_QUEUE = 65_536
LOG_ROOM = 1 << 16
"""Runs of commands that are kept before they are moved out of the kernel's log."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a program did to the memory.

    Attributes
    ----------
    clocks : int
        Clock of the end: EOC's, counted from 1.
    counts : mapping of str to int
        Commands issued, of all channels.
    channel_counts : int64 array, (channels, commands of ``isa.COMMANDS``)
        The same by channel.
    bank_counts : int64 array, (channels, banks, commands)
        Commands of single banks; all-bank commands reach every bank besides.
    open_clocks : int64 array, (channels,)
        Clocks in which a channel had a row open.
    distinct : int
        Commands simulated, identical channels once.
    commands : CommandLog or None
        Every command, where asked for.
    stalls : mapping of (str, str) to int
        Clocks, of all channels, in which a channel waited, by the constraint's text and the
        instruction that waited. Besides constraints: ``host`` (its queue was empty) and
        ``completion`` (SYNC or EOC waited for data). Refresh's own waits go to REFab and REFpb.
    """

    clocks: int
    counts: Mapping[str, int]
    channel_counts: NDArray[np.int64]
    bank_counts: NDArray[np.int64]
    open_clocks: NDArray[np.int64]
    distinct: int
    commands: CommandLog | None = None
    stalls: Mapping[tuple[str, str], int] = field(default_factory=dict)


def run(
    instructions: Iterable[Instruction],
    device: Device,
    *,
    refresh: Refresh | None = None,
    log: bool = False,
    strict: bool = False,
    queue: int = QUEUE,
    host_per_clock: int = 1,
    compiled: bool = False,
) -> Run:
    """Run a program from clock 1 to its EOC, or to one added at its end.

    Parameters
    ----------
    instructions : iterable of Instruction
        The program.
    device : Device
        Sizes and rules.
    refresh : Refresh, optional
        The device's own where absent.
    log : bool
        Whether to keep every command.
    strict : bool
        Whether the device's strict rules hold too.
    queue : int
        Requests that a channel holds.
    host_per_clock : int
        Instructions that the host decodes in a clock.
    compiled : bool
        Whether numba translates the kernel; the results are the same.

    Raises
    ------
    PimError
        E803 for an address that the device lacks, E805 where refresh leaves no room for work, or
        where a setting is out of range.
    ToolError
        E505 where numba is asked for and not installed.
    """
    machine = Machine(
        device,
        refresh,
        log=log,
        strict=strict,
        queue=queue,
        host_per_clock=host_per_clock,
        compiled=compiled,
    )
    program = list(instructions)
    if not program or program[-1].op != "EOC":
        program.append(Instruction("EOC"))
    clocks = machine.feed(program)
    return machine.result(clocks)


class Machine:
    """A memory that keeps its state from one stretch of instructions to the next, on one clock.

    Parameters
    ----------
    device, refresh, log, strict, queue, host_per_clock, compiled
        As for ``run``.
    """

    def __init__(
        self,
        device: Device,
        refresh: Refresh | None = None,
        *,
        log: bool = False,
        strict: bool = False,
        queue: int = QUEUE,
        host_per_clock: int = 1,
        compiled: bool = False,
    ) -> None:
        for name, value, most in (
            ("queue", queue, MOST_QUEUE),
            ("host_per_clock", host_per_clock, MOST_QUEUE),
        ):
            if not 1 <= value <= most:
                cause = f"{name} is {value}; it must be from 1 to {most}"
                raise PimError("E805", "setting out of range", layer=name, cause=cause)
        self.device = device
        self.refresh = Refresh.of(device) if refresh is None else refresh
        self.rules, self.causes = tables.rules(device, self.refresh, strict, queue, host_per_clock)
        self.kernel: ModuleType = compiled_kernel() if compiled else python_kernel
        self.compiled = compiled
        self.everywhere = (1 << device.organization.channels) - 1
        self.classes = [self.everywhere]
        """Masks of channels that are in the same state."""
        self.state = tables.state(self.rules)
        self.register = 0
        self._logging = log
        self._log: Row = [0] * (LOG_ROOM * python_kernel.LOG_FIELDS if log else 0)
        self._logged: list[tuple[tuple[int, ...], NDArray[np.int64]]] = []

    def run(self, instructions: Iterable[Instruction], start: int = 1) -> int:
        """Run a stretch of instructions, and wait for its last completion.

        Parameters
        ----------
        instructions : iterable of Instruction
            The stretch; a SYNC is added behind it.
        start : int
            Clock at which the host decodes the first one, after the end of the stretch before.

        Returns
        -------
        int
            Clock at which that SYNC finished. Refresh goes on through idle time: each channel's up
            to its own end of the stretch, the rest with the next stretch.
        """
        self.state[tables.DECODE] = start
        self.state[tables.DECODED] = 0
        return self.feed([*instructions, Instruction("SYNC")])

    def feed(self, program: Sequence[Instruction]) -> int:
        """Run instructions as they are; return the clock at which the last SYNC or EOC finished."""
        check(program, self.device)
        flat, masks, self.register = tables.program(program, self.everywhere, self.register)
        self._split(masks)
        q = list(range(len(masks) + 1))
        for number, mask in enumerate(masks):
            q[number] = len(q)
            q.extend(c for c, own in enumerate(self.classes) if own & mask)
        q[len(masks)] = len(q)
        self.state[tables.AT] = self.state[tables.FINISH] = 0
        rows: tuple[Row, ...] = (self.rules, self.state, self._log, flat, q)
        if self.compiled:
            rows = tuple(np.asarray(row, np.int64) for row in rows)
        state, log = rows[1], rows[2]
        while True:
            status = self.kernel.advance(*rows)
            self._drain(state, log)
            if status != python_kernel.FULL:
                break
        if self.compiled:
            self.state, self._log = state.tolist(), log
        if status == python_kernel.STARVED:
            raise self.refresh.no_room(self.device)
        return self.state[tables.FINISH]

    def result(self, clocks: int) -> Run:
        """Return what has been done up to a clock, from the start."""
        t = self.rules
        channels = self.device.organization.channels
        of = np.empty(channels, np.int64)
        for c, mask in enumerate(self.classes):
            of[members(mask)] = c
        sizes = np.bincount(of)
        blocks = np.array(self.state[tables.CLASSES :], np.int64).reshape(len(sizes), -1)

        def part(start: int, *shape: int) -> NDArray[np.int64]:
            return blocks[:, t[start] : t[start] + math.prod(shape)].reshape(-1, *shape)

        counts = part(tables.T_COUNTS, WIDTH)[of]
        total = counts.sum(axis=0)
        stalls = np.tensordot(sizes, part(tables.T_STALLS, t[tables.T_CAUSES], KINDS), 1)
        still = np.where(blocks[:, tables.OPENED] > 0, clocks - blocks[:, tables.OPEN_SINCE], 0)
        return Run(
            clocks=clocks,
            counts={COMMANDS[one]: int(total[one]) for one in np.flatnonzero(total)},
            channel_counts=counts,
            bank_counts=part(tables.T_BANK_COUNTS, t[tables.T_BANKS], WIDTH)[of],
            open_clocks=(blocks[:, tables.OPEN_CLOCKS] + still)[of],
            distinct=self.state[tables.DISTINCT],
            commands=self.commands() if self._logging else None,
            stalls={
                (self.causes[cause], CAUSED_BY[kind]): int(stalls[cause, kind])
                for cause, kind in np.argwhere(stalls)
            },
        )

    def commands(self) -> CommandLog:
        """Return every command logged so far."""
        return expand(self._logged, self.device.organization.banks_per_group)

    def _split(self, masks: Iterable[int]) -> None:
        """Part classes until each mask takes or leaves every class whole."""
        size = self.rules[tables.T_BLOCK]
        for mask in masks:
            for c in range(len(self.classes)):
                own = self.classes[c]
                if own & mask not in (0, own):
                    self.classes[c] = own & mask
                    self.classes.append(own & ~mask)
                    at = tables.CLASSES + c * size
                    self.state += self.state[at : at + size]

    def _drain(self, state: Row, log: Row) -> None:
        """Move the kernel's log out of its way."""
        used = int(state[tables.LOGGED])
        if used:
            kept = np.array(log[:used], np.int64).reshape(-1, python_kernel.LOG_FIELDS)
            self._logged.append((tuple(self.classes), kept))
        state[tables.LOGGED] = 0


def members(mask: int) -> list[int]:
    """Return the channels of a mask."""
    return [channel for channel in range(mask.bit_length()) if mask >> channel & 1]


def check(program: Sequence[Instruction], device: Device) -> None:
    """Raise E801 or E803 for the first instruction that the device cannot take."""
    sizes = device.organization
    for position, one in enumerate(program):
        op = OPS.get(one.op)
        place = f"line {one.line}" if one.line else f"instruction {position}"
        if op is None:
            raise PimError("E801", "unknown instruction", layer=place, kind=one.op)
        fits = (
            (op.rows != "one" or 0 <= one.bank < sizes.banks)
            and (op.rows == "none" or one.op == "AF" or 0 <= one.row < sizes.rows)
            and one.size >= 0
            and 0 <= one.channels < 1 << sizes.channels
        )
        if not fits:
            raise PimError(
                "E803",
                "address out of range",
                layer=place,
                kind=one.op,
                cause=f"It is channels {one.channels:#x}, bank {one.bank}, row {one.row}, "
                f"size {one.size}",
                fix=f"{device.name} has {sizes.channels} channels of {sizes.banks} banks of "
                f"{sizes.rows} rows",
            )


def expand(
    logged: Sequence[tuple[tuple[int, ...], NDArray[np.int64]]], per_group: int
) -> CommandLog:
    """Return runs of commands one by one, for each channel, in order of clock, then channel.

    Parameters
    ----------
    logged : sequence of (masks of the classes, runs as the kernel noted them)
        The log, part by part.
    per_group : int
        Banks of a group.
    """
    parts: list[NDArray[np.int64]] = []
    keys: list[NDArray[np.int64]] = []
    sources: list[NDArray[np.int64]] = []
    known = 0
    for classes, runs in logged:
        for c, mask in enumerate(classes):
            mine = runs[runs[:, 4] == c]
            rows = _one_by_one(mine)
            parts.append(rows)
            place = np.arange(known, known + rows.shape[1])
            known += rows.shape[1]
            for number in members(mask):
                keys.append(rows[0] * MOST_CHANNELS + number)
                sources.append(place)
    if not known:
        return CommandLog(*(np.zeros(0, np.int64) for _ in range(7)))
    # A channel issues one command a clock, so that a key of clock and channel has no ties.
    key = np.concatenate(keys)
    order = np.argsort(key, kind="stable")
    source = np.concatenate(sources)[order]
    clock, command, bank, row, column = np.concatenate(parts, axis=1)
    group = np.where(bank < 0, -1, bank // per_group)
    within = np.where(bank < 0, -1, bank % per_group)
    columns = (one[source] for one in (command, group, within, row, column))
    return CommandLog(clock[source], key[order] % MOST_CHANNELS, *columns)


def _one_by_one(runs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return clock, command, bank, row and column of each command of a log's runs."""
    count = runs[:, 1]
    run = np.repeat(np.arange(len(runs)), count)
    within = np.arange(len(run)) - np.repeat(np.cumsum(count) - count, count)
    clock, _, gap, command, _, bank, row, column, step = runs.T
    return np.stack(
        [
            clock[run] + within * gap[run],
            command[run],
            bank[run],
            row[run],
            column[run] + within * step[run],
        ]
    )
