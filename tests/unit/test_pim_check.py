"""The legality checker: legal logs pass; each rule, broken on purpose, is found and named."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from equiv.pim_fuzz import case
from equiv.pim_ticks import Command, tick

from gateformer.hw.pim.device import Constraint, Device, load, with_
from gateformer.hw.pim.isa import COMMANDS, SCOPES, Instruction
from gateformer.quant.errors import GateformerError, Problems
from gateformer.sim.dram.check import Report, check
from gateformer.sim.dram.check_log import Columns
from gateformer.sim.dram.check_refresh import slack
from gateformer.sim.dram.check_timing import timing
from gateformer.sim.dram.commands import CommandLog

ORACLE = Path(__file__).parents[3] / "shared" / "pim"
AIM = with_(load("gddr6-aim"), channels=2)
RULES = (*AIM.constraints, *AIM.strict)


def log_of(commands: list[Command]) -> CommandLog:
    numbers = [(*one[:2], COMMANDS.index(one.command), *one[3:]) for one in commands]
    table = np.array(numbers, np.int64).reshape(-1, 7)
    return CommandLog(*(table[:, column].copy() for column in range(7)))


def found(commands: list[Command], device: Device = AIM, **options: object) -> Report:
    return check(log_of(commands), device, **{"policy": "none", **options})  # type: ignore[arg-type]


def run(*program: Instruction, device: Device = AIM, policy: str = "none") -> list[Command]:
    return tick(program, device, policy=policy).commands


MIXED = (
    Instruction("WR_GB", 4),
    Instruction("MAC_ABK", 3, row=0),
    Instruction("MAC_ABK", 2, row=1),
    Instruction("RD_MAC"),
    Instruction("MAC_SBK", bank=5, row=2),
    Instruction("RD_SBK", bank=5, row=3, channels=3),
    Instruction("WR_SBK", bank=6, row=3, channels=3),
    Instruction("AF"),
    Instruction("WR_ABK", row=0),
    Instruction("COPY_GBBK", 2, bank=1, row=1),
)
"""Every kind of command, on one channel and on two."""


def position(commands: list[Command], name: str, nth: int = 0) -> int:
    return [at for at, one in enumerate(commands) if one.command == name][nth]


def without(commands: list[Command], name: str, nth: int = 0) -> list[Command]:
    at = position(commands, name, nth)
    return commands[:at] + commands[at + 1 :]


def changed(commands: list[Command], name: str, nth: int = 0, **fields: int) -> list[Command]:
    at = position(commands, name, nth)
    return [*commands[:at], commands[at]._replace(**fields), *commands[at + 1 :]]


def test_a_legal_log_passes() -> None:
    report = found(run(*MIXED))
    assert report.legal and not report.counts and not list(report.lines())
    assert report.commands == len(run(*MIXED)) > 30


@pytest.mark.parametrize("seed", range(20))
def test_what_the_reference_issues_is_legal(seed: int) -> None:
    one = case(seed, 40)
    issued = tick(
        one.program,
        one.device,
        policy=one.policy,
        double=one.double,
        strict=one.strict,
        queue=one.queue,
        postponed=one.postponed,
    )
    report = check(
        log_of(issued.commands),
        one.device,
        strict=one.strict,
        policy=one.policy,
        postponed=one.postponed,
        double=one.double,
    )
    assert report.legal, list(report.lines(5))


@pytest.mark.parametrize("postponed", [1, 4])
def test_postponed_refreshes_are_legal_where_allowed(postponed: int) -> None:
    device = with_(AIM, nREFI=800)
    program = [Instruction("MAC_ABK", 64, channels=3, row=row) for row in range(60)]
    issued = tick(program, device, policy="all-bank", postponed=postponed).commands
    assert found(issued, device, policy="all-bank", postponed=postponed).legal
    report = found(issued, device, policy="all-bank", postponed=postponed - 1)
    assert report.counts == {"refresh": 2}  # one a channel, where lateness begins


def pair(rule: Constraint, gap: int, place: int = 0) -> Columns:
    """Return the rule's window of first commands and its second, ``gap`` clocks after the first."""
    first = [Command(100 + at, 0, rule.after[0], 0, 0, 0, 0) for at in range(rule.window)]
    second = Command(100 + gap, 0, rule.before[-1], 0, 0, 0, 0)
    moved = {
        "channel": second._replace(channel=place),
        "bankgroup": second._replace(group=place),
        "bank": second._replace(bank=place),
    }
    return Columns.of(log_of([*first, moved[rule.level]]))


