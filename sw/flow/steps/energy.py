"""Energy: of a frame, modelled from toggles and cells, item by item, with its error bar."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from gateformer.config.schema import Config
from gateformer.energy.fpga import PARTS, Budget, Cells
from gateformer.flow.files import write_whole
from gateformer.flow.step import Metric, Off, Outcome, Step, View
from gateformer.flow.steps.generating import Generate
from gateformer.flow.steps.scheduling import Schedule
from gateformer.flow.steps.synth import Synth
from gateformer.flow.steps.toggles import Toggles
from gateformer.hw.devices import load as load_device
from gateformer.hw.rtl.emit import Rtl
from gateformer.quant.errors import ConfigError
from gateformer.toolchains.yosys import Total

FILE = "items.json"
CARRY_BITS = 8
"""LUTs beside one CARRY8, where cells are predicted and not counted."""


class ModelEnergy(Step[Budget]):
    """Models the energy of a frame."""

    name = "energy"
    needs = (Schedule, Generate, Toggles)
    wants = (Synth,)
    floors = ("quant", "hw", "sim", "sw/energy", "sw/toolchains")
    uses = ("schedule.clock_ns", "schedule.device", "activity.enabled", "synth.enabled")

    def off(self, config: Config) -> Off | None:
        """Return why it is left out."""
        from gateformer.energy.coefficients import coefficients

        if config.activity.enabled is False:
            return Off("activity.enabled is false", chosen=True)
        try:
            coefficients(load_device(config.schedule.device))
        except ConfigError as error:
            return Off(str(error), chosen=False)
        return None

    def make(self, view: View) -> Budget:
        """Return where the energy goes."""
        from gateformer.energy.coefficients import coefficients
        from gateformer.energy.fpga import budget

        design, rtl = view.get(Schedule).design, view.get(Generate)
        activity = view.get(Toggles)
        cells, counted = self.cells(view, rtl)
        return budget(
            cells,
            activity.by_module([*cells, rtl.top] if rtl.top not in cells else cells),
            activity.clocks,
            design.interval_cycles,
            view.config.schedule.clock_ns,
            coefficients(load_device(view.config.schedule.device)),
            f"toggles simulated in RTL x cells {counted}",
        )

    def cells(self, view: View, rtl: Rtl) -> tuple[dict[str, Cells], str]:
        """Return each module's primitives, and who counted them."""
        if view.has(Synth):
            family = load_device(view.config.schedule.device).family
            return synthesized(view.get(Synth), family), "counted by yosys"
        made = {
            name: Cells(cost.lut, 0.0, cost.lut / CARRY_BITS, cost.ff, cost.dsp, cost.bram)
            for name, cost in rtl.costs.items()
        }
        return made, "predicted by the cost model"

    def write(self, view: View, product: Budget, folder: Path) -> Outcome:
        """Write every item, and the sums."""
        items = [asdict(item) for item in product.items]
        write_whole(folder / FILE, json.dumps(items, indent=1) + "\n")
        frame = product.frame
        metrics: dict[str, Metric] = {
            "energy.frame_j": frame.value,
            "energy.frame_low_j": frame.low,
            "energy.frame_high_j": frame.high,
            "energy.dynamic_j": product.dynamic.value,
            "energy.dynamic_low_j": product.dynamic.low,
            "energy.dynamic_high_j": product.dynamic.high,
            "energy.static_j": product.static.value,
            "energy.power_w": product.power_w,
            "energy.kind": frame.kind,
            "energy.boundary": frame.boundary,
            "energy.source": frame.source,
        }
        for part in PARTS:
            metrics[f"energy.{part}_j"] = product.total(part)
        low, high = frame.low or frame.value, frame.high or frame.value
        words = f"{1e6 * frame.value:.3g} uJ a frame, {1e6 * low:.3g} to {1e6 * high:.3g}, modelled"
        words += f"; {1e6 * product.dynamic.value:.3g} uJ of it switching"
        return Outcome(metrics, words)


MEMORIES = ("SRL", "RAM16", "RAM32", "RAM64", "RAM128", "RAM256", "RAM512")
"""Beginnings of the names of cells that are LUTs as memory or shift register."""


def synthesized(total: Total, family: str) -> dict[str, Cells]:
    """Return each module's primitives as yosys counted them, all its instances together.

    yosys builds carry chains of CARRY4 on every family of Xilinx; two of them are one CARRY8.
    """
    from gateformer.toolchains.yosys_reports import LUTS

    found = {}
    for name, number in total.instances.items():
        made = total.counted[name]
        memory = sum(
            count * LUTS[kind]
            for kind, count in made.cells.items()
            if kind in LUTS and kind.startswith(MEMORIES)
        )
        carries = made.cells.get("CARRY4", 0) / (1 if family == "xc7" else 2)
        carries += made.cells.get("CARRY8", 0)
        found[name] = Cells(
            number * (made.lut - memory), number * memory, number * carries,
            number * made.ff, number * made.dsp, number * made.bram,
        )  # fmt: skip
    return found
