"""The memory's Verilog: commands as the event simulator's, numbers as the model's, bit by bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rtl.pim_memory import Memory, memory, work

from gateformer.hw.pim.device import load, with_
from gateformer.hw.pim.isa import COMMANDS, Instruction
from gateformer.hw.pim.verilog import emit
from gateformer.quant.errors import MismatchError, Problems
from gateformer.sim.dram import engine
from gateformer.sim.dram.refresh import Refresh
from gateformer.sim.pim.rtl.numbers import Numbers
from gateformer.sim.pim.rtl.run import Outcome, Work, Write, run

pytestmark = pytest.mark.icarus

READS = {"RD": "nCL + nBL", "RDMAC16": "nCLREG + nBL", "RDAF16": "nCLREG + nBL"}


def compare(one: Memory, works: list[Work], folder: Path, cache: Path, **more: Any) -> int:
    """Hold programs' commands to the engine's and their numbers to the model's; count commands."""
    found = run(
        works,
        one.device,
        refresh=one.refresh,
        strict=one.strict,
        queue=one.queue,
        weights=one.weights,
        work=folder,
        cache=cache,
        **more,
    )
    for each, outcome in zip(works, found, strict=True):
        same_commands(one, each, outcome)
        same_numbers(one, each, outcome)
    return sum(len(outcome.commands) for outcome in found)


def same_commands(one: Memory, each: Work, outcome: Outcome) -> None:
    expected = engine.run(
        each.program,
        one.device,
        refresh=one.refresh,
        log=True,
        strict=one.strict,
        queue=one.queue,
    )
    assert expected.commands is not None
    assert list(outcome.commands.lines()) == list(expected.commands.lines())
    assert outcome.clocks == expected.clocks


def same_numbers(one: Memory, each: Work, outcome: Outcome) -> None:
    model = Numbers(one.device, one.weights)
    for (channel, bank, row), data in each.rows.items():
        cells = model.cells[channel, bank, row]
        cells[:] = np.asarray(data).view(np.uint16).reshape(cells.shape)
    with np.errstate(all="ignore"):
        model.run(each.program, each.writes)
    for channel in range(one.device.organization.channels):
        for clocks, data, expected in (
            (outcome.read_clocks, outcome.reads, model.reads[channel]),
            (outcome.result_clocks, outcome.results, model.results[channel]),
        ):
            mine = data[clocks[:, 1] == channel].view(np.uint16)
            assert np.array_equal(mine, np.array(expected, np.uint16).reshape(-1, mine.shape[1]))
    rows = model.rows()
    for place, data in outcome.rows.items():
        assert np.array_equal(data, rows[place]), place
    assert sorted(map(tuple, reads_due(one, outcome))) == sorted(
        map(tuple, np.concatenate([outcome.read_clocks, outcome.result_clocks]).tolist())
    )


def reads_due(one: Memory, outcome: Outcome) -> list[list[int]]:
    """Return clock and channel at which what is read has to come."""
    timing = one.device.timing
    log = outcome.commands
    found = []
    for clock, channel, command in zip(log.clock, log.channel, log.command, strict=True):
        name = COMMANDS[command]
        if name in READS:
            latency = sum(timing[part] for part in READS[name].split(" + "))
            # A sum is there a clock after its last product, so no result comes at once.
            latency = latency if name == "RD" else max(latency, 1)
            found.append([int(clock) + latency, int(channel)])
    return found


@pytest.mark.parametrize("seed", range(2))
def test_random_programs(seed: int, tmp_path: Path, builds: Path) -> None:
    one = memory(seed + 4, channels=2)
    compare(one, [work(100 * seed + k, one, 15) for k in range(2)], tmp_path, builds)


def test_rows_kept_by_the_bench_are_the_same(tmp_path: Path, builds: Path) -> None:
    one = memory(8, channels=2)
    one = replace(one, device=with_(one.device, rows=16384))
    few = work(8, one, 15)
    rows = {place: row for place, row in few.rows.items() if place[2] in (0, 1, 2, 16383)}
    assert compare(one, [replace(few, rows=rows)], tmp_path, builds, outside=True) > 50


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 25, 5))
def test_a_hundred_random_programs(first: int, tmp_path: Path, builds: Path) -> None:
    for seed in range(first, first + 5):
        one = memory(seed)
        works = [work(1000 * seed + k, one, 30) for k in range(4)]
        assert compare(one, works, tmp_path / str(seed), builds) > 100


def small(**changes: int) -> Memory:
    """Return AiM's timing on few and small banks."""
    device = with_(
        load("gddr6-aim"), channels=2, bank_groups=1, banks_per_group=3, rows=4, row_bytes=32,
        access_bits=32, **changes,
    )  # fmt: skip
    assert device.mac is not None
    mac = replace(device.mac, lanes=2, buffer_bytes=32)
    return Memory(replace(device, mac=mac), Refresh("none"), False, 33, "bf16")


