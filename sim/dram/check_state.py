"""The legality checker's rules about state: which rows are open, and what a channel is switched to.

Owns ``state``. Imports the instruction set, the device and the checker's log.

All banks begin closed and every channel begins in array mode; TMOD changes the mode.

``closed row``
    A command reads or writes a bank that is closed.
``wrong row``
    It asks for a row other than the open one.
``open bank``
    A bank is activated while open, or refreshed while open. ACT16 over banks that are open at its
    own row is legal, as in the public simulator: it opens the others.
``mode``
    A register command in array mode, or any other command in register mode: TMOD is missing.

After a violation the check goes on as if the state had been what the command needs, so that one
missing command is found once and not again for each of a row's columns.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gateformer.hw.pim.device import Device
from gateformer.hw.pim.isa import COMMANDS
from gateformer.sim.dram.check_log import ALL_ROWS, ONE_ROW, REGISTERS, Columns, Rule, Violation

CLOSED = -1
"""Row of a closed bank."""
PRECHARGING = {"RDA", "WRA", "WRA16"}
"""Commands that leave the banks they address closed."""

Breach = tuple[Rule, str]


def state(log: Columns, device: Device) -> Iterator[Violation]:
    """Yield the commands that the open rows or the mode forbid; the log is sorted by channel."""
    kinds = np.array([_kind(name) for name in COMMANDS])[log.command].tolist()
    sizes = device.organization
    fields = (log.channel.tolist(), log.group.tolist(), log.bank.tolist(), log.row.tolist())
    channel, banks = -1, _Banks(sizes.bank_groups, sizes.banks_per_group, sizes.modes)
    for at, (kind, number, group, bank, row) in enumerate(zip(kinds, *fields, strict=True)):
        if number != channel:
            channel = number
            banks = _Banks(sizes.bank_groups, sizes.banks_per_group, sizes.modes)
        if kind == "all" and row == banks.uniform and banks.array:
            continue
        for rule, text in banks.take(kind, COMMANDS[log.command[at]], group, bank, row):
            yield log.violation(rule, at, text)


def _kind(name: str) -> str:
    if name in ALL_ROWS:
        return "all" if name not in PRECHARGING else "all, closing"
    if name in ONE_ROW:
        return "one" if name not in PRECHARGING else "one, closing"
    return "register" if name in REGISTERS else name


class _Banks:
    """The banks of one channel."""

    def __init__(self, groups: int, in_group: int, modes: bool) -> None:
        self.in_group = in_group
        self.modes = modes
        self.array = True
        self.rows = [CLOSED] * (groups * in_group)
        self.uniform: int | None = CLOSED
        """The row that all banks have open, if there is one."""

    def take(self, kind: str, name: str, group: int, bank: int, row: int) -> Iterator[Breach]:
        """Take a command in; yield what it breaks."""
        if kind == "TMOD":
            self.array = not self.array
            return
        if self.modes and self.array == (kind == "register"):
            wanted, other = ("register", "array") if self.array else ("array", "register")
            yield "mode", f"needs {wanted} mode in {other} mode: a TMOD is missing"
            self.array = not self.array
        if kind == "register":
            return
        where = self._addressed(kind, group, bank)
        if kind.startswith(("all", "one")):
            yield from self._access(where, row)
            after = CLOSED if kind.endswith("closing") else row
        elif kind.startswith("ACT"):
            yield from self._activate(name, where, row)
            after = row
        else:
            if kind.startswith("REF"):
                yield from self._refresh(where)
            after = CLOSED
        for one in where:
            self.rows[one] = after
        self.uniform = after if self.rows.count(after) == len(self.rows) else None

    def _addressed(self, kind: str, group: int, bank: int) -> range:
        first = group * self.in_group
        if kind in ("ACT4", "PRE4"):
            return range(first, first + self.in_group)
        if kind in ("ACT", "PRE", "REFpb") or kind.startswith("one"):
            return range(first + bank, first + bank + 1)
        return range(len(self.rows))

    def _access(self, where: range, row: int) -> Iterator[Breach]:
        closed = [bank for bank in where if self.rows[bank] == CLOSED]
        if closed:
            yield "closed row", f"asks for row {row} of {self._name(closed[0])}, which is closed"
        other = [bank for bank in where if self.rows[bank] not in (CLOSED, row)]
        if other:
            held = f"{self._name(other[0])}, where row {self.rows[other[0]]} is open"
            yield "wrong row", f"asks for row {row} of {held}"

    def _activate(self, name: str, where: range, row: int) -> Iterator[Breach]:
        fine = (CLOSED,) if name == "ACT" else (CLOSED, row)
        found = [bank for bank in where if self.rows[bank] not in fine]
        if found:
            held = f"{self._name(found[0])}, where row {self.rows[found[0]]} is open"
            yield "open bank", f"activates row {row} of {held}"

    def _refresh(self, where: range) -> Iterator[Breach]:
        found = [bank for bank in where if self.rows[bank] != CLOSED]
        if found:
            held = f"{self._name(found[0])}, where row {self.rows[found[0]]} is open"
            yield "open bank", f"refreshes {held}"

    def _name(self, bank: int) -> str:
        return f"bank {bank % self.in_group} of group {bank // self.in_group}"
