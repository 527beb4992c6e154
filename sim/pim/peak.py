"""The operation that draws most, and what it draws.

Owns ``peaks``. Imports energy and the memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateformer.hw.pim import energy
from gateformer.hw.pim.device import Device
from gateformer.hw.pim.program import Segment
from gateformer.sim.dram.refresh import Refresh
from gateformer.sim.pim.memory import FIRST, ClosedMemory


def peaks(
    device: Device, samples: Iterable[tuple[str, Segment]], overlap: bool
) -> dict[str, tuple[str, float]]:
    """Return, by set of currents, the operation that draws most and its mean power in W.

    Parameters
    ----------
    device : Device
        The memory.
    samples : iterable of (str, Segment)
        A segment of each operation; they are run one behind the other, without refresh.
    overlap : bool
        Whether the ASIC may work meanwhile.
    """
    found: dict[str, tuple[str, float]] = {}
    memory = ClosedMemory(device, Refresh("none"))
    clock = FIRST
    before: Mapping[str, int] = {}
    for name, segment in samples:
        end = memory.run(segment, clock, 0)
        after = memory.totals(end).counts
        counts = {command: count - before.get(command, 0) for command, count in after.items()}
        clocks, clock, before = end - clock, end, after
        for power in device.powers:
            items = energy.items(
                counts,
                clocks,
                device,
                power=power,
                link_bytes=segment.sent + segment.received,
                asic_clocks=clocks if overlap else 0,
            )
            watts = energy.total(items) / (clocks * device.clock_ns * 1e-9)
            if watts > found.get(power.name, ("", -1.0))[1]:
                found[power.name] = (name, watts)
    return found
