"""How far a generation's time and energy move when each assumed constant does.

Owns ``assumed``, ``moved`` and ``sensitivity``. Imports the device and the simulation.

A device says of each of its tables where it is from. Where that text says ``assumed``, the table's
constants are: those that it names, or else all of them. Timing goes by the device's own text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gateformer.hw.pim import device as devices
from gateformer.hw.pim import energy
from gateformer.hw.pim.device import Device
from gateformer.quant.decoder import Decoder
from gateformer.quant.errors import GateformerError
from gateformer.sim.pim.generation import simulate
from gateformer.sim.pim.results import Generation

TABLES: dict[str, tuple[str, ...]] = {
    "link": ("channel_gb_per_s", "latency_ns"),
    "asic": ("clock_ns", "adders", "multipliers"),
    "power": (
        "voltage", "idd0", "idd2n", "idd3n", "idd4r", "idd4w", "idd5b", "mac_reads", "mac_mw",
        "io_pj_per_bit", "asic_mw", "asic_idle_mw",
    ),
}  # fmt: skip
"""Constants that can be moved beside timing; sizes and formats cannot."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant that a device assumes.

    Attributes
    ----------
    table, name : str
        Where it stands in the device's file.
    value : float
        What it is.
    """

    table: str
    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What moving a constant does.

    Attributes
    ----------
    constant : Constant
        The constant.
    low, high : float or None
        What it was moved to; None where the device would contradict itself.
    time : tuple of (float, float)
        Relative change of the time a token, moved down and up; 0 where it was not moved.
    energy : tuple of (float, float)
        Relative change of the energy a token, likewise.
    """

    constant: Constant
    low: float | None
    high: float | None
    time: tuple[float, float]
    energy: tuple[float, float]


def assumed(device: Device) -> tuple[Constant, ...]:
    """Return the constants that a device marks as assumed, those that are zero apart."""
    found: list[Constant] = []
    if _says(device.source):
        found += [Constant("timing", name, value) for name, value in device.timing.items()]
    for table, names in TABLES.items():
        part = getattr(device, table)
        if part is None or not _says(part.source):
            continue
        named = [name for name in names if re.search(rf"\b{name}\b", part.source)]
        found += [Constant(table, name, getattr(part, name)) for name in named or names]
    return tuple(one for one in found if one.value)


def moved(device: Device, constant: Constant, factor: float) -> Device:
    """Return a device with one constant multiplied; whole numbers move by at least one.

    Raises
    ------
    PimError
        E805 where the device then contradicts itself.
    """
    value: float = constant.value * factor
    if isinstance(constant.value, int):
        value = round(value)
        if value == constant.value:
            value += 1 if factor > 1 else -1
    if constant.table == "timing":
        return devices.with_(device, **{constant.name: value})
    if constant.table == "power":
        changes: dict[str, Any] = {constant.name: value}
        return replace(device, powers=(replace(device.powers[0], **changes), *device.powers[1:]))
    part = getattr(device, constant.table)
    changes = {constant.table: replace(part, **{constant.name: value})}
    return replace(device, **changes)


def sensitivity(
    model: str | Path | Decoder,
    *,
    device: str | Path | Device = "pim-gpt",
    share: float = 0.2,
    tokens: int = 4,
    past: int = 510,
    **settings: Any,
) -> tuple[Sensitivity, ...]:
    """Move each assumed constant down and up, and simulate again.

    Currents change no clock, so for them only the energy is worked out again.

    Parameters
    ----------
    model, device
        As for ``simulate``.
    share : float
        How far each constant is moved.
    tokens, past : int
        Tokens generated each time, behind how many.
    **settings
        More of what ``simulate`` takes.

    Returns
    -------
    tuple of Sensitivity
        Those that move the time or the energy most first.
    """
    start = device if isinstance(device, Device) else devices.load(device)
    if settings.get("channels") is not None:
        start = devices.with_(start, channels=settings.pop("channels"))
    settings |= {"tokens": tokens, "past": past}
    base = simulate(model, device=start, **settings)
    found = []
    for constant in assumed(base.device):
        ends: list[float | None] = []
        changes: list[tuple[float, float]] = []
        for factor in (1 - share, 1 + share):
            try:
                other = moved(start, constant, factor)
            except GateformerError:
                ends.append(None)
                changes.append((0.0, 0.0))
                continue
            ends.append(_value(other, constant))
            changes.append(_change(base, model, other, constant, settings))
        (low_time, low_energy), (high_time, high_energy) = changes
        found.append(
            Sensitivity(
                constant, ends[0], ends[1], (low_time, high_time), (low_energy, high_energy)
            )
        )
    return tuple(sorted(found, key=lambda one: -_most((*one.time, *one.energy))))


def _change(
    base: Generation,
    model: str | Path | Decoder,
    device: Device,
    constant: Constant,
    settings: dict[str, Any],
) -> tuple[float, float]:
    other = base
    if constant.table != "power":
        other = simulate(model, device=device, **settings)
    if base.device.power is None:
        return other.clocks / base.clocks - 1, 0.0
    items = energy.items(
        other.counts,
        other.clocks,
        other.device,
        power=device.power,
        link_bytes=other.link_bytes,
        asic_clocks=other.asic_clocks,
    )
    return other.clocks / base.clocks - 1, energy.total(items) / base.joules() - 1


def _value(device: Device, constant: Constant) -> float:
    if constant.table == "timing":
        return device.timing[constant.name]
    return float(getattr(getattr(device, constant.table), constant.name))


def _says(source: str) -> bool:
    return "assumed" in source.lower()


def _most(changes: Iterable[float]) -> float:
    return max(abs(one) for one in changes)
