"""Programs through the memory's Verilog: built, run, and told in the engine's terms.

Owns ``run``, ``Outcome`` and how an instruction is encoded. Imports the Verilog, the bench's jobs,
the simulators and the command log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gateformer.hw.pim.device import Device
from gateformer.hw.pim.isa import OPS, Instruction
from gateformer.hw.pim.verilog import TOP, emit
from gateformer.sim.dram.commands import CommandLog
from gateformer.sim.dram.refresh import Refresh
from gateformer.sim.pim.rtl.jobs import FOLDER, Integers, Job, Record, load_records, save
from gateformer.sim.rtl.build import build, run_cocotb
from gateformer.sim.rtl.tools import Simulator

BENCH = "gateformer.sim.pim.rtl.bench"
OP_NUMBER = {name: number for number, name in enumerate(OPS)}
NOWHERE = ("RD_MEM", "WR_MEM")
"""Instructions whose commands name no column."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a program did to the memory.

    Attributes
    ----------
    clocks : int
        Clock of the end.
    commands : CommandLog
        Every command.
    """

    clocks: int
    commands: CommandLog


def run(
    programs: Sequence[Sequence[Instruction]],
    device: Device,
    *,
    refresh: Refresh | None = None,
    strict: bool = False,
    queue: int = 33,
    simulator: Simulator = "icarus",
    work: Path,
    cache: Path,
) -> list[Outcome]:
    refresh = Refresh.of(device) if refresh is None else refresh
    files = emit(
        device,
        policy=refresh.policy,
        interval=refresh.interval(device),
        postponed=refresh.postponed,
        strict=strict,
        queue=queue,
    )
    built = build(simulator, files, TOP, cache)
    jobs = [Job(encoded(one), np.zeros(len(one) + 1, np.int64)) for one in programs]
    work.mkdir(parents=True, exist_ok=True)
    save(work / "jobs.npz", jobs)
    run_cocotb(built, BENCH, work, {FOLDER: str(work)})
    return [_outcome(record, device) for record in load_records(work / "records.npz")]


def encoded(program: Sequence[Instruction]) -> Integers:
    rows = [_encoded(one) for one in program]
    if not program or program[-1].op != "EOC":
        rows.append(_encoded(Instruction("EOC")))
    return np.array(rows, np.int64)


def _encoded(one: Instruction) -> list[int]:
    column = one.address if one.op == "W_CFR" else one.column
    return [
        OP_NUMBER[one.op], one.size, one.channels, max(one.bank, 0), max(one.row, 0), column,
        one.slot, one.value,
    ]  # fmt: skip


def _outcome(record: Record, device: Device) -> Outcome:
    channel, command, op, bank, row, column = record.commands.T
    kinds = np.array([*(one.rows for one in OPS.values()), "none", "one"])[op]
    in_bank = kinds == "one"
    in_row = (kinds != "none") & (op < len(OPS))
    in_column = (op < len(OPS)) & ~np.isin(op, [OP_NUMBER[name] for name in NOWHERE])
    banks = device.organization.banks_per_group
    return Outcome(
        int(record.end[0]),
        CommandLog(
            record.clocks,
            channel,
            command,
            np.where(in_bank, bank // banks, -1),
            np.where(in_bank, bank % banks, -1),
            np.where(in_row, row, -1),
            np.where(in_column, column, -1),
        ),
    )
