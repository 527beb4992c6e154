"""What a device's timing allows where rows stream past the MACs, and which constraints bind there.

Owns ``row_stream``, ``RowStream`` and the peaks. Imports the device.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateformer.hw.pim.device import Constraint, Device

ROWS = 6
"""Rows after which a stream is steady: each depends on at most the one before it."""


@dataclass(frozen=True, slots=True)
class Edge:
    """A wait on the critical path from one row's activate to the next one's.

    Attributes
    ----------
    text : str
        The constraint, as the device's table words it.
    after, before : str
        The two commands.
    clocks : int
        Clocks of the period that it takes, over all its occurrences.
    """

    text: str
    after: str
    before: str
    clocks: int


@dataclass(frozen=True, slots=True)
class RowStream:
    """Rows read by all-bank MACs, one after another, without refresh.

    Attributes
    ----------
    period : int
        Clocks a row.
    useful : int
        Of them, those in which MACs work: columns x pace.
    pace : int
        Clocks from one all-bank MAC to the next.
    edges : tuple of Edge
        What the period is made of, the longest first; their clocks add up to it.
    """

    period: int
    useful: int
    pace: int
    edges: tuple[Edge, ...]

    @property
    def utilization(self) -> float:
        """Most that the MACs can be used."""
        return self.useful / self.period

    @property
    def binding(self) -> Edge:
        """The longest wait in which no MAC works: what binds."""
        idle = [one for one in self.edges if (one.after, one.before) != ("MAC16", "MAC16")]
        return max(idle or self.edges, key=lambda one: one.clocks)

    @property
    def ties(self) -> tuple[Edge, ...]:
        """What binds, and all other waits without a MAC that are as long."""
        first = self.binding
        idle = (one for one in self.edges if (one.after, one.before) != ("MAC16", "MAC16"))
        return tuple(one for one in idle if one.clocks == first.clocks) or (first,)


def row_stream(device: Device, strict: bool = False) -> RowStream:
    """Work out the period of streamed rows from the device's table of constraints.

    Each row is an ACT16, a MAC16 a column, and a PREA. A command issues as soon as every constraint
    lets it, one a clock; what it waited for last leads back from one ACT16 to the one before.

    Parameters
    ----------
    device : Device
        The memory.
    strict : bool
        Whether the edges that the public simulator lacks count too.
    """
    table = device.constraints + (device.strict if strict else ())
    kinds = ("ACT16", "MAC16", "PREA")
    rules = {kind: [one for one in table if _binds(one, kind)] for kind in kinds}
    sequence = ("ACT16", *("MAC16",) * device.organization.columns, "PREA") * ROWS
    clocks: list[int] = []
    causes: list[tuple[int, str]] = []
    seen: dict[str, list[int]] = {kind: [] for kind in kinds}
    for place, kind in enumerate(sequence):
        clock, cause = (
            (clocks[-1] + 1, (place - 1, "one command a clock")) if place else (0, (0, ""))
        )
        for rule in rules[kind]:
            for after in rule.after:
                past = seen.get(after, ())
                if len(past) >= rule.window:
                    first = past[-rule.window]
                    if clocks[first] + rule.wait >= clock:
                        clock, cause = clocks[first] + rule.wait, (first, rule.text)
        seen[kind].append(place)
        clocks.append(clock)
        causes.append(cause)
    starts = [place for place, kind in enumerate(sequence) if kind == "ACT16"]
    last, before = starts[-1], starts[-2]
    found: dict[tuple[str, str, str], int] = {}
    place = last
    while place > before:
        first, text = causes[place]
        key = (text, sequence[first], sequence[place])
        found[key] = found.get(key, 0) + clocks[place] - clocks[max(first, before)]
        place = first
    edges = tuple(Edge(*key, taken) for key, taken in found.items())
    pace = max([1, *(one.wait for one in rules["MAC16"] if "MAC16" in one.after)])
    return RowStream(
        clocks[last] - clocks[before],
        pace * device.organization.columns,
        pace,
        tuple(sorted(edges, key=lambda one: -one.clocks)),
    )


def _binds(rule: Constraint, kind: str) -> bool:
    return rule.level == "channel" and kind in rule.before and rule.wait > 0


def peak_macs(device: Device, weights: str = "bf16") -> float:
    """Return the multiply-accumulates a second of all banks, at the pace of all-bank MACs."""
    if device.mac is None:
        return 0.0
    sizes = device.organization
    products = sizes.channels * sizes.banks * device.mac.weights.get(weights, device.mac.lanes)
    return products / (row_stream(device).pace * device.clock_ns * 1e-9)


def internal_peak(device: Device) -> float:
    """Return the bytes a second that all banks give their MACs at that pace."""
    sizes = device.organization
    accesses = sizes.channels * sizes.banks / (row_stream(device).pace * device.clock_ns * 1e-9)
    return accesses * sizes.access_bits / 8


def external_peak(device: Device) -> float:
    """Return the bytes a second of the link, all channels; of the pins where there is no link."""
    sizes = device.organization
    if device.link is not None:
        return sizes.channels * device.link.channel_gb_per_s * 1e9
    return (
        sizes.channels
        * sizes.access_bits
        / 8
        / (device.timing.get("nBL", 1) * device.clock_ns)
        * 1e9
    )
