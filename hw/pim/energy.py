"""What a run of the memory costs in joules, item by item, from the currents of a data sheet.

Owns ``items``, ``PIECES``, ``pieces``, ``total`` and ``remarks``. Imports the device.

The standard calculation (Micron TN-41-01 and TN-40-07; DRAMsim3 and DRAMPower do the same) charges
each command with what it draws above standby, and standby with the time. With V the supply, I the
currents of one channel, n clocks of length t, and B the banks of a channel:

=============  ===================================================================================
activate       V (IDD0 nRC - IDD3N nRAS - IDD2N (nRC - nRAS)) t, once a bank and activate
read           V (IDD4R - IDD3N) nBL t, once a bank that is read
write          V (IDD4W - IDD3N) nBL t, once a bank that is written
refresh        V (IDD5B - IDD3N) nRFC t; a per-bank refresh V (IDD5B - IDD3N) nRFCpb t / B
background     V IDD3N over all the time and channels, but V IDD2N for nRP after each precharge that
               closes every bank
io             io_pj_per_bit for each bit that goes over the link, either way
mac_read       an all-bank MAC: mac_reads V (IDD4R - IDD3N) nBL t
mac_logic      mac_mw nCCDL t, once an all-bank MAC
asic           asic_mw while it works, asic_idle_mw while it waits
=============  ===================================================================================

No data sheet states the current of an all-bank MAC. IDD4R is that of one bank's read with the
outputs that it drives, so it cannot simply be multiplied by the banks: a MAC drives no outputs, and
shares decoders and control over all banks. A device states the ratio, ``mac_reads``, with its
source.
An IDD0 below the standby that it is compared with would make activates free or give energy back:
they then cost nothing, and ``remarks`` says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from gateformer.hw.pim.device import Device, Power

ITEMS = (
    "activate", "mac_read", "read", "write", "refresh", "background", "io", "mac_logic", "asic",
)  # fmt: skip
"""The items, in the order of reports."""

PICO = 1e-12
_OPENS = {"ACT": 1, "ACT4": 4, "ACT16": 0}
"""Banks that an activate opens; 0: all."""
_READS = {"RD": 1, "RDA": 1, "RDCP": 1}
_WRITES = {"WR": 1, "WRA": 1, "WRCP": 1, "WRA16": 0}
"""Banks that are read or written at once; 0: all."""
_COMPUTES = {"MAC16": 0, "AF16": 0, "EWMUL16": 0, "MAC": 1}
"""Commands that read a column into the MACs, and of how many banks; 0: all."""


def pieces(device: Device, power: Power) -> dict[str, dict[str, float]]:
    """Return the pJ of each command above standby, by item.

    Parameters
    ----------
    device : Device
        For its clock, timing and banks.
    power : Power
        The currents.

    Returns
    -------
    dict of str to dict of str to float
        Command to item to pJ; commands that draw nothing above standby are absent.
    """
    clocks, banks = device.timing.get, device.organization.banks
    charge = power.voltage * device.clock_ns  # V mA ns = pJ
    cycle, standby = _cycle(device, power)
    activate = charge * cycle * max(0.0, power.idd0 - standby)
    burst = clocks("nBL", 1)
    read = charge * (power.idd4r - power.idd3n) * burst
    write = charge * (power.idd4w - power.idd3n) * burst
    refresh = charge * (power.idd5b - power.idd3n)
    mac = power.mac_reads * read
    logic = power.mac_mw * device.clock_ns * clocks("nCCDL", burst)  # mW ns = pJ
    found = {name: {"activate": activate * (count or banks)} for name, count in _OPENS.items()}
    found |= {name: {"read": read * count} for name, count in _READS.items()}
    found |= {name: {"write": write * (count or banks)} for name, count in _WRITES.items()}
    for name, count in _COMPUTES.items():
        share = count / banks if count else 1.0
        found[name] = {"mac_read": mac * share, "mac_logic": logic * share}
    found["REFab"] = {"refresh": refresh * clocks("nRFC", 0)}
    found["REFpb"] = {"refresh": refresh * clocks("nRFCpb", 0) / banks}
    return found


def items(
    counts: Mapping[str, int],
    clocks: int,
    device: Device,
    *,
    power: Power | None = None,
    link_bytes: int = 0,
    asic_clocks: int = 0,
) -> dict[str, float]:
    """Return the energy of a run.

    Parameters
    ----------
    counts : mapping of str to int
        Commands of all channels.
    clocks : int
        How long the run took.
    device : Device
        The memory.
    power : Power or None
        The currents; None for the device's default. A device without any has no energy.
    link_bytes : int
        Bytes between memory and ASIC, both ways, all channels.
    asic_clocks : int
        Clocks of the memory in which the ASIC worked.

    Returns
    -------
    dict of str to float
        J by item, in the order of ``ITEMS``; empty without currents.
    """
    power = device.power if power is None else power
    if power is None:
        return {}
    found = dict.fromkeys(ITEMS, 0.0)
    for command, parts in pieces(device, power).items():
        for item, cost in parts.items():
            found[item] += cost * counts.get(command, 0) * PICO
    charge = power.voltage * device.clock_ns * PICO
    whole = clocks * device.organization.channels
    closed = min(whole, counts.get("PREA", 0) * device.timing.get("nRP", 0))
    found["background"] = charge * (power.idd3n * (whole - closed) + power.idd2n * closed)
    found["io"] = 8 * link_bytes * power.io_pj_per_bit * PICO
    works = min(asic_clocks, clocks)
    waits = clocks - works
    found["asic"] = (power.asic_mw * works + power.asic_idle_mw * waits) * device.clock_ns * PICO
    return found


def total(found: Mapping[str, float]) -> float:
    """Return the sum of all items, exactly rounded."""
    return math.fsum(found.values())


def remarks(device: Device, power: Power) -> tuple[str, ...]:
    """Return what a reader of these figures must know: the set's name, and what it leaves out."""
    said = [f"Currents '{power.name}': {power.source}"]
    _, standby = _cycle(device, power)
    if power.idd0 <= standby:
        said.append(
            f"IDD0 ({power.idd0:g} mA) is not above the standby of its own cycle ({standby:.1f} "
            "mA), so activates cost nothing here."
        )
    if power.asic_idle_mw == 0:
        said.append("The ASIC draws nothing while it waits.")
    return tuple(said)


def _cycle(device: Device, power: Power) -> tuple[int, float]:
    """Return the clocks of an activate and precharge, and the mean standby meanwhile in mA."""
    opened = device.timing.get("nRAS", 0)
    cycle = max(device.timing.get("nRC", 1), opened, 1)
    return cycle, (power.idd3n * opened + power.idd2n * (cycle - opened)) / cycle
