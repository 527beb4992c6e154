"""Energy by currents: each item by hand, and their sum."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateformer.hw.pim import energy
from gateformer.hw.pim.device import Device, Power, load
from gateformer.hw.pim.isa import COMMANDS

# 1 V, 1 ns, and currents that tell every item apart.
POWER = Power(
    name="round",
    voltage=1.0,
    idd0=100.0,
    idd2n=40.0,
    idd3n=60.0,
    idd4r=260.0,
    idd4w=160.0,
    idd5b=110.0,
    mac_reads=3.0,
    mac_mw=50.0,
    io_pj_per_bit=2.0,
    asic_mw=300.0,
    asic_idle_mw=30.0,
    source="assumed",
)
TIMES = {"nRC": 40, "nRAS": 30, "nBL": 2, "nCCDL": 2, "nRFC": 100, "nRFCpb": 32, "nRP": 10}


@pytest.fixture
def device() -> Device:
    whole = load("pim-gpt")
    return replace(whole, clock_ns=1.0, timing={**whole.timing, **TIMES}, powers=(POWER,))


def test_each_command_by_hand(device: Device) -> None:
    found = energy.pieces(device, POWER)
    # 100 mA x 40 ns - 60 x 30 - 40 x 10 = 1,800 mA ns at 1 V: 1,800 pJ a bank
    assert found["ACT"] == {"activate": 1800.0}
    assert found["ACT16"] == {"activate": 16 * 1800.0}
    # (260 - 60) mA x 2 ns
    assert found["RD"] == {"read": 400.0}
    assert found["RDCP"] == {"read": 400.0}
    # (160 - 60) mA x 2 ns, in one bank or in all sixteen
    assert found["WR"] == {"write": 200.0}
    assert found["WRA16"] == {"write": 3200.0}
    # three reads, and 50 mW for 2 ns
    assert found["MAC16"] == {"mac_read": 1200.0, "mac_logic": 100.0}
    assert found["MAC"] == {"mac_read": 75.0, "mac_logic": 6.25}
    # (110 - 60) mA x 100 ns; a sixteenth of 50 mA x 32 ns
    assert found["REFab"] == {"refresh": 5000.0}
    assert found["REFpb"] == {"refresh": 100.0}
    assert not set(found) & {"PRE", "PREA", "TMOD", "WRGB", "RDMAC16", "WRMAC16", "SYNC", "EOC"}


def test_items_of_a_run_by_hand(device: Device) -> None:
    counts = {"ACT16": 2, "PREA": 1, "MAC16": 10, "RD": 3, "REFab": 1}
    found = energy.items(counts, 1000, device, link_bytes=64, asic_clocks=400)
    expected = {
        "activate": 2 * 28800,
        "mac_read": 12000,
        "read": 1200,
        "write": 0,
        "refresh": 5000,
        "background": 60 * (8 * 1000 - 10) + 40 * 10,
        "io": 64 * 8 * 2,
        "mac_logic": 1000,
        "asic": 300 * 400 + 30 * 600,
    }
    assert list(found) == list(energy.ITEMS)
    assert found == pytest.approx({key: value * 1e-12 for key, value in expected.items()})


@given(
    counts=st.dictionaries(st.sampled_from(COMMANDS), st.integers(0, 10**12)),
    clocks=st.integers(0, 10**13),
    name=st.sampled_from(["pim-gpt", "cent"]),
)
def test_items_add_up(counts: dict[str, int], clocks: int, name: str) -> None:
    device = load("pim-gpt")
    power = next(one for one in device.powers if one.name == name)
    found = energy.items(counts, clocks, device, power=power, link_bytes=7, asic_clocks=3)
    exact = sum(map(Fraction, found.values()))
    assert math.isclose(energy.total(found), exact, rel_tol=1e-9, abs_tol=0)
    assert all(value >= 0 for value in found.values())


def test_activates_never_give_energy_back(device: Device) -> None:
    low = replace(POWER, idd0=54.9)  # standby of the cycle: (60 x 30 + 40 x 10) / 40 = 55 mA
    assert energy.pieces(device, low)["ACT"] == {"activate": 0.0}
    assert any("activates cost nothing" in one for one in energy.remarks(device, low))
    assert not any("activates cost nothing" in one for one in energy.remarks(device, POWER))


def test_per_bit_figures_of_the_published_table() -> None:
    """CENT gives 0.32 pJ a bit of an all-bank MAC and 0.18 a bit of an activated row."""
    device = load("gddr6-aim")
    power = device.power
    assert power is not None
    assert power.name == "cent"
    found = energy.pieces(device, power)
    bits = device.organization.access_bits * device.organization.banks
    assert sum(found["MAC16"].values()) / bits == pytest.approx(0.32, abs=0.005)
    row = device.organization.row_bytes * 8
    assert found["ACT"]["activate"] / row == pytest.approx(0.18, abs=0.005)


def test_a_timing_file_has_no_energy(device: Device) -> None:
    assert energy.items({"MAC16": 5}, 10, replace(device, powers=())) == {}
