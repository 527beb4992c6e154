"""The watch on the command bus against the legality checker, on streams that are wrong."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rtl.pim_memory import Memory, memory, work

from gateformer.hw.pim.isa import COMMANDS, SCOPES
from gateformer.hw.pim.verilog_rules import issued
from gateformer.sim.dram import engine
from gateformer.sim.dram.check import check
from gateformer.sim.dram.check_log import ALL_ROWS, ONE_ROW
from gateformer.sim.dram.commands import CommandLog
from gateformer.sim.pim.rtl.jobs import Integers
from gateformer.sim.pim.rtl.watching import watched

pytestmark = pytest.mark.icarus

CLOCK, COMMAND, GROUP, BANK, ROW, COLUMN = 0, 2, 3, 4, 5, 6
ROWS = ALL_ROWS | ONE_ROW | {"ACT", "ACT16"}


def compare(seed: int, length: int, count: int, folder: Path, cache: Path) -> Counter[str]:
    """Hold the watch to the checker on a legal stream and on others; count the rules broken."""
    one = memory(seed, channels=1)
    assert one.device.mac is not None
    # The checker bounds slots by the columns of a row, so let the buffer be as long.
    mac = replace(one.device.mac, buffer_bytes=one.device.organization.row_bytes)
    one = replace(one, device=replace(one.device, mac=mac))
    program = work(seed, one, length).program
    legal = engine.run(
        program,
        one.device,
        refresh=one.refresh,
        log=True,
        strict=one.strict,
        queue=one.queue,
    ).commands
    assert legal is not None
    draw = random.Random(seed)
    base = np.stack(legal.columns(), axis=1)
    streams = [base, *(_wrong(draw, base, one) for _ in range(count))]
    found = watched(
        [_bus(stream, one) for stream in streams],
        one.device,
        policy=one.refresh.policy,
        strict=one.strict,
        work=folder,
        cache=cache,
    )
    assert not found[0]
    broken: Counter[str] = Counter()
    for stream, clocks in zip(streams, found, strict=True):
        log = CommandLog(*(np.ascontiguousarray(column) for column in stream.T))
        report = check(log, one.device, strict=one.strict, policy="none")
        rules = [each for each in report.violations if each.rule != "refresh"]
        broken.update(each.rule for each in rules)
        first = min((each.clock for each in rules), default=None)
        assert min(clocks, default=None) == first, (seed, [each.text for each in rules[:3]])
    return broken


def _bus(stream: Integers, one: Memory) -> Integers:
    """Return a log as the bus carries it: clock, command, bank of the channel, row, column."""
    banks = stream[:, GROUP] * one.device.organization.banks_per_group + stream[:, BANK]
    banks = np.where(stream[:, BANK] < 0, 0, banks)
    rest = (np.maximum(stream[:, place], 0) for place in (ROW, COLUMN))
    return np.stack([stream[:, CLOCK], stream[:, COMMAND], banks, *rest], axis=1)


def _wrong(draw: random.Random, base: Integers, one: Memory) -> Integers:
    """Return a stream with one thing changed, which may be legal all the same."""
    stream, at = base.copy(), draw.randrange(1, len(base))
    name = COMMANDS[stream[at, COMMAND]]
    match draw.choice(("early", "early", "early", "drop", "command", "row", "bank")):
        case "early":
            room = int(stream[at, CLOCK] - stream[at - 1, CLOCK]) - 1
            stream[at:, CLOCK] -= min(draw.randint(1, 3), room)
        case "drop":
            stream = np.delete(stream, at, 0)
        case "command":
            alike = [
                other
                for other in issued(one.device, one.refresh.policy)
                if SCOPES[other] == SCOPES[name] and (other in ROWS) == (name in ROWS)
            ]
            stream[at, COMMAND] = COMMANDS.index(draw.choice(alike))
        case "row" if name in ROWS and stream[at, ROW] < 1 << 29:
            stream[at, ROW] = draw.choice((0, 1, 2, one.device.organization.rows))
        case "bank" if SCOPES[name] == "bank":
            stream[at, GROUP] = draw.randrange(one.device.organization.bank_groups)
            stream[at, BANK] = draw.randrange(one.device.organization.banks_per_group)
    return stream


def test_the_watch_finds_what_the_checker_finds(tmp_path: Path, builds: Path) -> None:
    broken = sum((compare(seed, 15, 25, tmp_path, builds) for seed in (1, 2)), Counter[str]())
    assert broken["timing"] > 5


@pytest.mark.slow
def test_the_watch_finds_what_the_checker_finds_on_many(tmp_path: Path, builds: Path) -> None:
    broken: Counter[str] = Counter()
    for seed in range(3, 18):
        broken += compare(seed, 25, 30, tmp_path / str(seed), builds)
    rules = ("timing", "address", "closed row", "wrong row", "open bank", "mode")
    assert min(broken[rule] for rule in rules) > 3, broken
