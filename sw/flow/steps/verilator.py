"""Verilator: many frames through a compiled harness, every integer and every clock."""

from __future__ import annotations

from pathlib import Path

from gateformer.config.schema import Config
from gateformer.flow.cache import cache_folder
from gateformer.flow.step import Off, Outcome, Step, View, switched_off
from gateformer.flow.steps.generating import Generate
from gateformer.flow.steps.lowering import Lower
from gateformer.flow.steps.scheduling import Schedule
from gateformer.flow.steps.simulating import first_layer, metrics_of, verdict, words
from gateformer.flow.steps.vectors import Vectors
from gateformer.quant.errors import ToolError
from gateformer.sim.rtl.simulate import SimulationResult


class Verilator(Step[SimulationResult]):
    """Simulates on Verilator."""

    name = "verilator"
    needs = (Lower, Schedule, Vectors, Generate)
    floors = ("quant", "hw", "sim")
    uses = ("simulate.verilator",)

    def off(self, config: Config) -> Off | None:
        """Return why it is left out."""
        from gateformer.sim.rtl.build import tool_environment

        missing: ToolError | None = None
        try:
            tool_environment("verilator")
        except ToolError as error:
            missing = error
        return switched_off(config.simulate.verilator.enabled, "simulate.verilator", missing)

    def make(self, view: View) -> SimulationResult:
        """Return the simulation."""
        from gateformer.sim.rtl.bulk import bulk

        frames = view.get(Vectors).first(view.config.simulate.verilator.vectors)
        return bulk(
            view.get(Schedule).design,
            view.get(Generate).files,
            frames.inputs,
            frames.outputs,
            work=view.scratch,
            cache=cache_folder(view.config, "builds"),
        )

    def write(self, view: View, product: SimulationResult, folder: Path) -> Outcome:
        """Write the verdict."""
        where = first_layer(view, product) if product.mismatches else ""
        error = verdict("Verilator", product, view.get(Schedule).design, where)
        return Outcome(metrics_of("verilator", product), words(product), error)