def test_edges_of_queue_blocking_and_barriers(tmp_path: Path, builds: Path) -> None:
    both, first, second = 3, 1, 2
    programs = (
        # A channel's full queue holds back the next instruction, not the other channel's share.
        [
            *(Instruction("MAC_ABK", 8, first, row=row % 4) for row in range(9)),
            Instruction("MAC_ABK", 8, both, row=1),
            Instruction("RD_MAC", 1, second),
            Instruction("RD_MAC", 1, both),
            Instruction("WR_GB", 8, both),
        ],
        # What waits for nothing: empty masks, size 0, host's own, two SYNCs, an EOC at once.
        [
            Instruction("MAC_ABK", 8, 0, row=0),
            Instruction("MAC_ABK", 0, both, row=0),
            Instruction("RD_MAC", 1, 0),
            Instruction("EWADD", 5),
            Instruction("SYNC"),
            Instruction("SYNC"),
        ],
        [],
        # A row that is open already; AF's pseudo row between two uses of it; all banks written.
        [
            Instruction("MAC_SBK", 2, both, 1, 3, column=6),
            Instruction("MAC_ABK", 1, both, row=3, column=7, slot=7),
            Instruction("W_CFR", address=2, value=5),
            Instruction("AF", 1, both),
            Instruction("MAC_ABK", 1, both, row=3, column=7),
            Instruction("EWMUL", 8, both, row=3),
            Instruction("RD_SBK", 8, both, 2, 3),
            Instruction("RD_SBK", 1, both, 0, 2),
        ],
    )
    one = small()
    load_all = [Instruction("WR_GB", 8, both), Instruction("WR_BIAS", 1, both)]
    rng = np.random.default_rng(1)
    rows = {
        (c, b, r): (rng.integers(0x3F00, 0x4000, 16)).astype(np.uint16).view(np.uint8)
        for c in range(2)
        for b in range(3)
        for r in range(4)
    }
    works = []
    for own in programs:
        program = [*load_all, *own]
        writes = [
            [
                Write(np.full(6, 63, np.uint8))
                for each in program
                if each.op in ("WR_GB", "WR_BIAS") and each.channels >> channel & 1
                for _ in range(each.size)
            ]
            for channel in range(2)
        ]
        works.append(Work(tuple(program), writes, rows))
    compare(one, works, tmp_path, builds)
    compare(replace(one, queue=1), works[:2], tmp_path / "queue", builds)


def test_pipelined_multipliers_change_no_bit(tmp_path: Path, builds: Path) -> None:
    one = small(nCLREG=3)
    compare(one, [work(5, one, 20)], tmp_path, builds, mac_stages=3)


WRONG = (
    (Instruction("NONSENSE"), "unknown operation"),
    (Instruction("MAC_SBK", 1, 1, 3, 0), "no such bank"),
    (Instruction("MAC_ABK", 1, 1, row=4), "no such row"),
    (Instruction("MAC_ABK", 3, 1, row=0, column=6), "columns beyond the row"),
    (Instruction("WR_GB", 9), "slots beyond the buffer"),
    (Instruction("MAC_ABK", 2, 1, row=0, slot=7), "slots beyond the buffer"),
    (Instruction("WR_ABK", 1, 3, row=0), "not exactly one channel"),
    (Instruction("RD_MAC", 0), "size 0, and it blocks"),
)


def test_the_host_refuses_by_name(tmp_path: Path, builds: Path) -> None:
    one = small()
    works = [
        Work((Instruction("WR_GB", 8, 3), wrong, Instruction("WR_GB", 1, 3))) for wrong, _ in WRONG
    ]
    with pytest.raises(Problems) as caught:
        run(works, one.device, refresh=one.refresh, numbers=False, work=tmp_path, cache=builds)
    told = [str(error) for error in caught.value.errors]
    for text, (wrong, why) in zip(told, WRONG, strict=True):
        assert "instruction 1" in text and wrong.op in text and why in text


def test_a_lost_wait_is_seen_by_the_watch(tmp_path: Path, builds: Path) -> None:
    one = small()
    name = f"gf_pim_rules_{one.device.name}.v"
    text = emit(one.device)[name]
    old = "Act, Act16: mac16_load = 6'd55;"
    assert text.count(old) == 1
    program = (Instruction("MAC_ABK", 1, 3, row=0),)
    with pytest.raises(MismatchError, match=r"illegal command.*channel 0") as caught:
        run(
            [Work(program)],
            one.device,
            refresh=one.refresh,
            changed={name: text.replace(old, old.replace("55", "54"))},
            numbers=False,
            work=tmp_path,
            cache=builds,
        )
    assert caught.value.code == "E405"
    assert "not 56: nRCDRDMAC" in (tmp_path / "simulation.log").read_text()
