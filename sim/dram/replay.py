"""A trace file through the engine: what ``pim replay`` does, as one call.

Owns ``replay`` and ``Replay``. Imports the trace reader, the engine and the device.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from gateformer.hw.pim import device as devices
from gateformer.hw.pim.device import Device
from gateformer.hw.pim.trace_file import read
from gateformer.quant.errors import PimError
from gateformer.sim.dram.engine import Run, run
from gateformer.sim.dram.refresh import Refresh


@dataclass(frozen=True, slots=True)
class Replay:
    """A trace, the device that it ran on, and what it did.

    Attributes
    ----------
    device : Device
        With the timing in force.
    refresh : Refresh
        The policy in force.
    instructions : int
        Instructions of the trace, EOC included.
    result : Run
        Clocks, counts, stalls, and the command log where it was asked for.
    seconds : float
        Time that the simulation took on this machine, without reading and writing.
    """

    device: Device
    refresh: Refresh
    instructions: int
    result: Run
    seconds: float


def replay(
    trace: str | Path,
    timing: str | Path | Device = "gddr6-aim",
    *,
    commands: str | Path | None = None,
    refresh: Refresh | None = None,
    strict: bool = False,
    compiled: bool = False,
) -> Replay:
    """Run a trace from clock 1 to its EOC.

    Parameters
    ----------
    trace : str or Path
        Instructions in the public AiM simulator's format.
    timing : str, Path or Device
        A device, its name, or its TOML file.
    commands : str or Path, optional
        Where to write every command, in the same simulator's format.
    refresh : Refresh, optional
        The device's own where absent (none where the timing has nRFC = 0); ``Refresh("none")``
        for none.
    strict : bool
        Whether the device's strict rules hold too.
    compiled : bool
        Whether numba translates the kernel.

    Raises
    ------
    PimError or Problems
        What is wrong with the trace or the device, with file and line.
    """
    device = timing if isinstance(timing, Device) else devices.load(timing)
    instructions = read(trace, device)
    policy = Refresh.of(device) if refresh is None else refresh
    if policy.policy == "all-bank" and device.timing.get("nRFC", 0) == 0:
        raise PimError(
            "E805",
            "contradictory timing",
            layer=str(timing if isinstance(timing, str | Path) else device.name),
            cause="nRFC is 0: a refresh would take no time",
            fix="Give nRFC and nREFI, as 240 and 3800 for GDDR6, or switch refresh off",
        )
    start = time.perf_counter()
    result = run(
        instructions,
        device,
        refresh=policy,
        log=commands is not None,
        strict=strict,
        compiled=compiled,
    )
    seconds = time.perf_counter() - start
    if commands is not None and result.commands is not None:
        result.commands.write(commands)
    return Replay(device, policy, len(instructions), result, seconds)
