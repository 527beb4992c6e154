"""Layers as text: one header a unit, ``firmware/layers/<function>.h``.

Owns ``Layer`` and ``write_layer``. Imports iterations, units and statements.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from gateformer.hw.hls.iteration import COLUMNS, Lines, Scope, Site, call, indent, iteration
from gateformer.hw.hls.names import fixed
from gateformer.hw.hls.phases import Frame, Phase, Phases, tokens
from gateformer.hw.hls.statements import Table, Weight, features
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
    multiplies : mapping of str to int
        Name of a limit in the layer's configuration -> multiplications that share it.
    waits : mapping of str to int
        Value that leaves -> whole frames gathered before its first token does.
    """

    function: str
    text: str
    weights: tuple[Weight, ...]
    tables: tuple[Table, ...]
    multiplies: Mapping[str, int]
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
    return Layer(function, "\n".join(lines) + "\n", weights, tables, writer.multiplies, waits)


def _waits(plan: Phases) -> Iterable[tuple[str, int]]:
    for phase in plan.phases:
        totals = {node.output for node in phase.totals}
        for name in phase.writes:
            yield name, phase.level + (name in totals)


@dataclass(slots=True)
class _Writer:
    """Writes one unit's functions."""

    scope: Scope
    multiplies: dict[str, int] = field(default_factory=dict)

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
        limited = self._limit(limit, text.multiplies)
        if phase.tokens == 1:
            inside = [*dialect.process(), *dialect.pipeline(), *limited, "", *text.inside]
        else:
            looped = [*dialect.pipeline(), "", *text.inside]
            inside = [*limited, *text.before, *self._for("tokens", phase.tokens, looped, False)]
            inside += ["", *text.after] if text.after else []
        parameters = [
            *self._streams(phase.reads, ()),
            *(f"const {self._declared(frame, '(&{})')}" for frame in self._inward(number)),
            *(self._declared(frame, "(&{})") for frame in self._outward(number)),
            *self._streams((), phase.writes),
        ]
        head = self._head(phase.reads, phase.writes)
        return [*self._about(phase), head, *_function(name, parameters, inside)]

    def _about(self, phase: Phase) -> Lines:
        """What a phase gives, as a comment."""
        plan, unit = self.scope.plan, self.scope.unit
        given = [f.value for f in plan.frames if plan.phases[f.source] is phase]
        made = ", ".join(self.scope.locals[name] for name in dict.fromkeys([*given, *phase.writes]))
        which = f", phase {plan.phases.index(phase)}" if len(plan.phases) > 1 else ""
        once = "a token at a time" if phase.tokens > 1 else "once a frame"
        return [f"// {unit.layer}{which}: {made}, {once}."]

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
                lines.append(f"gf::carry({array}{_suffix(step - 1)}, {array}{_suffix(step)});")
        return lines

    # io_parallel

    def parallel(self) -> Lines:
        """One pipelined function between arrays; its loops are unrolled."""
        scope, dialect = self.scope, self.scope.site.dialect
        loops: Lines = []
        multiplies = 0
        for number, phase in enumerate(scope.plan.phases):
            text = iteration(scope, number)
            multiplies += text.multiplies * phase.tokens
            if phase.tokens == 1 and len(scope.plan.phases) == 1:
                loops += ["", *text.inside]
            elif phase.tokens == 1:
                loops += ["", "{", *indent(text.inside), "}"]
            else:
                looped = [*dialect.unroll(), "", *text.inside]
                loops += ["", *self._for(f"phase{number}", phase.tokens, looped, True)]
        inside = [*dialect.pipeline(), *self._limit("multiplier_limit", multiplies)]
        inside += [""] if scope.plan.frames else []
        for frame in scope.plan.frames:
            inside += self._array(frame, "")
        parameters = [f"const {self._tensor(name, 'in')}" for name in scope.unit.reads]
        parameters += [self._tensor(name, "out") for name in scope.unit.writes]
        most = max(phase.tokens for phase in scope.plan.phases)
        what = "all tokens at once" if most > 1 else "the whole vector at once"
        about = f"// {scope.unit.layer}: {what}."
        head = dialect.template(())
        return [about, head, *_function(scope.function, parameters, [*inside, *loops])]

    def _tensor(self, value: str, way: str) -> str:
        scope = self.scope
        size = prod(scope.value(value).shape)
        name = f"{scope.locals[value]}_{way}"
        return scope.site.dialect.tensor(scope.site.beats[value], name, size)

    # both

    def _for(self, label: str, count: int, lines: Lines, unrolled: bool) -> Lines:
        head = [f"{label}:", *self.scope.site.dialect.ahead(unrolled)]
        return [*head, f"for (unsigned t = 0; t < {count}; t++) {{", *indent(lines), "}"]

    def _declared(self, frame: Frame, form: str) -> str:
        value = self.scope.value(frame.value)
        size = f"[{tokens(value)}][{prod(features(value))}]"
        return f"{fixed(value.fixed)} {form.format(self.scope.arrays[frame])}{size}"

    def _array(self, frame: Frame, suffix: str) -> Lines:
        """A frame between phases: registers where it is read whole, else a memory of tokens."""
        site = self.scope.site
        name = f"{self.scope.arrays[frame]}{suffix}"
        at_once = frame.whole or not site.streams
        kept = site.dialect.partition(name) if at_once else site.dialect.rows(name)
        return [f"{self._declared(frame, '{}' + suffix)};", *kept]

    def _limit(self, name: str, multiplies: int) -> Lines:
        if not multiplies:
            return []
        self.multiplies[name] = multiplies
        return self.scope.site.dialect.limit(f"CONFIG_T::{name}")


def _suffix(step: int) -> str:
    return "" if step == 0 else f"_{step + 1}"


def _function(name: str, parameters: Sequence[str], lines: Lines) -> Lines:
    head = f"void {name}("
    listed = [*(f"    {p}," for p in parameters[:-1]), f"    {parameters[-1]}"]
    one = f"{head}{', '.join(parameters)}) {{"
    opening = [one] if len(one) <= COLUMNS else [head, *listed, ") {"]
    return [*opening, *indent(lines), "}"]
