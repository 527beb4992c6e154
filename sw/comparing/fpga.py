"""A network's row on an FPGA: the flow's own steps, run or reused; a decoder's reason.

Owns ``run_design``, ``row`` and ``decoder``. Imports the flow. A design's run folder is the one of
``gateformer run``: what is finished there is reused, and its page is not touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gateformer.comparing.rows import Absent, Row
from gateformer.config.schema import Config
from gateformer.energy.figure import Energy
from gateformer.energy.fpga import PARTS
from gateformer.flow.progress import Watcher
from gateformer.flow.result import Result
from gateformer.hw import devices
from gateformer.pim.screen import amount
from gateformer.quant.decoder import Decoder

TARGETS = ("accuracy", "events", "synth", "energy")
"""Steps that the row is made of, beside one simulation of the RTL."""
SIMULATORS = ("verilator", "icarus")
"""Which is asked first."""
RESOURCES = ("lut", "ff", "dsp", "bram")
BRAM_BITS = 36 * 1024
LATENCIES = (
    ("simulate.verilator", "RTL on Verilator", "simulated"),
    ("simulate.icarus", "RTL on Icarus", "simulated"),
    ("events", "event simulator; no simulator of RTL is here", "simulated"),
)
"""Where the clocks come from, the best first."""


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
    prefix, words = next(
        (prefix, words)
        for prefix, words, _ in LATENCIES
        if metrics.get(f"{prefix}.latency_cycles") is not None
    )
    latency = int(metrics[f"{prefix}.latency_cycles"])
    interval = int(metrics.get(f"{prefix}.interval_cycles") or metrics["schedule.interval_cycles"])
    clock_ns, routed = clock(config, metrics)
    frames = int(metrics.get(f"{prefix}.vectors") or 1)
    area, counted = resources(metrics)
    seconds = (latency + (batch - 1) * interval) * clock_ns * 1e-9
    joules, besides, parts = energy(metrics)
    return Row(
        model=str(config.name),
        platform="FPGA",
        machine=config.schedule.device,
        system=f"{clock_ns:.4g} ns, {routed}",
        tier="hardware",
        precision="integers",
        batch=batch,
        kind="simulated",
        median=seconds,
        p90=seconds,
        p99=seconds,
        samples=frames,
        per_second=1e9 / (interval * clock_ns),
        energy=joules,
        energy_note=besides,
        energy_parts=parts,
        area=area,
        area_note=counted,
        transfer="streaming in and out: in; no host",
        exactness=exactness(metrics, prefix),
        source=(
            f"{latency:,} cycles of latency and {interval:,} of interval, {words}, "
            f"times {clock_ns:.4g} ns"
        ),
    )


def energy(metrics: Mapping[str, Any]) -> tuple[Energy | None, str, dict[str, float]]:
    """Return the joules of a frame, what to know of them, and where they go."""
    if metrics.get("energy.frame_j") is None:
        reason = metrics.get("energy.skipped") or "toggles were not counted"
        if reason.startswith("it needs") and metrics.get("activity.skipped"):
            reason = metrics["activity.skipped"]
        return None, f"not modelled: {reason}", {}
    found = Energy(
        value=metrics["energy.frame_j"],
        low=metrics["energy.frame_low_j"],
        high=metrics["energy.frame_high_j"],
        kind=metrics["energy.kind"],
        boundary=metrics["energy.boundary"],
        source=metrics["energy.source"],
    )
    dynamic, low, high = (
        amount(metrics[f"energy.dynamic{end}_j"], "J") for end in ("", "_low", "_high")
    )
    words = (
        f"frames back to back, the whole device's static power in it; {dynamic} of it switches "
        f"({low} to {high})"
    )
    parts = {str(part): float(metrics.get(f"energy.{part}_j") or 0.0) for part in PARTS}
    return found, words, {part: joules for part, joules in parts.items() if joules}


def clock(config: Config, metrics: Mapping[str, Any]) -> tuple[float, str]:
    """Return the clock in ns, and whether a build routed the design for it."""
    tool = config.build.tool
    fmax = metrics.get(f"build.{tool}.fmax_mhz")
    if tool is None or not isinstance(fmax, int | float) or metrics.get("build.skipped"):
        return config.schedule.clock_ns, "unrouted"
    met = metrics.get(f"build.{tool}.timing_met")
    if met is not False:
        return config.schedule.clock_ns, f"met by {tool}"
    return 1e3 / fmax, f"as {tool} reached"


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
    """Return why a decoder has no row: a pipeline holds all its weights on the chip."""
    largest = max((devices.load(name) for name in devices.names()), key=lambda one: one.bram)
    weights = model.block_weights + model.head.weights
    there = largest.bram * BRAM_BITS
    return Absent(
        model=model.name,
        platform="FPGA",
        reason=(
            f"a pipeline holds its weights on the chip: {weights / 1e6:,.0f} M of them take "
            f"{weights * bits / 1e6:,.0f} Mbit at {bits} bits each, "
            f"{weights * bits / there:,.1f} times the block RAM of {largest.name} "
            f"({there / 1e6:,.0f} Mbit)"
        ),
    )
