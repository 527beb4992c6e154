"""FPGAs and what they hold, one a TOML file beside this one.

Owns ``Device``, ``load`` and ``names``. Imports the errors and the record of a cost.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib import resources

from gateformer.hw.dataflow.design import Cost
from gateformer.quant.errors import ScheduleError

LUT4_PER_LUT6 = 2.0
"""LUT4s that stand for a predicted 6-input LUT, carry chains among them (docs/cost_model.md)."""


@dataclass(frozen=True, slots=True)
class Device:
    """An FPGA.

    Attributes
    ----------
    name : str
        Its file's name.
    family : {"xcup", "xcu", "xc7", "ecp5", "gowin"}
        Cells that yosys maps it to.
    lut, ff, dsp : int
        LUTs, flip-flops, DSP slices or 18 x 18 multipliers.
    bram : float
        36 Kbit block RAMs; an 18 Kbit one is a half.
    part : str
        The vendor's number.
    source : str
        Where the counts come from.
    lut_inputs : int
        Inputs of a LUT: 6, or 4 where it takes more of them for the same logic.
    """

    name: str
    family: str
    lut: int
    ff: int
    dsp: int
    bram: float
    part: str
    source: str
    lut_inputs: int = 6

    def takes(self, cost: Cost) -> Cost:
        """Return what a predicted cost, in 6-input LUTs, is in the device's own."""
        scale = LUT4_PER_LUT6 if self.lut_inputs == 4 else 1.0
        return replace(cost, lut=cost.lut * scale)

    def holds(self, cost: Cost) -> bool:
        """Return whether a predicted cost fits."""
        own = self.takes(cost)
        return (
            own.lut <= self.lut
            and own.ff <= self.ff
            and own.dsp <= self.dsp
            and own.bram <= self.bram
        )


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
