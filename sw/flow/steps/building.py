"""Build: a vendor's toolchain on the RTL or on the HLS project, its reports as metrics.

Owns ``Build`` and ``BuildHls``: the same step after different sources. A toolchain that is not
here still gets its project written, so that it can be built elsewhere.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import ClassVar

from gateformer.config.schema import Config
from gateformer.flow.step import Metric, Off, Outcome, Step, View
from gateformer.flow.steps.generating import Generate
from gateformer.flow.steps.hls import benched, kinds_of, settings_of
from gateformer.flow.steps.importing import Import
from gateformer.flow.steps.lowering import Lower
from gateformer.flow.steps.scheduling import Schedule, check_layers
from gateformer.flow.steps.vectors import Vectors
from gateformer.hw.devices import load as load_device
from gateformer.hw.devices import names as devices
from gateformer.hw.hls.project import Project
from gateformer.quant.errors import ConfigError, GateformerError, Problems
from gateformer.quant.tools import TOOLS
from gateformer.toolchains.execute import execute, programs, write
from gateformer.toolchains.plan import Metrics, Plan, Request
from gateformer.toolchains.registry import Toolchain, toolchain

TOLD = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram": "BRAM"}
"""Metrics that the table's row tells, where the tool reports them."""


class _Building(Step[Plan]):
    """What building has in common, whatever it begins with."""

    takes_rtl = True
    uses: ClassVar[tuple[str, ...]] = (
        "build.tool",
        "build.flow",
        "build.strategy",
        "build.part",
        "build.jobs",
        "schedule.clock_ns",
        "schedule.device",
    )

    def off(self, config: Config) -> Off | None:
        """Return why it is left out; raise where the toolchain cannot do what is asked."""
        if config.build.tool is None:
            return Off("build.tool names no toolchain", chosen=True)
        chosen = toolchain(config.build.tool)
        if (chosen.backend is None) is not self.takes_rtl:
            other = "RTL" if chosen.backend is None else "an HLS project"
            return Off(f"{chosen.name} takes {other}", chosen=True)
        Problems.raise_if_any(contradictions(config, chosen))
        return None

    def request(self, view: View, chosen: Toolchain) -> Request:
        """Return what the toolchain is asked for, without its sources."""
        config = view.config
        device = load_device(config.schedule.device)
        return Request(
            name=str(config.name),
            device=device,
            part=config.build.part or device.part,
            clock_ns=config.schedule.clock_ns,
            flow=config.build.flow or chosen.flows[0],
            strategy=config.build.strategy,
            jobs=config.build.jobs,
        )

    def write(self, view: View, product: Plan, folder: Path) -> Outcome:
        """Write the project, build it, and keep log, reports and products beside it."""
        table = view.config.build
        write(product, folder)
        paths = {name: Path(path) for name, path in table.paths.items()}
        asked = self.request(view, toolchain(str(table.tool)))
        prefix = f"build.{product.tool}"
        settings: dict[str, Metric] = {f"{prefix}.flow": asked.flow, f"{prefix}.part": asked.part}
        place = folder.with_name(folder.name.removesuffix(".partial"))
        try:
            programs(product, paths)
        except GateformerError as missing:
            missing.fix += f". The project is written: sh build.sh in {place} builds it"
            return Outcome(settings, f"{missing.code} {missing.what}: {missing.layer}", missing)
        start = perf_counter()
        built = execute(
            product,
            view.scratch,
            paths=paths,
            timeout_s=table.timeout_s,
            say=view.say,
            kept=place,
        )
        for path in built.products:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(view.scratch / path, folder / path)
        metrics = {
            **settings,
            **built.metrics,
            f"{prefix}.seconds": round(perf_counter() - start, 1),
        }
        words = told(product.tool, built.metrics)
        if built.error is not None:
            words = f"{built.error.code} {built.error.what}" + (f"; {words}" if words else "")
        return Outcome(metrics, words, built.error)


class Build(_Building):
    """Builds the RTL."""

    name = "build"
    needs = (Schedule, Generate)
    floors = ("quant", "hw", "sim", "sw/host", "sw/toolchains")

    def make(self, view: View) -> Plan:
        """Return what the toolchain would do."""
        chosen = toolchain(str(view.config.build.tool))
        asked = self.request(view, chosen)
        sources = replace(asked, design=view.get(Schedule).design, rtl=view.get(Generate))
        return chosen.plan(sources)


class BuildHls(_Building):
    """Builds the HLS project."""

    name = "build_hls"
    needs = (Import, Lower, Vectors)
    floors = ("quant", "hw", "sw/toolchains")
    takes_rtl = False
    uses = (*_Building.uses, "hls.io_type", "schedule.reuse_factor", "schedule.layers")

    def make(self, view: View) -> Plan:
        """Return what the toolchain would do."""
        chosen = toolchain(str(view.config.build.tool))
        asked = self.request(view, chosen)
        return chosen.plan(replace(asked, project=hls_project(view, chosen, asked.part)))


def hls_project(view: View, chosen: Toolchain, part: str) -> Project:
    """Return the HLS project for a toolchain's compiler.

    Raises
    ------
    ToolError
        E505 without hls4ml.
    Problems or GateformerError
        All that cannot be generated.
    """
    from gateformer.hw.hls.model import generate

    graph = view.get(Lower).graph
    check_layers(view.config, graph)
    hls = view.config.hls.model_copy(update={"backend": chosen.backend, "part": part})
    settings = settings_of(view.config.model_copy(update={"hls": hls}))
    return benched(view, generate(graph, settings, kinds_of(view.get(Import))))


def contradictions(config: Config, chosen: Toolchain) -> list[ConfigError]:
    """Return what a configuration asks of a toolchain that it cannot do."""
    table = config.build
    faults = [
        ConfigError(
            "E002",
            "invalid configuration value",
            layer=f"build.{key}",
            cause=f"{chosen.name} has no {key} '{value}'",
            fix=f"Choose one of {', '.join(known)}",
        )
        for key, value, known in (
            ("flow", table.flow, chosen.flows),
            ("strategy", table.strategy, chosen.strategies),
        )
        if value and value not in known
    ]
    faults += [
        ConfigError(
            "E002",
            "invalid configuration value",
            layer=f"build.paths.{name}",
            cause="gateformer calls no such program",
            fix=f"Known are {', '.join(TOOLS)}",
        )
        for name in table.paths
        if name not in TOOLS
    ]
    device = load_device(config.schedule.device)
    if device.family not in chosen.families:
        faults.append(
            ConfigError(
                "E006",
                "device and toolchain contradict each other",
                layer="schedule.device",
                cause=f"{device.name} is {device.family}; {chosen.name} builds for "
                f"{', '.join(chosen.families)}",
                fix="Choose another toolchain, or -o schedule.device=NAME of "
                + ", ".join(n for n in devices() if load_device(n).family in chosen.families),
            )
        )
    return faults


def told(tool: str, metrics: Metrics) -> str:
    """Return a build's result in a few words, empty where nothing is known of it."""
    known = {
        key: metrics.get(f"build.{tool}.{key}") for key in (*TOLD, "fmax_mhz", "latency_cycles")
    }
    words = [f"{known[key]:,.12g} {unit}" for key, unit in TOLD.items() if known[key] is not None]
    parts = [", ".join(words)] if words else []
    if known["fmax_mhz"] is not None:
        parts.append(f"{known['fmax_mhz']:g} MHz")
    if known["latency_cycles"] is not None:
        parts.append(f"{known['latency_cycles']} clocks")
    return "; ".join(parts)
