"""What a toggle, a clock edge and an idle device cost on an FPGA, by family, with error bars.

Owns ``Coefficients`` and ``coefficients``. The numbers are in coefficients.toml, which
``python -m gateformer.energy.fit`` writes from power_reports.toml. Imports pydantic's figures and
the errors.
"""

from __future__ import annotations

import functools
import tomllib
from importlib import resources

from gateformer.energy.figure import Figure, Plain
from gateformer.quant.errors import ConfigError

FILE = "coefficients.toml"


class Coefficients(Plain):
    """Energies of one family's primitives; every figure is modelled and has its error bar."""

    family: str
    """As hw.devices names it."""
    lut_toggle: Figure
    """J each time the output of a LUT changes, without the wires behind it."""
    net_toggle: Figure
    """J each time a net changes: the programmable wires from its driver to its loads."""
    carry_toggle: Figure
    """J each clock and CARRY8 (CARRY4 on 7 series) whose sum toggles at every clock."""
    ff_clock: Figure
    """J each clock and flip-flop that is clocked: its leaf of the clock tree."""
    ff_toggle: Figure
    """J each time the output of a flip-flop changes, without the wires behind it."""
    dsp_op: Figure
    """J each clock and DSP block that multiplies new operands."""
    bram_access: Figure
    """J each clock and 36 kbit block whose enabled port reads or writes."""
    lutram_clock: Figure
    """J each clock and LUT used as memory or shift register."""
    clock_tree: Figure
    """J each clock of a clock network whatever it feeds: its spine and buffers."""
    static_w: Figure
    """W of the idle, configured device of the family's fitted sizes."""


@functools.cache
def _read() -> dict[str, Coefficients]:
    text = resources.files("gateformer.energy").joinpath(FILE).read_text(encoding="utf-8")
    return {
        family: Coefficients.model_validate({"family": family} | figures)
        for family, figures in tomllib.loads(text).items()
    }


def coefficients(family: str) -> Coefficients:
    """Return the coefficients of a device family.

    Parameters
    ----------
    family : str
        As hw.devices names it: "xcup" or "xcu" (UltraScale+, UltraScale), "xc7".

    Raises
    ------
    ConfigError
        E022 where no public power report allows a fit for the family.
    """
    known = _read()
    if family not in known:
        raise ConfigError(
            "E022",
            "no coefficients of energy",
            layer=family,
            fix=f"Choose a device of {', '.join(known)}",
        )
    return known[family]
