"""What a segment asks of each channel and bank, and what the link adds to it.

Owns ``Load``, ``load_of`` and ``link_clocks``. Imports the device and programs. All of it follows
from the instructions alone, whenever they run.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from gateformer.hw.pim.device import Device
from gateformer.hw.pim.isa import OPS
from gateformer.hw.pim.program import Segment

ON_THE_LINK = (
    "WR_GB",
    "WR_BIAS",
    "RD_MAC",
    "RD_AF",
    "WR_ABK",
    "WR_SBK",
    "RD_SBK",
    "RD_MEM",
    "WR_MEM",
)
"""Instructions whose requests move data between the memory and the ASIC."""


@dataclass(frozen=True, slots=True)
class Load:
    """A segment's requests.

    Attributes
    ----------
    requests : int64 array, shape (channels,)
        Requests of each channel.
    macs : int64 array, shape (channels, banks)
        Accesses of each bank that its MACs take.
    transfers : int
        Requests of the busiest channel that move data over the link.
    """

    requests: NDArray[np.int64]
    macs: NDArray[np.int64]
    transfers: int


def load_of(segment: Segment, device: Device) -> Load:
    """Count a segment's requests.

    Parameters
    ----------
    segment : Segment
        The segment.
    device : Device
        For its channels and banks.
    """
    sizes = device.organization
    requests = np.zeros(sizes.channels, np.int64)
    transfers = np.zeros(sizes.channels, np.int64)
    macs = np.zeros((sizes.channels, sizes.banks), np.int64)
    found: dict[tuple[str, int, int], int] = {}
    for loop in segment.loops:
        for one in loop.body:
            key = (one.op, one.channels, one.bank)
            found[key] = found.get(key, 0) + one.size * loop.count
    for (op, mask, bank), size in found.items():
        if OPS[op].command is None:
            continue
        channels = [c for c in range(sizes.channels) if mask >> c & 1]
        requests[channels] += size
        if op in ON_THE_LINK:
            transfers[channels] += size
        if op in ("MAC_ABK", "EWMUL", "AF"):
            macs[channels] += size
        elif op == "MAC_SBK":
            macs[channels, bank] += size
    return Load(requests, macs, int(transfers.max(initial=0)))


def link_clocks(segment: Segment, load: Load, device: Device) -> int:
    """Return the clocks that the link adds to a segment's commands.

    A segment that sends or receives pays the link's latency once each way. Its commands already
    take the time of their data at nBL clocks a request; a slower link takes the rest besides.

    Parameters
    ----------
    segment : Segment
        The segment.
    load : Load
        Its requests.
    device : Device
        For the link; a device without one adds nothing.
    """
    link = device.link
    if link is None or not load.transfers:
        return 0
    ways = (segment.sent > 0) + (segment.received > 0)
    latency = ceil(ways * link.latency_ns / device.clock_ns - 1e-9)
    per_clock = link.channel_gb_per_s * device.clock_ns  # GB/s x ns = bytes
    each = device.organization.access_bits / 8
    taken = load.transfers * device.timing.get("nBL", 1)
    return latency + max(0, ceil(load.transfers * each / per_clock - 1e-9) - taken)
