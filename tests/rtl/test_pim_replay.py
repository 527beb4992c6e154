"""A trace through Verilog and engine: one channel of each kind, and what a difference says."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateformer.hw.pim.device import load, with_
from gateformer.hw.pim.isa import Instruction
from gateformer.quant.errors import MismatchError
from gateformer.sim.dram.engine import run
from gateformer.sim.dram.refresh import Refresh
from gateformer.sim.pim.rtl import replay
from gateformer.sim.pim.rtl.replay import compare, merged

EVERYONE = (1 << 8) - 1
DEVICE = with_(load("gddr6-aim"), channels=8, bank_groups=1, banks_per_group=2)


def trace() -> list[Instruction]:
    return [
        Instruction("WR_BIAS", channels=EVERYONE),
        Instruction("WR_GB", 8, EVERYONE),
        Instruction("MAC_ABK", 64, EVERYONE & ~0b110, row=12_000),
        Instruction("RD_SBK", channels=1 << 5, bank=1, row=7),
        Instruction("RD_MAC", channels=EVERYONE),
    ]


def test_channels_that_do_the_same_are_run_once() -> None:
    channels, fewer = merged(trace(), 8)
    assert channels == (0, 1, 5)
    assert [one.channels for one in fewer] == [0b111, 0b111, 0b101, 0b100, 0b111]


def test_no_instruction_leaves_one_channel() -> None:
    assert merged([], 4) == ((0,), [])


@pytest.mark.slow
def test_the_verilog_does_what_the_engine_does(tmp_path: Path) -> None:
    found = compare(
        trace(), DEVICE, refresh=Refresh("all-bank"), work=tmp_path / "w", cache=tmp_path / "c"
    )
    whole = run(trace(), DEVICE, refresh=Refresh("all-bank"))
    assert found.clocks == whole.clocks
    assert found.commands == sum(whole.channel_counts[[0, 1, 5]].sum(0))


@pytest.mark.slow
def test_a_difference_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Verilog is made for a memory whose activates take a clock more."""
    slower = with_(DEVICE, nRCDRDMAC=DEVICE.timing["nRCDRDMAC"] + 1)
    monkeypatch.setattr(replay, "with_", lambda _, channels: with_(slower, channels=channels))
    with pytest.raises(MismatchError, match=r"E402 command differs.*MAC16 at clock \d+ in chan"):
        compare(trace(), DEVICE, refresh=Refresh("none"), work=tmp_path / "w", cache=tmp_path / "c")
