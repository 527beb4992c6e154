"""Programs through the memory's Verilog: built, run, and told in the engine's terms.

Owns ``run``, ``Work``, ``Write``, ``Outcome`` and how an instruction is encoded. Imports the
Verilog, the bench's jobs, the simulators and the command log.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gateformer.hw.pim.device import Device
from gateformer.hw.pim.isa import OPS, Instruction
from gateformer.hw.pim.verilog import TOP, Shape, emit
from gateformer.quant.errors import GateformerError, MismatchError, PimError, Problems, ToolError
from gateformer.sim.dram.commands import CommandLog
from gateformer.sim.dram.refresh import Refresh
from gateformer.sim.pim.rtl.compiled import build_large
from gateformer.sim.pim.rtl.jobs import FOLDER, Bytes, Integers, Job, Record, load, save
from gateformer.sim.rtl.build import build, run_cocotb
from gateformer.sim.rtl.tools import Simulator

BENCH = "gateformer.sim.pim.rtl.bench"
OP_NUMBER = {name: number for number, name in enumerate(OPS)}
NOWHERE = ("RD_MEM", "WR_MEM")
"""Instructions whose commands name no column."""
REASONS = (
    "", "unknown operation", "no such bank", "no such row", "columns beyond the row",
    "slots beyond the buffer", "not exactly one channel", "size 0, and it blocks",
)  # fmt: skip
"""Why the host refuses an instruction, by its ``reason``."""
Place = tuple[int, int, int]
"""Channel, bank and row."""


class Write(NamedTuple):
    """What a channel's next WRGB, WRMAC16, WR or WRA16 takes.

    ``data`` are bytes, the lowest first, up to the width of ``write_data``; ``mask`` says which
    bytes WR or WRA16 write, None for all.
    """

    data: Bytes
    mask: Bytes | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """One program and its numbers.

    Attributes
    ----------
    program : sequence of Instruction
        What the host is sent; an EOC is added where there is none.
    writes : sequence of sequence of Write
        Channel by channel what its writing commands take; none where numbers do not matter.
    rows : mapping of (channel, bank, row) to uint8 array
        What stands in the memory at first; all else is zero.
    starts : sequence of int
        The clock from which on each instruction is sent; by default as soon as may be.
    """

    program: Sequence[Instruction]
    writes: Sequence[Sequence[Write]] = ()
    rows: Mapping[Place, Bytes] = field(default_factory=dict)
    starts: Sequence[int] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What a program did to the memory.

    Attributes
    ----------
    clocks : int
        Clock of the end.
    commands : CommandLog
        Every command.
    read_clocks, result_clocks : int64 array, (reads, 2)
        Clock and channel of what RD and what RDMAC16 gave.
    reads, results : uint8 array, (reads, bytes)
        What they gave.
    rows : mapping of (channel, bank, row) to uint8 array
        Rows that were written, or all of them where the Verilog keeps them.
    """

    clocks: int
    commands: CommandLog
    read_clocks: Integers
    reads: Bytes
    result_clocks: Integers
    results: Bytes
    rows: Mapping[Place, Bytes]


def run(
    works: Sequence[Work],
    device: Device,
    *,
    refresh: Refresh | None = None,
    strict: bool = False,
    queue: int = 33,
    weights: str = "bf16",
    mac_stages: int = 0,
    outside: bool = False,
    numbers: bool = True,
    simulator: Simulator = "icarus",
    changed: Mapping[str, str] | None = None,
    work: Path,
    cache: Path,
) -> list[Outcome]:
    """Run programs, each from reset.

    Parameters
    ----------
    works : sequence of Work
        The programs.
    device : Device
        Sizes and rules.
    refresh : Refresh, optional
        The device's own where absent.
    strict, queue, weights, mac_stages, outside
        As for `gateformer.hw.pim.verilog.emit`.
    numbers : bool
        Whether numbers matter; without, commands and clocks alone are looked at.
    simulator : {"icarus", "verilator"}
        The simulator; BF16 memories with no ``mac_stages`` are built as
        `gateformer.sim.pim.rtl.compiled` says on Verilator.
    changed : mapping of str to str, optional
        Files to take in place of those that ``emit`` returns, as with a fault seeded in them.
    work, cache : Path
        Folder of the run; folder of finished builds.

    Raises
    ------
    PimError or Problems
        E801 or E803 where the host refuses an instruction; E805 as ``emit`` does.
    MismatchError
        E405 where the watch finds a command illegal, or where writes are left or missing.
    ToolError
        E501, E502 or E505 where a tool is missing or fails.
    """
    refresh = Refresh.of(device) if refresh is None else refresh
    files = emit(
        device,
        policy=refresh.policy,
        interval=refresh.interval(device),
        postponed=refresh.postponed,
        strict=strict,
        queue=queue,
        weights=weights,
        mac_stages=mac_stages,
        outside=outside,
    )
    files |= changed or {}
    if simulator == "verilator" and weights == "bf16" and not mac_stages:
        built = build_large(files, device, cache)
    else:
        built = build(simulator, files, TOP, cache)
    jobs = [_job(one, device, outside, numbers) for one in works]
    work.mkdir(parents=True, exist_ok=True)
    save(work / "jobs.npz", jobs)
    told = work / "records.npz"
    told.unlink(missing_ok=True)
    run_cocotb(built, BENCH, work, {FOLDER: str(work.absolute())})
    if not told.exists():
        raise ToolError("E502", "the memory's bench failed", fix=f"See {work / 'simulation.log'}.")
    pairs = list(zip(works, load(told, Record), strict=True))
    Problems.raise_if_any(problem for pair in pairs for problem in _problems(*pair))
    return [_outcome(found, device) for _, found in pairs]


