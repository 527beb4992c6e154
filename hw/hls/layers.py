"""Layers as text: one header a unit, ``firmware/layers/<function>.h``.

Owns ``Layer`` and ``write_layer``. Imports iterations, units and statements.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from gateformer.hw.hls.iteration import (
    COLUMNS,
    Iteration,
    Lines,
    Scope,
    Site,
    call,
    indent,
    iteration,
)
from gateformer.hw.hls.phases import Frame, Phase, Phases
from gateformer.hw.hls.statements import Table, Weight
from gateformer.hw.hls.units import Unit


@dataclass(frozen=True, slots=True)
class Layer:
    """A unit's function as text.

    Attributes
    ----------
    function : str
        The C++ function; ``firmware/layers/<function>.h`` defines it.
    text : str
        That file.
    weights : tuple of Weight
        Constant arrays that hls4ml writes.
    tables : tuple of Table
        Look-up tables.
    constants : mapping of str to str
        What the layer's configuration holds beside its reuse factor: name -> C++ expression.
    waits : mapping of str to int
        Value that leaves -> whole frames gathered before its first token does.
    """

    function: str
    text: str
    weights: tuple[Weight, ...]
    tables: tuple[Table, ...]
    constants: Mapping[str, str]
    waits: Mapping[str, int]


def write_layer(site: Site, unit: Unit, function: str, about: Sequence[str]) -> Layer:
    """Write a unit's header.

    Parameters
    ----------
    site : Site
        The project.
    unit : Unit
        What the layer computes.
    function : str
        Its C++ function.
    about : sequence of str
        Lines of comment at the top.
    """
    scope = Scope(site, unit, function)
    writer = _Writer(scope)
    body = writer.stream() if site.streams else writer.parallel()
    own = scope.resources
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
    weights, tables = tuple(own.weights), tuple(own.tables)
    waits = dict(_waits(scope.plan))
    return Layer(function, "\n".join(lines) + "\n", weights, tables, writer.constants, waits)


def _waits(plan: Phases) -> Iterable[tuple[str, int]]:
    for phase in plan.phases:
        totals = {node.output for node in phase.totals}
        for name in phase.writes:
            yield name, phase.level + (name in totals)


@dataclass(slots=True)
class _Writer:
    """Writes one unit's functions."""

    scope: Scope
    constants: dict[str, str] = field(default_factory=dict)

    # io_stream

    def stream(self) -> Lines:
        """Functions of a layer between streams: one a phase, and DATAFLOW where several."""
        function, unit, plan = self.scope.function, self.scope.unit, self.scope.plan.phases
        task = self.scope.site.dialect.task(function, self._names(unit.reads, unit.writes))
        if len(plan) == 1:
            return [*self._phase(function, 0, "multiplier_limit"), *task]
        called = [f"{function}_phase{number}" for number in range(len(plan))]
        lines: Lines = []
        for number, name in enumerate(called):
            lines += [*self._phase(name, number, f"multiplier_limit_{number}"), ""]
        return [*lines, *self._dataflow(called), *task]

    def _phase(self, name: str, number: int, limit: str) -> Lines:
        """The function of one phase: a pipelined loop over tokens."""
        dialect, phase = self.scope.site.dialect, self.scope.plan.phases[number]
        text = iteration(self.scope, number)
        row = [*text.fetch, *text.compute, *text.leave]
        paced = self._paced(self._interval(phase), limit, text.multiplies)
        if phase.tokens == 1:
            inside = [*dialect.process(), *paced, "", *row]
        else:
            inside = _spaced(dialect.process())
            inside += [*text.before, *self._for("tokens", phase.tokens, [*paced, "", *row], False)]
            inside += ["", *text.after] if text.after else []
        parameters = [
            *self._streams(phase.reads, ()),
            *(f"const {self._given(frame, number, 'in')}" for frame in self._inward(number)),
            *(self._given(frame, number, "out") for frame in self._outward(number)),
            *self._streams((), phase.writes),
        ]
        head = self._head(phase.reads, phase.writes)
        once = ", a token at a time" if phase.tokens > 1 else ", once a frame"
        return [*self._about(phase, once), head, *_function(name, parameters, inside)]

    def _interval(self, phase: Phase) -> str:
        """Clocks that a phase has; one that runs once a frame has those of all tokens."""
        longest = self.scope.site.longest
        if phase.tokens > 1 or longest == 1:
            return "reuse_factor"
        self.constants["frame_interval"] = f"{longest} * reuse_factor"
        return "frame_interval"

    def _paced(self, interval: str, limit: str, multiplies: int) -> Lines:
        """The interval of what is around, and the multipliers that it leaves."""
        dialect = self.scope.site.dialect
        paced = dialect.pipeline(f"CONFIG_T::{interval}")
        if multiplies:
            self.constants[limit] = f"({multiplies} + {interval} - 1) / {interval}"
            paced += dialect.limit(f"CONFIG_T::{limit}")
        return paced

    def _given(self, frame: Frame, number: int, way: str) -> str:
        """A frame as a parameter of a phase."""
        kept = f"_{way}" if self.scope.inner(frame, number) else ""
        return self.scope.frame(frame, f"(&{self.scope.arrays[frame]}{kept})")

    def _about(self, phase: Phase, when: str) -> Lines:
        """What a phase gives, as a comment."""
        plan, unit = self.scope.plan, self.scope.unit
        given = [f.value for f in plan.frames if plan.phases[f.source] is phase]
        made = ", ".join(self.scope.locals[name] for name in dict.fromkeys([*given, *phase.writes]))
        which = f", phase {plan.phases.index(phase)}" if len(plan.phases) > 1 else ""
        return [f"// {unit.layer}{which}: {made}{when}."]

    def _streams(self, reads: Sequence[str], writes: Sequence[str]) -> list[str]:
        site, rows = self.scope.site, self.scope.locals
        ins = [site.dialect.stream(site.beats[v], f"{rows[v]}_in", False) for v in reads]
        return ins + [site.dialect.stream(site.beats[v], f"{rows[v]}_out", True) for v in writes]

    def _head(self, reads: Sequence[str], writes: Sequence[str]) -> str:
        """The line above a function between streams."""
        return self.scope.site.dialect.template(self._names(reads, writes))

    def _names(self, reads: Sequence[str], writes: Sequence[str]) -> list[str]:
        """Streams' names inside the layer."""
        rows = self.scope.locals
        return [f"{rows[name]}_in" for name in reads] + [f"{rows[name]}_out" for name in writes]

    def _inward(self, number: int) -> list[Frame]:
        return [frame for frame in self.scope.plan.frames if frame.target == number]

    def _outward(self, number: int) -> list[Frame]:
        return [frame for frame in self.scope.plan.frames if frame.source == number]

    def _dataflow(self, called: list[str]) -> Lines:
        """The layer itself: frames between concurrent phases."""
        scope, unit = self.scope, self.scope.unit
        inside = [*scope.site.dialect.dataflow(), ""]
        for frame in scope.plan.frames:
            for step in range(self._steps(frame)):
                inside += self._array(frame, _suffix(step))
        inside.append("")
        done = 0
        for number, (name, phase) in enumerate(zip(called, scope.plan.phases, strict=True)):
            if phase.level != done:
                inside += self._carries(phase.level)
                done = phase.level
            given = [f"{scope.locals[n]}_in" for n in phase.reads]
            for frame in self._inward(number):
                given.append(scope.arrays[frame] + _suffix(self._steps(frame) - 1))
            given += [scope.arrays[frame] for frame in self._outward(number)]
            given += [f"{scope.locals[n]}_out" for n in phase.writes]
            inside += call(f"{name}<CONFIG_T>({', '.join(given)})")
        parameters = self._streams(unit.reads, unit.writes)
        head = self._head(unit.reads, unit.writes)
        overlap = scope.site.dialect.dataflow()
        when = "at the same time, on successive frames" if overlap else "one after another"
        about = f"// {unit.layer}: the phases run {when}."
        return [about, head, *_function(scope.function, parameters, inside)]

    def _steps(self, frame: Frame) -> int:
        """Arrays on a frame's way: no process is bypassed, a waiting frame is handed on."""
        plan = self.scope.plan.phases
        return plan[frame.target].level - plan[frame.source].level

    def _carries(self, level: int) -> Lines:
        """Hand on the frames that skip a level."""
        lines: Lines = []
        for frame, array in self.scope.arrays.items():
            step = level - self.scope.plan.phases[frame.source].level
            if 0 < step < self._steps(frame):
                carry = "gf::carry_at_once" if self.scope.at_once(frame) else "gf::carry"
                lines.append(f"{carry}({array}{_suffix(step - 1)}, {array}{_suffix(step)});")
        return lines

    # io_parallel

    def parallel(self) -> Lines:
        """A function between arrays that calls one of each phase for every token.

        So a token's work is scheduled once, and then there as often as there are tokens.
        """
        scope, dialect, plan = self.scope, self.scope.site.dialect, self.scope.plan.phases
        functions: Lines = []
        loops: Lines = []
        for number, phase in enumerate(plan):
            text = iteration(scope, number)
            if phase.tokens == len(plan) == 1:
                paced = self._paced("reuse_factor", "multiplier_limit", text.multiplies)
                loops = ["", *text.fetch, *text.compute, *text.leave]
                break
            if text.compute:
                functions += [*self._token(number, text), ""]
            row = [*text.fetch, *self._called(number, text), *text.leave]
            if phase.tokens == 1:
                loops += ["", "{", *indent(row), "}"]
            else:
                row = [*_spaced(dialect.unroll()), *row]
                loops += ["", *self._for(f"phase{number}", phase.tokens, row, True)]
        else:
            paced = self._paced("reuse_factor", "", 0)
        inside = [*paced, *([""] if scope.plan.frames else [])]
        for frame in scope.plan.frames:
            inside += self._array(frame, "")
        parameters = [f"const {self._tensor(name, 'in')}" for name in scope.unit.reads]
        parameters += [self._tensor(name, "out") for name in scope.unit.writes]
        most = max(phase.tokens for phase in plan)
        what = "all tokens at once" if most > 1 else "the whole vector at once"
        about = f"// {scope.unit.layer}: {what}."
        head = dialect.template(())
        lines = _function(scope.function, parameters, [*inside, *loops])
        return [*functions, about, head, *lines]

    def _name(self, number: int) -> str:
        """The function of a phase's token."""
        alone = len(self.scope.plan.phases) == 1
        return f"{self.scope.function}_{'token' if alone else f'phase{number}'}"

    def _token(self, number: int, text: Iteration) -> Lines:
        """The function of one token: rows in, rows out."""
        scope, phase = self.scope, self.scope.plan.phases[number]
        limit = "multiplier_limit" + (f"_{number}" if len(scope.plan.phases) > 1 else "")
        paced = self._paced("reuse_factor", limit, text.multiplies)
        given = [f"{scope.locals[name]}_out" for name in text.made]
        ends = [f"gf::copy({scope.locals[name]}, {scope.locals[name]}_out);" for name in text.made]
        inside = [*scope.site.dialect.process(), *paced, "", *text.compute, *ends]
        parameters = [
            *(f"const {scope.typed(name, f'(&{scope.locals[name]})')}" for name in text.rows),
            *(f"const {scope.frame(f, f'(&{scope.arrays[f]})')}" for f in text.frames),
            *(scope.typed(n, f"(&{out})") for n, out in zip(text.made, given, strict=True)),
        ]
        when = " of one token" if phase.tokens > 1 else ", once a frame"
        head = scope.site.dialect.template(())
        return [*self._about(phase, when), head, *_function(self._name(number), parameters, inside)]

    def _called(self, number: int, text: Iteration) -> Lines:
        """The call of a token's function."""
        scope = self.scope
        if not text.compute:
            return []
        given = [scope.locals[name] for name in text.rows]
        given += [scope.arrays[frame] for frame in text.frames]
        given += [scope.locals[name] for name in text.made]
        lines = [line for name in text.made for line in scope.declare(name)]
        return [*lines, *call(f"{self._name(number)}<CONFIG_T>({', '.join(given)})"), ""]

    def _tensor(self, value: str, way: str) -> str:
        scope = self.scope
        size = prod(scope.value(value).shape)
        name = f"{scope.locals[value]}_{way}"
        return scope.site.dialect.tensor(scope.site.beats[value], name, size)

    # both

    def _for(self, label: str, count: int, lines: Lines, unrolled: bool) -> Lines:
        head = [f"{label}:", *self.scope.site.dialect.ahead(unrolled)]
        return [*head, f"for (unsigned t = 0; t < {count}; t++) {{", *indent(lines), "}"]

    def _array(self, frame: Frame, suffix: str) -> Lines:
        """A frame between phases: registers where it is read whole, else a memory of tokens."""
        dialect, name = self.scope.site.dialect, f"{self.scope.arrays[frame]}{suffix}"
        kept = dialect.partition(name) if self.scope.at_once(frame) else dialect.rows(name)
        return [f"{self.scope.frame(frame, name)};", *kept]


def _spaced(lines: Lines) -> Lines:
    """Lines and an empty one, if there are any."""
    return [*lines, ""] if lines else []


def _suffix(step: int) -> str:
    return "" if step == 0 else f"_{step + 1}"


def _function(name: str, parameters: Sequence[str], lines: Lines) -> Lines:
    head = f"void {name}("
    listed = [*(f"    {p}," for p in parameters[:-1]), f"    {parameters[-1]}"]
    one = f"{head}{', '.join(parameters)}) {{"
    opening = [one] if len(one) <= COLUMNS else [head, *listed, ") {"]
    return [*opening, *indent(lines), "}"]
