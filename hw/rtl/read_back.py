"""Read-back: Pyverilog, which had no part in writing the Verilog, holds it to the schedule.

Owns the checks: every file parses, every instance and connection resolves, widths agree, the
tops have the design's ports, and every stage's valid rises at the clocks of the schedule.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateformer.hw.dataflow.design import Design, Stage
from gateformer.hw.naming import identifier
from gateformer.hw.rtl import verilog_values as values
from gateformer.hw.rtl.pyverilog_reader import Child, Module, Shape, elaborate, parse
from gateformer.hw.rtl.valid_path import Control, Key
from gateformer.hw.rtl.verilog_values import UnsupportedError

GAPS = (0, 3, 0, 1, 0, 0, 2)
"""Clocks by which beats come late, in turn, in the second run."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in the Verilog that differs from the schedule, or cannot be read.

    Attributes
    ----------
    kind : str
        ``parse``, ``hierarchy``, ``connection``, ``width``, ``port`` or ``valid``.
    where : str
        The file or the module.
    what : str
        As a sentence.
    """

    kind: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(slots=True)
class ReadBack:
    """What the reader found; no findings means that all is well.

    Attributes
    ----------
    findings : list of Finding
        In the order of the checks.
    metrics : dict of str to number
        ``read_back.*``: what was checked, and how many findings.
    """

    findings: list[Finding] = field(default_factory=list)
    metrics: dict[str, int] = field(default_factory=dict)

    def add(self, kind: str, where: str, what: str) -> None:
        """Note a finding."""
        self.findings.append(Finding(kind, where, what))


def read_back(files: Mapping[str, str], design: Design, iverilog: Path | None = None) -> ReadBack:
    """Read generated Verilog and hold it to the schedule.

    Parameters
    ----------
    files : mapping of str to str
        Texts by file name; those that are no Verilog are left aside.
    design : Design
        What they were generated from.
    iverilog : Path, optional
        Icarus, whose preprocessor is used, where it is not on PATH.

    Raises
    ------
    ToolError
        E501 without Icarus, E505 without Pyverilog.
    """
    result = ReadBack()
    modules, faults = parse(files, iverilog)
    for file, text in faults:
        result.add("parse", file, text)
    core, boundary = f"gf_{design.name}", f"gf_{design.name}_axis"
    checked = _Hierarchy(modules, result)
    for top, ports in ((core, core_ports(design)), (boundary, boundary_ports(design))):
        if top not in modules:
            result.add("hierarchy", top, "the module is missing")
            continue
        shape = checked.visit(top, {})
        if shape is not None:
            _ports(shape, ports, result)
    registers = 0
    if core in modules and not result.findings:
        registers = _valid(modules, core, design, result)
    result.metrics |= {
        "read_back.files": sum(name.endswith(".v") for name in files),
        "read_back.modules": len(modules),
        "read_back.instances": checked.instances,
        "read_back.connections": checked.connections,
        "read_back.stages": len(design.stages),
        "read_back.registers_on_valid_path": registers,
        "read_back.findings": len(result.findings),
    }
    return result


def core_ports(design: Design) -> dict[str, tuple[str, int]]:
    """Return direction and width of each port that the bare core must have."""
    found = dict.fromkeys(("clk", "rst", "in_valid"), ("input", 1))
    for port in design.inputs:
        found[f"in_{identifier(port.value)}"] = ("input", port.bits)
        if port.mask is not None:
            found[f"in_{identifier(port.mask)}"] = ("input", port.lanes)
    for index, port in enumerate(design.outputs):
        label = identifier(port.value)
        found[f"out_{label}_valid" if index else "out_valid"] = ("output", 1)
        found[f"out_{label}"] = ("output", port.bits)
    return found


def boundary_ports(design: Design) -> dict[str, tuple[str, int]]:
    """Return direction and width of each port that the AXI4-Stream top must have."""
    found = {"clk": ("input", 1), "rst": ("input", 1), "frame_error": ("output", 1)}
    for ports, data, back in (
        (design.inputs, "input", "output"),
        (design.outputs, "output", "input"),
    ):
        for port in ports:
            found[f"{port.name}_tdata"] = (data, port.axis_bits)
            found |= {f"{port.name}_{wire}": (data, 1) for wire in ("tvalid", "tlast")}
            found[f"{port.name}_tready"] = (back, 1)
            if port.mask is not None:
                found[f"{port.name}_tuser"] = (data, port.lanes)
    return found


def _ports(shape: Shape, wanted: Mapping[str, tuple[str, int]], result: ReadBack) -> None:
    where = shape.module.name
    for name, (direction, width) in wanted.items():
        found = shape.ports.get(name)
        if found is None:
            result.add("port", where, f"port {name} is missing")
        elif found != (direction, width):
            result.add(
                "port", where,
                f"port {name} is an {found[0]} of {found[1]} bits, "
                f"the schedule has an {direction} of {width}",
            )  # fmt: skip
    for name in shape.ports.keys() - wanted.keys():
        result.add("port", where, f"port {name} is not in the schedule")


@dataclass(slots=True)
class _Hierarchy:
    """Visits every module with every set of parameters once."""

    modules: Mapping[str, Module]
    result: ReadBack
    instances: int = 0
    connections: int = 0
    seen: dict[tuple[str, tuple[tuple[str, int], ...]], Shape | None] = field(default_factory=dict)

    def visit(self, name: str, given: Mapping[str, int]) -> Shape | None:
        """Check a module and all below it."""
        key = (name, tuple(sorted(given.items())))
        if key not in self.seen:
            try:
                shape = elaborate(self.modules[name], given, self.modules)
            except UnsupportedError as error:
                self.result.add("hierarchy", name, f"cannot be elaborated: {error.what}")
                self.seen[key] = None
                return None
            self.seen[key] = shape
            for instance, child in shape.children.items():
                self._child(name, instance, child)
        return self.seen[key]

    def _child(self, where: str, instance: str, child: Child) -> None:
        self.instances += 1
        if child.module not in self.modules:
            what = f"instance {instance} is of module {child.module}, which no file has"
            self.result.add("hierarchy", where, what)
            return
        for name in child.parameters.keys() - self.modules[child.module].parameters.keys():
            what = f"instance {instance} sets {name}, no parameter of {child.module}"
            self.result.add("connection", where, what)
            return
        shape = self.visit(child.module, child.parameters)
        for text in () if shape is None else self._faults(instance, child, shape):
            self.result.add("width" if "bits" in text else "connection", where, text)

    def _faults(self, instance: str, child: Child, shape: Shape) -> Iterator[str]:
        for port, node in child.connections.items():
            self.connections += 1
            if port not in shape.ports:
                yield f"instance {instance} connects {port}, no port of {child.module}"
            elif node is not None and not _unsized(node):
                declared = shape.ports[port][1]
                try:
                    joined = values.width(node, child.scope)
                except UnsupportedError:
                    continue
                if joined != declared:
                    yield f"port {port} of {instance} has {declared} bits, its wire {joined}"
        for port, (direction, _) in shape.ports.items():
            if direction == "input" and child.connections.get(port) is None:
                yield f"input {port} of instance {instance} is not connected"


def _unsized(node: object) -> bool:
    return values.kind_of(node) == "IntConst" and "'" not in node.value  # type: ignore[attr-defined]


def _valid(modules: Mapping[str, Module], core: str, design: Design, result: ReadBack) -> int:
    """Clock the control logic and compare; return the registers up to the last output.

    A folded stage may give a beat in parts, one a clock: its valid then stays for them all.
    """
    signals = {stage.name: f"{identifier(stage.name)}_valid" for stage in design.stages}
    patience = design.latency_cycles + design.interval_cycles
    depth = 0
    try:
        for gaps in ((0,), GAPS):
            frames = arrivals(design, gaps)
            control = Control(modules, core)
            places = {name: control.find(name) for name in signals.values()}
            control.watch(places.values())
            seen = _clocked(control, places, [t for f in frames for t in f], patience)
            for stage in design.stages:
                wanted = [t for beats in frames for t in expected(stage, design, beats)]
                found = seen[signals[stage.name]]
                if stage.reuse > 1 and len(found) == len(wanted) * stage.reuse:
                    wanted = [t + fold for t in wanted for fold in range(stage.reuse)]
                if found != wanted:
                    result.add("valid", core, _differs(stage, wanted, found))
                elif stage.name in design.output_stages:
                    start = frames[0][-1] if stage.paced == "frame" else frames[0][0]
                    depth = max(depth, found[0] - start)
    except UnsupportedError as error:
        result.add("valid", core, f"its valid path cannot be followed: {error.what}")
    return depth


def arrivals(design: Design, gaps: tuple[int, ...]) -> list[list[int]]:
    """Return the clocks of the beats of two frames, back to back but for the gaps."""
    clock, frames = 0, []
    for _ in range(2):
        beats = []
        for slot in range(design.slots):
            beats.append(clock)
            clock += design.beat_interval + gaps[slot % len(gaps)]
        frames.append(beats)
    return frames


def expected(stage: Stage, design: Design, beats: list[int]) -> list[int]:
    """Return the clocks at which a frame's beats leave a stage."""
    if stage.paced == "input":
        return [clock + stage.offset for clock in beats[: stage.beats]]
    return [beats[-1] + stage.offset + i * design.beat_interval for i in range(stage.beats)]


def _clocked(
    control: Control, places: Mapping[str, Key], beats: list[int], patience: int
) -> dict[str, list[int]]:
    """Return the clocks in which each signal is high, until all have been low for a while."""
    control.drive(rst=1)
    control.step()
    control.drive(rst=0)
    seen: dict[str, list[int]] = {name: [] for name in places}
    clock, quiet, at = 0, 0, set(beats)
    while quiet < patience or clock <= max(beats):
        control.drive(in_valid=int(clock in at))
        high = [name for name, key in places.items() if control.value(key)]
        for name in high:
            seen[name].append(clock)
        quiet = 0 if high else quiet + 1
        control.step()
        clock += 1
    return seen


def _differs(stage: Stage, wanted: list[int], found: list[int]) -> str:
    if len(wanted) != len(found):
        return f"stage '{stage.name}' gives {len(found)} beats, the schedule has {len(wanted)}"
    first = next(i for i, (a, b) in enumerate(zip(wanted, found, strict=True)) if a != b)
    return (
        f"beat {first} of stage '{stage.name}' leaves at clock {found[first]}, "
        f"the schedule says {wanted[first]}"
    )
