"""The command engine's properties: clocks add up, channels merge, refresh keeps its times."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from equiv.pim_fuzz import case

from gateformer.hw.pim.device import Device, load, with_
from gateformer.hw.pim.isa import COMMANDS, Instruction
from gateformer.hw.pim.program import Loop, Segment
from gateformer.quant.errors import PimError, Problems, ToolError
from gateformer.sim.dram import commands, compiled, engine
from gateformer.sim.dram.closed_form import ClosedForm
from gateformer.sim.dram.compiled import available
from gateformer.sim.dram.engine import Machine, Run, run
from gateformer.sim.dram.refresh import Refresh

NONE = Refresh("none")
ALL = (1 << 32) - 1
needs_numba = pytest.mark.skipif(not available(), reason="numba not installed")


@pytest.fixture(scope="module")
def aim() -> Device:
    return load("gddr6-aim")


def macs(rows: int, channels: int = ALL, size: int = 64) -> list[Instruction]:
    return [Instruction("MAC_ABK", size, channels, row=row) for row in range(rows)]


def clocks_of(found: Run, name: str, channel: int) -> list[int]:
    log = found.commands
    assert log is not None
    mine = (log.command == COMMANDS.index(name)) & (log.channel == channel)
    return [int(clock) for clock in log.clock[mine]]


@pytest.mark.parametrize("policy", ["none", "all-bank", "per-bank"])
def test_every_clock_is_a_command_or_a_wait(aim: Device, policy: str) -> None:
    program = [*macs(40), Instruction("WR_GB", 64, ALL), *macs(40), Instruction("RD_MAC", 1, ALL)]
    found = run(program, aim, refresh=Refresh(policy))  # type: ignore[arg-type]
    spent = sum(found.counts.values()) + sum(found.stalls.values())
    assert spent == 32 * (
        found.clocks - 2
    )  # EOC takes the last clock but one, and ends in the last


def test_stalls_name_what_a_streamed_row_waits_for(aim: Device) -> None:
    few, many = (run(macs(rows), aim, refresh=NONE) for rows in (20, 21))
    row = {key: (many.stalls[key] - few.stalls[key]) // 32 for key in many.stalls}
    assert row.pop(("host", "MAC_ABK"), 0) == row.pop(("completion", "EOC"), 0) == 0
    # 226 clocks: 66 commands, 63 gaps of one clock, and three waits less the command's own clock.
    assert row == {
        ("nCCDS", "MAC_ABK"): 63,
        ("nRTP", "MAC_ABK"): 11,
        ("nRP", "MAC_ABK"): 31,
        ("nRCDRDMAC", "MAC_ABK"): 55,
    }


def test_channels_of_one_kind_are_simulated_once(aim: Device) -> None:
    alone = run(macs(20, channels=1), aim, refresh=NONE)
    together = run(macs(20), aim, refresh=NONE)
    assert together.distinct == alone.distinct == sum(alone.counts.values())
    assert together.counts == {name: 32 * count for name, count in alone.counts.items()}
    assert together.clocks == alone.clocks


def test_a_class_is_split_where_masks_differ(aim: Device) -> None:
    program = [*macs(3), *macs(2, channels=0xF), Instruction("RD_MEM", 1, 1, 0, 9)]
    found = run(program, aim, refresh=NONE, log=True)
    mac = COMMANDS.index("MAC16")
    assert found.channel_counts[:, mac].tolist() == [5 * 64] * 4 + [3 * 64] * 28
    assert found.counts["RD"] == 1
    assert found.commands is not None
    assert len(found.commands) == sum(found.counts.values())


@pytest.mark.parametrize("double", [False, True])
def test_all_bank_refresh_comes_once_an_interval(aim: Device, double: bool) -> None:
    found = run(macs(400), aim, refresh=Refresh(double=double), log=True)
    interval = 1900 if double else 3800
    times = clocks_of(found, "REFab", 31)
    assert [clock // interval for clock in times] == list(range(1, len(times) + 1))
    last = clocks_of(found, "MAC16", 31)[-1]
    assert len(times) == last // interval


def test_per_bank_refresh_goes_round_the_banks(aim: Device) -> None:
    found = run(macs(100), aim, refresh=Refresh("per-bank"), log=True)
    log = found.commands
    assert log is not None
    mine = (log.command == COMMANDS.index("REFpb")) & (log.channel == 0)
    banks = log.bank_group[mine] * 4 + log.bank[mine]
    assert banks.tolist() == [n % 16 for n in range(len(banks))]
    assert (log.clock[mine] // 237).tolist() == list(range(1, len(banks) + 1))
    # All-bank MACs need all banks open: far worse than all-bank refresh.
    all_bank = run(macs(100), aim).clocks
    assert found.clocks > 3 * all_bank > 3 * run(macs(100), aim, refresh=NONE).clocks


def test_postponed_refresh_waits_for_an_empty_queue(aim: Device) -> None:
    # 30 rows take longer than an interval; then the host is busy elsewhere while RD_MAC completes.
    program = [*macs(30), Instruction("RD_MAC", 1, ALL), *macs(1)]
    prompt = run(program, aim, log=True)
    later = run(program, aim, refresh=Refresh(postponed=8), log=True)
    assert clocks_of(prompt, "REFab", 0)[0] < clocks_of(prompt, "RDMAC16", 0)[0]
    assert clocks_of(later, "REFab", 0)[0] > clocks_of(later, "RDMAC16", 0)[0]
    # Nine are never owed: the ninth has priority.
    busy = run(macs(200), aim, refresh=Refresh(postponed=8), log=True)
    times = clocks_of(busy, "REFab", 0)
    assert times[0] // 3800 == 9
    with pytest.raises(PimError, match="Postpone from 0 to 8"):
        run(program, aim, refresh=Refresh(postponed=9))


def test_refresh_runs_through_idle_time(aim: Device) -> None:
    machine = Machine(aim, Refresh(), log=True)
    first = machine.run(macs(1))
    end = machine.run(macs(1), start=100_000)
    found = machine.result(end)
    assert first < 3800
    assert clocks_of(found, "REFab", 3) == [
        clock + (clock // 3800 == 1) * (aim.timing["nRP"]) for clock in range(3800, 100_000, 3800)
    ]


def test_strict_rules_hold_only_where_asked_for(aim: Device) -> None:
    program = [Instruction("MAC_SBK", 1, 1, bank, 0) for bank in (0, 4, 8, 12, 1)]
    fast = with_(aim, nFAW=400)
    loose = clocks_of(run(program, fast, refresh=NONE, log=True), "ACT", 0)
    strict = clocks_of(run(program, fast, refresh=NONE, log=True, strict=True), "ACT", 0)
    assert strict[4] == strict[0] + 400 > loose[4]
    assert strict[:4] == loose[:4]


def test_a_machine_goes_on_where_it_stood(aim: Device) -> None:
    machine = Machine(aim, NONE)
    first = machine.run(macs(2))
    second = machine.run(macs(3), start=first + 1)
    whole = run([*macs(2), Instruction("SYNC"), *macs(3)], aim, refresh=NONE)
    assert second == whole.clocks
    assert machine.result(second).counts == whole.counts


def test_a_smaller_queue_holds_the_host_back(aim: Device) -> None:
    program = [*macs(2, channels=1), *macs(1, channels=2)]
    other = [
        clocks_of(run(program, aim, refresh=NONE, log=True, queue=queue), "ACT16", 1)[0]
        for queue in (1, 33, 64, 128)
    ]
    assert other == sorted(other, reverse=True)
    assert other[-1] == 3


def test_open_clocks_count_rows_held_open(aim: Device) -> None:
    found = run(macs(1, channels=1), aim, refresh=NONE)
    assert found.open_clocks[0] == found.clocks - 1
    assert not found.open_clocks[1:].any()


@pytest.mark.parametrize(
    ("one", "code"),
    [
        (Instruction("MAC_ABK", 1, 1, row=16384), "E803"),
        (Instruction("MAC_ABK", 1, 1), "E803"),
        (Instruction("MAC_SBK", 1, 1, 16, 0), "E803"),
        (Instruction("MAC_SBK", 1, 1, -1, 0), "E803"),
        (Instruction("WR_GB", -1, 1), "E803"),
        (Instruction("WR_GB", 1, 1 << 32), "E803"),
        (Instruction("MAC_ABX", 1, 1), "E801"),
    ],
)
def test_addresses_that_the_device_lacks(aim: Device, one: Instruction, code: str) -> None:
    with pytest.raises(PimError, match=f"{code}.*instruction 1"):
        run([Instruction("SYNC"), one], aim)


def test_settings_out_of_range(aim: Device) -> None:
    for wrong in ({"queue": 0}, {"host_per_clock": 0}, {"queue": 1 << 20}):
        with pytest.raises(PimError, match="E805"):
            run([], aim, **wrong)
    with pytest.raises(PimError, match="leaves no clock"):
        run([], with_(aim, nRFC=0, nREFI=15), refresh=Refresh("per-bank"))


def test_a_device_that_never_refreshes_is_not_refreshed_by_default(aim: Device) -> None:
    assert Refresh.of(with_(aim, nRFC=0)).policy == "none"
    timing = {name: clocks for name, clocks in aim.timing.items() if name != "nREFI"}
    bare = replace(aim, timing=timing)
    assert Refresh.of(bare).policy == "none"
    assert run(macs(400), bare).counts.get("REFab") is None
    with pytest.raises(PimError, match="nREFI = 0 leaves no clock"):
        run([], bare, refresh=Refresh("all-bank"))


def test_refresh_that_leaves_no_room_is_an_error(aim: Device) -> None:
    late = with_(aim, nRFC=240, nREFI=260)
    with pytest.raises(
        PimError, match=r"no room .* each 260 clocks.* nRFC = 240\. .*lower nRFC\.$"
    ):
        run(macs(3), late)
    banks = with_(aim, nRFCpb=3333, nREFI=7800)
    with pytest.raises(PimError, match=r"each 487 clocks.* nRFCpb = 3333\..* all-bank policy"):
        run(macs(10), banks, refresh=Refresh("per-bank"))
    for device, refresh in ((late, Refresh("all-bank")), (banks, Refresh("per-bank"))):
        with pytest.raises(PimError, match="Refresh leaves no room"):
            ClosedForm(device, refresh).run(Segment("macs", (Loop((macs(1)[0],), 10),)))


@needs_numba
@pytest.mark.parametrize("seed", range(12))
def test_the_compiled_kernel_gives_the_same(seed: int) -> None:
    one = case(seed, 60)
    settings = {
        "refresh": Refresh(one.policy, one.double, one.postponed),
        "log": True,
        "strict": one.strict,
        "queue": one.queue,
        "host_per_clock": one.host_per_clock,
    }
    same(
        run(one.program, one.device, **settings),  # type: ignore[arg-type]
        run(one.program, one.device, **settings, compiled=True),  # type: ignore[arg-type]
    )


def same(one: Run, other: Run) -> None:
    assert (one.clocks, one.counts, one.distinct, one.stalls) == (
        other.clocks,
        other.counts,
        other.distinct,
        other.stalls,
    )
    assert one.commands is not None and other.commands is not None
    for mine, theirs in zip(one.commands.columns(), other.commands.columns(), strict=True):
        assert np.array_equal(mine, theirs)
    assert np.array_equal(one.open_clocks, other.open_clocks)
    assert np.array_equal(one.bank_counts, other.bank_counts)


@pytest.mark.parametrize("is_compiled", [False, pytest.param(True, marks=needs_numba)])
def test_a_full_log_is_emptied_on_the_way(
    aim: Device, monkeypatch: pytest.MonkeyPatch, is_compiled: bool
) -> None:
    program = [*macs(5), *macs(3, channels=0xF0), Instruction("WR_GB", 64, ALL)]
    whole = run(program, aim, log=True, compiled=is_compiled)
    monkeypatch.setattr(engine, "LOG_ROOM", 8)
    same(run(program, aim, log=True, compiled=is_compiled), whole)


def test_without_numba_the_compiled_kernel_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "available", lambda: False)
    compiled.compiled_kernel.cache_clear()
    with pytest.raises(ToolError, match=r"E505.*\.\[pim\]"):
        compiled.compiled_kernel()


def test_logs_are_read_as_they_were_written(aim: Device, tmp_path: Path) -> None:
    draw = random.Random(1)
    program = [Instruction("RD_MEM", 1, 1 << draw.randrange(4), 3, n) for n in range(50)]
    log = run([*macs(2), *program], aim, log=True).commands
    assert log is not None
    for name in ("log.txt", "log.txt.gz"):
        log.write(tmp_path / name)
        once = (tmp_path / name).read_bytes()
        log.write(tmp_path / name)
        assert (tmp_path / name).read_bytes() == once
        again = commands.read(tmp_path / name)
        assert all(map(np.array_equal, again.columns(), log.columns()))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["log.txt", "log.txt.gz"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("1 0 ACT16 -1 -1 0", "It has 6 fields"),
        ("", "It has 0 fields"),
        ("1 0 ACT17 -1 -1 0 0", "Did you mean 'ACT16'?"),
        ("one 0 ACT16 -1 -1 0 0", "whole numbers"),
        ("1 0 ACT16 -1 -1 0 -2", "whole numbers"),
        ("99999999999999999999 0 ACT16 -1 -1 0 0", "whole numbers"),
        ("1 0 \x1b[0m -1 -1 0 0", "unknown command"),
    ],
)
def test_malformed_logs_name_file_and_line(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "log.txt"
    path.write_text(f"1 0 ACT16 -1 -1 0 0\n{line}\n")
    with pytest.raises((PimError, Problems), match="E810") as found:
        commands.read(path)
    assert says in str(found.value) and "log.txt:2" in str(found.value)
    assert "\x1b" not in str(found.value)


def test_an_empty_log_is_malformed(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("")
    with pytest.raises(PimError, match="E810 empty command log"):
        commands.read(tmp_path / "log.txt")
