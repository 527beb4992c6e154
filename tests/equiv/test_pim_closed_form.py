"""The closed form equals the command engine: every end, count and stall, on random cases.

A case is a chain of segments on one clock, begun at a random clock of the refresh and apart by
random gaps: matrix times vector, attention with keys and values of odd lengths, writes of single
banks and of all, and instructions at random in random loops; on random timing, policies, queues and
channels.
"""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from equiv.pim_fuzz import POLICIES, case, device

from gateformer.hw.pim import asic
from gateformer.hw.pim.compile import Compiler
from gateformer.hw.pim.device import Device, load, with_
from gateformer.hw.pim.isa import COMMANDS, OPS, Instruction
from gateformer.hw.pim.program import Loop, Segment
from gateformer.quant import models
from gateformer.quant.errors import PimError
from gateformer.sim.dram.chain import Chain
from gateformer.sim.dram.closed_form import ClosedForm
from gateformer.sim.dram.engine import Machine
from gateformer.sim.dram.refresh import Refresh

TOTALS = ("clocks", "counts", "stalls")
PARTS = (*TOTALS, "channel_counts", "bank_counts", "open_clocks")
"""What is compared; of a generation's chain the totals: it calls channels alike by one name."""
ROOM = 400
"""Rows that a segment's loops may run over."""


def everywhere(device: Device) -> int:
    return (1 << device.organization.channels) - 1


def masks(draw: random.Random, device: Device) -> int:
    """Return all channels, mostly, else some."""
    channels = device.organization.channels
    return everywhere(device) if draw.random() < 0.8 else draw.randrange(1, 1 << channels)


def gemv(draw: random.Random, device: Device) -> Segment:
    """Return a matrix times a vector: tiles of rows, one vector a tile or for all."""
    mask, columns = masks(draw, device), draw.choice((64, 64, 48, 3, 1))
    row = Instruction("MAC_ABK", columns, mask, row=draw.randrange(ROOM))
    each = [Instruction("WR_BIAS", 1, mask), row, Instruction("RD_MAC", 1, mask)]
    fill = Instruction("WR_GB", columns, mask)
    if draw.random() < 0.3:
        each.insert(0, fill)
    loops = [Loop((fill,)), Loop(tuple(each), draw.randint(1, 120))]
    if draw.random() < 0.4:
        partial = replace(row, size=draw.randint(1, columns), row=row.row + ROOM)
        loops.append(Loop((fill, each[-3], partial, each[-1])))
    if draw.random() < 0.3:
        loops.append(Loop((row, replace(row, row=row.row + 2 * ROOM)), draw.randint(1, 60), 2))
    return Segment("gemv", tuple(loops))


def attention(draw: random.Random, device: Device) -> Segment:
    """Return keys or values of some tokens, with this token's written before or behind."""
    sizes = device.organization
    mask, row = masks(draw, device), draw.randrange(ROOM)
    tokens, width = draw.randint(1, 300), draw.choice((4, 8, 5))
    whole, rest = divmod(tokens * width, 64)
    read = (Instruction("WR_BIAS", 1, mask), Instruction("RD_MAC", 1, mask))
    loops = [Loop(tuple(Instruction("WR_GB", width, 1 << c) for c in range(sizes.channels)))]
    if whole:
        inside = Instruction("MAC_ABK", 64, mask, row=row)
        loops.append(Loop((read[0], inside, read[1]), whole))
    if rest:
        loops.append(Loop((read[0], Instruction("MAC_ABK", rest, mask, row=row + whole), read[1])))
    name = draw.choice(("WR_SBK", "WR_ABK", "COPY_GBBK", "WR_MEM"))
    one = Instruction(
        name,
        channels=1 << draw.randrange(sizes.channels) if name != "WR_SBK" else mask,
        bank=draw.randrange(sizes.banks) if name != "WR_ABK" else -1,
        row=row + draw.choice((0, whole, ROOM)),
    )
    writes = Loop((one,), draw.choice((1, 2, 64)), draw.choice((0, 1)))
    return Segment("attention", (writes, *loops) if draw.random() < 0.5 else (*loops, writes))


