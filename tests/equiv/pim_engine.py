"""The command engine in the reference's terms, so that one can be held to the other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from equiv.pim_ticks import Command

from gateformer.hw.pim.device import Device, Policy
from gateformer.hw.pim.isa import COMMANDS, Instruction
from gateformer.sim.dram.commands import CommandLog
from gateformer.sim.dram.engine import run
from gateformer.sim.dram.refresh import Refresh


class Issued(NamedTuple):
    """The clock of the end and every command."""

    clocks: int
    commands: list[Command]


def engine(
    instructions: Iterable[Instruction],
    device: Device,
    *,
    policy: Policy = "none",
    double: bool = False,
    postponed: int = 0,
    strict: bool = False,
    queue: int = 33,
    host_per_clock: int = 1,
) -> Issued:
    """Run the command engine with the reference's settings."""
    found = run(
        instructions,
        device,
        refresh=Refresh(policy, double, postponed),
        log=True,
        strict=strict,
        queue=queue,
        host_per_clock=host_per_clock,
    )
    assert found.commands is not None
    return Issued(found.clocks, commands_of(found.commands))


def commands_of(log: CommandLog) -> list[Command]:
    """Return a log's commands, as the reference names them."""
    clock, channel, command, *address = (column.tolist() for column in log.columns())
    names = [COMMANDS[code] for code in command]
    return [Command(*one) for one in zip(clock, channel, names, *address, strict=True)]
