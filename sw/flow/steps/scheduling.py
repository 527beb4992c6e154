"""Schedule: every stage with its clocks and its cost, and what that is of the device."""

from __future__ import annotations

import json
from dataclasses import asdict
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

from gateformer.config.schema import Config
from gateformer.flow.cache import cache_folder
from gateformer.flow.files import write_whole
from gateformer.flow.step import Metric, Metrics, Outcome, Step, View
from gateformer.flow.steps.lowering import Lower
from gateformer.hw.dataflow.plan import Plan
from gateformer.hw.devices import load as load_device
from gateformer.hw.settings import Settings
from gateformer.quant.errors import ConfigError, Problems
from gateformer.quant.graph import Graph

RESOURCES = ("lut", "ff", "dsp", "bram")


class Schedule(Step[Plan]):
    """Lays the network out in space and time."""

    name = "schedule"
    needs = (Lower,)
    floors = ("quant", "hw")
    uses = ("schedule", "generate")

    def make(self, view: View) -> Plan:
        """Return the plan."""
        from gateformer.hw.dataflow.plan import plan

        graph = view.get(Lower).graph
        check_layers(view.config, graph)
        return plan(graph, settings(view.config))

    def write(self, view: View, product: Plan, folder: Path) -> Outcome:
        """Write the stages."""
        design = product.design
        text = json.dumps(asdict(design), indent=1, default=str)
        write_whole(folder / "design.json", text + "\n")
        metrics = plan_metrics(product, view.config)
        told = f"latency {design.latency_cycles}, interval {design.interval_cycles} cycles"
        return Outcome(metrics, f"{told}; {fit_words(metrics, view.config)}")


def check_layers(config: Config, graph: Graph) -> None:
    """Raise where a reuse factor is given for a layer that the model does not have."""
    faults = []
    for name in config.schedule.layers:
        if name not in graph.layers:
            near = get_close_matches(name, graph.layers, 1)
            faults.append(
                ConfigError(
                    "E001",
                    "reuse factor of a layer that the model does not have",
                    layer=f"schedule.layers.{name}",
                    fix=f"Did you mean '{near[0]}'?" if near else "gateformer inspect lists layers",
                )
            )
    Problems.raise_if_any(faults)


def settings(config: Config) -> Settings:
    """Return what the hardware's floor is told."""
    table = config.schedule
    return Settings(
        token_parallelism=table.token_parallelism,
        reuse_factor=table.reuse_factor,
        layers=table.layers,
        clock_ns=table.clock_ns,
        logic_ns=table.logic_ns,
        adders=config.generate.adders,
        joint=config.generate.joint,
        ternary=ternary(config),
        device=table.device,
        cache=cache_folder(config, "adders"),
    )


def ternary(config: Config) -> bool:
    """Return whether three operands are added in one step."""
    if config.generate.ternary == "auto":
        return load_device(config.schedule.device).lut_inputs == 6
    return config.generate.ternary


def plan_metrics(plan: Plan, config: Config) -> dict[str, Metric]:
    """Return latency, interval, cost and what they are of the device."""
    design, device = plan.design, load_device(config.schedule.device)
    cost = device.takes(design.cost)
    metrics: dict[str, Metric] = {
        "schedule.latency_cycles": design.latency_cycles,
        "schedule.interval_cycles": design.interval_cycles,
        "schedule.latency_ns": round(design.latency_cycles * config.schedule.clock_ns, 3),
        "schedule.multipliers": sum(stage.multipliers for stage in design.stages),
        "schedule.stages": len(design.stages),
        "estimate.device": config.schedule.device,
        "estimate.lut_inputs": device.lut_inputs,
        "estimate.adders": f"solved by {solver(config)}{how(config)}",
    }
    for name in RESOURCES:
        used, there = float(getattr(cost, name)), float(getattr(device, name))
        metrics[f"estimate.{name}"] = round(used, 1) if name == "bram" else round(used)
        metrics[f"estimate.{name}_percent"] = round(100 * used / there, 1) if there else None
    metrics["estimate.fits"] = device.holds(design.cost)
    return metrics


def solver(config: Config) -> str:
    """Return who solves the adder graphs that the costs are counted on."""
    wanted = config.generate.adders
    if wanted == "auto":
        wanted = "csd" if find_spec("da4ml") is None else "da4ml"
    return wanted


def how(config: Config) -> str:
    """Return in words what is done with the graphs beside solving them."""
    joint = ", jointly where that saves" if config.generate.joint else ""
    return joint + (", in sums of three" if ternary(config) else "")


def fit_words(metrics: Metrics, config: Config) -> str:
    """Return in words what the design takes of the device."""
    units = {name: name.upper() for name in RESOURCES}
    units["lut"] = lut_name(metrics)
    parts = ", ".join(
        f"{metrics[f'estimate.{name}']:,.12g} {units[name]}" for name in RESOURCES if name != "ff"
    )
    fits = "fits" if metrics["estimate.fits"] else "does NOT fit"
    return f"{parts}: {fits} {config.schedule.device}"


def lut_name(metrics: Metrics) -> str:
    """Return what LUTs are called: LUT4 where a device's are smaller than those costs count."""
    inputs = metrics["estimate.lut_inputs"]
    return "LUT" if inputs == 6 else f"LUT{inputs}"
