"""The command engine replays the public AiM simulator: clocks, and every command of a log.

Source of the figures: arkhadem/aim_simulator (MIT), commit 0f28a07, GDDR6-AiM, run on three traces:
a matrix of 4096 x 1024 times a vector on 1 and on 32 channels, and 1,024 rows of 64 all-bank MACs.
Its log of the first has 34,304 lines; their SHA-256 stands here, and the first 200 in
``tests/golden/pim_gemv_1ch.cmds``. Its own refresh never fires; with that repaired, nRFC = 240 and
nREFI = 3800, the last trace takes 253,119 clocks.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from gateformer.hw.pim.device import Device, load, with_
from gateformer.hw.pim.isa import Instruction
from gateformer.hw.pim.trace_file import read
from gateformer.sim.dram import commands
from gateformer.sim.dram.compiled import available
from gateformer.sim.dram.engine import run
from gateformer.sim.dram.refresh import Refresh
from gateformer.sim.dram.replay import replay

GOLDEN = Path(__file__).parents[1] / "golden" / "pim_gemv_1ch.cmds"
LOG_SHA256 = "bea6de342611a98af1c654223a5e2e1ce94d395067a22441abb2d96654c06789"
SHARED = Path(__file__).parents[3] / "shared" / "pim"
ORACLE = SHARED / "oracle"
ALL = (1 << 32) - 1
NO_REFRESH = Refresh("none")
KERNELS = [
    False,
    pytest.param(True, marks=pytest.mark.skipif(not available(), reason="numba not installed")),
]
needs_oracle = pytest.mark.skipif(not ORACLE.is_dir(), reason="the oracle's files are not here")


@pytest.fixture(scope="module")
def aim() -> Device:
    return load("gddr6-aim")


def gemv(rows: int, channels: int) -> list[Instruction]:
    """Return 16 x rows results a channel: 1,024 columns of weights in each bank's row."""
    found = []
    for row in range(rows):
        found += [
            Instruction("WR_BIAS", channels=channels),
            Instruction("WR_GB", 64, channels),
            Instruction("MAC_ABK", 64, channels, row=row),
            Instruction("RD_MAC", channels=channels),
        ]
    return found


def streamed(rows: int) -> list[Instruction]:
    return [Instruction("MAC_ABK", 64, ALL, row=row) for row in range(rows)]


@pytest.mark.parametrize("compiled", KERNELS)
def test_gemv_on_one_channel_equals_the_log(aim: Device, compiled: bool, tmp_path: Path) -> None:
    found = run(gemv(256, 1 << 31), aim, refresh=NO_REFRESH, log=True, compiled=compiled)
    assert found.clocks == 105_984
    assert found.distinct == sum(found.counts.values()) == 34_304
    assert found.commands is not None
    found.commands.write(tmp_path / "commands.txt")
    text = (tmp_path / "commands.txt").read_bytes()
    assert text.startswith(GOLDEN.read_bytes())
    assert hashlib.sha256(text).hexdigest() == LOG_SHA256


@pytest.mark.parametrize("compiled", KERNELS)
def test_gemv_on_all_channels(aim: Device, compiled: bool) -> None:
    found = run(gemv(8, ALL), aim, refresh=NO_REFRESH, compiled=compiled)
    assert found.clocks == 3_312
    assert found.distinct * 32 == sum(found.counts.values())


@pytest.mark.parametrize("compiled", KERNELS)
def test_streamed_rows_with_and_without_refresh(aim: Device, compiled: bool) -> None:
    assert run(streamed(1024), aim, refresh=NO_REFRESH, compiled=compiled).clocks == 231_383
    assert (aim.timing["nRFC"], aim.timing["nREFI"]) == (240, 3800)
    found = run(streamed(1024), aim, compiled=compiled)
    assert found.clocks == 253_119
    assert found.counts["REFab"] == 66 * 32


def test_a_streamed_row_takes_what_the_timing_says(aim: Device) -> None:
    clocks = [run(streamed(rows), aim, refresh=NO_REFRESH).clocks for rows in (10, 11)]
    t = aim.timing
    assert clocks[1] - clocks[0] == t["nRCDRDMAC"] + 63 * t["nCCDS"] + t["nRTP"] + t["nRP"] == 226


@needs_oracle
def test_replay_of_the_shared_trace_equals_the_log_file_to_file(tmp_path: Path) -> None:
    found = replay(
        ORACLE / "gemv_4096x1024_1ch.trace",
        SHARED / "gddr6_aim.toml",
        commands=tmp_path / "found.cmds",
        refresh=NO_REFRESH,
    )
    assert (found.result.clocks, found.instructions) == (105_984, 1025)
    log = commands.read(ORACLE / "gemv_4096x1024_1ch.cmds.gz")
    assert (tmp_path / "found.cmds").read_text() == "".join(f"{line}\n" for line in log.lines())
    assert len(log) == 34_304


@needs_oracle
@pytest.mark.parametrize(
    ("name", "clocks"), [("gemv_4096x1024_32ch", 3_312), ("macab_1024_32ch", 231_383)]
)
def test_replay_of_the_other_shared_traces(name: str, clocks: int) -> None:
    # Its own timing has nRFC = 0, so that its refresh is off unless asked for.
    found = replay(ORACLE / f"{name}.trace", SHARED / "gddr6_aim.toml")
    assert (found.result.clocks, found.refresh.policy) == (clocks, "none")


@needs_oracle
def test_replay_with_refresh_repaired() -> None:
    device = with_(load(SHARED / "gddr6_aim.toml"), nRFC=240, nREFI=3800)
    found = replay(ORACLE / "macab_1024_32ch.trace", device).result
    assert (found.clocks, found.counts["REFab"]) == (253_119, 66 * 32)


@needs_oracle
def test_the_shared_files_say_what_the_package_says(aim: Device) -> None:
    theirs = load(SHARED / "gddr6_aim.toml")
    same = with_(theirs, **{key: aim.timing[key] for key in ("nRFC", "nREFI", "nRFCpb")})
    assert same.constraints == aim.constraints
    assert (same.timing, same.organization, same.clock_ns) == (
        aim.timing,
        aim.organization,
        aim.clock_ns,
    )
    assert theirs.preset == aim.preset
    trace = read(ORACLE / "gemv_4096x1024_1ch.trace", aim)
    assert [(one.op, one.size, one.channels, one.row) for one in trace[:-1]] == [
        (one.op, one.size, one.channels, one.row) for one in gemv(256, 1 << 31)
    ]