@pytest.mark.parametrize("at", range(len(RULES)))
def test_every_constraint_holds_to_the_clock(at: int) -> None:
    rule = replace(RULES[at], wait=max(RULES[at].wait, 9))
    if rule.before[-1] not in SCOPES:  # SYNC and EOC are in no log
        rule = replace(rule, before=rule.before[:1])
    assert not list(timing(pair(rule, rule.wait), (rule,)))
    (broken,) = timing(pair(rule, rule.wait - 1), (rule,))
    assert broken.constraint == rule.text
    assert (broken.clock, broken.line, broken.since) == (99 + rule.wait, rule.window + 1, 1)
    assert f"{rule.wait - 1} clocks after {rule.after[0]} at 100" in broken.text
    assert f"{rule.text} asks for {rule.wait} (line 1)" in broken.text
    assert not list(timing(pair(rule, rule.wait - 1, place=1), (rule,)))


def test_each_command_of_a_stream_is_as_early_as_it_may_be() -> None:
    device = with_(AIM, channels=1)
    issued = run(*(Instruction("MAC_ABK", 4, row=row) for row in range(3)), device=device)
    asked = {"MAC16": {"nRCDRDMAC", "nCCDS", "nCCDL"}, "PREA": {"nRTP"}, "ACT16": {"nRP"}}
    for at, one in enumerate(issued[1:], 1):
        early = [*issued[:at], one._replace(clock=one.clock - 1), *issued[at + 1 :]]
        report = found(early, device)
        assert set(report.counts) == {"timing"}
        assert {line.constraint for line in report.violations} <= asked[one.command]
        assert {line.line for line in report.violations} == {at + 1}


def test_four_activates_when_strict() -> None:
    device = with_(AIM, nFAW=300, channels=1)
    reads = [Instruction("RD_SBK", bank=bank, row=0) for bank in (0, 4, 8, 12, 1)]
    issued = run(*reads, device=device)
    assert found(issued, device).legal
    (broken,) = found(issued, device, strict=True).violations
    assert broken.constraint == "nFAW"
    assert "148 clocks after ACT at 1, 4 of them back; nFAW asks for 300 (line 1)" in broken.text


BROKEN = {
    "no ACT16": (without(run(*MIXED), "ACT16"), "closed row"),
    "no ACT": (without(run(*MIXED), "ACT"), "closed row"),
    "no PREA": (without(run(*MIXED), "PREA"), "open bank"),
    "no PRE": (without(run(*MIXED), "PRE"), "open bank"),
    "no TMOD": (without(run(*MIXED), "TMOD"), "mode"),
    "no second TMOD": (without(run(*MIXED), "TMOD", 1), "mode"),
    "another row": (changed(run(*MIXED), "MAC16", row=9), "wrong row"),
    "another bank": (changed(run(*MIXED), "RD", bank=3), "closed row"),
    "another row of a bank": (changed(run(*MIXED), "RD", row=1), "wrong row"),
    "a row too many": (changed(run(*MIXED), "ACT", row=AIM.organization.rows), "address"),
    "a function read by MAC16": (changed(run(*MIXED), "MAC16", row=1 << 29), "address"),
    "a bank too many": (changed(run(*MIXED), "RD", bank=4), "address"),
    "a group too many": (changed(run(*MIXED), "RD", group=4), "address"),
    "no bank": (changed(run(*MIXED), "WR", bank=-1), "address"),
    "a channel too many": (changed(run(*MIXED), "WRGB", channel=2), "address"),
    "a column too many": (changed(run(*MIXED), "WRGB", 1, column=64), "address"),
    "clock 0": (changed(run(*MIXED), "TMOD", clock=0), "clock"),
    "one command twice": (run(*MIXED)[:5] + run(*MIXED)[4:], "clock"),
    "back in time": (changed(run(*MIXED), "PREA", clock=1), "clock"),
    "ACT of an open bank": (
        [*run(Instruction("RD_SBK", bank=0, row=0)), Command(500, 0, "ACT", 0, 0, 1, 0)],
        "open bank",
    ),
    "ACT4 of an open bank": (
        [*run(Instruction("RD_SBK", bank=0, row=0)), Command(500, 0, "ACT4", 0, -1, 1, 0)],
        "open bank",
    ),
    "REFab of an open bank": (
        [*run(Instruction("RD_SBK", bank=0, row=0)), Command(500, 0, "REFab", -1, -1, -1, -1)],
        "open bank",
    ),
    "REFpb of an open bank": (
        [*run(Instruction("RD_SBK", bank=0, row=0)), Command(500, 0, "REFpb", 0, 0, -1, -1)],
        "open bank",
    ),
    "REFab in register mode": (
        [*run(Instruction("WR_GB")), Command(500, 0, "REFab", -1, -1, -1, -1)],
        "mode",
    ),
    "RD after RDA": (
        [
            *run(Instruction("RD_SBK", bank=0, row=0)),
            Command(500, 0, "RDA", 0, 0, 0, 0),
            Command(600, 0, "RD", 0, 0, 0, 0),
        ],
        "closed row",
    ),
    "RD after PRE4": (
        [
            *run(Instruction("RD_SBK", bank=0, row=0)),
            Command(500, 0, "PRE4", 0, -1, -1, -1),
            Command(600, 0, "RD", 0, 0, 0, 0),
        ],
        "closed row",
    ),
}
"""A legal log with one thing wrong, and the rule that this breaks."""


