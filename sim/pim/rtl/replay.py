"""A trace through the engine and through the Verilog, side by side.

Owns ``compare``, ``Comparison`` and ``merged``. Imports the engine, the device and the runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gateformer.hw.pim.device import Device, with_
from gateformer.hw.pim.isa import COMMANDS, Instruction
from gateformer.quant.errors import MismatchError
from gateformer.sim.dram.commands import CommandLog
from gateformer.sim.dram.engine import run as simulated
from gateformer.sim.dram.refresh import Refresh
from gateformer.sim.pim.rtl.run import Work, run
from gateformer.sim.rtl.tools import Simulator


@dataclass(frozen=True, slots=True)
class Comparison:
    """What both did alike.

    Attributes
    ----------
    channels : tuple of int
        Channels that the Verilog had; each other one gets what one of these gets.
    clocks, commands : int
        Clock of the end; commands of these channels.
    """

    channels: tuple[int, ...]
    clocks: int
    commands: int


def compare(
    program: Sequence[Instruction],
    device: Device,
    *,
    refresh: Refresh,
    strict: bool = False,
    simulator: Simulator = "icarus",
    work: Path,
    cache: Path,
) -> Comparison:
    """Run a program on both, and hold each command of the Verilog to the engine's.

    Parameters
    ----------
    program : sequence of Instruction
        The program.
    device : Device
        Sizes and rules.
    refresh : Refresh
        Which command refreshes.
    strict : bool
        Whether the device's strict rules hold too.
    simulator : {"icarus", "verilator"}
        What runs the Verilog.
    work, cache : Path
        Folder of the run; folder of finished builds.

    Raises
    ------
    MismatchError
        E402 for the first command that differs in clock, name or address, or for another end;
        E405 where the Verilog's own watch finds a command illegal.
    PimError
        E801, E803 or E805 as both sides raise them.
    """
    whole = simulated(program, device, refresh=refresh, log=True, strict=strict)
    channels, fewer = merged(program, device.organization.channels)
    outcome = run(
        [Work(fewer)],
        with_(device, channels=len(channels)),
        refresh=refresh,
        strict=strict,
        outside=True,
        numbers=False,
        simulator=simulator,
        work=work,
        cache=cache,
    )[0]
    if whole.commands is None:
        raise ValueError("the engine kept no log")
    _hold(_of(whole.commands, channels), outcome.commands, channels)
    if outcome.clocks != whole.clocks:
        cause = f"The Verilog ends at clock {outcome.clocks}, the engine at {whole.clocks}"
        raise MismatchError("E402", "the end differs", layer=device.name, cause=cause)
    return Comparison(channels, whole.clocks, len(outcome.commands))


def merged(
    program: Sequence[Instruction], channels: int
) -> tuple[tuple[int, ...], list[Instruction]]:
    """Return one channel of each kind, and the program for these alone.

    Channels that take part in the same instructions do the same in the same clocks, so that one of
    them shows what all do.

    Parameters
    ----------
    program : sequence of Instruction
        Its masks say which channels take part.
    channels : int
        Channels of the device.
    """
    classes = [(1 << channels) - 1]
    for mask in {one.channels for one in program}:
        parts = ((own & mask, own & ~mask) for own in classes)
        classes = [part for pair in parts for part in pair if part]
    kept = sorted((own & -own).bit_length() - 1 for own in classes)
    moved: dict[int, int] = {}
    for mask in {one.channels for one in program}:
        moved[mask] = sum(1 << at for at, channel in enumerate(kept) if mask >> channel & 1)
    return tuple(kept), [replace(one, channels=moved[one.channels]) for one in program]


def _of(log: CommandLog, channels: tuple[int, ...]) -> CommandLog:
    """Return the commands of some channels, which are counted anew."""
    mine = np.isin(log.channel, channels)
    clock, channel, *others = (column[mine] for column in log.columns())
    return CommandLog(clock, np.searchsorted(channels, channel), *others)


def _hold(engine: CommandLog, verilog: CommandLog, channels: tuple[int, ...]) -> None:
    most = min(len(engine), len(verilog))
    ours, theirs = (np.stack(log.columns())[:, :most] for log in (engine, verilog))
    differ = np.flatnonzero((ours != theirs).any(0))
    if not len(differ) and len(engine) == len(verilog):
        return
    at = int(differ[0]) if len(differ) else most
    raise MismatchError(
        "E402",
        "command differs",
        layer=f"command {at}",
        cause=f"The engine issues {_told(engine, at, channels)}, the Verilog "
        f"{_told(verilog, at, channels)}",
    )


def _told(log: CommandLog, at: int, channels: tuple[int, ...]) -> str:
    if at >= len(log):
        return "none"
    clock, channel, command, group, bank, row, column = (one[at] for one in log.columns())
    return (
        f"{COMMANDS[command]} at clock {clock} in channel {channels[channel]} (bank group {group}, "
        f"bank {bank}, row {row}, column {column})"
    )
