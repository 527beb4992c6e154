"""What a toggle, a clock edge and an idle device cost on an FPGA, by family, with error bars.

Owns ``Coefficients`` and ``coefficients``. The numbers are in coefficients.toml, which
``python -m gateformer.energy.fit`` writes from power_reports.toml (docs/energy.md says how far
they can be trusted). Imports the figures, the devices and
the errors.
"""

from __future__ import annotations

import functools
import tomllib
from importlib import resources
from typing import Any

from gateformer.energy.figure import Figure, Plain
from gateformer.hw.devices import Device
from gateformer.quant.errors import ConfigError

FILE = "coefficients.toml"


class Coefficients(Plain):
    """Energies of one family's primitives; every figure is modelled and has its error bar."""

    family: str
    """As hw.devices names it."""
    device_luts: float
    """LUTs that the device has: its size, for static power."""
    lut_toggle: Figure
    """J each time the output of a LUT changes, without the wires behind it."""
    net_toggle: Figure
    """J each time a routed net changes: the wires from its driver to all its loads."""
    carry_toggle: Figure
    """J a carry block (CARRY4 on 7 series, CARRY8 on UltraScale+) each clock, times the toggles a
    net and clock of the logic around it."""
    ff_toggle: Figure
    """J each time the output of a flip-flop changes, without the wires behind it."""
    ff_clock: Figure
    """J each clock and flip-flop: its leaf of the clock tree."""
    clock_tree: Figure
    """J each clock whatever it feeds: spine and buffers."""
    lutram_clock: Figure
    """J each clock and LUT that is memory or shift register."""
    bram_access: Figure
    """J each clock and 36 kbit block that is read or written."""
    dsp_op: Figure
    """J each clock and DSP block whose operands change."""
    static_base_w: Figure
    """W of an idle device of the family, whatever its size; junction at 25 to 35 degrees C."""
    static_lut_w: Figure
    """W a LUT of the device, used or not."""

    @property
    def static_w(self) -> Figure:
        """W of the idle, configured device."""
        base, each = self.static_base_w, self.static_lut_w
        value, low, high = (
            first + second * self.device_luts
            for first, second in zip(_bar(base), _bar(each), strict=True)
        )
        return Figure(value=value, low=low, high=high, kind="modelled", source=each.source)


def _bar(figure: Figure) -> tuple[float, float, float]:
    low = figure.value if figure.low is None else figure.low
    return figure.value, low, figure.value if figure.high is None else figure.high


@functools.cache
def _read() -> dict[str, dict[str, Any]]:
    text = resources.files("gateformer.energy").joinpath(FILE).read_text(encoding="utf-8")
    return tomllib.loads(text)


def families() -> tuple[str, ...]:
    """Return the device families that have coefficients."""
    return tuple(_read())


def coefficients(device: Device) -> Coefficients:
    """Return the coefficients of a device.

    Raises
    ------
    ConfigError
        E022 where no public power report allows a fit for its family.
    """
    known = _read()
    if device.family not in known:
        raise ConfigError(
            "E022",
            "no coefficients of energy for the device's family",
            layer=device.name,
            fix=f"Choose a device of {', '.join(known)}",
        )
    sized = {"family": device.family, "device_luts": float(device.lut)}
    return Coefficients.model_validate(sized | known[device.family])
