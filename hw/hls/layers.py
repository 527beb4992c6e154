"""Layers as text: one header a unit, ``firmware/layers/<function>.h``.

Owns ``Site``, ``Layer`` and ``write_layer``. Imports units, phases, statements and dialects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from gateformer.hw.hls.dialect import Dialect
from gateformer.hw.hls.names import Names, fixed
from gateformer.hw.hls.phases import Frame, Phase, Phases, accesses, phases, tokens
from gateformer.hw.hls.project import IoType
from gateformer.hw.hls.statements import (
    STATEMENTS,
    Operand,
    Resources,
    Row,
    Statement,
    Table,
    Weight,
    features,
)
from gateformer.hw.hls.units import Unit
from gateformer.quant.graph import Graph, Node
from gateformer.quant.types import IntArray

Lines = list[str]
COLUMNS = 100
"""Longest line where it can be helped."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A unit's function as text.

    Attributes
    ----------
    function : str
        The C++ function; ``firmware/layers/<function>.h`` declares it.
    text : str
        That file.
    weights : tuple of Weight
        Constant arrays that hls4ml writes.
    tables : tuple of Table
        Look-up tables.
    multiplies : mapping of str to int
        Name of a limit in the layer's configuration -> multiplications that share it.
    barriers : int
        Whole frames gathered between its first input and its last output.
    """

    function: str
    text: str
    weights: tuple[Weight, ...]
    tables: tuple[Table, ...]
    multiplies: Mapping[str, int]
    barriers: int


@dataclass(frozen=True, slots=True)
class Site:
    """Where a layer is written: what it has in common with the rest of the project.

    Attributes
    ----------
    graph : Graph
        The network.
    constants : mapping of str to ndarray
        Raw integers of its constant values.
    io_type : IoType
        Streams or arrays.
    dialect : Dialect
        The vendor's manner.
    names : Names
        Global C++ names.
    beats : mapping of str to str
        C++ type of each value that passes between layers.
    """

    graph: Graph
    constants: Mapping[str, IntArray]
    io_type: IoType
    dialect: Dialect
    names: Names
    beats: Mapping[str, str]


def write_layer(site: Site, unit: Unit, function: str, about: Sequence[str]) -> Layer:
    """Write a unit's header."""
    writer = _Writer(site, unit, function)
    body = writer.stream() if site.io_type == "io_stream" else writer.parallel()
    own = writer.resources
    includes = ["../defines.h", "../gf/gf.h"]
    includes += [f"../tables/{table.name}.h" for table in own.tables]
    includes += [f"../weights/{weight.name}.h" for weight in own.weights]
    guard = f"{function.upper()}_H_"
    lines = [
        *(f"// {line}" for line in about),
        "",
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
        *(f'#include "{name}"' for name in includes),
        "",
        *body,
        "",
        "#endif",
    ]
    return Layer(
        function,
        "\n".join(lines) + "\n",
        tuple(own.weights),
        tuple(own.tables),
        dict(writer.multiplies),
        max(phase.level for phase in writer.plan.phases),
    )


@dataclass(slots=True)
class _Loop:
    """The text of one phase's iteration."""

    lines: Lines
    multiplies: int


