"""A network's row on an FPGA: the flow's own steps, run or reused; a decoder's reason.

Owns ``run_design``, ``row`` and ``decoder``. Imports the flow. A design's run folder is the one of
``gateformer run``: what is finished there is reused, and its page is not touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateformer.comparing.rows import Absent, Row
from gateformer.config.schema import Config
from gateformer.flow.progress import Watcher
from gateformer.flow.result import Result
from gateformer.hw import devices
from gateformer.quant.decoder import Decoder

TARGETS = ("accuracy", "events", "synth")
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
        energy=None,
        energy_note="toggles were not counted",
        area=area,
        area_note=counted,
        transfer="streaming in and out: in; no host",
        exactness=exactness(metrics, prefix),
        source=(
            f"{latency:,} cycles of latency and {interval:,} of interval, {words}, "
            f"times {clock_ns:.4g} ns"
        ),
    )


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
