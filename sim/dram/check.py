"""Whether a log of commands is legal: every rule of the device asked again, apart from the engine.

Owns ``check`` and ``Report``. Imports the device, the log's format, and the rules beside it:

``clock``
    Clocks start at 1 and rise within a channel: at most one command a clock. The channels of a log
    may be mixed, or stand one after another.
``address``
    Channel, bank group, bank, row and column lie within the device. Commands of one bank name it,
    those that need a row name that. Rows from 2^29 on stand for activation functions: AF16 and
    what is issued for its sake.
``timing``
    Each constraint of the device. A command counts at its own scope and above: an all-bank command
    is held by channel constraints alone, as in the public simulator.
``closed row``, ``wrong row``, ``open bank``, ``mode``
    `gateformer.sim.dram.check_state` says when.
``refresh``
    `gateformer.sim.dram.check_refresh` says when.

A log is taken to begin at clock 1 with all banks closed; part of a log is no legal log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from gateformer.hw.pim.device import Device, Policy
from gateformer.sim.dram import commands
from gateformer.sim.dram.check_log import Columns, Violation, addressed
from gateformer.sim.dram.check_refresh import refresh
from gateformer.sim.dram.check_state import state
from gateformer.sim.dram.check_timing import clocks, timing

KEPT = 10_000
"""Violations of one rule or constraint that are kept: a log of the wrong device breaks millions."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found.

    Attributes
    ----------
    file : str
        The log's path, or ``log`` where it came from memory.
    commands : int
        Commands in it.
    violations : tuple of Violation
        In order of their lines; of each rule and constraint no more than ``KEPT``.
    counts : mapping of str to int
        Violations by rule, all of them.
    """

    file: str
    commands: int
    violations: tuple[Violation, ...]
    counts: Mapping[str, int]

    @property
    def legal(self) -> bool:
        """Whether nothing was found."""
        return not self.violations

    @property
    def total(self) -> int:
        """Violations, all of them."""
        return sum(self.counts.values())

    def lines(self, most: int | None = None) -> Iterator[str]:
        """Yield ``file:line: what is wrong`` for the first ``most`` violations, or for all."""
        for one in self.violations[:most]:
            yield f"{self.file}:{one.line}: {one.text}"

    def as_dict(self, most: int = 1000) -> dict[str, object]:
        """Return JSON values; of the violations no more than ``most``."""
        return {
            "file": self.file,
            "commands": self.commands,
            "legal": self.legal,
            "counts": dict(self.counts),
            "violations": [one.as_dict() for one in self.violations[:most]],
        }


def check(
    log: commands.CommandLog | str | Path,
    device: Device,
    *,
    strict: bool = False,
    policy: Policy | None = None,
    postponed: int | None = None,
    double: bool = False,
) -> Report:
    """Check a log against a device.

    Parameters
    ----------
    log : CommandLog, str or Path
        Commands, or the file that holds them.
    device : Device
        Whose rules apply.
    strict : bool
        Whether the edges that the public simulator's table lacks apply too.
    policy : {"none", "all-bank", "per-bank"}, optional
        Refresh to ask for; by default what the log has, or else the device's own (none where its
        nRFC is 0).
    postponed : int, optional
        Refresh commands that a channel may owe; by default the device's ``most_postponed`` for all
        banks.
    double : bool
        Whether refreshes are due twice as often, as in a hot device.

    Raises
    ------
    PimError or Problems
        E810 where the file is no log of commands.
    """
    in_memory = isinstance(log, commands.CommandLog)
    held = log if isinstance(log, commands.CommandLog) else commands.read(log)
    rules = (*device.constraints, *(device.strict if strict else ()))
    sound, misplaced = addressed(Columns.of(held), device)
    found = chain(
        misplaced,
        clocks(sound),
        timing(sound, rules),
        state(sound, device),
        refresh(sound, device, rules, policy, postponed, double),
    )
    kept: list[Violation] = []
    counts, same = Counter[str](), Counter[tuple[str, str]]()
    for one in found:
        counts[one.rule] += 1
        same[one.rule, one.constraint] += 1
        if same[one.rule, one.constraint] <= KEPT:
            kept.append(one)
    kept.sort(key=lambda one: one.line)
    return Report("log" if in_memory else str(log), len(held), tuple(kept), counts)
