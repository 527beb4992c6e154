"""Icarus: the RTL through cocotb, every integer and every clock; once more with stalls."""

from __future__ import annotations

from pathlib import Path

from gateformer.config.schema import Config
from gateformer.flow.cache import cache_folder
from gateformer.flow.step import Off, Outcome, Step, View, switched_off
from gateformer.flow.steps.generating import Generate
from gateformer.flow.steps.lowering import Lower
from gateformer.flow.steps.scheduling import Schedule
from gateformer.flow.steps.simulating import (
    first_layer,
    keep_waves,
    metrics_of,
    stalled_metrics,
    verdict,
    words,
)
from gateformer.flow.steps.vectors import Vectors
from gateformer.quant.errors import ToolError
from gateformer.sim.rtl.simulate import SimulationResult

WAVE_FRAMES = 4
"""Frames of a waveform."""

Runs = tuple[SimulationResult, SimulationResult | None]


class Icarus(Step[Runs]):
    """Simulates on Icarus Verilog."""

    name = "icarus"
    needs = (Lower, Schedule, Vectors, Generate)
    floors = ("quant", "hw", "sim")
    uses = ("simulate.icarus", "simulate.stalls", "simulate.seed", "simulate.waves")

    def off(self, config: Config) -> Off | None:
        """Return why it is left out."""
        from gateformer.sim.rtl.build import tool_environment

        missing: ToolError | None = None
        try:
            tool_environment("icarus")
        except ToolError as error:
            missing = error
        return switched_off(config.simulate.icarus.enabled, "simulate.icarus", missing)

    def make(self, view: View) -> Runs:
        """Return both simulations."""
        from gateformer.sim.rtl.simulate import simulate
        from gateformer.sim.stalls import StallPattern

        config, design = view.config.simulate, view.get(Schedule).design
        frames = view.get(Vectors).first(config.icarus.vectors)
        files, cache = view.get(Generate).files, cache_folder(view.config, "builds")
        plain = simulate(
            design, files, frames.inputs, frames.outputs, "icarus",
            work=view.scratch / "plain", cache=cache,
        )  # fmt: skip
        if config.waves:
            few = frames.first(WAVE_FRAMES)
            seen = simulate(
                design, files, few.inputs, few.outputs, "icarus",
                work=view.scratch / "waves", cache=cache, waves=True,
            )  # fmt: skip
            plain = with_waves(plain, seen)
        if not (config.stalls and plain.passed):
            return plain, None
        return plain, simulate(
            design, files, frames.inputs, frames.outputs, "icarus",
            work=view.scratch / "stalled", cache=cache, stalls=StallPattern(seed=config.seed),
        )  # fmt: skip

    def write(self, view: View, product: Runs, folder: Path) -> Outcome:
        """Write the verdict, and the waveform where it is wanted."""
        plain, stalled = product
        keep_waves(plain, folder)
        metrics = metrics_of("icarus", plain)
        where = first_layer(view, plain) if plain.mismatches else ""
        error = verdict("Icarus", plain, view.get(Schedule).design, where)
        if stalled is not None:
            metrics |= stalled_metrics("icarus", stalled)
            error = error or verdict("Icarus, with stalls", stalled, None)
        kept = f"; waveform {plain.waves.name}" if plain.waves else ""
        return Outcome(metrics, words(plain) + kept, error)


def with_waves(plain: SimulationResult, seen: SimulationResult) -> SimulationResult:
    """Return a simulation with another one's waveform."""
    from dataclasses import replace

    return replace(plain, waves=seen.waves)
