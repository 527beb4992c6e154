"""What a device's numbers may be, and what of them contradicts itself.

Owns the bounds, ``contradictions`` and ``shown``. Imports the errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gateformer.quant.errors import PimError

MOST = 1 << 30
"""The largest whole number that a size or a timing may be: with it, two of them still multiply
within the 64 bits in which addresses and clocks are counted."""
SHORTEST = 1e-6
"""The shortest clock, ns: a shorter one makes rates and waits that no number holds."""
MOST_CHANNELS = 64
"""Channels that a device may have."""
MOST_OUTSIDE = 1 << 20
"""Clocks of the memory that the link's latency, an access on the link or a clock of the ASIC may
take: refreshes go on meanwhile, and each is simulated."""
MOST_OF = {
    "channels": MOST_CHANNELS,
    "bank_groups": 64,
    "banks_per_group": 64,
    "row_bytes": 1 << 20,
}
"""Most of what is simulated one by one: far more than any memory's data sheet has."""
LEAST_OF = {"nBL": (1, ": data on the pins take time, and rates are divided by it")}
"""Times that may not be 0, and why; others are, where nothing waits or nothing refreshes."""
LONGER = (("nREFI", "nRFC"), ("nRC", "nRAS"))
"""Times of which the first must be the longer one, or equal but for the refresh interval."""
ABOVE = (("idd3n", "idd2n"), ("idd4r", "idd3n"), ("idd4w", "idd3n"), ("idd5b", "idd3n"))
"""Currents of which the first is drawn on top of the second, mA: energy is of their difference."""
MOST_MA = 1e5
"""Most of a current, mA: a hundred times what a channel of GDDR6 draws."""
Place = Callable[..., str]
"""Keys of a table to where they stand, as a message says it."""


def contradictions(tree: Mapping[str, Any], place: Place) -> Iterator[PimError]:
    """Yield what cannot be true at once, in a tree whose types may be wrong.

    Parameters
    ----------
    tree : mapping
        ``clock_ns``, ``organization``, ``timing``, ``link``, ``asic`` and ``power`` are looked at.
    place : callable
        Keys to where they stand.
    """

    def wrong(cause: str, *keys: str) -> PimError:
        return PimError("E805", "contradictory timing", layer=place(*keys), cause=cause)

    def whole(table: Any) -> dict[str, int]:
        pairs = table.items() if isinstance(table, Mapping) else ()
        return {key: value for key, value in pairs if type(value) is int}

    clock = tree.get("clock_ns")
    if isinstance(clock, int | float) and not SHORTEST <= clock <= 1e6:  # a NaN fails this too
        cause = f"A clock lasts {shown(clock)} ns; it must last from 1e-06 to 1e+06 ns"
        yield wrong(cause, "clock_ns")
    sizes = whole(tree.get("organization"))
    for key, value in sizes.items():
        most = MOST_OF.get(key, MOST)
        if not 1 <= value <= most:
            cause = f"It is {shown(value)}; it must be from 1 to {most}{_why(value, key)}"
            yield wrong(cause, "organization", key)
    if "row_bytes" in sizes and sizes.get("access_bits", 0) > 0:
        bits = sizes["row_bytes"] * 8
        if bits % sizes["access_bits"]:
            access = shown(sizes["access_bits"])
            cause = f"A row of {shown(bits)} bits holds no whole number of {access}"
            yield wrong(cause, "organization", "access_bits")
    timing = whole(tree.get("timing"))
    for key, value in timing.items():
        least, reason = LEAST_OF.get(key, (0, ""))
        if not least <= value <= MOST:
            why = _why(value, key) or reason
            cause = f"It is {shown(value)}; a time is from {least} to {MOST} clocks{why}"
            yield wrong(cause, "timing", key)
    for longer, shorter in LONGER:
        if longer not in timing or shorter not in timing:
            continue
        if timing[longer] <= timing[shorter] - (longer != "nREFI"):
            first, second = shown(timing[longer]), shown(timing[shorter])
            cause = f"{longer} = {first} is shorter than {shorter} = {second}"
            yield wrong(cause, "timing", longer)
    if isinstance(clock, int | float) and SHORTEST <= clock <= 1e6:
        for keys, clocks in _outside(tree, sizes.get("access_bits", 0), clock):
            if clocks > MOST_OUTSIDE:  # neither what is no number
                cause = f"It makes {clocks:.3g} clocks of one; at most {MOST_OUTSIDE} are simulated"
                yield wrong(cause, *keys)
    yield from _currents(tree, place)


def _currents(tree: Mapping[str, Any], place: Place) -> Iterator[PimError]:
    """Yield currents that are no memory's, and those that would give energy back."""
    rows = tree.get("power")
    for at, row in enumerate(rows if isinstance(rows, list) else ()):
        if not isinstance(row, Mapping):
            continue
        numbers = {key: one for key, one in row.items() if isinstance(one, int | float)}
        causes = [
            (key, f"It is {shown(one)} mA; a current is {MOST_MA:g} mA at most")
            for key, one in numbers.items()
            if key.startswith("idd") and one > MOST_MA
        ]
        causes += [
            (upper, f"It is {shown(numbers[upper])} mA, below {lower} = {shown(numbers[lower])}")
            for upper, lower in ABOVE
            if numbers.keys() >= {upper, lower} and numbers[upper] < numbers[lower]
        ]
        for key, cause in causes:
            layer = place("power", at, key)
            yield PimError("E805", "contradictory currents", layer=layer, cause=cause)


def _outside(
    tree: Mapping[str, Any], access_bits: int, clock: float
) -> Iterator[tuple[tuple[str, str], float]]:
    """Yield keys of the link and the ASIC, and the memory's clocks that one of theirs takes."""

    def number(table: str, key: str) -> float:
        rows = tree.get(table)
        found = rows.get(key) if isinstance(rows, Mapping) else None
        return float(min(found, 1 << 64)) if isinstance(found, int | float) else math.nan

    rate = number("link", "channel_gb_per_s")
    yield ("link", "latency_ns"), number("link", "latency_ns") / clock
    if rate > 0:
        yield ("link", "channel_gb_per_s"), min(access_bits, MOST) / 8 / rate / clock
    yield ("asic", "clock_ns"), number("asic", "clock_ns") / clock


def shown(value: object) -> str:
    """Return a value as a message says it, never long: Python itself refuses to print huge ones."""
    if isinstance(value, int) and value.bit_length() > 100:
        return f"{'-' if value < 0 else ''}2^{abs(value).bit_length() - 1} or more"
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _why(value: int, key: str) -> str:
    """Return why a number may be no larger, where it is too large."""
    if value < 1:
        return ""
    if key in MOST_OF:
        return ": each one is simulated"
    return ": addresses and clocks, products of two such numbers, are counted in 64 bits"