def encoded(program: Sequence[Instruction]) -> Integers:
    """Return a program as the host's ports take it, an EOC at its end."""
    rows = [_encoded(one) for one in program]
    if not program or program[-1].op != "EOC":
        rows.append(_encoded(Instruction("EOC")))
    return np.array(rows, np.int64)


def _encoded(one: Instruction) -> list[int]:
    column = one.address if one.op == "W_CFR" else one.column
    fields = [
        OP_NUMBER.get(one.op, 31), one.size, one.channels, max(one.bank, 0), max(one.row, 0),
        column, one.slot, one.value,
    ]  # fmt: skip
    for value, bits in zip(fields, (5, 16, 64, 8, 30, 16, 16, 29), strict=True):
        if not 0 <= value < 1 << bits:
            cause = f"{value} does not fit the host's port of {bits} bits"
            raise PimError("E803", "address out of range", layer=one.op, cause=cause)
    return fields


def _job(one: Work, device: Device, outside: bool, numbers: bool) -> Job:
    sizes, shape = device.organization, Shape.of(device)
    program = encoded(one.program)
    starts = np.zeros(len(program), np.int64)
    starts[: len(one.starts)] = one.starts
    writes = [write for own in one.writes for write in own]
    data = np.zeros((len(writes), shape.data // 8), np.uint8)
    masks = np.ones((len(writes), shape.access // 8), np.uint8)
    for at, write in enumerate(writes):
        data[at, : len(write.data)] = write.data
        if write.mask is not None:
            masks[at] = write.mask
    counts = np.zeros(sizes.channels, np.int64)
    counts[: len(one.writes)] = [len(own) for own in one.writes]
    rows = np.array(list(one.rows.values()), np.uint8).reshape(-1, sizes.row_bytes)
    places = np.array(list(one.rows), np.int64).reshape(-1, 3)
    whole = (sizes.channels, sizes.bank_groups, sizes.banks_per_group, sizes.rows)
    switches = np.array([*whole, outside, numbers], np.int64)
    return Job(switches, program, starts, counts, data, masks, places, rows)


def _problems(one: Work, record: Record) -> Iterator[GateformerError]:
    _, reason, taken, missing = record.end.tolist()
    if reason:
        unknown = reason == 1
        yield PimError(
            "E801" if unknown else "E803",
            "unknown instruction" if unknown else "address out of range",
            layer=f"instruction {taken - 1}",
            kind=one.program[taken - 1].op,
            cause=f"The host refuses it: {REASONS[reason]}",
        )
    elif missing and one.writes:
        cause = f"{abs(missing)} {'missing' if missing > 0 else 'left'}"
        yield MismatchError("E405", "writes do not fit the program", cause=cause)
    if len(record.violations):
        when, channel = record.violations[0].tolist()
        yield MismatchError(
            "E405",
            "illegal command",
            layer=f"channel {channel}, clock {when}",
            cause=f"The watch found {len(record.violations)}; simulation.log tells of each",
        )


def _outcome(record: Record, device: Device) -> Outcome:
    return Outcome(
        int(record.end[0]),
        _log(record, device),
        record.read_clocks,
        record.reads,
        record.result_clocks,
        record.results,
        {tuple(at): row for at, row in zip(record.places.tolist(), record.rows, strict=True)},
    )


def _log(record: Record, device: Device) -> CommandLog:
    """Return the commands in the engine's form: -1 where one addresses nothing."""
    channel, command, op, bank, row, column = record.commands.T
    kinds = np.array([*(one.rows for one in OPS.values()), "none", "one"])[op]
    program = op < len(OPS)
    in_bank = kinds == "one"
    in_row = (kinds != "none") & program
    in_column = program & ~np.isin(op, [OP_NUMBER[name] for name in NOWHERE])
    banks = device.organization.banks_per_group
    return CommandLog(
        record.clocks,
        channel,
        command,
        np.where(in_bank, bank // banks, -1),
        np.where(in_bank, bank % banks, -1),
        np.where(in_row, row, -1),
        np.where(in_column, column, -1),
    )
