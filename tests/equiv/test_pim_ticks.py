"""The command engine equals the tick-every-clock reference, which equals the public simulator.

Equal means: clock, channel, command, bank group, bank, row and column of every command, and the
clocks of the whole.
"""

from __future__ import annotations

import gzip
import random
from collections import Counter
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from equiv.pim_engine import commands_of, engine
from equiv.pim_fuzz import Case, case
from equiv.pim_ticks import Outcome, tick

from gateformer.hw.pim.device import Device, load, with_
from gateformer.hw.pim.isa import COMMANDS, SCOPES, Instruction
from gateformer.sim.dram.check import check
from gateformer.sim.dram.engine import Machine, Run, run
from gateformer.sim.dram.refresh import Refresh

ORACLE = Path(__file__).parents[3] / "shared" / "pim"
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


def settings(one: Case) -> dict[str, Any]:
    return {
        "policy": one.policy,
        "double": one.double,
        "postponed": one.postponed,
        "strict": one.strict,
        "queue": one.queue,
        "host_per_clock": one.host_per_clock,
    }


def compare(seed: int, length: int, channels: int | None = None) -> Outcome:
    """Hold the engine to the reference on a seed's case; return what both did."""
    one = case(seed, length, channels)
    expected = tick(one.program, one.device, **settings(one))
    found = engine(one.program, one.device, **settings(one))
    if (found.clocks, found.commands) != (expected.clocks, expected.commands):
        pairs = zip(found.commands, expected.commands, strict=False)
        differ = [at for at, (ours, theirs) in enumerate(pairs) if ours != theirs]
        at = differ[0] if differ else min(len(found.commands), len(expected.commands))
        pytest.fail(
            f"seed {seed}, {length} instructions, command {at}: the engine has"
            f" {found.commands[at : at + 1]}, the reference {expected.commands[at : at + 1]};"
            f" clocks {found.clocks} and {expected.clocks}; {settings(one)},"
            f" {one.device.organization.channels} channels"
        )
    return expected


def of_engine(one: Case, log: bool = False, compiled: bool = False) -> Run:
    return run(
        one.program,
        one.device,
        refresh=Refresh(one.policy, one.double, one.postponed),
        log=log,
        strict=one.strict,
        queue=one.queue,
        host_per_clock=one.host_per_clock,
        compiled=compiled,
    )


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


@pytest.mark.parametrize("seed", range(200, 220))
def test_without_a_log_everything_else_is_the_same(seed: int) -> None:
    one = case(seed, 40)
    logged, quick = of_engine(one, log=True), of_engine(one)
    assert quick.commands is None and logged.commands is not None
    same_but_for_the_log(quick, logged)


