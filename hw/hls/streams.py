"""Layers between streams: a pipelined loop a phase, and frames between concurrent phases.

Owns ``StreamFunctions``. Imports functions and iterations.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateformer.hw.hls.functions import Functions, function
from gateformer.hw.hls.iteration import apart, call, iteration
from gateformer.hw.hls.phases import Frame, Phase
from gateformer.hw.hls.scope import Lines


class StreamFunctions(Functions):
    """Writes one unit's functions for ``io_stream``."""

    __slots__ = ()

    def write(self) -> Lines:
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
        row = apart(text.fetch, text.compute, text.leave)
        paced = self.paced(self._interval(phase), limit, text.multiplies)
        if phase.tokens == 1:
            inside = apart([*dialect.process(), *paced], row)
        else:
            loop = self.loop("tokens", phase.tokens, apart(paced, row), False)
            inside = apart(dialect.process(), text.before, loop, text.after)
        parameters = [
            *self._streams(phase.reads, ()),
            *(f"const {self._given(frame, number, 'in')}" for frame in self._inward(number)),
            *(self._given(frame, number, "out") for frame in self._outward(number)),
            *self._streams((), phase.writes),
        ]
        head = self._head(phase.reads, phase.writes)
        once = ", a token at a time" if phase.tokens > 1 else ", once a frame"
        return [*self.about(phase, once), head, *function(name, parameters, inside)]

    def _interval(self, phase: Phase) -> str:
        """Clocks that a phase has; one that runs once a frame has those of all tokens."""
        longest = self.scope.site.longest
        if phase.tokens > 1 or longest == 1:
            return "reuse_factor"
        self.constants["frame_interval"] = f"{longest} * reuse_factor"
        return "frame_interval"

    def _given(self, frame: Frame, number: int, way: str) -> str:
        """A frame as a parameter of a phase."""
        kept = f"_{way}" if self.scope.inner(frame, number) else ""
        return self.scope.frame(frame, f"(&{self.scope.arrays[frame]}{kept})")

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
        frames = [
            line
            for frame in scope.plan.frames
            for step in range(self._steps(frame))
            for line in self.array(frame, _suffix(step))
        ]
        calls: Lines = []
        done = 0
        for number, (name, phase) in enumerate(zip(called, scope.plan.phases, strict=True)):
            if phase.level != done:
                calls += self._carries(phase.level)
                done = phase.level
            given = [f"{scope.locals[n]}_in" for n in phase.reads]
            for frame in self._inward(number):
                given.append(scope.arrays[frame] + _suffix(self._steps(frame) - 1))
            given += [scope.arrays[frame] for frame in self._outward(number)]
            given += [f"{scope.locals[n]}_out" for n in phase.writes]
            calls += call(f"{name}<CONFIG_T>({', '.join(given)})")
        parameters = self._streams(unit.reads, unit.writes)
        head = self._head(unit.reads, unit.writes)
        overlap = scope.site.dialect.dataflow()
        inside = apart(overlap, frames, calls)
        when = "at the same time, on successive frames" if overlap else "one after another"
        about = f"// {unit.layer}: the phases run {when}."
        return [about, head, *function(scope.function, parameters, inside)]

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


def _suffix(step: int) -> str:
    return "" if step == 0 else f"_{step + 1}"
