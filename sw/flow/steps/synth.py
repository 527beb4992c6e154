"""Synthesis: yosys counts the cells of each distinct module and times its logic."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gateformer.config.schema import Config
from gateformer.flow.cache import cache_folder
from gateformer.flow.files import write_whole
from gateformer.flow.step import Metric, Off, Outcome, Step, View, switched_off
from gateformer.flow.steps.generating import Generate
from gateformer.flow.steps.scheduling import RESOURCES, Schedule
from gateformer.hw.devices import load as load_device
from gateformer.hw.rtl.emit import Rtl
from gateformer.quant.errors import ToolError
from gateformer.toolchains.yosys import Synthesis, Total
from gateformer.toolchains.yosys_run import Family

TOTAL = "total.json"


class Synth(Step[Total]):
    """Synthesizes module by module."""

    name = "synth"
    needs = (Schedule, Generate)
    floors = ("quant", "hw", "sw/toolchains")
    uses = ("synth", "schedule.device")

    def off(self, config: Config) -> Off | None:
        """Return why it is left out."""
        from gateformer.toolchains.yosys import yosys_version

        missing: ToolError | None = None
        try:
            yosys_version()
        except ToolError as error:
            missing = error
        return switched_off(config.synth.enabled, self.name, missing)

    def make(self, view: View) -> Total:
        """Return what yosys made of every module."""
        from gateformer.toolchains.yosys import synthesize_modules

        rtl = view.get(Generate)
        return synthesize_modules(
            rtl.files,
            modules_of(rtl),
            view.scratch,
            cache_folder(view.config, "synth"),
            progress=view.progress,
            family=counted(view.config),
        )

    def write(self, view: View, product: Total, folder: Path) -> Outcome:
        """Write the counts of each module, and how far the prediction was off."""
        metrics: dict[str, Metric] = {**product.metrics()}
        device = load_device(view.config.schedule.device)
        cost = device.takes(view.get(Schedule).design.cost)
        for name in RESOURCES:
            found, predicted = metrics[f"synth.{name}"], float(getattr(cost, name))
            if isinstance(found, int | float) and found:
                error = round(100 * (predicted / found - 1), 1)
                metrics[f"estimate.{name}_error_percent"] = error
        write_whole(folder / "modules.json", json.dumps(modules(product), indent=1) + "\n")
        write_whole(folder / TOTAL, json.dumps(asdict(product)) + "\n")
        told = ", ".join(f"{metrics[f'synth.{name}']:,.12g} {name.upper()}" for name in RESOURCES)
        if device.lut_inputs != 6:
            told = told.replace("LUT", f"LUT{device.lut_inputs}")
        return Outcome(metrics, f"{told}; {metrics['synth.logic_ns']} ns of logic")

    def load(self, view: View, folder: Path) -> Total:
        """Read what yosys made of every module."""
        tree = json.loads((folder / TOTAL).read_text("utf-8"))
        sides = {
            side: {name: synthesis(row) for name, row in tree[side].items()}
            for side in ("counted", "timed")
        }
        return Total(sides["counted"], sides["timed"], tree["instances"])


def synthesis(row: dict[str, Any]) -> Synthesis:
    """Return a module's result from its JSON."""
    lists = {name: tuple(row[name]) for name in ("path", "unregistered")}
    return Synthesis(**{**row, **lists})


def counted(config: Config) -> Family:
    """Return the family whose cells are counted: the device's own, UltraScale+ for Xilinx."""
    family = load_device(config.schedule.device).family
    return "ecp5" if family == "ecp5" else "gowin" if family == "gowin" else "xcup"


def modules_of(rtl: Rtl) -> dict[str, int]:
    """Return the distinct modules, the tops among them, and how often each is there."""
    return dict.fromkeys([*rtl.stages, rtl.core, rtl.top], 1)


def modules(total: Total) -> list[dict[str, object]]:
    """Return a row a module."""
    return [
        {
            "module": name,
            "instances": count,
            **{part: getattr(total.counted[name], part) for part in RESOURCES},
            "logic_ns": total.timed[name].logic_ns,
        }
        for name, count in total.instances.items()
    ]
