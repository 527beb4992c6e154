"""A network's row on an FPGA: the flow's own steps, run or reused; a decoder's reason.

Owns ``run_design``, ``row`` and ``decoder``. Imports the flow. A design's run folder is the one of
``gateformer run``: what is finished there is reused, and its page is not touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateformer.comparing.rows import Absent, Row, tail
from gateformer.config.schema import Config
from gateformer.energy.figure import Energy
from gateformer.energy.fpga import PARTS
from gateformer.flow.progress import Watcher
from gateformer.flow.result import Result
from gateformer.hw import devices
from gateformer.pim.screen import amount, digits
from gateformer.quant.decoder import Decoder

TARGETS = ("accuracy", "events", "synth", "energy")
"""Steps that the row is made of, beside one simulation of the RTL."""
SIMULATORS = ("verilator", "icarus")
"""Which is asked first."""
RESOURCES = ("lut", "ff", "dsp", "bram")
BRAM_BITS = 36 * 1024
URAM_BITS = {"xcvu13p": 1280 * 288 * 1024}
"""UltraRAM of the largest device (AMD DS890, table of Virtex UltraScale+); nothing is generated
into it."""
LATENCIES = (
    ("simulate.verilator", "RTL on Verilator", ""),
    ("simulate.icarus", "RTL on Icarus", ""),
    ("events", "predicted by the event simulator; no simulator of RTL is here", "predicted cycles"),
)
"""Where the clocks come from, the best first, and what a row's name says of it."""


def run_design(config: Config, folder: Path, watcher: Watcher) -> Result:
    """Run, or reuse, the steps that a row needs.

    Raises
    ------
    GateformerError
        What a step found wrong: a design that differs from its model has no row.
    """
    from gateformer.flow.run import run
    from gateformer.flow.steps import all_steps

    steps = all_steps()
    targets = (*TARGETS, *(("build",) if config.build.tool else ()))
    result = Result(folder)
    for count in range(1, len(SIMULATORS) + 1):
        result = run(config, steps, folder, (*targets, *SIMULATORS[:count]), watcher)
        if result.error is not None:
            raise result.error
        if f"simulate.{SIMULATORS[count - 1]}.latency_cycles" in result.metrics:
            break
    return result


def counting(config: Config, overrides: Iterable[str]) -> Config:
    """Return a design whose toggles are counted where that can be done, unless told otherwise."""
    said = any(one.partition("=")[0].strip() == "activity.enabled" for one in overrides)
    if said or config.activity.enabled is not False:
        return config
    table = config.activity.model_copy(update={"enabled": "auto"})
    return config.model_copy(update={"activity": table})


def row(config: Config, metrics: Mapping[str, Any], batch: int = 1) -> Row:
    """Return the row of a design.

    Parameters
    ----------
    config : Config
        The design.
    metrics : mapping
        What its run found.
    batch : int
        Frames that are sent back to back; the time is that of the last one's result.
    """
    prefix, words, told = next(
        each for each in LATENCIES if metrics.get(f"{each[0]}.latency_cycles") is not None
    )
    latency = int(metrics[f"{prefix}.latency_cycles"])
    interval = int(metrics.get(f"{prefix}.interval_cycles") or metrics["schedule.interval_cycles"])
    clock_ns, routed = clock(config, metrics)
    frames = int(metrics.get(f"{prefix}.vectors") or 1)
    area, counted = resources(metrics)
    seconds = (latency + (batch - 1) * interval) * clock_ns * 1e-9
    joules, alone, besides, parts = energy(metrics, clock_ns, batch)
    return Row(
        model=str(config.name),
        platform="FPGA",
        machine=config.schedule.device,
        system=", ".join(one for one in (f"{clock_ns:.4g} ns", routed, told) if one),
        tier="hardware",
        precision="integers",
        batch=batch,
        kind="simulated",
        median=seconds,
        p90=seconds,
        p99=tail(seconds, frames),
        samples=frames,
        per_second=1e9 / (interval * clock_ns),
        energy=joules,
        energy_alone=alone,
        energy_note=besides,
        energy_parts=parts,
        area=area,
        area_note=counted,
        transfer="device",
        transfer_note="the stream in and out of its ports is in; no host",
        exactness=exactness(metrics, prefix),
        source=(
            f"{latency:,} cycles of latency and {interval:,} of interval, {words}, "
            f"times {clock_ns:.4g} ns"
        ),
    )


