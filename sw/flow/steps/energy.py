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
from gateformer.hw.dataflow.costing import feed_cost
from gateformer.hw.dataflow.plan import Plan
from gateformer.hw.dataflow.stages import DotStage
from gateformer.hw.devices import load as load_device
from gateformer.hw.rtl.emit import Rtl
from gateformer.quant.errors import ConfigError
from gateformer.toolchains.yosys import Total

FILE = "items.json"
CARRY_BITS = {"xc7": 4}
"""LUTs beside one carry block, where cells are predicted and not counted; 8 of other families."""


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
        cells, predicted = self.cells(view, rtl)
        counted = "predicted by the cost model" if predicted else "counted by yosys"
        return budget(
            cells,
            activity.by_module([*cells, rtl.top] if rtl.top not in cells else cells),
            activity.clocks,
            design.interval_cycles,
            view.config.schedule.clock_ns,
            coefficients(load_device(view.config.schedule.device)),
            f"toggles simulated in RTL x cells {counted}",
            latency=design.latency_cycles,
            predicted=predicted,
        )

    def cells(self, view: View, rtl: Rtl) -> tuple[dict[str, Cells], bool]:
        """Return each module's primitives, and whether they are predicted."""
        family = load_device(view.config.schedule.device).family
        if view.has(Synth):
            return synthesized(view.get(Synth), family), False
        return forecast(view.get(Schedule), rtl, family), True

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
            "energy.joules_alone": product.alone.value,
            "energy.joules_alone_low": product.alone.low,
            "energy.joules_alone_high": product.alone.high,
            "energy.clock_ns": view.config.schedule.clock_ns,
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


def forecast(plan: Plan, rtl: Rtl, family: str) -> dict[str, Cells]:
    """Return each module's primitives as the cost model predicts them.

    It counts LUTs of memory among the others. Those of delay lines and FIFOs between stages are
    told apart here, each module having the whole design's share; those inside of stages stay logic.
    """
    feeds = [
        feed
        for stage in plan.stages
        for feed in (*stage.feeds, *(stage.keys if isinstance(stage, DotStage) else ()))
    ]
    memory = sum(feed_cost(plan.graph, plan.facts, feed).lut for feed in feeds)
    total = sum(cost.lut for cost in rtl.costs.values())
    share = min(1.0, memory / total) if total else 0.0
    return {
        name: Cells(
            lut=cost.lut * (1 - share),
            lutram=cost.lut * share,
            carry=cost.lut * (1 - share) / CARRY_BITS.get(family, 8),
            ff=cost.ff,
            dsp=cost.dsp,
            bram=cost.bram,
        )
        for name, cost in rtl.costs.items()
    }


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