@pytest.mark.parametrize("name", BROKEN)
def test_a_seeded_fault_is_found_and_named(name: str) -> None:
    commands, rule = BROKEN[name]
    report = found(commands)
    assert rule in report.counts, dict(report.counts)
    (first, *_) = [one for one in report.violations if one.rule == rule]
    assert first.text.startswith(f"{first.command} at {first.clock} of channel {first.channel} ")
    assert commands[first.line - 1].command == first.command
    assert commands[first.line - 1].clock == first.clock


def test_a_fault_is_told_once() -> None:
    issued = run(Instruction("WR_GB", 64), Instruction("MAC_ABK", 64, row=0))
    for name, rule in (("ACT16", "closed row"), ("TMOD", "mode")):
        assert found(without(issued, name)).counts[rule] == 1


REFRESHED = with_(AIM, channels=1, nREFI=1000)
STREAM = [Instruction("MAC_ABK", 64, row=row) for row in range(40)]


def test_refresh_is_asked_for_by_what_is_in_the_log() -> None:
    issued = run(*STREAM, device=REFRESHED, policy="all-bank")
    assert sum(one.command == "REFab" for one in issued) == issued[-1].clock // 1000
    assert found(issued, REFRESHED, policy=None, postponed=0).legal
    plain = run(*STREAM, device=REFRESHED)
    assert found(plain, REFRESHED).legal
    late = found(plain, REFRESHED, policy=None, postponed=0)  # the device's own policy
    assert late.counts == {"refresh": 1}
    assert "too late to precede REFab number 1, due at 1000" in late.violations[0].text


def test_a_missing_refresh_is_found_unless_it_may_be_owed() -> None:
    issued = run(*STREAM, device=REFRESHED, policy="all-bank")
    fewer = without(issued, "REFab", 2)
    report = found(fewer, REFRESHED, policy=None, postponed=0)
    assert report.counts == {"refresh": 1}
    assert "is late: it is REFab number 3, due at 3000" in report.violations[0].text
    assert found(fewer, REFRESHED, policy=None).legal  # the device's eight


def test_the_last_refresh_is_asked_for_too() -> None:
    issued = run(*STREAM, device=REFRESHED, policy="all-bank")
    count = sum(one.command == "REFab" for one in issued)
    report = found(without(issued, "REFab", -1), REFRESHED, policy=None, postponed=0)
    assert f"too late to precede REFab number {count}" in report.violations[0].text


def test_a_refresh_may_take_no_longer_than_what_stands_in_its_way() -> None:
    # 89 (nRC, before a mode switch or the refresh), 54 (nRAS, before PREA), 89 (nRC)
    patience = slack("REFab", AIM.constraints)
    assert patience == 89 + 54 + 89
    alone = [Command(1000 + patience, 0, "REFab", -1, -1, -1, -1)]
    assert found(alone, REFRESHED, policy="all-bank", postponed=0).legal
    late = [alone[0]._replace(clock=1001 + patience)]
    assert found(late, REFRESHED, policy="all-bank", postponed=0).counts == {"refresh": 1}


def test_each_bank_is_refreshed_in_its_turn() -> None:
    device = with_(AIM, channels=1, nREFI=16 * 600)
    issued = run(*STREAM, *STREAM, *STREAM, *STREAM, device=device, policy="per-bank")
    assert sum(one.command == "REFpb" for one in issued) > 40
    assert found(issued, device, policy=None, postponed=0).legal
    always = [one._replace(group=0, bank=0) if one.command == "REFpb" else one for one in issued]
    report = found(always, device, policy=None, postponed=0)
    texts = [one.text for one in report.violations if one.rule == "refresh"]
    assert len(texts) == 15
    assert all("REFpb of bank" in text for text in texts)


