"""A log of commands as the legality checker holds it, and what it finds in one.

Owns ``Violation``, ``Columns`` and ``addressed``, the rule about addresses. Imports the instruction
set, the device and the log's format.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from gateformer.hw.pim.device import Device
from gateformer.hw.pim.isa import COMMANDS, OPS, SCOPES
from gateformer.sim.dram.commands import CommandLog

Rule = Literal[
    "clock", "address", "timing", "closed row", "wrong row", "open bank", "mode", "refresh"
]
"""What can be broken; `gateformer.sim.dram.check` says what each means."""

FUNCTION_ROW = 1 << 29
"""First of the rows that stand for activation functions, as in the public AiM simulator."""
FUNCTIONS = {"AF16", "ACT16", "PREA", "TMOD"}
"""The command that reads such a row, and those that may be issued for its sake."""

ALL_ROWS = {op.command for op in OPS.values() if op.rows == "all"}
ONE_ROW = {op.command for op in OPS.values() if op.rows == "one"} | {"RDA", "WRA"}
"""Commands that read or write the open rows of all banks, and of one."""
REGISTERS = {op.command for op in OPS.values() if op.mode == "register"}
"""Commands to the registers; TMOD apart, all others are to the arrays."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule.

    Attributes
    ----------
    rule : str
        Which kind, one of ``Rule``.
    line : int
        The offending command's line in the log, from 1.
    clock, channel : int
        When and where it was issued.
    command : str
        Its name.
    text : str
        What is wrong, with both clocks where there are two commands to it.
    since : int
        Line of the earlier command that forbids it, 0 where there is none.
    constraint : str
        The waiting time's expression, for rule ``timing``.
    """

    rule: Rule
    line: int
    clock: int
    channel: int
    command: str
    text: str
    since: int = 0
    constraint: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Columns:
    """A log, one array a field.

    Attributes
    ----------
    line, clock, channel, command, group, bank, row, column : array of int64
        One number a command; ``command`` counts in ``isa.COMMANDS``, ``bank`` within its group.
    """

    line: NDArray[np.int64]
    clock: NDArray[np.int64]
    channel: NDArray[np.int64]
    command: NDArray[np.int64]
    group: NDArray[np.int64]
    bank: NDArray[np.int64]
    row: NDArray[np.int64]
    column: NDArray[np.int64]

    @classmethod
    def of(cls, log: CommandLog) -> Self:
        """Return a log's columns and its lines, which are counted from 1."""
        return cls(np.arange(1, len(log) + 1, dtype=np.int64), *log.columns())

    def take(self, positions: NDArray[np.intp]) -> Columns:
        """Return some of the commands in the order asked for."""
        every = (self.line, self.clock, self.channel, self.command, self.group, self.bank)
        return Columns(*(one[positions] for one in (*every, self.row, self.column)))

    def name(self, at: int) -> str:
        """Return a command's name."""
        return COMMANDS[self.command[at]]

    def what(self, at: int) -> str:
        """Return a command with its clock and channel."""
        return f"{self.name(at)} at {self.clock[at]} of channel {self.channel[at]}"

    def violation(
        self, rule: Rule, at: int, text: str, since: int | None = None, constraint: str = ""
    ) -> Violation:
        """Return the violation of a rule by the command at a position.

        Parameters
        ----------
        rule : Rule
            What is broken.
        at : int
            The offender's position.
        text : str
            What is wrong; the command, its clock and its channel are put before it.
        since : int, optional
            Position of the earlier command that forbids it; its line is put after the text.
        constraint : str
            The waiting time's expression.
        """
        line = 0 if since is None else int(self.line[since])
        return Violation(
            rule,
            int(self.line[at]),
            int(self.clock[at]),
            int(self.channel[at]),
            self.name(at),
            f"{self.what(at)} {text}" + (f" (line {line})" if line else ""),
            line,
            constraint,
        )


def addressed(log: Columns, device: Device) -> tuple[Columns, Iterator[Violation]]:
    """Return the commands with valid addresses, channel by channel; and the others' violations.

    What has no valid address takes no part in further checks.
    """
    sizes = device.organization
    code = log.command
    of_bank = np.array([SCOPES.get(name) == "bank" for name in COMMANDS])[code]
    of_group = of_bank | np.array([SCOPES.get(name) == "bankgroup" for name in COMMANDS])[code]
    with_row = np.array(
        [name in ALL_ROWS | ONE_ROW | {"ACT", "ACT4", "ACT16"} for name in COMMANDS]
    )
    functions = np.array([name in FUNCTIONS for name in COMMANDS])[code]
    functions &= log.row >= FUNCTION_ROW
    never, always = np.zeros(code.size, dtype=bool), np.ones(code.size, dtype=bool)
    fields = (
        ("channel", log.channel, sizes.channels, always),
        ("bank group", log.group, sizes.bank_groups, of_group),
        ("bank", log.bank, sizes.banks_per_group, of_bank),
        ("row", np.where(functions, 0, log.row), sizes.rows, with_row[code]),
        ("column", log.column, sizes.columns, never),
    )
    outside = [
        (values >= size) | (values < np.where(needed, 0, -1)) for _, values, size, needed in fields
    ]
    right = np.flatnonzero(~np.logical_or.reduce(outside))
    found = (
        log.violation(
            "address", at, f"has {what} {values[at]}: the device has {size}, counted from 0"
        )
        for (what, values, size, _), wrong in zip(fields, outside, strict=True)
        for at in np.flatnonzero(wrong).tolist()
    )
    return log.take(right[np.argsort(log.channel[right], kind="stable")]), found
