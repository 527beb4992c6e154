"""The command engine equals the tick-every-clock reference, which equals the public simulator.

Equal means: clock, channel, command, bank group, bank, row and column of every command, and the
clocks of the whole.
"""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import pytest
from equiv.pim_engine import engine
from equiv.pim_fuzz import Case, case
from equiv.pim_ticks import Command, Outcome, tick

from gateformer.hw.pim.device import load, with_
from gateformer.hw.pim.isa import COMMANDS, Instruction

ORACLE = Path("/work/shared/pim")
needs_oracle = pytest.mark.skipif(
    not ORACLE.exists(), reason="the public simulator's logs are not here"
)

AIM = with_(load("gddr6-aim"), nRFC=0, nREFI=7800)
NEVER_ISSUED = {"ACT4", "PRE4", "RDA", "WRA", "SYNC", "EOC"}


def gemv(rows: int, channels: int) -> list[Instruction]:
    return [
        one
        for row in range(rows)
        for one in (
            Instruction("WR_BIAS", channels=channels),
            Instruction("WR_GB", 64, channels),
            Instruction("MAC_ABK", 64, channels, row=row),
            Instruction("RD_MAC", channels=channels),
        )
    ]


def reference(one: Case) -> Outcome:
    return tick(
        one.program,
        one.device,
        policy=one.policy,
        double=one.double,
        postponed=one.postponed,
        strict=one.strict,
        queue=one.queue,
        host_per_clock=one.host_per_clock,
    )


def compare(seed: int, length: int, channels: int | None = None) -> list[Command]:
    """Hold the engine to the reference on a seed's case; return the commands."""
    one = case(seed, length, channels)
    expected = reference(one)
    found = engine(
        one.program,
        one.device,
        policy=one.policy,
        double=one.double,
        postponed=one.postponed,
        strict=one.strict,
        queue=one.queue,
        host_per_clock=one.host_per_clock,
    )
    if found != expected:
        pairs = zip(found.commands, expected.commands, strict=False)
        differ = [at for at, (ours, theirs) in enumerate(pairs) if ours != theirs]
        at = differ[0] if differ else min(len(found.commands), len(expected.commands))
        pytest.fail(
            f"seed {seed}, {length} instructions, command {at}: the engine has"
            f" {found.commands[at : at + 1]}, the reference {expected.commands[at : at + 1]};"
            f" clocks {found.clocks} and {expected.clocks}; {one.policy}, strict {one.strict},"
            f" queue {one.queue}, {one.device.organization.channels} channels"
        )
    return expected.commands


@needs_oracle
def test_the_reference_issues_what_the_public_simulator_does() -> None:
    file = ORACLE / "oracle" / "gemv_4096x1024_1ch.cmds.gz"
    with gzip.open(file, "rt") as lines:
        expected = [line.split() for line in lines]
    found = tick(gemv(256, 1 << 31), load(ORACLE / "gddr6_aim.toml"))
    for ours, theirs in zip(found.commands, expected, strict=True):
        assert [str(part) for part in ours] == theirs
    assert (found.clocks, len(found.commands)) == (105_984, 34_304)


def test_the_reference_takes_the_public_simulators_clocks() -> None:
    assert tick(gemv(8, 0xFFFFFFFF), AIM).clocks == 3_312
    rows = [Instruction("MAC_ABK", 64, row=row) for row in range(1024)]
    assert tick(rows, with_(AIM, channels=1)).clocks == 231_383
    found = tick(rows, with_(AIM, channels=1, nRFC=240, nREFI=3800), policy="all-bank")
    assert found.clocks == 253_119
    assert Counter(one.command for one in found.commands)["REFab"] == 66


@pytest.mark.parametrize("batch", range(8))
def test_engine_equals_reference(batch: int) -> None:
    for seed in range(batch * 10, batch * 10 + 10):
        compare(seed, 45)


def test_engine_equals_reference_on_one_instruction() -> None:
    for seed in range(1000, 1150):
        compare(seed, 1, channels=2)


@pytest.mark.slow
def test_engine_equals_reference_on_a_million_commands() -> None:
    seed, count, kinds = 100_000, 0, Counter[str]()
    while count < 1_000_000:
        commands = compare(seed, 80)
        count += len(commands)
        kinds.update(one.command for one in commands)
        seed += 1
    assert set(kinds) == set(COMMANDS) - NEVER_ISSUED
    assert min(kinds.values()) > 1000