@dataclass(slots=True)
class _Writer:
    """Writes one unit."""

    site: Site
    unit: Unit
    function: str
    plan: Phases = field(init=False)
    resources: Resources = field(init=False)
    locals: dict[str, str] = field(init=False)
    arrays: dict[Frame, str] = field(init=False)
    names: Names = field(init=False)
    given: dict[str, str] = field(init=False)
    multiplies: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        site, unit = self.site, self.unit
        self.plan = phases(site.graph, unit, site.constants)
        self.resources = Resources(self.function, site.names)
        names = self.names = Names()
        self.given = {}
        self.locals = {name: names.new(name) for name in unit.reads}
        for node in unit.nodes:
            name = node.output
            short = name.removeprefix(f"{unit.layer}/")
            self.locals[name] = "result" if name == unit.layer else names.new(short)
        self.arrays = {f: names.new(f"{self.locals[f.value]}_frame") for f in self.plan.frames}
        self.multiplies = {}

    # io_stream

    def stream(self) -> Lines:
        """Functions of a layer between streams: one a phase, and DATAFLOW where several."""
        plan = self.plan.phases
        if len(plan) == 1:
            return self._phase_function(self.function, 0, "multiplier_limit")
        names = Names(self.function)
        called = [names.new(f"{self.function}_phase{phase.level}") for phase in plan]
        lines: Lines = []
        for number, name in enumerate(called):
            lines += [*self._phase_function(name, number, f"multiplier_limit_{number}"), ""]
        return [*lines, *self._dataflow(called)]

    def _phase_function(self, name: str, number: int, limit: str) -> Lines:
        phase = self.plan.phases[number]
        loop = self._iteration(number)
        inside = [*self._limit(limit, loop.multiplies)]
        pipelined = [*self.site.dialect.pipeline(), "", *loop.lines]
        if phase.tokens == 1:
            inside = [*self.site.dialect.pipeline(), *inside, "", *loop.lines]
        else:
            inside += self._for("tokens", phase.tokens, pipelined, unrolled=False)
        parameters = [
            *self._streams(phase.reads, ()),
            *self._frames(number),
            *self._streams((), phase.writes),
        ]
        head = self._head(phase.reads, phase.writes)
        return [*self._about(phase), head, *_function(name, parameters, inside)]

    def _streams(self, reads: Sequence[str], writes: Sequence[str]) -> list[str]:
        ins = [self._stream(name, "in") for name in reads]
        return ins + [self._stream(name, "out") for name in writes]

    def _head(self, reads: Sequence[str], writes: Sequence[str]) -> str:
        """The line above a function between streams."""
        names = [f"{self.locals[name]}_in" for name in reads]
        return self.site.dialect.template(names + [f"{self.locals[name]}_out" for name in writes])

    def _stream(self, value: str, way: str) -> str:
        name = f"{self.locals[value]}_{way}"
        return self.site.dialect.stream(self.site.beats[value], name, way == "out")

    def _inward(self, number: int) -> list[Frame]:
        return [frame for frame in self.plan.frames if frame.target == number]

    def _outward(self, number: int) -> list[Frame]:
        return [frame for frame in self.plan.frames if frame.source == number]

    def _frames(self, number: int) -> list[str]:
        """Parameters of a phase that are frames: what it reads, then what it fills."""
        read = [f"const {self._declared(f, '(&{})')}" for f in self._inward(number)]
        return read + [self._declared(f, "(&{})") for f in self._outward(number)]

    def _declared(self, frame: Frame, form: str = "{}") -> str:
        value = self.site.graph.values[frame.value]
        size = f"[{tokens(value)}][{prod(features(value))}]"
        return f"{fixed(value.fixed)} {form.format(self.arrays[frame])}{size}"

    def _dataflow(self, called: list[str]) -> Lines:
        """The layer itself: frames between concurrent phases."""
        inside = [*self.site.dialect.dataflow(), ""]
        for frame in self.plan.frames:
            for step in range(self._steps(frame)):
                suffix = _suffix(step)
                inside.append(f"{self._declared(frame, f'{{}}{suffix}')};")
                inside += self._partition(frame, suffix)
        inside.append("")
        done = -1
        for number, (name, phase) in enumerate(zip(called, self.plan.phases, strict=True)):
            if phase.level != done:
                inside += self._carries(phase.level)
                done = phase.level
            given = [f"{self.locals[n]}_in" for n in phase.reads]
            for frame in self._inward(number):
                given.append(self.arrays[frame] + _suffix(self._steps(frame) - 1))
            given += [self.arrays[frame] for frame in self._outward(number)]
            given += [f"{self.locals[n]}_out" for n in phase.writes]
            inside += _call(f"{name}<CONFIG_T>({', '.join(given)})")
        parameters = self._streams(self.unit.reads, self.unit.writes)
        head = self._head(self.unit.reads, self.unit.writes)
        overlap = self.site.dialect.dataflow()
        when = "at the same time, on successive frames" if overlap else "one after another"
        about = [f"// {self.unit.layer}: the phases run {when}."]
        return [*about, head, *_function(self.function, parameters, inside)]

    def _steps(self, frame: Frame) -> int:
        """Arrays on a frame's way: no process is bypassed, a waiting frame is handed on."""
        plan = self.plan.phases
        return plan[frame.target].level - plan[frame.source].level

    def _carries(self, level: int) -> Lines:
        """Hand on the frames that skip a level."""
        lines: Lines = []
        for frame in self.plan.frames:
            step = level - self.plan.phases[frame.source].level
            if 0 < step < self._steps(frame):
                array = self.arrays[frame]
                lines.append(f"gf::carry({array}{_suffix(step - 1)}, {array}{_suffix(step)});")
        return lines

    # io_parallel

    def parallel(self) -> Lines:
        """One pipelined function between arrays; its loops are unrolled."""
        inside: Lines = []
        total = 0
        loops: Lines = []
        for number, phase in enumerate(self.plan.phases):
            loop = self._iteration(number)
            total += loop.multiplies * phase.tokens
            loops.append("")
            if phase.tokens == 1:
                loops += ["{", *_indent(loop.lines), "}"]
            else:
                lines = [*self.site.dialect.unroll(), "", *loop.lines]
                loops += self._for(f"phase{number}", phase.tokens, lines, unrolled=True)
        inside += self.site.dialect.pipeline()
        inside += self._limit("multiplier_limit", total)
        for frame in self.plan.frames:
            inside.append(f"{self._declared(frame)};")
            inside += self._partition(frame, "")
        parameters = [f"const {self._array(name, 'in')}" for name in self.unit.reads]
        parameters += [self._array(name, "out") for name in self.unit.writes]
        about = [f"// {self.unit.layer}: all tokens at once."]
        head = self.site.dialect.template(())
        return [*about, head, *_function(self.function, parameters, [*inside, *loops])]

    def _array(self, value: str, way: str) -> str:
        shape = self.site.graph.values[value].shape
        return f"{self.site.beats[value]} {self.locals[value]}_{way}[{prod(shape)}]"

    # both

    def _for(self, label: str, count: int, lines: Lines, *, unrolled: bool) -> Lines:
        head = [f"{label}:", *self.site.dialect.ahead(unrolled)]
        return [*head, f"for (unsigned t = 0; t < {count}; t++) {{", *_indent(lines), "}"]

    def _partition(self, frame: Frame, suffix: str) -> Lines:
        name = f"{self.arrays[frame]}{suffix}"
        dialect = self.site.dialect
        if frame.whole or self.site.io_type == "io_parallel":
            return dialect.partition(name)
        return dialect.rows(name)

    def _limit(self, name: str, multiplies: int) -> Lines:
        if not multiplies:
            return []
        self.multiplies[name] = multiplies
        return self.site.dialect.limit(f"CONFIG_T::{name}")

    def _about(self, phase: Phase) -> Lines:
        per = "each token" if phase.tokens > 1 else "the frame"
        what = [self.locals[name] for name in (*phase.writes,)] or [
            self.locals[f.value] for f in self.plan.frames if self.plan.phases[f.source] is phase
        ]
        made = ", ".join(dict.fromkeys(what))
        return [f"// {self.unit.layer}, phase {phase.level}: {made} of {per}."]

    def _iteration(self, number: int) -> _Loop:
        """Read a token, compute, write it."""
        phase = self.plan.phases[number]
        token = "t" if phase.tokens > 1 else "0"
        parallel = self.site.io_type == "io_parallel"
        lines: Lines = []
        for name in phase.reads:
            row = self.locals[name]
            lines += self._declare(name)
            at = f", {token}" if parallel else ""
            lines += [f"gf::read({row}_in{at}, {row});", ""]
        total = 0
        for node in phase.nodes:
            statement, given = self._statement(number, node, token)
            total += statement.multiplies
            lines += [f"// {statement.formula}", *given, *self._declare(node.output)]
            lines += [*statement.before, *(line for c in statement.calls for line in _call(c)), ""]
        for frame in self.plan.frames:
            if frame.source == number:
                row = self.locals[frame.value]
                lines.append(f"gf::copy({row}, {self.arrays[frame]}[{token}]);")
        for name in phase.writes:
            at = f", {token}" if parallel else ""
            lines.append(f"gf::write({self.locals[name]}{at}, {self.locals[name]}_out);")
        while lines and not lines[-1]:
            lines.pop()
        return _Loop(lines, total)

    def _declare(self, name: str) -> Lines:
        value = self.site.graph.values[name]
        row = self.locals[name]
        size = prod(features(value))
        return [f"{fixed(value.fixed)} {row}[{size}];", *self.site.dialect.partition(row)]

    def _statement(self, number: int, node: Node, token: str) -> tuple[Statement, Lines]:
        """One node's call, and the constant rows that it needs first."""
        graph = self.site.graph
        phase = self.plan.phases[number]
        operands: list[Operand] = []
        given: Lines = []
        for name, access in zip(node.inputs, accesses(graph, node), strict=True):
            value = graph.values[name]
            if name in self.site.constants:
                text = self._constant(name, access, token, given)
            elif name in phase.values and access != "whole":
                text = self.locals[name]
            else:
                frame = next(f for f in self.plan.frames if f.value == name and f.target == number)
                at = {"whole": "", "row": f"[{token}]", "first": "[0]"}[access]
                text = self.arrays[frame] + at
            operands.append(Operand(text, value))
        to = Row(self.locals[node.output], graph.values[node.output], token)
        return STATEMENTS[type(node.op)](node.op, to, tuple(operands), self.resources), given

    def _constant(self, name: str, access: str, token: str, given: Lines) -> str:
        """A constant operand: an array of weights, a row of one, or all of its rows."""
        value = self.site.graph.values[name]
        raw = self.site.constants[name]
        kind = value.fixed
        if name not in self.locals:
            self.locals[name] = self.names.new(name.removeprefix(f"{value.layer}/"))
            self.given[name] = self.resources.weight(self.locals[name], raw, kind)
        short, array = self.locals[name], self.given[name]
        size = prod(features(value))
        if access == "whole":
            given += [f"{fixed(kind)} {short}[{tokens(value)}][{size}];"]
            given += [*self.site.dialect.partition(short), f"gf::frame({array}, {short});"]
            return short
        if access == "first" or tokens(value) == 1:
            return array
        given += [f"{fixed(kind)} {short}[{size}];", *self.site.dialect.partition(short)]
        given += [f"gf::read({array}, {token}, {short});"]
        return short


def _call(text: str) -> Lines:
    """A call as a statement; its arguments on a line of their own where it is long."""
    if len(text) < COLUMNS - 8:
        return [f"{text};"]
    head, _, arguments = text.partition("(")
    return [f"{head}(", f"    {arguments[:-1]}", ");"]


def _suffix(step: int) -> str:
    return "" if step == 0 else f"_{step + 1}"


def _function(name: str, parameters: Sequence[str], lines: Lines) -> Lines:
    head = f"void {name}("
    listed = [*(f"    {p}," for p in parameters[:-1]), f"    {parameters[-1]}"]
    one = f"{head}{', '.join(parameters)}) {{"
    opening = [one] if len(one) <= COLUMNS else [head, *listed, ") {"]
    return [*opening, *_indent(lines), "}"]


def _indent(lines: Lines) -> Lines:
    return [f"    {line}" if line else "" for line in lines]