def energy(
    metrics: Mapping[str, Any], clock_ns: float, batch: int = 1
) -> tuple[Energy | None, Energy | None, str, dict[str, float]]:
    """Return the joules of a frame at the clock that its time is of.

    The run's static energy is of the clock that was asked for: where a build reached another one,
    the device leaks for longer, and what switches takes the same.

    Parameters
    ----------
    metrics : mapping
        What the design's run found.
    clock_ns : float
        The row's clock.
    batch : int
        Frames that are sent back to back.

    Returns
    -------
    full : Energy or None
        Of a frame with others before and behind it.
    alone : Energy or None
        Of one of a batch that comes alone: the device leaks and is clocked for the whole latency.
    words : str
        What to know of them, or why there are none.
    parts : dict of str to float
        Where the first one goes.
    """
    if metrics.get("energy.frame_j") is None:
        reason = metrics.get("energy.skipped") or "toggles were not counted"
        if reason.startswith("it needs") and metrics.get("activity.skipped"):
            reason = metrics["activity.skipped"]
        return None, None, f"not modelled: {reason}", {}
    parts = {str(part): float(metrics.get(f"energy.{part}_j") or 0.0) for part in PARTS}
    longer = clock_ns / float(metrics.get("energy.clock_ns") or clock_ns) - 1
    parts["static"] += (more := parts["static"] * longer)
    full = _joules(metrics, tuple(f"energy.frame{end}_j" for end in ("", "_low", "_high")), more)
    alone = None
    if metrics.get("energy.joules_alone") is not None:
        spans = metrics["schedule.latency_cycles"] / metrics["schedule.interval_cycles"]
        ends = tuple(f"energy.joules_alone{end}" for end in ("", "_low", "_high"))
        first = _joules(metrics, ends, more * spans)
        alone = _mean(first, full, batch)
    dynamic, low, high = (
        amount(metrics[f"energy.dynamic{end}_j"], "J") for end in ("", "_low", "_high")
    )
    words = (
        f"frames back to back, the whole device's static power in it; {dynamic} of it switches "
        f"({low} to {high})"
    )
    if alone is not None:
        several = "a frame" if batch == 1 else f"one of {batch:,} frames"
        words += f"; {several} that nothing follows takes {amount(alone.value, 'J')}"
    return full, alone, words, {part: joules for part, joules in parts.items() if joules}


def _joules(metrics: Mapping[str, Any], names: Sequence[str], more: float) -> Energy:
    """Return a figure of the run with some joules more; its error bar keeps its factors."""
    value, low, high = (float(metrics[name]) for name in names)
    grown = 1 + more / value
    return Energy(
        value=value * grown,
        low=low * grown,
        high=high * grown,
        kind=metrics["energy.kind"],
        boundary=metrics["energy.boundary"],
        source=metrics["energy.source"],
    )


def _mean(first: Energy, other: Energy, batch: int) -> Energy:
    """Return the mean of a batch: the first frame takes its latency, each other one an interval."""

    def of(one: float | None, more: float | None) -> float:
        return ((one or 0.0) + (batch - 1) * (more or 0.0)) / batch

    ends = {
        name: of(getattr(first, name), getattr(other, name)) for name in ("value", "low", "high")
    }
    return first.model_copy(update=ends)


def clock(config: Config, metrics: Mapping[str, Any]) -> tuple[float, str]:
    """Return the clock in ns, and whether a build routed the design for it."""
    tool = config.build.tool
    fmax = metrics.get(f"build.{tool}.fmax_mhz")
    if tool is None or not isinstance(fmax, int | float) or metrics.get("build.skipped"):
        return config.schedule.clock_ns, "unrouted"
    met = metrics.get(f"build.{tool}.timing_met")
    if met is None:
        return config.schedule.clock_ns, f"routed by {tool}, timing not stated"
    return (
        (config.schedule.clock_ns, f"met by {tool}") if met else (1e3 / fmax, f"as {tool} reached")
    )


def resources(metrics: Mapping[str, Any]) -> tuple[dict[str, float], str]:
    """Return what the design takes, and who counted it."""
    made = metrics.get("synth.lut") is not None
    key = "synth" if made else "estimate"
    name = {"lut": "LUT4" if metrics.get("estimate.lut_inputs") == 4 else "LUT"}
    found = {
        name.get(part, part.upper()): float(metrics[f"{key}.{part}"])
        for part in RESOURCES
        if metrics.get(f"{key}.{part}") is not None
    }
    return found, "counted by yosys, unplaced" if made else "predicted, not synthesized"


def exactness(metrics: Mapping[str, Any], prefix: str) -> str:
    """Return what its integers were held to."""
    frames = metrics.get(f"{prefix}.vectors")
    return "" if frames is None else f"bit-exact to the model's integers in {frames:,} frames"


def accuracy(metrics: Mapping[str, Any]) -> str:
    """Return what the integers reach on labelled data, beside float."""
    if metrics.get("accuracy.integer") is None:
        reason = metrics.get("accuracy.reason") or metrics.get("accuracy.skipped")
        return f"no accuracy: {reason}" if reason else ""
    name = str(metrics.get("accuracy.metric")).upper()
    return (
        f"{name} {metrics['accuracy.integer']:.4f} in the design's integers, "
        f"{metrics['accuracy.float']:.4f} in float"
    )


def decoder(model: Decoder, bits: int = 4) -> Absent:
    """Return why a decoder has no row: there is no KV cache, and seldom room for the weights."""
    largest = max((devices.load(name) for name in devices.names()), key=lambda one: one.bram)
    weights = model.block_weights + model.head.weights
    there, besides = largest.bram * BRAM_BITS, URAM_BITS.get(largest.name, 0)
    size = f"{digits(weights * bits / 1e6, 3)} Mbit at {bits} bits"
    held = f"its {parameters(weights)} weights take {size}"
    room = f"the block RAM of {largest.name} ({there / 1e6:,.0f} Mbit)"
    words = f"{held}, and fit in {room}"
    if weights * bits > there:
        words = (
            f"it keeps weights on the chip, and {held}, "
            f"{digits(weights * bits / there, 2)} times {room}"
        )
        if besides:
            words += f"; its UltraRAM, {besides / 1e6:,.0f} Mbit, is not generated into"
    return Absent(
        model=model.name,
        platform="FPGA",
        reason=(
            "the generator has no KV cache, it takes networks that read all tokens at once; "
            f"{words}"
        ),
    )


def parameters(number: int) -> str:
    """Return how many parameters, in millions where there are some."""
    return f"{number:,}" if number < 1e6 else f"{digits(number / 1e6, 3)} M"
