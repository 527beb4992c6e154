"""FPGAs and what they hold, one a TOML file beside this one.

Owns ``Device``, ``load`` and ``names``. Imports the errors only.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import resources

from gateformer.quant.errors import ScheduleError


@dataclass(frozen=True, slots=True)
class Device:
    """An FPGA.

    Attributes
    ----------
    name : str
        Its file's name.
    family : {"xcup", "xcu", "xc7"}
        Cells that yosys maps it to.
    lut, ff, dsp : int
        6-input LUTs, flip-flops, DSP slices.
    bram : float
        36 Kbit block RAMs.
    part : str
        The vendor's number.
    source : str
        Where the counts come from.
    """

    name: str
    family: str
    lut: int
    ff: int
    dsp: int
    bram: float
    part: str
    source: str


def names() -> tuple[str, ...]:
    """Return all known devices."""
    folder = resources.files(__name__)
    found = (entry.name for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return tuple(sorted(name.removesuffix(".toml") for name in found))


def load(name: str) -> Device:
    """Return a device.

    Raises
    ------
    ScheduleError
        E305 for an unknown one.
    """
    known = names()
    if name not in known:
        near = get_close_matches(name, known, 1)
        raise ScheduleError(
            "E305",
            "unknown device",
            layer=name,
            cause=f"Known are {', '.join(known)}",
            fix=f"Did you mean '{near[0]}'?" if near else "Add hw/devices/<name>.toml",
        )
    text = (resources.files(__name__) / f"{name}.toml").read_text(encoding="utf-8")
    return Device(name, **tomllib.loads(text))
