"""The legality checker's rule about refresh: none comes later than it may be postponed.

Owns ``refresh`` and ``slack``. Imports the instruction set, the device and the checker's log.

The k-th refresh of a channel is due at clock ``k x nREFI``. With per-bank refresh one is due every
``nREFI // banks`` clocks, and each bank's own k-th by the end of the k-th round. Of what is due a
channel may owe ``postponed`` commands. From the clock in which it would owe more, the one longest
due must issue as soon as the open constraints let it: within ``slack`` of that clock, or of the
refresh before it if that came later. The slack adds up the longest waits that can stand in the way:
before a mode switch, before the precharge, before the refresh. A refresh ahead of time is legal.

A channel is checked up to its last command. What is late is reported where lateness begins; the
refreshes after a missing one are each late by an interval, and are not reported again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gateformer.hw.pim.device import Constraint, Device, Policy
from gateformer.hw.pim.isa import COMMANDS
from gateformer.sim.dram.check_log import Columns, Violation


def refresh(
    log: Columns,
    device: Device,
    rules: tuple[Constraint, ...],
    policy: Policy | None = None,
    postponed: int | None = None,
    double: bool = False,
) -> Iterator[Violation]:
    """Yield the refreshes that come too late, and the commands that stand where one is missing.

    Parameters
    ----------
    log : Columns
        Sorted by channel.
    device : Device
        Whose nREFI and banks count; without an nREFI it needs no refresh.
    rules : tuple of Constraint
        The constraints in force.
    policy : {"none", "all-bank", "per-bank"}, optional
        What to ask for; None takes what is in the log. If nothing is, then the device's own, but
        none where nRFC is 0: such timing, as the public simulator's own, is without refresh.
    postponed : int, optional
        Refresh commands that a channel may owe; by default the device's most, for all banks.
    double : bool
        Whether nREFI is halved.
    """
    names = {name: log.command == COMMANDS.index(name) for name in ("REFab", "REFpb")}
    if policy is None:
        held = [name for name, where in names.items() if where.any()]
        policies: dict[str, Policy] = {"REFab": "all-bank", "REFpb": "per-bank"}
        rests = "none" if device.timing.get("nRFC") == 0 else device.refresh.policy
        policy = policies[held[0]] if held else rests
    command, turn = ("REFpb", device.organization.banks) if policy == "per-bank" else ("REFab", 1)
    interval = device.timing.get("nREFI", 0) // (2 if double else 1) // turn
    if policy == "none" or interval == 0 or not log.clock.size:
        return
    most = device.refresh.most_postponed * turn if postponed is None else postponed
    rule = _Rule(interval, most * interval, slack(command, rules))
    ends = np.flatnonzero(np.diff(log.channel, append=-1)) + 1
    for first, end in zip((0, *ends[:-1].tolist()), ends.tolist(), strict=True):
        found = first + np.flatnonzero(names[command][first:end])
        yield from rule.broken(log, found, end - 1, command)
        if policy != "per-bank":
            continue
        bank = log.group[found] * device.organization.banks_per_group + log.bank[found]
        every = replace(rule, interval=interval * turn)
        for one in range(turn):
            yield from every.broken(log, found[bank == one], end - 1, f"{command} of bank {one}")


def slack(command: str, rules: tuple[Constraint, ...]) -> int:
    """Return the clocks that a refresh which must issue may still take.

    Parameters
    ----------
    command : str
        REFab or REFpb.
    rules : tuple of Constraint
        The constraints in force.
    """

    def longest(*names: str) -> int:
        waits = (one.wait for one in rules if not set(names).isdisjoint(one.before))
        return max(1, *waits)

    precharge = "PREA" if command == "REFab" else "PRE"
    return longest("TMOD", precharge, command) + longest(precharge) + longest(command)


@dataclass(frozen=True, slots=True)
class _Rule:
    """Clocks from one refresh to the next, that one may be postponed, and that one may take."""

    interval: int
    postponed: int
    slack: int

    def broken(
        self, log: Columns, found: NDArray[np.intp], last: int, what: str
    ) -> Iterator[Violation]:
        """Yield where refreshes begin to be late; the last command stands for the next one."""
        clock = log.clock[np.append(found, last)]
        due = np.arange(1, clock.size + 1) * self.interval
        by = np.maximum(due + self.postponed, np.append(0, clock[:-1])) + self.slack
        late = clock > by
        for at in np.flatnonzero(late & ~np.append(False, late[:-1])).tolist():
            number = f"{what} number {at + 1}, due at {due[at]} and by {by[at]} at the latest"
            if at < found.size:
                yield log.violation("refresh", int(found[at]), f"is late: it is {number}")
            else:
                yield log.violation("refresh", last, f"is too late to precede {number}")
