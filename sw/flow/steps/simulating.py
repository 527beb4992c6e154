"""What both simulators' steps share: the metrics of a simulation and its verdict."""

from __future__ import annotations

from pathlib import Path
from shutil import copyfile

from gateformer.flow.step import Metric
from gateformer.flow.steps.events import clocks_error
from gateformer.hw.dataflow.design import Design
from gateformer.quant.errors import GateformerError, MismatchError
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


def verdict(name: str, result: SimulationResult, design: Design | None) -> GateformerError | None:
    """Return what a simulation found wrong: an integer, a rule of the stream, or a clock.

    Parameters
    ----------
    name : str
        The simulator's.
    result : SimulationResult
        What it showed.
    design : Design or None
        The schedule to hold its clocks to; None where neighbours stalled.
    """
    if result.mismatches:
        return MismatchError(
            "E401",
            "simulated values differ from the model",
            layer=name,
            cause=f"{result.mismatches} of {result.vectors} frames; the first: {result.first}",
        )
    if result.problems:
        return MismatchError(
            "E403", "stream protocol violated", layer=name, cause="; ".join(result.problems[:3])
        )
    if design is None:
        return None
    planned = (design.latency_cycles, design.interval_cycles)
    return clocks_error(name, (result.latency_cycles, result.interval_cycles), planned)


def words(result: SimulationResult) -> str:
    """Return a simulation in words."""
    clocks = f"latency {result.latency_cycles}, interval {result.interval_cycles} cycles"
    return f"{result.vectors:,} frames, {result.mismatches} mismatches; {clocks}"


def keep_waves(result: SimulationResult, folder: Path) -> None:
    """Copy the waveform into the step's folder."""
    if result.waves is not None and result.waves.is_file():
        copyfile(result.waves, folder / result.waves.name)
