"""What a simulated generation is: clocks, commands, joules, bandwidths, and what all waited for.

Owns ``Generation``. Imports its pieces, the decoder, the device, energy and the bounds. Counts are
whole numbers of clocks, commands and bytes; rates are worked out from them when asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from gateformer.hw.pim import energy
from gateformer.hw.pim.device import Device, Power
from gateformer.hw.pim.program import Segment
from gateformer.quant.decoder import Decoder
from gateformer.sim.pim import bounds
from gateformer.sim.pim.parts import Capacity, Clocks, Part, Settings, Slice, Timeline
from gateformer.sim.pim.peak import peaks

ARRAY = ("MAC16", "MAC", "AF16", "EWMUL16", "RD", "RDA", "RDCP", "WR", "WRA", "WRA16", "WRCP")
"""Commands that access an open row."""
OPENS = ("ACT", "ACT4", "ACT16")


@dataclass(frozen=True, slots=True)
class Generation:
    """A simulated generation.

    Attributes
    ----------
    decoder : Decoder
        The model.
    device : Device
        The memory, with the channels and clocks it was simulated with.
    settings : Settings
        How.
    token_clocks : int64 array, shape (tokens,)
        Clocks of each generated token.
    prompt_clocks : int
        Clocks of the prompt before them.
    memory_clocks, asic_clocks : int
        Clocks in which memory and ASIC worked; both may work at once with overlap.
    parts : tuple of Part
        The work, in issue order.
    counts : mapping of str to int
        Commands of all channels.
    stalls : mapping of (str, str) to int
        Clocks by constraint and by instruction that waited for it, all channels.
    distinct : int
        Commands simulated or worked out once for all channels that do the same.
    bank_macs : int64 array, shape (channels, banks)
        MAC accesses of each bank.
    channel_requests : int64 array, shape (channels,)
        Requests of each channel.
    capacity : Capacity
        What the model takes.
    bound : bounds.RowStream
        What the timing allows where rows stream.
    samples : tuple of (str, Segment)
        The last segment of each operation of the memory.
    timelines : tuple of Timeline
        All steps.
    remarks : tuple of str
        What a reader must know.
    """

    decoder: Decoder
    device: Device
    settings: Settings
    token_clocks: Clocks
    prompt_clocks: int
    memory_clocks: int
    asic_clocks: int
    parts: tuple[Part, ...]
    counts: Mapping[str, int]
    stalls: Mapping[tuple[str, str], int]
    distinct: int
    bank_macs: Clocks
    channel_requests: Clocks
    capacity: Capacity
    bound: bounds.RowStream
    samples: tuple[tuple[str, Segment], ...]
    timelines: tuple[Timeline, ...] = ()
    remarks: tuple[str, ...] = field(default=())

    @property
    def clocks(self) -> int:
        """All clocks, the prompt among them."""
        return self.prompt_clocks + int(self.token_clocks.sum())

    @property
    def seconds(self) -> float:
        """The time of all clocks."""
        return self.clocks * self.device.clock_ns * 1e-9

    @property
    def ms_per_token(self) -> float:
        """Mean time of a generated token, whatever the batch."""
        return float(self.token_clocks.mean()) * self.device.clock_ns * 1e-6

    @property
    def tokens(self) -> int:
        """Token passes: prompt and generated ones."""
        return self.settings.prompt + self.settings.tokens

    @property
    def breakdown(self) -> dict[str, int]:
        """Clocks by operation, then ``link`` and ``refresh``; without overlap they add up.

        With overlap they add up to more than ``clocks`` by what was hidden, less what was idle.
        """
        found = {one.name: one.clocks - one.refresh - one.link for one in self.parts}
        found["link"] = sum(one.link for one in self.parts)
        found["refresh"] = sum(one.refresh for one in self.parts)
        return found

    @property
    def overlapped_clocks(self) -> int:
        """Clocks in which memory and ASIC worked at once, less those in which both waited."""
        return self.memory_clocks + self.asic_clocks - self.clocks

    @property
    def other_share(self) -> float:
        """Share of the time that is no multiplication of matrices: the ASIC's exposed work."""
        return 1 - min(1.0, self.memory_clocks / self.clocks)

    @property
    def accesses(self) -> int:
        """Accesses of open rows."""
        return sum(self.counts.get(name, 0) for name in ARRAY)

    @property
    def row_hit_rate(self) -> float:
        """Share of the accesses that found their row open; a refresh may close one unused."""
        opened = sum(self.counts.get(name, 0) for name in OPENS)
        return max(0.0, 1 - opened / self.accesses) if self.accesses else 0.0

    @property
    def row_hit_bound(self) -> float:
        """The most that a row read once through can have: (columns - 1) / columns."""
        columns = self.device.organization.columns
        return (columns - 1) / columns

    @property
    def macs(self) -> int:
        """Useful multiply-accumulates."""
        return sum(one.macs for one in self.parts)

    @property
    def mac_utilization(self) -> float:
        """Useful multiply-accumulates over what all banks could do in the time."""
        return self.macs / (self._peak_macs * self.seconds) if self._peak_macs else 0.0

    @property
    def mac_issue_utilization(self) -> float:
        """Share of the memory's clocks in which MACs worked, padding among them."""
        channels = self.device.organization.channels
        issued = self.counts.get("MAC16", 0) * self.bound.pace
        return issued / (channels * self.memory_clocks) if self.memory_clocks else 0.0

    @property
    def _peak_macs(self) -> float:
        return bounds.peak_macs(self.device, self.settings.weights)

    @property
    def link_bytes(self) -> int:
        """Bytes over the link, both ways."""
        return sum(one.sent + one.received for one in self.parts)

    @property
    def link_bytes_per_token(self) -> float:
        """Mean bytes over the link a token."""
        return self.link_bytes / self.tokens

    @property
    def traffic_cut(self) -> float:
        """How many times more would pass if weights and cache were moved over the link."""
        positions = np.arange(self.tokens, dtype=np.int64) + self.settings.past + 1
        cache = 2 * self.decoder.kv_elements * int(positions.sum()) * self.settings.batch
        blocks = self.decoder.block_weights * self.tokens
        head = self.decoder.head.weights * self.settings.tokens  # no part of the prompt's tokens
        moved = cache + (blocks + head) * self.weight_bytes
        return moved / self.link_bytes if self.link_bytes else math.inf

    @property
    def weight_bytes(self) -> float:
        """Bytes of a weight."""
        return {"bf16": 2.0, "int8": 1.0, "int4": 0.5}[self.settings.weights]

    @property
    def external_bandwidth(self) -> float:
        """Mean bytes a second over the link."""
        return self.link_bytes / self.seconds

    @property
    def internal_bandwidth(self) -> float:
        """Mean bytes a second that the banks gave their MACs."""
        accesses = int(self.bank_macs.sum())
        return accesses * self.device.organization.access_bits / 8 / self.seconds

    @property
    def imbalance(self) -> dict[str, float]:
        """Most over mean, less one: of the banks' MACs, and of the channels' requests."""

        def over(values: Clocks) -> float:
            mean = float(values.mean()) if values.size else 0.0
            return float(values.max()) / mean - 1 if mean else 0.0

        return {"banks": over(self.bank_macs), "channels": over(self.channel_requests)}

    def power(self, name: str | None = None) -> Power | None:
        """Return a set of currents by name; the device's default for None."""
        if name is None:
            return self.device.power
        return next((one for one in self.device.powers if one.name == name), None)

    def energy(self, name: str | None = None) -> dict[str, float]:
        """Return J by item, with a set of currents by name or the default one."""
        return energy.items(
            self.counts,
            self.clocks,
            self.device,
            power=self.power(name),
            link_bytes=self.link_bytes,
            asic_clocks=self.asic_clocks,
        )

    def joules(self, name: str | None = None) -> float:
        """Return the sum of all items."""
        return energy.total(self.energy(name))

    def average_power(self, name: str | None = None) -> float:
        """Return the mean power in W."""
        return self.joules(name) / self.seconds

    @property
    def peak(self) -> dict[str, tuple[str, float]]:
        """By set of currents: the operation that draws most, and its mean power in W."""
        return peaks(self.device, self.samples, self.settings.overlap)

    def stalls_by_constraint(self) -> dict[str, int]:
        """Return clocks by constraint, most first."""
        return _sorted(self.stalls, 0)

    def stalls_by_instruction(self) -> dict[str, int]:
        """Return clocks by instruction that waited, most first."""
        return _sorted(self.stalls, 1)

    def slices(self, tokens: range | None = None) -> Iterator[Slice]:
        """Yield the stretches of some tokens, or of all; a track's stretches never overlap.

        Parameters
        ----------
        tokens : range or None
            Tokens, counted from the first of the prompt.
        """
        for timeline in self.timelines:
            for row, token in enumerate(timeline.tokens):
                if tokens is not None and token not in tokens:
                    continue
                starts, clocks = timeline.starts[row].tolist(), timeline.clocks[row].tolist()
                begin = min(starts)
                end = max(a + b for a, b in zip(starts, clocks, strict=True))
                yield Slice("token", f"token {token}", begin, end - begin)
                for (track, name), start, length in zip(
                    timeline.steps, starts, clocks, strict=True
                ):
                    yield Slice(track, name, start, length)

    def as_dict(self) -> dict[str, Any]:
        """Return all figures as JSON values."""
        internal, external = bounds.internal_peak(self.device), bounds.external_peak(self.device)
        names, peak = [one.name for one in self.device.powers], self.peak
        return {
            "model": self.decoder.name,
            "device": self.device.name,
            "channels": self.device.organization.channels,
            "settings": asdict(self.settings),
            "clocks": self.clocks,
            "seconds": self.seconds,
            "ms_per_token": self.ms_per_token,
            "first_token_ms": float(self.token_clocks[0]) * self.device.clock_ns * 1e-6,
            "last_token_ms": float(self.token_clocks[-1]) * self.device.clock_ns * 1e-6,
            "prompt_ms": self.prompt_clocks * self.device.clock_ns * 1e-6,
            "token_clocks": self.token_clocks.tolist(),
            "memory_clocks": self.memory_clocks,
            "asic_clocks": self.asic_clocks,
            "overlapped_clocks": self.overlapped_clocks,
            "other_share": self.other_share,
            "breakdown": self.breakdown,
            "parts": [asdict(one) for one in self.parts],
            "counts": dict(self.counts),
            "distinct_commands": self.distinct,
            "row_hit_rate": self.row_hit_rate,
            "row_hit_bound": self.row_hit_bound,
            "macs": self.macs,
            "mac_utilization": self.mac_utilization,
            "mac_issue_utilization": self.mac_issue_utilization,
            "mac_bound": self.bound.utilization,
            "mac_bound_period": self.bound.period,
            "mac_bound_useful": self.bound.useful,
            "mac_bound_edges": [asdict(one) for one in self.bound.edges],
            "binding_constraint": self.bound.binding.text,
            "binding_constraints": [one.text for one in self.bound.ties],
            "binding_clocks": self.bound.binding.clocks,
            "link_bytes": self.link_bytes,
            "link_bytes_per_token": self.link_bytes_per_token,
            "traffic_cut": self.traffic_cut,
            "external_bandwidth": self.external_bandwidth,
            "external_peak": external,
            "external_share": self.external_bandwidth / external if external else 0.0,
            "internal_bandwidth": self.internal_bandwidth,
            "internal_peak": internal,
            "internal_share": self.internal_bandwidth / internal if internal else 0.0,
            "stalls": [
                {"constraint": text, "instruction": name, "clocks": clocks}
                for (text, name), clocks in sorted(self.stalls.items(), key=lambda one: -one[1])
            ],
            "imbalance": self.imbalance,
            "bank_macs": self.bank_macs.tolist(),
            "channel_requests": self.channel_requests.tolist(),
            "capacity": {**asdict(self.capacity), "share": self.capacity.share},
            "energy": {
                name: {
                    "items": self.energy(name),
                    "joules": self.joules(name),
                    "mj_per_token": self.joules(name) * 1e3 / self.tokens,
                    "average_watts": self.average_power(name),
                    "peak_watts": peak[name][1],
                    "peak_part": peak[name][0],
                }
                for name in names
            },
            "default_energy": names[0] if names else None,
            "remarks": list(self.remarks),
        }


def _sorted(stalls: Mapping[tuple[str, str], int], place: int) -> dict[str, int]:
    found: dict[str, int] = {}
    for key, clocks in stalls.items():
        found[key[place]] = found.get(key[place], 0) + clocks
    return dict(sorted(found.items(), key=lambda one: (-one[1], one[0])))