def anything(draw: random.Random, device: Device) -> Segment:
    """Return instructions at random, cut into loops."""
    found = case(draw.getrandbits(32), draw.randint(1, 30), device.organization.channels).program
    banks = device.organization.banks
    program = [
        replace(one, bank=min(one.bank, banks - 1), row=min(one.row, 3 * ROOM))
        for one in found
        if one.op != "EOC"
    ]
    cuts = sorted({0, len(program), *draw.choices(range(len(program)), k=draw.randint(0, 4))})
    loops = []
    for first, last in pairwise(cuts):
        count = draw.choice((1, 1, 2, 3, 30))
        rows = [one.row for one in program[first:last] if one.row >= 0]
        stride = draw.choice((0, 1, 2, -1))
        if rows and min(rows) + stride * count < 0:
            stride = 0
        loops.append(Loop(tuple(program[first:last]), count, stride))
    return Segment("anything", tuple(loops))


MAKERS = (gemv, attention, anything)


def hits_of(machine: Machine) -> tuple[int, int]:
    """Return the hits and misses of a log: a miss is served by an activate before it."""
    log = machine.commands()
    columns = {
        COMMANDS.index(op.command) for op in OPS.values() if op.command and op.rows != "none"
    }
    activates = {COMMANDS.index("ACT"), COMMANDS.index("ACT16")}
    hits = misses = 0
    for channel in range(machine.device.organization.channels):
        fresh = False
        for command in log.command[log.channel == channel].tolist():
            if command in activates:
                fresh = True
            elif command in columns:
                hits, misses, fresh = hits + (not fresh), misses + fresh, False
    return hits, misses


def differences(seed: int, form: type[ClosedForm], compiled: bool = False) -> list[str]:
    """Run a seed's chain both ways; return what differs."""
    draw = random.Random(seed)
    policy, double = draw.choice(POLICIES), draw.random() < 0.2
    channels = draw.choice((1, 1, 2, 4, 8))
    if draw.random() < 0.5:
        interval = draw.choice((3800, 3801, 2777)) * (2 if double else 1)
        made = with_(load("gddr6-aim"), channels=channels, nREFI=interval)
    else:
        made = device(draw, channels, policy, double)
        made = replace(made, organization=replace(made.organization, rows=16384))
    settings = {
        "strict": draw.random() < 0.3,
        "queue": draw.choice((33, 33, 1, 2, 5)),
        "host_per_clock": draw.choice((1, 1, 1, 2)),
    }
    rule = Refresh(policy, double, draw.choice((0,) * 19 + (2,)))
    logged = seed % 7 == 0
    if form is Chain:
        settings = {}
    machine = Machine(made, rule, log=logged, compiled=compiled, **settings)
    closed = form(made, rule, **settings)
    segments = [draw.choice(MAKERS)(draw, made) for _ in range(draw.randint(1, 3))]
    clock = draw.randrange(1, 4000)
    wrong = []
    for step in range(draw.randint(1, 5)):
        segment = draw.choice(segments)
        offset = draw.choice((0, 0, 1, 3 * ROOM, 5000))
        try:
            end = machine.run(segment.expand(offset), clock)
        except PimError as error:  # there may be no room for work between two refreshes
            with pytest.raises(PimError, match=error.code):
                closed.run(segment, clock, offset)
            return []
        found = closed.run(segment, clock, offset)
        if found != end:
            return [f"seed {seed}, step {step} ({segment.name}): {found} for {end}"]
        clock = end + draw.choice((0, 1, 20, draw.randrange(300), draw.randrange(9000)))
    expected, run = machine.result(end), closed.result(end)
    for name in PARTS if form is ClosedForm else TOTALS:
        ours, theirs = getattr(run, name), getattr(expected, name)
        if not np.array_equal(ours, theirs) if isinstance(ours, np.ndarray) else ours != theirs:
            wrong.append(f"seed {seed}: {name}: {ours} for {theirs}")
    if logged and not closed.falls_back and (closed.hits, closed.misses) != hits_of(machine):
        wrong.append(f"seed {seed}: hits {closed.hits}, {closed.misses} for {hits_of(machine)}")
    return wrong


FORMS = pytest.mark.parametrize("form", [ClosedForm, Chain])


@FORMS
def test_random_chains_equal_the_command_engine(form: type[ClosedForm]) -> None:
    seeds = range(250) if form is ClosedForm else range(250, 350)
    assert not [wrong for seed in seeds for wrong in differences(seed, form)]


@pytest.mark.slow
@FORMS
@pytest.mark.parametrize("first", range(0, 10_000, 500))
def test_ten_thousand_random_chains(form: type[ClosedForm], first: int) -> None:
    seeds = range(first, first + 500)
    assert not [wrong for seed in seeds for wrong in differences(seed, form)]


def aim(channels: int, **timing: int) -> Device:
    return with_(load("gddr6-aim"), channels=channels, **timing)


