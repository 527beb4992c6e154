"""Memory traffic of a host between the rows of a matrix: what switching to and fro costs.

Owns ``host_traffic``. Imports the command-level engine.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateformer.hw.pim.device import Device
from gateformer.hw.pim.isa import Instruction
from gateformer.quant.errors import ConfigError
from gateformer.sim.dram.engine import Machine
from gateformer.sim.dram.refresh import Refresh


@dataclass(frozen=True, slots=True)
class HostTraffic:
    """A matrix with host traffic in between.

    Attributes
    ----------
    alone, mixed : int
        Clocks of the matrix without and with the traffic.
    visits, accesses : int
        Times that a channel turned to the host, and accesses then, of one channel.
    slowdown : float
        mixed / alone.
    visit_clocks : float
        Clocks that a visit takes from the matrix, its data among them.
    switch_clocks : float
        Of them, those in which no data moves: closing and opening rows, and switching modes.
    host_gb_per_s : float
        What the host got, 10^9 bytes a second of all channels.
    wait_clocks : float
        Mean clocks from an access' arrival to the end of the visit that serves it.
    """

    alone: int
    mixed: int
    visits: int
    accesses: int
    slowdown: float
    visit_clocks: float
    switch_clocks: float
    host_gb_per_s: float
    wait_clocks: float


def host_traffic(
    device: Device,
    gb_per_s: float,
    *,
    rows: int = 256,
    at_least: int = 8,
    writes: bool = False,
    refresh: Refresh | None = None,
) -> HostTraffic:
    """Stream a matrix while a host reads or writes at a steady rate.

    Each row is a bias, a MAC a column and a read of the results, as in a matrix times a vector.
    Accesses arrive evenly over time and channels. Between two rows, a channel serves all that have
    arrived if they are ``at_least`` so many; they go to one row of bank after bank.

    Parameters
    ----------
    device : Device
        The memory.
    gb_per_s : float
        10^9 bytes a second of all channels together.
    rows : int
        Rows of each bank.
    at_least : int
        Accesses worth a visit.
    writes : bool
        Whether the host writes; else it reads.
    refresh : Refresh or None
        None for the device's own.

    Raises
    ------
    ConfigError
        E022 for a rate that is not above zero, or over what the pins can take.
    """
    sizes = device.organization
    each = sizes.access_bits / 8
    pins = each / (device.timing.get("nBL", 1) * device.clock_ns)
    rate = gb_per_s / sizes.channels * device.clock_ns / each  # accesses a clock and channel
    if not 0 < gb_per_s / sizes.channels <= pins:
        raise ConfigError(
            "E022",
            "setting out of range",
            layer="gb_per_s",
            cause=f"It is {gb_per_s:g}; the pins take up to {pins * sizes.channels:g} GB/s",
            fix="Choose a rate above 0 and within that",
        )
    everyone = (1 << sizes.channels) - 1
    alone = Machine(device, refresh)
    mixed = Machine(device, refresh)
    clock = end = 1
    visits = accesses = 0
    waited = 0.0
    for row in range(rows):
        work = (
            Instruction("WR_BIAS", 1, everyone),
            Instruction("MAC_ABK", sizes.columns, everyone, row=row % sizes.rows),
            Instruction("RD_MAC", 1, everyone),
        )
        clock = alone.run(work, clock)
        end = mixed.run(work, end)
        due = int((end - 1) * rate) - accesses
        if due < at_least:
            continue
        bank, place = visits % sizes.banks, sizes.rows - 1 - visits // sizes.banks % sizes.rows
        op = "WR_SBK" if writes else "RD_SBK"
        first = accesses
        visit = []
        for start in range(0, due, sizes.columns):
            size = min(sizes.columns, due - start)
            visit.append(Instruction(op, size, everyone, bank=bank, row=place))
        end = mixed.run(visit, end)
        visits += 1
        accesses += due
        waited += due * (end - 1) - sum((one + 1) / rate for one in range(first, accesses))
    lost = end - clock
    data = accesses * device.timing.get("nBL", 1)
    return HostTraffic(
        alone=clock - 1,
        mixed=end - 1,
        visits=visits,
        accesses=accesses,
        slowdown=(end - 1) / (clock - 1),
        visit_clocks=lost / visits if visits else 0.0,
        switch_clocks=(lost - data) / visits if visits else 0.0,
        host_gb_per_s=accesses * each * sizes.channels / ((end - 1) * device.clock_ns),
        wait_clocks=waited / accesses if accesses else 0.0,
    )