def same_but_for_the_log(one: Run, other: Run) -> None:
    assert (one.clocks, one.counts, one.stalls) == (other.clocks, other.counts, other.stalls)
    for name in ("channel_counts", "bank_counts", "open_clocks"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


@pytest.mark.parametrize("seed", range(220, 240))
def test_counts_and_open_clocks_are_those_of_the_commands(seed: int) -> None:
    one = case(seed, 40)
    sizes = one.device.organization
    found = of_engine(one, log=True)
    assert found.commands is not None
    by_channel, by_bank = np.zeros_like(found.channel_counts), np.zeros_like(found.bank_counts)
    rows = np.zeros((sizes.channels, sizes.banks), bool)
    since, clocks = np.zeros(sizes.channels, int), np.zeros(sizes.channels, int)
    for command in commands_of(found.commands):
        c, bank = command.channel, command.group * sizes.banks_per_group + command.bank
        code = COMMANDS.index(command.command)
        by_channel[c, code] += 1
        if SCOPES[command.command] == "bank":
            by_bank[c, bank, code] += 1
        was = rows[c].any()
        if command.command in ("ACT", "PRE"):
            rows[c, bank] = command.command == "ACT"
        elif command.command in ("ACT16", "PREA", "WRA16"):
            rows[c] = command.command == "ACT16"
        if rows[c].any() and not was:
            since[c] = command.clock
        elif was and not rows[c].any():
            clocks[c] += command.clock - since[c]
    clocks += np.where(rows.any(axis=1), found.clocks - since, 0)
    assert np.array_equal(found.channel_counts, by_channel)
    assert np.array_equal(found.bank_counts, by_bank)
    assert np.array_equal(found.open_clocks, clocks)
    counts = by_channel.sum(axis=0)
    assert {name: count for name, count in found.counts.items() if count} == {
        name: count for name, count in zip(COMMANDS, counts.tolist(), strict=True) if count
    }


@pytest.mark.parametrize("seed", range(240, 260))
def test_stalls_are_the_references(seed: int) -> None:
    # Not where refresh is postponed: one that begins to wait and is put off waits for nothing.
    one = replace(case(seed, 30), postponed=0)
    expected = tick(one.program, one.device, **settings(one), explain=True)
    found = of_engine(one).stalls
    least, most = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    by_instruction = Counter[str]()
    for (texts, instruction), clocks in expected.stalls.items():
        by_instruction[instruction] += clocks
        for text in texts:
            most[text, instruction] += clocks
        if len(texts) == 1:
            least[texts[0], instruction] += clocks
    assert set(found) <= set(most)
    for key in most:
        assert least[key] <= found.get(key, 0) <= most[key], key
    totals = Counter[str]()
    for (_, instruction), clocks in found.items():
        totals[instruction] += clocks
    assert totals == by_instruction


@pytest.mark.parametrize("seed", range(260, 280))
def test_stretches_are_one_program_with_syncs(seed: int) -> None:
    # A stretch that starts later than it could is like one behind instructions of the host's own.
    one = replace(case(seed, 30), host_per_clock=1)
    draw = random.Random(seed)
    machine = Machine(
        one.device,
        Refresh(one.policy, one.double, one.postponed),
        log=True,
        strict=one.strict,
        queue=one.queue,
    )
    whole: list[Instruction] = []
    left, end = list(one.program[:-1]), 0
    while left:
        size, idle = draw.randint(1, 12), draw.choice((0, 0, 1, 5, 300))
        stretch, left = left[:size], left[size:]
        whole += [Instruction("W_GPR")] * idle + stretch
        end = machine.run(stretch, start=end + 1 + idle)
        assert tick(whole, one.device, **settings(one)).clocks == end
        whole.append(Instruction("SYNC"))
    machine.run((), start=end + 1)  # channels that ended early are refreshed up to here
    expected = tick(whole, one.device, **settings(one)).commands
    found = commands_of(machine.commands())
    assert [command for command in found if command.clock <= end] == [
        command for command in expected if command.clock <= end
    ]


@pytest.mark.skipif(find_spec("numba") is None, reason="numba is not installed")
def test_translated_by_numba_the_engine_is_the_same() -> None:
    for seed in range(300, 330):
        one = case(seed, 40)
        plain, logged = of_engine(one, log=True), of_engine(one, log=True, compiled=True)
        same_but_for_the_log(plain, logged)
        same_but_for_the_log(plain, of_engine(one, compiled=True))
        assert plain.commands is not None and logged.commands is not None
        for ours, theirs in zip(plain.commands.columns(), logged.commands.columns(), strict=True):
            assert np.array_equal(ours, theirs)


@pytest.mark.slow
def test_engine_equals_reference_on_a_million_commands() -> None:
    seed, count, kinds = 100_000, 0, Counter[str]()
    while count < 1_000_000:
        commands = compare(seed, 80).commands
        count += len(commands)
        kinds.update(one.command for one in commands)
        seed += 1
    assert set(kinds) == set(COMMANDS) - NEVER_ISSUED
    assert min(kinds.values()) > 1000


@pytest.mark.slow
def test_what_the_engine_issues_is_legal() -> None:
    for seed in range(400, 1000):
        one = case(seed, 60)
        found = of_engine(one, log=True)
        assert found.commands is not None
        report = check(
            found.commands,
            one.device,
            strict=one.strict,
            policy=one.policy,
            postponed=one.postponed,
            double=one.double,
        )
        assert report.legal, (seed, list(report.lines(3)))


UNREACHABLE = {
    ("PREA", "PRE"): "a PREA leaves nothing to precharge, and REFab or ACT16 comes first",
    ("PRE", "PRE"): "an ACT of the bank comes between",
    ("PREA", "ACT"): "REFab comes between, and waits for nRP itself",
    ("PRE", "ACT16"): "in two rows of the table, of which one is enough",
    ("REFpb", "REFpb"): "in turn, so a round apart at one bank",
    ("REFpb", "REFab"): "of two policies",
    ("PREA", "TMOD"): "a PREA is for an array command, which comes before the mode can change",
}
"""What strict order never lets bind: the first commands of such constraints, and why."""


@pytest.mark.slow
def test_the_random_cases_would_notice_a_lost_constraint() -> None:
    base = load("gddr6-aim")
    rules = (*base.constraints, *base.strict)
    left = {
        at
        for at, rule in enumerate(rules)
        if not NEVER_ISSUED.issuperset(rule.after) and not NEVER_ISSUED.issuperset(rule.before)
    }
    assert len(left) > 75
    for seed in range(3000):
        one = case(seed, 45, channels=1)
        whole = of_engine(one)
        for at in sorted(left):
            if at >= len(base.constraints) and not one.strict:
                continue
            less = of_engine(replace(one, device=_without(one.device, at)))
            if (less.clocks, less.stalls) != (whole.clocks, whole.stalls):
                left.discard(at)
    pairs = {
        next(
            (
                pair
                for pair in UNREACHABLE
                if pair[0] in rules[at].after and pair[1] in rules[at].before
            ),
            rules[at],
        )
        for at in left
    }
    assert pairs <= set(UNREACHABLE), pairs


def _without(device: Device, at: int) -> Device:
    """Return the device without a constraint, of which the strict ones are counted last."""
    rules = [*device.constraints, *device.strict]
    rules[at] = replace(rules[at], wait=0)
    count = len(device.constraints)
    return replace(device, constraints=tuple(rules[:count]), strict=tuple(rules[count:]))