def peer_gemv(device: Device, rows: int) -> Segment:
    mask = everywhere(device)
    body = (
        Instruction("WR_BIAS", 1, mask),
        Instruction("WR_GB", 64, mask),
        Instruction("MAC_ABK", 64, mask, row=0),
        Instruction("RD_MAC", 1, mask),
    )
    return Segment("gemv", (Loop(body, rows),))


def peer_macs(device: Device) -> Segment:
    return Segment("macs", (Loop((Instruction("MAC_ABK", 64, everywhere(device), row=0),), 1024),))


@pytest.mark.parametrize(
    ("channels", "rows", "clocks", "commands"), [(1, 256, 105_984, 34_304), (32, 8, 3_312, 34_304)]
)
def test_public_totals_of_a_matrix(channels: int, rows: int, clocks: int, commands: int) -> None:
    memory = ClosedForm(aim(channels), Refresh("none"))
    assert memory.run(peer_gemv(memory.device, rows)) == clocks
    assert sum(memory.result().counts.values()) == commands
    # Of 64 accesses of a row, all but the first find it open.
    assert (memory.hits, memory.misses) == (256 * 63, 256)


@pytest.mark.parametrize(
    ("policy", "clocks", "each"), [("none", 231_383, 0), ("all-bank", 253_119, 66)]
)
def test_public_totals_of_rows(policy: str, clocks: int, each: int) -> None:
    memory = ClosedForm(aim(32, nRFC=240, nREFI=3800), Refresh(policy))
    assert memory.run(peer_macs(memory.device)) == clocks
    counts = memory.result().counts
    assert counts["MAC16"] == 32 * 1024 * 64
    assert counts.get("REFab", 0) == 32 * each


def test_a_streamed_row_takes_226_clocks() -> None:
    device = aim(1)
    row = Instruction("MAC_ABK", 64, 1, row=0)
    ends = [
        ClosedForm(device, Refresh("none")).run(Segment("rows", (Loop((row,), rows),)))
        for rows in (100, 101, 5000)
    ]
    # From one activate to the next: 56 (nRCDRDMAC) + 126 (63 nCCDS) + 12 (nRTP) + 32 (nRP).
    assert ends[1] - ends[0] == 226
    assert ends[2] - ends[0] == 4900 * 226


@FORMS
@pytest.mark.parametrize("policy", POLICIES)
def test_a_token_of_gpt2_small(form: type[ClosedForm], policy: str) -> None:
    device = load("pim-gpt")
    compiler = Compiler(models.load("gpt2-small"), device, "pim-gpt", tokens=700)
    machine, memory = Machine(device, Refresh(policy)), form(device, Refresh(policy))
    clock = 1
    for step in compiler.token(611).steps:
        if isinstance(step.work, Segment):
            end = machine.run(step.expand(), clock)
            assert memory.run(step.work, clock, step.offset) == end, step.name
            clock = end
        else:
            clock += asic.memory_clocks(asic.clocks(step.work, device.asic), device)
    expected, found = machine.result(end), memory.result(end)
    for name in PARTS if form is ClosedForm else TOTALS:
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name


def test_time_does_not_run_back() -> None:
    memory = ClosedForm(aim(1))
    end = memory.run(peer_gemv(memory.device, 2))
    with pytest.raises(ValueError, match=f"clock {end - 1} has passed, it is {end}"):
        memory.run(peer_gemv(memory.device, 2), end - 1)


def test_rows_out_of_range_are_refused() -> None:
    memory = ClosedForm(aim(1))
    loop = Loop((Instruction("MAC_ABK", 64, 1, row=16_380),), 4)
    memory.run(Segment("rows", (loop,)))
    with pytest.raises(PimError, match="E803"):
        memory.run(Segment("rows", (replace(loop, count=5),)))
    with pytest.raises(PimError, match="E803"):
        memory.run(Segment("rows", (loop,)), 100_000, 1)


def test_refresh_that_leaves_no_room_is_refused() -> None:
    memory = ClosedForm(aim(1, nREFI=16 * 90), Refresh("per-bank"))
    with pytest.raises(PimError, match="E805"):
        memory.run(Segment("rows", (Loop((Instruction("MAC_ABK", 64, 1, row=0),)),)))


def test_postponed_refreshes_run_on_the_engine() -> None:
    device, rule = aim(2), Refresh("all-bank", postponed=4)
    memory, machine = ClosedForm(device, rule), Machine(device, rule)
    assert memory.falls_back == "refreshes are postponed"
    segment = peer_gemv(device, 40)
    assert memory.run(segment) == machine.run(segment.expand())
    assert memory.result().counts == machine.result(0).counts