def test_a_hot_device_is_refreshed_twice_as_often() -> None:
    issued = run(*STREAM, device=REFRESHED, policy="all-bank")
    assert found(issued, REFRESHED, policy=None, postponed=0, double=True).counts["refresh"] == 1


def test_random_deletions_never_pass() -> None:
    draw = random.Random(5)
    carriers = {"ACT", "ACT16", "PRE", "PREA", "TMOD"}
    checked = 0
    for seed in range(12):
        one = case(seed, 30, channels=2)
        modes = replace(one.device.organization, modes=True)
        device = replace(one.device, organization=modes)
        issued = tick(one.program, device).commands
        places = [at for at, command in enumerate(issued) if command.command in carriers]
        for at in draw.sample(places, min(8, len(places))):
            report = found(issued[:at] + issued[at + 1 :], device)
            assert not report.legal, (seed, issued[at])
            checked += 1
    assert checked > 60


def test_channels_may_stand_one_after_another() -> None:
    issued = run(*MIXED)
    apart = sorted(issued, key=lambda one: (one.channel, one.clock))
    assert apart != issued
    assert found(apart).legal


def test_no_modes_no_mode_switches() -> None:
    single = replace(AIM, organization=replace(AIM.organization, modes=False))
    issued = run(*MIXED, device=single)
    assert not any(one.command == "TMOD" for one in issued)
    assert found(issued, single).legal


def test_of_very_many_violations_some_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateformer.sim.dram.check.KEPT", 5)
    issued = run(Instruction("MAC_ABK", 40, row=0))
    report = found(issued, with_(AIM, nCCDS=7, nCCDL=8))
    assert report.counts == {"timing": 2 * 39} and report.total == 78
    kept = [one.constraint for one in report.violations]
    assert kept.count("nCCDS") == kept.count("nCCDL") == 5


def test_nothing_is_legal() -> None:
    assert found([], policy=None).legal


def test_a_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.cmds"
    log_of(without(run(*MIXED), "ACT16")).write(path)
    report = check(path, AIM, policy="none")
    (line, *_) = report.lines(1)
    at = position(run(*MIXED), "ACT16") + 1
    assert line.startswith(f"{path}:{at}: MAC16 at ")
    assert line.endswith("asks for row 0 of bank 0 of group 0, which is closed")
    assert report.as_dict(1)["legal"] is False
    path.write_text("1 0 ACT 0 0 0 0\n2 0 ACT 0 0\n")
    with pytest.raises(GateformerError, match="E810"):
        check(path, AIM)


def test_faults_of_a_log_beyond_the_first_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "broken.cmds"
    path.write_text(f"{1 << 80} 0 ACT16 0 0 0 0\n" * 70_000)
    with pytest.raises(Problems, match=r"(?s)broken.cmds:20'.*\nand 69,980 more$") as found:
        check(path, AIM)
    assert len(found.value.errors) == 20


def test_a_long_log_takes_little_time() -> None:
    device = with_(AIM, channels=1)
    issued = run(*(Instruction("MAC_ABK", 64, row=row % 3) for row in range(200)), device=device)
    table = log_of(issued)
    length = issued[-1].clock + 100
    columns = [np.tile(column, 8) for column in table.columns()]
    columns[0] += np.repeat(np.arange(8) * length, len(table))
    log = CommandLog(*columns)
    start = time.process_time()
    report = check(log, device, policy="none")
    assert time.process_time() - start < 30
    assert len(log) > 100_000
    assert report.counts == {"open bank": 7}  # each part begins with the last one's row open


@pytest.mark.skipif(not ORACLE.exists(), reason="the public simulator's logs are not here")
def test_the_public_simulator_is_legal_but_never_refreshes() -> None:
    log = ORACLE / "oracle" / "gemv_4096x1024_1ch.cmds.gz"
    device = load(ORACLE / "gddr6_aim.toml")
    report = check(log, device, strict=True)  # its nRFC is 0: no refresh is asked for
    assert report.legal, list(report.lines(5))
    assert report.commands == 34304
    assert check(log, device, policy="all-bank").counts == {"refresh": 1}
    assert check(log, load("gddr6-aim")).counts == {"refresh": 1}
