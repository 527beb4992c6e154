"""``pim replay``: a trace of instructions, run command by command.

Owns ``replay``. Imports the replay of the command-level engine, and of the Verilog.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from gateformer.hw.pim import device as memory
from gateformer.hw.pim.device import Policy
from gateformer.hw.pim.trace_file import read
from gateformer.pim.places import refuse_place
from gateformer.pim.screen import Answer, Block, percent
from gateformer.pim.waiting import waiting
from gateformer.quant.caching import user_cache
from gateformer.quant.words import counted
from gateformer.sim.dram.refresh import Refresh
from gateformer.sim.dram.replay import Replay
from gateformer.sim.dram.replay import replay as replayed
from gateformer.sim.pim.rtl.replay import Comparison, compare

SHOWN = 10
"""Waits that are printed; JSON has all."""
WORDS = {"host": "host: nothing in the queue", "completion": "data on its way"}
"""Waits that are no constraint of the device."""


def replay(
    trace: Path,
    timing: str,
    *,
    commands: Path | None = None,
    policy: Policy | None = None,
    hot: bool = False,
    strict: bool = False,
    compiled: bool = False,
    rtl: bool = False,
) -> Answer:
    """Run a trace.

    Parameters
    ----------
    trace : Path
        Instructions in the public AiM simulator's format.
    timing : str
        A device's name, or a timing file.
    commands : Path or None
        Where every command goes, with its clock.
    policy : {"none", "all-bank", "per-bank"} or None
        Which command refreshes; the device's own where None.
    hot, strict : bool
        Refresh twice as often; the edges that the public simulator's table lacks hold too.
    compiled : bool
        Whether numba translates the engine's kernel.
    rtl : bool
        Whether the memory's Verilog runs the trace too, in Icarus Verilog, and is held to the
        engine in every command and clock.

    Raises
    ------
    PimError or Problems
        E801 to E803 for the trace, E804 and E805 for the timing file; nothing is then written.
    MismatchError
        E402 or E405 where the Verilog does something else.
    """
    if commands is not None:
        refuse_place(commands, trace, timing)
    device = memory.load(timing)
    refresh = Refresh(device.refresh.policy if policy is None else policy, double=hot)
    with waiting(f"replaying {trace}"):
        whole = replayed(
            trace, device, commands=commands, refresh=refresh, strict=strict, compiled=compiled
        )
    found = whole.result
    held = _held(trace, whole, strict) if rtl else None
    total = sum(found.counts.values())
    channels = device.organization.channels
    stalls = sorted(found.stalls.items(), key=lambda pair: -pair[1])
    data = {
        "trace": str(trace),
        "device": device.name,
        "refresh": whole.refresh.policy,
        "instructions": whole.instructions,
        "clocks": found.clocks,
        "seconds": found.clocks * device.clock_ns * 1e-9,
        "simulated_in_seconds": whole.seconds,
        "commands": total,
        "distinct_commands": found.distinct,
        "counts": {name: count for name, count in found.counts.items() if count},
        "stalls": [
            {"constraint": text, "instruction": name, "clocks": clocks}
            for (text, name), clocks in stalls
        ],
        "log": None if commands is None else str(commands),
        "verilog": None
        if held is None
        else {"channels": list(held.channels), "commands": held.commands, "clocks": held.clocks},
    }
    counts = tuple((name, count) for name, count in found.counts.items() if count)
    waits = tuple(
        (WORDS.get(text, text), name, clocks, percent(clocks / (found.clocks * channels), 2))
        for (text, name), clocks in stalls[:SHOWN]
    )
    blocks = (
        Block(f"{trace}: {counted(found.clocks, 'clock')}", ("command", "times"), counts),
        Block("Waits, all channels", ("constraint", "waiting", "clocks", "share"), waits),
    )
    notes = [
        f"{counted(whole.instructions, 'instruction')}, {counted(total, 'command')}, "
        f"{found.distinct:,} distinct."
    ]
    if held is not None:
        others = "" if len(held.channels) == channels else "; the other channels do as these do"
        notes.append(
            f"Verilog: the same {counted(held.commands, 'command')} at the same clocks, of "
            f"{len(held.channels)} of {counted(channels, 'channel')}{others}."
        )
    if commands is not None:
        notes.append(f"Log: {commands}")
    return Answer(data, blocks, tuple(notes))


def _held(trace: Path, whole: Replay, strict: bool) -> Comparison:
    """Run the trace through the Verilog, which must do the same."""
    with (
        waiting(f"running {trace} in Verilog"),
        tempfile.TemporaryDirectory(prefix="gateformer-") as work,
    ):
        return compare(
            read(trace, whole.device),
            whole.device,
            refresh=whole.refresh,
            strict=strict,
            work=Path(work),
            cache=user_cache("builds"),
        )
