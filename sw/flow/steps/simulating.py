"""What both simulators' steps share: the metrics of a simulation and its verdict."""

from __future__ import annotations

from pathlib import Path
from shutil import copyfile

from gateformer.flow.cache import cache_folder
from gateformer.flow.step import Metric, View
from gateformer.flow.steps.events import clocks_error
from gateformer.flow.steps.generating import Generate
from gateformer.flow.steps.lowering import Lower
from gateformer.flow.steps.scheduling import Schedule
from gateformer.flow.steps.vectors import Vectors
from gateformer.hw.dataflow.design import Design
from gateformer.quant.errors import GateformerError, MismatchError, ToolError
from gateformer.sim.rtl.simulate import SimulationResult


def metrics_of(name: str, result: SimulationResult) -> dict[str, Metric]:
    """Return the metrics of a simulation, under ``simulate.<name>``."""
    return {
        f"simulate.{name}.vectors": result.vectors,
        f"simulate.{name}.mismatches": result.mismatches,
        f"simulate.{name}.latency_cycles": result.latency_cycles,
        f"simulate.{name}.interval_cycles": result.interval_cycles,
        f"simulate.{name}.problems": len(result.problems),
        f"simulate.{name}.clocks": result.clocks,
        f"simulate.{name}.build_seconds": round(result.build_seconds, 2),
        f"simulate.{name}.seconds": round(result.seconds, 2),
    }


def stalled_metrics(name: str, result: SimulationResult) -> dict[str, Metric]:
    """Return the metrics of a simulation whose neighbours stalled."""
    return {
        f"simulate.{name}.stalled_vectors": result.vectors,
        f"simulate.{name}.stalled_mismatches": result.mismatches,
        f"simulate.{name}.stalled_problems": len(result.problems),
    }


def verdict(
    name: str, result: SimulationResult, design: Design | None, where: str = ""
) -> GateformerError | None:
    """Return what a simulation found wrong: an integer, a rule of the stream, or a clock.

    Parameters
    ----------
    name : str
        The simulator's.
    result : SimulationResult
        What it showed.
    design : Design or None
        The schedule to hold its clocks to; None where neighbours stalled.
    where : str
        The first layer that differs, if it is known.
    """
    if result.mismatches:
        return MismatchError(
            "E401",
            "simulated values differ from the model",
            layer=name,
            cause=f"{result.mismatches} of {result.vectors} frames; the first: {result.first}",
            fix=where,
        )
    if result.problems:
        return MismatchError(
            "E403", "stream protocol violated", layer=name, cause="; ".join(result.problems[:3])
        )
    if design is None:
        return None
    planned = (design.latency_cycles, design.interval_cycles)
    return clocks_error(name, (result.latency_cycles, result.interval_cycles), planned)


def first_layer(view: View, result: SimulationResult) -> str:
    """Return the first layer at which a frame that differs does so, as a sentence.

    Icarus runs the frame again with every tapped value recorded; without it, nothing is said.
    """
    from gateformer.quant.execute import run
    from gateformer.sim.rtl.difference import first_difference

    frames = view.get(Vectors)
    if result.first is None or result.first.frame >= len(frames):
        return ""
    rtl, graph, at = view.get(Generate), view.get(Lower).graph, result.first.frame
    frame = {name: array[at : at + 1] for name, array in frames.inputs.items()}
    try:
        found = first_difference(
            view.get(Schedule).design, rtl.files, rtl.taps, frame, run(graph, frame, keep=True),
            view.scratch / "difference", cache=cache_folder(view.config, "builds"),
        )  # fmt: skip
    except ToolError:
        return ""
    if found is None:
        return "Every tapped layer agrees: look at the boundary"
    layer = graph.values[found.value].layer
    return f"The first layer that differs is '{layer}': {found} (signal {found.signal})"


def words(result: SimulationResult) -> str:
    """Return a simulation in words."""
    clocks = f"latency {result.latency_cycles}, interval {result.interval_cycles} cycles"
    return f"{result.vectors:,} frames, {result.mismatches} mismatches; {clocks}"


def keep_waves(result: SimulationResult, folder: Path) -> None:
    """Copy the waveform into the step's folder."""
    if result.waves is not None and result.waves.is_file():
        copyfile(result.waves, folder / result.waves.name)
